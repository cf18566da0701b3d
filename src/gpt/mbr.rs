//! LBA 0: a protective or hybrid MBR before a GPT, or a partition table of its own.

use super::bytes::{put, u32_at};

/// Where the four records stand, and how long one is.
const RECORDS: usize = 446;
const RECORD: usize = 16;

/// The type of the record that protects a GPT.
const PROTECTIVE: u8 = 0xee;

/// The bytes of the MBR itself; a sector may be longer.
const MBR: usize = 512;

/// A partition in an MBR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MbrPartition {
    /// Number, from 1
    pub number: u32,
    /// Type, as `0x83` for Linux
    pub kind: u8,
    /// First sector
    pub start: u64,
    /// Number of sectors
    pub size: u64,
}

/// The whole first sector: boot code, four records, signature, and what follows in a longer sector.
#[derive(Clone, PartialEq, Eq)]
pub struct BootSector(Vec<u8>);

impl std::fmt::Debug for BootSector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let all: Vec<MbrPartition> = self.records().collect();
        f.debug_struct("BootSector")
            .field("boot_code", &self.has_boot_code())
            .field("signed", &self.is_signed())
            .field("records", &all)
            .finish()
    }
}

impl BootSector {
    /// From the bytes of the first sector.
    pub fn new(sector: Vec<u8>) -> Self {
        Self(sector)
    }

    /// A sector of zeros.
    pub fn blank(sector_size: u32) -> Self {
        Self(vec![0; usize::try_from(sector_size).unwrap_or_default()])
    }

    /// Its bytes: one sector.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether it ends in 55 AA.
    pub fn is_signed(&self) -> bool {
        self.0.get(510..MBR) == Some(&[0x55, 0xaa])
    }

    /// Whether there is something where boot code stands.
    pub fn has_boot_code(&self) -> bool {
        self.0
            .get(..440)
            .is_some_and(|code| code.iter().any(|byte| *byte != 0))
    }

    fn record(&self, index: usize) -> &[u8] {
        let start = RECORDS + index * RECORD;
        self.0.get(start..start + RECORD).unwrap_or_default()
    }

    fn records(&self) -> impl Iterator<Item = MbrPartition> + '_ {
        (1..=4).zip(0..4).filter_map(|(number, index)| {
            let record = self.record(index);
            let kind = record.get(4).copied().unwrap_or_default();
            (kind != 0).then(|| MbrPartition {
                number,
                kind,
                start: u32_at(record, 8).into(),
                size: u32_at(record, 12).into(),
            })
        })
    }

    /// Whether it could be a partition table at all: signed, and every record is active or not.
    pub(super) fn is_plausible(&self) -> bool {
        self.is_signed() && (0..4).all(|index| matches!(self.record(index).first(), Some(0 | 0x80)))
    }

    /// Whether a record says that the disk has a GPT. A hybrid MBR has other records, too.
    pub fn is_protective(&self) -> bool {
        self.is_signed() && self.records().any(|record| record.kind == PROTECTIVE)
    }

    /// Whether it protects a GPT and shows partitions of it to what cannot read a GPT.
    pub fn is_hybrid(&self) -> bool {
        self.is_protective() && !self.partitions().is_empty()
    }

    /// Its partitions, save what protects a GPT.
    pub fn partitions(&self) -> Vec<MbrPartition> {
        if !self.is_signed() {
            return Vec::new();
        }
        self.records()
            .filter(|record| record.kind != PROTECTIVE)
            .collect()
    }

    /// The same boot code, but with a single record that protects a disk of so many sectors.
    #[must_use]
    pub fn protecting(&self, sectors: u64) -> Self {
        let mut bytes = self.0.clone();
        // The disk's signature at 440 is for MBRs alone: zero, as the UEFI specification says (5.2.3).
        put(&mut bytes, 440, &[0; 6]);
        put(&mut bytes, RECORDS, &[0; 4 * RECORD]);
        put(&mut bytes, RECORDS, &protective_record(sectors));
        put(&mut bytes, 510, &[0x55, 0xaa]);
        Self(bytes)
    }

    /// The same, without the record of a partition of a hybrid MBR that is deleted. The last one gone, it is protective.
    #[must_use]
    pub(super) fn without(&self, start: u64, size: u64, sectors: u64) -> Self {
        let doomed: Vec<usize> = (0..4)
            .filter(|index| {
                let record = self.record(*index);
                let kind = record.get(4).copied().unwrap_or_default();
                kind != PROTECTIVE
                    && kind != 0
                    && u64::from(u32_at(record, 8)) == start
                    && u64::from(u32_at(record, 12)) == size
            })
            .collect();
        if doomed.is_empty() || !self.is_hybrid() {
            return self.clone();
        }
        let mut bytes = self.0.clone();
        for index in doomed {
            put(&mut bytes, RECORDS + index * RECORD, &[0; RECORD]);
        }
        let shorter = Self(bytes);
        if shorter.is_hybrid() {
            shorter
        } else {
            shorter.protecting(sectors)
        }
    }
}

/// From LBA 1 to the end of the disk, or as far as 32 bits reach.
fn protective_record(sectors: u64) -> [u8; RECORD] {
    let mut record = [0; RECORD];
    // Cylinder, head and sector: of LBA 1, and "beyond", which is right for every disk above 8 GB and harmless below.
    put(&mut record, 1, &[0x00, 0x02, 0x00, PROTECTIVE, 0xff, 0xff, 0xff]);
    put(&mut record, 8, &1_u32.to_le_bytes());
    let size = u32::try_from(sectors.saturating_sub(1)).unwrap_or(u32::MAX);
    put(&mut record, 12, &size.to_le_bytes());
    record
}
