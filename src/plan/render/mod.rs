//! Plans for people ([`text()`]), for programs ([`json()`], `docs/plan-format.md`), and in one line ([`Summary`]).

mod describe;
mod disks;
mod escape;
mod json;
mod kind;
mod summary;
mod text;

pub use describe::subject;
pub use disks::{DiskTable, disks};
pub use escape::{thousands, words};
pub use json::{Document, FORMAT, VERSION, json, visible_json};
pub use summary::Summary;
pub use text::{Style, text};

use super::{Change, Lost, Plan, Step};
use crate::report::Pointer;

/// Where in its file a place of the config stands, as `my.ign:12:7`; `None` if that is not known.
pub type Origin<'a> = &'a dyn Fn(&Pointer) -> Option<String>;

/// For plans whose config's places in its files are not known.
pub fn no_origin(_: &Pointer) -> Option<String> {
    None
}

/// What a change takes away, whether it holds something or not.
fn lost(change: &Change) -> Option<&Lost> {
    match change {
        Change::Replace { lost } | Change::Delete { lost } => Some(lost),
        Change::Create | Change::Keep { .. } | Change::Modify { .. } | Change::Unknown { .. } => None,
    }
}

/// Every step after which something is gone that was not blank.
fn destroyed(plans: &[Plan]) -> impl Iterator<Item = (&Plan, &Step, &Lost)> {
    plans
        .iter()
        .flat_map(|plan| plan.steps.iter().map(move |step| (plan, step)))
        .filter(|(_, step)| step.change.destroys())
        .filter_map(|(plan, step)| Some((plan, step, lost(&step.change)?)))
}

#[cfg(test)]
mod tests;
