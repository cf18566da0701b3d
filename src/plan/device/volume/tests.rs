use super::*;
use crate::view::fake_devices::FakeDevices;

fn of() -> VolumeOf {
    VolumeOf {
        name: "data".to_owned(),
        device: "/dev/disk/by-partlabel/data".to_owned(),
        node: "/dev/vda1".to_owned(),
    }
}

fn format() -> FormatVolume {
    FormatVolume {
        volume: of(),
        wipe: false,
        label: None,
        uuid: None,
        options: Vec::new(),
        marker: Some("ignition-0".to_owned()),
        cex: false,
    }
}

fn finish() -> VolumeAction {
    VolumeAction::FinishVolume(FinishVolume {
        volume: of(),
        label: "l".to_owned(),
    })
}

fn shown(action: &VolumeAction) -> Vec<String> {
    action.commands().iter().map(ToString::to_string).collect()
}

#[test]
fn command_lines() {
    let full = FormatVolume {
        wipe: true,
        label: Some("l".to_owned()),
        uuid: Some("u".to_owned()),
        options: vec!["--pbkdf".to_owned(), "pbkdf2".to_owned()],
        ..format()
    };
    let open = |discard, options: &[&str]| {
        VolumeAction::OpenVolume(OpenVolume {
            volume: of(),
            discard,
            options: options.iter().map(|option| (*option).to_owned()).collect(),
            kept: false,
        })
    };
    let bind = BindVolume {
        volume: of(),
        pin: "sss".to_owned(),
        config: Secret::new("{\"canary\":1}".to_owned()),
        to: "tpm2".to_owned(),
    };
    let close = CloseVolume {
        volume: of(),
        mapping: "/dev/dm-0".to_owned(),
    };
    let table = [
        (
            VolumeAction::CloseVolume(close),
            vec!["cryptsetup luksClose data"],
        ),
        (
            VolumeAction::FormatVolume(format()),
            vec!["cryptsetup luksFormat --type luks2 --key-file KEYFILE --subsystem ignition-0 /dev/vda1"],
        ),
        (
            VolumeAction::FormatVolume(full),
            vec![
                "wipefs -a /dev/vda1",
                "cryptsetup luksFormat --type luks2 --key-file KEYFILE --label l --uuid u --subsystem ignition-0 \
                 --pbkdf pbkdf2 /dev/vda1",
            ],
        ),
        (
            VolumeAction::FormatVolume(FormatVolume {
                cex: true,
                ..format()
            }),
            vec![
                "zkey generate --name ignition-luks-data --key-type CCA-AESCIPHER --xts --description \
                 'Secure Key for data Volume' --apqns APQNS",
                "cryptsetup luksFormat --type luks2 --key-file KEYFILE --subsystem ignition-0 /dev/vda1 \
                 --volume-key-file /etc/zkey/repository/ignition-luks-data.skey --cipher paes-xts-plain64 --key-size BITS",
                "zkey-cryptsetup setvp /dev/vda1 --key-file KEYFILE",
            ],
        ),
        (
            open(false, &[]),
            vec!["cryptsetup luksOpen /dev/vda1 data --key-file KEYFILE --persistent"],
        ),
        (
            open(true, &["--perf-no_read_workqueue"]),
            vec![
                "cryptsetup luksOpen /dev/vda1 data --key-file KEYFILE --persistent --allow-discards --perf-no_read_workqueue",
            ],
        ),
        (
            VolumeAction::BindVolume(bind),
            vec!["clevis luks bind -f -k KEYFILE -d /dev/vda1 sss <secret>"],
        ),
        (
            VolumeAction::ProveUnlock(of()),
            vec![
                "cryptsetup luksClose data",
                "clevis luks unlock -d /dev/vda1 -n data",
            ],
        ),
        (
            VolumeAction::RemoveKey(of()),
            vec!["cryptsetup luksRemoveKey /dev/vda1 KEYFILE"],
        ),
        (
            finish(),
            vec!["cryptsetup config --label l --subsystem '' /dev/vda1"],
        ),
    ];
    for (action, lines) in table {
        assert_eq!(shown(&action), lines);
        assert!(!format!("{action:?}").contains("canary"));
    }
}

#[test]
fn markers_fit_into_the_header() {
    let one = marker(&Digest::of(b"one"));
    assert_eq!(one.len(), "ignition-".len() + 32);
    assert!(one.len() <= 47);
    assert_ne!(one, marker(&Digest::of(b"two")));
}

/// What the linter says to a step on a machine.
fn checked(action: &VolumeAction, change: &Change, devices: &FakeDevices) -> Result<(), String> {
    action.check(change, devices).unwrap()
}

fn header(version: u32, subsystem: &str) -> Volume {
    Volume {
        version,
        uuid: "u".to_owned(),
        label: String::new(),
        subsystem: subsystem.to_owned(),
        flags: Vec::new(),
    }
}

