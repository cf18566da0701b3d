//! The model of a table, and its bytes.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Serialize, Serializer};

use super::bytes::{array_at, crc32, put, u64_at};
use super::{BootSector, Guid};

/// Bytes of an entry. The specification allows more; neither Linux nor sgdisk reads such a table.
pub const ENTRY_SIZE: u32 = 128;

/// The largest array that is read: 2 MiB. Tables of more than 128 entries are rare already.
pub const MAX_ENTRIES: u32 = 16384;

/// Bytes of a header that the specification names; a header may be longer, up to a sector.
pub(super) const HEADER: usize = 92;

/// How every header begins.
pub(super) const SIGNATURE: &[u8; 8] = b"EFI PART";

/// Version 1.0, the only one.
pub(super) const REVISION: u32 = 0x0001_0000;

/// Entries of a new table.
const NEW_ENTRIES: u32 = 128;

/// Size of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Geometry {
    /// Bytes of a logical sector
    pub sector_size: u32,
    /// Number of logical sectors
    pub sectors: u64,
}

impl Geometry {
    /// Sectors in a MiB; at least 1.
    pub fn sectors_per_mib(self) -> u64 {
        (1024 * 1024 / u64::from(self.sector_size.max(1))).max(1)
    }

    /// Sectors that an array of so many entries takes.
    pub(super) fn array_sectors(self, entries: u32) -> u64 {
        (u64::from(entries) * u64::from(ENTRY_SIZE)).div_ceil(u64::from(self.sector_size.max(1)))
    }
}

/// The disk has no room for a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a partition table needs {needed} sectors, and the disk has {sectors}")]
pub struct TooSmall {
    /// Sectors of the smallest disk
    pub needed: u64,
    /// Sectors that there are
    pub sectors: u64,
}

/// A partition's name: 36 UTF-16 units, padded with zeros. Kept as it is, even if it is no valid text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Name(pub [u16; Self::UNITS]);

impl Name {
    /// UTF-16 units of a name.
    pub const UNITS: usize = 36;

    /// A text as a name; `None` if it is too long, or holds a zero, which would end it.
    pub fn new(text: &str) -> Option<Self> {
        let mut units = [0; Self::UNITS];
        for (place, unit) in text.encode_utf16().enumerate() {
            *units.get_mut(place).filter(|_| unit != 0)? = unit;
        }
        Some(Self(units))
    }

    /// The text up to the first zero; what is no text is replaced.
    pub fn text(&self) -> String {
        char::decode_utf16(self.0.into_iter().take_while(|unit| *unit != 0))
            .map(|sign| sign.unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect()
    }
}

impl Default for Name {
    fn default() -> Self {
        Self([0; Self::UNITS])
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text(), f)
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text())
    }
}

/// A partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// What it is for
    pub type_guid: Guid,
    /// Its own GUID
    pub guid: Guid,
    /// First sector
    pub first: u64,
    /// Last sector
    pub last: u64,
    /// Attribute bits
    pub attributes: u64,
    /// Its label
    pub name: Name,
}

impl Entry {
    /// Its number of sectors; 0 if it ends before it begins.
    pub fn size(&self) -> u64 {
        if self.last < self.first {
            return 0;
        }
        (self.last - self.first).saturating_add(1)
    }

    /// Whether it has a sector of this range.
    pub(super) fn meets(&self, first: u64, last: u64) -> bool {
        self.first <= last && first <= self.last
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Self {
        let mut name = Name::default();
        for (place, unit) in name.0.iter_mut().enumerate() {
            *unit = u16::from_le_bytes(array_at(bytes, 56 + 2 * place));
        }
        Self {
            type_guid: Guid(array_at(bytes, 0)),
            guid: Guid(array_at(bytes, 16)),
            first: u64_at(bytes, 32),
            last: u64_at(bytes, 40),
            attributes: u64_at(bytes, 48),
            name,
        }
    }

    fn put_into(&self, bytes: &mut [u8]) {
        put(bytes, 0, &self.type_guid.0);
        put(bytes, 16, &self.guid.0);
        put(bytes, 32, &self.first.to_le_bytes());
        put(bytes, 40, &self.last.to_le_bytes());
        put(bytes, 48, &self.attributes.to_le_bytes());
        for (place, unit) in self.name.0.iter().enumerate() {
            put(bytes, 56 + 2 * place, &unit.to_le_bytes());
        }
    }
}

/// What is wrong with the entries of a table, though both checksums are right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// Two partitions share sectors.
    #[error("partitions {0} and {1} overlap")]
    Overlap(u32, u32),
    /// It ends before it begins.
    #[error("partition {0} ends before it begins")]
    Backwards(u32),
    /// It is not within what the table says is usable.
    #[error("partition {0} lies outside of the usable sectors")]
    Outside(u32),
}

/// A GUID partition table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// The disk that it is on
    pub geometry: Geometry,
    /// The disk's GUID
    pub disk_guid: Guid,
    /// First sector that a partition may have
    pub first_usable: u64,
    /// Last sector that a partition may have
    pub last_usable: u64,
    /// Slots for entries; the highest number
    pub entry_count: u32,
    /// Where the primary array begins: 2, or where `sgdisk -j` has put it
    pub primary_entries: u64,
    /// Where the backup array begins
    pub backup_entries: u64,
    /// Where the backup header is: the last sector, unless the disk has grown
    pub backup_header: u64,
    /// What a header has beyond the fields of the specification; mostly nothing
    pub header_rest: Vec<u8>,
    /// LBA 0
    pub boot: BootSector,
    /// The entries in use, by number
    pub entries: BTreeMap<u32, Entry>,
}

