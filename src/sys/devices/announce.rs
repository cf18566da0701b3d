//! Telling udev and systemd about changed devices (spec/disks.md 1.3).
//!
//! Upstream has udev deal with each changed device and with its partitions once more, whatever udev does by itself, and leaves a
//! race: udev is done, its messages are under way, and PID 1 still has the device units as they were, so that a mount by
//! label fails. Here udev is asked only about what it would not hear of otherwise: that the kernel has a new partition it is
//! told by the kernel, and its record of it shows when it has dealt with that. At the end of the stage PID 1 is asked for the
//! units of all devices that were changed, and of their links.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;
use std::time::Duration;

use super::AnnounceError;
use super::changed::{Changed, Record};
use super::uevent::{self, Ear, Heard};
use super::unit::device_unit;
use super::wait::{Lack, wait};
use crate::report::chain;
use crate::sys::runner::Runner;
use crate::sys::{Clock, pid1};

/// How long links are waited for that udev should have made.
const LINKS: Duration = Duration::from_secs(10);

/// How long PID 1 is waited for.
const UNITS: Duration = Duration::from_secs(10);

/// How long udev may say nothing at all before it is asked again; twice as long each time. An event can be lost: somebody has had
/// the kernel read the table again, and the partition was gone for a moment.
const QUIET: Duration = Duration::from_secs(5);

/// How many times a device may be gone when it is asked about, and the wait between.
const TRIES: u32 = 8;
const AGAIN: Duration = Duration::from_millis(250);

/// How often is looked whether a wait must end.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How often the log says what is waited for.
const SAY: Duration = Duration::from_secs(10);

/// The longest name of a unit. Longer ones systemd makes up itself.
const LONGEST: usize = 255;

/// What announcing works with.
pub(super) struct Announcer<'a> {
    pub(super) runner: &'a dyn Runner,
    pub(super) clock: &'a dyn Clock,
    /// `/run`
    pub(super) run: &'a Path,
    /// `/sys`
    pub(super) sysfs: &'a Path,
    /// How long udev is waited for
    pub(super) limit: Duration,
    /// The number of a block device at a path
    pub(super) number: &'a dyn Fn(&str) -> Option<u64>,
}

/// Whether udev runs.
pub(in crate::sys) fn has_udev(run: &Path) -> bool {
    fs::symlink_metadata(run.join("udev/control")).is_ok()
}

/// The number of the block device that a path leads to.
pub(super) fn block_number(path: &str) -> Option<u64> {
    let meta = fs::metadata(path).ok()?;
    meta.file_type().is_block_device().then(|| meta.rdev())
}

