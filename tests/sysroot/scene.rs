//! The hostile roots, and what lies beside them.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::stat::Mode;

pub(super) const CANARY: &str = "canary: nobody inside the root may see this";

/// A root, and a directory beside it that must not change.
pub(super) struct Scene {
    _directory: tempfile::TempDir,
    pub(super) root: PathBuf,
    pub(super) outside: PathBuf,
    mounted: Vec<PathBuf>,
    kept_open: Vec<OwnedFd>,
    /// Whether what the root needs could not be had here
    pub(super) skipped: Option<&'static str>,
}

impl Scene {
    pub(super) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("root");
        let outside = directory.path().join("outside");
        fs::create_dir_all(root.join("inside")).unwrap();
        fs::write(root.join("inside/f"), "inside").unwrap();
        fs::create_dir_all(outside.join("d/e")).unwrap();
        fs::create_dir_all(outside.join("etc")).unwrap();
        for (name, mode) in [
            ("secret", 0o640),
            ("d/f", 0o604),
            ("etc/passwd", 0o644),
            ("etc/shadow", 0o600),
        ] {
            fs::write(outside.join(name), CANARY).unwrap();
            fs::set_permissions(outside.join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        fs::write(
            outside.join("etc/passwd"),
            "core:x:500:500::/home/core:/bin/bash\n",
        )
        .unwrap();
        fs::write(outside.join("etc/shadow"), "core:canary:::::::\n").unwrap();
        fs::write(outside.join(".ignition-0123456789abcdef"), CANARY).unwrap();
        symlink("secret", outside.join("l")).unwrap();
        Self {
            _directory: directory,
            root,
            outside,
            mounted: Vec::new(),
            kept_open: Vec::new(),
            skipped: None,
        }
    }

    pub(super) fn link(&self, at: &str, target: impl AsRef<Path>) {
        let at = self.root.join(at);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        symlink(target, at).unwrap();
    }

    /// A path outside, absolute, with something below it.
    pub(super) fn out(&self, below: &str) -> PathBuf {
        if below.is_empty() {
            self.outside.clone()
        } else {
            self.outside.join(below)
        }
    }

    fn mount_proc(&mut self) {
        let at = self.root.join("proc");
        fs::create_dir_all(&at).unwrap();
        let mut mount = Command::new("mount");
        if mount
            .args(["-t", "proc", "proc"])
            .arg(&at)
            .status()
            .is_ok_and(|status| status.success())
        {
            self.mounted.push(at);
        } else {
            self.skipped = Some("proc cannot be mounted here");
        }
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        for at in &self.mounted {
            let _ = Command::new("umount").arg("-l").arg(at).status();
        }
    }
}

/// Everything about a tree but access times.
pub(super) fn snapshot(top: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut todo = vec![top.to_owned()];
    while let Some(path) = todo.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        let body = if meta.is_file() {
            format!("{:?}", fs::read(&path).unwrap())
        } else if meta.is_symlink() {
            fs::read_link(&path).unwrap().display().to_string()
        } else {
            String::new()
        };
        if meta.is_dir() {
            todo.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        let text = format!(
            "{} {:o} {}:{} {} links, changed {}.{} {body}",
            meta.ino(),
            meta.mode(),
            meta.uid(),
            meta.gid(),
            meta.nlink(),
            meta.ctime(),
            meta.ctime_nsec()
        );
        found.insert(path, text);
    }
    found
}

/// A hostile root.
pub(super) struct Hostile {
    pub(super) name: &'static str,
    pub(super) build: fn(&mut Scene),
    /// Paths to work on; OUT stands for the path of what is outside
    pub(super) paths: &'static [&'static str],
    /// Whether a program that lets the kernel resolve `ROOT + path` would get out by the first of the paths
    pub(super) escapes: bool,
}

const PARENT: &[&str] = &["/a/secret", "/a/new", "/a/d", "/a", "/a/d/new"];

