//! What is to be written, in an order that leaves one whole copy at every instant.
//!
//! A table is two copies of header and array. Each write ends in a barrier, and a header is one sector, so that at any
//! cut at most one copy is in pieces; what is in pieces is known by its checksums, and the other copy counts:
//!
//! - The backup is written first, the primary copy after it: the kernel and every tool take the primary copy if it is whole. If the
//!   primary copy is damaged, the backup is the only one, and the order is reversed.
//! - Of the copy that comes first, the array is written before the header: until the header is there, the other copy counts. Of the
//!   copy that comes second, the header is written before the array: until the array matches, the first copy counts, and both
//!   headers say the same. Of a damaged primary copy the header is zeroed before anything else, unless it is needed to find the
//!   backup of a disk that has grown: it could match a part of the new array by chance. (With two headers that differ, sgdisk takes the primary array even if it is in pieces.)
//! - On a disk that has grown the backup is written at the new end, and the old one stays where the old primary header says.
//! - An MBR that is no part of a GPT is replaced last, for as long as it is there it is the disk's table. A protective one is written
//!   first: without a GPT it means nothing.
//! - After a wipe the new table stands elsewhere than the old one, if that was of another size. Should the first new copy have
//!   to be written over the old copy that counts (which takes a table for a handful of sectors), the old one is erased before: then there
//!   is an instant without a table. So it is with what is no usable table at all.
//! - A disk that loses its table for none loses one copy, then the other, then LBA 0, then the arrays.

use super::scan::{Found, Health, Scan};
use super::{BootSector, Table};

/// Bytes for a place, and a barrier (fsync) after them.
#[derive(Clone, PartialEq, Eq)]
pub struct Write {
    /// Where, in bytes: a sector's start
    pub offset: u64,
    /// Whole sectors
    pub bytes: Vec<u8>,
}

impl std::fmt::Debug for Write {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes at {}", self.bytes.len(), self.offset)
    }
}

/// A range of sectors: first and count.
type Area = (u64, u64);

/// The writes that make of what was found the new table. With `wipe`, whatever the old table has beyond the new one is overwritten
/// with zeros, and no new table means none at all. Without, no new table means that nothing is written.
pub fn writes(old: &Scan, wipe: bool, new: Option<&Table>) -> Vec<Write> {
    match new {
        Some(table) if wipe && erased_before(old, table) => {
            let mut writes = erasure(old);
            let blank = Scan {
                geometry: old.geometry,
                boot: BootSector::blank(old.geometry.sector_size),
                found: Found::Blank,
            };
            writes.extend(table_writes(&blank, table));
            writes
        }
        Some(table) => {
            let mut writes = table_writes(old, table);
            if wipe {
                let doomed = old.table().map(areas).unwrap_or_default();
                let kept = areas(table);
                let left = doomed.into_iter().flat_map(|area| without(area, &kept));
                writes.extend(left.map(|area| zeros(old, area)));
            }
            writes
        }
        None if wipe => erasure(old),
        None => Vec::new(),
    }
}

/// Whether what is there is erased before the new table is written: a damaged table, which parts of the new one could make whole again by
/// chance, or one whose copy that counts is where the first copy of the new table goes.
fn erased_before(old: &Scan, new: &Table) -> bool {
    let (table, health) = match &old.found {
        Found::Gpt { table, health } => (table, health),
        Found::Other { .. } => return true,
        Found::Blank | Found::Mbr { .. } => return false,
    };
    let [primary, backup] = copies(table);
    let [new_primary, new_backup] = copies(new);
    let (first, relied_on) = if *health == Health::PrimaryDamaged {
        (new_primary, backup)
    } else {
        (new_backup, primary)
    };
    first.iter().any(|area| without(*area, &relied_on) != [*area])
}

