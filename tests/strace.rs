//! *A dry run writes nothing* (design.md 2): seen from outside, by the tree that it looked at and by its system calls.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::support::generate::Pair;
use crate::support::programs::{self, BINARY, Program};
use crate::support::root::Root;
use crate::support::snapshot::{Look, Snapshot};
use crate::support::strace;

/// How many generated pairs are looked at.
const PAIRS: u64 = 200;

/// Each so-manieth of them is also traced.
const TRACED_EVERY: u64 = 8;

const STAGES: &[&str] = &[
    "fetch-offline",
    "fetch",
    "kargs",
    "disks",
    "mount",
    "files",
    "umount",
];

fn dry_run(stage: &str, config: &Path, root: &Path) -> Program {
    Program::ignition_rs()
        .args(["--dry-run", "--stage", stage, "--config"])
        .arg(config)
        .arg("--root")
        .arg(root)
}

/// Runs it under strace and fails if it did what a dry run must not do.
fn traced(program: &Program, trace: &Path, about: &str) -> programs::Ran {
    let wrapper = ["strace", "-f", "-qq", "-s", "200", "-e", "signal=none", "-o"];
    let filter = format!("trace={}", strace::traced());
    let words = wrapper.iter().map(|word| (*word).to_owned());
    let ran = program
        .clone()
        .under(words.chain([trace.to_str().unwrap().to_owned(), "-e".into(), filter]))
        .run();
    let calls = strace::read(trace);
    assert!(
        calls.iter().any(|call| call.name == "execve"),
        "{about}: the trace is empty\n{ran}"
    );
    let found = strace::writes(&calls);
    assert!(
        found.is_empty(),
        "{about}: a dry run did this:\n{}\n{ran}",
        found.join("\n")
    );
    ran
}

#[test]
fn generated_pairs_stay_as_they_are() {
    if !programs::privileged() {
        return;
    }
    let traceable = programs::traceable();
    let (mut done, mut with_trace) = (0, 0);
    for seed in 0..PAIRS {
        let pair = Pair::new(seed);
        let config = pair.root.file_beside("config.ign", pair.text());
        // strace's own output stands beside the root, so only the root is compared.
        let before = Snapshot::of(pair.root.path(), Look::Strict);
        let program = match seed % 3 {
            0 => dry_run("files", &config, pair.root.path()),
            1 => programs::plan(&config, pair.root.path()),
            _ => programs::plan(&config, pair.root.path()).arg("--format=json"),
        };
        let about = format!("seed {seed}");
        let ran = if traceable && seed % TRACED_EVERY == 0 {
            with_trace += 1;
            traced(&program, &pair.root.beside().join("trace"), &about)
        } else {
            program.run()
        };
        match &pair.refused {
            None => assert!(matches!(ran.code, Some(0 | 2 | 3)), "{about}: {ran}"),
            Some(_) => assert_eq!(ran.code, Some(1), "{about}: {ran}"),
        }
        before.assert_same(&Snapshot::of(pair.root.path(), Look::Strict), &about);
        done += 1;
    }
    eprintln!("dry runs: {done} pairs untouched, {with_trace} of them traced");
}

/// Were the trace empty or read wrongly, every dry run would pass.
#[test]
fn a_real_run_is_seen_to_write() {
    if !programs::privileged() || !programs::traceable() {
        return;
    }
    let root = Root::system();
    let config = root.file_beside(
        "config.ign",
        CONFIG.replace("http://127.0.0.1:1/remote", "data:,x"),
    );
    let trace = root.beside().join("trace");
    let filter = format!("trace={}", strace::traced());
    programs::files_stage(&config, root.path())
        .under([
            "strace",
            "-f",
            "-qq",
            "-s",
            "200",
            "-e",
            "signal=none",
            "-o",
            trace.to_str().unwrap(),
            "-e",
            &filter,
        ])
        .run()
        .expect_code(0);
    let found = strace::writes(&strace::read(&trace)).join("\n");
    for call in [
        "openat",
        "renameat",
        "fchown",
        "fchmod",
        "mkdirat",
        "linkat",
        "symlinkat",
        "unlinkat",
        "execve",
        "fsync",
        "write",
    ] {
        assert!(
            found.contains(&format!("{call}(")),
            "{call} is missing in\n{found}"
        );
    }
}

