//! What is on a disk: a GPT, how whole it is, or what else. Reads at most two arrays of 2 MiB.

use std::collections::BTreeMap;
use std::io;

use super::bytes::{array_at, crc32, put, u32_at, u64_at};
use super::table::{HEADER, REVISION, SIGNATURE};
use super::{BootSector, ENTRY_SIZE, Entry, Geometry, Guid, MAX_ENTRIES, MbrPartition, ReadAt, Table};

/// How whole a table is. The copy that was taken is a whole one in every case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Both copies say the same, and the backup is at the end.
    Whole,
    /// The primary copy is damaged or gone; this is the backup.
    PrimaryDamaged,
    /// The backup is damaged or gone; this is the primary copy.
    BackupDamaged,
    /// The backup is whole, but not in the last sector: the disk has grown.
    BackupNotAtEnd,
    /// Both are whole, but do not say the same, as when writing was interrupted; this is the primary copy, as the kernel
    /// takes it.
    Differ,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// No partition table. There may be a filesystem.
    Blank,
    /// A GPT.
    Gpt {
        /// The table, as its best copy says
        table: Box<Table>,
        /// How whole it is
        health: Health,
    },
    /// An MBR with partitions. A GPT behind it does not count.
    Mbr {
        /// Its primary partitions
        partitions: Vec<MbrPartition>,
    },
    /// Something that is not to be written over without being asked to.
    Other {
        /// What it is, as in "there is ..."
        what: String,
    },
}

/// A disk that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// Its size
    pub geometry: Geometry,
    /// Its first sector
    pub boot: BootSector,
    /// What is on it
    pub found: Found,
}

impl Scan {
    /// The table, if there is one.
    pub fn table(&self) -> Option<&Table> {
        match &self.found {
            Found::Gpt { table, .. } => Some(table),
            Found::Blank | Found::Mbr { .. } | Found::Other { .. } => None,
        }
    }
}

/// Sector sizes of real disks and of what the kernel's block layer can show.
const SECTOR_SIZES: std::ops::RangeInclusive<u32> = 512..=65536;

/// Looks at a disk. Errors are the disk's; whatever its bytes are, they are described.
pub fn scan<D: ReadAt + ?Sized>(disk: &D) -> io::Result<Scan> {
    let sector_size = disk.sector_size();
    if !SECTOR_SIZES.contains(&sector_size) || !sector_size.is_power_of_two() {
        let problem = format!("sectors of {sector_size} bytes");
        return Err(io::Error::new(io::ErrorKind::Unsupported, problem));
    }
    let geometry = Geometry {
        sector_size,
        sectors: disk.size() / u64::from(sector_size),
    };
    if geometry.sectors < 2 {
        return Ok(Scan {
            geometry,
            boot: BootSector::blank(sector_size),
            found: Found::Blank,
        });
    }
    let boot = BootSector::new(sectors(disk, geometry, 0, 1)?);
    let found = match copies(disk, geometry, &boot)? {
        Copies::Table(table, health) if !is_real_mbr(&boot) => Found::Gpt {
            table: Box::new(table),
            health,
        },
        _ if is_real_mbr(&boot) => Found::Mbr {
            partitions: boot.partitions(),
        },
        Copies::Unusable(what) => Found::Other { what },
        Copies::Table(..) | Copies::None => match foreign(disk, geometry, &boot)? {
            Some(what) => Found::Other {
                what: what.to_owned(),
            },
            None => Found::Blank,
        },
    };
    Ok(Scan {
        geometry,
        boot,
        found,
    })
}

fn is_real_mbr(boot: &BootSector) -> bool {
    boot.is_plausible() && !boot.is_protective() && !boot.partitions().is_empty()
}

fn sectors<D: ReadAt + ?Sized>(disk: &D, geometry: Geometry, first: u64, count: u64) -> io::Result<Vec<u8>> {
    let size = u64::from(geometry.sector_size);
    let length = count
        .checked_mul(size)
        .and_then(|bytes| usize::try_from(bytes).ok());
    let offset = first.checked_mul(size);
    let (Some(length), Some(offset)) = (length, offset) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let mut bytes = vec![0; length];
    disk.read_at(offset, &mut bytes)?;
    Ok(bytes)
}

/// A header whose checksum is right.
struct Header {
    alternate: u64,
    first_usable: u64,
    last_usable: u64,
    disk_guid: Guid,
    entries: u64,
    entry_count: u32,
    entry_size: u32,
    array_crc: u32,
    rest: Vec<u8>,
}

/// Whether an array of so many sectors is between the last usable one and the backup header.
fn fits(start: u64, count: u64, last_usable: u64, header: u64) -> bool {
    start > last_usable && start.checked_add(count).is_some_and(|end| end <= header)
}

enum Copy {
    /// No header
    Absent,
    /// A header or an array with a wrong checksum, or a header in the wrong place
    Damaged,
    /// The array is damaged, the header is not
    ArrayDamaged(Header),
    /// Header and array
    Whole(Header, Vec<u8>),
    /// Whole as far as can be told, but nothing that we or the kernel read
    Unsupported(String),
}

