//! Debian's Go Ignition on disks: that its disks stage runs in a machine and that what it leaves is read back.

use std::time::Duration;

use crate::engine::{Engine, EngineCase, Outcome, engine_cut, engine_job, engine_jobs, prepared};
use crate::job::must;
use crate::{Disk, Doing as _, Flavour, Lab, Moment, Result, packages};

const MIB: u64 = 1 << 20;

/// What the peer is to make of three disks.
const CONFIG: &str = r#"{
  "ignition": {"version": "3.3.0"},
  "storage": {
    "disks": [
      {"device": "/dev/sda", "wipeTable": true, "partitions": [
        {"number": 1, "label": "ESP", "sizeMiB": 64, "typeGuid": "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"},
        {"number": 2, "label": "data", "sizeMiB": 96, "guid": "11111111-2222-3333-4444-555555555555"},
        {"number": 3, "label": "swap"}]},
      {"device": "/dev/sdb", "wipeTable": true, "partitions": [{"number": 1, "label": "member-0"}]},
      {"device": "/dev/sdc", "wipeTable": true, "partitions": [{"number": 1, "label": "member-1"}]}
    ],
    "raid": [{"name": "mirror", "level": "raid1",
      "devices": ["/dev/disk/by-partlabel/member-0", "/dev/disk/by-partlabel/member-1"]}],
    "filesystems": [
      {"device": "/dev/disk/by-partlabel/ESP", "format": "vfat", "label": "EFI"},
      {"device": "/dev/disk/by-partlabel/data", "format": "ext4", "label": "data",
        "uuid": "01234567-89ab-cdef-0123-456789abcdef"},
      {"device": "/dev/disk/by-partlabel/swap", "format": "swap"},
      {"device": "/dev/md/mirror", "format": "ext4", "label": "mirrored"}
    ]
  }
}"#;

/// An ext4 is asked for on `/dev/sda1`.
const EXT4: &str = r#"{"ignition": {"version": "3.3.0"},
  "storage": {"filesystems": [{"device": "/dev/sda1", "format": "ext4", "label": "wanted"}]}}"#;

const LARGE: &str = r#"{"ignition": {"version": "3.3.0"}, "storage": {
  "disks": [{"device": "/dev/sda", "wipeTable": true, "partitions": [{"number": 1, "sizeMiB": 32}]}],
  "filesystems": [{"device": "/dev/sda1", "format": "ext4", "label": "large", "wipeFilesystem": true}]}}"#;

/// The reference side of the differential test: the peer's disks stage.
pub fn run(lab: &Lab) -> Result<()> {
    let disks = vec![
        Disk::empty("a", 256 * MIB),
        Disk::empty("b", 64 * MIB),
        Disk::empty("c", 64 * MIB),
    ];
    let case = EngineCase::new("peer-disks", CONFIG, disks.clone());
    let outcome = engine_job(lab, Flavour::Systemd, Engine::Peer, &case)?;
    check_peer(lab, &outcome)?;
    println!(
        "ok   disks-peer               {:5.1} s  its disks stage: 5 partitions, RAID1, ext4, vfat, swap",
        outcome
            .stages
            .iter()
            .map(|ran| ran.time.as_secs_f64())
            .sum::<f64>()
    );

    // Ours makes the same of it, with systemd and with udev alone: the names in the config are links that udev makes.
    for flavour in [Flavour::Systemd, Flavour::Udev] {
        let case = EngineCase::new("ours-disks", CONFIG, disks.clone());
        let ours = engine_job(lab, flavour, Engine::Ours, &case)?;
        check_peer(lab, &ours)?;
        for disk in 0..disks.len() {
            for number in 1..=3 {
                let Ok(theirs) = outcome.partition(disk, number) else {
                    continue;
                };
                let made = ours.partition(disk, number)?;
                must(
                    made.sectors == theirs.sectors
                        && made.label == theirs.label
                        && made.type_guid == theirs.type_guid,
                    format!("partition {number} of disk {disk}: {made:?}, the peer's is {theirs:?}"),
                )?;
            }
        }
        println!(
            "ok   disks-ours               {:5.1} s  the same by ours",
            ours.stages.iter().map(|ran| ran.time.as_secs_f64()).sum::<f64>()
        );
    }

    let make = |kind: &str| format!("sgdisk -n 1:2048:+32M /dev/sda; settled; mkfs.{kind} /dev/sda1");
    let disk = || vec![Disk::empty("a", 64 * MIB)];
    let mut cases = vec![
        EngineCase::new("peer-refused", EXT4, disk()).prepare(&make("fat")),
        EngineCase::new("peer-kept", EXT4, disk()).prepare(&make("ext4 -L wanted")),
        EngineCase::new("peer-blank", EXT4, disk())
            .prepare("sgdisk -n 1:2048:+32M /dev/sda")
            .after("ls /dev/sd*"),
        EngineCase::new(
            "peer-mounted",
            r#"{"ignition": {"version": "3.3.0"}, "storage": {"disks": [{"device": "/dev/sda", "wipeTable": true}]}}"#,
            disk(),
        )
        .prepare(&make("ext4"))
        .setup("mkdir -p /tmp/held && mount /dev/sda1 /tmp/held"),
    ];
    // Sectors of 4096 bytes, a killed attempt before a good one, and a cut of the power before both.
    let large = EngineCase::new(
        "peer-4k",
        LARGE,
        vec![Disk::empty("a", 128 * MIB).sector_size(4096)],
    )
    .stages(&["fetch", "kill_at_line 'op(2): [started]' disks", "disks"]);
    let cut = engine_cut(
        lab,
        Flavour::Systemd,
        Engine::Peer,
        &large,
        Moment::AfterLine("begins disks".to_owned(), Duration::from_secs(2)),
    );
    cases.push(cut?);
    // One after the other in a boot: nothing of a case may be there in the next.
    for number in 0..2 {
        cases.push(EngineCase {
            name: format!("peer-again-{number}"),
            ..case.clone()
        });
    }
    let start = std::time::Instant::now();
    let cases = prepared(lab, "disks-peer", cases)?;
    let outcomes = engine_jobs(lab, Flavour::Systemd, Engine::QuickPeer, "disks-peer", &cases)?;
    let [refused, kept, blank, mounted, large, again @ ..] = &outcomes[..] else {
        return Err("outcomes are missing".into());
    };
    must(
        refused.code != 0 && !refused.changed(0)? && refused.fact("sda1", "TYPE") == "vfat",
        format!("refused: {refused:?}"),
    )?;
    must(kept.code == 0 && !kept.changed(0)?, format!("kept: {kept:?}"))?;
    must(
        blank.code == 0
            && blank.changed(0)?
            && blank.fact("sda1", "LABEL") == "wanted"
            && blank.after == (0, "/dev/sda\n/dev/sda1\n".to_owned()),
        format!("blank: {blank:?}"),
    )?;
    // 2.14 does not look whether a disk is in use; 2.26 refuses this.
    must(
        mounted.code == 0
            && mounted.mounts.contains("/tmp/held")
            && mounted.labels.iter().all(|label| label.primary.is_none())
            && mounted.kernel.contains_key("sda1"),
        format!("mounted: {mounted:?}"),
    )?;
    let codes: Vec<i64> = large.stages.iter().map(|ran| ran.code).collect();
    must(
        codes == [0, 137, 0]
            && large.partition(0, 1)?.sectors == (256, 256 + 8191)
            && large.fact("sda1", "LABEL") == "large"
            && large.kernel.get("sda1") == Some(&(Some(2048), 65536)),
        format!("large: {large:?}"),
    )?;
    for outcome in again {
        check_peer(lab, outcome)?;
    }
    println!(
        "ok   disks-peer-cases         {:5.1} s  {} cases in one boot, prepared in another",
        start.elapsed().as_secs_f64(),
        outcomes.len()
    );
    Ok(())
}

