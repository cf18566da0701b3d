//! Hostile roots: whatever links they hold and whoever swaps them meanwhile, nothing outside the root changes.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::support::programs::{self, Ran};
use crate::support::root::Root;
use crate::support::snapshot::{Look, Snapshot};

/// What a hostile root is tried with: everything that writes, below or at the hostile node `/x`.
fn attempts() -> Vec<(&'static str, Value)> {
    let config = |section: &str, body: Value| json!({"ignition": {"version": "3.6.0"}, section: body});
    vec![
        (
            "a file below",
            config(
                "storage",
                json!({"files": [{"path": "/x/new", "contents": {"source": "data:,bad"}}]}),
            ),
        ),
        (
            "files deeper",
            config(
                "storage",
                json!({"files": [{"path": "/x/sub/new", "append": [{"source": "data:,bad"}], "mode": 0o777}]}),
            ),
        ),
        (
            "over a file below",
            config(
                "storage",
                json!({"files": [{"path": "/x/victim", "overwrite": true, "contents": {"source": "data:,bad"}}]}),
            ),
        ),
        (
            "append below",
            config(
                "storage",
                json!({"files": [{"path": "/x/victim", "append": [{"source": "data:,bad"}], "user": {"id": 9}}]}),
            ),
        ),
        (
            "directories below",
            config(
                "storage",
                json!({"directories": [{"path": "/x/tree", "overwrite": true, "mode": 0o777, "user": {"id": 9}}]}),
            ),
        ),
        (
            "at the link itself",
            config(
                "storage",
                json!({"files": [{"path": "/x", "overwrite": true, "contents": {"source": "data:,bad"}, "mode": 0o666}]}),
            ),
        ),
        (
            "a directory over the link",
            config(
                "storage",
                json!({"directories": [{"path": "/x", "overwrite": true, "user": {"id": 9}}]}),
            ),
        ),
        (
            "a link below",
            config(
                "storage",
                json!({"links": [{"path": "/x/victim", "target": "bad", "overwrite": true, "user": {"id": 9}}]}),
            ),
        ),
        (
            "a hard link to what is below",
            config(
                "storage",
                json!({"links": [{"path": "/stolen", "target": "/x/victim", "hard": true}]}),
            ),
        ),
        (
            "a hard link below",
            config(
                "storage",
                json!({"links": [{"path": "/x/given", "target": "/etc/passwd", "hard": true}]}),
            ),
        ),
    ]
}

/// Targets of the hostile link `/x`, given where the victims are.
fn targets(outside: &Path) -> Vec<(&'static str, String)> {
    let absolute = outside.to_str().unwrap().to_owned();
    let name = outside.file_name().unwrap().to_str().unwrap().to_owned();
    vec![
        ("absolute", absolute.clone()),
        ("relative", format!("../{name}")),
        ("far up", format!("{}{name}", "../".repeat(40))),
        ("up and absolute", format!("../../../../../../..{absolute}")),
        ("through proc", format!("/proc/self/root{absolute}")),
        ("through proc's cwd", format!("/proc/self/cwd{absolute}")),
        ("by way of a directory", format!("etc/../../{name}")),
        ("twice", "y".into()),
        ("looping", "x".into()),
        ("dangling", format!("/none/../../{name}")),
        ("dots", "..".into()),
        ("the root above", "/..".into()),
    ]
}

/// Victims beside the root, and the same places inside it where a link that stays inside leads to.
fn victims(root: &Root) -> std::path::PathBuf {
    let outside = root.beside().join("outside");
    std::fs::create_dir_all(outside.join("tree/deep")).unwrap();
    std::fs::create_dir_all(outside.join("sub")).unwrap();
    std::fs::write(outside.join("victim"), "precious\n").unwrap();
    std::fs::write(outside.join("tree/deep/file"), "precious\n").unwrap();
    outside
}

