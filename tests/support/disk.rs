//! Block devices made of files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::programs;

/// Everything that the tests of the disks stage need beside loop devices.
const PROGRAMS: [&str; 8] = [
    "blkid",
    "wipefs",
    "mkfs.ext4",
    "mkfs.btrfs",
    "mkfs.xfs",
    "mkfs.fat",
    "mkswap",
    "losetup",
];

/// A block device that goes away with the test.
#[derive(Debug)]
pub(crate) struct Disk {
    node: String,
    scratch: TempDir,
}

/// Whether there can be such devices here; says so if not.
pub(crate) fn available() -> bool {
    if !programs::privileged() || !PROGRAMS.iter().all(|program| programs::have(program)) {
        return false;
    }
    let there = Path::new("/dev/loop-control").exists();
    if !there {
        programs::skipped("there are no loop devices");
    }
    there
}

impl Disk {
    /// A blank device of so many MiB, which take no room before they are written.
    pub(crate) fn blank(mebibytes: u64) -> Self {
        let home = Path::new("/dev/shm");
        let scratch = if tempfile::tempfile_in(home).is_ok() {
            tempfile::tempdir_in(home).unwrap()
        } else {
            tempfile::tempdir().unwrap()
        };
        let image = scratch.path().join("image");
        let file = std::fs::File::create(&image).unwrap();
        file.set_len(mebibytes << 20).unwrap();
        // Another process may take the same free device first.
        for _ in 0..20 {
            let output = Command::new("losetup")
                .args(["--find", "--show", "--partscan"])
                .arg(&image)
                .output()
                .unwrap();
            if output.status.success() {
                let node = String::from_utf8(output.stdout).unwrap().trim().to_owned();
                return Self { node, scratch };
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        panic!("no free loop device");
    }

    /// Its node.
    pub(crate) fn node(&self) -> &str {
        &self.node
    }

    /// Runs a program with the node as its last argument.
    pub(crate) fn with(&self, program: &str, args: &[&str]) -> &Self {
        run(program, args, &self.node);
        self
    }

    /// What `blkid -p` finds.
    pub(crate) fn found(&self) -> BTreeMap<String, String> {
        let output = Command::new("blkid")
            .args(["-p", "-o", "udev", &self.node])
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines()
            .filter_map(|line| line.split_once('='))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    }

    /// Type, label and UUID, each empty if there is none.
    pub(crate) fn signature(&self) -> (String, String, String) {
        let found = self.found();
        let get = |key: &str| found.get(key).cloned().unwrap_or_default();
        (get("ID_FS_TYPE"), get("ID_FS_LABEL"), get("ID_FS_UUID"))
    }

    /// Its bytes as they are now, to compare with.
    pub(crate) fn bytes(&self) -> Bytes {
        let copy = self.scratch.path().join(format!("copy{}", fastrand()));
        let status = Command::new("cp")
            .args(["--sparse=always", &self.node])
            .arg(&copy)
            .status()
            .unwrap();
        assert!(status.success());
        Bytes(copy)
    }

    /// Fails if a byte has changed since.
    #[track_caller]
    pub(crate) fn assert_same(&self, before: &Bytes, about: &str) {
        let output = Command::new("cmp")
            .arg(&self.node)
            .arg(&before.0)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{about}: {}",
            String::from_utf8_lossy(&output.stdout)
        );
    }
}

/// A name that no other copy has.
fn fastrand() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A copy of a device.
#[derive(Debug)]
pub(crate) struct Bytes(PathBuf);

impl Drop for Bytes {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("losetup").args(["-d", &self.node]).status();
    }
}

/// A mount that goes away with the test.
#[derive(Debug)]
pub(crate) struct MountOf(TempDir);

impl MountOf {
    /// Mounts a device for reading.
    pub(crate) fn read_only(node: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        run("mount", &["-o", "ro", node], directory.path().to_str().unwrap());
        Self(directory)
    }

    /// Where.
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for MountOf {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[track_caller]
fn run(program: &str, args: &[&str], last: &str) {
    let output = Command::new(program).args(args).arg(last).output().unwrap();
    assert!(
        output.status.success(),
        "{program} {args:?} {last}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
