//! Making, keeping and refusing filesystems.

use ignition_rs::config::types::Config;
use ignition_rs::plan::predict::predict;
use ignition_rs::stages::disks::filesystems::plan;
use ignition_rs::sys::devices::RealDevices;
use ignition_rs::sys::probe::Probe;
use ignition_rs::sys::runner::System;
use ignition_rs::sys::sysroot::Sysroot;
use ignition_rs::view::{Devices as _, Overlay, Use, View as _};
use serde_json::{Value, json};

use super::{Desk, changes, config, entry, with};
use crate::support::disk::{Disk, MountOf, available};

const UUIDS: [&str; 5] = [
    "0fc63daf-8483-4772-8e79-3d69d8477de4",
    "1fc63daf-8483-4772-8e79-3d69d8477de4",
    "2fc63daf-8483-4772-8e79-3d69d8477de4",
    "3fc63daf-8483-4772-8e79-3d69d8477de4",
    "2E24-EC82",
];

/// A disk and an entry for each format that has a label and a UUID, and how blkid shows them.
fn all() -> Vec<(Disk, Value, [String; 3])> {
    let table = [
        ("ext4", 64, "my root", UUIDS[0]),
        ("btrfs", 128, "btrfs-1", UUIDS[1]),
        ("xfs", 320, "xfs", UUIDS[2]),
        ("swap", 16, "swap 1", UUIDS[3]),
        ("vfat", 16, "EFI", UUIDS[4]),
    ];
    table
        .into_iter()
        .map(|(format, size, label, uuid)| {
            let disk = Disk::blank(size);
            let entry = with(entry(&disk, format), json!({"label": label, "uuid": uuid}));
            // This form of blkid's output has no blanks.
            (
                disk,
                entry,
                [format.to_owned(), label.replace(' ', "_"), uuid.to_owned()],
            )
        })
        .collect()
}

#[test]
fn filesystems_are_made_as_predicted_and_kept_then() {
    if !available() {
        return;
    }
    let made = all();
    let entries: Vec<Value> = made.iter().map(|(_, entry, _)| entry.clone()).collect();
    let config = config(&entries);
    let desk = Desk::new();

    // What a dry run says, with the view that it would leave.
    let sysroot = Sysroot::open(std::path::Path::new("/")).unwrap();
    let devices = RealDevices::new(System::new(None));
    let probe = Probe::new(&sysroot, None).with_devices(&devices);
    let parsed: Config = serde_json::from_value(config.clone()).unwrap();
    let mut overlay = Overlay::new(&probe);
    for step in &plan(&parsed, &probe).unwrap().steps {
        predict(step, &mut overlay).unwrap();
    }
    assert_eq!(changes(&desk.dry_run(&config)), ["create"; 5]);
    assert_eq!(desk.plan(&config).code, Some(2), "{}", desk.plan(&config));
    for (disk, ..) in &made {
        assert_eq!(disk.signature().0, "", "a dry run makes nothing");
    }

    desk.run(&config).expect_code(0);
    for (disk, _, expected) in &made {
        let (kind, label, uuid) = disk.signature();
        assert_eq!([kind, label, uuid], *expected);
        let predicted = overlay.devices().signature(disk.node()).unwrap();
        assert_eq!(
            devices.signature(disk.node()).unwrap(),
            predicted,
            "predict equals probe"
        );
    }

    // Planned again, everything stays, and nothing is written.
    let before: Vec<_> = made.iter().map(|(disk, ..)| disk.bytes()).collect();
    assert_eq!(changes(&desk.dry_run(&config)), ["keep"; 5]);
    assert_eq!(desk.plan(&config).code, Some(0));
    desk.run(&config).expect_code(0);
    for ((disk, ..), before) in made.iter().zip(&before) {
        disk.assert_same(before, "kept");
    }
}

