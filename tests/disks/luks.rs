//! LUKS volumes on loop devices: all but opening them, for which kernels of build machines lack the device mapper.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ignition_rs::config::types::{Config, Resource};
use ignition_rs::engine::keys::StateKeys;
use ignition_rs::engine::state::State;
use ignition_rs::events::Untold;
use ignition_rs::exec::progress::Record;
use ignition_rs::exec::{Machine, StepError, VolumeKeys as _, execute};
use ignition_rs::fetch::{Contents, FetchError, Fetcher};
use ignition_rs::plan::device::{DeviceAction, VolumeAction, marker};
use ignition_rs::plan::{Action, Plan};
use ignition_rs::report::chain;
use ignition_rs::stages::PlanError;
use ignition_rs::stages::disks::volumes;
use ignition_rs::sys::clock::SystemClock;
use ignition_rs::sys::devices::{AnnounceError, BlockDevices, Changed, DeviceMissing, UnmountError, luks};
use ignition_rs::sys::host::Host;
use ignition_rs::sys::runner::System;
use ignition_rs::sys::sysroot::Sysroot;
use ignition_rs::sys::{probe::Probe, random};
use ignition_rs::view::{Device, Devices, Digest, Member, Mounted, Signature, ViewError, Volume};

const DIGEST: Digest = Digest([7; 64]);
const UUID: &str = "01234567-89ab-cdef-0123-456789abcdef";
const KEY: &str = "CANARYKEY";

/// An image of 32 MiB attached to a loop device.
struct Loop {
    node: String,
    _image: tempfile::NamedTempFile,
}

impl Loop {
    fn new() -> Option<Self> {
        for program in ["losetup", "cryptsetup", "wipefs", "blkid"] {
            if Command::new(program).arg("--version").output().is_err() {
                eprintln!("skipped: no {program}");
                return None;
            }
        }
        let image = tempfile::NamedTempFile::new().unwrap();
        image.as_file().set_len(32 << 20).unwrap();
        let output = Command::new("losetup")
            .args(["-f", "--show"])
            .arg(image.path())
            .output()
            .unwrap();
        if !output.status.success() {
            eprintln!(
                "skipped: no loop device: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            return None;
        }
        Some(Self {
            node: String::from_utf8(output.stdout).unwrap().trim().to_owned(),
            _image: image,
        })
    }

    fn header(&self) -> Option<Volume> {
        luks::of_device(&self.node).unwrap()
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        File::open(&self.node).unwrap().read_to_end(&mut bytes).unwrap();
        bytes
    }

    fn opens(&self, key: &[u8]) -> bool {
        let mut command = Command::new("cryptsetup");
        command.args(["open", "--test-passphrase", "--key-file", "-", &self.node]);
        feed(command, key)
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").args(["-d", &self.node]).status();
    }
}

fn feed(mut command: Command, input: &[u8]) -> bool {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait().unwrap().success()
}

/// What is on loop devices, without the rest of the machine.
struct Loops;

impl Devices for Loops {
    fn device(&self, path: &str) -> Result<Option<Device>, ViewError> {
        let Ok(mut file) = File::open(path) else {
            return Ok(None);
        };
        Ok(Some(Device {
            node: path.to_owned(),
            size: Some(file.seek(SeekFrom::End(0)).unwrap()),
            sector_size: 512,
            partition: None,
            mapper: None,
            uses: Vec::new(),
        }))
    }

    fn partitions(&self, _node: &str) -> Result<Vec<Device>, ViewError> {
        Ok(Vec::new())
    }

    fn signature(&self, node: &str) -> Result<Signature, ViewError> {
        let output = Command::new("blkid")
            .args(["-p", "-o", "export", node])
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let kind = text.lines().find_map(|line| line.strip_prefix("TYPE="));
        Ok(Signature {
            kind: kind.unwrap_or_default().to_owned(),
            ..Signature::default()
        })
    }

    fn volume(&self, node: &str) -> Result<Option<Volume>, ViewError> {
        Ok(luks::of_device(node).unwrap())
    }

    fn member(&self, _node: &str) -> Result<Option<Member>, ViewError> {
        Ok(None)
    }

    fn mounts(&self) -> Result<Vec<Mounted>, ViewError> {
        Ok(Vec::new())
    }
}

impl BlockDevices for Loops {
    fn devices(&self) -> &dyn Devices {
        self
    }

    fn await_paths(&self, _paths: &[&str]) -> Result<(), DeviceMissing> {
        Ok(())
    }

    fn announce(&self, _changed: &[Changed]) -> Result<(), AnnounceError> {
        Ok(())
    }

    fn unmount(&self, _target: &str) -> Result<(), UnmountError> {
        Ok(())
    }
}

impl Fetcher for Loops {
    fn open(&self, _resource: &Resource) -> Result<Contents<'_>, FetchError> {
        panic!("nothing is fetched here");
    }
}

