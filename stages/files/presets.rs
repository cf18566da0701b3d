//! The preset file that enables and disables units (spec/mount_files.md 7).

use std::collections::{BTreeMap, BTreeSet};

use crate::config::types::Unit;
use crate::plan::{Action, Change, Plan};
use crate::report::Pointer;
use crate::stages::{Phase, PlanError};
use crate::view::{Enabled, RootPath, View};

use super::Input;
use super::place::At as _;
use super::planner::Planner;
use super::units::{check_name, unit_pointer};

/// Where the lines go.
const PRESETS: &str = "/etc/systemd/system-preset/20-ignition.preset";

/// One line to be.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    /// A unit, or a template and its instances
    text: String,
    enabled: bool,
    /// The first unit of the config that asks for it
    cause: Pointer,
    /// Whether it is a template with instances
    instances: bool,
}

impl Entry {
    /// The unit or template that it is about.
    fn subject(&self) -> &str {
        self.text.split(' ').next().unwrap_or_default()
    }

    /// The line.
    fn line(&self) -> String {
        format!(
            "{} {}",
            if self.enabled { "enable" } else { "disable" },
            self.text
        )
    }
}

/// Plans the presets phase.
///
/// # Errors
///
/// Names that are no unit's, and whatever stands in the way of the preset file.
pub fn plan(input: &Input<'_>, view: &dyn View) -> Result<Plan, PlanError> {
    let mut planner = Planner::new(view, input);
    let entries = entries(&input.config.systemd.units)?;
    drop_contradictions(&mut planner, &entries)?;
    for entry in entries {
        let planned = if entry.enabled {
            add_line(&mut planner, &entry, None)
        } else {
            disable(&mut planner, &entry)
        };
        planner.entry(planned)?;
    }
    planner.finish(Phase::Presets)
}

/// Takes out what an earlier run said otherwise about the units of this config: systemd goes by the first line that
/// matches.
fn drop_contradictions(planner: &mut Planner<'_>, entries: &[Entry]) -> Result<(), PlanError> {
    let Some(cause) = entries.first().map(|entry| entry.cause.clone()) else {
        return Ok(());
    };
    let wanted: Vec<String> = entries.iter().map(Entry::line).collect();
    let subjects: BTreeSet<&str> = entries.iter().map(Entry::subject).collect();
    let is_stale = |line: &str| {
        let rest = line
            .strip_prefix("enable ")
            .or_else(|| line.strip_prefix("disable "));
        let subject = rest.and_then(|rest| rest.split(' ').next());
        subject.is_some_and(|subject| subjects.contains(subject))
            && !wanted.iter().any(|wanted| wanted == line)
    };
    let planned = planner.drop_lines(&RootPath::from(PRESETS), is_stale, &cause);
    planner.entry(planned)
}

/// Instances of one template and state share an entry, in config order; entries are in the order of their keys.
fn entries(units: &[Unit]) -> Result<Vec<Entry>, PlanError> {
    let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
    for (index, unit) in units.iter().enumerate() {
        let Some(enabled) = unit.enabled else { continue };
        let at = unit_pointer(index);
        check_name(&unit.name, &at.key("name"))?;
        let state = if enabled { "enabled" } else { "disabled" };
        let parts = instance(&unit.name);
        let name = parts.as_ref().map_or(&unit.name, |(template, _)| template);
        let entry = entries.entry(format!("{name}-{state}")).or_insert_with(|| Entry {
            text: name.clone(),
            enabled,
            cause: at.key("enabled"),
            instances: parts.is_some(),
        });
        if let Some((_, instance)) = &parts {
            // `x@.service` itself has an empty instance, which leaves its blank on the line, as upstream writes it.
            entry.text.push(' ');
            entry.text.push_str(instance);
        }
    }
    Ok(entries.into_values().collect())
}

/// `x@y.service` -> `x@.service` and `y`; `None` if there is no `@`.
fn instance(name: &str) -> Option<(String, String)> {
    let (before, after) = name.split_once('@')?;
    let (instance, extension) = after.rsplit_once('.').unwrap_or((after, ""));
    let dot = if after.contains('.') { "." } else { "" };
    Some((format!("{before}@{dot}{extension}"), instance.to_owned()))
}

fn disable(planner: &mut Planner<'_>, entry: &Entry) -> Result<(), PlanError> {
    let action = Action::DisableUnit {
        entry: entry.text.clone(),
    };
    // Upstream hands a whole list to systemctl as if it were one name, and a name like `-.mount` as if it were an option:
    // to neither does systemctl ever say "enabled".
    if entry.instances || entry.text.starts_with('-') {
        let reason = "systemctl cannot be asked about this name, so upstream never disables it".to_owned();
        return planner.push(action, Change::Keep { reason }, &entry.cause);
    }
    let enabled = planner.view().unit_enabled(&entry.text).at(&entry.cause)?;
    // The line comes first: were the unit disabled first and the run killed then, no later run would write the line.
    match enabled {
        Enabled::No => {
            let reason = "it is not enabled".to_owned();
            planner.push(action, Change::Keep { reason }, &entry.cause)
        }
        Enabled::Yes => {
            add_line(planner, entry, None)?;
            let what = "its links go".to_owned();
            planner.push(action, Change::Modify { what }, &entry.cause)
        }
        Enabled::Unknown => {
            let unknown = Change::Unknown {
                why: "if enabled".to_owned(),
            };
            add_line(planner, entry, Some(unknown.clone()))?;
            planner.push(action, unknown, &entry.cause)
        }
    }
}

/// Adds a line to the preset file unless it is there. `unknown` replaces what the step would mean.
fn add_line(planner: &mut Planner<'_>, entry: &Entry, unknown: Option<Change>) -> Result<(), PlanError> {
    let line = entry.line();
    let opposite = format!(
        "{} {}",
        if entry.enabled { "disable" } else { "enable" },
        entry.text
    );
    let path = RootPath::from(PRESETS);
    let found = planner.follow(&path, &entry.cause)?;
    let text = planner
        .view()
        .read(&found, 1 << 20)
        .at(&entry.cause)?
        .unwrap_or_default();
    // systemd goes by the first line that matches.
    let contradicted = text
        .split(|byte| *byte == b'\n')
        .any(|found| found == opposite.as_bytes());
    let change = |exists: bool| {
        unknown.unwrap_or_else(|| match (exists, contradicted) {
            (false, _) => Change::Create,
            (true, false) => Change::Modify {
                what: format!("adds the line `{line}`"),
            },
            (true, true) => Change::Modify {
                what: format!("adds the line `{line}`, but an earlier line `{opposite}` wins"),
            },
        })
    };
    planner.append_line(&path, line.as_bytes(), 0o644, change, &entry.cause)?;
    Ok(())
}

#[cfg(test)]
mod tests;