#[test]
fn the_config_decides_about_what_is_there() {
    if !available() {
        return;
    }
    let desk = Desk::new();
    let disk = Disk::blank(64);
    disk.with("mkfs.ext4", &["-q", "-L", "old", "-U", UUIDS[0]]);
    let refused = |entry: Value, field: &str| {
        let before = disk.bytes();
        let ran = desk.run(&config(std::slice::from_ref(&entry)));
        ran.expect_code(1);
        assert!(
            ran.stderr.contains(&format!("storage.filesystems[0].{field}")),
            "{ran}"
        );
        assert!(ran.stderr.contains("ext4, label \"old\" (64 MiB)"), "{ran}");
        disk.assert_same(&before, &entry.to_string());
        assert_eq!(desk.dry_run(&config(&[entry])).code, Some(1));
    };
    refused(entry(&disk, "swap"), "format");
    refused(entry(&disk, "none"), "format");
    refused(entry(&disk, ""), "format");
    refused(with(entry(&disk, "ext4"), json!({"label": "new"})), "label");
    refused(with(entry(&disk, "ext4"), json!({"uuid": UUIDS[1]})), "uuid");

    let wiped = |entry: Value| with(entry, json!({"wipeFilesystem": true}));
    let anew = config(&[wiped(with(entry(&disk, "ext4"), json!({"label": "new"})))]);
    let shown = desk.plan(&anew);
    shown.expect_code(3);
    assert!(shown.stdout.contains("ext4, label \"old\", 64 MiB"), "{shown}");
    assert!(!shown.stdout.contains("\u{fffd}"), "{shown}");
    desk.run(&anew).expect_code(0);
    let (_, label, uuid) = disk.signature();
    assert_eq!(label, "new");
    assert_ne!(uuid, UUIDS[0]);
    // It says so each time.
    desk.run(&anew).expect_code(0);
    assert_ne!(disk.signature().2, uuid, "made anew");

    // Options come before ours.
    let options = json!({"options": ["-b", "1024", "-L", "theirs"], "label": "ours"});
    desk.run(&config(&[wiped(with(entry(&disk, "ext4"), options))]))
        .expect_code(0);
    let found = disk.found();
    assert_eq!(found["ID_FS_BLOCK_SIZE"], "1024");
    assert_eq!(found["ID_FS_LABEL"], "ours");

    // `none` only wipes; then all is blank, for an empty format, too.
    desk.run(&config(&[wiped(entry(&disk, "none"))])).expect_code(0);
    assert_eq!(disk.signature().0, "");
    let before = disk.bytes();
    for format in ["none", ""] {
        desk.run(&config(&[entry(&disk, format)])).expect_code(0);
        disk.assert_same(&before, format);
    }
}

#[test]
fn what_is_in_use_stays_as_it_is() {
    if !available() {
        return;
    }
    let desk = Desk::new();
    for format in ["ext4", "btrfs"] {
        let disk = Disk::blank(128);
        disk.with(&format!("mkfs.{format}"), &["-q", "-L", "data"]);
        let mounted = MountOf::read_only(disk.node());
        let before = disk.bytes();
        let devices = RealDevices::new(System::new(None));
        let device = devices.device(disk.node()).unwrap().unwrap();
        let target = mounted.path().to_str().unwrap().to_owned();
        assert_eq!(device.uses, [Use::Mounted(target.clone())], "{format}");
        let wipe = with(entry(&disk, "xfs"), json!({"wipeFilesystem": true}));
        let ran = desk.run(&config(&[wipe]));
        ran.expect_code(1);
        assert!(
            ran.stderr
                .contains(&format!("{} is mounted at {target}", disk.node())),
            "{ran}"
        );
        disk.assert_same(&before, format);
        // It may be kept.
        desk.run(&config(&[with(entry(&disk, format), json!({"label": "data"}))]))
            .expect_code(0);
        disk.assert_same(&before, format);
    }
}

#[test]
fn swap_space_in_use_stays_as_it_is() {
    if !available() || !crate::support::programs::have("swapon") {
        return;
    }
    let desk = Desk::new();
    let disk = Disk::blank(16);
    disk.with("mkswap", &["-q"]);
    let swapped = std::process::Command::new("swapon").arg(disk.node()).status();
    if !swapped.is_ok_and(|status| status.success()) {
        crate::support::programs::skipped("swapon is not allowed here");
        return;
    }
    let wipe = with(entry(&disk, "ext4"), json!({"wipeFilesystem": true}));
    let ran = desk.run(&config(&[wipe]));
    disk.with("swapoff", &[]);
    ran.expect_code(1);
    assert!(
        ran.stderr
            .contains(&format!("{} is used as swap space", disk.node())),
        "{ran}"
    );
    assert_eq!(disk.signature().0, "swap");
}

/// The kernel is told of a partition without a table, so that this needs no parser of one.
#[test]
fn partitions_of_the_kernel() {
    if !available() || !crate::support::programs::have("addpart") {
        return;
    }
    let desk = Desk::new();
    let disk = Disk::blank(64);
    let added = std::process::Command::new("addpart")
        .args([disk.node(), "3", "2048", "65536"])
        .status();
    if !added.is_ok_and(|status| status.success()) {
        crate::support::programs::skipped("this kernel takes no partitions on loop devices");
        return;
    }
    let node = format!("{}p3", disk.node());
    let devices = RealDevices::new(System::new(None));
    let found = devices.partitions(disk.node()).unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].node, node);
    assert_eq!(found[0].size, Some(32 << 20));
    let part = found[0].partition.clone().unwrap();
    assert_eq!(
        (part.disk.as_str(), part.number, part.start),
        (disk.node(), 3, 1 << 20)
    );

    desk.run(&config(&[
        json!({"device": node, "format": "ext4", "label": "part"}),
    ]))
    .expect_code(0);
    assert_eq!(devices.signature(&node).unwrap().label, "part");
    let ran = desk.run(&config(&[entry(&disk, "ext4")]));
    ran.expect_code(1);
    assert!(ran.stderr.contains("with 1 partition (64 MiB)"), "{ran}");

    let mounted = MountOf::read_only(&node);
    let before = disk.bytes();
    let ran = desk.run(&config(&[with(
        entry(&disk, "ext4"),
        json!({"wipeFilesystem": true}),
    )]));
    ran.expect_code(1);
    let target = mounted.path().to_str().unwrap();
    assert!(
        ran.stderr.contains(&format!("{node} is mounted at {target}")),
        "{ran}"
    );
    disk.assert_same(&before, "a partition is mounted");
    drop(mounted);
    desk.run(&config(&[with(
        entry(&disk, "ext4"),
        json!({"wipeFilesystem": true}),
    )]))
    .expect_code(0);
    assert_eq!(disk.signature().0, "ext4");
}

