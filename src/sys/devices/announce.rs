//! Telling udev and systemd about changed devices (spec/disks.md 1.3).
//!
//! Upstream's settling leaves a race: udev is done, its messages are under way, and PID 1 still has the device units as they
//! were, so that a mount by label fails. So after settling, the links that follow from what is on the device are waited
//! for, and then PID 1 is asked for their units: it answers when it has read udev's messages. The answer is checked,
//! because it may have been given between two of them.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;
use std::time::Duration;

use super::unit::device_unit;
use super::wait::{Lack, wait};
use super::{AnnounceError, blkid};
use crate::report::chain;
use crate::sys::runner::{Invocation, Output, RunError, Runner};
use crate::sys::tool::Tool;
use crate::sys::{Clock, clock::SystemClock};

/// How long links are waited for that udev should make. It is done by then; on a machine without its usual rules they
/// never come.
const LINKS: Duration = Duration::from_secs(10);

/// How many times PID 1 is asked for device units that it does not have yet.
const ASKS: u32 = 5;

/// How many times udev is told of devices, if some are just gone.
const TRIES: u32 = 8;

/// How long between two tries.
const AGAIN: Duration = Duration::from_millis(250);

/// How long between two such questions.
const BETWEEN: Duration = Duration::from_millis(100);

/// What announcing works with.
pub(super) struct Announcer<'a> {
    pub(super) runner: &'a dyn Runner,
    pub(super) clock: &'a SystemClock,
    /// `/run`
    pub(super) run: &'a Path,
}

/// Whether udev runs.
pub(super) fn has_udev(run: &Path) -> bool {
    fs::symlink_metadata(run.join("udev/control")).is_ok()
}

/// What udev has written down about a device; `None` if it has not dealt with it.
pub(super) fn udev_record(run: &Path, number: u64) -> Option<Vec<u8>> {
    let (major, minor) = (libc::major(number), libc::minor(number));
    fs::read(run.join(format!("udev/data/b{major}:{minor}"))).ok()
}

/// The number of the block device that a path leads to.
pub(super) fn block_number(path: &str) -> Option<u64> {
    let meta = fs::metadata(path).ok()?;
    meta.file_type().is_block_device().then(|| meta.rdev())
}