fn check_peer(lab: &Lab, outcome: &Outcome) -> Result<()> {
    must(outcome.code == 0, &outcome.log)?;
    let esp = outcome.partition(0, 1)?;
    let data = outcome.partition(0, 2)?;
    must(
        esp.label == "ESP"
            && esp.type_guid == "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
            && esp.size() == 64 * 2048,
        format!("{esp:?}"),
    )?;
    must(
        data.sectors.0 == esp.sectors.1 + 1 && data.guid == "11111111-2222-3333-4444-555555555555",
        format!("{data:?}"),
    )?;
    must(outcome.partition(0, 3)?.label == "swap", "the third partition")?;
    must(
        outcome.partition(1, 1)?.label == "member-0" && outcome.partition(2, 1)?.label == "member-1",
        "the members",
    )?;
    must(
        outcome.fact("sda1", "TYPE") == "vfat" && outcome.fact("sda1", "LABEL") == "EFI",
        "vfat",
    )?;
    must(
        outcome.fact("sda2", "TYPE") == "ext4"
            && outcome.fact("sda2", "UUID") == "01234567-89ab-cdef-0123-456789abcdef",
        "ext4",
    )?;
    must(outcome.fact("sda3", "TYPE") == "swap", "swap")?;
    must(
        outcome.fact("sdb1", "TYPE") == "linux_raid_member",
        "the array's member",
    )?;
    must(
        outcome.kernel.get("sda2") == Some(&(Some(data.sectors.0), data.size())),
        "the kernel's view",
    )?;
    // Not by its label: 2.14 does not have a device announced again after mkfs, and now and then that link is missing.
    let node = outcome
        .links
        .get("/dev/md/mirror")
        .ok_or_else(|| format!("{:?}", outcome.links))?;
    must(
        outcome.fact(node, "LABEL") == "mirrored" && outcome.fact(node, "TYPE") == "ext4",
        "the file system on the array",
    )?;
    let array = outcome.arrays.get(node).ok_or("the array")?;
    must(
        array.get("MD_LEVEL").map(String::as_str) == Some("raid1")
            && array.get("MD_DEVICES").map(String::as_str) == Some("2"),
        format!("{array:?} {:?}", outcome.links),
    )?;

    // The image outside, as other programs read it.
    let image = outcome.images.first().ok_or("no image")?;
    let table = packages::run(lab.debian.command("sbin/sgdisk").arg("-p").arg(image))?;
    must(
        table
            .lines()
            .any(|line| line.split_whitespace().last() == Some("ESP")),
        table,
    )?;
    let found = packages::run(
        lab.debian
            .command("sbin/blkid")
            .args(["-p", "-o", "export", "-O"])
            .arg((data.sectors.0 * 512).to_string())
            .arg(image),
    )
    .doing("the file system on the image")?;
    must(
        found.contains("TYPE=ext4\n") && found.contains("LABEL=data\n"),
        found,
    )
}
