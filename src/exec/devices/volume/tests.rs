use std::collections::BTreeMap;
use std::sync::Mutex;

use super::*;
use crate::config::types::Resource;
use crate::events::Untold;
use crate::fetch::{Contents, FetchError, Fetcher};
use crate::plan::device::{BindVolume, OpenVolume};
use crate::sys::HostFiles as _;
use crate::sys::clock::SystemClock;
use crate::sys::devices::{AnnounceError, BlockDevices, DeviceMissing, UnmountError};
use crate::sys::host::FakeHost;
use crate::sys::runner::{FakeRunner, Output, RunError, Runner};
use crate::sys::sysroot::Sysroot;
use crate::view::{Devices, NoDevices};

/// What happened on a machine that has nothing, in order.
#[derive(Default)]
struct Scene {
    log: Mutex<Vec<String>>,
    keys: Mutex<BTreeMap<String, Vec<u8>>>,
    host: FakeHost,
    runner: FakeRunner,
    /// What the key files held that programs were given
    handed: Mutex<Vec<Vec<u8>>>,
}

impl Scene {
    fn say(&self, line: String) {
        self.log.lock().unwrap().push(line);
    }

    fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    fn with_key(self, bytes: &[u8]) -> Self {
        self.keys
            .lock()
            .unwrap()
            .insert("data".to_owned(), bytes.to_vec());
        self
    }

    fn run(&self, action: &VolumeAction) -> Result<(), String> {
        let root = Sysroot::open("/".as_ref()).unwrap();
        let machine = Machine {
            root: &root,
            devices: self,
            keys: self,
            runner: self,
            host: &self.host,
            fetcher: self,
            events: &Untold,
            clock: &SystemClock::new(),
            stop: &|| false,
        };
        execute(action, &machine).map_err(|error| crate::report::chain(&error))
    }
}

impl BlockDevices for Scene {
    fn devices(&self) -> &dyn Devices {
        &NoDevices
    }

    fn await_paths(&self, paths: &[&str]) -> Result<(), DeviceMissing> {
        self.say(format!("await {}", paths.join(" ")));
        Ok(())
    }

    fn announce(&self, changed: &[Changed]) -> Result<(), AnnounceError> {
        let nodes: Vec<&str> = changed.iter().map(|device| device.node.as_str()).collect();
        self.say(format!("announce {}", nodes.join(" ")));
        Ok(())
    }

    fn unmount(&self, _target: &str) -> Result<(), UnmountError> {
        Ok(())
    }
}

impl crate::exec::VolumeKeys for Scene {
    fn keep(&self, volume: &str, key: &[u8]) -> io::Result<()> {
        self.say(format!("keep {volume}"));
        self.keys.lock().unwrap().insert(volume.to_owned(), key.to_vec());
        Ok(())
    }

    fn key(&self, volume: &str) -> io::Result<Option<Secret<Vec<u8>>>> {
        Ok(self.keys.lock().unwrap().get(volume).cloned().map(Secret::new))
    }

    fn forget(&self, volume: &str) -> io::Result<()> {
        self.say(format!("forget {volume}"));
        self.keys.lock().unwrap().remove(volume);
        Ok(())
    }

    fn keep_secure_key(&self, file: &str, bytes: &[u8]) -> io::Result<()> {
        self.say(format!("keep {file} of {} bytes", bytes.len()));
        Ok(())
    }
}

impl Fetcher for Scene {
    fn open(&self, resource: &Resource) -> Result<Contents<'_>, FetchError> {
        let source = resource.source.as_ref().unwrap().reveal();
        self.say("fetch".to_owned());
        if source.ends_with("/none") {
            return Err(FetchError::NotFound {
                url: "shown".to_owned(),
            });
        }
        let bytes = if source.ends_with("/empty") {
            &b""[..]
        } else {
            b"fetched canary"
        };
        Ok(Contents {
            reader: Box::new(bytes),
            attempts: 1,
        })
    }
}

fn bytes_of(path: &str) -> Option<Vec<u8>> {
    crate::sys::host::Host.read(Path::new(path), LIMIT).ok().flatten()
}

/// Reads the key files while the program runs, as the program does.
impl Runner for Scene {
    fn run(&self, invocation: &Invocation) -> Result<Output, RunError> {
        let mut line = invocation.to_string();
        for arg in &invocation.args {
            let path = arg.to_string_lossy().into_owned();
            if path.starts_with("/proc/") {
                self.handed.lock().unwrap().push(bytes_of(&path).unwrap());
                line = line.replace(&path, "KEYFILE");
            }
        }
        self.say(line);
        self.runner.run(invocation)
    }
}

