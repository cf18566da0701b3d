//! Partitions of one disk: what is there and what the config wants make decisions and a new table (spec/disks.md 2).
//!
//! As upstream, in two passes over the table. The first deletes every listed partition that is there and places all that should exist,
//! to learn what a start or size of 0 means on this disk. The second compares what is there with that, and changes only what differs.
//! Upstream runs `sgdisk` for each pass; here [`crate::gpt::Room`] does its arithmetic. Where the two part: docs/deviations.md.
//!
//! A disk that has grown is planned with all its room, as it will be when the backup of the table has moved to the end. (sgdisk moves it
//! after it has placed partitions in the old room, so that its second run finds other sizes than its first.)

mod asked;
mod refusal;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::config::types::Disk;
use crate::gpt::{BootSector, Entry, Extent, Found, Guid, Room, Scan, Table, Write, writes};
use crate::report::Pointer;

use asked::{Asked, asked};
pub use refusal::{Difference, Reason, Refusal};

/// What the planner must know of a disk.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// What the config wants
    pub disk: &'a Disk,
    /// What is there
    pub scan: &'a Scan,
    /// The partitions that are in use, and by what, as in "mounted at /usr"
    pub in_use: &'a BTreeMap<u32, String>,
}

/// What happens to a listed partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// It should not exist and does not
    Absent,
    /// It is there as it should be
    Matched,
    /// It is made
    Create,
    /// It is deleted
    Delete {
        /// What it was
        lost: Entry,
    },
    /// It is deleted and made as the config says
    Recreate {
        /// What it was
        lost: Entry,
    },
    /// It keeps everything but its end
    Resize {
        /// What it was
        from: Entry,
    },
}

/// What was decided about one entry of `partitions`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Its index in the config
    pub index: usize,
    /// Its number: that of the config, or the free one that was found for 0
    pub number: u32,
    /// What happens
    pub action: Action,
}

/// What was decided about a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partitioning {
    /// Whether what is there is wiped first
    pub wipe: bool,
    /// The table to write. `None`: the table stays as it is, or, after a wipe, there is none
    pub table: Option<Table>,
    /// For each listed partition, in the order in which they were decided: those with number 0 last
    pub decisions: Vec<Decision>,
}

impl Partitioning {
    /// Whether there is something to write.
    pub fn changes(&self) -> bool {
        self.wipe || self.table.is_some()
    }

    /// What is to be written, in order.
    pub fn writes(&self, scan: &Scan) -> Vec<Write> {
        writes(scan, self.wipe, self.table.as_ref())
    }
}

/// Decides about a disk. `random` gives the bytes of new GUIDs. A refusal means that nothing is to be written, not even a wipe.
pub fn plan(request: &Request<'_>, random: &mut dyn FnMut() -> [u8; 16]) -> Result<Partitioning, Refusal> {
    let wipe = request.disk.wipe_table == Some(true);
    if wipe && !request.in_use.is_empty() {
        let users = request.in_use.clone();
        return Err(refuse(
            request,
            Pointer::root().key("wipeTable"),
            Reason::WipeInUse { users },
        ));
    }
    let found = if wipe { None } else { usable(request)? };
    let partitions = asked(request, found)?;
    let nothing = BTreeMap::new();
    let entries = found.map_or(&nothing, |table| &table.entries);
    let wanted = partitions.iter().any(|partition| partition.should_exist);
    if found.is_none() && !wanted {
        let decisions = partitions.iter().map(|partition| Decision {
            index: partition.index,
            number: partition.number,
            action: Action::Absent,
        });
        return Ok(Partitioning {
            wipe,
            table: None,
            decisions: decisions.collect(),
        });
    }
    let base = match found {
        Some(table) => table.fitted(),
        None => fresh(request, wipe, random)?,
    };
    let room = Room::on(&base);
    let mut planner = Planner {
        request,
        room,
        random,
        notes: BTreeMap::new(),
        table: base.clone(),
    };
    let partitions = planner.resolve(partitions, entries)?;
    planner.table = base;
    planner.notes.clear();
    let decisions = planner.decide(&partitions, entries)?;
    let changed = decisions
        .iter()
        .any(|decision| !matches!(decision.action, Action::Absent | Action::Matched));
    if changed && let Some(flaw) = planner.table.flaws().into_iter().next() {
        return Err(planner.refuse(Pointer::root(), Reason::Flaw(flaw)));
    }
    Ok(Partitioning {
        wipe,
        table: changed.then_some(planner.table),
        decisions,
    })
}

