//! Hostile roots: whatever links they hold, no operation changes or reads anything outside the root.

mod scene;

use std::ffi::OsStr;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ignition_rs::plan::Secret;
use ignition_rs::sys::accounts;
use ignition_rs::sys::sysroot::{Resolver, Sysroot};
use ignition_rs::view::{Account, RootPath};
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use scene::{Scene, hostile, snapshot};

/// Everything that a [`Sysroot`] can do, once. Errors are welcome; what is read must not be the canary.
type Operation = (&'static str, fn(&Sysroot, &RootPath));

const OPERATIONS: &[Operation] = &[
    ("node", |sysroot, path| {
        if let Ok(Some(node)) = sysroot.node(path) {
            // By the modes, which nothing inside has: the size of a file that is appended to can be any.
            assert!(
                ![0o640, 0o604].contains(&(node.mode & 0o7777)),
                "{path} is outside: mode {:o}",
                node.mode
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
        drop(sysroot.make_directory(path, 1, 1, 0o777));
    }),
    ("make_directory below", |sysroot, path| {
        drop(sysroot.make_directory(&path.join("new"), 1, 1, 0o777));
    }),
    ("stage_file", |sysroot, path| {
        if let Ok(mut staged) = sysroot.stage_file(path) {
            let _ = staged.write_all(b"overwritten");
            let _ = staged.commit(1, 1, 0o777);
        }
    }),
    ("stage_file dropped", |sysroot, path| {
        drop(sysroot.stage_file(path));
    }),
    ("stage_copy", |sysroot, path| {
        if let Ok(mut staged) = sysroot.stage_copy(path) {
            let _ = staged.write_all(b"appended");
            if staged.commit_durably(1, 1, 0o777).is_ok() {
                // It may have been swapped for a link again by now.
                if let Ok(Some(bytes)) = sysroot.read(path, 1 << 16) {
                    assert!(!contains_canary(&bytes), "{path} copied what is outside");
                }
            }
        }
    }),
    ("symlink", |sysroot, path| {
        drop(sysroot.symlink(path, OsStr::new("target"), 1, 1));
    }),
    ("hard_link to it", |sysroot, path| {
        if sysroot.hard_link(&RootPath::from("/linked"), path).is_ok() {
            let _ = sysroot.set_access(&RootPath::from("/linked"), 1, 1, 0o777);
        }
    }),
    ("hard_link from it", |sysroot, path| {
        drop(sysroot.hard_link(path, &RootPath::from("/inside/f")));
    }),
    ("set_access", |sysroot, path| {
        drop(sysroot.set_access(path, 1, 1, 0o777));
    }),
    ("remove_tree", |sysroot, path| drop(sysroot.remove_tree(path))),
    ("remove_leftovers", |sysroot, path| {
        drop(sysroot.remove_leftovers(path));
    }),
    ("open_lock_file", |sysroot, path| {
        drop(sysroot.open_lock_file(path, 0o777));
    }),
    ("sync_directory", |sysroot, path| {
        drop(sysroot.sync_directory(path));
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
                if round.is_multiple_of(8) {
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
    if !crate::support::programs::privileged() {
        return;
    }
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
    if !crate::support::programs::privileged() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let sysroot = Sysroot::open(directory.path()).unwrap();
    let path = RootPath::clean(OsStr::from_bytes(b"/\xff\xfe"));
    sysroot.make_directory(&path, 0, 0, 0o755).unwrap();
    assert_eq!(
        sysroot.list(&RootPath::root()).unwrap(),
        [OsStr::from_bytes(b"\xff\xfe")]
    );
}