fn of() -> VolumeOf {
    VolumeOf {
        name: "data".to_owned(),
        device: "/dev/a".to_owned(),
        node: "/dev/vda".to_owned(),
    }
}

fn format(cex: bool) -> VolumeAction {
    VolumeAction::FormatVolume(FormatVolume {
        volume: of(),
        wipe: true,
        label: None,
        uuid: None,
        options: Vec::new(),
        marker: None,
        cex,
    })
}

fn save(key: Key) -> VolumeAction {
    VolumeAction::SaveKey(SaveKey {
        name: "data".to_owned(),
        key,
    })
}

fn remote(source: &str) -> Key {
    Key::File(Content::Remote {
        url: "http://h/".to_owned(),
        hash: None,
        resource: Secret::new(Resource {
            source: Some(source.into()),
            ..Resource::default()
        }),
    })
}

#[test]
fn keys_come_from_everywhere_and_go_into_the_state() {
    let cex = FakeHost::new().file(CEX_KEY, "cex canary");
    for (key, host, expected) in [
        (
            Key::Generated {
                bytes: Secret::new(b"canary".to_vec()),
            },
            FakeHost::new(),
            Ok("canary"),
        ),
        (Key::File(Content::known(*b"given")), FakeHost::new(), Ok("given")),
        (remote("http://h/key"), FakeHost::new(), Ok("fetched canary")),
        (Key::Cex, cex, Ok("cex canary")),
        (
            remote("http://h/none"),
            FakeHost::new(),
            Err("cannot fetch http://h/: "),
        ),
        (
            remote("http://h/empty"),
            FakeHost::new(),
            Err("the key file of data is empty, so anybody could open the volume; "),
        ),
        (Key::Cex, FakeHost::new(), Err("/etc/luks/cex.key is missing")),
    ] {
        let scene = Scene {
            host,
            ..Scene::default()
        };
        let done = scene.run(&save(key));
        let kept = scene.keys.lock().unwrap().get("data").cloned();
        match expected {
            Ok(text) => {
                done.unwrap();
                assert_eq!(kept.unwrap(), text.as_bytes());
            }
            Err(begin) => {
                let error = done.unwrap_err();
                assert!(error.starts_with(begin), "{error}");
                assert_eq!(kept, None);
            }
        }
    }
}

/// What cryptsetup prints of a volume that clevis can open.
const BOUND: &[u8] =
    br#"{"keyslots": {"0": {}, "1": {}}, "tokens": {"0": {"type": "clevis", "keyslots": ["1"]}}}"#;

fn bind() -> VolumeAction {
    VolumeAction::BindVolume(BindVolume {
        volume: of(),
        pin: "null".to_owned(),
        config: Secret::new("canary".to_owned()),
        to: String::new(),
    })
}

#[test]
fn programs_read_the_key_from_memory_and_it_is_gone_afterwards() {
    // The header is looked at after the fifth program, clevis.
    let runner = (0..5).fold(FakeRunner::new(), |runner, _| runner.succeed(b""));
    let scene = Scene {
        runner: runner.succeed(BOUND),
        ..Scene::default()
    };
    let scene = scene.with_key(b"canary");
    scene.run(&format(false)).unwrap();
    let open = OpenVolume {
        volume: of(),
        discard: false,
        kept: true,
        options: Vec::new(),
    };
    scene.run(&VolumeAction::OpenVolume(open.clone())).unwrap();
    scene.run(&bind()).unwrap();
    scene.run(&VolumeAction::ProveUnlock(of())).unwrap();
    scene.run(&VolumeAction::RemoveKey(of())).unwrap();
    let finish = crate::plan::device::FinishVolume {
        volume: of(),
        label: String::new(),
    };
    scene.run(&VolumeAction::FinishVolume(finish)).unwrap();
    assert_eq!(
        scene.log(),
        [
            "wipefs -a /dev/vda",
            "cryptsetup luksFormat --type luks2 --key-file KEYFILE /dev/vda",
            "cryptsetup luksDump --dump-json-metadata /dev/vda",
            "announce /dev/vda",
            "cryptsetup luksOpen /dev/vda data --key-file KEYFILE --persistent",
            "await /dev/mapper/data",
            "clevis luks bind -f -k KEYFILE -d /dev/vda null <secret>",
            "cryptsetup luksDump --dump-json-metadata /dev/vda",
            "cryptsetup luksClose data",
            "clevis luks unlock -d /dev/vda -n data",
            "await /dev/mapper/data",
            "cryptsetup luksRemoveKey /dev/vda KEYFILE",
            "forget data",
            "cryptsetup config --label '' --subsystem '' /dev/vda",
        ]
    );
    assert_eq!(*scene.handed.lock().unwrap(), vec![b"canary"; 4]);
    let paths = scene.runner.asked().into_iter().flat_map(|run| run.args);
    for path in paths.filter(|arg| arg.to_string_lossy().starts_with("/proc/")) {
        assert_ne!(bytes_of(&path.to_string_lossy()).unwrap_or_default(), b"canary");
    }
    let error = scene.run(&VolumeAction::OpenVolume(open)).unwrap_err();
    assert!(error.starts_with("the state file has no key for data"), "{error}");
}

