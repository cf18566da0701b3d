//! Why a disk is left as it is: the place in the config, what is in the way, what to do, and the table that is there.

use std::collections::BTreeMap;
use std::fmt;
use std::fmt::Write as _;

use crate::gpt::{Flaw, Geometry, InTheWay, MbrPartition, NoRoom, NotAGuid, TooSmall, amount};
use crate::report::Pointer;

/// One thing in which a partition differs from the config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The config's key
    pub key: &'static str,
    /// What the config says
    pub wanted: String,
    /// What is there
    pub there: String,
}

/// Why nothing is done to a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// There is something else than a GPT.
    NotGpt {
        /// What
        what: String,
    },
    /// A wipe, but partitions are in use.
    WipeInUse {
        /// Which, and by what
        users: BTreeMap<u32, String>,
    },
    /// A partition would be changed, but it is in use.
    InUse {
        /// Its number
        number: u32,
        /// By what
        by: String,
        /// What would change
        differences: Vec<Difference>,
    },
    /// It is there, and the config does not want it, but does not allow to delete it.
    ShouldNotExist {
        /// Its number
        number: u32,
    },
    /// It is there, but it is another one than the config wants, and may not be replaced.
    Mismatch {
        /// Its number
        number: u32,
        /// In what
        differences: Vec<Difference>,
    },
    /// The table has no slot of this number.
    NumberTooLarge {
        /// The number
        number: i64,
        /// The highest number
        slots: u32,
    },
    /// Another entry of the config has the number.
    NumberTaken {
        /// The number
        number: u32,
    },
    /// Every slot is taken.
    NoNumber {
        /// How many there are
        entries: u32,
    },
    /// It does not fit.
    NoRoom {
        /// The number that it would have
        number: u32,
        /// What is in the way
        problem: NoRoom,
        /// For sizes in MiB
        geometry: Geometry,
    },
    /// A start or size that no disk has.
    Amount {
        /// As given
        mib: i64,
    },
    /// The disk has no room for a table.
    TooSmall(TooSmall),
    /// Not a GUID.
    Guid(NotAGuid),
    /// The type of slots that are not used.
    UnusedType,
    /// More than a table can hold.
    Label,
    /// The table would not be sound: sgdisk does not write it, either.
    Flaw(Flaw),
}

impl Reason {
    /// What to do about it.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::NotGpt { .. } => "set wipeTable to true if all of it may be lost, or name another disk",
            Self::WipeInUse { .. } => {
                "drop wipeTable and list the partitions to change, or name another disk"
            }
            Self::InUse { .. } => "leave it as it is, or change it from another system",
            Self::ShouldNotExist { .. } => "set wipePartitionEntry to true if it may be deleted",
            Self::Mismatch { .. } => {
                "change the config to what is there, set wipePartitionEntry to true if the partition may be replaced, or resize \
                 if only its size differs"
            }
            Self::NumberTooLarge { .. } => "take a lower number, or 0 for the next free one",
            Self::NumberTaken { .. } => "take another one, or 0 for the next free one",
            Self::NoNumber { .. } => "delete a partition, or wipe the table",
            Self::NoRoom { problem, .. } => match problem {
                NoRoom::Full => "delete a partition, or take a larger disk",
                NoRoom::StartTaken { .. } => {
                    "move it, or leave startMiB out to have it placed in the largest free block"
                }
                NoRoom::Short { .. } => "make it smaller, or move or delete what is in the way",
            },
            Self::Amount { .. } => "give it in MiB, from 0",
            Self::TooSmall(_) => "take a larger disk",
            Self::Guid(_) => "correct it, or leave it out for a random one",
            Self::UnusedType => "leave it out for a Linux filesystem",
            Self::Label => "make it shorter: 36 characters, and none of them zero",
            Self::Flaw(_) => {
                "repair the table with another tool, or set wipeTable to true if all of it may be lost"
            }
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotGpt { what } => write!(f, "there is {what} on the disk"),
            Self::WipeInUse { users } => {
                f.write_str("the table cannot be wiped while")?;
                for (position, (number, by)) in users.iter().enumerate() {
                    let comma = if position == 0 { "" } else { "," };
                    write!(f, "{comma} partition {number} is {by}")?;
                }
                Ok(())
            }
            Self::InUse {
                number,
                by,
                differences,
            } => {
                write!(f, "partition {number} would be changed, but is {by}")?;
                list(f, differences)
            }
            Self::ShouldNotExist { number } => write!(f, "partition {number} is there, but should not exist"),
            Self::Mismatch { number, differences } => {
                write!(f, "partition {number} is there, but is another one")?;
                list(f, differences)
            }
            Self::NumberTooLarge { number, slots } => {
                write!(
                    f,
                    "there is no partition number {number}: this table has 1 to {slots}"
                )
            }
            Self::NumberTaken { number } => write!(f, "there is a partition {number} already"),
            Self::NoNumber { entries } => write!(f, "all {entries} partition numbers are taken"),
            Self::NoRoom {
                number,
                problem,
                geometry,
            } => no_room(f, *number, problem, *geometry),
            Self::Amount { mib } => write!(f, "no disk has {mib} MiB"),
            Self::TooSmall(problem) => problem.fmt(f),
            Self::Guid(problem) => problem.fmt(f),
            Self::UnusedType => f.write_str("a type of zeros marks a number as not used"),
            Self::Label => f.write_str("a partition table cannot hold this label"),
            Self::Flaw(flaw) => flaw.fmt(f),
        }
    }
}

