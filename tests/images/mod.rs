//! Disk images: planning over them without rights, and provisioning them on real loop devices.

mod interrupted;
mod plan;
mod provision;
mod refused;

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::disk::{self, MountOf};
use crate::support::programs::{self, BINARY, Program, Ran};
use crate::support::root::Root;

/// Whether images can be provisioned here; says so if not.
fn available() -> bool {
    disk::available() && programs::have("unshare")
}

/// A directory with an image and a config.
struct Desk(Root);

impl Desk {
    /// With a blank image of so many MiB, which take no room before they are written.
    fn new(mebibytes: u64) -> Self {
        let desk = Self(Root::empty());
        desk.blank("disk.img", mebibytes);
        desk
    }

    fn blank(&self, name: &str, mebibytes: u64) -> PathBuf {
        let path = self.path(name);
        File::create(&path).unwrap().set_len(mebibytes << 20).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        path
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.beside().join(name)
    }

    fn image(&self) -> PathBuf {
        self.path("disk.img")
    }

    fn config(&self, config: &Value) -> PathBuf {
        let path = self.0.file_beside("config.ign", config.to_string());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        path
    }

    fn program(&self, verb: &str, config: &Value) -> Program {
        Program::ignition_rs()
            .args([verb, "--image"])
            .arg(self.image())
            .arg(self.config(config))
    }

    fn plan(&self, config: &Value) -> Ran {
        self.program("plan", config).args(["--format", "json"]).run()
    }

    /// Provisions the image, which must not be attached afterwards, whatever becomes of it.
    #[track_caller]
    fn provision(&self, config: &Value) -> Ran {
        let ran = self.program("provision", config).run();
        assert_eq!(self.attached(), Vec::<String>::new(), "{ran}");
        assert_nothing_mounted();
        ran
    }

    /// Loop devices that have the image.
    fn attached(&self) -> Vec<String> {
        attached(&self.image())
    }

    /// Waits until nobody has the image any more.
    #[track_caller]
    fn await_detached(&self) {
        let begun = Instant::now();
        while !self.attached().is_empty() {
            assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", self.attached());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Makes a LUKS volume on a partition of the image, without opening it.
    fn make_volume(&self, number: u32, key: &str) {
        let part = Part::attached(&self.image(), number, &[]);
        let key = self.0.file_beside("key", key);
        let made = Command::new("cryptsetup")
            .args(["luksFormat", "--type=luks2", "--batch-mode", "--pbkdf=pbkdf2"])
            .args(["--pbkdf-force-iterations=1000", "--key-file"])
            .args([key.as_os_str(), part.node.as_ref()])
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
    }

    /// Mounts a partition of the image for reading.
    fn mounted(&self, number: u32) -> Part {
        Part::of(&self.image(), number)
    }
}

fn attached(image: &Path) -> Vec<String> {
    let output = Command::new("losetup").arg("-j").arg(image).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[track_caller]
fn assert_nothing_mounted() {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let ours: Vec<&str> = mounts
        .lines()
        .filter(|line| line.contains("/dev/ignition"))
        .collect();
    assert_eq!(ours, Vec::<&str>::new());
}

/// A partition that is attached, and mounted or not.
struct Part {
    mount: Option<MountOf>,
    node: String,
}

impl Part {
    fn of(image: &Path, number: u32) -> Self {
        let mut part = Self::attached(image, number, &["--read-only"]);
        part.mount = Some(MountOf::read_only(&part.node));
        part
    }

    /// Attached to a loop device, and not mounted.
    fn attached(image: &Path, number: u32, options: &[&str]) -> Self {
        let output = Command::new("sfdisk")
            .args(["--json"])
            .arg(image)
            .output()
            .unwrap();
        let table: Value = serde_json::from_slice(&output.stdout).unwrap();
        let table = &table["partitiontable"];
        let sector = table["sectorsize"].as_u64().unwrap_or(512);
        let ending = number.to_string();
        let part = table["partitions"]
            .as_array()
            .unwrap()
            .iter()
            .find(|part| part["node"].as_str().unwrap().ends_with(&ending))
            .unwrap();
        let bytes = |key: &str| (part[key].as_u64().unwrap() * sector).to_string();
        let output = Command::new("losetup")
            .args(["--find", "--show", "--offset", &bytes("start")])
            .args(options)
            .args(["--sizelimit", &bytes("size")])
            .arg(image)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let node = String::from_utf8(output.stdout).unwrap().trim().to_owned();
        Self { mount: None, node }
    }

    fn path(&self, below: &str) -> PathBuf {
        self.mount.as_ref().unwrap().path().join(below)
    }

    #[track_caller]
    fn read(&self, below: &str) -> String {
        fs::read_to_string(self.path(below)).unwrap()
    }

    fn mode(&self, below: &str) -> u32 {
        fs::symlink_metadata(self.path(below)).unwrap().mode() & 0o7777
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.mount = None;
        let _ = Command::new("losetup").args(["-d", &self.node]).status();
    }
}

fn file(path: &str, text: &str) -> Value {
    json!({"path": path, "overwrite": true, "contents": {"source": format!("data:,{text}")}})
}

/// A root, and another filesystem below it.
fn two_filesystems(other: &str) -> Value {
    json!({"ignition": {"version": "3.4.0"}, "storage": {
        "disks": [{"device": "/dev/vda", "partitions": [
            {"number": 1, "label": "root", "sizeMiB": 200},
            {"number": 2, "label": "other"},
        ]}],
        "filesystems": [
            {"device": "/dev/disk/by-partlabel/root", "format": "ext4", "label": "ROOT"},
            {"device": "/dev/vda2", "format": other, "label": "OTHER", "path": "/var"},
        ],
        "files": [file("/etc/hostname", "web"), file("/var/lib/x/deep", "y")],
        "directories": [{"path": "/opt/made", "mode": 0o700}],
        "links": [
            {"path": "/etc/soft", "target": "hostname"},
            {"path": "/etc/hard", "target": "/etc/hostname", "hard": true},
        ],
    }})
}

/// The words of a plan in JSON: change and what it is about, but for the program's own files and for mounts, which are made
/// in every run.
fn words(ran: &Ran) -> Vec<String> {
    let plan: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran}"));
    let stages = plan["stages"].as_array().unwrap();
    let steps = stages
        .iter()
        .filter(|stage| matches!(stage["stage"].as_str(), Some("disks" | "files" | "kargs")))
        .flat_map(|stage| stage["steps"].as_array().unwrap());
    let words = steps.map(|step| {
        let subject = ["path", "device", "name"]
            .iter()
            .find_map(|key| step[key].as_str());
        format!(
            "{} {}",
            step["change"].as_str().unwrap(),
            subject.unwrap_or_default()
        )
    });
    words
        .filter(|words| !words.ends_with(".ignition-result.json"))
        .collect()
}

/// Runs as a user that may read and write nothing but what everybody may.
fn as_nobody(desk: &Desk, arguments: &[&str], config: &Value) -> Ran {
    // The binary may be in a directory of root's.
    let copy = desk.path("ignition-rs");
    if !copy.exists() {
        programs::copy(BINARY, &copy);
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let nobody = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "--",
    ];
    Program::new(&copy)
        .args(arguments)
        .arg("--image")
        .arg(desk.image())
        .arg(desk.config(config))
        .under(nobody)
        .run()
}
