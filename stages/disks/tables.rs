//! Partition tables: what [`super::partitions`] decides about each disk, as steps (spec/disks.md 2).

use std::collections::BTreeMap;
use std::io;

use super::partitions::{Action as Decided, Partitioning, Refusal, Request, plan as decide};
use super::target::{Steps, at, in_use};
use crate::config::types::{Config, Disk};
use crate::gpt::{Found, Health, Scan, Table, writes};
use crate::plan::device::{DeviceAction, Row, WriteTable, rows};
use crate::plan::{Change, Lost, Plan};
use crate::report::Pointer;
use crate::stages::files::refuse;
use crate::stages::{Phase, PlanError};
use crate::view::{Device, Devices, Digest, View, size_text};

/// The place of a disk in the config.
fn place(index: usize) -> Pointer {
    Pointer::root().key("storage").key("disks").index(index)
}

/// The disks, each with its place in the config.
pub fn wanted(config: &Config) -> Vec<(String, Pointer)> {
    let disks = config.storage.disks.iter().enumerate();
    disks
        .map(|(index, disk)| (disk.device.clone(), place(index).key("device")))
        .collect()
}

/// Plans the phase. `digest` is that of the config; `random` fills a buffer with random bytes.
pub fn plan(
    config: &Config,
    digest: Digest,
    view: &dyn View,
    random: &dyn Fn(&mut [u8]) -> io::Result<()>,
) -> Result<Plan, PlanError> {
    let mut steps = Steps::new(view);
    let mut seen: BTreeMap<String, Pointer> = BTreeMap::new();
    for (index, disk) in config.storage.disks.iter().enumerate() {
        let cause = place(index);
        let named = cause.key("device");
        let Some(found) = steps.devices().device(&disk.device).map_err(at(&named))? else {
            // A real run has waited for it.
            let why = "the disk is not there".to_owned();
            steps.push(unknown(disk, &disk.device), Change::Unknown { why }, &cause)?;
            continue;
        };
        let scan = match steps.devices().scan(&found.node) {
            Err(error) if error.is_denied() => {
                let why = format!("this user may not read {}; root sees what is on it", found.node);
                steps.push(unknown(disk, &found.node), Change::Unknown { why }, &cause)?;
                continue;
            }
            scanned => scanned,
        };
        if let Some(other) = seen.insert(found.node.clone(), named.clone()) {
            return Err(refuse(
                named,
                format!("{} is {}, which {other} names, too", disk.device, found.node),
                "make one entry of the two",
            ));
        }
        let used = in_use_by_number(steps.devices(), &found.node, &cause)?;
        let scan = scan.map_err(at(&named))?;
        let before = rows(scan.table());
        if scan.table().is_some()
            && steps.devices().noted_table(&found.node).map_err(at(&named))?
                == Some(note(digest, scan.table()))
        {
            // A run of this boot that did not come to its end: what it has built on the table may be in use by now.
            let parts = steps.devices().partitions(&found.node).map_err(at(&named))?;
            let is_unheard = is_news(&before, scan.table(), &parts);
            let reason = "a run of this boot has written this table for this config";
            let action = WriteTable {
                device: disk.device.clone(),
                node: found.node.clone(),
                wipe: false,
                after: before.clone(),
                before,
                lost: BTreeMap::new(),
                note: note(digest, scan.table()),
                writes: Vec::new(),
                table: scan.table().cloned(),
            };
            steps.push(
                DeviceAction::WriteTable(Box::new(action)),
                if is_unheard {
                    unheard()
                } else {
                    Change::Keep {
                        reason: reason.to_owned(),
                    }
                },
                &cause,
            )?;
            continue;
        }
        // As upstream: a disk that is used as a whole is refused, unless it is its partitions that are in use. What holds
        // a device-mapper disk beside its partitions is refused in any case: upstream lets it pass, and wipes under it.
        if let (Some(by), true) = (found.uses.first(), used.is_empty() || found.mapper.is_some()) {
            return Err(in_use(&format!("{} is {by}", found.node), &named));
        }
        let mut failed = None;
        let mut guid = || {
            let mut bytes = [0; 16];
            if let Err(error) = random(&mut bytes) {
                failed = Some(error);
            }
            bytes
        };
        let request = Request {
            disk,
            scan: &scan,
            in_use: &used,
        };
        let decided = decide(&request, &mut guid).map_err(|refusal| refused(&cause, &refusal))?;
        if let Some(error) = failed {
            return Err(refuse(
                cause,
                format!("there are no random bytes: {error}"),
                "see the kernel's log",
            ));
        }
        let after = match (&decided.table, decided.wipe) {
            (Some(table), _) => rows(Some(table)),
            (None, true) => Vec::new(),
            (None, false) => before.clone(),
        };
        let lost = lost(&decided, &before, &cause);
        let parts = steps.devices().partitions(&found.node).map_err(at(&named))?;
        let is_kept = !decided.changes() && !decided.decisions.is_empty();
        let is_unheard = is_kept && is_news(&before, scan.table(), &parts);
        let is_damaged = is_kept && damaged(&scan);
        let change = if is_damaged {
            Change::Modify {
                what: "the damaged copy of its partition table".to_owned(),
            }
        } else if is_unheard {
            unheard()
        } else {
            change(
                &decided,
                &scan,
                (&before, &lost),
                steps.devices(),
                &found.node,
                &named,
            )?
        };
        let action = WriteTable {
            device: disk.device.clone(),
            node: found.node.clone(),
            wipe: decided.wipe,
            before,
            after,
            lost,
            writes: match scan.table() {
                Some(table) if is_damaged => writes(&scan, false, Some(&table.fitted())),
                _ if decided.changes() => decided.writes(&scan),
                _ => Vec::new(),
            },
            note: note(digest, decided.table.as_ref().or(scan.table())),
            table: if is_damaged || is_unheard {
                scan.table().cloned()
            } else {
                decided.table
            },
        };
        steps.push(DeviceAction::WriteTable(Box::new(action)), change, &cause)?;
    }
    Ok(steps.finish(Phase::Partitions))
}