impl Copy {
    fn header(&self) -> Option<&Header> {
        match self {
            Self::ArrayDamaged(header) | Self::Whole(header, _) => Some(header),
            Self::Absent | Self::Damaged | Self::Unsupported(_) => None,
        }
    }
}

fn copy<D: ReadAt + ?Sized>(disk: &D, geometry: Geometry, lba: u64) -> io::Result<Copy> {
    let mut sector = sectors(disk, geometry, lba, 1)?;
    if array_at(&sector, 0) != *SIGNATURE {
        return Ok(Copy::Absent);
    }
    let size = u32_at(&sector, 12);
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let expected = u32_at(&sector, 16);
    put(&mut sector, 16, &[0; 4]);
    let Some(rest) = sector.get(HEADER..size) else {
        return Ok(Copy::Damaged);
    };
    let sum = crc32(sector.get(..size).unwrap_or_default());
    if sum != expected || u64_at(&sector, 24) != lba || u32_at(&sector, 8) != REVISION {
        return Ok(Copy::Damaged);
    }
    let header = Header {
        alternate: u64_at(&sector, 32),
        first_usable: u64_at(&sector, 40),
        last_usable: u64_at(&sector, 48),
        disk_guid: Guid(array_at(&sector, 56)),
        entries: u64_at(&sector, 72),
        entry_count: u32_at(&sector, 80),
        entry_size: u32_at(&sector, 84),
        array_crc: u32_at(&sector, 88),
        rest: rest.to_vec(),
    };
    if header.entry_size != ENTRY_SIZE {
        let what = format!(
            "a GPT with entries of {} bytes, where Linux reads only {ENTRY_SIZE}",
            header.entry_size
        );
        return Ok(Copy::Unsupported(what));
    }
    if header.entry_count == 0 || header.entry_count > MAX_ENTRIES {
        let what = format!(
            "a GPT of {} entries, where at most {MAX_ENTRIES} are read",
            header.entry_count
        );
        return Ok(Copy::Unsupported(what));
    }
    let count = geometry.array_sectors(header.entry_count);
    let end = header.entries.checked_add(count);
    if end.is_none_or(|end| end > geometry.sectors) {
        return Ok(Copy::ArrayDamaged(header));
    }
    let array = sectors(disk, geometry, header.entries, count)?;
    let used = usize::try_from(u64::from(header.entry_count) * u64::from(ENTRY_SIZE)).unwrap_or(usize::MAX);
    if crc32(array.get(..used).unwrap_or_default()) == header.array_crc {
        Ok(Copy::Whole(header, array))
    } else {
        Ok(Copy::ArrayDamaged(header))
    }
}

enum Copies {
    None,
    Table(Table, Health),
    Unusable(String),
}

/// Reads both copies and takes the best. The backup is where the primary says, or in the last sector if there is no
/// primary or it points beyond the disk: as the kernel and sgdisk look for it.
fn copies<D: ReadAt + ?Sized>(disk: &D, geometry: Geometry, boot: &BootSector) -> io::Result<Copies> {
    let primary = copy(disk, geometry, 1)?;
    // Such a header is not repaired by what the backup says, so it does not matter whether its array is whole.
    if let Some(header) = primary.header()
        && let Err(what) = sound(geometry, header, header.entries)
    {
        return Ok(Copies::Unusable(what));
    }
    let last = geometry.sectors - 1;
    let backup_at = primary
        .header()
        .map(|header| header.alternate)
        .filter(|lba| (2..=last).contains(lba))
        .unwrap_or(last);
    let backup = copy(disk, geometry, backup_at)?;
    let found = match (&primary, &backup) {
        (Copy::Unsupported(what), _) => return Ok(Copies::Unusable(what.clone())),
        (Copy::Whole(header, array), other) => {
            let differs = |backup: &Header| {
                backup.array_crc != header.array_crc
                    || backup.disk_guid != header.disk_guid
                    || (backup.first_usable, backup.last_usable) != (header.first_usable, header.last_usable)
                    || backup.entry_count != header.entry_count
                    || backup.rest != header.rest
                    || backup.alternate != 1
                    || header.alternate != backup_at
            };
            let count = geometry.array_sectors(header.entry_count);
            let fits = |start: &u64| fits(*start, count, header.last_usable, backup_at);
            let (entries, health) = match other {
                Copy::Whole(backup, _) if differs(backup) => {
                    (Some(backup.entries).filter(fits), Health::Differ)
                }
                // An array in the wrong place is written anew in the right one.
                Copy::Whole(backup, _) if !fits(&backup.entries) => (None, Health::BackupDamaged),
                Copy::Whole(backup, _) if backup_at == last => (Some(backup.entries), Health::Whole),
                Copy::Whole(backup, _) => (Some(backup.entries), Health::BackupNotAtEnd),
                Copy::Absent | Copy::Damaged | Copy::ArrayDamaged(_) | Copy::Unsupported(_) => {
                    (None, Health::BackupDamaged)
                }
            };
            let places = (header.entries, entries, backup_at);
            (table(geometry, boot, header, array, places), health)
        }
        (other, Copy::Whole(header, array)) => {
            // A lost header is made anew before an array at LBA 2; one whose array alone is damaged still says where that is.
            let entries = other.header().map_or(2, |primary| primary.entries);
            let places = (entries, Some(header.entries), backup_at);
            let mut taken = table(geometry, boot, header, array, places);
            if taken.is_err() {
                let places = (2, Some(header.entries), backup_at);
                taken = table(geometry, boot, header, array, places);
            }
            (taken, Health::PrimaryDamaged)
        }
        (_, Copy::Unsupported(what)) => return Ok(Copies::Unusable(what.clone())),
        (Copy::Absent, Copy::Absent) => return Ok(Copies::None),
        (
            Copy::Absent | Copy::Damaged | Copy::ArrayDamaged(_),
            Copy::Absent | Copy::Damaged | Copy::ArrayDamaged(_),
        ) => {
            let what = "a damaged GPT: neither of its two copies is whole";
            return Ok(Copies::Unusable(what.to_owned()));
        }
    };
    Ok(match found {
        (Ok(table), health) => Copies::Table(table, health),
        (Err(what), _) => Copies::Unusable(what),
    })
}

