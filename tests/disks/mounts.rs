//! The stages mount and umount with real filesystems, in a mount namespace that ends with the test.

use std::fs;

use serde_json::{Value, json};

use super::Desk;
use crate::support::disk::{Disk, available};
use crate::support::programs::{BINARY, Program, Ran};

/// Runs a script that calls `stage NAME` and `list`, which prints the mounts below the root: target, type and options.
fn in_namespace(desk: &Desk, config: &Value, script: &str) -> Ran {
    let config = desk.write(config);
    let run = desk.beside().join("run");
    fs::create_dir_all(&run).unwrap();
    let ignition = desk.beside().join("ignition");
    if !ignition.exists() {
        std::os::unix::fs::symlink(BINARY, &ignition).unwrap();
    }
    let root = desk.0.path().display();
    let run = run.display();
    let functions = format!(
        "stage() {{ {} -platform file -stage \"$1\" -root {root} -log-to-stdout -config-cache {run}/cache \
         -neednet {run}/neednet -state-file {run}/state >{run}/$1.log 2>&1 || echo \"$1 failed $?\"; }}\n\
         list() {{ awk -v root={root} 'index($5, root) == 1 {{ print \"mounted\", substr($5, length(root) + 1) \"/\", $6 }}' \
         /proc/self/mountinfo; }}\nroot={root}\nstage fetch\n",
        ignition.display()
    );
    Program::new("unshare")
        .args(["--mount", "--propagation=private", "sh", "-euc"])
        .arg(format!("{functions}{script}"))
        .env("IGNITION_CONFIG_FILE", &config)
        .env("TMPDIR", desk.beside().join("tmp"))
        .run()
}

fn state(desk: &Desk) -> Value {
    serde_json::from_slice(&fs::read(desk.beside().join("run/state")).unwrap()).unwrap()
}

fn log(desk: &Desk, stage: &str) -> String {
    fs::read_to_string(desk.beside().join("run").join(format!("{stage}.log"))).unwrap()
}

#[test]
fn filesystems_are_mounted_in_each_other_and_unmounted_again() {
    if !available() {
        return;
    }
    let desk = Desk::new();
    let (outer, inner) = (Disk::blank(32), Disk::blank(32));
    outer.with("mkfs.ext4", &["-q"]);
    inner.with("mkfs.ext4", &["-q"]);
    let config = json!({"ignition": {"version": "3.4.0"}, "storage": {
        "filesystems": [
            {"device": inner.node(), "format": "ext4", "path": "/var/lib/data", "mountOptions": ["noatime"]},
            {"device": outer.node(), "format": "ext4", "path": "/var"},
        ],
        "files": [{"path": "/var/lib/data/file", "contents": {"source": "data:,x"}}],
    }});
    // The mount stage twice: what is mounted already is kept, and still goes with umount.
    let ran = in_namespace(
        &desk,
        &config,
        "stage mount; list; stage mount; echo again; list; stage files; stage umount; echo over; list; stage umount",
    );
    ran.expect_code(0);
    let both = "mounted /var/ rw,relatime\nmounted /var/lib/data/ rw,noatime\n";
    assert_eq!(ran.stdout, format!("{both}again\n{both}over\n"), "{ran}");
    let left = state(&desk);
    assert_eq!(
        left["notatedDirectories"],
        json!(["/var", "/var/lib", "/var/lib/data"])
    );
    assert_eq!(left["keptMounts"], json!([]));
    // The file is on the inner filesystem and not in what it covered.
    assert!(!desk.0.at("var/lib").exists());
    let found = std::process::Command::new("debugfs")
        .args(["-R", "cat /file", inner.node()])
        .output()
        .unwrap();
    assert_eq!(found.stdout, b"x");
}

#[test]
fn a_root_that_is_mounted_already_is_accepted_and_stays() {
    if !available() {
        return;
    }
    let desk = Desk::new();
    let disk = Disk::blank(32);
    disk.with("mkfs.ext4", &["-q", "-L", "ROOT"]);
    let config = json!({"ignition": {"version": "3.4.0"}, "storage": {"filesystems": [
        {"device": disk.node(), "format": "ext4", "path": "/", "mountOptions": ["noatime"]},
    ]}});
    let mounted = format!("mount {} \"$root\"; ", disk.node());
    let ran = in_namespace(
        &desk,
        &config,
        &format!("{mounted} stage mount; list; stage umount; list"),
    );
    ran.expect_code(0);
    let line = "mounted / rw,noatime\n";
    assert_eq!(ran.stdout, line.repeat(2), "{ran}");
    assert_eq!(state(&desk)["keptMounts"].as_array().map(Vec::len), Some(1));
}

#[test]
fn who_holds_a_mount_is_named() {
    if !available() {
        return;
    }
    let desk = Desk::new();
    let disk = Disk::blank(32);
    disk.with("mkfs.ext4", &["-q"]);
    let config = json!({"ignition": {"version": "3.4.0"}, "storage": {"filesystems": [
        {"device": disk.node(), "format": "ext4", "path": "/srv"},
    ]}});
    // Long enough to be seen, and too long to be waited for; then short enough.
    let ran = in_namespace(
        &desk,
        &config,
        "stage mount; (cd \"$root/srv\"; exec sleep 30) & sleep 0.2; stage umount; kill $!; wait $! || true; \
         (cd \"$root/srv\"; exec sleep 1) & sleep 0.2;
         mv \"${IGNITION_CONFIG_FILE%/*}\"/run/umount.log \"${IGNITION_CONFIG_FILE%/*}\"/run/first.log; stage umount; list",
    );
    ran.expect_code(0);
    assert_eq!(ran.stdout, "umount failed 1\n", "{ran}");
    let first = log(&desk, "first");
    assert!(first.contains("in use by sleep (process "), "{first}");
    let second = log(&desk, "umount");
    assert!(second.contains("is busy: trying again"), "{second}");
}
