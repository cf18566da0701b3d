//! One of every action, change and content, for tests that must see them all.
//!
//! A sample is given with its pattern, and the patterns of a type are the arms of one `match`: who adds a variant must
//! add a sample, or the tests do not compile.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

use super::device::{
    ArrayAction, AssembleArray, BindVolume, CloseVolume, CreateArray, DeviceAction, FinishVolume, Format,
    FormatVolume, KernelArguments, Key, MakeFilesystem, Mount, OpenVolume, ReachServer, Row, SaveKey,
    Unmount, VolumeAction, VolumeOf, WriteTable,
};
use super::{
    Access, Action, Base, Change, Content, GroupChange, HostFile, Lost, PasswordOf, Plan, Secret, Step,
    UserChange,
};
use crate::config::types::{HttpHeader, Resource};
use crate::report::Pointer;
use crate::stages::{Phase, Stage};
use crate::view::{Owner, RootPath};

/// Stands in every secret of every sample, and must be in no rendering.
pub(crate) const CANARY: &str = "xyzzy-canary";

macro_rules! samples {
    ($name:ident: $type:ty { $($pattern:pat => $sample:expr,)+ }) => {
        /// At least one of every variant.
        pub(crate) fn $name() -> Vec<$type> {
            /// Does not compile if a variant has no pattern, nor (by `unreachable_patterns`) if one has two.
            #[deny(unreachable_patterns)]
            fn every_variant_has_a_pattern(sample: &$type) {
                match sample { $($pattern => {})+ }
            }
            let samples = vec![$({
                let sample: $type = $sample;
                assert!(matches!(&sample, $pattern), "{sample:?} is no sample of {}", stringify!($pattern));
                sample
            }),+];
            samples.iter().for_each(every_variant_has_a_pattern);
            samples
        }
    };
}

samples! { changes: Change {
    Change::Create => Change::Create,
    Change::Keep { .. } => Change::Keep { reason: "it has these bytes already".into() },
    Change::Modify { .. } => Change::Modify { what: "mode 0600 -> 0644".into() },
    Change::Replace { lost: Lost { trivial: false, .. } } => Change::Replace { lost: something() },
    Change::Replace { lost: Lost { trivial: true, .. } } => Change::Replace { lost: nothing() },
    Change::Delete { lost: Lost { trivial: false, .. } } => Change::Delete { lost: something() },
    Change::Delete { lost: Lost { trivial: true, .. } } => Change::Delete { lost: nothing() },
    Change::Unknown { .. } => Change::Unknown { why: "whether it is enabled".into() },
} }

samples! { contents: Content {
    Content::Known { .. } => Content::known(CANARY.repeat(1000).into_bytes()),
    Content::Remote { hash: Some(_), .. } => remote(Some(format!("sha512-{}", "0123456789abcdef".repeat(8)))),
    Content::Remote { hash: None, .. } => remote(None),
} }

