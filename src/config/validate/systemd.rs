//! Rules of `systemd` (spec/config.md 5.10), and of nodes that would overwrite a unit (5.1).

use std::collections::{HashMap, HashSet};

use super::{error, require, warning};
use crate::config::grammar::path::extension;
use crate::config::grammar::unit;
use crate::config::types::{Config, Dropin, Hidden, Systemd, Unit};
use crate::report::{Pointer, Report};

const UNIT_DIR: &str = "/etc/systemd/system/";

/// A node must not be what a unit or drop-in of the same config is written to. Literal paths are compared.
pub(super) fn check_path_conflicts(config: &Config, report: &mut Report) {
    let mut taken = HashSet::new();
    for unit in &config.systemd.units {
        if contents(unit.contents.as_ref()).is_some() {
            taken.insert(format!("{UNIT_DIR}{}", unit.name));
        }
        for dropin in &unit.dropins {
            if contents(dropin.contents.as_ref()).is_some() {
                taken.insert(format!("{UNIT_DIR}{}.d/{}", unit.name, dropin.name));
            }
        }
    }
    let storage = &config.storage;
    let files = storage
        .files
        .iter()
        .map(|file| file.path.as_str())
        .enumerate()
        .map(|node| ("files", node));
    let directories = storage
        .directories
        .iter()
        .map(|directory| directory.path.as_str())
        .enumerate();
    let links = storage.links.iter().map(|link| link.path.as_str()).enumerate();
    let nodes = files
        .chain(directories.map(|node| ("directories", node)))
        .chain(links.map(|node| ("links", node)));
    for (list, (index, path)) in nodes {
        if taken.contains(path) {
            let at = Pointer::root().key("storage").key(list).index(index).key("path");
            error(
                report,
                at,
                "systemd.units writes to the same path; give the unit in one place only",
            );
        }
    }
}

pub(super) fn check(systemd: &Systemd, at: &Pointer, report: &mut Report) {
    let list = at.key("units");
    check_templates(systemd, &list, report);
    for (index, unit) in systemd.units.iter().enumerate() {
        check_unit(unit, &list.index(index), report);
    }
}

fn contents(text: Option<&Hidden>) -> Option<&str> {
    text.map(Hidden::reveal).filter(|text| !text.is_empty())
}

/// An enabled instance whose template is in the config too: the template must say what to install.
fn check_templates(systemd: &Systemd, list: &Pointer, report: &mut Report) {
    let units: HashMap<&str, &Unit> = systemd
        .units
        .iter()
        .map(|unit| (unit.name.as_str(), unit))
        .collect();
    // Many instances may have one template: it is read once.
    let mut silent: HashMap<String, bool> = HashMap::new();
    for (index, unit) in systemd.units.iter().enumerate() {
        if unit.enabled != Some(true) {
            continue;
        }
        let Some(template) = template_of(&unit.name) else {
            continue;
        };
        let Some(text) = units
            .get(template.as_str())
            .and_then(|unit| contents(unit.contents.as_ref()))
        else {
            continue;
        };
        let is_silent = silent
            .entry(template.clone())
            .or_insert_with(|| unit::lex(text).is_ok_and(|options| !unit::has_install(&options)));
        if *is_silent {
            let message =
                format!("the template {template:?} has no [Install] option, so enabling this has no effect");
            warning(report, list.index(index).key("contents"), message);
        }
    }
}

/// `a@.service` for `a@b.service`. Neither part may be empty or hold a line feed; the first one is as short as possible.
fn template_of(name: &str) -> Option<String> {
    let stem = name
        .strip_suffix(".service")
        .filter(|stem| !stem.contains('\n'))?;
    let (at, _) = stem.match_indices('@').find(|(at, _)| *at > 0)?;
    let (prefix, instance) = stem.split_at_checked(at)?;
    (instance.len() > 1).then(|| format!("{prefix}@.service"))
}

fn check_unit(unit: &Unit, at: &Pointer, report: &mut Report) {
    const EXTENSIONS: [&str; 12] = [
        ".service",
        ".socket",
        ".device",
        ".mount",
        ".automount",
        ".swap",
        ".target",
        ".path",
        ".timer",
        ".snapshot",
        ".slice",
        ".scope",
    ];
    if !EXTENSIONS.contains(&extension(&unit.name)) {
        let message = "the name of a unit must end in .service, .socket, .device, .mount, .automount, .swap, \
                       .target, .path, .timer, .snapshot, .slice or .scope";
        error(report, at.key("name"), message);
    }
    if let Some(text) = contents(unit.contents.as_ref()) {
        let options = unit::lex(text);
        let installs = options.as_ref().is_ok_and(|options| unit::has_install(options));
        require(report, || at.key("contents"), options.map(drop));
        if unit.enabled == Some(true) && !installs {
            let message = "the unit is enabled, but has no [Install] option, so enabling it has no effect";
            warning(report, at.key("contents"), message);
        }
    }
    let list = at.key("dropins");
    for (index, dropin) in unit.dropins.iter().enumerate() {
        check_dropin(dropin, &list.index(index), report);
    }
}

fn check_dropin(dropin: &Dropin, at: &Pointer, report: &mut Report) {
    if let Some(text) = contents(dropin.contents.as_ref()) {
        require(report, || at.key("contents"), unit::lex(text).map(drop));
    }
    if extension(&dropin.name) != ".conf" {
        error(report, at.key("name"), "the name of a drop-in must end in .conf");
    }
}