/// The table of a disk of which nothing is known now.
fn unknown(disk: &Disk, node: &str) -> DeviceAction {
    DeviceAction::WriteTable(Box::new(WriteTable {
        device: disk.device.clone(),
        node: node.to_owned(),
        wipe: disk.wipe_table == Some(true),
        before: Vec::new(),
        after: Vec::new(),
        lost: BTreeMap::new(),
        table: None,
        note: String::new(),
        writes: Vec::new(),
    }))
}

fn unheard() -> Change {
    Change::Modify {
        what: "what the kernel knows of its partitions".to_owned(),
    }
}

/// What tells a table that a run with this config has written.
fn note(digest: Digest, table: Option<&Table>) -> String {
    let disk = table.map(|table| table.disk_guid.to_string());
    format!("{digest:?}\n{disk:?}\n{:?}\n", rows(table))
}

/// Whether a copy of the table is in pieces, or the two say different things: writing was interrupted. The kernel takes no
/// backup by itself, so that such a disk can be one without partitions at the next boot.
fn damaged(scan: &Scan) -> bool {
    match &scan.found {
        Found::Gpt { health, .. } => match health {
            Health::PrimaryDamaged | Health::BackupDamaged | Health::Differ => true,
            Health::Whole | Health::BackupNotAtEnd => false,
        },
        Found::Blank | Found::Mbr { .. } | Found::Other { .. } => false,
    }
}

