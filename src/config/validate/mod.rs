//! The rules that a config must keep (spec/config.md 5 and 6).
//!
//! Upstream walks the typed config: the rules of a node come before those of its children, children come in the order
//! of their Go names, lists in list order. Each module here holds the rules of one section, in that order. Entries
//! carry no positions; [`super::parse`] looks them up.

mod disks;
mod duplicates;
mod filesystems;
mod ignition;
mod luks;
mod nodes;
mod raid;
mod resource;
mod systemd;
#[cfg(test)]
mod tests;

pub use duplicates::duplicates;

use std::error::Error;

use super::grammar::path;
use super::types::{Config, Storage};
use super::version::Version;
use crate::report::{Pointer, Report, Severity, chain};

/// Everything that the rules of a spec version have to say about a config, except for duplicates.
///
/// Plain fields of old versions that became optional later (`raid.level`, `link.target`, ...) may be absent or empty:
/// both mean the same there.
pub fn validators(config: &Config, version: Version) -> Report {
    let mut report = Report::default();
    let root = Pointer::root();
    systemd::check_path_conflicts(config, &mut report);
    ignition::check(&config.ignition, &root.key("ignition"), version, &mut report);
    check_storage(&config.storage, &root.key("storage"), version, &mut report);
    systemd::check(&config.systemd, &root.key("systemd"), &mut report);
    report
}

/// The last check before anything is done: the merged config against the newest rules (fetch.md 2.9). Duplicates are
/// only looked for in single documents.
pub fn final_validation(config: &Config) -> Report {
    validators(config, Version::NEWEST)
}

fn check_storage(storage: &Storage, at: &Pointer, version: Version, report: &mut Report) {
    nodes::check_ancestors(storage, at, report);
    nodes::check_links(storage, at, version, report);
    filesystems::check_against_disks(storage, at, report);

    let section = at.key("directories");
    for (index, directory) in storage.directories.iter().enumerate() {
        nodes::check_directory(directory, &section.index(index), version, report);
    }
    let section = at.key("disks");
    for (index, disk) in storage.disks.iter().enumerate() {
        disks::check(disk, &section.index(index), report);
    }
    let section = at.key("files");
    for (index, file) in storage.files.iter().enumerate() {
        nodes::check_file(file, &section.index(index), version, report);
    }
    let section = at.key("filesystems");
    for (index, filesystem) in storage.filesystems.iter().enumerate() {
        filesystems::check(filesystem, &section.index(index), version, report);
    }
    let section = at.key("links");
    for (index, link) in storage.links.iter().enumerate() {
        nodes::check_link(link, &section.index(index), report);
    }
    let section = at.key("luks");
    for (index, luks) in storage.luks.iter().enumerate() {
        luks::check(luks, &section.index(index), version, report);
    }
    let section = at.key("raid");
    for (index, raid) in storage.raid.iter().enumerate() {
        raid::check(raid, &section.index(index), report);
    }
}

fn error(report: &mut Report, at: Pointer, message: impl Into<String>) {
    report.add(Severity::Error, at, message);
}

fn warning(report: &mut Report, at: Pointer, message: impl Into<String>) {
    report.add(Severity::Warning, at, message);
}

/// An error entry for a failed rule. Its place is made for a failure only: of a config's rules nearly all hold.
fn require<E: Error>(report: &mut Report, at: impl FnOnce() -> Pointer, result: Result<(), E>) {
    if let Err(problem) = result {
        error(report, at(), chain(&problem));
    }
}

/// The path rule for a field that must be there.
fn check_path(text: &str, at: impl FnOnce() -> Pointer, report: &mut Report) {
    require(report, at, path::check(text));
}

/// What is there and not empty.
fn given(text: Option<&String>) -> Option<&str> {
    text.map(String::as_str).filter(|text| !text.is_empty())
}