pub(super) fn hostile() -> Vec<Hostile> {
    let root = |name, build: fn(&mut Scene), paths, escapes| Hostile {
        name,
        build,
        paths,
        escapes,
    };
    vec![
        root("absolute", |s| s.link("a", s.out("")), PARENT, true),
        root("relative", |s| s.link("a", "../outside"), PARENT, true),
        root(
            "relative from below",
            |s| s.link("b/c/a", "../../../outside"),
            &["/b/c/a/secret", "/b/c/a"],
            true,
        ),
        root(
            "climbs past the top",
            |s| {
                let mut target = PathBuf::from("../".repeat(30));
                target.push(s.out("").strip_prefix("/").unwrap());
                s.link("a", target);
            },
            PARENT,
            true,
        ),
        root(
            "to the parent",
            |s| s.link("a", ".."),
            &["/a/outside/secret", "/a/outside", "/a"],
            true,
        ),
        root(
            "to the top",
            |s| s.link("a", "/"),
            &["/aOUT/secret", "/aOUT/new", "/aOUT", "/a"],
            true,
        ),
        root(
            "odd spelling",
            |s| s.link("a", "././/..//./outside/./"),
            PARENT,
            true,
        ),
        root(
            "in the middle of a target",
            |s| {
                fs::create_dir(s.root.join("b")).unwrap();
                s.link("a", "b/../../outside");
            },
            PARENT,
            true,
        ),
        root(
            "chain of two",
            |s| {
                s.link("b", s.out(""));
                s.link("a", "b");
            },
            PARENT,
            true,
        ),
        root(
            "chain of ten",
            |s| {
                s.link("0", s.out(""));
                for number in 1..10 {
                    s.link(&number.to_string(), (number - 1).to_string());
                }
                s.link("a", "9");
            },
            PARENT,
            true,
        ),
        root(
            "chain over directories",
            |s| {
                s.link("x/y/z", "../../../outside");
                s.link("b", "x/y");
                s.link("a", "b/z");
            },
            PARENT,
            true,
        ),
        root(
            "chain through an absolute link inside",
            |s| {
                s.link("b", s.out(""));
                s.link("a", s.root.join("b"));
            },
            PARENT,
            true,
        ),
        root(
            "chain that is too long",
            |s| {
                s.link("0", s.out(""));
                for number in 1..60 {
                    s.link(&number.to_string(), (number - 1).to_string());
                }
                s.link("a", "59");
            },
            PARENT,
            false,
        ),
        root("itself", |s| s.link("a", "a"), PARENT, false),
        root(
            "loop of two",
            |s| {
                s.link("a", "b");
                s.link("b", "a");
            },
            PARENT,
            false,
        ),
        root("loop that grows", |s| s.link("a", "a/x/.."), PARENT, false),
        root(
            "dangling, absolute",
            |s| s.link("a", s.out("missing")),
            &["/a", "/a/new"],
            false,
        ),
        root(
            "dangling, relative",
            |s| s.link("a", "../outside/missing"),
            &["/a", "/a/new"],
            false,
        ),
        root(
            "last component, absolute",
            |s| s.link("f", s.out("secret")),
            &["/f"],
            true,
        ),
        root(
            "last component, relative",
            |s| s.link("f", "../outside/secret"),
            &["/f"],
            true,
        ),
        root(
            "last component, a directory",
            |s| s.link("f", s.out("d")),
            &["/f"],
            true,
        ),
        root(
            "last component, a link outside",
            |s| s.link("f", s.out("l")),
            &["/f"],
            true,
        ),
        root(
            "/proc/self/root",
            |s| {
                s.mount_proc();
                let target = Path::new("/proc/self/root").join(s.out("").strip_prefix("/").unwrap());
                s.link("a", target);
            },
            &[
                "/proc/self/rootOUT/secret",
                "/a/secret",
                "/a/new",
                "/proc/self/rootOUT/new",
                "/proc/self/rootOUT",
            ],
            true,
        ),
        root(
            "/proc/PID/root",
            |s| {
                s.mount_proc();
                s.link(
                    "a",
                    format!("proc/{}/root{}", std::process::id(), s.out("").display()),
                );
            },
            PARENT,
            true,
        ),
        root(
            "/proc/thread-self/cwd",
            |s| {
                s.mount_proc();
                let up = "../".repeat(30);
                s.link(
                    "a",
                    format!(
                        "proc/thread-self/cwd/{up}{}",
                        s.out("").strip_prefix("/").unwrap().display()
                    ),
                );
            },
            PARENT,
            true,
        ),
        root(
            "/proc/self/fd of a directory",
            |s| {
                s.mount_proc();
                let directory = fs::File::open(s.out("")).unwrap();
                s.link("a", format!("proc/self/fd/{}", directory.as_raw_fd()));
                s.kept_open.push(directory.into());
            },
            PARENT,
            true,
        ),
        root(
            "/proc/self/fd of a file",
            |s| {
                s.mount_proc();
                let file = fs::File::options()
                    .read(true)
                    .write(true)
                    .open(s.out("secret"))
                    .unwrap();
                s.link("f", format!("proc/self/fd/{}", file.as_raw_fd()));
                s.kept_open.push(file.into());
            },
            &["/f"],
            true,
        ),
        root(
            "/proc of the running system, named",
            |s| {
                s.link(
                    "a",
                    Path::new("/proc/self/root").join(s.out("").strip_prefix("/").unwrap()),
                );
            },
            PARENT,
            true,
        ),
        root(
            "a file as parent",
            |s| fs::write(s.root.join("a"), "").unwrap(),
            PARENT,
            false,
        ),
        root(
            "a FIFO",
            |s| nix::unistd::mkfifo(&s.root.join("a"), Mode::S_IRWXU).unwrap(),
            PARENT,
            false,
        ),
        root(
            "a socket",
            |s| drop(UnixListener::bind(s.root.join("a")).unwrap()),
            PARENT,
            false,
        ),
        root(
            "a device",
            |s| {
                let made = Command::new("mknod")
                    .arg(s.root.join("a"))
                    .args(["c", "1", "5"])
                    .status();
                if !made.is_ok_and(|status| status.success()) {
                    s.skipped = Some("mknod is not permitted here");
                }
            },
            PARENT,
            false,
        ),
        root(
            "a tree full of links",
            |s| {
                s.link("t/a", s.out(""));
                s.link("t/b/c", "../../../outside/d");
                s.link("t/b/d/e/f", s.out("secret"));
                fs::hard_link(s.root.join("inside/f"), s.root.join("t/b/h")).unwrap();
            },
            &["/t/a/secret", "/t", "/t/b", "/t/b/c", "/t/b/c/f"],
            true,
        ),
        root(
            "leftovers that are links",
            |s| {
                s.link("w/.ignition-0123456789abcdef", s.out(""));
                s.link("w/.ignition-00000000000000aa", s.out("secret"));
                s.link(".ignition-0123456789abcdef", s.out("d"));
            },
            &["/w/.ignition-0123456789abcdef", "/w", "/"],
            true,
        ),
        root(
            "etc is outside",
            |s| s.link("etc", s.out("etc")),
            &["/etc/passwd", "/etc/shadow", "/etc/new", "/etc"],
            true,
        ),
        root(
            "account files are outside",
            |s| {
                for name in ["passwd", "shadow", ".pwd.lock"] {
                    s.link(&format!("etc/{name}"), s.out(&format!("etc/{name}")));
                }
                s.link("usr/share/baselayout", s.out("etc"));
            },
            &[
                "/etc/passwd",
                "/etc/shadow",
                "/etc/.pwd.lock",
                "/usr/share/baselayout/passwd",
            ],
            true,
        ),
    ]
}