/// The sections that stages read, all of them empty but the files stage's.
const CONFIG: &str = r#"{
  "ignition": {"version": "3.4.0"},
  "passwd": {"users": [{"name": "core", "passwordHash": "$6$x$y", "sshAuthorizedKeys": ["ssh-ed25519 A"]},
                       {"name": "new", "groups": ["sudo"]}]},
  "storage": {
    "files": [{"path": "/etc/hostname", "contents": {"source": "data:,host"}, "user": {"name": "new"}},
              {"path": "/etc/passwd", "append": [{"source": "data:,x"}]},
              {"path": "/opt/remote", "contents": {"source": "http://127.0.0.1:1/remote"}}],
    "links": [{"path": "/opt/link", "target": "/etc/hostname", "hard": true}],
    "directories": [{"path": "/opt/dir", "mode": 448}]
  },
  "systemd": {"units": [{"name": "old.service", "enabled": false}, {"name": "x.service", "mask": true}]}
}"#;

#[test]
fn every_stage_writes_nothing() {
    if !crate::support::programs::privileged() {
        return;
    }
    if !programs::traceable() {
        return;
    }
    let root = Root::system();
    let config = root.file_beside("config.ign", CONFIG);
    let trace = root.beside().join("trace");
    let before = Snapshot::of(root.path(), Look::Strict);
    for stage in STAGES {
        let ran = traced(&dry_run(stage, &config, root.path()), &trace, stage);
        assert_eq!(ran.code, Some(0), "{stage}: {ran}");
    }
    for program in [
        programs::plan(&config, root.path()),
        programs::plan(&config, root.path()).arg("--format=json"),
        dry_run("files", &config, root.path()).args(["--plan-format", "json"]),
    ] {
        let ran = traced(&program, &trace, "plan");
        assert!(ran.stdout.contains("/opt/dir"), "{ran}");
    }
    before.assert_same(&Snapshot::of(root.path(), Look::Strict), "every stage");
}

/// The same as upstream's units call it: platform, cache and state are there, and stay as they are.
#[test]
fn drop_in_stages_write_nothing() {
    if !crate::support::programs::privileged() {
        return;
    }
    if !programs::traceable() {
        return;
    }
    let root = Root::system();
    let config = root.file_beside("config.ign", CONFIG);
    let name = root.beside().join("ignition");
    std::os::unix::fs::symlink(BINARY, &name).unwrap();
    let run = root.beside().join("run");
    std::fs::create_dir(&run).unwrap();
    let call = |stage: &str, dry: bool| {
        let mut program = Program::new(&name)
            .env("IGNITION_CONFIG_FILE", &config)
            .args(["-platform", "file", "-log-to-stdout", "-stage", stage, "-root"])
            .arg(root.path())
            .arg("-config-cache")
            .arg(run.join("cache"))
            .arg("-neednet")
            .arg(run.join("neednet"))
            .arg("-state-file")
            .arg(run.join("state"));
        if dry {
            program = program.arg("-dry-run");
        }
        program
    };
    for filled in [false, true] {
        if filled {
            call("fetch", false).run().expect_code(0);
        }
        let before = Snapshot::of(root.beside(), Look::Strict).without("trace");
        for stage in STAGES {
            let trace = tempfile::NamedTempFile::new().unwrap();
            // Without a cache the later stages have no config to show, which is an error like any other.
            traced(
                &call(stage, true),
                trace.path(),
                &format!("{stage}, cache filled: {filled}"),
            );
        }
        let after = Snapshot::of(root.beside(), Look::Strict).without("trace");
        before.assert_same(&after, &format!("drop-in stages, cache filled: {filled}"));
    }
}

/// A copy of the program that anybody may run.
fn public_copy() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let copy = directory.path().join("ignition-rs");
    programs::copy(BINARY, &copy);
    std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o755)).unwrap();
    (directory, copy)
}

/// On a workstation, without root: a plan needs to read, nothing else.
#[test]
fn an_unprivileged_user_gets_a_plan() {
    if !programs::privileged() || !programs::have("setpriv") {
        return;
    }
    let (_directory, copy) = public_copy();
    let root = Root::system();
    // A root that all may read, but for shadow.
    root.dir("home/core", 0o755);
    let config = root.file_beside("config.ign", CONFIG);
    std::fs::set_permissions(&config, std::fs::Permissions::from_mode(0o644)).unwrap();
    let before = Snapshot::of(root.beside(), Look::Strict);
    let nobody = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "--",
    ];
    for program in [
        Program::new(&copy)
            .arg("plan")
            .arg(&config)
            .arg("--root")
            .arg(root.path()),
        Program::new(&copy)
            .args(["plan", "--format", "json"])
            .arg(&config)
            .arg("--root")
            .arg(root.path()),
        Program::new(&copy)
            .args(["--dry-run", "--stage=files", "--config"])
            .arg(&config)
            .arg("--root")
            .arg(root.path()),
    ] {
        let ran = program.under(nobody).run();
        assert!(matches!(ran.code, Some(0 | 2)), "{ran}");
        assert!(ran.stdout.contains("/etc/hostname"), "{ran}");
    }
    before.assert_same(&Snapshot::of(root.beside(), Look::Strict), "unprivileged");
}
