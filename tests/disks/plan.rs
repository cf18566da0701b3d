//! `plan` over real disks: what is there before, what will be there, what goes and on whose word; and that it is so then.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use super::Desk;
use crate::support::disk::{Disk, available};
use crate::support::programs::{self, BINARY, Program, Ran};

const MIB: u64 = 1 << 20;

fn plan(desk: &Desk, config: &Value, format: &str) -> Ran {
    let program = Program::ignition_rs().arg("plan").arg(desk.write(config));
    program
        .arg("--root")
        .arg(desk.0.path())
        .args(["--format", format])
        .run()
}

/// Number, label, start and size in MiB, type and label of what stands there, fate, who asks; before, and after.
fn parts(disk: &Value, when: &str) -> Vec<String> {
    let mib = |value: &Value| value.as_u64().unwrap() / MIB;
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let parts = disk[when].as_array().unwrap().iter();
    parts
        .map(|part| {
            format!(
                "{} {} {}+{} {} {} {} {}",
                part["number"],
                text(&part["label"]),
                mib(&part["start"]),
                mib(&part["size"]),
                text(&part["holds"]["type"]),
                text(&part["holds"]["label"]),
                text(&part["change"]),
                text(&part["asks"]["cause"]),
            )
        })
        .collect()
}

fn commands(plan: &Value) -> Vec<String> {
    let stages = plan["stages"].as_array().unwrap().iter();
    let steps = stages.flat_map(|stage| stage["steps"].as_array().unwrap());
    steps
        .filter_map(|step| step["commands"].as_array())
        .flatten()
        .map(|command| command.as_str().unwrap().to_owned())
        .collect()
}

/// Two disks in all their states: first everything is new, then nothing is to do, then much goes.
#[test]
fn disks_before_and_after() {
    if !available() {
        return;
    }
    let desk = Desk::new();
    let (one, two) = (Disk::blank(600), Disk::blank(400));
    let (a, b) = (one.node(), two.node());
    let first = json!({"ignition": {"version": "3.4.0"}, "storage": {
        "disks": [{"device": a, "wipeTable": true, "partitions": [
            {"number": 1, "label": "ROOT", "sizeMiB": 100},
            {"number": 2, "label": "swap", "sizeMiB": 20, "typeGuid": "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F"},
            {"number": 5, "label": "precious", "sizeMiB": 64}]}],
        "filesystems": [
            {"device": format!("{a}p1"), "format": "ext4", "label": "ROOT"},
            {"device": format!("{a}p2"), "format": "swap", "label": "space"},
            {"device": format!("{a}p5"), "format": "ext4", "label": "photos"}]}});
    let before = one.bytes();
    let ran = plan(&desk, &first, "json");
    ran.expect_code(2);
    one.assert_same(&before, "a plan");
    let wanted: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(parts(&wanted["disks"][0], "before"), [""; 0]);
    let after = parts(&wanted["disks"][0], "after");
    assert_eq!(
        after,
        [
            "1 ROOT 1+100 ext4 ROOT create -",
            "2 swap 101+20 swap space create -",
            "5 precious 121+64 ext4 photos create -"
        ]
    );
    desk.run(&first).expect_code(0);

    // The same without the wipe: nothing to do, and before is what was planned for after.
    let mut same = first.clone();
    same["storage"]["disks"][0]["wipeTable"] = json!(false);
    let ran = plan(&desk, &same, "json");
    ran.expect_code(0);
    let there: Value = serde_json::from_str(&ran.stdout).unwrap();
    let as_planned: Vec<String> = after
        .iter()
        .map(|part| part.replace(" create", " keep"))
        .collect();
    for when in ["before", "after"] {
        assert_eq!(parts(&there["disks"][0], when), as_planned, "{when}");
    }
    assert_eq!(commands(&there), [""; 0]);

    let second = json!({"ignition": {"version": "3.4.0"}, "storage": {
        "disks": [
            {"device": a, "partitions": [
                {"number": 1, "label": "ROOT"},
                {"number": 5, "label": "other", "startMiB": 300, "sizeMiB": 32, "wipePartitionEntry": true}]},
            {"device": b, "partitions": [{"number": 1, "label": "data"}]}],
        "filesystems": [
            {"device": format!("{a}p1"), "format": "xfs", "label": "ROOT", "wipeFilesystem": true,
             "options": ["-m", "reflink=0"]},
            {"device": format!("{a}p2"), "format": "swap", "label": "space"},
            {"device": format!("{b}p1"), "format": "xfs", "label": "data", "path": "/var/lib/data",
             "mountOptions": ["noatime"]}]},
        "kernelArguments": {"shouldExist": ["quiet"]}});
    // xfs wants at least 300 MiB.
    let mut second = second;
    second["storage"]["filesystems"][0]["format"] = json!("btrfs");
    second["storage"]["filesystems"][0]["options"] = json!(["-m", "single"]);
    let before = one.bytes();
    let ran = plan(&desk, &second, "json");
    ran.expect_code(3);
    one.assert_same(&before, "a plan that destroys");
    let wanted: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(
        parts(&wanted["disks"][0], "before"),
        [
            "1 ROOT 1+100 ext4 ROOT lost storage.filesystems[0].wipeFilesystem",
            "2 swap 101+20 swap space keep -",
            "5 precious 121+64 ext4 photos lost storage.disks[0].partitions[1].wipePartitionEntry"
        ]
    );
    let after: Vec<Vec<String>> = (0..2)
        .map(|index| parts(&wanted["disks"][index], "after"))
        .collect();
    assert_eq!(
        after,
        [
            vec![
                "1 ROOT 1+100 btrfs ROOT replace -",
                "2 swap 101+20 swap space keep -",
                "5 other 300+32 - - replace -"
            ],
            vec!["1 data 1+398 xfs data create -"]
        ]
    );
    let target = format!("{}/var/lib/data", desk.0.path().display());
    assert_eq!(
        commands(&wanted),
        [
            "ignition-kargs-helper --should-exist quiet".to_owned(),
            format!("wipefs -a {a}p1"),
            format!("mkfs.btrfs -m single --force -L ROOT {a}p1"),
            format!("wipefs -a {b}p1"),
            format!("mkfs.xfs -f -L data {b}p1"),
            format!("mount -o noatime -t xfs {b}p1 {target}"),
        ]
    );
    let text = plan(&desk, &second, "text");
    text.expect_code(3);
    for words in [
        &format!("disk {a} (600 MiB), before"),
        "- LOST     5  precious  121 MiB  64 MiB   Linux filesystem  ext4 \"photos\"",
        "$ mkfs.btrfs -m single --force -L ROOT",
        "for storage.disks[0].partitions[1].wipePartitionEntry\n",
    ] {
        assert!(text.stdout.contains(words), "{words}: {text}");
    }

    // What was planned is what is there then.
    desk.run(&second).expect_code(0);
    let ran = plan(
        &desk,
        &json!({"ignition": {"version": "3.4.0"}, "storage": {"filesystems": [
        {"device": format!("{a}p5"), "format": "ext4"}, {"device": format!("{b}p1"), "format": "ext4", "wipeFilesystem": true}]}}),
        "json",
    );
    ran.expect_code(3);
    let there: Value = serde_json::from_str(&ran.stdout).unwrap();
    let fate = |part: &String| part.rsplitn(3, ' ').last().unwrap().to_owned();
    for (index, planned) in after.iter().enumerate() {
        let found: Vec<String> = parts(&there["disks"][index], "before").iter().map(fate).collect();
        let planned: Vec<String> = planned.iter().map(fate).collect();
        assert_eq!(found, planned);
    }
}