samples! { actions: Action {
    Action::FetchConfig { .. } => Action::FetchConfig { url: "https://example.com/base.ign".into(), hash: None },
    Action::WriteHostFile { .. } => Action::WriteHostFile {
        file: HostFile::Cache,
        path: PathBuf::from(OsString::from_vec(b"/run/ignition-\xff.json".to_vec())),
        bytes: Secret::new(CANARY.into()),
        mode: 0o600,
    },
    Action::CreateGroup(_) => Action::CreateGroup(group()),
    Action::ModifyGroup(_) => Action::ModifyGroup(group()),
    Action::DeleteGroup { .. } => Action::DeleteGroup { name: "old".into() },
    Action::AdoptGroup { .. } => Action::AdoptGroup { name: "wheel".into() },
    Action::AdoptUser { .. } => Action::AdoptUser { name: "core".into() },
    Action::CreateUser(_) => Action::CreateUser(user()),
    Action::ModifyUser(_) => Action::ModifyUser(user()),
    Action::DeleteUser { .. } => Action::DeleteUser { name: "guest".into(), remove_home: true },
    Action::SetPassword { account: PasswordOf::User(_), .. } => Action::SetPassword {
        account: PasswordOf::User("core".into()),
        hash: Secret::new(format!("$6${CANARY}")),
    },
    Action::SetPassword { account: PasswordOf::Group(_), .. } => Action::SetPassword {
        account: PasswordOf::Group("wheel".into()),
        hash: Secret::new(CANARY.into()),
    },
    Action::Remove { .. } => Action::Remove { path: RootPath::from("/opt/old") },
    Action::MakeDirectory { .. } => Action::MakeDirectory { path: RootPath::from("/opt/app"), access: access(0o755) },
    Action::WriteFile { base: Base::Nothing, .. } => Action::WriteFile {
        path: RootPath::from("/etc/motd"),
        base: Base::Nothing,
        contents: contents(),
        access: access(0o4644),
    },
    Action::WriteFile { base: Base::Existing, .. } => Action::WriteFile {
        path: RootPath::from("/etc/\u{1b}[2J\u{202e}hosts"),
        base: Base::Existing,
        contents: vec![Content::known(CANARY.as_bytes())],
        access: Access { user: Owner::Account("core".into()), group: Owner::Id(500), mode: 0o640 },
    },
    Action::WriteFile { base: Base::Start(_), .. } => Action::WriteFile {
        path: RootPath::from("/etc/hosts.local"),
        base: Base::Start(1204),
        contents: vec![Content::known(CANARY.as_bytes())],
        access: access(0o644),
    },
    Action::SetAccess { .. } => Action::SetAccess { path: RootPath::from("/srv"), access: access(0o1777) },
    Action::MakeSymlink { .. } => Action::MakeSymlink {
        path: RootPath::from("/etc/localtime"),
        target: OsString::from_vec(b"../usr/\xfe\n".to_vec()),
        user: Owner::Id(0),
        group: Owner::Account("wheel".into()),
    },
    Action::MakeHardLink { .. } => Action::MakeHardLink {
        path: RootPath::from("/etc/hard"),
        target: RootPath::from("/etc/motd"),
    },
    Action::DisableUnit { .. } => Action::DisableUnit { entry: "echo@.service echo@one.service".into() },
    Action::Device(DeviceAction::WriteTable(_)) => Action::Device(DeviceAction::WriteTable(Box::new(WriteTable {
        device: "/dev/disk/by-id/one".into(),
        node: "/dev/vda".into(),
        wipe: false,
        before: vec![row(1, "ROOT", 1 << 30)],
        after: vec![row(1, "ROOT", 2 << 30), row(2, "data\u{1b}[2J", 1 << 30)],
        lost: BTreeMap::new(),
        table: None,
        note: String::new(),
        writes: Vec::new(),
    }))),
    Action::Device(DeviceAction::MakeFilesystem(_)) => Action::Device(DeviceAction::MakeFilesystem(MakeFilesystem {
        device: "/dev/disk/by-partlabel/data".into(),
        node: "/dev/vda9".into(),
        format: Format::Xfs,
        label: Some("data".into()),
        uuid: None,
        options: vec!["-m".into(), "reflink=1".into()],
    })),
    Action::Device(DeviceAction::Mount(_)) => Action::Device(DeviceAction::Mount(Mount {
        device: "/dev/disk/by-label/data".into(),
        target: "/sysroot/var/lib/data".into(),
        path: RootPath::from("/var/lib/data"),
        kind: "xfs".into(),
        options: vec!["noatime".into()],
        remount: false,
    })),
    Action::Device(DeviceAction::Unmount(_)) => Action::Device(DeviceAction::Unmount(Unmount {
        target: "/sysroot/var/lib/data".into(),
    })),
    Action::Device(DeviceAction::ChangeKernelArguments(_)) => {
        Action::Device(DeviceAction::ChangeKernelArguments(KernelArguments {
            should_exist: vec!["quiet".into()],
            should_not_exist: vec!["console=tty0".into()],
        }))
    },
    Action::Device(DeviceAction::Array(_)) => array(ArrayAction::CreateArray(CreateArray {
        name: "data".into(),
        level: "raid1".into(),
        devices: vec!["/dev/disk/by-partlabel/a".into(), "/dev/disk/by-partlabel/b".into()],
        nodes: vec!["/dev/vda1".into(), "/dev/vdb1".into()],
        spares: 0,
        options: vec!["--metadata=1.0".into()],
    })),
    Action::Device(DeviceAction::Volume(_)) => volume(VolumeAction::RemoveKey(volume_of())),
} }

samples! { arrays: ArrayAction {
    ArrayAction::CreateArray(_) => ArrayAction::CreateArray(CreateArray {
        name: "/dev/md/data".into(),
        level: "5".into(),
        devices: vec!["/dev/vda".into()],
        nodes: vec!["/dev/vda".into()],
        spares: 0,
        options: vec![],
    }),
    ArrayAction::AssembleArray(_) => ArrayAction::AssembleArray(AssembleArray {
        name: "/dev/md/data".into(),
        nodes: vec!["/dev/vda".into()],
        stop: Some("/dev/md127".into()),
    }),
} }

