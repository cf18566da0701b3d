//! What the kernel is to be told, partition by partition, when a table has changed under it.

use std::collections::BTreeMap;

use super::Table;

/// A partition as the kernel has it, in bytes: sysfs counts in 512-byte units whatever the sector size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelPartition {
    /// Its number
    pub number: u32,
    /// Its start in bytes
    pub start: u64,
    /// Its size in bytes
    pub size: u64,
}

/// One thing to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tell {
    /// It is gone.
    Delete(u32),
    /// It has another size, at the same start.
    Resize(KernelPartition),
    /// It is there.
    Add(KernelPartition),
}

/// What to tell, in order: who makes room comes before who takes it. The kernel refuses what overlaps.
pub fn tell(kernel: &[KernelPartition], table: Option<&Table>) -> Vec<Tell> {
    let old: BTreeMap<u32, KernelPartition> = kernel.iter().map(|known| (known.number, *known)).collect();
    let new: BTreeMap<u32, KernelPartition> = table
        .into_iter()
        .flat_map(|table| {
            let bytes = u64::from(table.geometry.sector_size);
            table.entries.iter().map(move |(number, entry)| {
                let partition = KernelPartition {
                    number: *number,
                    start: entry.first.saturating_mul(bytes),
                    size: entry.size().saturating_mul(bytes),
                };
                (*number, partition)
            })
        })
        .collect();
    let (mut shrunk, mut grown, mut added) = (Vec::new(), Vec::new(), Vec::new());
    let mut told = Vec::new();
    for known in old.values() {
        if new
            .get(&known.number)
            .is_none_or(|wanted| wanted.start != known.start)
        {
            told.push(Tell::Delete(known.number));
        }
    }
    for wanted in new.values() {
        match old.get(&wanted.number) {
            Some(known) if known == wanted => {}
            Some(known) if known.start == wanted.start => {
                let list = if wanted.size < known.size {
                    &mut shrunk
                } else {
                    &mut grown
                };
                list.push(Tell::Resize(*wanted));
            }
            _ => added.push(Tell::Add(*wanted)),
        }
    }
    told.extend(shrunk);
    told.extend(grown);
    told.extend(added);
    told
}

#[cfg(test)]
mod tests {
    use super::super::{BootSector, Entry, Geometry, Guid, Name};
    use super::*;

    fn table(sector_size: u32, entries: &[(u32, u64, u64)]) -> Table {
        let geometry = Geometry {
            sector_size,
            sectors: 1 << 20,
        };
        let mut table = Table::fresh(geometry, Guid::ZERO, &BootSector::blank(sector_size)).unwrap();
        for (number, first, last) in entries {
            let entry = Entry {
                type_guid: Guid::LINUX,
                guid: Guid::ZERO,
                first: *first,
                last: *last,
                attributes: 0,
                name: Name::default(),
            };
            table.entries.insert(*number, entry);
        }
        table
    }

    fn known(number: u32, start: u64, size: u64) -> KernelPartition {
        KernelPartition { number, start, size }
    }

    #[test]
    fn nothing_is_told_twice() {
        let table = table(4096, &[(1, 256, 511), (9, 512, 1023)]);
        let kernel = [known(1, 1 << 20, 1 << 20), known(9, 2 << 20, 2 << 20)];
        assert_eq!(tell(&kernel, Some(&table)), []);
    }

    #[test]
    fn who_makes_room_comes_first() {
        let table = table(
            512,
            &[
                (1, 2048, 4095),
                (2, 4096, 8191),
                (3, 8192, 8193),
                (7, 10240, 12287),
            ],
        );
        let kernel = [
            known(1, 1 << 20, 2 << 20),
            known(2, 2 << 20, 1 << 20),
            known(3, 3 << 20, 1 << 20),
            known(4, 5 << 20, 512),
        ];
        let expected = [
            Tell::Delete(3),
            Tell::Delete(4),
            Tell::Resize(known(1, 1 << 20, 1 << 20)),
            Tell::Resize(known(2, 2 << 20, 2 << 20)),
            Tell::Add(known(3, 4 << 20, 1024)),
            Tell::Add(known(7, 5 << 20, 1 << 20)),
        ];
        assert_eq!(tell(&kernel, Some(&table)), expected);
    }

    #[test]
    fn without_a_table_all_are_gone() {
        assert_eq!(tell(&[known(2, 512, 512)], None), [Tell::Delete(2)]);
    }
}