impl Table {
    /// A table without partitions, for 128 of them, with the boot code of this sector.
    pub fn fresh(geometry: Geometry, disk_guid: Guid, boot: &BootSector) -> Result<Self, TooSmall> {
        let first_usable = 2 + geometry.array_sectors(NEW_ENTRIES);
        let needed = 2 * first_usable;
        if geometry.sectors < needed {
            let sectors = geometry.sectors;
            return Err(TooSmall { needed, sectors });
        }
        Ok(Self {
            geometry,
            disk_guid,
            first_usable,
            last_usable: geometry.sectors - first_usable,
            entry_count: NEW_ENTRIES,
            primary_entries: 2,
            backup_entries: geometry.sectors - first_usable + 1,
            backup_header: geometry.sectors - 1,
            header_rest: Vec::new(),
            boot: boot.protecting(geometry.sectors),
            entries: BTreeMap::new(),
        })
    }

    /// Sectors of one array.
    pub fn array_sectors(&self) -> u64 {
        self.geometry.array_sectors(self.entry_count)
    }

    /// Whether the disk has grown since this table was written.
    pub fn has_grown(&self) -> bool {
        self.backup_header.saturating_add(1) < self.geometry.sectors
    }

    /// The same table as it is to be written: the backup at the end of the disk, whose new room is usable, and a protective
    /// MBR that knows of it. A hybrid MBR stays.
    #[must_use]
    pub fn fitted(&self) -> Self {
        let mut table = self.clone();
        let moved = self.backup_header.saturating_add(1) != self.geometry.sectors;
        if moved {
            table.backup_header = self.geometry.sectors.saturating_sub(1);
            table.backup_entries = table.backup_header.saturating_sub(self.array_sectors());
            table.last_usable = table.backup_entries.saturating_sub(1);
        }
        if !table.boot.is_protective() || moved && !table.boot.is_hybrid() {
            table.boot = table.boot.protecting(self.geometry.sectors);
        }
        table
    }

    /// What is wrong with its entries.
    pub fn flaws(&self) -> Vec<Flaw> {
        let mut flaws = Vec::new();
        let mut by_start: Vec<(u32, &Entry)> = Vec::new();
        for (number, entry) in &self.entries {
            if entry.last < entry.first {
                flaws.push(Flaw::Backwards(*number));
                continue;
            }
            if entry.first < self.first_usable || entry.last > self.last_usable {
                flaws.push(Flaw::Outside(*number));
            }
            by_start.push((*number, entry));
        }
        by_start.sort_by_key(|(number, entry)| (entry.first, *number));
        let mut furthest: Option<(u32, u64)> = None;
        for (number, entry) in by_start {
            if let Some((other, last)) = furthest
                && entry.first <= last
            {
                flaws.push(Flaw::Overlap(other.min(number), other.max(number)));
            }
            if furthest.is_none_or(|(_, last)| entry.last > last) {
                furthest = Some((number, entry.last));
            }
        }
        flaws
    }

    /// The array of entries, whole sectors.
    pub(super) fn array(&self) -> Vec<u8> {
        let bytes = self.array_sectors() * u64::from(self.geometry.sector_size);
        let mut array = vec![0; usize::try_from(bytes).unwrap_or_default()];
        for (number, entry) in &self.entries {
            let size = usize::try_from(ENTRY_SIZE).unwrap_or_default();
            let slot = usize::try_from(number.saturating_sub(1)).unwrap_or(usize::MAX);
            if let Some(part) = slot
                .checked_mul(size)
                .and_then(|start| array.get_mut(start..start.checked_add(size)?))
            {
                entry.put_into(part);
            }
        }
        array
    }

    /// One of the two headers, a whole sector; `array` is what [`Table::array`] gave.
    pub(super) fn header(&self, array: &[u8], primary: bool) -> Vec<u8> {
        let (own, other, entries) = if primary {
            (1, self.backup_header, self.primary_entries)
        } else {
            (self.backup_header, 1, self.backup_entries)
        };
        let used = usize::try_from(u64::from(self.entry_count) * u64::from(ENTRY_SIZE)).unwrap_or(usize::MAX);
        let size = HEADER + self.header_rest.len();
        let mut sector = vec![0; usize::try_from(self.geometry.sector_size).unwrap_or_default()];
        put(&mut sector, 0, SIGNATURE);
        put(&mut sector, 8, &REVISION.to_le_bytes());
        put(
            &mut sector,
            12,
            &u32::try_from(size).unwrap_or_default().to_le_bytes(),
        );
        put(&mut sector, 24, &u64::to_le_bytes(own));
        put(&mut sector, 32, &other.to_le_bytes());
        put(&mut sector, 40, &self.first_usable.to_le_bytes());
        put(&mut sector, 48, &self.last_usable.to_le_bytes());
        put(&mut sector, 56, &self.disk_guid.0);
        put(&mut sector, 72, &entries.to_le_bytes());
        put(&mut sector, 80, &self.entry_count.to_le_bytes());
        put(&mut sector, 84, &ENTRY_SIZE.to_le_bytes());
        put(
            &mut sector,
            88,
            &crc32(array.get(..used).unwrap_or(array)).to_le_bytes(),
        );
        put(&mut sector, HEADER, &self.header_rest);
        let sum = crc32(sector.get(..size).unwrap_or(&sector));
        put(&mut sector, 16, &sum.to_le_bytes());
        sector
    }
}

impl Table {
    /// Takes a partition out, from a hybrid MBR, too.
    pub fn remove(&mut self, number: u32) -> Option<Entry> {
        let entry = self.entries.remove(&number)?;
        self.boot = self
            .boot
            .without(entry.first, entry.size(), self.geometry.sectors);
        Some(entry)
    }

    /// The first number without a partition.
    pub fn free_number(&self) -> Option<u32> {
        (1..=self.entry_count).find(|number| !self.entries.contains_key(number))
    }
}