#[test]
fn nothing_is_formatted_that_nobody_asked_to_wipe() {
    let replace = Change::Replace {
        lost: crate::plan::Lost {
            what: "x".to_owned(),
            trivial: false,
        },
    };
    let blank = || FakeDevices::new().disk("/dev/vda1", 1 << 30);
    let plain = VolumeAction::FormatVolume(format());
    let wipe = VolumeAction::FormatVolume(FormatVolume {
        wipe: true,
        ..format()
    });
    assert_eq!(checked(&plain, &Change::Create, &blank()), Ok(()));
    for devices in [
        blank().signature("/dev/vda1", "ext4", "", ""),
        blank().volume("/dev/vda1", header(1, "")),
        blank().volume("/dev/vda1", header(2, "")),
        blank().volume("/dev/vda1", header(2, "ignition-1")),
    ] {
        assert!(checked(&plain, &Change::Create, &devices).is_err());
        assert!(checked(&plain, &replace, &devices).is_err());
        assert!(checked(&wipe, &Change::Create, &devices).is_err());
        assert_eq!(checked(&wipe, &replace, &devices), Ok(()));
        let used = devices.used("/dev/vda1", Use::Mounted("/x".to_owned()));
        assert!(checked(&wipe, &replace, &used).is_err());
    }
    let own = blank().volume("/dev/vda1", header(2, "ignition-0"));
    assert_eq!(checked(&plain, &replace, &own), Ok(()));
    assert!(checked(&plain, &Change::Create, &own).is_err());
    assert!(checked(&plain, &replace, &FakeDevices::new()).is_err());
}

#[test]
fn names_are_no_options_and_volumes_are_there() {
    let there = FakeDevices::new()
        .disk("/dev/vda1", 1 << 30)
        .volume("/dev/vda1", header(2, ""));
    for name in ["", "-x"] {
        let volume = VolumeOf {
            name: name.to_owned(),
            ..of()
        };
        assert!(checked(&VolumeAction::RemoveKey(volume), &Change::Create, &there).is_err());
    }
    let first = FakeDevices::new()
        .disk("/dev/vda1", 1 << 30)
        .volume("/dev/vda1", header(1, ""));
    let open = VolumeAction::OpenVolume(OpenVolume {
        volume: of(),
        discard: false,
        options: Vec::new(),
        kept: false,
    });
    for action in [open.clone(), VolumeAction::RemoveKey(of()), finish()] {
        assert_eq!(checked(&action, &Change::Create, &there), Ok(()));
        assert!(checked(&action, &Change::Create, &first).is_err());
        assert!(checked(&action, &Change::Create, &FakeDevices::new()).is_err());
    }
    let mapped = there.disk("/dev/mapper/data", 1 << 20);
    assert!(checked(&open, &Change::Create, &mapped).is_err());
    let close = VolumeAction::CloseVolume(CloseVolume {
        volume: of(),
        mapping: "/dev/mapper/data".to_owned(),
    });
    assert_eq!(checked(&close, &Change::Create, &mapped), Ok(()));
    let mounted = mapped.mount("/dev/mapper/data", "/x", "ext4");
    assert!(checked(&close, &Change::Create, &mounted).is_err());
}

#[test]
fn predictions() {
    let base = FakeDevices::new()
        .disk("/dev/vda1", 1 << 30)
        .signature("/dev/vda1", "ext4", "", "");
    let mut overlay = DeviceOverlay::new(&base);
    let format = FormatVolume {
        label: Some("crypt".to_owned()),
        uuid: Some("01234567-89ab-cdef-0123-456789abcdef".to_owned()),
        ..format()
    };
    VolumeAction::FormatVolume(format).predict(&mut overlay).unwrap();
    let found = overlay.volume("/dev/vda1").unwrap().unwrap();
    assert_eq!((found.version, found.subsystem.as_str()), (2, "ignition-0"));
    let open = OpenVolume {
        volume: of(),
        discard: true,
        options: Vec::new(),
        kept: false,
    };
    VolumeAction::OpenVolume(open).predict(&mut overlay).unwrap();
    assert_eq!(
        overlay.volume("/dev/vda1").unwrap().unwrap().flags,
        [ALLOW_DISCARDS]
    );
    for path in [
        "/dev/mapper/data",
        "/dev/disk/by-id/dm-name-data",
        "/dev/disk/by-id/dm-uuid-CRYPT-LUKS2-0123456789abcdef0123456789abcdef-data",
    ] {
        let mapping = overlay.device(path).unwrap().unwrap();
        assert_eq!(mapping.mapper.as_deref(), Some("data"));
        assert!(overlay.signature(&mapping.node).unwrap().is_blank());
    }
    assert_eq!(overlay.device("/dev/vda1").unwrap().unwrap().uses.len(), 1);
    finish().predict(&mut overlay).unwrap();
    assert_eq!(overlay.volume("/dev/vda1").unwrap().unwrap().subsystem, "");

    let open = FakeDevices::new()
        .disk("/dev/vda1", 1 << 30)
        .volume("/dev/vda1", header(2, "ignition-0"))
        .used("/dev/vda1", Use::Held("dm-3".to_owned()))
        .disk("/dev/dm-3", 1 << 20)
        .link("/dev/mapper/data", "/dev/dm-3");
    let mut overlay = DeviceOverlay::new(&open);
    let close = CloseVolume {
        volume: of(),
        mapping: "/dev/dm-3".to_owned(),
    };
    VolumeAction::CloseVolume(close).predict(&mut overlay).unwrap();
    assert_eq!(overlay.device("/dev/mapper/data").unwrap(), None);
    assert_eq!(overlay.device("/dev/vda1").unwrap().unwrap().uses, []);
    assert_eq!(
        overlay.volume("/dev/vda1").unwrap().unwrap().subsystem,
        "ignition-0"
    );
}
