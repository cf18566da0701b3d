use super::super::table::{lines, refusal};
use super::*;
use crate::view::fake::FakeView;
use crate::view::fake_devices::FakeDevices;

fn config(raid: &str) -> Config {
    serde_json::from_str(&format!(r#"{{"storage": {{"raid": [{raid}]}}}}"#)).unwrap()
}

const MIRROR: &str = r#"{"name": "data", "level": "mirror", "devices": ["/dev/a", "/dev/b"]}"#;

/// Four disks of 1 GiB: vda to vdd, with links a to d.
fn disks() -> FakeDevices {
    ["a", "b", "c", "d"]
        .iter()
        .fold(FakeDevices::new(), |devices, name| {
            devices
                .disk(&format!("/dev/vd{name}"), 1 << 30)
                .link(&format!("/dev/{name}"), &format!("/dev/vd{name}"))
        })
}

fn member(name: &str, level: &str, devices: u32, array: &str) -> Member {
    Member {
        array: array.to_owned(),
        name: name.to_owned(),
        level: level.to_owned(),
        devices,
    }
}

/// The array that [`MIRROR`] asks for.
fn mirror() -> FakeDevices {
    disks()
        .member("/dev/vda", member("data", "raid1", 2, "u"))
        .member("/dev/vdb", member("data", "raid1", 2, "u"))
}

fn held(devices: FakeDevices, by: &str) -> FakeDevices {
    let by = Use::Held(by.to_owned());
    devices.used("/dev/vda", by.clone()).used("/dev/vdb", by)
}

fn planned(raid: &str, devices: FakeDevices) -> String {
    let view = FakeView::new().with_devices(devices);
    lines(&plan(&config(raid), &view).unwrap(), &view)
}

fn refused(raid: &str, devices: FakeDevices) -> String {
    refusal(plan(&config(raid), &FakeView::new().with_devices(devices)))
}

#[test]
fn nothing_to_do() {
    assert_eq!(planned("", disks()), "");
}

#[test]
fn arrays_are_made_and_what_is_lost_is_said() {
    insta::assert_snapshot!(planned(MIRROR, disks()), @r"
    create: /dev/md/data: raid1 of /dev/vda /dev/vdb @ storage.raid[0]
        mdadm --create data --force --run --homehost any --level mirror --raid-devices 2 /dev/vda /dev/vdb
    ");
    let lost = disks()
        .signature("/dev/vda", "ext4", "u", "old")
        .partition("/dev/vdb", 1, 1 << 20, 1 << 20);
    insta::assert_snapshot!(planned(MIRROR, lost), @r#"
    replace (ext4 "old" on /dev/vda of 1024 MiB; table with 1 partitions on /dev/vdb of 1024 MiB, trivial: false): /dev/md/data: raid1 of /dev/vda /dev/vdb @ storage.raid[0]
        mdadm --create data --force --run --homehost any --level mirror --raid-devices 2 /dev/vda /dev/vdb
    "#);
    let both = format!(
        "{MIRROR}, {}",
        r#"{"name": "/dev/md1", "level": "raid5", "devices": ["/dev/md/data", "/dev/c", "/dev/d"], "spares": 1, "options": ["--chunk=64"]}"#
    );
    insta::assert_snapshot!(planned(&both, disks()), @r"
    create: /dev/md/data: raid1 of /dev/vda /dev/vdb @ storage.raid[0]
        mdadm --create data --force --run --homehost any --level mirror --raid-devices 2 /dev/vda /dev/vdb
    create: /dev/md1: raid5 of /dev/md/data /dev/vdc /dev/vdd, 1 of them a spare @ storage.raid[1]
        mdadm --create /dev/md1 --force --run --homehost any --level raid5 --raid-devices 2 --spare-devices 1 --chunk=64 /dev/md/data /dev/vdc /dev/vdd
    ");
}

#[test]
fn an_array_that_matches_is_kept() {
    let running = held(mirror(), "md127")
        .disk("/dev/md127", 1 << 30)
        .link("/dev/md/data", "/dev/md127");
    insta::assert_snapshot!(planned(MIRROR, running), @r"
    keep (it has this name, this level and these members, and runs): /dev/md/data: assemble /dev/vda /dev/vdb @ storage.raid[0]
        mdadm --assemble data --run /dev/vda /dev/vdb
    ");
    insta::assert_snapshot!(planned(MIRROR, mirror()), @r"
    modify (starts it: name, level and members are these): /dev/md/data: assemble /dev/vda /dev/vdb @ storage.raid[0]
        mdadm --assemble data --run /dev/vda /dev/vdb
    ");
    let foreign = held(mirror(), "md127").disk("/dev/md127", 1 << 30);
    insta::assert_snapshot!(planned(MIRROR, foreign), @r"
    modify (starts it under its name): /dev/md/data: stop it as /dev/md127, assemble /dev/vda /dev/vdb @ storage.raid[0]
        mdadm --stop /dev/md127
        mdadm --assemble data --run /dev/vda /dev/vdb
    ");
}

/// What is on an array that is started is seen when it runs. If it belongs to another one, that may be kept, too.
#[test]
fn what_is_on_a_kept_array_is_not_taken_for_nothing() {
    let both = format!(
        "{MIRROR}, {}",
        r#"{"name": "big", "level": "raid1", "devices": ["/dev/md/data", "/dev/c"]}"#
    );
    insta::assert_snapshot!(planned(&both, mirror()), @r"
    modify (starts it: name, level and members are these): /dev/md/data: assemble /dev/vda /dev/vdb @ storage.raid[0]
        mdadm --assemble data --run /dev/vda /dev/vdb
    unknown (what is on /dev/md/data is known when it runs or is open): /dev/md/big: raid1 of /dev/md/data /dev/vdc @ storage.raid[1]
        mdadm --create big --force --run --homehost any --level raid1 --raid-devices 2 /dev/md/data /dev/vdc
    ");
}

#[test]
fn what_does_not_match_in_one_point_is_made_anew() {
    let other = |a: Member, b: Member| disks().member("/dev/vda", a).member("/dev/vdb", b);
    let same = || member("data", "raid1", 2, "u");
    for devices in [
        other(same(), member("data", "raid1", 2, "v")),
        other(member("other", "raid1", 2, "u"), member("other", "raid1", 2, "u")),
        other(member("data", "raid0", 2, "u"), member("data", "raid0", 2, "u")),
        other(member("data", "raid1", 3, "u"), member("data", "raid1", 3, "u")),
        disks().member("/dev/vda", same()),
    ] {
        let text = planned(MIRROR, devices);
        assert!(text.starts_with("replace (linux_raid_member"), "{text}");
    }
    // Spares are members that the array does not count.
    let spare = r#"{"name": "data", "level": "1", "devices": ["/dev/a", "/dev/b", "/dev/c"], "spares": 1}"#;
    let three = mirror().member("/dev/vdc", same());
    assert!(planned(spare, three).starts_with("modify (starts it"));
    assert!(planned(spare, mirror()).starts_with("replace"));
}

#[test]
fn refusals() {
    let raid = |spares: i64, devices: &str| {
        format!(r#"{{"name": "data", "level": "raid1", "devices": [{devices}], "spares": {spares}}}"#)
    };
    let two = r#""/dev/a", "/dev/b""#;
    let name = |name: &str| MIRROR.replace("data", name);
    for (config, devices, words) in [
        (
            raid(2, two),
            disks(),
            "storage.raid[0].spares: 2 spares of 2 devices leave no array; give more devices, or fewer spares",
        ),
        (raid(-1, two), disks(), "storage.raid[0].spares: -1 spares"),
        (
            raid(0, r#""/dev/a", "/dev/none""#),
            disks(),
            "storage.raid[0].devices[1]: /dev/none is no block device; correct the path, or attach the device",
        ),
        (
            raid(0, r#""/dev/a", "/dev/vda""#),
            disks(),
            "storage.raid[0].devices[1]: /dev/vda is /dev/vda as devices[0] is; name each device once",
        ),
        (
            name("-x"),
            disks(),
            "storage.raid[0].name: \"-x\" cannot be a name",
        ),
        (
            name("a/b"),
            disks(),
            "storage.raid[0].name: mdadm takes no array named \"a/b\"; give it a name without slashes",
        ),
        (name("/dev/md_x"), disks(), "storage.raid[0].name: mdadm takes no"),
        (name("/dev/md"), disks(), "storage.raid[0].name: mdadm takes no"),
        (name("/data"), disks(), "storage.raid[0].name: mdadm takes no"),
        (name(""), disks(), "storage.raid[0].name: \"\" cannot be a name"),
        (
            MIRROR.to_owned(),
            disks().used("/dev/vdb", Use::Swap),
            "storage.raid[0].devices[1]: it cannot be changed: /dev/vdb is used as swap space; unmount it",
        ),
        (
            MIRROR.to_owned(),
            disks()
                .partition("/dev/vda", 1, 1 << 20, 1 << 20)
                .mount("/dev/vda1", "/boot", "ext4"),
            "storage.raid[0].devices[0]: it cannot be changed: /dev/vda1 is mounted at /boot",
        ),
        (
            MIRROR.to_owned(),
            held(
                disks().member("/dev/vda", member("old", "raid1", 2, "u")),
                "md126",
            ),
            "storage.raid[0].devices[0]: it cannot be changed: /dev/vda is used by md126",
        ),
        (
            MIRROR.to_owned(),
            held(mirror(), "md127")
                .disk("/dev/md127", 1 << 30)
                .mount("/dev/md127", "/data", "ext4"),
            "storage.raid[0]: it cannot be changed: /dev/md127 is mounted at /data",
        ),
        (
            MIRROR.to_owned(),
            mirror().mount("/dev/vda", "/data", "ext4"),
            "storage.raid[0].devices[0]: it cannot be changed: /dev/vda is mounted at /data",
        ),
        (
            MIRROR.to_owned(),
            held(mirror(), "md127")
                .disk("/dev/md127", 1 << 30)
                .disk("/dev/md/data", 1 << 30),
            "storage.raid[0].name: its members are used by md127, and /dev/md/data is something else; stop",
        ),
        (
            MIRROR.to_owned(),
            mirror().disk("/dev/md/data", 1 << 30),
            "storage.raid[0].name: its members are used by nothing, and",
        ),
        (
            MIRROR.to_owned(),
            disks().disk("/dev/md/data", 1 << 30),
            "storage.raid[0].name: there is a /dev/md/data already, of other devices; stop it (mdadm --stop /dev/md/data)",
        ),
        (
            format!("{MIRROR}, {}", name("more")),
            disks(),
            "storage.raid[1].devices[0]: it cannot be changed: /dev/vda is used by data",
        ),
    ] {
        let text = refused(&config, devices);
        assert!(text.starts_with(words), "{text}");
    }
}

#[test]
fn names_that_mdadm_takes() {
    for name in [
        "data",
        "md0",
        "/dev/md/data",
        "/dev/md/0",
        "/dev/md0",
        "/dev/md127",
        "/dev/md_d0",
    ] {
        assert!(
            check_config(&config(&MIRROR.replace("data", name))).is_ok(),
            "{name}"
        );
    }
}

#[test]
fn all_members_are_waited_for() {
    let wanted = wanted(&config(MIRROR));
    let shown: Vec<String> = wanted.iter().map(|(path, at)| format!("{path} {at}")).collect();
    assert_eq!(
        shown,
        [
            "/dev/a storage.raid[0].devices[0]",
            "/dev/b storage.raid[0].devices[1]"
        ]
    );
}
