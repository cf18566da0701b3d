//! Partition tables on loop devices, with what stands on the partitions.

use serde_json::{Value, json};

use super::Desk;
use crate::support::disk::{Disk, MountOf, available};

const MIB: u64 = 1 << 20;

fn storage(disk: &Disk, wipe: bool, partitions: &Value, filesystems: &Value) -> Value {
    json!({"ignition": {"version": "3.4.0"}, "storage": {
        "disks": [{"device": disk.node(), "wipeTable": wipe, "partitions": partitions}],
        "filesystems": filesystems,
    }})
}

/// Number, label, start and size in MiB, as the kernel and sfdisk see them.
fn seen(disk: &Disk) -> Vec<(u32, String, u64, u64)> {
    let out = std::process::Command::new("sfdisk")
        .args(["--json", disk.node()])
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let table: Value = serde_json::from_slice(&out.stdout).unwrap();
    let name = disk.node().trim_start_matches("/dev/");
    let parts = table["partitiontable"]["partitions"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    parts
        .iter()
        .map(|part| {
            let node = part["node"].as_str().unwrap();
            let number = node.rsplit('p').next().unwrap().parse().unwrap();
            let sysfs = |file: &str| -> u64 {
                let path = format!("/sys/class/block/{name}/{name}p{number}/{file}");
                std::fs::read_to_string(path).unwrap().trim().parse().unwrap()
            };
            let (start, size) = (part["start"].as_u64().unwrap(), part["size"].as_u64().unwrap());
            assert_eq!(
                (sysfs("start"), sysfs("size")),
                (start, size),
                "the kernel knows partition {number}"
            );
            let label = part["name"].as_str().unwrap_or_default().to_owned();
            (number, label, start * 512 / MIB, size * 512 / MIB)
        })
        .collect()
}

#[test]
fn a_table_with_filesystems_is_made_kept_and_extended() {
    if !available() {
        return;
    }
    let disk = Disk::blank(256);
    let part = |number: u32| format!("{}p{number}", disk.node());
    let partitions = json!([
        {"label": "boot", "number": 1, "sizeMiB": 32, "typeGuid": "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"},
        {"label": "root", "number": 9, "sizeMiB": 64},
    ]);
    let filesystems = json!([
        {"device": part(1), "format": "vfat", "label": "BOOT"},
        {"device": part(9), "format": "ext4", "label": "ROOT"},
    ]);
    let config = storage(&disk, true, &partitions, &filesystems);
    let desk = Desk::new();
    desk.run(&config).expect_code(0);
    let boot = (1, "boot".to_owned(), 1, 32);
    let root = (9, "root".to_owned(), 33, 64);
    assert_eq!(seen(&disk), [boot.clone(), root.clone()]);

    // Again, without the wipe: nothing is written.
    let config = storage(&disk, false, &partitions, &filesystems);
    let before = disk.bytes();
    desk.run(&config).expect_code(0);
    disk.assert_same(&before, "what is as it should be is kept");

    // One partition is in use: another one can be added, and it cannot be changed.
    let mounted = MountOf::read_only(&part(9));
    let more = json!([{"label": "data"}]);
    desk.run(&storage(
        &disk,
        false,
        &more,
        &json!([{"device": part(2), "format": "ext4"}]),
    ))
    .expect_code(0);
    let found = seen(&disk);
    assert_eq!(found[..1], [boot]);
    assert_eq!(found[1].0, 2);
    assert_eq!(found[1].1, "data");
    assert_eq!(found[2], root);
    let before = disk.bytes();
    for (wipe, change) in [
        (
            false,
            json!([{"number": 9, "shouldExist": false, "wipePartitionEntry": true}]),
        ),
        (
            false,
            json!([{"number": 9, "label": "root", "sizeMiB": 16, "wipePartitionEntry": true}]),
        ),
        (true, json!([])),
    ] {
        let ran = desk.run(&storage(&disk, wipe, &change, &json!([])));
        ran.expect_code(1);
        assert!(ran.stdout.contains("mounted at"), "{ran}");
        disk.assert_same(&before, "a partition in use");
    }
    drop(mounted);
}

#[test]
fn what_does_not_fit_or_match_is_refused_before_anything_is_written() {
    if !available() {
        return;
    }
    let disk = Disk::blank(64);
    let desk = Desk::new();
    let first = json!([{"label": "one", "number": 1, "sizeMiB": 16}]);
    desk.run(&storage(&disk, true, &first, &json!([]))).expect_code(0);
    let before = disk.bytes();
    for (partitions, place) in [
        (
            json!([{"label": "other", "number": 1}]),
            "storage.disks[0].partitions[0]",
        ),
        (
            json!([{"number": 2, "startMiB": 8, "sizeMiB": 16}]),
            "storage.disks[0].partitions[0]",
        ),
        (
            json!([{"number": 2, "sizeMiB": 1000}]),
            "storage.disks[0].partitions[0]",
        ),
        (
            json!([{"number": 1, "shouldExist": false}]),
            "storage.disks[0].partitions[0]",
        ),
    ] {
        let config = storage(&disk, false, &partitions, &json!([]));
        for ran in [desk.run(&config), desk.dry_run(&config)] {
            ran.expect_code(1);
            assert!(ran.stderr.contains(place), "{place}: {ran}");
            disk.assert_same(&before, place);
        }
    }
}

/// The plan names what goes, and the disk stays as it is.
#[test]
fn a_dry_run_names_what_is_lost() {
    if !available() {
        return;
    }
    let disk = Disk::blank(64);
    let desk = Desk::new();
    let first = json!([{"label": "precious", "number": 1, "sizeMiB": 16}]);
    let ext4 = json!([{"device": format!("{}p1", disk.node()), "format": "ext4"}]);
    desk.run(&storage(&disk, true, &first, &ext4)).expect_code(0);
    let before = disk.bytes();
    let other = json!([{"label": "other", "number": 1, "sizeMiB": 8, "wipePartitionEntry": true}]);
    let ran = desk.dry_run(&storage(&disk, false, &other, &json!([])));
    ran.expect_code(0);
    for words in ["\"replace\"", "precious", "of 16 MiB with ext4"] {
        assert!(ran.stdout.contains(words), "{words}: {ran}");
    }
    disk.assert_same(&before, "a dry run");
}
