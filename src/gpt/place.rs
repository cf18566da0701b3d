//! Where a partition goes: sgdisk's arithmetic (`--new=N:START:+SIZE`), with intervals instead of sector after sector.

use super::{Table, table::Entry};

/// A range of sectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// First sector
    pub first: u64,
    /// Last sector
    pub last: u64,
}

impl Extent {
    /// Its number of sectors.
    pub fn size(self) -> u64 {
        self.last.saturating_sub(self.first).saturating_add(1)
    }
}

/// What ends the free sectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InTheWay {
    /// A partition
    Partition(u32),
    /// The table itself, at the start of the disk
    Start,
    /// The end of the disk, with the backup of the table
    End,
}

/// Why a partition cannot be placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRoom {
    /// Not a sector is free.
    Full,
    /// The first sector is taken.
    StartTaken {
        /// The sector
        sector: u64,
        /// By what
        by: InTheWay,
    },
    /// The first sector is free, but not all up to the last.
    Short {
        /// The sectors that were asked for; from the aligned start
        wanted: Extent,
        /// The last one that is free; before the first if alignment has left nothing
        free_until: u64,
        /// What comes then
        by: InTheWay,
    },
}

/// Places partitions on one disk. The alignment is that of the table as it was found, whatever is deleted afterwards.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    alignment: u64,
}

/// 2048 sectors of 512 bytes.
const ALIGNMENT: u64 = 1024 * 1024;

/// What partitions of large disks are aligned to at least, in sectors, even if those that are there are not.
const LEAST_ON_LARGE: u64 = 8;

/// Number of sectors from which a disk counts as large.
const LARGE: u64 = 596_046_508;

impl Room {
    /// With the alignment that the partitions of a table have: the largest power of two up to 1 MiB that divides all starts.
    pub fn on(table: &Table) -> Self {
        let mut alignment = 1
            << (ALIGNMENT / u64::from(table.geometry.sector_size.max(1)))
                .max(1)
                .ilog2();
        for entry in table.entries.values() {
            while !entry.first.is_multiple_of(alignment) {
                alignment /= 2;
            }
        }
        if alignment < LEAST_ON_LARGE && table.geometry.sectors >= LARGE {
            alignment = LEAST_ON_LARGE;
        }
        Self { alignment }
    }

    /// Starts are multiples of so many sectors, where there is room for that.
    pub fn alignment(self) -> u64 {
        self.alignment
    }

    /// The sectors for a partition: start 0 is that of the largest free block, size 0 is up to the end of the block
    /// that has the start. The start is aligned, the end is not. A size counts from the start as it was asked for.
    pub fn place(self, table: &Table, start: u64, size: u64) -> Result<Extent, NoRoom> {
        let wanted = if start == 0 {
            let largest = largest(table).ok_or(NoRoom::Full)?;
            self.align(table, largest.first)
        } else {
            start
        };
        let first = self.align(table, wanted);
        if let Some(by) = occupant(table, first) {
            return Err(NoRoom::StartTaken { sector: first, by });
        }
        let (free_until, by) = end_of_free(table, first);
        let last = if size == 0 {
            free_until
        } else {
            wanted.saturating_add(size - 1)
        };
        if last < first || last > free_until {
            let wanted = Extent { first, last };
            return Err(NoRoom::Short {
                wanted,
                free_until,
                by,
            });
        }
        Ok(Extent { first, last })
    }

    /// Whether a partition that keeps its start, aligned or not, can have these sectors.
    pub fn keep(self, table: &Table, wanted: Extent) -> Result<(), NoRoom> {
        if let Some(by) = occupant(table, wanted.first) {
            let sector = wanted.first;
            return Err(NoRoom::StartTaken { sector, by });
        }
        let (free_until, by) = end_of_free(table, wanted.first);
        if wanted.last < wanted.first || wanted.last > free_until {
            return Err(NoRoom::Short {
                wanted,
                free_until,
                by,
            });
        }
        Ok(())
    }

    /// Moves a start to the boundary before it if everything between is free, else to the next one if that is so, else not.
    fn align(self, table: &Table, sector: u64) -> u64 {
        let beyond = sector % self.alignment;
        if beyond == 0 {
            return sector;
        }
        let earlier = sector - beyond;
        if is_free(table, earlier, sector - 1) {
            return earlier;
        }
        match earlier.checked_add(self.alignment) {
            Some(later) if is_free(table, sector + 1, later) => later,
            _ => sector,
        }
    }
}

fn is_free(table: &Table, first: u64, last: u64) -> bool {
    first >= table.first_usable
        && last <= table.last_usable
        && !table.entries.values().any(|entry| entry.meets(first, last))
}

/// What has this sector.
fn occupant(table: &Table, sector: u64) -> Option<InTheWay> {
    let mut entries = table.entries.iter();
    if let Some((number, _)) = entries.find(|(_, entry)| entry.meets(sector, sector)) {
        return Some(InTheWay::Partition(*number));
    }
    if sector < table.first_usable {
        return Some(InTheWay::Start);
    }
    (sector > table.last_usable).then_some(InTheWay::End)
}

/// The last free sector after this free one, and what comes then.
fn end_of_free(table: &Table, sector: u64) -> (u64, InTheWay) {
    let after = |(_, entry): &(&u32, &Entry)| entry.first > sector && entry.last >= entry.first;
    let next = table
        .entries
        .iter()
        .filter(after)
        .min_by_key(|(_, entry)| entry.first);
    match next {
        Some((number, entry)) if entry.first <= table.last_usable => {
            (entry.first - 1, InTheWay::Partition(*number))
        }
        _ => (table.last_usable, InTheWay::End),
    }
}

/// The free blocks, in order.
pub(super) fn free_blocks(table: &Table) -> Vec<Extent> {
    let mut taken: Vec<(u64, u64)> = table
        .entries
        .values()
        .map(|entry| (entry.first, entry.last))
        .filter(|(first, last)| first <= last)
        .collect();
    taken.sort_unstable();
    let mut blocks = Vec::new();
    let mut next = table.first_usable;
    for (first, last) in taken {
        if first > table.last_usable {
            break;
        }
        if first > next {
            let last = first - 1;
            blocks.push(Extent { first: next, last });
        }
        next = next.max(last.saturating_add(1));
    }
    if next <= table.last_usable {
        let last = table.last_usable;
        blocks.push(Extent { first: next, last });
    }
    blocks
}

/// The first of the largest free blocks.
fn largest(table: &Table) -> Option<Extent> {
    let mut best: Option<Extent> = None;
    for block in free_blocks(table) {
        if best.is_none_or(|best| block.size() > best.size()) {
            best = Some(block);
        }
    }
    best
}