impl Announcer<'_> {
    /// Returns when udev has dealt with all of them as they are now, and their links are there.
    pub(super) fn announce(&self, changed: &[Changed]) -> Result<(), AnnounceError> {
        if changed.is_empty() || !has_udev(self.run) {
            return Ok(());
        }
        let mut ear = uevent::listen().map_err(|error| AnnounceError {
            problem: format!("cannot listen to udev: {error}"),
        })?;
        self.tell(changed, &mut ear)?;
        self.await_links(changed);
        Ok(())
    }

    fn tell(&self, changed: &[Changed], ear: &mut dyn Ear) -> Result<(), AnnounceError> {
        // Events that were asked for, by their names; a device may have several.
        let mut asked: BTreeMap<String, &str> = BTreeMap::new();
        // Partitions whose events the kernel has made.
        let mut expected: Vec<&Changed> = Vec::new();
        for device in changed {
            if self.is_known(device) {
                continue;
            }
            if device.is_new && device.entry.is_some() {
                expected.push(device);
            } else {
                asked.insert(self.ask(&device.node)?, &device.node);
            }
        }
        let begun = self.clock.monotonic();
        let (mut heard, mut said, mut quiet) = (begun, begun, QUIET);
        loop {
            // The last alone: each is looked at when those after it are known, and not all for each event.
            while expected.last().is_some_and(|device| self.is_known(device)) {
                expected.pop();
            }
            if asked.is_empty() && expected.is_empty() {
                return Ok(());
            }
            let now = self.clock.monotonic();
            let left: BTreeSet<&str> = asked
                .values()
                .copied()
                .chain(expected.iter().map(|device| device.node.as_str()))
                .collect();
            let waited = now.saturating_sub(begun);
            if waited >= self.limit || self.clock.is_stop_asked() {
                return Err(AnnounceError {
                    problem: format!(
                        "udev has not dealt with {} within {} s; see its log, or raise ignition.devices.timeout",
                        list(&left),
                        waited.as_secs()
                    ),
                });
            }
            if now.saturating_sub(said) >= SAY {
                said = now;
                crate::log::notice(&format_args!(
                    "waiting for udev to deal with {} ({} s of {} s)",
                    list(&left),
                    waited.as_secs(),
                    self.limit.as_secs()
                ));
            }
            let lost = match ear.next(LOOK_EVERY) {
                Ok(Heard::Named(name)) => {
                    heard = self.clock.monotonic();
                    if let Some(node) = asked.remove(&name) {
                        asked.retain(|_, other| *other != node);
                    }
                    false
                }
                Ok(Heard::Other) => {
                    heard = self.clock.monotonic();
                    false
                }
                Ok(Heard::Nothing) => self.clock.monotonic().saturating_sub(heard) >= quiet,
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => false,
                Err(error) => {
                    return Err(AnnounceError {
                        problem: format!("cannot hear udev: {error}"),
                    });
                }
            };
            if lost {
                expected.clear();
                for node in left {
                    asked.insert(self.ask(node)?, node);
                }
                heard = self.clock.monotonic();
                quiet = quiet.saturating_mul(2);
            }
        }
    }

    /// Whether udev knows a partition as it is by now.
    fn is_known(&self, device: &Changed) -> bool {
        let (Some(entry), Some(number)) = (&device.entry, (self.number)(&device.node)) else {
            return false;
        };
        Record::read(self.run, number).is_some_and(|record| record.is_of(entry))
    }

    /// Asks for an event; returns its name.
    fn ask(&self, node: &str) -> Result<String, AnnounceError> {
        let mut tries = 1;
        loop {
            let asked = uevent::new_name().and_then(|name| {
                let number = (self.number)(node).ok_or(io::ErrorKind::NotFound)?;
                uevent::ask(self.sysfs, number, &name).map(|()| name)
            });
            match asked {
                Ok(name) => return Ok(name),
                // When somebody has closed a disk, udev has its table read again, and its partitions are gone for a moment.
                Err(_) if tries < TRIES => {
                    tries += 1;
                    self.clock.sleep(AGAIN);
                }
                Err(error) => {
                    return Err(AnnounceError {
                        problem: format!("cannot have the kernel tell udev of {node}: {error}"),
                    });
                }
            }
        }
    }

    fn record(&self, node: &str) -> Option<Record> {
        Record::read(self.run, (self.number)(node)?)
    }

    fn leads(&self, link: &str, node: &str) -> bool {
        (self.number)(node).is_some_and(|number| (self.number)(link) == Some(number))
    }

    /// The links that udev's records ask for. udev makes them before it writes the record, but gives one that several devices ask for
    /// to one of them.
    fn await_links(&self, changed: &[Changed]) {
        let links: Vec<(String, &str)> = changed
            .iter()
            .filter_map(|device| Some((device.node.as_str(), self.record(&device.node)?)))
            .flat_map(|(node, record)| record.links().map(|link| (link, node)).collect::<Vec<_>>())
            .collect();
        let mut look = || {
            let lacking = links
                .iter()
                .filter(|(link, node)| !self.leads(link, node) && (self.number)(link).is_none());
            lacking
                .map(|(link, _)| Lack {
                    path: link.clone(),
                    there: false,
                })
                .collect()
        };
        // What is missing is told below. Nobody may need it: no reason to fail.
        let _ = wait(self.clock, LINKS, &mut look);
        let wanted = changed
            .iter()
            .flat_map(|device| device.links.iter().map(|link| (link, device.node.as_str())));
        for (link, node) in wanted.filter(|(link, node)| !self.leads(link, node)) {
            if let Ok(other) = fs::canonicalize(link) {
                tracing::warn!(
                    "{link} leads to {} and not to {node}: labels and UUIDs should be unique",
                    other.display()
                );
            } else {
                tracing::warn!("udev has made no link {link} to {node}");
            }
        }
    }

    /// Waits until PID 1 has the units of these devices and of their links.
    pub(super) fn await_units(&self, nodes: &BTreeSet<String>) {
        if !has_udev(self.run) || fs::symlink_metadata(pid1::socket(self.run)).is_err() {
            return;
        }
        let mut units = BTreeSet::new();
        for node in nodes {
            let Some(record) = self.record(node).filter(Record::is_for_systemd) else {
                continue;
            };
            units.insert(device_unit(node));
            units.extend(
                record
                    .links()
                    .filter(|link| self.leads(link, node))
                    .map(|link| device_unit(&link))
                    .filter(|unit| unit.len() <= LONGEST),
            );
        }
        if units.is_empty() {
            return;
        }
        let mut failed = None;
        let mut look = || {
            let active: BTreeSet<String> = match pid1::units(self.run, self.runner, &units) {
                Ok(found) => found
                    .into_iter()
                    .filter_map(|unit| unit.is_active.then_some(unit.name))
                    .collect(),
                Err(error) => {
                    failed = Some(error);
                    return Vec::new();
                }
            };
            let lacking = units.difference(&active);
            lacking
                .map(|unit| Lack {
                    path: unit.clone(),
                    there: false,
                })
                .collect()
        };
        let waited = wait(self.clock, UNITS, &mut look);
        if let Some(error) = failed {
            tracing::warn!(
                "cannot ask systemd whether it sees the changed devices: {}",
                chain(&error)
            );
        } else if let Err(ended) = waited {
            tracing::warn!("systemd does not see these devices: {}", ended.missing.join(", "));
        }
    }
}

fn list(nodes: &BTreeSet<&str>) -> String {
    nodes.iter().copied().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
#[path = "announce_tests.rs"]
mod tests;
