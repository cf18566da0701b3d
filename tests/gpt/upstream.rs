//! What upstream does with `sgdisk` (spec/disks.md 2.3 to 2.5), as a program of its own: the other side of the comparison.

use std::collections::BTreeMap;

use ignition_rs::config::types::{Disk as Config, Partition};
use ignition_rs::gpt::Entry;

use super::disk::{Disk, sgdisk};
use crate::support::programs::Ran;

#[derive(Clone, Debug)]
struct Part {
    config: Partition,
    number: u32,
    start: Option<u64>,
    size: Option<u64>,
    label: Option<String>,
    type_guid: Option<String>,
    guid: Option<String>,
}

fn create(part: &Part) -> Vec<String> {
    let number = part.number;
    let (start, size) = (part.start.unwrap_or(0), part.size.unwrap_or(0));
    let mut args = vec![format!("--new={number}:{start}:+{size}")];
    if let Some(label) = &part.label {
        args.push(format!("--change-name={number}:{label}"));
    }
    for (option, value) in [("typecode", &part.type_guid), ("partition-guid", &part.guid)] {
        if let Some(value) = value.as_ref().filter(|value| !value.is_empty()) {
            args.push(format!("--{option}={number}:{value}"));
        }
    }
    args
}

fn numbers_after(text: &str, word: &str) -> Vec<u64> {
    text.lines()
        .filter_map(|line| line.strip_prefix(word))
        .map(|rest| rest.split(' ').next().unwrap().parse().unwrap())
        .collect()
}

fn matches(part: &Part, there: &Entry) -> bool {
    part.size.is_none_or(|size| size == there.size()) && matches_but_for_size(part, there)
}

fn matches_but_for_size(part: &Part, there: &Entry) -> bool {
    let guid = |wanted: &Option<String>, there: String| {
        wanted
            .as_deref()
            .is_none_or(|wanted| wanted.is_empty() || wanted.eq_ignore_ascii_case(&there))
    };
    part.start.is_none_or(|start| start == there.first)
        && guid(&part.guid, there.guid.to_string())
        && guid(&part.type_guid, there.type_guid.to_string())
        && part
            .label
            .as_ref()
            .is_none_or(|label| *label == there.name.text())
}

/// Why nothing was done.
#[derive(Debug)]
pub(super) enum Failed {
    Sgdisk(Ran),
    Decided(#[expect(dead_code, reason = "shown when a case fails")] &'static str),
}

/// What upstream does to the disk, whose partitions are these.
pub(super) fn partition(disk: &Disk, config: &Config, sector_size: u32) -> Result<(), Failed> {
    if config.wipe_table == Some(true) && disk.sgdisk(&["--zap-all"]).code != Some(0) {
        let _ = disk.sgdisk(&["--zap-all"]);
    }
    let there: BTreeMap<u32, Entry> = disk
        .scan()
        .table()
        .map(|table| table.entries.clone())
        .unwrap_or_default();
    let sectors =
        |mib: Option<i64>| mib.map(|mib| u64::try_from(mib).unwrap() * (1_048_576 / u64::from(sector_size)));
    let mut parts: Vec<Part> = config
        .partitions
        .iter()
        .map(|partition| Part {
            number: partition.number.try_into().unwrap(),
            start: sectors(partition.start_mib),
            size: sectors(partition.size_mib),
            label: partition.label.clone(),
            type_guid: partition.type_guid.clone(),
            guid: partition.guid.clone(),
            config: partition.clone(),
        })
        .collect();
    parts.sort_by_key(|part| part.number == 0);

    let should_exist = |part: &Part| part.config.should_exist != Some(false);
    let may_wipe = |part: &Part| part.config.wipe_partition_entry == Some(true);
    let (mut deletions, mut creations) = (Vec::new(), Vec::new());
    for part in &parts {
        let mut simulated = part.clone();
        simulated.label = None;
        if let Some(entry) = there.get(&part.number) {
            deletions.push(format!("--delete={}", part.number));
            if !may_wipe(part) {
                simulated.start = simulated.start.or(Some(entry.first));
                simulated.size = simulated.size.or(Some(entry.size()));
            }
        }
        if should_exist(part) {
            creations.extend(create(&simulated));
        }
    }
    let inspected = |part: &Part| part.number != 0 && (part.start == Some(0) || part.size == Some(0));
    let infos = parts
        .iter()
        .filter(|part| inspected(part))
        .map(|part| format!("--info={}", part.number));
    let args: Vec<String> = std::iter::once("--pretend".to_owned())
        .chain(deletions)
        .chain(creations)
        .chain(infos)
        .collect();
    if args.len() > 1 {
        let ran = sgdisk(&args, Some(disk.path()));
        if ran.code != Some(0) {
            return Err(Failed::Sgdisk(ran));
        }
        let (first, last) = (
            numbers_after(&ran.stdout, "First sector: "),
            numbers_after(&ran.stdout, "Last sector: "),
        );
        let mut answers = first.into_iter().zip(last);
        for part in parts.iter_mut().filter(|part| inspected(part)) {
            let Some((first, last)) = answers.next() else {
                return Err(Failed::Decided("unexpected output"));
            };
            part.start = part.start.map(|_| first);
            part.size = part.size.map(|_| last - first + 1);
        }
    }

    let (mut deletions, mut creations) = (Vec::new(), Vec::new());
    for part in parts {
        let Some(entry) = there.get(&part.number) else {
            if should_exist(&part) {
                creations.extend(create(&part));
            }
            continue;
        };
        match (should_exist(&part), may_wipe(&part), matches(&part, entry)) {
            (false, false, _) => return Err(Failed::Decided("should not exist")),
            (false, true, _) => deletions.push(format!("--delete={}", part.number)),
            (true, _, true) => {}
            (true, false, false) => {
                if part.config.resize != Some(true) || !matches_but_for_size(&part, entry) {
                    return Err(Failed::Decided("no match"));
                }
                deletions.push(format!("--delete={}", part.number));
                creations.extend(create(&Part {
                    start: Some(entry.first),
                    label: Some(entry.name.text()),
                    type_guid: Some(entry.type_guid.to_string()),
                    guid: Some(entry.guid.to_string()),
                    ..part
                }));
            }
            (true, true, false) => {
                deletions.push(format!("--delete={}", part.number));
                creations.extend(create(&part));
            }
        }
    }
    let args: Vec<String> = deletions.into_iter().chain(creations).collect();
    if args.is_empty() {
        return Ok(());
    }
    let ran = disk.sgdisk(&args);
    if ran.code == Some(0) {
        Ok(())
    } else {
        Err(Failed::Sgdisk(ran))
    }
}