samples! { volumes: VolumeAction {
    VolumeAction::SaveKey(SaveKey { key: Key::Generated { .. }, .. }) => VolumeAction::SaveKey(SaveKey {
        name: "data".into(),
        key: Key::Generated { bytes: Secret::new(CANARY.into()) },
    }),
    VolumeAction::SaveKey(SaveKey { key: Key::File(_), .. }) => VolumeAction::SaveKey(SaveKey {
        name: "data".into(),
        key: Key::File(remote(None)),
    }),
    VolumeAction::SaveKey(SaveKey { key: Key::Cex, .. }) => VolumeAction::SaveKey(SaveKey {
        name: "data".into(),
        key: Key::Cex,
    }),
    VolumeAction::ReachServer(_) => VolumeAction::ReachServer(ReachServer {
        name: "data".into(),
        url: "http://tang/adv".into(),
        resource: Secret::new(Resource { source: Some(format!("http://{CANARY}@tang/adv").into()), ..Resource::default() }),
    }),
    VolumeAction::CloseVolume(_) => VolumeAction::CloseVolume(CloseVolume {
        volume: volume_of(),
        mapping: "/dev/dm-0".into(),
    }),
    VolumeAction::FormatVolume(_) => VolumeAction::FormatVolume(FormatVolume {
        volume: volume_of(),
        wipe: true,
        label: Some("crypt".into()),
        uuid: None,
        options: vec!["--pbkdf".into(), "pbkdf2".into()],
        marker: Some("ignition-0".into()),
        cex: false,
    }),
    VolumeAction::OpenVolume(_) => VolumeAction::OpenVolume(OpenVolume {
        volume: volume_of(),
        discard: true,
        options: vec!["--perf-no_read_workqueue".into()],
        kept: true,
    }),
    VolumeAction::BindVolume(_) => VolumeAction::BindVolume(BindVolume {
        volume: volume_of(),
        pin: "sss".into(),
        config: Secret::new(format!("{{\"{CANARY}\": 1}}")),
        to: "tpm2".into(),
    }),
    VolumeAction::ProveUnlock(_) => VolumeAction::ProveUnlock(volume_of()),
    VolumeAction::RemoveKey(_) => VolumeAction::RemoveKey(volume_of()),
    VolumeAction::FinishVolume(_) => VolumeAction::FinishVolume(FinishVolume { volume: volume_of(), label: String::new() }),
} }

fn volume_of() -> VolumeOf {
    VolumeOf {
        name: "data".into(),
        device: "/dev/disk/by-partlabel/data".into(),
        node: "/dev/vda9".into(),
    }
}

fn array(action: ArrayAction) -> Action {
    Action::Device(DeviceAction::Array(action))
}

fn volume(action: VolumeAction) -> Action {
    Action::Device(DeviceAction::Volume(action))
}

/// A plan for every stage, phase, action and change, of every combination of the last two.
pub(crate) fn plans() -> Vec<Plan> {
    let steps: Vec<_> = actions()
        .into_iter()
        .chain(arrays().into_iter().map(array))
        .chain(volumes().into_iter().map(volume))
        .flat_map(|action| changes().into_iter().map(move |change| (action.clone(), change)))
        .enumerate()
        .map(|(index, (action, change))| Step {
            action,
            change,
            cause: Pointer::root().key("storage").key("files").index(index),
        })
        .collect();
    let phases = [
        (Stage::Fetch, Phase::Config),
        (Stage::Kargs, Phase::Arguments),
        (Stage::Disks, Phase::Partitions),
        (Stage::Disks, Phase::Raid),
        (Stage::Disks, Phase::Volumes),
        (Stage::Disks, Phase::Filesystems),
        (Stage::Mount, Phase::Mounts),
        (Stage::Umount, Phase::Unmounts),
        (Stage::Files, Phase::Accounts),
        (Stage::Files, Phase::Keys),
        (Stage::Files, Phase::Nodes),
        (Stage::Files, Phase::Units),
        (Stage::Files, Phase::Presets),
        (Stage::Files, Phase::Luks),
        (Stage::Files, Phase::Result),
    ];
    phases
        .map(|(stage, phase)| Plan {
            stage,
            phase,
            steps: steps.clone(),
        })
        .into()
}

fn something() -> Lost {
    Lost {
        what: "file of 1,204 bytes".into(),
        trivial: false,
    }
}

fn nothing() -> Lost {
    Lost {
        what: "empty directory".into(),
        trivial: true,
    }
}

fn access(mode: u32) -> Access {
    Access {
        user: Owner::Id(0),
        group: Owner::Id(0),
        mode,
    }
}

fn remote(hash: Option<String>) -> Content {
    Content::Remote {
        url: "https://example.com/app".into(),
        hash,
        resource: Secret::new(Resource {
            source: Some(format!("https://user:{CANARY}@example.com/app?token={CANARY}").into()),
            http_headers: vec![HttpHeader {
                name: "Authorization".into(),
                value: Some(CANARY.into()),
            }],
            ..Resource::default()
        }),
    }
}

fn group() -> GroupChange {
    GroupChange {
        name: "app".into(),
        gid: Some(4000),
        system: true,
    }
}

fn user() -> UserChange {
    UserChange {
        name: "app".into(),
        uid: Some(1000),
        gecos: Some("The\tapp".into()),
        home: Some("/var/lib/app".into()),
        primary_group: Some("app".into()),
        groups: vec!["docker".into(), "wheel".into()],
        shell: Some("/sbin/nologin".into()),
        create_home: false,
        no_user_group: true,
        system: true,
        no_log_init: true,
    }
}

fn row(number: u32, label: &str, size: u64) -> Row {
    Row {
        number,
        label: label.to_owned(),
        start: u64::from(number) << 20,
        size,
        type_guid: "0FC63DAF-8483-4772-8E79-3D69D8477DE4".to_owned(),
        guid: format!("00000000-0000-4000-8000-00000000000{number}"),
    }
}