/// RAID and LUKS are only predicted here: the plan has their commands, and the devices that come of them.
#[test]
fn arrays_and_volumes_are_planned() {
    if !available() {
        return;
    }
    let desk = Desk::new();
    let (one, two) = (Disk::blank(64), Disk::blank(64));
    one.with("mkfs.ext4", &["-q", "-L", "photos"]);
    let (a, b) = (one.node(), two.node());
    let config = json!({"ignition": {"version": "3.4.0"}, "storage": {
        "raid": [{"name": "data", "level": "raid1", "devices": [a, b]}],
        "luks": [{"name": "crypt", "device": "/dev/md/data", "label": "crypt",
                  "keyFile": {"source": "data:,xyzzy-canary"}}],
        "filesystems": [{"device": "/dev/mapper/crypt", "format": "ext4", "path": "/srv"}]}});
    let ran = plan(&desk, &config, "json");
    ran.expect_code(3);
    assert!(!ran.stdout.contains("xyzzy-canary"), "{ran}");
    let wanted: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(
        parts(&wanted["disks"][0], "before"),
        ["0  0+64 ext4 photos lost storage.raid[0]"]
    );
    assert_eq!(
        parts(&wanted["disks"][1], "after"),
        ["0  0+64 linux_raid_member data create -"]
    );
    let commands = commands(&wanted);
    let begins: Vec<&str> = commands
        .iter()
        .map(|command| command.split(" --").next().unwrap())
        .collect();
    let mount = format!(
        "mount -o '' -t ext4 /dev/mapper/crypt {}/srv",
        desk.0.path().display()
    );
    assert_eq!(
        begins,
        [
            "mdadm",
            "cryptsetup luksFormat",
            "cryptsetup luksOpen /dev/md/data crypt",
            "wipefs -a /dev/mapper/crypt",
            "mkfs.ext4 -F /dev/mapper/crypt",
            &mount,
        ],
        "{commands:?}"
    );
    assert!(commands[0].ends_with(&format!("--level raid1 --raid-devices 2 {a} {b}")));
}

/// Whoever may not read a disk is told so, of its table as of its filesystems.
#[test]
fn without_privileges() {
    if !available() || !programs::have("setpriv") {
        return;
    }
    let desk = Desk::new();
    let disk = Disk::blank(64);
    let copy = desk.beside().join("ignition-rs");
    programs::copy(BINARY, &copy);
    let path = desk.write(&json!({"ignition": {"version": "3.4.0"}, "storage": {
        "disks": [{"device": disk.node(), "wipeTable": true, "partitions": [{"number": 1}]}],
        "filesystems": [{"device": format!("{}p1", disk.node()), "format": "ext4"}]}}));
    for (path, mode) in [
        (&copy, 0o755),
        (&desk.beside().to_path_buf(), 0o755),
        (&path, 0o644),
    ] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let program = Program::new(&copy).arg("plan").arg(&path);
    let ran = program
        .under([
            "setpriv",
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "--",
        ])
        .run();
    ran.expect_code(2);
    let told = format!("this user may not read {}; root sees what is on it", disk.node());
    assert!(ran.stdout.contains(&told), "{ran}");
}