impl Announcer<'_> {
    pub(super) fn announce(&self, nodes: &[&str]) -> Result<(), AnnounceError> {
        if nodes.is_empty() || !has_udev(self.run) {
            return Ok(());
        }
        let failed = |error: &RunError| AnnounceError {
            problem: chain(error),
        };
        let args = || ["trigger", "--settle"].iter().chain(nodes).copied();
        let mut tries = 1;
        while let Err(error) = self.run(Tool::Udevadm, args()) {
            // When somebody has closed a disk, udev has its table read again, and its partitions are gone for a moment.
            if tries == TRIES {
                return Err(failed(&error));
            }
            tries += 1;
            self.clock.sleep(AGAIN);
        }
        let links = self.await_links(nodes);
        if fs::symlink_metadata(self.run.join("systemd/private")).is_ok() {
            self.start_units(nodes, &links);
        }
        Ok(())
    }

    fn run<'a>(&self, tool: Tool, args: impl Iterator<Item = &'a str>) -> Result<Output, RunError> {
        self.runner.run(&Invocation::new(tool, args))
    }

    /// Waits for the links that follow from what is on the devices, and returns those that are there, each with its node.
    fn await_links<'a>(&self, nodes: &[&'a str]) -> Vec<(String, &'a str)> {
        let mut links: Vec<(String, &str)> = Vec::new();
        for (node, found) in nodes.iter().zip(blkid::probe_all(self.runner, nodes)) {
            match found {
                Ok(found) => links.extend(found.links().into_iter().map(|link| (link, *node))),
                Err(error) => tracing::warn!("cannot tell which links lead to {node}: {}", chain(&error)),
            }
        }
        let leads = |(link, node): &(String, &str)| {
            block_number(node).is_some_and(|number| block_number(link) == Some(number))
        };
        // udev gives a link that several devices ask for to one of them; there is nothing to wait for then.
        let is_taken = |(link, node): &(String, &str)| {
            let record = block_number(node).and_then(|number| udev_record(self.run, number));
            block_number(link).is_some() && record.is_some_and(|record| asks_for(&record, link))
        };
        let mut look = || {
            let lacking = links.iter().filter(|link| !leads(link) && !is_taken(link));
            lacking
                .map(|(link, _)| Lack {
                    path: link.clone(),
                    there: false,
                })
                .collect()
        };
        // What is missing is told below. Nobody may need it: no reason to fail.
        let _ = wait(self.clock, LINKS, &mut look);
        for (link, node) in links.iter().filter(|link| !leads(link)) {
            if let Ok(other) = fs::canonicalize(link) {
                tracing::warn!(
                    "{link} leads to {} and not to {node}: labels and UUIDs should be unique",
                    other.display()
                );
            } else {
                tracing::warn!("udev has made no link {link} to {node}");
            }
        }
        links.retain(leads);
        links
    }

    /// Makes sure that PID 1 has the device units.
    fn start_units(&self, nodes: &[&str], links: &[(String, &str)]) {
        let ready: Vec<&str> = nodes
            .iter()
            .filter(|node| {
                let record = block_number(node).and_then(|number| udev_record(self.run, number));
                record.is_some_and(|record| is_for_systemd(&record))
            })
            .copied()
            .collect();
        let mut units: Vec<String> = ready.iter().map(|node| device_unit(node)).collect();
        units.extend(
            links
                .iter()
                .filter(|(_, node)| ready.contains(node))
                .map(|(link, _)| device_unit(link)),
        );
        self.await_units(units);
    }

    /// Waits until PID 1 has these units.
    fn await_units(&self, mut units: Vec<String>) {
        if units.is_empty() {
            return;
        }
        // One question about all devices: asked unit by unit, PID 1 takes longer than udev does for a whole disk.
        let list = Invocation::new(
            Tool::Systemctl,
            [
                "list-units",
                "--type=device",
                // Also those that are one device under several names.
                "--all",
                "--state=active",
                "--full",
                "--plain",
                "--no-legend",
                "--no-pager",
            ],
        );
        for ask in 0..ASKS {
            let listed = match self.runner.run(&list) {
                Ok(output) => output.stdout,
                Err(error) => {
                    tracing::warn!(
                        "cannot ask systemd whether it sees the changed devices: {}",
                        chain(&error)
                    );
                    return;
                }
            };
            let active = active_units(&listed);
            units.retain(|unit| !active.contains(unit.as_bytes()));
            if units.is_empty() {
                return;
            }
            if ask > 0 {
                self.clock.sleep(BETWEEN);
            }
            let words = ["start", "--no-ask-password", "--"]
                .map(str::to_owned)
                .into_iter();
            let start = Invocation::new(Tool::Systemctl, words.chain(units.iter().cloned()));
            if let Err(error) = self.runner.run(&start) {
                tracing::warn!("systemd does not see the changed devices: {}", chain(&error));
                return;
            }
        }
        tracing::warn!("systemd does not keep seeing these devices: {}", units.join(", "));
    }
}

/// Whether a device asks for a link, by udev's record of it: `S:disk/by-label/ROOT`.
fn asks_for(record: &[u8], link: &str) -> bool {
    let name = link.strip_prefix("/dev/").unwrap_or(link).as_bytes();
    record
        .split(|byte| *byte == b'\n')
        .any(|line| line.strip_prefix(b"S:") == Some(name))
}

/// Whether udev hands a device on to systemd, by its record. A start of the unit of one that it does not would wait in vain.
fn is_for_systemd(record: &[u8]) -> bool {
    let has = |wanted: &[u8]| record.split(|byte| *byte == b'\n').any(|line| line == wanted);
    has(b"G:systemd") && !has(b"E:SYSTEMD_READY=0")
}