/// What a header says about the disk, with its primary array here, must be possible.
fn sound(geometry: Geometry, header: &Header, primary_entries: u64) -> Result<(), String> {
    let count = geometry.array_sectors(header.entry_count);
    let (first, last) = (header.first_usable, header.last_usable);
    if last >= geometry.sectors {
        return Err(format!(
            "a GPT of a larger disk: it counts sectors up to {last}, and this disk has {}",
            geometry.sectors
        ));
    }
    let after_primary = primary_entries.checked_add(count);
    if first > last || primary_entries < 2 || after_primary.is_none_or(|end| end > first) {
        return Err(format!(
            "a GPT that contradicts itself: its entries take {count} sectors from {primary_entries}, and sectors {first} to \
             {last} are for partitions"
        ));
    }
    Ok(())
}

/// Makes a table of a header and its array. `places`: the primary array, the backup array if it is known, the backup header.
fn table(
    geometry: Geometry,
    boot: &BootSector,
    header: &Header,
    array: &[u8],
    (primary_entries, backup_entries, backup_header): (u64, Option<u64>, u64),
) -> Result<Table, String> {
    sound(geometry, header, primary_entries)?;
    let count = geometry.array_sectors(header.entry_count);
    let (first, last) = (header.first_usable, header.last_usable);
    let backup_entries = backup_entries.unwrap_or(last.saturating_add(1));
    if !fits(backup_entries, count, last, backup_header) {
        return Err(format!(
            "a GPT that contradicts itself: the {count} sectors of its backup from {backup_entries} are not between its last usable \
             sector {last} and the backup header at {backup_header}"
        ));
    }
    let size = usize::try_from(ENTRY_SIZE).unwrap_or(usize::MAX);
    let entries: BTreeMap<u32, Entry> = (1..=header.entry_count)
        .zip(array.chunks_exact(size))
        .map(|(number, bytes)| (number, Entry::from_bytes(bytes)))
        .filter(|(_, entry)| !entry.type_guid.is_zero())
        .collect();
    Ok(Table {
        geometry,
        disk_guid: header.disk_guid,
        first_usable: first,
        last_usable: last,
        entry_count: header.entry_count,
        primary_entries,
        backup_entries,
        backup_header,
        header_rest: header.rest.clone(),
        boot: boot.clone(),
        entries,
    })
}

/// How a BSD disklabel begins.
const BSD: u32 = 0x8256_4557;

/// Tables of other systems, and boot sectors without a table, all of which upstream refuses to write over: blkid knows the one
/// kind, sgdisk the other.
fn foreign<D: ReadAt + ?Sized>(
    disk: &D,
    geometry: Geometry,
    boot: &BootSector,
) -> io::Result<Option<&'static str>> {
    let start = boot.bytes();
    let mut second = vec![0; 512];
    if geometry.sectors * u64::from(geometry.sector_size) >= 1024 {
        disk.read_at(512, &mut second)?;
    }
    Ok(if start.starts_with(b"ER") && second.starts_with(b"PM") {
        Some("an Apple partition map")
    } else if u32_at(&second, 0) == BSD || u32_at(start, 64) == BSD {
        Some("a BSD disklabel")
    } else if start.get(508..510) == Some(&[0xda, 0xbe]) {
        Some("a Sun disklabel")
    } else if start.starts_with(&[0x0b, 0xe5, 0xa9, 0x41]) {
        Some("an SGI disklabel")
    } else if boot.is_signed() && !boot.is_protective() {
        Some("a boot sector without a partition table, as a FAT filesystem has it")
    } else {
        None
    })
}
