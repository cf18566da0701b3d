//! Roots in temporary directories.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A directory for one test, with a root in it and room beside.
#[derive(Debug)]
pub(crate) struct Root {
    scratch: TempDir,
    path: PathBuf,
}

/// Where scratch directories are made: memory if there is some, so that syncing costs nothing.
fn scratch_home() -> PathBuf {
    let shm = Path::new("/dev/shm");
    if tempfile::tempfile_in(shm).is_ok() {
        shm.to_owned()
    } else {
        std::env::temp_dir()
    }
}

impl Root {
    /// An empty root.
    pub(crate) fn empty() -> Self {
        let scratch = tempfile::Builder::new()
            .prefix("ignition-proof-")
            .tempdir_in(scratch_home())
            .unwrap();
        fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o755)).unwrap();
        // Not a name that could be found in a path by chance.
        let path = scratch.path().join("root");
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        // For what a run keeps in temporary directories.
        fs::create_dir(scratch.path().join("tmp")).unwrap();
        Self { scratch, path }
    }

    /// A small root like Debian's and Flatcar's: the account databases and their settings, a skeleton, units.
    pub(crate) fn system() -> Self {
        let root = Self::empty();
        for path in [
            "etc/default",
            "etc/skel",
            "etc/systemd/system/multi-user.target.wants",
            "home",
            "opt",
            "srv",
            "var/lib",
            "usr/lib/systemd/system",
            "usr/share/baselayout",
            "usr/bin",
        ] {
            root.dir(path, 0o755);
        }
        root.dir("root", 0o700).dir("tmp", 0o1777).dir("var/tmp", 0o1777);
        root.file(
            "etc/passwd",
            "root:x:0:0:root:/root:/bin/bash\n\
             daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n\
             core:x:500:500:Core Admin:/home/core:/bin/bash\n\
             gone:x:700:700::/home/gone:/bin/sh\n\
             nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
            0o644,
        );
        root.file(
            "etc/group",
            "root:x:0:\ndaemon:x:1:\nsudo:x:27:core\nusers:x:100:\ndocker:x:233:\nwheel:x:10:core\ncore:x:500:\n\
             gone:x:700:\nunused:x:701:\nnogroup:x:65534:\n",
            0o644,
        );
        root.file(
            "etc/shadow",
            "root:*:19000:0:99999:7:::\ndaemon:*:19000:0:99999:7:::\ncore:*:19000:0:99999:7:::\n\
             gone:!:19000:0:99999:7:::\nnobody:*:19000:0:99999:7:::\n",
            0o640,
        );
        root.file(
            "etc/gshadow",
            "root:*::\ndaemon:*::\nsudo:*::core\nusers:*::\ndocker:!::\nwheel:*::core\ncore:!::\ngone:!::\nunused:!::\n\
             nogroup:*::\n",
            0o640,
        );
        root.file("etc/subuid", "core:100000:65536\n", 0o644);
        root.file("etc/subgid", "core:100000:65536\n", 0o644);
        root.file(
            "etc/login.defs",
            "# accounts\nPASS_MAX_DAYS 99999\nPASS_MIN_DAYS 0\nPASS_WARN_AGE 7\nUID_MIN 1000\nUID_MAX 60000\n\
             SYS_UID_MIN 101\nSYS_UID_MAX 999\nGID_MIN 1000\nGID_MAX 60000\nSYS_GID_MIN 101\nSYS_GID_MAX 999\n\
             UMASK 022\nHOME_MODE 0750\nUSERGROUPS_ENAB yes\n",
            0o644,
        );
        root.file(
            "etc/default/useradd",
            "SHELL=/bin/sh\nHOME=/home\nSKEL=/etc/skel\n",
            0o644,
        );
        root.file("etc/skel/.profile", "umask 022\n", 0o644);
        root.file("etc/skel/.bashrc", "PS1=x\n", 0o600);
        root.file(
            "usr/share/baselayout/passwd",
            "ntp:x:203:203:ntp:/dev/null:/sbin/nologin\n",
            0o644,
        );
        root.file("usr/share/baselayout/group", "kvm:x:78:\nntp:x:203:\n", 0o644);
        root.dir("home/core", 0o750)
            .file("home/core/.bashrc", "PS1=c\n", 0o644);
        root.own("home/core", 500, 500).own("home/core/.bashrc", 500, 500);
        root.dir("home/gone", 0o755)
            .file("home/gone/notes", "old\n", 0o644);
        root.own("home/gone", 700, 700).own("home/gone/notes", 700, 700);
        let unit = "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n";
        for name in ["old.service", "idle.service", "extra.service"] {
            root.file(&format!("usr/lib/systemd/system/{name}"), unit, 0o644);
        }
        root.link(
            "etc/systemd/system/multi-user.target.wants/old.service",
            "/usr/lib/systemd/system/old.service",
        );
        root
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The directory that the root is in: for configs, caches, and what must not be touched.
    pub(crate) fn beside(&self) -> &Path {
        self.scratch.path()
    }

    /// A path in it, given without the leading slash.
    pub(crate) fn at(&self, path: &str) -> PathBuf {
        assert!(!path.starts_with('/'), "{path}");
        self.path.join(path)
    }

    /// Writes a file beside the root.
    pub(crate) fn file_beside(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.beside().join(name);
        fs::write(&path, contents).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// Makes a directory and its parents.
    pub(crate) fn dir(&self, path: &str, mode: u32) -> &Self {
        fs::create_dir_all(self.at(path)).unwrap();
        fs::set_permissions(self.at(path), fs::Permissions::from_mode(mode)).unwrap();
        self
    }

    /// Writes a file; its parents are made.
    pub(crate) fn file(&self, path: &str, contents: impl AsRef<[u8]>, mode: u32) -> &Self {
        fs::create_dir_all(self.at(path).parent().unwrap()).unwrap();
        fs::write(self.at(path), contents).unwrap();
        fs::set_permissions(self.at(path), fs::Permissions::from_mode(mode)).unwrap();
        self
    }

    /// Makes a symbolic link; its parents are made.
    pub(crate) fn link(&self, path: &str, target: &str) -> &Self {
        fs::create_dir_all(self.at(path).parent().unwrap()).unwrap();
        symlink(target, self.at(path)).unwrap();
        self
    }

    /// Makes a hard link.
    pub(crate) fn hard_link(&self, path: &str, target: &str) -> &Self {
        fs::hard_link(self.at(target), self.at(path)).unwrap();
        self
    }

    /// Makes a named pipe.
    pub(crate) fn pipe(&self, path: &str) -> &Self {
        fs::create_dir_all(self.at(path).parent().unwrap()).unwrap();
        nix::unistd::mkfifo(&self.at(path), nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
        self
    }

    /// Sets the owner, not following a link.
    pub(crate) fn own(&self, path: &str, uid: u32, gid: u32) -> &Self {
        let mode = fs::symlink_metadata(self.at(path)).unwrap();
        lchown(self.at(path), Some(uid), Some(gid)).unwrap();
        if !mode.file_type().is_symlink() {
            fs::set_permissions(self.at(path), mode.permissions()).unwrap();
        }
        self
    }

    /// An exact copy in a scratch directory of its own.
    pub(crate) fn copy(&self) -> Self {
        let copy = Self::empty();
        let status = Command::new("cp")
            .arg("-a")
            .arg("-T")
            .arg(&self.path)
            .arg(&copy.path)
            .status()
            .unwrap();
        assert!(status.success());
        copy
    }
}
