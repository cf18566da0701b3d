//! `plan --image` changes nothing, needs nothing, and knows nothing of the machine that it runs on.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};

use serde_json::{Value, json};

use super::{Desk, as_nobody, available, file, two_filesystems, words};
use crate::support::disk::Disk;
use crate::support::programs;

#[test]
fn nothing_is_touched_and_no_rights_are_needed() {
    if !programs::privileged() || !programs::have("setpriv") || !programs::have("blkid") {
        return;
    }
    let desk = Desk::new(400);
    let before = fs::metadata(desk.image()).unwrap();
    let plan = as_nobody(&desk, &["plan", "--format=json"], &two_filesystems("xfs"));
    plan.expect_code(2);
    assert_eq!(
        words(&plan)[..3],
        [
            "create /dev/vda",
            "create /dev/disk/by-partlabel/root",
            "create /dev/vda2"
        ]
    );
    assert!(plan.stdout.contains("/sysroot/var"), "{plan}");
    let after = fs::metadata(desk.image()).unwrap();
    assert_eq!(
        (before.mtime_nsec(), before.blocks()),
        (after.mtime_nsec(), after.blocks())
    );
    assert_eq!(after.blocks(), 0, "it is as sparse as before");
    // Provisioning says what it needs.
    let ran = as_nobody(&desk, &["provision"], &two_filesystems("xfs"));
    ran.expect_code(1);
    assert!(
        ran.stderr.contains("needs root") && ran.stderr.contains("plan --image"),
        "{ran}"
    );
}

/// A volume that is kept is opened by a run alone: a plan does not say that its filesystem would be made.
#[test]
fn what_is_in_a_kept_volume_is_not_taken_for_nothing() {
    if !available() || !programs::have("cryptsetup") {
        return;
    }
    let desk = Desk::new(400);
    let mut config = two_filesystems("ext4");
    config["storage"]["filesystems"][1] = json!({"device": "/dev/vda2", "format": "none"});
    config["storage"]["files"] = json!([file("/etc/hostname", "web")]);
    desk.provision(&config).expect_code(0);
    desk.make_volume(2, "canary");
    config["storage"]["luks"] = json!([
        {"name": "vault", "device": "/dev/vda2", "keyFile": {"source": "data:,canary"}}]);
    config["storage"]["filesystems"][1] =
        json!({"device": "/dev/mapper/vault", "format": "ext4", "label": "INSIDE", "path": "/var"});
    let plan = desk.plan(&config);
    plan.expect_code(2);
    let found = words(&plan);
    for expected in [
        "keep /dev/vda",
        "modify /dev/vda2",
        "unknown /dev/mapper/vault",
        "keep /etc/hostname",
    ] {
        assert!(found.iter().any(|words| words == expected), "{expected}: {plan}");
    }
    // What it holds decides about a file in it.
    let mut inside = config.clone();
    inside["storage"]["files"] = json!([file("/var/lib/x/deep", "y")]);
    let plan = desk.plan(&inside);
    plan.expect_code(1);
    for expected in [
        "storage.files[0]",
        "/dev/mapper/vault",
        "what a run finds there",
        "--root",
    ] {
        assert!(plan.stderr.contains(expected), "{expected}: {plan}");
    }
    // By a link that will lead to it.
    config["storage"]["filesystems"][1]["device"] = json!("/dev/disk/by-label/INSIDE");
    let plan = desk.plan(&config);
    plan.expect_code(2);
    assert!(
        words(&plan).contains(&"unknown /dev/disk/by-label/INSIDE".to_owned()),
        "{plan}"
    );
    // Made anew, all of it is lost, and nothing is unknown.
    config["storage"]["luks"][0]["wipeVolume"] = json!(true);
    config["storage"]["filesystems"][1]["device"] = json!("/dev/mapper/vault");
    let plan = desk.plan(&config);
    plan.expect_code(3);
    assert!(
        words(&plan).contains(&"create /dev/mapper/vault".to_owned()),
        "{plan}"
    );
}