/// The names in what `systemctl list-units --plain --no-legend` prints: the first word of each line.
fn active_units(output: &[u8]) -> HashSet<&[u8]> {
    output
        .split(|byte| *byte == b'\n')
        .filter_map(|line| line.split(|byte| *byte == b' ').find(|word| !word.is_empty()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::runner::FakeRunner;

    #[test]
    fn what_udev_hands_on() {
        for (record, expected) in [
            (
                "S:disk/by-label/x\nI:1\nE:ID_FS_TYPE=ext4\nG:systemd\nQ:systemd\nV:1\n",
                true,
            ),
            ("I:1\nE:SYSTEMD_READY=0\nG:systemd\n", false),
            ("I:1\nE:ID_FS_LABEL=G:systemd\n", false),
            ("", false),
        ] {
            assert_eq!(is_for_systemd(record.as_bytes()), expected, "{record}");
        }
    }

    #[test]
    fn what_a_device_asks_for() {
        let record = b"S:disk/by-label/ROOT\nS:disk/by-label/RO\\x20OT\nE:X=S:disk/by-label/x\n";
        assert!(asks_for(record, "/dev/disk/by-label/ROOT"));
        assert!(asks_for(record, "/dev/disk/by-label/RO\\x20OT"));
        assert!(!asks_for(record, "/dev/disk/by-label/x"));
        assert!(!asks_for(record, "/dev/disk/by-label/ROO"));
    }

    #[test]
    fn units_are_the_first_words() {
        let listed = b"  dev-vda.device loaded active plugged /dev/vda\ndev-disk-by\\x2dlabel-ROOT.device loaded active plugged ROOT x.device\n\n";
        let active = active_units(listed);
        let expected: [&[u8]; 2] = [b"dev-vda.device", b"dev-disk-by\\x2dlabel-ROOT.device"];
        assert_eq!(active, HashSet::from(expected));
        assert!(active_units(b"").is_empty());
    }

    #[test]
    fn systemd_is_asked_again_for_what_it_does_not_have() {
        let run = tempfile::tempdir().unwrap();
        let clock = SystemClock::new();
        let link = ("/dev/disk/by-label/x".to_owned(), "/dev/null");
        let late = FakeRunner::new()
            .succeed(b"dev-vda.device loaded active plugged /dev/vda\n")
            .succeed(b"")
            .succeed(b"dev-disk-by\\x2dlabel-x.device loaded active plugged x\n");
        let announcer = |runner| Announcer {
            runner,
            clock: &clock,
            run: run.path(),
        };
        announcer(&late).await_units(vec![device_unit(&link.0)]);
        let list =
            "systemctl list-units --type=device --all --state=active --full --plain --no-legend --no-pager";
        assert_eq!(
            late.commands(),
            [
                list,
                "systemctl start --no-ask-password -- 'dev-disk-by\\x2dlabel-x.device'",
                list
            ]
        );
        // It never comes: that is told, and ends.
        let never = (0..2 * ASKS).fold(FakeRunner::new(), |never, _| never.succeed(b""));
        announcer(&never).await_units(vec![device_unit(&link.0)]);
        assert_eq!(never.commands().len(), 2 * usize::try_from(ASKS).unwrap());
        announcer(&FakeRunner::new()).await_units(Vec::new());
    }

    #[test]
    fn without_udev_nothing_is_done() {
        let run = tempfile::tempdir().unwrap();
        let runner = FakeRunner::new();
        let clock = SystemClock::new();
        let announcer = Announcer {
            runner: &runner,
            clock: &clock,
            run: run.path(),
        };
        announcer.announce(&["/dev/null"]).unwrap();
        assert_eq!(runner.commands(), Vec::<String>::new());
        fs::create_dir(run.path().join("udev")).unwrap();
        fs::write(run.path().join("udev/control"), "").unwrap();
        announcer.announce(&[]).unwrap();
        assert_eq!(runner.commands(), Vec::<String>::new());
        announcer.announce(&["/dev/null"]).unwrap();
        assert_eq!(
            runner.commands(),
            [
                "udevadm trigger --settle /dev/null",
                "blkid -p -o export /dev/null"
            ]
        );
        let deaf = (0..TRIES).fold(FakeRunner::new(), |deaf, _| deaf.fail(1, "no answer"));
        let announcer = Announcer {
            runner: &deaf,
            ..announcer
        };
        let error = announcer.announce(&["/dev/null"]).unwrap_err();
        assert!(error.to_string().contains("no answer"), "{error}");
        // A partition that is gone for a moment is there again.
        let late = FakeRunner::new().fail(1, "Failed to open the device: No such device");
        let announcer = Announcer {
            runner: &late,
            ..announcer
        };
        announcer.announce(&["/dev/null"]).unwrap();
        assert_eq!(late.commands().len(), 3);
    }
}
