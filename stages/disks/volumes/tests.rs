use super::super::table::{lines, refusal};
use super::*;
use crate::plan::Action;
use crate::view::Overlay;
use crate::view::fake::FakeView;
use crate::view::fake_devices::FakeDevices;

const DIGEST: Digest = Digest([7; 64]);

fn config(luks: &str) -> Config {
    serde_json::from_str(&format!(r#"{{"storage": {{"luks": [{luks}]}}}}"#)).unwrap()
}

fn input<'a>(config: &'a Config, random: &'a dyn Fn(&mut [u8]) -> io::Result<()>) -> Input<'a> {
    Input {
        config,
        digest: DIGEST,
        random,
    }
}

#[expect(clippy::unnecessary_wraps, reason = "as the kernel's")]
fn fill(bytes: &mut [u8]) -> io::Result<()> {
    bytes.fill(0xa5);
    Ok(())
}

fn on(luks: &str, devices: FakeDevices) -> (Result<Plan, PlanError>, FakeView) {
    let view = FakeView::new().with_devices(devices);
    (plan(&input(&config(luks), &fill), &view), view)
}

fn planned(luks: &str, devices: FakeDevices) -> String {
    let (plan, view) = on(luks, devices);
    lines(&plan.unwrap(), &view)
}

fn refused(luks: &str, devices: FakeDevices) -> String {
    refusal(on(luks, devices).0)
}

/// A disk of 1 GiB, and the link `/dev/a` to it.
fn disk() -> FakeDevices {
    FakeDevices::new()
        .disk("/dev/vda", 1 << 30)
        .link("/dev/a", "/dev/vda")
}

fn volume(version: u32, label: &str, subsystem: &str, flags: &[&str]) -> FakeDevices {
    disk().volume(
        "/dev/vda",
        Volume {
            version,
            uuid: UUID.to_owned(),
            label: label.to_owned(),
            subsystem: subsystem.to_owned(),
            flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
        },
    )
}

const UUID: &str = "01234567-89ab-cdef-0123-456789abcdef";

/// What is left open of `data`.
fn open_volume(devices: FakeDevices) -> FakeDevices {
    devices
        .used("/dev/vda", Use::Held("dm-0".to_owned()))
        .disk("/dev/dm-0", 1 << 29)
        .link("/dev/mapper/data", "/dev/dm-0")
}

/// On an array that is kept, only a real run sees whether the volume is there.
#[test]
fn what_is_on_a_kept_array_is_not_taken_for_nothing() {
    let base = FakeView::new().with_devices(disk());
    let mut overlay = Overlay::new(&base);
    let array = Device {
        node: "/dev/md/data".to_owned(),
        ..base.devices().device("/dev/vda").unwrap().unwrap()
    };
    overlay.devices_mut().put_unseen(array);
    let shown = |luks: &str| {
        let plan = plan(&input(&config(luks), &fill), &overlay).unwrap();
        lines(&plan, &overlay)
    };
    insta::assert_snapshot!(
        shown(r#"{"name": "vault", "device": "/dev/md/data", "keyFile": {"source": "data:,x"}}"#), @r"
    create: key of vault: from the config, 1 bytes @ storage.luks[0].keyFile
    unknown (what is on /dev/md/data is known when it runs or is open): /dev/md/data: LUKS2 for vault @ storage.luks[0]
        cryptsetup luksFormat --type luks2 --key-file KEYFILE --subsystem ignition-07070707070707070707070707070707 /dev/md/data
    unknown (what is on /dev/md/data is known when it runs or is open): /dev/md/data: open as vault @ storage.luks[0]
        cryptsetup luksOpen /dev/md/data vault --key-file KEYFILE --persistent
    ");
    insta::assert_snapshot!(
        shown(r#"{"name": "vault", "device": "/dev/md/data", "wipeVolume": true, "keyFile": {"source": "data:,x"}}"#), @r"
    create: key of vault: from the config, 1 bytes @ storage.luks[0].keyFile
    replace (whatever /dev/md/data holds, trivial: false): /dev/md/data: LUKS2 for vault @ storage.luks[0].wipeVolume
        wipefs -a /dev/md/data
        cryptsetup luksFormat --type luks2 --key-file KEYFILE --subsystem ignition-07070707070707070707070707070707 /dev/md/data
    create: /dev/md/data: open as vault @ storage.luks[0]
        cryptsetup luksOpen /dev/md/data vault --key-file KEYFILE --persistent
    ");
    let config = config(r#"{"name": "vault", "device": "/dev/md/data"}"#);
    assert!(finish(&config, DIGEST, &overlay).unwrap().steps.is_empty());
}

#[test]
fn keys_and_servers_come_before_any_device() {
    let devices = ["b", "c", "d"].iter().fold(disk(), |devices, name| {
        devices.disk(&format!("/dev/{name}"), 1 << 20)
    });
    let text = planned(
        r#"{"name": "data", "device": "/dev/a", "label": "crypt", "uuid": "01234567-89ab-cdef-0123-456789abcdef",
            "keyFile": {"source": "https://u:canary@h/key?k=canary"}, "discard": true, "options": ["--pbkdf", "pbkdf2"],
            "openOptions": ["--perf-no_read_workqueue"]},
           {"name": "net", "device": "/dev/b", "wipeVolume": true, "label": "",
            "clevis": {"tang": [{"url": "http://u:canary@t", "thumbprint": "x"}], "tpm2": true, "threshold": 2}},
           {"name": "own", "device": "/dev/c", "keyFile": {"source": "data:,canary"}, "options": ["--subsystem=mine"],
            "clevis": {"custom": {"pin": "null", "config": "{\"canary\": 1}"}}},
           {"name": "z", "device": "/dev/d", "cex": {"enabled": true}}"#,
        devices,
    );
    assert!(!text.contains("canary"), "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn generated_keys_are_random_hexadecimal_digits_and_secret() {
    let (plan, _) = on(r#"{"name": "data", "device": "/dev/a"}"#, disk());
    let plan = plan.unwrap();
    let Action::Device(DeviceAction::Volume(VolumeAction::SaveKey(save))) = &plan.steps[0].action else {
        panic!("{plan:?}");
    };
    let Key::Generated { bytes } = &save.key else {
        panic!("{plan:?}");
    };
    assert_eq!(bytes.reveal(), &b"a5".repeat(4096));
    assert!(!format!("{plan:?}").contains("97, 53"));
    let broken = |_: &mut [u8]| Err(io::ErrorKind::Unsupported.into());
    let view = FakeView::new().with_devices(disk());
    let config = config(r#"{"name": "data", "device": "/dev/a"}"#);
    let error = refusal(super::plan(&input(&config, &broken), &view));
    assert!(error.starts_with("storage.luks[0]: no random bytes"), "{error}");
}

const KEYED: &str =
    r#"{"name": "data", "device": "/dev/a", "label": "l", "keyFile": {"source": "data:,canary"}}"#;

#[test]
fn a_volume_that_matches_is_opened_and_kept() {
    insta::assert_snapshot!(planned(KEYED, volume(2, "l", "", &[])), @r"
    create: key of data: from the config, 6 bytes @ storage.luks[0].keyFile
    modify (opens it: label, UUID and discard setting are these): /dev/a: open as data @ storage.luks[0]
        cryptsetup luksOpen /dev/vda data --key-file KEYFILE --persistent
    ");
    insta::assert_snapshot!(planned(KEYED, open_volume(volume(2, "l", "other", &[]))), @r"
    create: key of data: from the config, 6 bytes @ storage.luks[0].keyFile
    keep (it has this label, UUID and discard setting, and is open): /dev/a: open as data @ storage.luks[0]
        cryptsetup luksOpen /dev/vda data --key-file KEYFILE --persistent
    ");
    let all = KEYED.replace(
        "\"l\",",
        &format!("\"l\", \"uuid\": \"{UUID}\", \"discard\": true,"),
    );
    assert!(planned(&all, volume(2, "l", "", &["allow-discards"])).contains("modify (opens it"));
    let none = KEYED.replace("\"label\": \"l\",", "");
    assert!(planned(&none, volume(2, "l", "", &[])).contains("modify (opens it"));
    let empty = KEYED.replace("\"l\"", "\"\"");
    assert!(planned(&empty, volume(2, "", "", &[])).contains("modify (opens it"));
}

#[test]
fn a_volume_of_this_unfinished_run_is_made_anew() {
    let own = marker(&DIGEST);
    let generated = r#"{"name": "data", "device": "/dev/a"}"#;
    insta::assert_snapshot!(planned(generated, volume(2, "", &own, &[])), @r"
    create: key of data: generate it @ storage.luks[0]
    replace (crypto_LUKS on /dev/vda of 1024 MiB, which this run has made and not finished, trivial: true): /dev/a: LUKS2 for data, on /dev/vda @ storage.luks[0]
        cryptsetup luksFormat --type luks2 --key-file KEYFILE --subsystem ignition-07070707070707070707070707070707 /dev/vda
    create: /dev/a: open as data @ storage.luks[0]
        cryptsetup luksOpen /dev/vda data --key-file KEYFILE --persistent
    ");
    let text = planned(generated, open_volume(volume(2, "", &own, &[])));
    assert!(text.contains("cryptsetup luksClose data\nreplace ("), "{text}");
    // Also one that could be kept otherwise: what it holds is not finished either.
    assert!(planned(KEYED, volume(2, "l", &own, &[])).contains("luksFormat"));
    // Not that of a run with another config.
    assert!(
        refused(generated, volume(2, "", &marker(&Digest([8; 64])), &[])).contains("a run of another config")
    );
}

#[test]
fn wiping_overwrites_anything_and_says_what() {
    let wipe = r#"{"name": "data", "device": "/dev/a", "wipeVolume": true}"#;
    for (devices, begin) in [
        (disk(), "create: /dev/a: LUKS2"),
        (
            volume(1, "", "", &[]),
            "replace (crypto_LUKS on /dev/vda of 1024 MiB, trivial: false)",
        ),
        (volume(2, "l", "", &[]), "replace (crypto_LUKS \"l\" on"),
        (
            disk().signature("/dev/vda", "ext4", "", "root"),
            "replace (ext4 \"root\" on",
        ),
        (
            disk().partition("/dev/vda", 1, 1 << 20, 1 << 20),
            "replace (table with 1 partitions on",
        ),
    ] {
        let text = planned(wipe, devices);
        let line = text.lines().nth(1).unwrap();
        assert!(line.starts_with(begin), "{line}");
        assert!(line.ends_with("@ storage.luks[0].wipeVolume"));
        assert!(text.contains("    wipefs -a /dev/vda\n    cryptsetup luksFormat"));
    }
}

#[test]
fn refusals() {
    let generated = r#"{"name": "data", "device": "/dev/a"}"#;
    let with = |part: &str| KEYED.replace("\"label\": \"l\"", part);
    let wipe = r#"{"name": "data", "device": "/dev/a", "wipeVolume": true}"#;
    for (luks, devices, words) in [
        (
            generated.to_owned(),
            FakeDevices::new(),
            "storage.luks[0].device: /dev/a is no block device; correct the path",
        ),
        (
            generated.to_owned(),
            disk().signature("/dev/vda", "ext4", "", ""),
            "storage.luks[0].device: /dev/vda holds ext4 and no LUKS volume; set wipeVolume if it may be lost",
        ),
        (
            // A header that is not whole.
            generated.to_owned(),
            disk().signature("/dev/vda", "crypto_LUKS", "", ""),
            "storage.luks[0].device: /dev/vda holds crypto_LUKS and no LUKS volume",
        ),
        (
            // What mkfs left of a header does not count.
            KEYED.to_owned(),
            volume(2, "l", "", &[]).signature("/dev/vda", "ext4", "", ""),
            "storage.luks[0].device: /dev/vda holds ext4 and no LUKS volume",
        ),
        (
            KEYED.to_owned(),
            volume(1, "", "", &[]),
            "storage.luks[0].device: /dev/vda holds a LUKS1 volume, which is never kept; set wipeVolume",
        ),
        (
            generated.to_owned(),
            volume(2, "", "", &[]),
            "storage.luks[0].keyFile: /dev/vda holds a LUKS volume that cannot be kept: the config has no key for it; correct",
        ),
        (
            KEYED.to_owned(),
            volume(2, "other", "", &[]),
            "storage.luks[0].label: /dev/vda holds a LUKS volume that cannot be kept: its label is \"other\"; correct",
        ),
        (
            with("\"label\": \"\""),
            volume(2, "other", "", &[]),
            "storage.luks[0].label: ",
        ),
        (
            with("\"uuid\": \"99999999-89ab-cdef-0123-456789abcdef\""),
            volume(2, "", "", &[]),
            "storage.luks[0].uuid: /dev/vda holds a LUKS volume that cannot be kept: its UUID is 01234567",
        ),
        (
            with("\"discard\": true"),
            volume(2, "", "", &[]),
            "storage.luks[0].discard: /dev/vda holds a LUKS volume that cannot be kept: it does not allow discards",
        ),
        (
            with("\"discard\": false"),
            volume(2, "", "", &["allow-discards"]),
            "storage.luks[0].discard: /dev/vda holds a LUKS volume that cannot be kept: it allows discards",
        ),
        (
            with("\"clevis\": {\"tpm2\": true}"),
            volume(2, "", "", &[]),
            "storage.luks[0].clevis: /dev/vda holds a LUKS volume that cannot be kept: one that clevis opens",
        ),
        (
            KEYED.replace("data:,canary", "data:,"),
            disk(),
            "storage.luks[0].keyFile: the key has no bytes, so anybody could open the volume; give one",
        ),
        (
            with("\"uuid\": \"01234567-89ab\""),
            disk(),
            "storage.luks[0].uuid: \"01234567-89ab\" is no UUID; write it as",
        ),
        (
            with("\"clevis\": {\"tang\": [{\"url\": \"http://t\", \"advertisement\": \"\"}]}"),
            disk(),
            "storage.luks[0].clevis.tang[0].advertisement: it is empty; give",
        ),
        (
            KEYED.replace("\"data\"", "\"-x\""),
            disk(),
            "storage.luks[0].name: \"-x\" cannot be a name",
        ),
        (
            wipe.to_owned(),
            disk().mount("/dev/vda", "/data", "ext4"),
            "storage.luks[0].device: it cannot be changed: /dev/vda is mounted at /data; unmount it",
        ),
        (
            wipe.to_owned(),
            disk()
                .partition("/dev/vda", 1, 1 << 20, 1 << 20)
                .used("/dev/vda1", Use::Swap),
            "storage.luks[0].device: it cannot be changed: /dev/vda1 is used as swap space",
        ),
        (
            // Open, and not this run's.
            wipe.to_owned(),
            open_volume(volume(2, "", "", &[])),
            "storage.luks[0].device: it cannot be changed: /dev/vda is used by dm-0",
        ),
        (
            generated.to_owned(),
            open_volume(volume(2, "", &marker(&DIGEST), &[])).mount("/dev/dm-0", "/data", "ext4"),
            "storage.luks[0]: it cannot be changed: /dev/dm-0 is mounted at /data",
        ),
        (
            generated.to_owned(),
            disk().disk("/dev/mapper/data", 1 << 20),
            "storage.luks[0].name: there is a /dev/mapper/data already, of another device; close it (cryptsetup close data)",
        ),
        (
            KEYED.to_owned(),
            volume(2, "l", "", &[]).disk("/dev/mapper/data", 1 << 20),
            "storage.luks[0].name: there is a /dev/mapper/data already",
        ),
        (
            KEYED.to_owned(),
            volume(2, "l", "", &[]).used("/dev/vda", Use::Held("dm-7".to_owned())),
            "storage.luks[0].device: it cannot be changed: /dev/vda is used by dm-7",
        ),
        (
            format!("{generated}, {}", generated.replace("\"data\"", "\"more\"")),
            disk(),
            "storage.luks[1].device: it cannot be changed: /dev/vda is used by data",
        ),
    ] {
        let text = refused(&luks, devices);
        assert!(text.starts_with(words), "{text}\n instead of {words}");
        assert!(!text.contains("canary"));
    }
}

#[test]
fn what_needs_no_machine_is_refused_without_one() {
    for luks in [
        r#"{"name": "data", "device": "/dev/a", "clevis": {"tang": [{"url": "http://t", "advertisement": ""}]}}"#,
        r#"{"name": "data", "device": "/dev/a", "uuid": "x"}"#,
        r#"{"name": "", "device": "/dev/a"}"#,
    ] {
        assert!(check_config(&config(luks)).is_err());
    }
    assert!(check_config(&config(KEYED)).is_ok());
}

#[test]
fn marks_are_taken_off_at_the_end() {
    let config = config(KEYED);
    let finished = |devices| {
        let view = FakeView::new().with_devices(devices);
        let plan = finish(&config, DIGEST, &view).unwrap();
        lines(&plan, &view)
    };
    insta::assert_snapshot!(finished(volume(2, "l", &marker(&DIGEST), &[])), @r"
    modify (the run has succeeded): /dev/a: take off the mark of the unfinished run @ storage.luks[0]
        cryptsetup config --label l --subsystem '' /dev/vda
    ");
    assert_eq!(finished(volume(2, "l", "mine", &[])), "");
    assert_eq!(finished(disk()), "");
    assert_eq!(finished(FakeDevices::new()), "");
}
