//! Systemd units, drop-ins and masks (spec/mount_files.md 7).

use crate::config::types::{Hidden, Unit};
use crate::plan::{Action, Change, Plan};
use crate::report::Pointer;
use crate::stages::{Phase, PlanError};
use crate::view::{NodeKind, Owner, RootPath, View};

use super::place::root_access;
use super::planner::Planner;
use super::{Input, refuse};

/// Where units go.
const UNITS: &str = "/etc/systemd/system";

/// What a masked unit is a link to.
const MASK: &str = "/dev/null";

/// Plans the units phase.
///
/// # Errors
///
/// Names that would leave the directory; a directory where a file must be.
pub fn plan(input: &Input<'_>, view: &dyn View) -> Result<Plan, PlanError> {
    let mut planner = Planner::new(view, input);
    for (index, unit) in input.config.systemd.units.iter().enumerate() {
        let planned = plan_unit(&mut planner, unit, &unit_pointer(index));
        planner.entry(planned)?;
    }
    planner.finish(Phase::Units)
}

/// `systemd.units[index]`
pub(super) fn unit_pointer(index: usize) -> Pointer {
    Pointer::root().key("systemd").key("units").index(index)
}

fn plan_unit(planner: &mut Planner<'_>, unit: &Unit, at: &Pointer) -> Result<(), PlanError> {
    check_name(&unit.name, &at.key("name"))?;
    let units = RootPath::from(UNITS);
    let path = units.join(&unit.name);
    for (index, dropin) in unit.dropins.iter().enumerate() {
        let at = at.key("dropins").index(index);
        check_name(&dropin.name, &at.key("name"))?;
        if let Some(contents) = &dropin.contents {
            let path = units.join(format!("{}.d", unit.name)).join(&dropin.name);
            write(planner, &path, contents, &at)?;
        }
    }
    match (&unit.contents, unit.mask) {
        // The mask takes the place of the contents: they would be gone with the next step.
        (_, Some(true)) => return mask(planner, &path, &at.key("mask")),
        (Some(contents), _) if !contents.reveal().is_empty() => write(planner, &path, contents, at)?,
        _ => {}
    }
    if unit.mask == Some(false) {
        unmask(planner, &path, &at.key("mask"))
    } else {
        Ok(())
    }
}

fn write(
    planner: &mut Planner<'_>,
    path: &RootPath,
    contents: &Hidden,
    at: &Pointer,
) -> Result<(), PlanError> {
    planner.put_file(
        path,
        contents.reveal().as_bytes(),
        root_access(0o644),
        &at.key("contents"),
    )
}

fn mask(planner: &mut Planner<'_>, path: &RootPath, at: &Pointer) -> Result<(), PlanError> {
    let path = planner.resolve(path, at)?;
    let node = planner.node(&path, at)?;
    let change = match &node {
        Some(node) if is_mask(&node.kind) => Change::Keep {
            reason: "it is masked already".to_owned(),
        },
        Some(node) => {
            planner.remove(&path, node, at)?;
            Change::Create
        }
        None => Change::Create,
    };
    planner.make_parents(&path, at)?;
    let action = Action::MakeSymlink {
        path,
        target: MASK.into(),
        user: Owner::ROOT,
        group: Owner::ROOT,
    };
    planner.push(action, change, at)
}

fn unmask(planner: &mut Planner<'_>, path: &RootPath, at: &Pointer) -> Result<(), PlanError> {
    let path = planner.resolve(path, at)?;
    match planner.node(&path, at)? {
        Some(node) if is_mask(&node.kind) => planner.remove(&path, &node, at),
        _ => Ok(()),
    }
}

fn is_mask(kind: &NodeKind) -> bool {
    matches!(kind, NodeKind::Symlink { target } if target == MASK)
}

/// A name must stay one component below its directory, and one word on one line of a preset file.
pub(super) fn check_name(name: &str, at: &Pointer) -> Result<(), PlanError> {
    let what = if name.is_empty() {
        "the name is empty".to_owned()
    } else if matches!(name, "." | "..") || name.contains('/') {
        format!("the name {name:?} leads to another directory")
    } else if let Some(bad) = name.chars().find(|c| c.is_control()) {
        format!("the name {name:?} contains {bad:?}")
    } else {
        return Ok(());
    };
    Err(refuse(
        at.clone(),
        what,
        "give the name of the unit or drop-in alone, such as docker.service",
    ))
}

#[cfg(test)]
mod tests;