fn check(ran: &Ran, about: &str) {
    assert!(matches!(ran.code, Some(0 | 1)), "{about}: {ran}");
    if ran.code == Some(1) {
        assert!(
            ran.output().contains("storage.")
                || ran.output().contains("passwd.")
                || ran.output().contains("systemd."),
            "{about}: the refusal has no place in the config\n{ran}"
        );
    }
}

#[test]
fn no_link_leads_out() {
    if !programs::privileged() {
        return;
    }
    let (mut roots, mut inside, mut refused) = (0, 0, 0);
    let count = targets(Path::new("/o")).len();
    for (number, (attempt, config)) in attempts().into_iter().enumerate() {
        // Each attempt on some of the targets, each target by several attempts: 40 roots.
        for index in (0..count).filter(|index| (index + number) % 3 == 0) {
            let root = Root::system();
            let outside = victims(&root);
            let (kind, target) = targets(&outside).swap_remove(index);
            root.link("x", &target).link("y", outside.to_str().unwrap());
            let path = root.file_beside("config.ign", config.to_string());
            let before = Snapshot::of(root.beside(), Look::Strict);
            let about = format!("{attempt}, link {kind}");
            let ran = programs::files_stage(&path, root.path()).run();
            check(&ran, &about);
            if ran.code == Some(0) {
                inside += 1
            } else {
                refused += 1
            }
            roots += 1;
            outside_is_the_same(&before, &root, &about);
        }
    }
    assert!(roots >= 30, "{roots}");
    eprintln!("escapes: {roots} hostile roots; {inside} ended inside, {refused} were refused");
}

/// Everything beside the root, compared without the root.
fn outside_is_the_same(before: &Snapshot, root: &Root, about: &str) {
    let keep = |tree: &Snapshot| {
        Snapshot(
            tree.0
                .iter()
                .filter(|(path, _)| {
                    !path.starts_with("root") && !path.starts_with("tmp") && !path.as_os_str().is_empty()
                })
                .map(|(path, entry)| (path.clone(), entry.clone()))
                .collect(),
        )
    };
    let after = Snapshot::of(root.beside(), Look::Strict);
    keep(before).assert_same(&keep(&after), about);
}

/// Links where the program itself puts things: accounts, homes, keys, units, presets, its record, the result.
#[test]
fn no_place_of_its_own_leads_out() {
    if !programs::privileged() {
        return;
    }
    let config = json!({
        "ignition": {"version": "3.6.0"},
        "passwd": {"groups": [{"name": "g", "passwordHash": "$6$x"}],
                   "users": [{"name": "core", "sshAuthorizedKeys": ["ssh-ed25519 A"], "passwordHash": "$6$y"},
                             {"name": "new", "passwordHash": "$6$z", "sshAuthorizedKeys": ["ssh-ed25519 B"]}]},
        "storage": {"files": [{"path": "/opt/a", "contents": {"source": "data:,a"}}]},
        "systemd": {"units": [{"name": "a.service", "contents": "[Unit]\n", "enabled": true, "dropins": [{"name": "a.conf", "contents": "[Unit]\n"}]},
                              {"name": "b.service", "mask": true}]},
    });
    let places = [
        "etc/passwd",
        "etc/shadow",
        "etc/group",
        "etc/gshadow",
        "etc/subuid",
        "etc/.pwd.lock",
        "etc/passwd.lock",
        "etc/shadow-",
        "etc/.ignition-result.json",
        "etc/systemd",
        "etc/systemd/system",
        "etc/systemd/system-preset",
        "etc/systemd/system/a.service",
        "etc/systemd/system/a.service.d",
        "etc/systemd/system/b.service",
        "etc/systemd/system-preset/20-ignition.preset",
        ".ignition-progress",
        "home/core",
        "home/core/.ssh",
        "home/core/.ssh/authorized_keys.d",
        "home/core/.ssh/authorized_keys.d/ignition",
        "home/new",
        "home",
        "etc",
        "opt",
        "etc/skel",
        "etc/default",
        "etc/login.defs",
    ];
    let (mut succeeded, mut refused) = (0, 0);
    for place in places {
        let root = Root::system();
        let outside = victims(&root);
        // What the link leads to is of the kind that stood there.
        let found = root.at(place);
        let target = outside.join("tree/place");
        if found.is_dir() {
            let status = std::process::Command::new("cp")
                .arg("-aT")
                .arg(&found)
                .arg(&target)
                .status()
                .unwrap();
            assert!(status.success());
            std::fs::remove_dir_all(&found).unwrap();
        } else if found.is_file() {
            std::fs::copy(&found, &target).unwrap();
            std::fs::remove_file(&found).unwrap();
        } else if place.ends_with(".d")
            || place.ends_with(".ssh")
            || place.ends_with("preset")
            || place == "home/new"
        {
            std::fs::create_dir(&target).unwrap();
        } else {
            std::fs::write(&target, "precious\n").unwrap();
        }
        std::fs::create_dir_all(found.parent().unwrap()).unwrap();
        symlink(&target, &found).unwrap();
        let path = root.file_beside("config.ign", config.to_string());
        let before = Snapshot::of(root.beside(), Look::Strict);
        let about = format!("/{place} leads out");
        let ran = programs::files_stage(&path, root.path()).run();
        check(&ran, &about);
        if ran.code == Some(0) {
            succeeded += 1
        } else {
            refused += 1
        }
        outside_is_the_same(&before, &root, &about);
    }
    eprintln!(
        "escapes: {} own places; {succeeded} ended inside, {refused} were refused",
        places.len()
    );
}