fn table_writes(old: &Scan, table: &Table) -> Vec<Write> {
    let array = table.array();
    let backup = (
        at(old, table.backup_entries, array.clone()),
        at(old, table.backup_header, table.header(&array, false)),
    );
    let primary = (
        at(old, table.primary_entries, array.clone()),
        at(old, 1, table.header(&array, true)),
    );
    let (primary_first, boot_last) = match &old.found {
        Found::Gpt { health, .. } => (*health == Health::PrimaryDamaged, false),
        Found::Blank => (false, false),
        Found::Mbr { .. } | Found::Other { .. } => (false, true),
    };
    let boot = (table.boot != old.boot).then(|| at(old, 0, table.boot.bytes().to_vec()));
    let mut writes = Vec::new();
    if !boot_last {
        writes.extend(boot.clone());
    }
    let (first, second) = if primary_first {
        (primary, backup)
    } else {
        (backup, primary)
    };
    let last = old.geometry.sectors.saturating_sub(1);
    if primary_first && old.table().is_some_and(|table| table.backup_header == last) {
        // A header that was left over could match the array while that is written. Without it the backup is still found.
        writes.push(zeros(old, (1, 1)));
    }
    writes.extend([first.0, first.1, second.1, second.0]);
    if boot_last {
        writes.extend(boot);
    }
    writes
}

fn erasure(old: &Scan) -> Vec<Write> {
    let sectors = old.geometry.sectors;
    if sectors < 2 {
        return Vec::new();
    }
    let last = sectors - 1;
    let mut writes = Vec::new();
    let mut backups = vec![(last, 1)];
    let mut primary_first = false;
    if let Found::Gpt { table, health } = &old.found {
        // Without a GPT behind it, what stands in LBA 0 could be taken for something else.
        let guard = BootSector::blank(old.geometry.sector_size).protecting(sectors);
        if old.boot != guard {
            writes.push(at(old, 0, guard.bytes().to_vec()));
        }
        if table.backup_header != last {
            backups.push((table.backup_header, 1));
        }
        primary_first = *health == Health::PrimaryDamaged;
    }
    let primary = zeros(old, (1, 1));
    let backups = backups.into_iter().map(|area| zeros(old, area));
    if primary_first {
        writes.push(primary);
        writes.extend(backups);
    } else {
        writes.extend(backups);
        writes.push(primary);
    }
    writes.push(at(
        old,
        0,
        BootSector::blank(old.geometry.sector_size).bytes().to_vec(),
    ));
    // The arrays that were found, and where those of a usual table would be.
    let array = old.geometry.array_sectors(128).min(sectors.saturating_sub(2));
    let mut arrays = vec![(2, array), (last.saturating_sub(array).max(1), array)];
    if let Some(table) = old.table() {
        let count = table.array_sectors();
        arrays.extend([(table.primary_entries, count), (table.backup_entries, count)]);
    }
    let mut done = vec![(last, 1), (0, 2)];
    for area in arrays {
        let rest = without(area, &done);
        writes.extend(rest.iter().map(|area| zeros(old, *area)));
        done.extend(rest);
    }
    writes
}

/// Where the two copies of a table stand: header and array.
fn copies(table: &Table) -> [[Area; 2]; 2] {
    let count = table.array_sectors();
    [
        [(1, 1), (table.primary_entries, count)],
        [(table.backup_header, 1), (table.backup_entries, count)],
    ]
}

/// Where a table stands, beside LBA 0.
fn areas(table: &Table) -> Vec<Area> {
    copies(table).into_iter().flatten().collect()
}

/// What of an area is in none of the others.
fn without(area: Area, others: &[Area]) -> Vec<Area> {
    let mut left = vec![area];
    for (other, length) in others {
        let end = other + length;
        left = left
            .into_iter()
            .flat_map(|(first, count)| {
                let last = first + count;
                let before = (first, (*other).min(last).saturating_sub(first));
                let start = end.max(first);
                let after = (start, last.saturating_sub(start));
                if *other >= last || end <= first {
                    [(first, count), (0, 0)]
                } else {
                    [before, after]
                }
            })
            .filter(|(_, count)| *count > 0)
            .collect();
    }
    left
}

fn at(disk: &Scan, sector: u64, bytes: Vec<u8>) -> Write {
    Write {
        offset: sector * u64::from(disk.geometry.sector_size),
        bytes,
    }
}

fn zeros(disk: &Scan, (sector, count): Area) -> Write {
    let bytes = count * u64::from(disk.geometry.sector_size);
    at(disk, sector, vec![0; usize::try_from(bytes).unwrap_or_default()])
}
