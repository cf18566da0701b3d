use super::*;
use crate::plan::check::check;
use crate::plan::predict::predict;
use crate::report::chain;
use crate::view::fake::FakeView;
use crate::view::fake_devices::FakeDevices;
use crate::view::{Overlay, Use};

const UUID: &str = "0fc63daf-8483-4772-8e79-3d69d8477de4";
const NODE: &str = "/dev/vda9";

fn config(filesystems: &str) -> Config {
    let text = format!(r#"{{"storage": {{"filesystems": [{filesystems}]}}}}"#);
    serde_json::from_str(&text).unwrap()
}

/// A disk with nine partitions' worth of numbers, of which the ninth is what configs mean.
fn machine() -> FakeDevices {
    FakeDevices::new()
        .disk("/dev/vda", 10 << 30)
        .partition("/dev/vda", 9, 1 << 30, 2 << 30)
        .link("/dev/disk/by-partlabel/ROOT", NODE)
        .disk("/dev/vdb", 1 << 30)
}

/// Plans, checks, and shows the change of each step, or the refusal.
fn planned(filesystems: &str, devices: FakeDevices) -> String {
    let view = FakeView::new().with_devices(devices);
    match plan(&config(filesystems), &view) {
        Ok(plan) => {
            check(&plan, &view).unwrap();
            let words = plan.steps.iter().map(|step| match &step.change {
                Change::Create => "create".to_owned(),
                Change::Keep { reason } => format!("keep: {reason}"),
                Change::Replace { lost } => {
                    assert!(!lost.trivial);
                    format!("replace: {}", lost.what)
                }
                Change::Unknown { why } => format!("unknown: {why}"),
                other => format!("{other:?}"),
            });
            words.collect::<Vec<_>>().join("; ")
        }
        Err(error) => format!("{}: {}", error.pointer, chain(&error.problem)),
    }
}

/// Fields of the entry beside its device, what is on the device (type, UUID, label), and what happens.
#[test]
fn reuse() {
    let ext4 = ("ext4", UUID, "ROOT");
    let vfat = ("vfat", "2E24-EC82", "EFI");
    let oem = ("btrfs", UUID, "OEM");
    let blank = ("", "", "");
    let kept = "keep: it is ext4 already";
    let upper = UUID.to_uppercase();
    let table: &[(&str, (&str, &str, &str), &str)] = &[
        (r#""format": "ext4""#, blank, "create"),
        (r#""format": "ext4""#, ext4, kept),
        (
            r#""format": "ext4", "label": "ROOT""#,
            ext4,
            "keep: it is ext4 already, with this label",
        ),
        (
            &format!(r#""format": "ext4", "label": "ROOT", "uuid": "{upper}""#),
            ext4,
            "keep: it is ext4 already, with this label and UUID",
        ),
        (
            r#""format": "vfat", "uuid": "2e24ec82""#,
            vfat,
            "keep: it is vfat already, with this UUID",
        ),
        (
            r#""format": "btrfs""#,
            ext4,
            "storage.filesystems[0].format: /dev/vda9 holds ext4, label \"ROOT\" (2 GiB), and the config asks for \"btrfs\"; set wipeFilesystem to true if that may be lost, or ask for what is there",
        ),
        (
            r#""format": "ext4", "label": "root""#,
            ext4,
            "storage.filesystems[0].label: /dev/vda9 holds ext4, label \"ROOT\" (2 GiB), and it has another label; set wipeFilesystem to true if that may be lost, or ask for what is there",
        ),
        (
            r#""format": "ext4", "label": """#,
            ext4,
            "storage.filesystems[0].label: /dev/vda9 holds ext4, label \"ROOT\" (2 GiB), and it has another label; set wipeFilesystem to true if that may be lost, or ask for what is there",
        ),
        (
            r#""format": "ext4", "uuid": "2e24ec82""#,
            ext4,
            "storage.filesystems[0].uuid: /dev/vda9 holds ext4, label \"ROOT\" (2 GiB), and it has another UUID; set wipeFilesystem to true if that may be lost, or ask for what is there",
        ),
        (
            r#""format": "ext4", "wipeFilesystem": true"#,
            ext4,
            "replace: ext4, label \"ROOT\", 2 GiB",
        ),
        (r#""format": "ext4", "wipeFilesystem": true"#, blank, "create"),
        // Patch 0008 of Flatcar.
        (
            r#""format": "ext4", "label": "OEM""#,
            oem,
            "keep: it is the OEM filesystem, which may be btrfs instead of \"ext4\"",
        ),
        (r#""format": "btrfs""#, oem, "keep: it is btrfs already"),
        (
            r#""format": "ext4", "label": "other""#,
            oem,
            "storage.filesystems[0].label: /dev/vda9 holds btrfs, label \"OEM\" (2 GiB), and it has another label; set wipeFilesystem to true if that may be lost, or ask for what is there",
        ),
        (
            r#""format": "ext4", "wipeFilesystem": true"#,
            oem,
            "replace: btrfs, label \"OEM\", 2 GiB",
        ),
        // `none` and the empty format.
        (r#""format": "none""#, blank, "keep: it is blank"),
        (
            r#""format": "none", "wipeFilesystem": true"#,
            blank,
            "keep: it is blank",
        ),
        (
            r#""format": "none", "wipeFilesystem": true"#,
            ext4,
            "replace: ext4, label \"ROOT\", 2 GiB",
        ),
        (
            r#""format": "none""#,
            ext4,
            "storage.filesystems[0].format: /dev/vda9 holds ext4, label \"ROOT\" (2 GiB), and the config asks for \"none\"; set wipeFilesystem to true if that may be lost, or ask for what is there",
        ),
        (r#""format": """#, blank, ""),
        (
            r#""format": """#,
            ext4,
            "storage.filesystems[0].format: /dev/vda9 holds ext4, label \"ROOT\" (2 GiB), and the config asks for \"\"; set wipeFilesystem to true if that may be lost, or ask for what is there",
        ),
        (r#""path": "/var""#, ext4, ""),
        (r#""format": "swap", "label": "s""#, blank, "create"),
        (
            r#""format": "swap""#,
            ("swap", UUID, ""),
            "keep: it is swap already",
        ),
        // What no entry can ask for is lost only if the config says so.
        (
            r#""format": "ext4""#,
            ("crypto_LUKS", UUID, ""),
            "storage.filesystems[0].format: /dev/vda9 holds crypto_LUKS (2 GiB), and the config asks for \"ext4\"; set wipeFilesystem to true if that may be lost, or ask for what is there",
        ),
    ];
    for (fields, (kind, uuid, label), expected) in table {
        let devices = machine().signature(NODE, kind, uuid, label);
        let entry = format!(r#"{{"device": "/dev/disk/by-partlabel/ROOT", {fields}}}"#);
        assert_eq!(planned(&entry, devices), *expected, "{fields} on {kind} {label}");
    }
}

#[test]
fn what_is_in_use_is_not_formatted() {
    let entry = r#"{"device": "/dev/vda9", "format": "ext4", "wipeFilesystem": true}"#;
    for (by, words) in [
        (Use::Mounted("/sysroot".to_owned()), "mounted at /sysroot"),
        (Use::Swap, "used as swap space"),
        (Use::Held("dm-0".to_owned()), "used by dm-0"),
    ] {
        assert_eq!(
            planned(entry, machine().used(NODE, by.clone())),
            format!(
                "storage.filesystems[0].device: /dev/vda9 would be formatted, and is in use: /dev/vda9 is {words}; end that \
                 first, or name another device"
            )
        );
        // What stays as it is may be in use.
        let kept = r#"{"device": "/dev/vda9", "format": "ext4"}"#;
        let devices = machine().used(NODE, by).signature(NODE, "ext4", UUID, "");
        assert_eq!(planned(kept, devices), "keep: it is ext4 already");
    }
    let disk = r#"{"device": "/dev/vda", "format": "ext4", "wipeFilesystem": true}"#;
    let refused = planned(disk, machine().used(NODE, Use::Swap));
    assert!(
        refused.contains("in use: /dev/vda9 is used as swap space"),
        "{refused}"
    );
}

#[test]
fn a_disk_with_partitions_is_not_blank() {
    assert_eq!(
        planned(r#"{"device": "/dev/vda", "format": "ext4"}"#, machine()),
        "storage.filesystems[0].device: /dev/vda holds partition table with 1 partition (10 GiB), and it is not blank; set \
         wipeFilesystem to true if that may be lost, or ask for what is there"
    );
    assert_eq!(
        planned(
            r#"{"device": "/dev/vda", "format": "ext4", "wipeFilesystem": true}"#,
            machine()
        ),
        "replace: partition table with 1 partition, 10 GiB"
    );
    // The kernel may not know of the partitions, or there are none: nobody can tell.
    let table = || machine().table("/dev/vdb", "gpt");
    assert_eq!(
        planned(r#"{"device": "/dev/vdb", "format": "ext4"}"#, table()),
        "storage.filesystems[0].device: /dev/vdb holds gpt partition table (1 GiB), and it is not blank; set wipeFilesystem \
         to true if that may be lost, or ask for what is there"
    );
    assert_eq!(
        planned(
            r#"{"device": "/dev/vdb", "format": "none", "wipeFilesystem": true}"#,
            table()
        ),
        "replace: gpt partition table, 1 GiB"
    );
}

#[test]
fn one_device_is_formatted_once() {
    let refused = planned(
        r#"{"device": "/dev/vda9", "format": "ext4"}, {"device": "/dev/disk/by-partlabel/ROOT", "format": "xfs"}"#,
        machine(),
    );
    assert_eq!(
        refused,
        "storage.filesystems[1].device: /dev/disk/by-partlabel/ROOT is /dev/vda9, as is the device of \
         storage.filesystems[0]; take one of the two entries out"
    );
    // An entry without a format does nothing.
    assert_eq!(
        planned(
            r#"{"device": "/dev/vda9", "format": "ext4"}, {"device": "/dev/disk/by-partlabel/ROOT", "path": "/x"}"#,
            machine()
        ),
        "create"
    );
}

#[test]
fn what_is_not_there_is_unknown_until_an_earlier_step_makes_it() {
    let entry = r#"{"device": "/dev/mapper/data", "format": "ext4", "label": "d"}"#;
    assert_eq!(
        planned(entry, machine()),
        "unknown: /dev/mapper/data is not there now; what is on it is known when it is"
    );
    let view = FakeView::new().with_devices(machine());
    let mut overlay = Overlay::new(&view);
    let made = view.devices().device("/dev/vdb").unwrap().unwrap();
    overlay.devices_mut().put_device(Device {
        node: "/dev/mapper/data".to_owned(),
        ..made
    });
    let plan = plan(&config(entry), &overlay).unwrap();
    assert_eq!(plan.steps[0].change, Change::Create);
}

/// Planning again over what was predicted keeps everything that is not to be made anew.
#[test]
fn planning_again_keeps() {
    let view = FakeView::new().with_devices(machine());
    let entries = config(&format!(
        r#"{{"device": "/dev/vda9", "format": "vfat", "label": "EFI", "uuid": "2e24ec82"}},
           {{"device": "/dev/vdb", "format": "xfs", "label": "d", "uuid": "{UUID}"}}"#
    ));
    let mut overlay = Overlay::new(&view);
    for step in &plan(&entries, &view).unwrap().steps {
        assert_eq!(step.change, Change::Create);
        predict(step, &mut overlay).unwrap();
    }
    let again = plan(&entries, &overlay).unwrap();
    assert_eq!(again.steps.len(), 2);
    assert!(again.steps.iter().all(|step| step.change.keeps()), "{again:?}");
    // By the names that the first run has made.
    let by_label = config(r#"{"device": "/dev/disk/by-label/d", "format": "xfs"}"#);
    let found = plan(&by_label, &overlay).unwrap();
    assert!(found.steps[0].change.keeps(), "{found:?}");
}

#[test]
fn what_may_not_be_read_is_unknown_and_other_errors_are_told() {
    let view = FakeView::new().with_devices(machine().deny(NODE));
    let entry = config(r#"{"device": "/dev/vda9", "format": "ext4", "wipeFilesystem": true}"#);
    let plan = plan(&entry, &view).unwrap();
    assert_eq!(
        plan.steps[0].change,
        Change::Unknown {
            why: "this user may not read /dev/vda9; root sees what is on it".to_owned()
        }
    );
}

/// An array that is kept and started, a volume that is kept and opened: what is in it decides when it is seen.
#[test]
fn what_is_on_a_kept_array_is_not_taken_for_nothing() {
    let base = FakeView::new().with_devices(machine());
    let mut overlay = Overlay::new(&base);
    let array = Device {
        node: "/dev/md/data".to_owned(),
        ..base.devices().device("/dev/vdb").unwrap().unwrap()
    };
    overlay.devices_mut().put_unseen(array);
    let change = |overlay: &Overlay<'_>, more: &str| {
        let entry = format!(r#"{{"device": "/dev/md/data", "format": "ext4", "label": "DATA"{more}}}"#);
        let plan = plan(&config(&entry), overlay).unwrap();
        check(&plan, overlay).unwrap();
        plan.steps.into_iter().next().unwrap()
    };
    let unknown = change(&overlay, "");
    let why = "what is on /dev/md/data is known when it runs or is open".to_owned();
    assert_eq!(unknown.change, Change::Unknown { why });
    predict(&unknown, &mut overlay).unwrap();
    assert!(
        overlay
            .devices()
            .signature("/dev/md/data")
            .unwrap_err()
            .is_unseen()
    );
    assert!(!overlay.devices_mut().is_predicted("/dev/md/data"));
    let wiped = change(&overlay, r#", "wipeFilesystem": true"#);
    let lost = Lost {
        what: "whatever /dev/md/data holds".to_owned(),
        trivial: false,
    };
    assert_eq!(wiped.change, Change::Replace { lost });
    predict(&wiped, &mut overlay).unwrap();
    assert_eq!(overlay.devices().signature("/dev/md/data").unwrap().label, "DATA");
    assert!(overlay.devices_mut().is_predicted("/dev/md/data"));
}