fn list(f: &mut fmt::Formatter<'_>, differences: &[Difference]) -> fmt::Result {
    for (position, Difference { key, wanted, there }) in differences.iter().enumerate() {
        let before = if position == 0 { ": " } else { ", " };
        write!(f, "{before}{key} is {there}, not {wanted}")?;
    }
    Ok(())
}

fn no_room(f: &mut fmt::Formatter<'_>, number: u32, problem: &NoRoom, geometry: Geometry) -> fmt::Result {
    let mib = |sectors| amount(sectors, geometry.sectors_per_mib(), geometry.sector_size);
    let what = |by: InTheWay| match by {
        InTheWay::Partition(number) => format!("partition {number}"),
        InTheWay::Start => "the partition table at the start of the disk".to_owned(),
        InTheWay::End => "the end of the disk".to_owned(),
    };
    match *problem {
        NoRoom::Full => write!(f, "no room for partition {number}: all of the disk is taken"),
        NoRoom::StartTaken { sector, by } => write!(
            f,
            "partition {number} cannot begin at {} (sector {sector}): there is {}",
            mib(sector),
            what(by)
        ),
        NoRoom::Short {
            wanted,
            free_until,
            by,
        } => {
            let free = if free_until < wanted.first {
                0
            } else {
                free_until - wanted.first + 1
            };
            if wanted.last < wanted.first {
                return write!(
                    f,
                    "partition {number} has nothing left after its start was aligned"
                );
            }
            write!(
                f,
                "partition {number} needs {} from sector {}, where {} are free; then comes {}",
                mib(wanted.size()),
                wanted.first,
                mib(free),
                what(by)
            )
        }
    }
}

/// Why a disk is left as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The place in the config, relative to the disk: `partitions[3].sizeMiB`
    pub pointer: Pointer,
    /// What is wrong there
    pub reason: Reason,
    /// The table, with what is in the way: lines, or nothing
    pub table: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.reason, self.reason.advice())?;
        if !self.table.is_empty() {
            write!(f, "\n{}", self.table.trim_end())?;
        }
        Ok(())
    }
}

impl std::error::Error for Refusal {}

/// The lines of an MBR.
pub(super) fn render_mbr(partitions: &[MbrPartition], geometry: Geometry) -> String {
    let mut text = String::from("number  type  first sector  size\n");
    for partition in partitions {
        let size = amount(partition.size, geometry.sectors_per_mib(), geometry.sector_size);
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{:>6}  0x{:02x}  {:>12}  {size}",
            partition.number, partition.kind, partition.start
        );
    }
    text
}
