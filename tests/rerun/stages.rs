//! Attempts of a whole boot: disks, mount and files on loop devices, each attempt with a `/run` of its own, as after a reboot.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::{Value, json};

use super::{config, read};
use crate::support::disk::{Disk, available};
use crate::support::programs::{BINARY, Program, Ran};
use crate::support::root::Root;
use crate::support::snapshot::{Look, Snapshot};

/// Permission bits.
pub(super) fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

/// One boot: all stages, up to the first that fails; what is mounted then is unmounted, as by a reboot. The root, as it is
/// with all mounts, is copied to `end` if nothing fails.
fn boot(root: &Root, config: &Value) -> Ran {
    attempt(root, config, true)
}

/// The same, and whether the initrd is left in the end; else the machine is off before it is.
fn attempt(root: &Root, config: &Value, leaves: bool) -> Ran {
    let path = root.file_beside("config.ign", config.to_string());
    let ignition = root.beside().join("ignition");
    if !ignition.exists() {
        std::os::unix::fs::symlink(BINARY, &ignition).unwrap();
    }
    let last = if leaves { "stage umount" } else { "" };
    let script = format!(
        "run=$(mktemp -d {beside}/tmp/run.XXXXXX)\n\
         stage() {{\n\
           {ignition} -platform file -stage $1 -root {root} -log-to-stdout -config-cache $run/cache \
             -neednet $run/neednet -state-file $run/state || exit 1\n\
         }}\n\
         for stage in fetch kargs disks mount files; do stage $stage; done\n\
         rm -rf {beside}/end; cp -a {root} {beside}/end; rm -f {beside}/end/.ignition-progress\n\
         {last}\n",
        beside = root.beside().display(),
        ignition = ignition.display(),
        root = root.path().display(),
    );
    Program::new("unshare")
        .args(["--mount", "--propagation=private", "sh", "-euc"])
        .arg(script)
        .env("IGNITION_CONFIG_FILE", &path)
        .env("IGNITION_SYSTEM_CONFIG_DIR", root.beside().join("system"))
        .env("TMPDIR", root.beside().join("tmp"))
        .run()
}

fn end(root: &Root) -> Snapshot {
    Snapshot::of(&root.beside().join("end"), Look::Outcome)
}

/// Seen in QEMU: the power was cut after the stage files and before the flag of the first boot was removed. The machine was asked to
/// do it again, found its own files, and was refused for ever.
#[test]
fn a_boot_that_is_cut_off_after_its_last_stage_goes_on() {
    if !crate::support::programs::privileged() {
        return;
    }
    let wanted = config(json!({
        "passwd": {"users": [{"name": "web", "uid": 2000, "sshAuthorizedKeys": ["ssh-ed25519 A"]}]},
        "storage": {"files": [
            {"path": "/etc/once", "contents": {"source": "data:,once"}},
            {"path": "/etc/hosts", "append": [{"source": "data:,10.0.0.1%20x%0A"}]},
        ]},
        "systemd": {"units": [{"name": "a.service", "enabled": true, "contents": "[Service]\nExecStart=/bin/true\n"}]},
    }));
    let fresh = Root::system();
    boot(&fresh, &wanted).expect_code(0);
    assert!(!fresh.at(".ignition-progress").exists(), "the initrd was left");
    let root = Root::system();
    for number in 0..3 {
        let ran = attempt(&root, &wanted, false);
        ran.expect_code(0);
        assert_eq!(
            ran.stdout.contains("an earlier run was done"),
            number > 0,
            "{ran}"
        );
        assert!(read(&root.at(".ignition-progress")).ends_with("finished\n"));
        end(&fresh).assert_same(&end(&root), "cut off after its last stage");
    }
    let result: Value = serde_json::from_str(&read(&root.at("etc/.ignition-result.json"))).unwrap();
    assert!(result.get("previousReport").is_none(), "{result}");
    // Another config counts, as after any attempt.
    let mut changed = wanted.clone();
    changed["storage"]["files"][0]["contents"]["source"] = json!("data:,twice");
    boot(&root, &changed).expect_code(0);
    assert_eq!(read(&root.at("etc/once")), "twice");
    assert!(!root.at(".ignition-progress").exists());
    // The machine has been up: what is there is nobody's.
    let ran = attempt(&root, &wanted, false);
    ran.expect_code(1);
    assert!(ran.stderr.contains("is there already, at /etc/once"), "{ran}");
}

