//! The stage around its phases: as the initrd calls it, waiting, dry runs.

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Desk, changes, config, entry, with};
use crate::support::disk::{Disk, MountOf, available};
use crate::support::programs::{self, BINARY, Program};
use crate::support::strace;

/// A boot's places, and the program as upstream's units call it.
struct Boot {
    desk: Desk,
    run: std::path::PathBuf,
    name: std::path::PathBuf,
    config: std::path::PathBuf,
}

impl Boot {
    fn new(desk: Desk, config: &Value) -> Self {
        let name = desk.beside().join("ignition");
        std::os::unix::fs::symlink(BINARY, &name).unwrap();
        let run = desk.beside().join("run");
        std::fs::create_dir(&run).unwrap();
        let config = desk.write(config);
        Self {
            desk,
            run,
            name,
            config,
        }
    }

    /// Fetches the config and carries the stage out.
    fn all(&self) {
        self.program("fetch").run().expect_code(0);
        self.program("disks").run().expect_code(0);
    }

    fn program(&self, stage: &str) -> Program {
        Program::new(&self.name)
            .env("IGNITION_CONFIG_FILE", &self.config)
            .args([
                "-platform",
                "file",
                "-log-to-stdout",
                "-stage",
                stage,
                "-root",
                "",
            ])
            .arg("-config-cache")
            .arg(self.run.join("cache"))
            .arg("-neednet")
            .arg(self.run.join("neednet"))
            .arg("-state-file")
            .arg(self.run.join("state"))
    }
}