/// A directory that somebody exchanges for a link, and back, while the program runs.
#[test]
fn links_swapped_while_running() {
    if !programs::privileged() {
        return;
    }
    for (kind, target_is_absolute) in [("absolute", true), ("relative", false)] {
        let root = Root::system();
        let outside = victims(&root);
        let inside = root.path().join("swap");
        std::fs::create_dir(&inside).unwrap();
        let spare = root.path().join("spare");
        let target = if target_is_absolute {
            outside.clone()
        } else {
            Path::new("../outside").to_owned()
        };
        symlink(&target, &spare).unwrap();
        let files: Vec<Value> = (0..60)
            .map(|index| {
                let path = match index % 4 {
                    0 => format!("/swap/victim{index}"),
                    1 => format!("/swap/tree/deep/new{index}"),
                    2 => format!("/swap/sub/f{index}"),
                    _ => format!("/swap/f{index}"),
                };
                json!({"path": path, "contents": {"source": "data:,bad"}, "overwrite": true, "user": {"id": 9}, "mode": 0o777})
            })
            .collect();
        let config = json!({"ignition": {"version": "3.6.0"}, "storage": {"files": files,
            "directories": [{"path": "/swap/tree", "mode": 0o777, "overwrite": true}]}});
        let path = root.file_beside("config.ign", config.to_string());
        let before = Snapshot::of(root.beside(), Look::Strict);
        let (stop, swaps) = (AtomicBool::new(false), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let done = nix::fcntl::renameat2(
                        nix::fcntl::AT_FDCWD,
                        &inside,
                        nix::fcntl::AT_FDCWD,
                        &spare,
                        nix::fcntl::RenameFlags::RENAME_EXCHANGE,
                    );
                    if done.is_ok() {
                        swaps.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
            let (mut succeeded, mut refused) = (0, 0);
            for _ in 0..12 {
                let ran = programs::files_stage(&path, root.path()).run();
                assert!(matches!(ran.code, Some(0 | 1)), "{kind}: {ran}");
                if ran.code == Some(0) {
                    succeeded += 1
                } else {
                    refused += 1
                }
            }
            stop.store(true, Ordering::Relaxed);
            eprintln!("swapped ({kind}): {succeeded} runs ended inside, {refused} were refused");
        });
        eprintln!("swapped ({kind}): {} times", swaps.load(Ordering::Relaxed));
        assert!(swaps.load(Ordering::Relaxed) > 100, "nothing was swapped");
        outside_is_the_same(&before, &root, &format!("swapped links, {kind}"));
    }
}
