//! Hostile roots: whatever links they hold, no operation changes or reads anything outside the root.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ignition_rs::plan::Secret;
use ignition_rs::sys::accounts;
use ignition_rs::sys::sysroot::{Resolver, Sysroot};
use ignition_rs::view::{Account, NodeKind, RootPath};
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use nix::sys::stat::Mode;

const CANARY: &str = "canary: nobody inside the root may see this";

/// A root, and a directory beside it that must not change.
struct Scene {
    _directory: tempfile::TempDir,
    root: PathBuf,
    outside: PathBuf,
    mounted: Vec<PathBuf>,
    kept_open: Vec<OwnedFd>,
    /// Whether what the root needs could not be had here
    skipped: Option<&'static str>,
}

impl Scene {
    fn new() -> Self {
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

    fn link(&self, at: &str, target: impl AsRef<Path>) {
        let at = self.root.join(at);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        symlink(target, at).unwrap();
    }

    /// A path outside, absolute, with something below it.
    fn out(&self, below: &str) -> PathBuf {
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
fn snapshot(top: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut todo = vec![top.to_owned()];
    while let Some(path) = todo.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        let body = if meta.is_file() {
            format!("{:?}", fs::read(&path).unwrap())
        } else if meta.is_symlink() {
            format!("{:?}", fs::read_link(&path).unwrap())
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
struct Hostile {
    name: &'static str,
    build: fn(&mut Scene),
    /// Paths to work on; OUT stands for the path of what is outside
    paths: &'static [&'static str],
    /// Whether a program that lets the kernel resolve `ROOT + path` would get out by the first of the paths
    escapes: bool,
}

const PARENT: &[&str] = &["/a/secret", "/a/new", "/a/d", "/a", "/a/d/new"];

fn hostile() -> Vec<Hostile> {
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

/// Everything that a [`Sysroot`] can do, once. Errors are welcome; what is read must not be the canary.
type Operation = (&'static str, fn(&Sysroot, &RootPath));

const OPERATIONS: &[Operation] = &[
    ("node", |sysroot, path| {
        if let Ok(Some(node)) = sysroot.node(path) {
            assert_ne!(node.mode & 0o7777, 0o640, "{path} is the secret outside");
            assert_ne!(
                node.kind,
                NodeKind::File {
                    size: Some(CANARY.len() as u64)
                },
                "{path} is outside"
            );
        }
    }),
    ("list", |sysroot, path| {
        if let Ok(names) = sysroot.list(path) {
            assert!(!names.contains(&"secret".into()), "{path} lists what is outside");
        }
    }),
    ("read", |sysroot, path| {
        if let Ok(Some(bytes)) = sysroot.read(path, 1 << 16) {
            assert!(!contains_canary(&bytes), "{path} reads what is outside");
        }
    }),
    ("open_file", |sysroot, path| {
        if let Ok(file) = sysroot.open_file(path) {
            let mut bytes = Vec::new();
            let _ = file.take(1 << 16).read_to_end(&mut bytes);
            assert!(!contains_canary(&bytes), "{path} reads what is outside");
        }
    }),
    ("digest", |sysroot, path| drop(sysroot.digest(path))),
    ("follow", |sysroot, path| {
        if let Ok(path) = sysroot.follow(path) {
            let _ = sysroot.stage_file(&path).map(|staged| staged.commit(0, 0, 0o777));
        }
    }),
    ("make_directory", |sysroot, path| {
        drop(sysroot.make_directory(path, 1, 1, 0o777))
    }),
    ("make_directory below", |sysroot, path| {
        drop(sysroot.make_directory(&path.join("new"), 1, 1, 0o777))
    }),
    ("stage_file", |sysroot, path| {
        if let Ok(mut staged) = sysroot.stage_file(path) {
            let _ = staged.write_all(b"overwritten");
            let _ = staged.commit(1, 1, 0o777);
        }
    }),
    ("stage_file dropped", |sysroot, path| {
        drop(sysroot.stage_file(path))
    }),
    ("stage_copy", |sysroot, path| {
        if let Ok(mut staged) = sysroot.stage_copy(path) {
            let _ = staged.write_all(b"appended");
            if staged.commit_durably(1, 1, 0o777).is_ok() {
                let bytes = sysroot.read(path, 1 << 16).unwrap().unwrap_or_default();
                assert!(!contains_canary(&bytes), "{path} copied what is outside");
            }
        }
    }),
    ("symlink", |sysroot, path| {
        drop(sysroot.symlink(path, OsStr::new("target"), 1, 1))
    }),
    ("hard_link to it", |sysroot, path| {
        if sysroot.hard_link(&RootPath::from("/linked"), path).is_ok() {
            let _ = sysroot.set_access(&RootPath::from("/linked"), 1, 1, 0o777);
        }
    }),
    ("hard_link from it", |sysroot, path| {
        drop(sysroot.hard_link(path, &RootPath::from("/inside/f")))
    }),
    ("set_access", |sysroot, path| {
        drop(sysroot.set_access(path, 1, 1, 0o777))
    }),
    ("remove_tree", |sysroot, path| drop(sysroot.remove_tree(path))),
    ("remove_leftovers", |sysroot, path| {
        drop(sysroot.remove_leftovers(path))
    }),
    ("open_lock_file", |sysroot, path| {
        drop(sysroot.open_lock_file(path, 0o777))
    }),
    ("sync_directory", |sysroot, path| {
        drop(sysroot.sync_directory(path))
    }),
    ("accounts", |sysroot, path| {
        let hash = Secret::new("overwritten".to_owned());
        let _ = accounts::set_password(sysroot, Account::User("core"), &hash);
        let _ = accounts::adopt(sysroot, Account::User("core"));
        if let Ok(Some(bytes)) = accounts::read(sysroot, path) {
            assert!(!contains_canary(&bytes), "{path} reads what is outside");
        }
    }),
];

fn contains_canary(bytes: &[u8]) -> bool {
    bytes.windows(6).any(|window| window == b"canary")
}

fn each_hostile(resolver: Resolver) {
    let roots = hostile();
    assert!(roots.len() >= 30);
    for hostile in &roots {
        for (name, operation) in OPERATIONS {
            for path in hostile.paths {
                let mut scene = Scene::new();
                (hostile.build)(&mut scene);
                if let Some(why) = scene.skipped {
                    eprintln!("skipped: {}: {why}", hostile.name);
                    continue;
                }
                let path = path.replace("OUT", scene.outside.to_str().unwrap());
                let before = snapshot(&scene.outside);
                let sysroot = Sysroot::open_with(&scene.root, resolver).unwrap();
                operation(&sysroot, &RootPath::from(path.as_str()));
                sysroot.sync_touched().unwrap();
                drop(sysroot);
                assert_eq!(
                    snapshot(&scene.outside),
                    before,
                    "{name} of {path} got out of the root with: {} ({resolver:?})",
                    hostile.name
                );
                let beside: Vec<_> = fs::read_dir(scene.root.parent().unwrap()).unwrap().collect();
                assert_eq!(beside.len(), 2, "{name} of {path} made something beside the root");
            }
        }
    }
}

#[test]
fn hostile_roots_with_openat2() {
    each_hostile(Resolver::Kernel);
}

#[test]
fn hostile_roots_with_the_walk() {
    each_hostile(Resolver::Walk);
}

/// The roots are as hostile as they claim: plain path names do get out.
#[test]
fn plain_names_would_get_out() {
    for hostile in hostile() {
        let mut scene = Scene::new();
        (hostile.build)(&mut scene);
        if scene.skipped.is_some() {
            continue;
        }
        let first = hostile
            .paths
            .first()
            .unwrap()
            .replace("OUT", scene.outside.to_str().unwrap());
        let plain = fs::canonicalize(scene.root.join(first.trim_start_matches('/')));
        let out = plain.is_ok_and(|path| !path.starts_with(&scene.root));
        assert_eq!(out, hostile.escapes, "{}", hostile.name);
    }
}

/// Inside the root both ways of resolving agree.
#[test]
fn both_resolvers_see_the_same() {
    for hostile in hostile() {
        // openat2 refuses the links of /proc that are none; the walk takes them by their text, inside the root.
        if hostile.name.contains("/proc") {
            continue;
        }
        let mut scene = Scene::new();
        (hostile.build)(&mut scene);
        let kernel = Sysroot::open_with(&scene.root, Resolver::Kernel).unwrap();
        let walk = Sysroot::open_with(&scene.root, Resolver::Walk).unwrap();
        for path in hostile.paths {
            let path = RootPath::from(path.replace("OUT", scene.outside.to_str().unwrap()).as_str());
            let show =
                |sysroot: &Sysroot| format!("{:?}", sysroot.node(&path).map_err(|error| error.errno()));
            assert_eq!(show(&kernel), show(&walk), "{path} with: {}", hostile.name);
        }
    }
}

/// Directories, files and trees that another thread swaps for links all the time.
fn swapped(resolver: Resolver) {
    let scene = Scene::new();
    let root = &scene.root;
    for (here, there) in [
        ("dir", "link"),
        ("inside/file", "inside/filelink"),
        ("t/sub/deep", "t/sub/out"),
    ] {
        let outside = if here.contains("file") {
            scene.out("secret")
        } else {
            scene.out("")
        };
        scene.link(there, outside);
        if here.contains("file") {
            fs::write(root.join(here), "inside").unwrap();
        } else {
            fs::create_dir_all(root.join(here)).unwrap();
        }
    }
    let pairs: Vec<(PathBuf, PathBuf)> = [
        ("dir", "link"),
        ("inside/file", "inside/filelink"),
        ("t/sub/deep", "t/sub/out"),
    ]
    .iter()
    .map(|(here, there)| (root.join(here), root.join(there)))
    .collect();
    let before = snapshot(&scene.outside);
    let stop = AtomicBool::new(false);
    let swaps = std::thread::scope(|scope| {
        let swapper = scope.spawn(|| {
            let mut swaps = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                for (here, there) in &pairs {
                    let swap = renameat2(AT_FDCWD, here, AT_FDCWD, there, RenameFlags::RENAME_EXCHANGE);
                    swaps += u64::from(swap.is_ok());
                }
            }
            swaps
        });
        let sysroot = Sysroot::open_with(root, resolver).unwrap();
        let end = Instant::now() + Duration::from_secs(2);
        let mut round = 0_u32;
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            while Instant::now() < end {
                round += 1;
                for (name, operation) in OPERATIONS {
                    for path in ["/dir/secret", "/dir/d/f", "/inside/file", "/dir/new"] {
                        // These would take away what is being swapped; they have their own turn below.
                        if !(matches!(*name, "remove_tree" | "hard_link to it") && path == "/inside/file") {
                            operation(&sysroot, &RootPath::from(path));
                        }
                    }
                }
                let _ = sysroot.remove_tree(&RootPath::from("/linked"));
                let _ = sysroot.make_directory(&RootPath::from("/t/sub/deep/x"), 0, 0, 0o755);
                if round % 8 == 0 {
                    let _ = sysroot.remove_tree(&RootPath::from("/t"));
                    for made in ["/t", "/t/sub", "/t/sub/deep"] {
                        let _ = sysroot.make_directory(&RootPath::from(made), 0, 0, 0o755);
                    }
                    let _ = sysroot.symlink(&RootPath::from("/t/sub/out"), scene.out("").as_os_str(), 0, 0);
                }
            }
        }));
        stop.store(true, Ordering::Relaxed);
        let swaps = swapper.join().unwrap();
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
        swaps
    });
    assert!(swaps > 100, "only {swaps} swaps: the test tested nothing");
    assert_eq!(snapshot(&scene.outside), before, "{resolver:?}");
}

#[test]
fn swapped_while_running_with_openat2() {
    swapped(Resolver::Kernel);
}

#[test]
fn swapped_while_running_with_the_walk() {
    swapped(Resolver::Walk);
}

/// The shadow tools and this program's own edits of the same root.
#[test]
fn passwords_beside_the_shadow_tools() {
    use ignition_rs::sys::runner::{Invocation, RunError, Runner as _, System};
    use ignition_rs::sys::{Probe, Tool};
    use ignition_rs::view::View as _;

    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    fs::create_dir(root.join("etc")).unwrap();
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/bash\n").unwrap();
    fs::write(root.join("etc/group"), "root:x:0:\n").unwrap();
    fs::write(root.join("etc/shadow"), "root:*:19000:0:99999:7:::\n").unwrap();
    fs::write(root.join("etc/gshadow"), "root:*::\n").unwrap();
    let runner = System::new(None);
    let add = Invocation::new(
        Tool::Useradd,
        [
            "--root",
            root.to_str().unwrap(),
            "--no-create-home",
            "--password",
            "*",
            "--uid",
            "1234",
            "core",
        ],
    );
    match runner.run(&add) {
        Err(RunError::NotFound { .. }) => return eprintln!("skipped: useradd is not installed"),
        done => done.unwrap(),
    };
    let sysroot = Sysroot::open(root).unwrap();
    let account = Account::User("core");
    let probe = Probe::new(&sysroot, None);
    assert!(!probe.has_password(account, "$6$salt$hash").unwrap());
    assert!(accounts::set_password(&sysroot, account, &Secret::new("$6$salt$hash".to_owned())).unwrap());
    probe.forget();
    assert!(probe.has_password(account, "$6$salt$hash").unwrap());
    assert_eq!(probe.user("core").unwrap().unwrap().home, "/home/core");
    let shadow = fs::read_to_string(root.join("etc/shadow")).unwrap();
    assert!(
        shadow.starts_with("root:*:19000:0:99999:7:::\ncore:$6$salt$hash:"),
        "{shadow}"
    );
    // The tools still take the file for a good one.
    let lock = Invocation::new(
        Tool::Usermod,
        ["--root", root.to_str().unwrap(), "--comment", "Core", "core"],
    );
    runner.run(&lock).unwrap();
    let after = fs::read_to_string(root.join("etc/shadow")).unwrap();
    assert!(after.contains("core:$6$salt$hash:"), "{after}");
    let again = runner.run(&add).unwrap_err().to_string();
    assert!(
        again.contains("exit code 9") && again.contains("already exists"),
        "{again}"
    );
}

/// A path with bytes that are no UTF-8 is a path like any other.
#[test]
fn names_need_not_be_utf8() {
    let directory = tempfile::tempdir().unwrap();
    let sysroot = Sysroot::open(directory.path()).unwrap();
    let path = RootPath::clean(OsStr::from_bytes(b"/\xff\xfe"));
    sysroot.make_directory(&path, 0, 0, 0o755).unwrap();
    assert_eq!(
        sysroot.list(&RootPath::root()).unwrap(),
        [OsStr::from_bytes(b"\xff\xfe")]
    );
}
