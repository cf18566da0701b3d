//! *A run interrupted anywhere and run again ends in the same state* (design.md 1, 3): the program is killed at every
//! system call that is the boundary of a step, and run again.
//!
//! `strace` kills it, so there is no hook for this in the program. What it started dies with it.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::pages::{Page, Pages};
use crate::support::programs::{self, Ran};
use crate::support::root::Root;
use crate::support::snapshot::{Look, Snapshot};
use crate::support::strace;

/// The system calls that the program makes between two states that a re-run could find.
const BOUNDARIES: &[&str] = &[
    "renameat",
    "renameat2",
    "mkdirat",
    "symlinkat",
    "linkat",
    "unlinkat",
    "fchownat",
    "fchown",
    "fchmod",
    "fchmodat",
    "fsync",
    "fdatasync",
    "syncfs",
    "write",
    "clone",
    "clone3",
    "vfork",
    "wait4",
    "waitid",
];

/// Set to `all` to kill at every single one of them, which takes several minutes.
const HOW_MANY: &str = "IGNITION_KILL";

/// Without it, about so many are taken, spread evenly, of each kind some.
const SAMPLE: usize = 150;

/// No accounts are removed: groupdel and userdel, killed half-way, leave what a second run does not find (the line in
/// gshadow or shadow, the home).
///
/// 70 nodes with appends and overwrites over what is there and remote contents, users, groups, keys, units.
fn config(server: Pages) -> Value {
    let mut files = Vec::new();
    let mut directories = Vec::new();
    let mut links = Vec::new();
    for index in 0..12 {
        directories.push(json!({"path": format!("/opt/d{index}/inner"), "mode": 0o750 + index % 4, "user": {"name": "web"}}));
        files.push(json!({"path": format!("/opt/d{index}/inner/new"), "contents": {"source": format!("data:,new{index}")},
                          "user": {"name": "web"}, "group": {"name": "staff"}, "mode": 0o4711}));
        files.push(json!({"path": format!("/srv/old{index}"), "overwrite": true, "mode": 0o600,
                          "contents": {"source": format!("data:,instead{index}")}, "append": [{"source": "data:,%20and"}]}));
        files.push(json!({"path": format!("/srv/log{index}"), "append": [{"source": format!("data:,one{index}%0A")}, {"source": "data:,two%0A"}]}));
        if index % 2 == 0 {
            links.push(json!({"path": format!("/opt/s{index}"), "target": "../srv", "overwrite": true, "user": {"name": "web"}}));
            links.push(json!({"path": format!("/opt/h{index}"), "target": format!("/srv/old{index}"), "hard": true, "overwrite": index == 0}));
        }
    }
    // Fetched ahead of their turn, into directories that are there and that are yet to be made.
    for index in 0..4 {
        let path = format!("/remote/{}", index * 40_000);
        let contents = json!({"source": server.url(&path)});
        files.push(json!({"path": format!("/opt/d{index}/inner/remote"), "contents": contents, "user": {"name": "web"}}));
        files.push(json!({"path": format!("/var/remote{index}"), "contents": contents, "append": [contents], "mode": 0o600}));
        files.push(
            json!({"path": format!("/srv/kept{index}"), "append": [{"source": "data:,x%0A"}, contents]}),
        );
    }
    // A new file that is only appended to, one below a home, one in the place of a directory.
    files.push(
        json!({"path": "/var/lib/new-log", "append": [{"source": "data:,a%0A"}, {"source": "data:,b%0A"}]}),
    );
    files.push(json!({"path": "/home/web/site/index", "contents": {"source": "data:,hello"}, "user": {"name": "web"}}));
    files.push(json!({"path": "/srv/full", "overwrite": true, "contents": {"source": "data:,flat"}}));
    let unit = "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n";
    json!({
        "ignition": {"version": "3.6.0"},
        "passwd": {
            "groups": [{"name": "staff", "gid": 3000, "passwordHash": "$6$g"}],
            "users": [
                {"name": "web", "uid": 2000, "groups": ["staff", "sudo"], "passwordHash": "$6$a$b", "sshAuthorizedKeys": ["ssh-ed25519 A"]},
                {"name": "daemon2", "system": true, "noCreateHome": true, "shell": "/usr/sbin/nologin"},
                {"name": "core", "groups": ["docker"], "sshAuthorizedKeys": ["ssh-ed25519 B", "ssh-ed25519 C"]},
            ],
        },
        "storage": {"directories": directories, "files": files, "links": links},
        "systemd": {"units": [
            {"name": "web.service", "enabled": true, "contents": unit, "dropins": [{"name": "10-a.conf", "contents": "[Unit]\n"}]},
            {"name": "old.service", "enabled": false},
            {"name": "there.service", "mask": true},
            {"name": "masked.service", "mask": false, "contents": unit},
            {"name": "t@1.service", "enabled": true}, {"name": "t@2.service", "enabled": true},
        ]},
    })
}