/// A cached config, a state file, links to the devices for the files stage.
#[test]
fn as_the_initrd_calls_it() {
    if !available() {
        return;
    }
    let desk = Desk::new();
    let disk = Disk::blank(64);
    let link = desk.beside().join("by-label");
    std::os::unix::fs::symlink(disk.node(), &link).unwrap();
    let config = config(&[json!({"device": link.to_str().unwrap(), "format": "ext4", "label": "ROOT"})]);
    let boot = Boot::new(desk, &config);
    boot.program("fetch").run().expect_code(0);
    boot.program("disks").run().expect_code(0);
    assert_eq!(disk.signature().0, "ext4");
    let alias = boot.run.join(format!("dev_aliases{}", link.display()));
    assert_eq!(std::fs::read_link(&alias).unwrap().to_str(), Some(disk.node()));
    let mode = std::fs::metadata(alias.parent().unwrap())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o750);
    let uuid = disk.signature().2;
    boot.program("disks").run().expect_code(0);
    assert_eq!(disk.signature().2, uuid, "kept");
    let left: Vec<_> = std::fs::read_dir(boot.run.join("making")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

/// A filesystem that looks finished, of a run that was killed while mkfs was at work, is made anew; one whose mkfs was
/// not begun yet, too.
#[test]
fn killed_while_a_filesystem_is_made() {
    if !available() {
        return;
    }
    for slow in ["mkfs.ext4", "wipefs"] {
        let disk = Disk::blank(64);
        let config = config(&[json!({"device": disk.node(), "format": "ext4"})]);
        let boot = Boot::new(Desk::new(), &config);
        boot.program("fetch").run().expect_code(0);
        // A program that has done its work, as far as can be seen, and does not end.
        let tools = boot.desk.beside().join("tools");
        std::fs::create_dir(&tools).unwrap();
        let script = format!("#!/bin/sh\nPATH=/usr/sbin:/sbin:/usr/bin:/bin\n{slow} \"$@\"\nexec sleep 60\n");
        let path = tools.join(slow);
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let ran = boot
            .program("disks")
            .env(
                "PATH",
                format!("{}:/usr/sbin:/sbin:/usr/bin:/bin", tools.display()),
            )
            .under(["timeout", "-s", "KILL", "3"])
            .run();
        assert_ne!(ran.code, Some(0), "{ran}");
        let half = disk.signature();
        if slow == "mkfs.ext4" {
            assert_eq!(half.0, "ext4", "{ran}");
            let seen = boot.program("disks").arg("-dry-run").run();
            assert!(seen.stdout.contains("1 to create"), "{seen}");
        }
        let again = boot.program("disks").run();
        again.expect_code(0);
        let whole = disk.signature();
        assert_eq!(whole.0, "ext4");
        assert_ne!(whole.2, half.2, "made anew");
        boot.program("disks").run().expect_code(0);
        assert_eq!(disk.signature(), whole, "kept from then on");
    }
}

/// The state of two partitions, one of them with a filesystem, for the cuts below.
fn partitioned(disk: &Disk, wipe: bool) -> Value {
    json!({"ignition": {"version": "3.4.0"}, "storage": {
        "disks": [{"device": disk.node(), "wipeTable": wipe, "partitions": [
            {"label": "one", "number": 1, "sizeMiB": 8},
            {"label": "free", "sizeMiB": 16}]}],
        "filesystems": [{"device": format!("{}p1", disk.node()), "format": "ext4", "label": "kept"}]}})
}

/// What a run builds on the table that it has written is in use when it is killed, and the table is no longer one to be wiped;
/// a partition without a number is not made a second time.
#[test]
fn killed_after_it_has_written_a_table_and_built_on_it() {
    if !available() {
        return;
    }
    for wipe in [true, false] {
        let disk = Disk::blank(64);
        let boot = Boot::new(Desk::new(), &partitioned(&disk, wipe));
        boot.program("fetch").run().expect_code(0);
        boot.program("disks").run().expect_code(0);
        let _mounted = MountOf::read_only(&format!("{}p1", disk.node()));
        let before = disk.bytes();
        boot.program("disks").run().expect_code(0);
        disk.assert_same(&before, "kept");
        // Not so with another config, or another table.
        let other = partitioned(&disk, true)
            .to_string()
            .replace("\"free\"", "\"other\"");
        std::fs::write(&boot.config, other).unwrap();
        std::fs::remove_file(boot.run.join("cache")).unwrap();
        boot.program("fetch").run().expect_code(0);
        let ran = boot.program("disks").run();
        ran.expect_code(1);
        assert!(ran.stdout.contains("wipeTable"), "{ran}");
        disk.assert_same(&before, "refused");
    }
}

/// The table is written, and the kernel was not told of it.
#[test]
fn killed_between_the_table_and_the_kernel() {
    if !available() || !programs::have("delpart") {
        return;
    }
    let disk = Disk::blank(64);
    let mut config = partitioned(&disk, false);
    config["storage"]["disks"][0]["partitions"]
        .as_array_mut()
        .unwrap()
        .pop();
    let node = format!("{}p1", disk.node());
    Boot::new(Desk::new(), &config).all();
    std::process::Command::new("delpart")
        .args([disk.node(), "1"])
        .status()
        .unwrap();
    assert!(!std::path::Path::new(&node).exists());
    let boot = Boot::new(Desk::new(), &config);
    boot.program("fetch").run().expect_code(0);
    let seen = boot.program("disks").arg("-dry-run").run();
    assert!(
        seen.stdout.contains("what the kernel knows of its partitions"),
        "{seen}"
    );
    let before = disk.bytes();
    boot.program("disks").run().expect_code(0);
    assert!(std::path::Path::new(&node).exists());
    disk.assert_same(&before, "only the kernel is told");
}

/// One copy of the table is whole, the other one in pieces: the kernel takes no backup by itself.
#[test]
fn killed_while_it_wrote_a_table() {
    if !available() {
        return;
    }
    let disk = Disk::blank(64);
    let mut config = partitioned(&disk, false);
    config["storage"]["disks"][0]["partitions"]
        .as_array_mut()
        .unwrap()
        .pop();
    Boot::new(Desk::new(), &config).all();
    let whole = disk.bytes();
    for offset in [512, 1024, (64 << 20) - 512, (64 << 20) - 33 * 512] {
        let file = std::fs::OpenOptions::new().write(true).open(disk.node()).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &[0x55; 128], offset).unwrap();
        file.sync_all().unwrap();
        drop(file);
        let _mounted = MountOf::read_only(&format!("{}p1", disk.node()));
        Boot::new(Desk::new(), &config).all();
        disk.assert_same(&whole, &format!("repaired at {offset}"));
    }
}

/// Nothing to do: nothing is asked, and no device is needed.
#[test]
fn entries_without_a_format_are_waited_for_and_left_alone() {
    if !available() {
        return;
    }
    let desk = Desk::new();
    desk.run(&config(&[])).expect_code(0);
    let disk = Disk::blank(1);
    disk.with("mkfs.ext4", &["-q", "-F"]);
    let before = disk.bytes();
    desk.run(&config(&[json!({"device": disk.node()})]))
        .expect_code(0);
    disk.assert_same(&before, "no format");
}

/// A device that comes late is waited for.
#[test]
fn late_devices() {
    if !available() {
        return;
    }
    let desk = Desk::new();
    let disk = Disk::blank(64);
    let link = desk.beside().join("late");
    let config = config(&[json!({"device": link.to_str().unwrap(), "format": "ext4"})]);
    let program = desk.program(&config);
    let begun = Instant::now();
    let running = std::thread::spawn(move || program.run());
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(disk.signature().0, "");
    std::os::unix::fs::symlink(disk.node(), &link).unwrap();
    running.join().unwrap().expect_code(0);
    assert!(begun.elapsed() > Duration::from_millis(1400));
    assert_eq!(disk.signature().0, "ext4");
}

