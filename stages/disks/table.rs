//! What the tests of this stage's planners share: plans as lines of text.

use std::fmt::Write as _;

use crate::plan::check::check;
use crate::plan::{Action, Change, Plan};
use crate::stages::PlanError;
use crate::view::View;

/// One line for each step, and one for each of its commands. The plan must be sound.
pub(super) fn lines(plan: &Plan, view: &dyn View) -> String {
    check(plan, view).unwrap();
    let mut text = String::new();
    for step in &plan.steps {
        let change = match &step.change {
            Change::Create => "create".to_owned(),
            Change::Keep { reason } => format!("keep ({reason})"),
            Change::Modify { what } => format!("modify ({what})"),
            Change::Replace { lost } => format!("replace ({}, trivial: {})", lost.what, lost.trivial),
            Change::Delete { lost } => format!("delete ({}, trivial: {})", lost.what, lost.trivial),
            Change::Unknown { why } => format!("unknown ({why})"),
        };
        let Action::Device(action) = &step.action else {
            panic!("{step:?}");
        };
        writeln!(
            text,
            "{change}: {}: {} @ {}",
            action.subject(),
            action.details(),
            step.cause
        )
        .unwrap();
        for command in action.commands() {
            writeln!(text, "    {command}").unwrap();
        }
    }
    text
}

/// `place: what; advice`
pub(super) fn refusal(result: Result<Plan, PlanError>) -> String {
    let error = result.expect_err("a refusal");
    format!("{}: {}", error.pointer, error.problem)
}