/// The state of the mount stage is gone with the boot. A home that it made must become the user's all the same.
#[test]
fn a_home_that_an_earlier_attempt_made_for_a_mount() {
    if !available() {
        return;
    }
    let disk = Disk::blank(32);
    disk.with("mkfs.ext4", &["-q"]);
    let with_clash = |clash: bool| {
        let mut users = vec![json!({"name": "web", "uid": 2000, "sshAuthorizedKeys": ["ssh-ed25519 A"]})];
        if clash {
            users.push(json!({"name": "clash", "uid": 2000}));
        }
        config(json!({
            "passwd": {"users": users},
            "storage": {"filesystems": [{"device": disk.node(), "format": "ext4", "path": "/home/web/data/deep"}]},
        }))
    };
    let root = Root::system();
    for _ in 0..2 {
        let ran = boot(&root, &with_clash(true));
        ran.expect_code(1);
        assert!(ran.stderr.contains("operation: create user clash"), "{ran}");
    }
    boot(&root, &with_clash(false)).expect_code(0);
    let fresh = Root::system();
    boot(&fresh, &with_clash(false)).expect_code(0);
    end(&fresh).assert_same(&end(&root), "after two attempts");
    for path in ["home/web", "home/web/data", "home/web/data/deep"] {
        let about = fs::metadata(root.beside().join("end").join(path)).unwrap();
        assert_eq!(std::os::unix::fs::MetadataExt::uid(&about), 2000, "{path}");
        assert_eq!(about.permissions().mode() & 0o7777, 0o700, "{path}");
    }
    assert!(!root.at(".ignition-progress").exists());
}

/// The second filesystem cannot be made. The first is there by then, and is kept where the config does not wipe it.
#[test]
fn a_filesystem_that_cannot_be_made() {
    if !available() {
        return;
    }
    let (first, wiped, small) = (Disk::blank(32), Disk::blank(32), Disk::blank(1));
    let with_small = |format: &str| {
        config(json!({
            "storage": {
                "filesystems": [
                    {"device": first.node(), "format": "ext4", "label": "first", "path": "/srv/first"},
                    {"device": wiped.node(), "format": "ext4", "wipeFilesystem": true, "path": "/srv/wiped"},
                    {"device": small.node(), "format": format, "path": "/srv/small"},
                ],
                "files": [{"path": "/srv/first/file", "contents": {"source": "data:,x"}}],
            },
        }))
    };
    let root = Root::system();
    let said: Vec<String> = (0..3)
        .map(|_| {
            let ran = boot(&root, &with_small("xfs"));
            ran.expect_code(1);
            assert!(
                ran.stderr.contains("stage:     disks") && ran.stderr.contains("mkfs.xfs"),
                "{ran}"
            );
            ran.stderr
        })
        .collect();
    assert_eq!(said[0], said[1]);
    assert_eq!(said[1], said[2]);
    assert!(!root.at("srv/first").exists(), "no later stage has run");
    let uuid = || first.signature().2;
    let before = uuid();
    assert_ne!(before, "");
    boot(&root, &with_small("ext4")).expect_code(0);
    assert_eq!(uuid(), before, "the filesystem of the first attempt is kept");
    assert_eq!(read(&root.beside().join("end/srv/first/file")), "x");
}

/// The files stage fails after disks and mount have done their work.
#[test]
fn a_failure_after_the_disks_says_the_same_each_time() {
    if !available() {
        return;
    }
    for wipe in [false, true] {
        let disk = Disk::blank(32);
        let with_hash = |hash: &str| {
            let resource = json!({"source": "data:,contents", "verification": {"hash": hash}});
            config(json!({"storage": {
                "filesystems": [{"device": disk.node(), "format": "ext4", "wipeFilesystem": wipe, "path": "/var/lib/data"}],
                "files": [
                    {"path": "/var/lib/data/file", "contents": {"source": "data:,x"}},
                    {"path": "/etc/hosts", "append": [{"source": "data:,more%0A"}]},
                    {"path": "/var/lib/data/full", "contents": {"source": format!("data:,{}", "x".repeat(10))}},
                ],
            }, "passwd": {"users": [{"name": "web", "uid": if hash.is_empty() { 2000 } else { 0 }, "gecos": resource.to_string().len().to_string()}]}}))
        };
        let root = Root::system();
        root.file("etc/hosts", "zero\n", 0o644);
        let said: Vec<String> = (0..3)
            .map(|_| {
                let ran = boot(&root, &with_hash("x"));
                ran.expect_code(1);
                assert!(ran.stderr.contains("create user web"), "{ran}");
                ran.stderr
            })
            .collect();
        assert_eq!(said[0], said[1], "wipe: {wipe}");
        assert_eq!(said[1], said[2], "wipe: {wipe}");
        boot(&root, &with_hash("")).expect_code(0);
        assert_eq!(read(&root.beside().join("end/var/lib/data/file")), "x");
        assert_eq!(read(&root.beside().join("end/etc/hosts")), "zero\nmore\n");
    }
}