/// A directory for the state file, and for shims that write down every command line and go on with the real program.
struct Scene {
    directory: tempfile::TempDir,
    root: Sysroot,
    runner: System,
}

const SHIM: &str = r#"#!/bin/bash
{ printf '%q ' "${0##*/}" "$@"; echo; env; } >> DIRECTORY/commands
PATH=${PATH#*:} exec "${0##*/}" "$@"
"#;

impl Scene {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let shims = directory.path().join("bin");
        std::fs::create_dir(&shims).unwrap();
        for program in ["cryptsetup", "wipefs", "clevis"] {
            let path = shims.join(program);
            std::fs::write(
                &path,
                SHIM.replace("DIRECTORY", directory.path().to_str().unwrap()),
            )
            .unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", shims.display());
        Self {
            runner: System::new(Some(path.as_ref())),
            root: Sysroot::open(Path::new("/")).unwrap(),
            directory,
        }
    }

    fn state_file(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    fn state(&self) -> State {
        State::load(&Host, &self.state_file()).unwrap()
    }

    fn commands(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("commands")).unwrap_or_default()
    }

    fn plan(&self, config: &Config) -> Result<Plan, PlanError> {
        let probe = Probe::new(&self.root, Some(&self.runner)).with_devices(&Loops);
        let input = volumes::Input {
            config,
            digest: DIGEST,
            random: &random::fill,
        };
        volumes::plan(&input, &probe)
    }

    /// Carries out the steps that need no device mapper.
    fn execute(&self, mut plan: Plan) -> Result<(), StepError> {
        plan.steps.retain(|step| {
            !matches!(
                &step.action,
                Action::Device(DeviceAction::Volume(
                    VolumeAction::OpenVolume(_) | VolumeAction::ProveUnlock(_)
                ))
            )
        });
        let file = self.state_file();
        let keys = StateKeys::new(&Host, &file, self.state());
        let machine = Machine {
            root: &self.root,
            devices: &Loops,
            keys: &keys,
            runner: &self.runner,
            host: &Host,
            fetcher: &Loops,
            events: &Untold,
            clock: &SystemClock::new(),
            stop: &|| false,
        };
        execute(&plan, &machine, &mut Record::none(&self.root))
    }

    fn finish(&self, config: &Config) {
        let probe = Probe::new(&self.root, Some(&self.runner)).with_devices(&Loops);
        let plan = volumes::finish(config, DIGEST, &probe).unwrap();
        self.execute(plan).unwrap();
    }

    fn key(&self, volume: &str) -> Option<Vec<u8>> {
        let file = self.state_file();
        let keys = StateKeys::new(&Host, &file, self.state());
        keys.key(volume).unwrap().map(|key| key.reveal().clone())
    }
}

/// One volume, with quick key derivation.
fn config(node: &str, more: &str) -> Config {
    let text = format!(
        r#"{{"storage": {{"luks": [{{"name": "data", "device": "{node}",
            "options": ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"]{more}}}]}}}}"#
    );
    serde_json::from_str(&text).unwrap()
}

const GIVEN: &str = r#", "label": "crypt", "uuid": "01234567-89ab-cdef-0123-456789abcdef",
    "keyFile": {"source": "data:,CANARYKEY"}"#;

#[test]
fn a_volume_with_a_given_key() {
    let Some(disk) = Loop::new() else { return };
    let scene = Scene::new();
    let wanted = config(&disk.node, GIVEN);
    scene.execute(scene.plan(&wanted).unwrap()).unwrap();
    let header = disk.header().unwrap();
    let own = marker(&DIGEST);
    assert_eq!((header.label.as_str(), header.uuid.as_str()), ("crypt", UUID));
    assert_eq!(header.subsystem, own);
    assert!(disk.opens(KEY.as_bytes()));
    assert!(!disk.opens(b"other"));
    assert_eq!(scene.key("data").unwrap(), KEY.as_bytes());
    let mode = std::fs::metadata(scene.state_file())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    // An interrupted run makes it anew.
    let again = scene.plan(&wanted).unwrap();
    assert!(!again.steps.iter().any(|step| step.change.destroys()));
    scene.execute(again).unwrap();
    assert_eq!(disk.header().unwrap().subsystem, own);
    // One that has succeeded keeps it: nothing is made, and what differs is refused.
    scene.finish(&wanted);
    let header = disk.header().unwrap();
    assert_eq!((header.label.as_str(), header.subsystem.as_str()), ("crypt", ""));
    assert!(disk.opens(KEY.as_bytes()));
    let before = disk.bytes();
    let kept = scene.plan(&wanted).unwrap();
    assert_eq!(kept.steps.len(), 2, "the key and opening: {:?}", kept.steps);
    for other in [
        "",
        r#", "label": "other", "keyFile": {"source": "data:,x"}"#,
        r#", "discard": true, "keyFile": {"source": "data:,x"}"#,
        r#", "clevis": {"tpm2": true}, "keyFile": {"source": "data:,x"}"#,
    ] {
        assert!(scene.plan(&config(&disk.node, other)).is_err(), "{other}");
    }
    assert!(disk.bytes() == before);
    // It goes if the config says so.
    let wipe = config(
        &disk.node,
        r#", "wipeVolume": true, "keyFile": {"source": "data:,other"}"#,
    );
    let plan = scene.plan(&wipe).unwrap();
    assert!(plan.steps.iter().any(|step| step.change.destroys()));
    scene.execute(plan).unwrap();
    assert!(disk.opens(b"other"));
    let commands = scene.commands();
    assert!(
        commands.contains("luksFormat") && commands.contains("wipefs -a"),
        "{commands}"
    );
    assert!(!commands.contains("CANARY"), "{commands}");
}

#[test]
fn a_generated_key_is_in_the_state_before_the_volume_is_made() {
    let Some(disk) = Loop::new() else { return };
    let scene = Scene::new();
    // luksFormat fails after its key was kept.
    let mut broken = config(&disk.node, "");
    broken.storage.luks[0].options = vec!["--no-such-option".to_owned()];
    let error = scene.execute(scene.plan(&broken).unwrap()).unwrap_err();
    assert!(chain(&error).contains("no-such-option"), "{}", chain(&error));
    assert!(disk.header().is_none());
    let first = scene.key("data").unwrap();
    assert_eq!(first.len(), 8192);
    assert!(first.iter().all(|digit| digit.is_ascii_hexdigit()));
    let wanted = config(&disk.node, "");
    scene.execute(scene.plan(&wanted).unwrap()).unwrap();
    let second = scene.key("data").unwrap();
    assert!(first != second);
    assert!(disk.opens(&second) && !disk.opens(&first));
    let start = String::from_utf8(second[..64].to_vec()).unwrap();
    assert!(!scene.commands().contains(&start));
    for place in ["/run", "/dev/shm"] {
        let found = Command::new("grep")
            .args(["-rlsI", "--devices=skip", &start, place])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8(found.stdout).unwrap(), "", "{place}");
    }
}