/// The table that is there, if the disk is one that may be worked on without a wipe.
fn usable<'a>(request: &Request<'a>) -> Result<Option<&'a Table>, Refusal> {
    let what = match &request.scan.found {
        Found::Blank => return Ok(None),
        Found::Gpt { table, .. } => return Ok(Some(table)),
        Found::Mbr { partitions } => match partitions.len() {
            1 => "an MBR with one partition".to_owned(),
            count => format!("an MBR with {count} partitions"),
        },
        Found::Other { what } => what.clone(),
    };
    Err(refuse(request, Pointer::root(), Reason::NotGpt { what }))
}

/// A table of its own. After a wipe there is no boot code any more.
fn fresh(request: &Request<'_>, wipe: bool, random: &mut dyn FnMut() -> [u8; 16]) -> Result<Table, Refusal> {
    let geometry = request.scan.geometry;
    let blank = BootSector::blank(geometry.sector_size);
    let boot = if wipe { &blank } else { &request.scan.boot };
    Table::fresh(geometry, Guid::random(random()), boot)
        .map_err(|problem| refuse(request, Pointer::root(), Reason::TooSmall(problem)))
}

fn refuse(request: &Request<'_>, pointer: Pointer, reason: Reason) -> Refusal {
    let table = match &request.scan.found {
        Found::Gpt { table, .. } => crate::gpt::render(table, &|number| request.in_use.get(&number).cloned()),
        Found::Mbr { partitions } => refusal::render_mbr(partitions, request.scan.geometry),
        Found::Blank | Found::Other { .. } => String::new(),
    };
    Refusal {
        pointer,
        reason,
        table,
    }
}

/// Works on a copy of the table.
struct Planner<'r, 'a> {
    request: &'r Request<'a>,
    room: Room,
    random: &'r mut dyn FnMut() -> [u8; 16],
    /// Where in the config the partitions come from that this run has placed
    notes: BTreeMap<u32, String>,
    table: Table,
}

impl Planner<'_, '_> {
    fn refuse(&self, pointer: Pointer, reason: Reason) -> Refusal {
        let note = |number: u32| {
            let used = self.request.in_use.get(&number);
            let notes: Vec<&str> = self
                .notes
                .get(&number)
                .into_iter()
                .chain(used)
                .map(String::as_str)
                .collect();
            (!notes.is_empty()).then(|| notes.join(", "))
        };
        Refusal {
            pointer,
            reason,
            table: crate::gpt::render(&self.table, &note),
        }
    }

    /// The first pass: what 0 means for those whose start or size is an explicit 0, or that are moved by alignment.
    fn resolve(
        &mut self,
        mut partitions: Vec<Asked>,
        old: &BTreeMap<u32, Entry>,
    ) -> Result<Vec<Asked>, Refusal> {
        for partition in &partitions {
            if old.contains_key(&partition.number) {
                self.table.remove(partition.number);
            }
        }
        for partition in &mut partitions {
            if !partition.should_exist {
                continue;
            }
            // What the config leaves open stays as it is, unless the partition may be made anew.
            let kept = old.get(&partition.number).filter(|_| !partition.wipe_entry);
            let start = partition.start.or(kept.map(|entry| entry.first)).unwrap_or(0);
            let size = partition.size.or(kept.map(Entry::size)).unwrap_or(0);
            let number = self.number(partition)?;
            let extent = self.place(partition, number, start, size)?;
            let entry = new_entry(partition, extent, Guid::ZERO);
            self.put(partition, number, entry);
            if partition.number != 0 && (partition.start == Some(0) || partition.size == Some(0)) {
                partition.start = partition.start.map(|_| extent.first);
                partition.size = partition.size.map(|_| extent.size());
            }
        }
        Ok(partitions)
    }

    /// The second pass: deletions, then what is made, each in the order of the list.
    fn decide(&mut self, partitions: &[Asked], old: &BTreeMap<u32, Entry>) -> Result<Vec<Decision>, Refusal> {
        let mut actions = Vec::new();
        for partition in partitions {
            let action = self.action(partition, old.get(&partition.number))?;
            if let Action::Delete { .. } | Action::Recreate { .. } | Action::Resize { .. } = action {
                self.table.remove(partition.number);
            }
            actions.push(action);
        }
        let mut decisions = Vec::new();
        for (partition, action) in partitions.iter().zip(actions) {
            let (start, size) = (partition.start.unwrap_or(0), partition.size.unwrap_or(0));
            let number = match &action {
                Action::Absent | Action::Matched | Action::Delete { .. } => partition.number,
                Action::Create | Action::Recreate { .. } => {
                    let number = self.number(partition)?;
                    let extent = self.place(partition, number, start, size)?;
                    let guid = match partition.guid {
                        Some(guid) => guid,
                        None => Guid::random((self.random)()),
                    };
                    let entry = new_entry(partition, extent, guid);
                    self.put(partition, number, entry);
                    number
                }
                Action::Resize { from } => {
                    let last = self.resized(partition, from, size)?;
                    let entry = Entry { last, ..*from };
                    self.put(partition, partition.number, entry);
                    partition.number
                }
            };
            decisions.push(Decision {
                index: partition.index,
                number,
                action,
            });
        }
        Ok(decisions)
    }

