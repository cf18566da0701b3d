//! A root for a script of the module: the machine's own programs, and around them whatever the script looks at.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::module;
use crate::support::programs::{self, BINARY, Program, Ran, privileged, skipped};

/// `$1` is the root. What it has of `/usr` is this machine's; nothing of it is written to.
const ENTER: &str = r#"
root=$1; shift
mount --bind /usr "$root/usr"
mount -o remount,bind,ro "$root/usr"
exec chroot "$root" "$@"
"#;

/// The root of a machine that a script believes to run on.
pub(crate) struct Scene {
    root: TempDir,
}

impl Scene {
    /// One with this kernel command line, or none if that cannot be had here.
    pub(crate) fn new(command_line: &str) -> Option<Self> {
        if !privileged() {
            return None;
        }
        let scene = Self {
            root: tempfile::tempdir().unwrap(),
        };
        for name in [
            "dev",
            "etc",
            "fake",
            "oem",
            "boot",
            "out",
            "proc/self",
            "run/ignition",
            "tmp",
            "usr",
        ] {
            fs::create_dir_all(scene.at(name)).unwrap();
        }
        for name in ["bin", "sbin", "lib", "lib64"] {
            symlink(format!("usr/{name}"), scene.at(name)).unwrap();
        }
        scene
            .file("dev/null", "")
            .file("proc/cmdline", &format!("{command_line}\n"))
            .file("proc/self/mounts", "rootfs / rootfs rw 0 0\n");
        for script in fs::read_dir(module()).unwrap() {
            let path = script.unwrap().path();
            if path.metadata().unwrap().permissions().mode() & 0o100 != 0 {
                fs::copy(&path, scene.at("out").join(path.file_name().unwrap())).unwrap();
            }
        }
        let tried = scene.enter("true").run();
        if tried.code != Some(0) {
            skipped(&format!("no chroot in a mount namespace to be had: {tried}"));
            return None;
        }
        Some(scene)
    }

    /// Where a path of the root is here.
    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    /// Makes a file.
    pub(crate) fn file(&self, path: &str, text: &str) -> &Self {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    /// Reads a file; none if there is none.
    pub(crate) fn read(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.at(path)).ok()
    }

    /// Makes a unit that is there.
    pub(crate) fn unit(&self, name: &str) -> &Self {
        self.file(&format!("etc/systemd/system/{name}"), "[Unit]\n")
    }

    /// Puts a script in the place of a program. That it was called, and how, stands in [`Self::calls`].
    pub(crate) fn fake(&self, name: &str, script: &str) -> &Self {
        let path = format!("fake/{name}");
        self.file(
            &path,
            &format!("#!/bin/sh\necho \"{name} $*\" >>/calls\n{script}\n"),
        );
        fs::set_permissions(self.at(&path), fs::Permissions::from_mode(0o755)).unwrap();
        self
    }

    /// The calls of fakes, in order.
    pub(crate) fn calls(&self) -> Vec<String> {
        let text = self.read("calls").unwrap_or_default();
        text.lines().map(|line| line.trim_end().to_owned()).collect()
    }

    fn enter(&self, program: &str) -> Program {
        Program::new(program)
            .under([
                "unshare",
                "--mount",
                "--propagation=private",
                "sh",
                "-euc",
                ENTER,
                "sh",
                self.root.path().to_str().unwrap(),
            ])
            .env("PATH", "/fake:/usr/sbin:/usr/bin")
    }

    /// Runs a script of the module. Every shell is a `sh` somewhere: `shell` says which.
    pub(crate) fn run_by(&self, shell: &[&str], script: &str, arguments: &[&str]) -> Ran {
        self.enter(shell[0])
            .args(&shell[1..])
            .arg(format!("/out/{script}"))
            .args(arguments)
            .run()
    }

    /// Runs the program under test as `ignition`, which finds the module's own scripts as in an initrd.
    pub(crate) fn engine(&self, arguments: &[&str]) -> Ran {
        for (from, to) in [
            (PathBuf::from(BINARY), "out/ignition"),
            (self.at("out/ignition-kargs-helper"), "fake/ignition-kargs-helper"),
        ] {
            programs::copy(from, self.at(to));
        }
        self.enter("/out/ignition")
            .args(arguments)
            .env("IGNITION_CONFIG_FILE", "/etc/config.ign")
            .run()
    }

    /// The same by `sh`.
    pub(crate) fn run(&self, script: &str, arguments: &[&str]) -> Ran {
        self.run_by(&["sh"], script, arguments)
    }

    /// All that is in a directory, as sorted paths; links with where they lead.
    pub(crate) fn tree(&self, directory: &str) -> Vec<String> {
        let top = self.at(directory);
        let mut found = Vec::new();
        collect(&top, &top, &mut found);
        found.sort();
        found
    }
}

fn collect(top: &Path, directory: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(directory).into_iter().flatten() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(top).unwrap().display().to_string();
        if let Ok(target) = fs::read_link(&path) {
            let file = path.file_name().unwrap().to_str().unwrap();
            assert_eq!(target, Path::new("..").join(file), "{name} leads elsewhere");
            found.push(name);
        } else if path.is_dir() {
            collect(top, &path, found);
        } else {
            found.push(name);
        }
    }
}
