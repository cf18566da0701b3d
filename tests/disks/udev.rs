//! With a udev: a daemon of the test's own, in a mount namespace with its own `/dev` and `/run`. What it says is heard in its
//! network namespace alone: tests beside this one have theirs.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::{Desk, config, entry, with};
use crate::support::disk::{Disk, available};
use crate::support::programs::{self, BINARY, Ran};

const UDEVD: &str = "/lib/systemd/systemd-udevd";

/// Makes `/run` and `/dev` private, starts udev, runs `$PROGRAM`, and shows the links and what they lead to.
const SCRIPT: &str = r#"
set -eu
mount -t tmpfs tmpfs /run
mkdir /run/dev
mount -t tmpfs -o mode=755 tmpfs /run/dev
cp -a /dev/null /dev/zero /dev/random /dev/urandom /dev/full /dev/loop* /run/dev/
for node in btrfs-control; do [ -e /dev/$node ] && cp -a /dev/$node /run/dev/; done
mkdir /run/dev/shm
mount --rbind /dev/shm /run/dev/shm
mount --move /run/dev /dev
"$UDEVD" >/dev/null 2>&1 &
daemon=$!
trap 'kill $daemon' EXIT
for attempt in $(seq 100); do [ -e /run/udev/control ] && break; sleep 0.1; done
udevadm trigger --settle "$@"
udevadm monitor --udev --subsystem-match=block >/run/events &
monitor=$!
trap 'kill $monitor $daemon' EXIT
sleep 0.5
code=0
$PROGRAM || code=$?
sleep 0.5
kill $monitor
wait $monitor || true
trap 'kill $daemon' EXIT
sed -n 's/^UDEV .*\/\(loop[0-9]*\) .*/event \1/p' /run/events
for link in /dev/disk/by-label/* /dev/disk/by-uuid/*; do
  if [ -e "$link" ]; then echo "link $link $(readlink -f "$link")"; fi
done
exit $code
"#;

fn run(desk: &Desk, config: &serde_json::Value, disks: &[&Disk]) -> Ran {
    let root = desk.beside().join("root");
    let program = format!(
        "{BINARY} --stage disks --log-to-stdout --this-machine --config {} --root {}",
        desk.write(config).display(),
        root.display()
    );
    programs::Program::new("unshare")
        .args([
            "--mount",
            "--net",
            "--propagation",
            "private",
            "sh",
            "-c",
            SCRIPT,
            "sh",
        ])
        .args(disks.iter().map(|disk| disk.node()))
        .env("UDEVD", UDEVD)
        .env("PROGRAM", program)
        .run()
}

/// Whether such a udev can be had here; says so if not.
fn possible() -> bool {
    if !available() || !programs::have("udevadm") || !programs::have("unshare") {
        return false;
    }
    if !Path::new(UDEVD).exists() {
        programs::skipped("there is no systemd-udevd");
        return false;
    }
    let works = Command::new("unshare")
        .args([
            "--mount",
            "--propagation",
            "private",
            "mount",
            "-t",
            "tmpfs",
            "tmpfs",
            "/run",
        ])
        .status()
        .is_ok_and(|status| status.success());
    if !works {
        programs::skipped("no mount namespaces here");
    }
    works
}

#[test]
fn links_are_there_when_the_stage_ends() {
    if !possible() {
        return;
    }
    let desk = Desk::new();
    let (ext4, swap) = (Disk::blank(64), Disk::blank(16));
    let uuid = "5af4a20b-818e-439d-8a1c-a00935d4ac21";
    let first = json!({"label": "MY ROOT", "uuid": uuid, "wipeFilesystem": true});
    let wanted = |label: &str| {
        config(&[
            with(entry(&ext4, "ext4"), first.clone()),
            with(
                entry(&swap, "swap"),
                json!({"label": label, "wipeFilesystem": true}),
            ),
        ])
    };
    let disks = [&ext4, &swap];
    let ran = run(&desk, &wanted("paging"), &disks);
    ran.expect_code(0);
    for link in [
        format!("link /dev/disk/by-label/MY\\x20ROOT {}", ext4.node()),
        format!("link /dev/disk/by-uuid/{uuid} {}", ext4.node()),
        format!("link /dev/disk/by-label/paging {}", swap.node()),
    ] {
        assert!(ran.stdout.contains(&link), "{link} is missing: {ran}");
    }
    assert!(!ran.stdout.contains("WARNING"), "{ran}");
    for disk in disks {
        let event = format!("event {}", disk.node().trim_start_matches("/dev/"));
        let events = ran.stdout.lines().filter(|line| *line == event).count();
        assert_eq!(events, 1, "wiped, made, announced, and {event} once: {ran}");
    }

    // By a name that goes away while the device is formatted, and comes back.
    let anew = config(&[
        json!({"device": "/dev/disk/by-label/paging", "format": "ext4", "label": "paging",
                               "wipeFilesystem": true}),
    ]);
    let ran = run(&desk, &anew, &disks);
    ran.expect_code(0);
    assert!(
        ran.stdout
            .contains(&format!("link /dev/disk/by-label/paging {}", swap.node())),
        "{ran}"
    );
    assert_eq!(swap.signature().0, "ext4");
}

#[test]
fn a_label_that_two_devices_have_is_told_without_a_wait() {
    if !possible() {
        return;
    }
    let desk = Desk::new();
    let (one, two) = (Disk::blank(64), Disk::blank(64));
    let same = json!({"label": "TWICE"});
    let twice = config(&[
        with(entry(&one, "ext4"), same.clone()),
        with(entry(&two, "ext4"), same),
    ]);
    let begun = std::time::Instant::now();
    let ran = run(&desk, &twice, &[&one, &two]);
    ran.expect_code(0);
    assert!(ran.stdout.contains("labels and UUIDs should be unique"), "{ran}");
    assert!(begun.elapsed() < std::time::Duration::from_secs(9), "{ran}");
}
