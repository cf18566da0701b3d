//! The disks stage of ours and of Debian's Go Ignition on equal disks: equal tables, types, labels, UUIDs and verdicts.

use crate::engine::{Engine, EngineCase, Outcome, engine_jobs, prepared};
use crate::{Disk, Flavour, Lab, Result};

const MIB: u64 = 1 << 20;

/// A case: name, what the disk holds before (shell), the parts of `storage`, and whether the engines may part and why.
struct Case {
    name: &'static str,
    before: &'static str,
    storage: &'static str,
    /// Where ours differs on purpose (docs/deviations.md)
    differs: Option<&'static str>,
}

const fn case(name: &'static str, before: &'static str, storage: &'static str) -> Case {
    Case {
        name,
        before,
        storage,
        differs: None,
    }
}

/// Partitions 1 (32 MiB, "one"), 2 (16 MiB, "two") and 5 (the rest, "five"), ext4 on the first.
const USED: &str = "sgdisk -n 1:0:+32M -c 1:one -n 2:0:+16M -c 2:two -n 5:0:0 -c 5:five /dev/sda; settled; mkfs.ext4 -q -L kept /dev/sda1";

/// All cases; `D` stands for `"device": "/dev/sda"`.
const CASES: [Case; 42] = [
    case(
        "one-whole",
        "",
        r#""disks": [{D, "partitions": [{"number": 1}]}]"#,
    ),
    case(
        "number-9",
        "",
        r#""disks": [{D, "partitions": [{"number": 9, "sizeMiB": 10, "label": "nine"}]}]"#,
    ),
    case(
        "three",
        "",
        r#""disks": [{D, "partitions": [{"number": 1, "sizeMiB": 8}, {"number": 2, "sizeMiB": 9}, {"number": 3}]}]"#,
    ),
    case(
        "starts",
        "",
        r#""disks": [{D, "partitions": [{"number": 1, "startMiB": 40, "sizeMiB": 8}, {"number": 2, "startMiB": 4, "sizeMiB": 8}]}]"#,
    ),
    case(
        "start-0",
        "",
        r#""disks": [{D, "partitions": [{"number": 1, "startMiB": 0, "sizeMiB": 8}]}]"#,
    ),
    case(
        "guids",
        "",
        r#""disks": [{D, "partitions": [{"number": 1, "guid": "11111111-2222-3333-4444-555555555555", "typeGuid": "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"}]}]"#,
    ),
    case(
        "label-only",
        "",
        r#""disks": [{D, "partitions": [{"number": 3, "label": "a b.c"}]}]"#,
    ),
    case(
        "not-there",
        "",
        r#""disks": [{D, "partitions": [{"number": 4, "shouldExist": false}]}]"#,
    ),
    case(
        "too-large",
        "",
        r#""disks": [{D, "partitions": [{"number": 1, "sizeMiB": 500}]}]"#,
    ),
    case(
        "overlap",
        "",
        r#""disks": [{D, "partitions": [{"number": 1, "startMiB": 1, "sizeMiB": 20}, {"number": 2, "startMiB": 10, "sizeMiB": 20}]}]"#,
    ),
    case("wipe-blank", "", r#""disks": [{D, "wipeTable": true}]"#),
    case(
        "wipe-used",
        USED,
        r#""disks": [{D, "wipeTable": true, "partitions": [{"number": 1, "label": "new"}]}]"#,
    ),
    case("wipe-to-nothing", USED, r#""disks": [{D, "wipeTable": true}]"#),
    case(
        "add",
        USED,
        r#""disks": [{D, "partitions": [{"number": 2, "label": "two"}]}]"#,
    ),
    case(
        "match-all",
        USED,
        r#""disks": [{D, "partitions": [{"number": 1, "label": "one", "sizeMiB": 32}, {"number": 2, "label": "two", "sizeMiB": 16}]}]"#,
    ),
    case(
        "match-start",
        USED,
        r#""disks": [{D, "partitions": [{"number": 2, "startMiB": 33, "sizeMiB": 16}]}]"#,
    ),
    case(
        "other-label",
        USED,
        r#""disks": [{D, "partitions": [{"number": 1, "label": "other"}]}]"#,
    ),
    case(
        "other-label-wipe",
        USED,
        r#""disks": [{D, "partitions": [{"number": 1, "label": "other", "wipePartitionEntry": true}]}]"#,
    ),
    case(
        "other-size",
        USED,
        r#""disks": [{D, "partitions": [{"number": 2, "sizeMiB": 8}]}]"#,
    ),
    case(
        "other-size-wipe",
        USED,
        r#""disks": [{D, "partitions": [{"number": 2, "sizeMiB": 8, "wipePartitionEntry": true}]}]"#,
    ),
    case(
        "other-type-wipe",
        USED,
        r#""disks": [{D, "partitions": [{"number": 2, "typeGuid": "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f", "wipePartitionEntry": true}]}]"#,
    ),
    case(
        "delete",
        USED,
        r#""disks": [{D, "partitions": [{"number": 2, "shouldExist": false, "wipePartitionEntry": true}]}]"#,
    ),
    case(
        "delete-refused",
        USED,
        r#""disks": [{D, "partitions": [{"number": 2, "shouldExist": false}]}]"#,
    ),
    case(
        "delete-and-add",
        USED,
        r#""disks": [{D, "partitions": [{"number": 5, "shouldExist": false, "wipePartitionEntry": true}, {"number": 6, "label": "six"}]}]"#,
    ),
    case(
        "resize",
        "sgdisk -n 1:0:+16M -c 1:grow /dev/sda",
        r#""disks": [{D, "partitions": [{"number": 1, "label": "grow", "sizeMiB": 64, "resize": true}]}]"#,
    ),
    case(
        "resize-rest",
        "sgdisk -n 1:0:+16M -c 1:grow /dev/sda",
        r#""disks": [{D, "partitions": [{"number": 1, "label": "grow", "sizeMiB": 0, "resize": true}]}]"#,
    ),
    case(
        "resize-other-label",
        "sgdisk -n 1:0:+16M -c 1:grow /dev/sda",
        r#""disks": [{D, "partitions": [{"number": 1, "label": "shrink", "sizeMiB": 64, "resize": true}]}]"#,
    ),
    case(
        "ext4-blank",
        "",
        r#""filesystems": [{D, "format": "ext4", "label": "data"}]"#,
    ),
    case(
        "ext4-uuid",
        "",
        r#""filesystems": [{D, "format": "ext4", "uuid": "01234567-89ab-cdef-0123-456789abcdef"}]"#,
    ),
    case(
        "vfat-uuid",
        "",
        r#""filesystems": [{D, "format": "vfat", "label": "EFI", "uuid": "2E24-EC82"}]"#,
    ),
    case(
        "btrfs",
        "",
        r#""filesystems": [{D, "format": "btrfs", "label": "pool"}]"#,
    ),
    case(
        "swap",
        "",
        r#""filesystems": [{D, "format": "swap", "label": "swap", "uuid": "01234567-89ab-cdef-0123-456789abcdef"}]"#,
    ),
    case(
        "options",
        "",
        r#""filesystems": [{D, "format": "ext4", "options": ["-b", "1024"]}]"#,
    ),
    case(
        "ext4-kept",
        "mkfs.ext4 -q -L data /dev/sda",
        r#""filesystems": [{D, "format": "ext4", "label": "data"}]"#,
    ),
    case(
        "ext4-other-label",
        "mkfs.ext4 -q -L data /dev/sda",
        r#""filesystems": [{D, "format": "ext4", "label": "other"}]"#,
    ),
    case(
        "ext4-over-vfat",
        "mkfs.fat /dev/sda",
        r#""filesystems": [{D, "format": "ext4"}]"#,
    ),
    Case {
        name: "ext4-over-btrfs-wipe",
        before: "mkfs.btrfs -q /dev/sda",
        storage: r#""filesystems": [{D, "format": "ext4", "wipeFilesystem": true}]"#,
        // The kernel's module is not loaded, so udev says that the disk is not ready, and its unit never comes.
        differs: Some("waiting for devices"),
    },
    case(
        "ext4-again-wipe",
        "mkfs.ext4 -q -L data /dev/sda",
        r#""filesystems": [{D, "format": "ext4", "wipeFilesystem": true, "label": "new"}]"#,
    ),
    case(
        "no-format",
        "mkfs.ext4 -q -L data /dev/sda",
        r#""filesystems": [{D, "path": "/x"}]"#,
    ),
    case(
        "partition-and-ext4",
        "",
        r#""disks": [{D, "partitions": [{"number": 2, "label": "root"}]}], "filesystems": [{"device": "/dev/disk/by-partlabel/root", "format": "ext4", "label": "ROOT"}]"#,
    ),
    case(
        "reformat-by-label",
        USED,
        r#""filesystems": [{"device": "/dev/disk/by-label/kept", "format": "btrfs", "wipeFilesystem": true, "label": "anew"}]"#,
    ),
    Case {
        name: "size-0-in-a-smaller-block",
        before: USED,
        storage: r#""disks": [{D, "partitions": [{"number": 1, "shouldExist": false, "wipePartitionEntry": true}, {"number": 5, "shouldExist": false, "wipePartitionEntry": true}, {"number": 7, "startMiB": 1, "sizeMiB": 0}]}]"#,
        differs: Some("coreos/fedora-coreos-tracker#776"),
    },
];

/// What must be equal: the verdict, the tables but for random GUIDs, and what is on the devices but for random UUIDs.
fn facts(case: &Case, outcome: &Outcome) -> Vec<String> {
    let mut facts = vec![format!("succeeded {}", outcome.code == 0)];
    for label in &outcome.labels {
        for part in label
            .sound()
            .map(|table| table.partitions.as_slice())
            .unwrap_or_default()
        {
            let given = case.storage.to_uppercase().contains(&part.guid);
            let guid = if given { part.guid.as_str() } else { "random" };
            facts.push(format!(
                "partition {} {:?} {} {guid} {:?}",
                part.number, part.sectors, part.type_guid, part.label
            ));
        }
    }
    for (node, found) in &outcome.blkid {
        let get = |name: &str| found.get(name).cloned().unwrap_or_default();
        let uuid = get("UUID");
        let plain = |text: &str| text.to_lowercase().replace('-', "");
        let given = !uuid.is_empty() && plain(case.storage).contains(&plain(&uuid));
        let uuid = if given { uuid } else { "random".to_owned() };
        facts.push(format!("{node} {} {:?} {uuid}", get("TYPE"), get("LABEL")));
    }
    facts
}

/// How often a case is run again, with sgdisk's own sleep.
const ATTEMPTS: u32 = 3;

/// Runs all cases with both engines, twelve in a boot; for CI a fifth of them. Where the two differ the case is run again: the
/// peer does not wait for udev, and fails now and then, or leaves the kernel with a partition that is gone.
pub fn run(lab: &Lab, is_sample: bool) -> Result<()> {
    let start = std::time::Instant::now();
    let every = if is_sample { 5 } else { 1 };
    let chosen: Vec<&Case> = CASES.iter().step_by(every).collect();
    let mut doubtful = Vec::new();
    for (batch, cases) in chosen.chunks(12).enumerate() {
        let wrong = compare(lab, &format!("differential-{batch}"), Engine::QuickPeer, cases)?;
        doubtful.extend(wrong.into_iter().map(|(case, _)| case));
        println!(
            "     differential {} of {} configs, {} to be run again, {:.0} s",
            batch * 12 + cases.len(),
            chosen.len(),
            doubtful.len(),
            start.elapsed().as_secs_f64()
        );
    }
    let (mut left, mut texts) = (doubtful.clone(), Vec::new());
    for attempt in 0..ATTEMPTS {
        let wrong = compare(lab, &format!("differential-again-{attempt}"), Engine::Peer, &left)?;
        (left, texts) = wrong.into_iter().unzip();
    }
    if !left.is_empty() {
        return Err(format!("{} differences:\n{}", left.len(), texts.join("\n")).into());
    }
    let parted = chosen.iter().filter(|case| case.differs.is_some()).count();
    println!(
        "ok   disks-differential       {:5.1} s  {} configs, {parted} listed deviations, {} equal at a later attempt",
        start.elapsed().as_secs_f64(),
        chosen.len(),
        doubtful.len()
    );
    Ok(())
}

/// The cases in which the engines are not as they should be, with what is wrong.
fn compare<'a>(lab: &Lab, name: &str, peer: Engine, cases: &[&'a Case]) -> Result<Vec<(&'a Case, String)>> {
    if cases.is_empty() {
        return Ok(Vec::new());
    }
    let made = cases
        .iter()
        .map(|case| {
            let storage = case.storage.replace("{D", r#"{"device": "/dev/sda""#);
            let config = format!(r#"{{"ignition": {{"version": "3.3.0"}}, "storage": {{{storage}}}}}"#);
            let engine = EngineCase::new(case.name, &config, vec![Disk::empty("a", 128 * MIB)]);
            if case.before.is_empty() {
                engine
            } else {
                engine.prepare(case.before)
            }
        })
        .collect();
    let made = prepared(lab, name, made)?;
    let run = |engine: Engine| {
        engine_jobs(
            lab,
            Flavour::Systemd,
            engine,
            &format!("{name}-{}", engine.name()),
            &made,
        )
    };
    let (theirs, ours) = std::thread::scope(|scope| {
        let theirs = scope.spawn(|| run(peer));
        let ours = run(Engine::Ours);
        (theirs.join(), ours)
    });
    let (theirs, ours) = (theirs.map_err(|_| "a thread panicked")??, ours?);
    let mut wrong = Vec::new();
    for ((case, theirs), ours) in cases.iter().zip(&theirs).zip(&ours) {
        let (peer, own) = (facts(case, theirs), facts(case, ours));
        match (peer == own, case.differs) {
            (true, None) | (false, Some(_)) => {}
            (true, Some(why)) => wrong.push((*case, format!("{}: equal, though {why}", case.name))),
            (false, None) => {
                let log: String = ours.log.lines().rev().take(4).collect::<Vec<_>>().join("\n");
                let text = format!("{}:\n peer {peer:#?}\n ours {own:#?}\n{log}", case.name);
                wrong.push((*case, text));
            }
        }
    }
    Ok(wrong)
}