#[test]
fn a_binding_that_the_header_does_not_have() {
    let without = [
        "",
        r#"{"keyslots": {"0": {}}, "tokens": {}}"#,
        r#"{"keyslots": {"0": {}, "1": {}}}"#,
        r#"{"keyslots": {"0": {}}, "tokens": {"0": {"type": "clevis", "keyslots": ["1"]}}}"#,
    ];
    for header in without {
        let scene = Scene {
            runner: FakeRunner::new().succeed(b"").succeed(header.as_bytes()),
            ..Scene::default()
        };
        let scene = scene.with_key(b"x");
        let error = scene.run(&bind()).unwrap_err();
        assert!(
            error.starts_with(
                "clevis has ended with success, and the header of /dev/a has no key that pin null opens; "
            ),
            "{header}: {error}"
        );
        assert!(scene.keys.lock().unwrap().contains_key("data"), "{header}");
    }
    let scene = Scene {
        runner: FakeRunner::new().succeed(b"").fail(1, "no device"),
        ..Scene::default()
    };
    let error = scene.with_key(b"x").run(&bind()).unwrap_err();
    assert!(error.contains("no device"), "{error}");
}

#[test]
fn a_key_that_does_not_fit() {
    let scene = Scene {
        runner: FakeRunner::new().fail(2, "No key available with this passphrase."),
        ..Scene::default()
    };
    let open = OpenVolume {
        volume: of(),
        discard: false,
        kept: true,
        options: Vec::new(),
    };
    let error = scene
        .with_key(b"x")
        .run(&VolumeAction::OpenVolume(open))
        .unwrap_err();
    assert!(
        error.starts_with("the volume on /dev/a cannot be opened; give its own key"),
        "{error}"
    );
    assert!(error.contains("No key available"), "{error}");
}

#[test]
fn secure_keys() {
    let adapters = "/sys/bus/ap/devices";
    let host = FakeHost::new()
        .file(format!("{adapters}/02.0023/uevent"), "MODE=cca\n")
        .file(format!("{adapters}/01.0023/uevent"), "DEV_TYPE=a\nMODE=cca\n")
        .file(format!("{adapters}/03.0023/uevent"), "MODE=ep11\n")
        .file(format!("{adapters}/card01/uevent"), "MODE=cca\n")
        .file("/etc/zkey/repository/ignition-luks-data.skey", [0; 64])
        .file("/etc/zkey/repository/ignition-luks-data.info", "info");
    let scene = Scene {
        host,
        ..Scene::default()
    };
    let scene = scene.with_key(b"canary");
    scene.run(&format(true)).unwrap();
    assert_eq!(
        scene.log(),
        [
            "zkey generate --name ignition-luks-data --key-type CCA-AESCIPHER --xts --description 'Secure Key for data Volume' --apqns 01.0023,02.0023",
            "wipefs -a /dev/vda",
            "cryptsetup luksFormat --type luks2 --key-file KEYFILE /dev/vda --volume-key-file /etc/zkey/repository/ignition-luks-data.skey --cipher paes-xts-plain64 --key-size 512",
            "zkey-cryptsetup setvp /dev/vda --key-file KEYFILE",
            "keep ignition-luks-data.info of 4 bytes",
            "keep ignition-luks-data.skey of 64 bytes",
            "cryptsetup luksDump --dump-json-metadata /dev/vda",
            "announce /dev/vda",
        ]
    );
    let none = Scene::default().with_key(b"canary");
    let error = none.run(&format(true)).unwrap_err();
    assert!(error.starts_with("no crypto adapter in CCA mode"), "{error}");
    assert_eq!(none.log(), Vec::<String>::new());
}

#[test]
fn servers_are_reached_and_what_they_say_is_dropped() {
    let reach = |source: &str| {
        VolumeAction::ReachServer(ReachServer {
            name: "data".to_owned(),
            url: "http://t/adv".to_owned(),
            resource: Secret::new(Resource {
                source: Some(source.into()),
                ..Resource::default()
            }),
        })
    };
    Scene::default().run(&reach("http://t/adv")).unwrap();
    let error = Scene::default().run(&reach("http://t/none")).unwrap_err();
    assert!(error.starts_with("cannot fetch http://t/adv"), "{error}");
}