/// SIGTERM ends the wait, and the failure says what was waited for and what is there.
#[test]
fn a_wait_can_be_stopped() {
    if !available() {
        return;
    }
    let desk = Desk::new();
    let disk = Disk::blank(64);
    disk.with("mkfs.ext4", &["-q", "-L", "candidate"]);
    let config = config(&[json!({"device": "/dev/disk/by-label/not-there", "format": "ext4"})]);
    let program = desk
        .program(&config)
        .under(["timeout", "--preserve-status", "-s", "TERM", "2"]);
    let ran = program.run();
    ran.expect_code(1);
    for words in [
        "storage.filesystems[0].device",
        "/dev/disk/by-label/not-there did not appear",
        "stopped on request",
        &format!("{} (64 MiB, ext4, label candidate)", disk.node()),
    ] {
        assert!(ran.stdout.contains(words), "{words} is missing: {ran}");
    }
}

#[test]
fn two_entries_for_one_device() {
    if !available() {
        return;
    }
    let desk = Desk::new();
    let disk = Disk::blank(64);
    let link = desk.beside().join("again");
    std::os::unix::fs::symlink(disk.node(), &link).unwrap();
    let before = disk.bytes();
    let ran = desk.run(&config(&[
        entry(&disk, "ext4"),
        json!({"device": link.to_str().unwrap(), "format": "xfs"}),
    ]));
    ran.expect_code(1);
    assert!(ran.stderr.contains("storage.filesystems[1].device"), "{ran}");
    disk.assert_same(&before, "twice");
}

/// A dry run reads devices, by `blkid -p` alone, and opens none for writing.
#[test]
fn a_dry_run_only_reads() {
    if !available() || !programs::traceable() {
        return;
    }
    let desk = Desk::new();
    let (disk, blank) = (Disk::blank(64), Disk::blank(64));
    disk.with("mkfs.ext4", &["-q"]);
    let before = disk.bytes();
    let entries = [
        with(entry(&disk, "xfs"), json!({"wipeFilesystem": true})),
        entry(&blank, "btrfs"),
    ];
    let config = desk.write(&config(&entries));
    let trace = desk.beside().join("trace");
    let filter = format!("trace={}", strace::traced());
    let dry = Program::ignition_rs()
        .args([
            "--stage",
            "disks",
            "--dry-run",
            "--plan-format",
            "json",
            "--config",
        ])
        .arg(&config);
    let ran = dry
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
        .run();
    ran.expect_code(0);
    assert_eq!(changes(&ran), ["replace", "create"]);
    disk.assert_same(&before, "dry run");
    let calls = strace::read(&trace);
    let programs: Vec<&str> = calls
        .iter()
        .filter(|call| call.name == "execve")
        .skip(1)
        .map(|call| call.rest.as_str())
        .collect();
    assert!(!programs.is_empty(), "devices were not looked at");
    for program in &programs {
        assert!(
            program.contains("[\"blkid\", \"-p\"") || program.contains("/blkid\", \"-p\""),
            "{program}"
        );
    }
    for call in &calls {
        if call.name.starts_with("open") && call.rest.contains("/dev/loop") {
            assert!(call.rest.contains("O_RDONLY"), "{}({}", call.name, call.rest);
        }
    }
}

/// Without root it cannot be known what is on a device, and that is said.
#[test]
fn without_privileges_the_plan_says_what_it_does_not_know() {
    if !available() || !programs::have("setpriv") {
        return;
    }
    let desk = Desk::new();
    let disk = Disk::blank(64);
    let copy = desk.beside().join("ignition-rs");
    programs::copy(BINARY, &copy);
    for (path, mode) in [(&copy, 0o755), (&desk.beside().to_path_buf(), 0o755)] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let path = desk.write(&config(&[
        entry(&disk, "ext4"),
        json!({"device": "/dev/no-such", "format": "xfs"}),
    ]));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let nobody = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "--",
    ];
    let plan = |format: &str| {
        let program = Program::new(&copy)
            .arg("plan")
            .arg(&path)
            .args(["--format", format]);
        program.under(nobody).run()
    };
    let ran = plan("json");
    assert_eq!(changes(&ran), ["unknown", "unknown"], "{ran}");
    let text = plan("text");
    assert!(
        text.stdout
            .contains(&format!("this user may not read {}", disk.node())),
        "{text}"
    );
    assert!(text.stdout.contains("/dev/no-such is not there now"), "{text}");
}

/// What is not known on the real machine stops it.
#[test]
fn disks_need_a_word_that_this_machine_is_meant() {
    if !available() {
        return;
    }
    let desk = Desk::new();
    let disk = Disk::blank(64);
    let config: Value = config(&[entry(&disk, "ext4")]);
    let ran = Program::ignition_rs()
        .args(["--stage", "disks", "--config"])
        .arg(desk.write(&config))
        .arg("--root")
        .arg(desk.beside().join("root"))
        .run();
    ran.expect_code(2);
    assert!(ran.stderr.contains("-this-machine"), "{ran}");
    assert_eq!(disk.signature().0, "");
}
