//! What a provisioned image has on it, and what a second run would do.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use super::{Desk, Part, as_nobody, available, file, two_filesystems, words};
use crate::support::programs;

/// All formats that this kernel mounts, and swap: nothing, then everything, then nothing to do.
#[test]
fn a_blank_image_becomes_a_disk() {
    if !available() {
        return;
    }
    let desk = Desk::new(1400);
    let config = json!({"ignition": {"version": "3.4.0"},
        "storage": {
            "disks": [{"device": "/dev/nvme0n1", "partitions": [
                {"number": 1, "label": "root", "sizeMiB": 200},
                {"number": 2, "label": "x f s", "sizeMiB": 320},
                {"number": 3, "label": "btrfs", "sizeMiB": 300},
                {"number": 4, "label": "swap"},
            ]}],
            "filesystems": [
                {"device": "/dev/disk/by-partlabel/root", "format": "ext4", "label": "ROOT"},
                {"device": "/dev/disk/by-partlabel/x\\x20f\\x20s", "format": "xfs", "path": "/var"},
                {"device": "/dev/nvme0n1p3", "format": "btrfs", "path": "/srv"},
                {"device": "/dev/nvme0n1p4", "format": "swap", "label": "SWAP"},
            ],
            "files": [file("/etc/hostname", "web"), file("/var/x", "xfs"), file("/srv/x", "btrfs")],
        },
        "passwd": {"users": [{"name": "core", "uid": 1234}]},
        "systemd": {"units": [{"name": "a.service", "enabled": true, "contents": "[Unit]\n"}]},
    });
    let before = desk.plan(&config);
    before.expect_code(2);
    assert!(
        words(&before).iter().all(|words| words.starts_with("create ")),
        "{before}"
    );
    assert_eq!(fs::metadata(desk.image()).unwrap().len(), 1400 << 20);
    desk.provision(&config).expect_code(0);

    let root = desk.mounted(1);
    assert_eq!(root.read("etc/hostname"), "web");
    assert_eq!(root.mode("etc/.ignition-result.json"), 0o600);
    assert!(
        root.read("etc/.ignition-result.json")
            .contains("provisioningDate")
    );
    assert!(root.read("etc/passwd").contains("core:x:1234:"));
    assert!(
        root.read("etc/systemd/system-preset/20-ignition.preset")
            .contains("enable a.service")
    );
    assert!(!root.path(".ignition-progress").exists());
    assert_eq!(
        fs::read_dir(root.path("var")).unwrap().count(),
        0,
        "it is another filesystem's"
    );
    drop(root);
    assert_eq!(desk.mounted(2).read("x"), "xfs");
    assert_eq!(desk.mounted(3).read("x"), "btrfs");
    let output = Command::new("sgdisk")
        .arg("-v")
        .arg(desk.image())
        .output()
        .unwrap();
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("No problems found"),
        "{output:?}"
    );

    // It depends on files of xfs, which is said and not guessed; without them it is known.
    let again = desk.plan(&config);
    again.expect_code(1);
    assert!(
        again.stderr.contains("storage.files[1]")
            && again.stderr.contains("/var/x is on")
            && again.stderr.contains("/dev/nvme0n1p2, which holds xfs"),
        "{again}"
    );
    assert!(again.stderr.contains("--root"), "{again}");
    let mut known = config.clone();
    known["storage"]["files"] = json!([file("/etc/hostname", "web")]);
    let again = desk.plan(&known);
    let changed: Vec<String> = words(&again)
        .into_iter()
        .filter(|words| !words.starts_with("keep "))
        .collect();
    assert_eq!(changed, Vec::<String>::new(), "{again}");
    // And provisioning again works where a plan cannot look.
    desk.provision(&config).expect_code(0);
    assert_eq!(desk.mounted(2).read("x"), "xfs");
}

/// What stays is read from the image: also by somebody who may do nothing else with it, and of filesystems below the root.
#[test]
fn a_second_plan_keeps_what_is_there() {
    if !available() || !programs::have("setpriv") {
        return;
    }
    let desk = Desk::new(400);
    let config = two_filesystems("ext4");
    desk.provision(&config).expect_code(0);
    assert_eq!(desk.mounted(2).read("lib/x/deep"), "y");
    let plans = [
        desk.plan(&config),
        as_nobody(&desk, &["plan", "--format=json"], &config),
    ];
    for plan in plans {
        plan.expect_code(2);
        assert_eq!(
            words(&plan),
            [
                "keep /dev/vda",
                "keep /dev/disk/by-partlabel/root",
                "keep /dev/vda2",
                "keep /opt/made",
                "keep /etc/hostname",
                "keep /etc/soft",
                "keep /var/lib/x/deep",
                "keep /etc/hard",
            ],
            "{plan}"
        );
    }
    // A root that is made anew is empty, and what is mounted in it is not.
    let mut wiped = config.clone();
    wiped["storage"]["filesystems"][0]["wipeFilesystem"] = json!(true);
    let plan = desk.plan(&wiped);
    plan.expect_code(3);
    let words = words(&plan);
    for expected in [
        "replace /dev/disk/by-partlabel/root",
        "create /etc/hostname",
        "keep /var/lib/x/deep",
    ] {
        assert!(words.iter().any(|words| words == expected), "{expected}: {plan}");
    }
}

