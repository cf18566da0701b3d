//! A plan in numbers, and the exit code that they mean.

use std::fmt;

use serde::Serialize;

use super::super::{Change, Plan};
use super::kind::Kind;

/// How many steps of some plans mean what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Steps that make something new
    pub create: usize,
    /// Steps that leave something as it is
    pub keep: usize,
    /// Steps that change a part of something
    pub modify: usize,
    /// Steps that put something in the place of something else
    pub replace: usize,
    /// Steps that take something away
    pub delete: usize,
    /// Steps that depend on what is not known
    pub unknown: usize,
    /// Steps, among those counted above and below, after which something is gone that was not blank
    pub destroy: usize,
    /// Steps that write the program's own files (cache, flag, result file). Every run writes them, so they are not
    /// counted above and are no reason for exit code 2.
    pub records: usize,
}

impl Summary {
    /// Counts the steps of some plans.
    pub fn of(plans: &[Plan]) -> Self {
        let mut summary = Self::default();
        for (phase, step) in plans
            .iter()
            .flat_map(|plan| plan.steps.iter().map(|step| (plan.phase, step)))
        {
            summary.destroy += usize::from(step.change.destroys());
            let is_record = Kind::of(phase, &step.action) == Some(Kind::Records);
            let count = match step.change {
                Change::Keep { .. } => &mut summary.keep,
                Change::Create
                | Change::Modify { .. }
                | Change::Replace { .. }
                | Change::Delete { .. }
                | Change::Unknown { .. }
                    if is_record =>
                {
                    &mut summary.records
                }
                Change::Create => &mut summary.create,
                Change::Modify { .. } => &mut summary.modify,
                Change::Replace { .. } => &mut summary.replace,
                Change::Delete { .. } => &mut summary.delete,
                Change::Unknown { .. } => &mut summary.unknown,
            };
            *count += 1;
        }
        summary
    }

    /// Whether the machine is, or may be, another one afterwards.
    pub fn changes(&self) -> bool {
        self.create + self.modify + self.replace + self.delete + self.unknown > 0 || self.destroys()
    }

    /// Whether something is gone afterwards that was not blank.
    pub fn destroys(&self) -> bool {
        self.destroy > 0
    }

    /// Exit code of the verb `plan` (design.md 4): 0 nothing to do, 2 changes, 3 something is destroyed.
    pub fn exit_code(&self) -> u8 {
        if self.destroys() {
            3
        } else if self.changes() {
            2
        } else {
            0
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "plan: {} to create, {} kept, {} modified, {} replaced, {} deleted, {} unknown; {} destroyed",
            self.create, self.keep, self.modify, self.replace, self.delete, self.unknown, self.destroy
        )?;
        match self.records {
            0 => Ok(()),
            1 => f.write_str("; 1 file of the program's own"),
            count => write!(f, "; {count} files of the program's own"),
        }
    }
}