/// Two filesystems' signatures on one device: the first in blkid's order counts, and the log says so.
#[test]
fn several_signatures() {
    if !available() {
        return;
    }
    let desk = Desk::new();
    let (disk, other) = (Disk::blank(128), Disk::blank(128));
    disk.with("mkfs.ext4", &["-q", "-L", "first"]);
    other.with("mkfs.btrfs", &["-q", "-L", "second"]);
    // btrfs's superblock is at 64 KiB.
    let copied = std::process::Command::new("dd")
        .args(["bs=4096", "skip=16", "seek=16", "count=1", "conv=notrunc,fsync"])
        .arg(format!("if={}", other.node()))
        .arg(format!("of={}", disk.node()))
        .output()
        .unwrap();
    assert!(copied.status.success());
    let before = disk.bytes();
    let ran = desk.run(&config(&[with(entry(&disk, "ext4"), json!({"label": "first"}))]));
    ran.expect_code(0);
    assert!(ran.stdout.contains("several types fit"), "{ran}");
    let ran = desk.run(&config(&[entry(&disk, "btrfs")]));
    ran.expect_code(1);
    assert!(ran.stderr.contains("holds ext4, label \"first\""), "{ran}");
    disk.assert_same(&before, "ambivalent");
}

#[test]
fn a_partition_table_is_not_blank() {
    if !available() || !crate::support::programs::have("sfdisk") {
        return;
    }
    let desk = Desk::new();
    let disk = Disk::blank(64);
    let mut sfdisk = std::process::Command::new("sfdisk")
        .args(["-q", disk.node()])
        .stdin(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    std::io::Write::write_all(
        sfdisk.stdin.as_mut().unwrap(),
        b"label: gpt\nsize=10M,name=\"data\"\n",
    )
    .unwrap();
    sfdisk.stdin.take();
    sfdisk.wait().unwrap();
    assert_eq!(disk.found()["ID_PART_TABLE_TYPE"], "gpt");
    let before = disk.bytes();
    let ran = desk.run(&config(&[entry(&disk, "ext4")]));
    ran.expect_code(1);
    assert!(ran.stderr.contains("gpt partition table"), "{ran}");
    disk.assert_same(&before, "table");
    let wipe = config(&[with(entry(&disk, "ext4"), json!({"wipeFilesystem": true}))]);
    desk.plan(&wipe).expect_code(3);
    desk.run(&wipe).expect_code(0);
    assert_eq!(disk.signature().0, "ext4");

    // One that lists nothing is.
    let empty = Disk::blank(64);
    let table = json!({"ignition": {"version": "3.4.0"}, "storage": {
        "disks": [{"device": empty.node(), "wipeTable": true, "partitions": [{"number": 1}]}],
    }});
    desk.run(&table).expect_code(0);
    let table = json!({"ignition": {"version": "3.4.0"}, "storage": {
        "disks": [{"device": empty.node(), "partitions": [
            {"number": 1, "shouldExist": false, "wipePartitionEntry": true}
        ]}],
    }});
    desk.run(&table).expect_code(0);
    assert_eq!(empty.found()["ID_PART_TABLE_TYPE"], "gpt");
    desk.run(&config(&[entry(&empty, "ext4")])).expect_code(0);
    assert_eq!(empty.signature().0, "ext4");
}

/// All are attempted; the failure names those that failed by their places in the config.
#[test]
fn failures_of_several_are_told_together() {
    if !available() {
        return;
    }
    let desk = Desk::new();
    let (small, good, tiny) = (Disk::blank(1), Disk::blank(64), Disk::blank(1));
    let ran = desk.run(&config(&[
        entry(&small, "xfs"),
        entry(&good, "ext4"),
        entry(&tiny, "btrfs"),
    ]));
    ran.expect_code(1);
    assert_eq!(good.signature().0, "ext4");
    for words in [
        "storage.filesystems[0]",
        "mkfs.xfs",
        "storage.filesystems[2]",
        "mkfs.btrfs",
    ] {
        assert!(ran.stderr.contains(words), "{words} is missing: {ran}");
    }
}
