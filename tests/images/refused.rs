//! What is refused before anything is written, and that what fails later leaves nothing attached.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::{Desk, assert_nothing_mounted, available, two_filesystems};
use crate::support::programs;

fn is_blank(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata(path).unwrap().blocks() == 0
}

#[test]
fn an_image_without_a_root() {
    if !available() {
        return;
    }
    let desk = Desk::new(64);
    let config = json!({"ignition": {"version": "3.4.0"}, "storage": {
        "disks": [{"device": "/dev/vda", "partitions": [{"number": 1}]}],
        "filesystems": [{"device": "/dev/vda1", "format": "ext4", "label": "DATA"}],
    }});
    for ran in [desk.provision(&config), desk.plan(&config)] {
        ran.expect_code(1);
        assert!(
            ran.stderr.contains("there is no root") && ran.stderr.contains("--root-label"),
            "{ran}"
        );
    }
    assert!(is_blank(&desk.image()), "nothing is written before that is known");
}

#[test]
fn an_image_that_somebody_uses() {
    if !available() || !programs::have("flock") {
        return;
    }
    let desk = Desk::new(400);
    let config = two_filesystems("ext4");
    let node = Command::new("losetup")
        .args(["--find", "--show"])
        .arg(desk.image())
        .output()
        .unwrap();
    let node = String::from_utf8(node.stdout).unwrap().trim().to_owned();
    let ran = desk.program("provision", &config).run();
    ran.expect_code(1);
    assert!(
        ran.stderr.contains(&node) && ran.stderr.contains("losetup -d"),
        "{ran}"
    );
    assert_eq!(desk.attached().len(), 1, "that of the other stays");
    assert!(
        Command::new("losetup")
            .args(["-d", &node])
            .status()
            .unwrap()
            .success()
    );
    let lock = File::open(desk.image()).unwrap();
    lock.lock().unwrap();
    let ran = desk.provision(&config);
    ran.expect_code(1);
    assert!(ran.stderr.contains("is in use by another process"), "{ran}");
    assert!(is_blank(&desk.image()));
    // Closing would not do: what another test is just starting has the file open, too, until it has become its program.
    lock.unlock().unwrap();
    desk.provision(&config).expect_code(0);
}

#[test]
fn what_fails_on_the_way_is_detached() {
    if !available() {
        return;
    }
    let mut mkfs = two_filesystems("ext4");
    mkfs["storage"]["filesystems"][1]["options"] = json!(["--no-such-option"]);
    let mut mount = two_filesystems("ext4");
    mount["storage"]["filesystems"][1]["mountOptions"] = json!(["no-such-option"]);
    let mut fetch = two_filesystems("ext4");
    fetch["ignition"]["timeouts"] = json!({"httpTotal": 1});
    fetch["storage"]["files"][0]["contents"]["source"] = json!("http://127.0.0.1:9/");
    let mut conflict = two_filesystems("ext4");
    conflict["storage"]["files"][1]["path"] = json!("/etc/hostname/x");
    for (config, place) in [
        (mkfs, "storage.filesystems[1]"),
        (mount, "storage.filesystems[1]"),
        (fetch, "storage.files[0]"),
        (conflict, "storage.files[1]"),
    ] {
        let desk = Desk::new(400);
        // That it is detached and unmounted is looked at there.
        let ran = desk.provision(&config);
        ran.expect_code(1);
        assert!(ran.stderr.contains(place), "{ran}");
        // And it can be provisioned again.
        desk.provision(&two_filesystems("ext4")).expect_code(0);
        assert_eq!(desk.mounted(1).read("etc/hostname"), "web");
    }
    assert_nothing_mounted();
}

/// Without the device mapper that is said before anything is written.
#[test]
fn luks_and_raid_need_a_kernel_that_has_them() {
    if !available() {
        return;
    }
    let misc = fs::read_to_string("/proc/misc").unwrap();
    let desk = Desk::new(400);
    let mut config = two_filesystems("ext4");
    if misc.contains("device-mapper") {
        eprintln!("skipped: this kernel has the device mapper");
    } else {
        config["storage"]["luks"] =
            json!([{"name": "secret", "device": "/dev/vda2", "keyFile": {"source": "data:,x"}}]);
        let ran = desk.provision(&config);
        ran.expect_code(1);
        assert!(
            ran.stderr.contains("storage.luks[0]") && ran.stderr.contains("device mapper"),
            "{ran}"
        );
    }
    if Path::new("/proc/mdstat").exists() {
        eprintln!("skipped: this kernel has RAID arrays");
    } else {
        config = two_filesystems("ext4");
        config["storage"]["raid"] =
            json!([{"name": "md", "level": "raid1", "devices": ["/dev/vda1", "/dev/vda2"]}]);
        let ran = desk.provision(&config);
        ran.expect_code(1);
        assert!(
            ran.stderr.contains("storage.raid[0]") && ran.stderr.contains("RAID"),
            "{ran}"
        );
    }
    assert!(is_blank(&desk.image()));
}

#[test]
fn what_is_no_image() {
    if !available() {
        return;
    }
    let desk = Desk::new(64);
    let config = two_filesystems("ext4");
    let path = desk.config(&config);
    for (image, words) in [
        ("/dev/null", "no regular file"),
        ("/dev/shm", "no regular file"),
        ("/no/such/image", "cannot find"),
        (path.to_str().unwrap(), "truncate -s"),
    ] {
        for verb in ["plan", "provision"] {
            let ran = programs::Program::ignition_rs()
                .args([verb, "--image", image])
                .arg(&path)
                .run();
            ran.expect_code(1);
            assert!(ran.stderr.contains(words), "{ran}");
        }
    }
}