#[test]
fn sectors_of_4096_bytes() {
    if !available() {
        return;
    }
    let desk = Desk::new(400);
    let config = two_filesystems("ext4");
    let ran = desk
        .program("provision", &config)
        .args(["--sector-size", "4096"])
        .run();
    ran.expect_code(0);
    let header = fs::read(desk.image()).unwrap()[4096..4104].to_vec();
    assert_eq!(header, b"EFI PART");
    // The table says it by now.
    let plan = desk.plan(&config);
    assert_eq!(words(&plan)[0], "keep /dev/vda", "{plan}");
    desk.provision(&config).expect_code(0);
}

/// Another label, and the root as the config names it.
#[test]
fn the_root_by_another_name() {
    if !available() {
        return;
    }
    for (with, flags) in [
        (json!({"label": "root"}), &["--root-label", "root"][..]),
        (json!({"path": "/", "label": "whatever"}), &[]),
    ] {
        let desk = Desk::new(64);
        let mut filesystem = json!({"device": "/dev/vda", "format": "ext4"});
        for (key, value) in with.as_object().unwrap() {
            filesystem[key] = value.clone();
        }
        let config = json!({"ignition": {"version": "3.4.0"}, "storage": {
            "filesystems": [filesystem], "files": [file("/etc/x", "1")],
        }});
        let plan = desk
            .program("plan", &config)
            .args(flags)
            .args(["--format=json"])
            .run();
        assert_eq!(
            words(&plan),
            ["create /dev/vda", "create /etc", "create /etc/x"],
            "{plan}"
        );
        let ran = desk.program("provision", &config).args(flags).run();
        ran.expect_code(0);
        let plan = desk
            .program("plan", &config)
            .args(flags)
            .args(["--format=json"])
            .run();
        assert_eq!(words(&plan), ["keep /dev/vda", "keep /etc/x"], "{plan}");
        assert!(desk.attached().is_empty());
    }
}

/// A machine with two disks, and one with a disk that the config knows by its serial number.
#[test]
fn several_images() {
    if !available() {
        return;
    }
    let desk = Desk::new(64);
    let other = desk.blank("other.img", 64);
    let by_id = "/dev/disk/by-id/ata-x";
    let config = json!({"ignition": {"version": "3.4.0"}, "storage": {
        "disks": [
            {"device": "/dev/sda", "partitions": [{"number": 1, "label": "a"}]},
            {"device": by_id, "partitions": [{"number": 1, "label": "b"}]},
        ],
        "filesystems": [
            {"device": "/dev/sda1", "format": "ext4", "label": "ROOT"},
            {"device": format!("{by_id}-part1"), "format": "ext4", "path": "/data"},
        ],
        "files": [file("/data/x", "1")],
    }});
    let alone = desk.plan(&config);
    alone.expect_code(1);
    assert!(alone.stderr.contains("storage.disks[1].device"), "{alone}");
    let map = ["--map".to_owned(), format!("{by_id}={}", other.display())];
    desk.program("provision", &config).args(&map).run().expect_code(0);
    assert_eq!(Part::of(&other, 1).read("x"), "1");
    let plan = desk
        .program("plan", &config)
        .args(&map)
        .args(["--format=json"])
        .run();
    let kept: Vec<String> = words(&plan);
    assert_eq!(kept.len(), 5, "{plan}");
    assert!(kept.iter().all(|words| words.starts_with("keep ")), "{plan}");
    assert_eq!(super::attached(&other), Vec::<String>::new());
}

/// The config comes through a pipe, remote contents through the network of the workstation.
#[test]
fn a_config_from_stdin() {
    if !available() {
        return;
    }
    let desk = Desk::new(64);
    let config: Value = json!({"ignition": {"version": "3.4.0"}, "storage": {
        "filesystems": [{"device": "/dev/vda", "format": "ext4", "label": "ROOT"}],
        "files": [file("/x", "1")],
    }});
    let script = format!(
        "{} provision --image {} - <{}",
        programs::BINARY,
        desk.image().display(),
        desk.config(&config).display()
    );
    let ran = programs::Program::new("sh").args(["-c", &script]).run();
    ran.expect_code(0);
    assert!(desk.attached().is_empty());
}