fn prepared() -> Root {
    let root = Root::system();
    for index in 0..12 {
        root.file(&format!("srv/old{index}"), "old bytes\n", 0o644).file(
            &format!("srv/log{index}"),
            "zero\n",
            0o640,
        );
        root.own(&format!("srv/log{index}"), 500, 27);
    }
    for index in 0..4 {
        root.file(&format!("srv/kept{index}"), "zero\n", 0o600);
    }
    root.link("opt/s0", "elsewhere")
        .file("opt/h0", "in the way\n", 0o644);
    root.file("srv/full/a/b", "lost\n", 0o644)
        .file("srv/full/c", "lost\n", 0o644);
    root.file(
        "usr/lib/systemd/system/t@.service",
        "[Install]\nWantedBy=multi-user.target\n",
        0o644,
    );
    root.file("etc/systemd/system/there.service", "[Unit]\n", 0o644);
    root.link("etc/systemd/system/masked.service", "/dev/null");
    root
}

fn no_leftovers(tree: &Snapshot, about: &str) {
    for path in tree.0.keys() {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let mine = name.starts_with(".ignition-") && name != ".ignition-result.json";
        assert!(!mine, "{about}: {} was left behind", path.display());
    }
}

/// A run under strace that kills it at the n-th call of a name.
fn killed_at(name: &str, number: usize, config: &Path, root: &Path) -> Ran {
    let inject = format!("inject={name}:signal=SIGKILL:when={number}");
    programs::files_stage(config, root)
        .under([
            "strace",
            "-qq",
            "-o",
            "/dev/null",
            "-e",
            &format!("trace={name}"),
            "-e",
            &inject,
        ])
        .run()
}

/// All boundaries in the order in which an uninterrupted run comes to them. Threads that fetch are not traced: what they
/// do is different each time, and to be seen only in what they had done when the run was killed.
fn boundaries(config: &Path, root: &Root) -> Vec<(String, usize)> {
    let trace = root.beside().join("trace");
    let names: Vec<String> = BOUNDARIES.iter().map(|name| format!("?{name}")).collect();
    let filter = format!("trace={}", names.join(","));
    programs::files_stage(config, root.path())
        .under([
            "strace",
            "-qq",
            "-e",
            "signal=none",
            "-e",
            &filter,
            "-o",
            trace.to_str().unwrap(),
        ])
        .run()
        .expect_code(0);
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    strace::read(&trace)
        .into_iter()
        .map(|call| {
            let count = counts.entry(call.name.clone()).or_default();
            *count += 1;
            (call.name, *count)
        })
        .collect()
}