/// Whether the kernel has other partitions than the table. So it is after a run that was killed when it had written the
/// table, and with disks whose tables the kernel does not read (device mapper). A partition in use that the kernel has
/// otherwise cannot be told of: all of it is left alone then.
fn is_news(rows: &[Row], table: Option<&Table>, parts: &[Device]) -> bool {
    if table.is_none() {
        return false;
    }
    let is_same = |row: &Row, part: &Device| {
        part.size == Some(row.size)
            && part
                .partition
                .as_ref()
                .is_some_and(|of| of.number == row.number && of.start == row.start)
    };
    let mut others = parts
        .iter()
        .filter(|part| !rows.iter().any(|row| is_same(row, part)))
        .peekable();
    let is_missing = |row: &Row| !parts.iter().any(|part| is_same(row, part));
    let differs = others.peek().is_some() || rows.iter().any(is_missing);
    differs && others.all(|part| part.uses.is_empty())
}

/// What uses which partition of a disk.
fn in_use_by_number(
    devices: &dyn Devices,
    node: &str,
    cause: &Pointer,
) -> Result<BTreeMap<u32, String>, PlanError> {
    let parts = devices.partitions(node).map_err(at(cause))?;
    let used = parts.into_iter().filter_map(|part| {
        let by = part.uses.first()?.to_string();
        Some((part.partition?.number, by))
    });
    Ok(used.collect())
}

fn refused(cause: &Pointer, refusal: &Refusal) -> PlanError {
    let mut place = cause.clone();
    place.0.extend(refusal.pointer.0.iter().cloned());
    let lines: Vec<String> = refusal
        .table
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    let mut what = refusal.reason.to_string();
    if !lines.is_empty() {
        what.push_str(" (partitions: ");
        what.push_str(&lines.join(", "));
        what.push(')');
    }
    refuse(place, what, refusal.reason.advice())
}

/// The partitions that go, each with the place in the config that asks for it.
fn lost(decided: &Partitioning, before: &[Row], cause: &Pointer) -> BTreeMap<u32, Pointer> {
    let asks = |row: &Row| {
        if decided.wipe {
            return Some(cause.key("wipeTable"));
        }
        let decision = decided.decisions.iter().find(|decision| {
            decision.number == row.number
                && matches!(decision.action, Decided::Delete { .. } | Decided::Recreate { .. })
        })?;
        let entry = cause.key("partitions").index(decision.index);
        Some(entry.key("wipePartitionEntry"))
    };
    let lost = before.iter().filter_map(|row| Some((row.number, asks(row)?)));
    lost.collect()
}

fn change(
    decided: &Partitioning,
    scan: &Scan,
    (before, going): (&[Row], &BTreeMap<u32, Pointer>),
    devices: &dyn Devices,
    node: &str,
    cause: &Pointer,
) -> Result<Change, PlanError> {
    if !decided.changes() {
        return Ok(Change::Keep {
            reason: "the partitions are as they should be".to_owned(),
        });
    }
    let mut lost = Vec::new();
    let gone: Vec<&Row> = before
        .iter()
        .filter(|row| going.contains_key(&row.number))
        .collect();
    let parts = devices.partitions(node).map_err(at(cause))?;
    for row in &gone {
        let holds = parts
            .iter()
            .find(|part| part.partition.as_ref().is_some_and(|of| of.number == row.number))
            .map(|part| devices.signature(&part.node))
            .transpose()
            .map_err(at(cause))?
            .filter(|found| !found.is_blank())
            .map_or_else(String::new, |found| format!(" with {}", found.kind));
        lost.push(format!(
            "partition {} {:?} of {}{holds}",
            row.number,
            row.label,
            size_text(row.size)
        ));
    }
    if decided.wipe && gone.is_empty() {
        match &scan.found {
            Found::Blank => {}
            Found::Gpt { .. } => lost.push("an empty partition table".to_owned()),
            Found::Mbr { partitions } => lost.push(format!("an MBR with {} partitions", partitions.len())),
            Found::Other { what } => lost.push(what.clone()),
        }
    }
    if !lost.is_empty() {
        return Ok(Change::Replace {
            lost: Lost {
                what: lost.join(", "),
                trivial: gone.is_empty() && matches!(scan.found, Found::Gpt { .. }),
            },
        });
    }
    Ok(match scan.found {
        Found::Blank => Change::Create,
        _ => Change::Modify {
            what: "its partitions".to_owned(),
        },
    })
}