/// Kernel arguments are shown as a boot would change them, and it is said that provisioning does not.
#[test]
fn kernel_arguments_are_not_for_images() {
    if !available() {
        return;
    }
    let desk = Desk::new(64);
    let config = json!({"ignition": {"version": "3.4.0"},
        "kernelArguments": {"shouldExist": ["quiet"]},
        "storage": {"filesystems": [{"device": "/dev/vda", "format": "ext4", "label": "ROOT"}]},
    });
    let plan = desk.plan(&config);
    plan.expect_code(2);
    assert!(plan.stderr.contains("kernel arguments"), "{plan}");
    let ran = desk.provision(&config);
    ran.expect_code(1);
    assert!(
        ran.stderr.contains("kernelArguments") && ran.stderr.contains("--ignore-unsupported"),
        "{ran}"
    );
    let ran = desk
        .program("provision", &config)
        .args(["--ignore-unsupported"])
        .run();
    ran.expect_code(0);
    assert!(ran.stdout.contains("kernelArguments are left out"), "{ran}");
}

/// Two partitions with one label: which one is meant is not guessed.
#[test]
fn an_ambiguous_label_is_an_error() {
    if !available() {
        return;
    }
    let desk = Desk::new(64);
    let mut config: Value = json!({"ignition": {"version": "3.4.0"}, "storage": {
        "disks": [{"device": "/dev/vda", "partitions": [{"number": 1, "sizeMiB": 20}, {"number": 2}]}],
        "filesystems": [
            {"device": "/dev/vda1", "format": "ext4", "label": "ROOT"},
            {"device": "/dev/vda2", "format": "ext4", "label": "ROOT"},
        ],
    }});
    let ran = desk.provision(&config);
    ran.expect_code(1);
    assert!(
        ran.stderr.contains("/dev/loop") && ran.stderr.contains("the same label"),
        "{ran}"
    );
    config["storage"]["filesystems"] = json!([]);
    let plan = desk.plan(&config);
    plan.expect_code(1);
    assert!(plan.stderr.contains("/dev/vda1 and /dev/vda2"), "{plan}");
}

/// Devices of this machine are none of the image's: by whatever name.
#[test]
fn devices_of_the_workstation_are_refused() {
    if !available() {
        return;
    }
    let foreign = Disk::blank(64);
    foreign.with("mkfs.ext4", &["-q", "-L", "elsewhere"]);
    let before = foreign.bytes();
    let desk = Desk::new(128);
    let blank = fs::metadata(desk.image()).unwrap().mtime_nsec();
    let node = desk.path("node");
    let made = std::process::Command::new("cp")
        .arg("-a")
        .arg(foreign.node())
        .arg(&node)
        .status();
    assert!(made.unwrap().success());
    // As udev would have it, had it seen the device.
    let label = format!("/dev/disk/by-label/ignition-test-{}", std::process::id());
    fs::create_dir_all("/dev/disk/by-label").unwrap();
    symlink(foreign.node(), &label).unwrap();
    for (path, words) in [
        (foreign.node(), "is not on the image"),
        (node.to_str().unwrap(), "is not on the image"),
        (label.as_str(), "is not there"),
        ("/dev/disk/by-label/elsewhere", "is not there"),
    ] {
        for entry in [
            json!({"filesystems": [
                {"device": "/dev/vda", "format": "ext4", "label": "ROOT"},
                {"device": path, "format": "ext4", "wipeFilesystem": true},
            ]}),
            json!({"filesystems": [{"device": "/dev/vda", "format": "ext4", "label": "ROOT"}],
                "disks": [{"device": "/dev/vdb", "wipeTable": true}, {"device": path, "wipeTable": true}]}),
        ] {
            let is_disk = entry.get("disks").is_some();
            let config = json!({"ignition": {"version": "3.4.0"}, "storage": entry});
            let other = desk.blank("vdb.img", 64);
            let map = [
                "--map".to_owned(),
                "/dev/vda".to_owned(),
                "--map".to_owned(),
                format!("/dev/vdb={}", other.display()),
            ];
            let place = if is_disk {
                "storage.disks[1].device"
            } else {
                "storage.filesystems[1].device"
            };
            for verb in ["plan", "provision"] {
                let ran = desk.program(verb, &config).args(&map).run();
                ran.expect_code(1);
                assert!(
                    ran.stderr.contains(place) && ran.output().contains(words),
                    "{path}: {ran}"
                );
                assert!(ran.stderr.contains(path), "{ran}");
            }
        }
    }
    fs::remove_file(&label).unwrap();
    let _ = fs::remove_dir("/dev/disk/by-label");
    foreign.assert_same(&before, "nothing was written to it");
    assert_eq!(
        fs::metadata(desk.image()).unwrap().mtime_nsec(),
        blank,
        "nor to the image"
    );
    let _ = file("/x", "");
}