#[test]
fn killed_anywhere_and_run_again_it_ends_in_the_same_tree() {
    if !programs::privileged() || !programs::traceable() {
        return;
    }
    let original = prepared();
    let server = Pages::start(|path| {
        let size = path.rsplit('/').next().and_then(|size| size.parse().ok());
        Page::Whole(vec![b'r'; size.unwrap_or_default()])
    });
    let config = original.file_beside("config.ign", config(server).to_string());

    let reference = original.copy();
    programs::files_stage(&config, reference.path())
        .run()
        .expect_code(0);
    let wanted = Snapshot::of(reference.path(), Look::Outcome);
    no_leftovers(&wanted, "uninterrupted");
    let log = std::fs::read_to_string(reference.at("srv/log3")).unwrap();
    assert_eq!(log, "zero\none3\ntwo\n");
    let kept = std::fs::read_to_string(reference.at("srv/kept3")).unwrap();
    assert_eq!(kept.strip_prefix("zero\nx\n").map(str::len), Some(120_000));

    let all = boundaries(&config, &original.copy());
    let every = std::env::var(HOW_MANY).is_ok_and(|many| many == "all");
    let points = if every { all.clone() } else { sample(&all) };
    let begin = Instant::now();
    // Two at a time: the machines that test this have two cores.
    let half = points.len().div_ceil(2);
    let failures: Vec<String> = std::thread::scope(|scope| {
        let workers: Vec<_> = points
            .chunks(half)
            .map(|points| {
                let run = || {
                    let once =
                        |(name, number): &(String, usize)| once(name, *number, &config, &original, &wanted);
                    points.iter().filter_map(once).collect::<Vec<_>>()
                };
                scope.spawn(run)
            })
            .collect();
        workers
            .into_iter()
            .flat_map(|worker| {
                worker
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
            .collect()
    });
    eprintln!(
        "killed at {} of {} boundaries in {:.0} s ({HOW_MANY}=all for each): {}",
        points.len(),
        all.len(),
        begin.elapsed().as_secs_f64(),
        counted(&points),
    );
    assert!(
        failures.is_empty(),
        "{} times:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

/// Kills one run, runs again, and says what is wrong then.
fn once(name: &str, number: usize, config: &Path, original: &Root, wanted: &Snapshot) -> Option<String> {
    let about = format!("killed at {name} {number}");
    let root = original.copy();
    let ran = killed_at(name, number, config, root.path());
    // How often it asks after a program that runs depends on how fast that is.
    let may_be_over = matches!(name, "wait4" | "waitid") && ran.code == Some(0);
    if ran.signal != Some(9) && !may_be_over {
        return Some(format!("{about}: it was not killed\n{ran}"));
    }
    settle(root.path());
    let between = Snapshot::of(root.path(), Look::Outcome);
    if between == *wanted {
        // The record is gone, and with it the leave to find one's own files: on the root, the run was over.
        return None;
    }
    let again = programs::files_stage(config, root.path()).run();
    if again.code != Some(0) {
        let changed = Snapshot::of(original.path(), Look::Outcome).diff(&between);
        return Some(format!(
            "{about}: the second run failed\n{again}\nthe first changed:\n{changed}"
        ));
    }
    let found = Snapshot::of(root.path(), Look::Outcome);
    no_leftovers(&found, &about);
    let diff = wanted.diff(&found);
    (!diff.is_empty()).then(|| format!("{about}: the tree is another one:\n{diff}"))
}

/// Waits until nothing runs any more that was started on this root: the kernel kills it, but not before this process
/// hears of its parent's end.
fn settle(root: &Path) {
    let root = root.to_str().unwrap().as_bytes().to_vec();
    for _ in 0..200 {
        let busy = std::fs::read_dir("/proc")
            .unwrap()
            .filter_map(Result::ok)
            .any(|entry| {
                std::fs::read(entry.path().join("cmdline"))
                    .is_ok_and(|line| line.windows(root.len()).any(|window| window == root))
            });
        if !busy {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("something still runs on the root");
}

/// Some of each kind, spread evenly over the run.
fn sample(all: &[(String, usize)]) -> Vec<(String, usize)> {
    let mut kinds: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (name, number) in all {
        kinds.entry(name).or_default().push(*number);
    }
    let share = SAMPLE.div_ceil(kinds.len());
    // What the rarer kinds leave free goes to the more frequent ones.
    let rare: usize = kinds.values().map(|numbers| numbers.len().min(share)).sum();
    let frequent = kinds
        .values()
        .filter(|numbers| numbers.len() > share)
        .count()
        .max(1);
    let share = share + SAMPLE.saturating_sub(rare) / frequent;
    let mut points = Vec::new();
    for (name, numbers) in kinds {
        let take = numbers.len().min(share);
        for index in 0..take {
            points.push((name.to_owned(), numbers[index * numbers.len() / take]));
        }
    }
    points
}

fn counted(points: &[(String, usize)]) -> String {
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for (name, _) in points {
        *kinds.entry(name).or_default() += 1;
    }
    kinds
        .iter()
        .map(|(name, count)| format!("{count} {name}"))
        .collect::<Vec<_>>()
        .join(", ")
}