    fn put(&mut self, partition: &Asked, number: u32, entry: Entry) {
        self.table.entries.insert(number, entry);
        self.notes
            .insert(number, format!("partitions[{}]", partition.index));
    }

    /// The table of spec/disks.md 2.4.
    fn action(&self, partition: &Asked, old: Option<&Entry>) -> Result<Action, Refusal> {
        let Some(old) = old else {
            return Ok(if partition.should_exist {
                Action::Create
            } else {
                Action::Absent
            });
        };
        let number = partition.number;
        let differences = partition.differences(old, self.table.geometry);
        let action = if !partition.should_exist {
            if !partition.wipe_entry {
                let pointer = partition.pointer("shouldExist");
                return Err(self.refuse(pointer, Reason::ShouldNotExist { number }));
            }
            Action::Delete { lost: *old }
        } else if differences.is_empty() {
            return Ok(Action::Matched);
        } else if partition.wipe_entry {
            Action::Recreate { lost: *old }
        } else if partition.resize && differences.iter().all(|difference| difference.key == "sizeMiB") {
            Action::Resize { from: *old }
        } else {
            let at_fault = |difference: &&Difference| !partition.resize || difference.key != "sizeMiB";
            let key = differences
                .iter()
                .find(at_fault)
                .map_or("number", |difference| difference.key);
            let reason = Reason::Mismatch { number, differences };
            return Err(self.refuse(partition.pointer(key), reason));
        };
        if let Some(by) = self.request.in_use.get(&number) {
            let by = by.clone();
            let reason = Reason::InUse {
                number,
                by,
                differences,
            };
            return Err(self.refuse(Pointer::root().key("partitions").index(partition.index), reason));
        }
        Ok(action)
    }

    /// The number that a partition gets.
    fn number(&self, partition: &Asked) -> Result<u32, Refusal> {
        let number = partition.number;
        if number != 0 {
            if self.table.entries.contains_key(&number) {
                return Err(self.refuse(partition.pointer("number"), Reason::NumberTaken { number }));
            }
            return Ok(number);
        }
        self.table.free_number().ok_or_else(|| {
            let entries = self.table.entry_count;
            self.refuse(partition.pointer("number"), Reason::NoNumber { entries })
        })
    }

    fn place(&self, partition: &Asked, number: u32, start: u64, size: u64) -> Result<Extent, Refusal> {
        self.room
            .place(&self.table, start, size)
            .map_err(|problem| self.no_room(partition, number, problem))
    }

    fn no_room(&self, partition: &Asked, number: u32, problem: crate::gpt::NoRoom) -> Refusal {
        use crate::gpt::NoRoom;
        let at_start = matches!(problem, NoRoom::StartTaken { .. });
        let keys = [("startMiB", partition.start), ("sizeMiB", partition.size)];
        let wanted = |(_, value): &&(&str, Option<u64>)| value.is_some_and(|value| value != 0);
        let key = if at_start {
            keys.iter().find(wanted)
        } else {
            keys.iter().rev().find(wanted)
        };
        let pointer = key.map_or_else(
            || Pointer::root().key("partitions").index(partition.index),
            |(key, _)| partition.pointer(key),
        );
        let geometry = self.table.geometry;
        self.refuse(
            pointer,
            Reason::NoRoom {
                number,
                problem,
                geometry,
            },
        )
    }

    /// The new end of a partition that keeps its start, wherever that is.
    fn resized(&self, partition: &Asked, from: &Entry, size: u64) -> Result<u64, Refusal> {
        let extent = Extent {
            first: from.first,
            last: from.first.saturating_add(size.max(1) - 1),
        };
        match self.room.keep(&self.table, extent) {
            Ok(()) => Ok(extent.last),
            Err(problem) => Err(self.no_room(partition, partition.number, problem)),
        }
    }
}

fn new_entry(partition: &Asked, extent: Extent, guid: Guid) -> Entry {
    Entry {
        type_guid: partition.type_guid.unwrap_or(Guid::LINUX),
        guid,
        first: extent.first,
        last: extent.last,
        attributes: 0,
        name: partition.name.unwrap_or_default(),
    }
}