#[test]
fn luks1_is_never_touched() {
    let Some(disk) = Loop::new() else { return };
    let mut command = Command::new("cryptsetup");
    command.args([
        "luksFormat",
        "-q",
        "--type",
        "luks1",
        "--pbkdf-force-iterations",
        "1000",
        "--key-file",
        "-",
    ]);
    command.arg(&disk.node);
    assert!(feed(command, b"old"));
    let before = disk.bytes();
    let scene = Scene::new();
    for more in ["", GIVEN] {
        let error = scene.plan(&config(&disk.node, more)).unwrap_err();
        assert!(chain(&error).contains("LUKS1"), "{}", chain(&error));
    }
    assert!(disk.bytes() == before);
}

#[test]
fn a_volume_is_bound_and_its_generated_key_goes() {
    let Some(disk) = Loop::new() else { return };
    if Command::new("clevis-encrypt-null")
        .arg("--summary")
        .output()
        .is_err()
    {
        eprintln!("skipped: no clevis");
        return;
    }
    let scene = Scene::new();
    let bound = r#", "clevis": {"custom": {"pin": "null", "config": "{\"x\": \"CANARYPIN\"}"}}"#;
    scene
        .execute(scene.plan(&config(&disk.node, bound)).unwrap())
        .unwrap();
    assert_eq!(scene.key("data"), None);
    let tokens = Command::new("cryptsetup")
        .args(["luksDump", &disk.node])
        .output()
        .unwrap();
    let tokens = String::from_utf8(tokens.stdout).unwrap();
    assert!(
        tokens.contains("clevis") && tokens.contains("Keyslots:\n  1: luks2"),
        "{tokens}"
    );
    assert_eq!(disk.header().unwrap().subsystem, marker(&DIGEST));
    // clevis repeats its configuration when it fails, and its pins parts of it.
    let scene = Scene::new();
    let failing = r#", "wipeVolume": true, "clevis": {"custom": {"pin": "sss",
        "config": "{\"t\": 1, \"pins\": {\"tang\": [{\"url\": \"http://u:CANARYPIN@127.0.0.1:1\"}]}}"}}"#;
    let error = scene
        .execute(scene.plan(&config(&disk.node, failing)).unwrap())
        .unwrap_err();
    let text = format!("{} {error:?}", chain(&error));
    assert!(text.contains("Unable to") && text.contains("<secret>"), "{text}");
    assert!(!text.contains("CANARY"), "{text}");
}
