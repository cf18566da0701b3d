//! Where the digest of a failure goes beside the consoles: virtio ports, and a partition that the kernel command line names.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::consoles::{as_virtio_port, fill, seen, terminal, with_consoles};
use crate::support::disk::{self, Disk};
use crate::support::private;
use crate::support::programs::{BINARY, Program, Ran};
use crate::support::root::Root;

const PLAIN: &str = "org.flatcar.ignition";
const JOURNAL: &str = "com.coreos.ignition.journal";
const FILE: &str = "ignition-failure.txt";

/// Makes a disk of this machine visible in a private `/dev`.
fn visible(disk: &Disk) -> String {
    let name = disk.node().strip_prefix("/dev/").unwrap();
    format!("touch /dev/{name}; mount --bind $scratch/dev/{name} /dev/{name}\n")
}

/// A stage that fails: the config and further lines of setup. What is mounted of loop devices afterwards is printed.
fn fails(setup: &str, cmdline: &str, config: &Value) -> Ran {
    let root = Root::system();
    root.file("etc/motd", "there", 0o644);
    let path = root.file_beside("config.ign", config.to_string());
    root.file_beside("cmdline", format!("quiet {cmdline}\n"));
    let setup = with_consoles(&[], true)
        + &format!(
            "mount --bind {} /proc/cmdline\n",
            root.beside().join("cmdline").display()
        )
        + setup;
    let stage = format!(
        "code=0; {BINARY} --stage files --log-to-stdout --config {} --root {} || code=$?; \
         grep /dev/loop /proc/self/mountinfo | grep -v ' /dev/loop' || true; exit $code",
        path.display(),
        root.path().display()
    );
    let scratch = tempfile::tempdir().unwrap();
    private::run(scratch.path(), &setup, &Program::new("sh").args(["-c", &stage])).run()
}

fn collision(more: Value) -> Value {
    let mut config = json!({"ignition": {"version": "3.4.0"},
        "storage": {"files": [{"path": "/etc/motd", "contents": {"source": "data:,CANARYCONTENTS"}}]}});
    for (key, value) in more.as_object().unwrap() {
        config["storage"][key] = value.clone();
    }
    config
}

#[test]
fn virtio_ports_get_it() {
    if !private::available() {
        return;
    }
    let (mut plain, plain_line) = terminal();
    let (mut journal, journal_line) = terminal();
    let setup = as_virtio_port(PLAIN, &plain_line) + &as_virtio_port(JOURNAL, &journal_line);
    let ran = fails(&setup, "", &collision(json!({})));
    ran.expect_code(1);
    assert!(ran.stderr.starts_with("ignition: provisioning failed\n"), "{ran}");
    assert_eq!(seen(&mut plain), ran.stderr);
    let entry = seen(&mut journal);
    assert_eq!(entry.lines().count(), 1, "{entry}");
    let entry: Value = serde_json::from_str(&entry).unwrap();
    assert_eq!(entry["MESSAGE"], ran.stderr);
    assert_eq!(
        (&entry["PRIORITY"], &entry["SYSLOG_IDENTIFIER"]),
        (&json!("2"), &json!("ignition"))
    );
    assert!(
        ran.stdout
            .contains("sent to the virtio port org.flatcar.ignition"),
        "{ran}"
    );
}

/// Nobody is connected at the other end, or it is something else: the stage ends all the same.
#[test]
fn a_port_that_takes_nothing_costs_a_second() {
    if !private::available() {
        return;
    }
    let (_stuck, line) = terminal();
    let _full = fill(&line);
    let setup = as_virtio_port(PLAIN, &line)
        + &format!(
            "echo old > /dev/virtio-ports/{JOURNAL}.file; ln -s {JOURNAL}.file /dev/virtio-ports/{JOURNAL}\n"
        );
    let begin = Instant::now();
    let ran = fails(&setup, "", &collision(json!({})));
    let took = begin.elapsed();
    ran.expect_code(1);
    assert!(
        took >= Duration::from_secs(1) && took < Duration::from_secs(6),
        "{took:?}"
    );
    assert!(
        ran.stdout
            .contains("org.flatcar.ignition did not take the digest"),
        "{ran}"
    );
    assert!(ran.stdout.contains("it is no character device"), "{ran}");
}

fn left(disk: &Disk) -> String {
    let output = std::process::Command::new("debugfs")
        .args(["-R", &format!("cat /{FILE}"), disk.node()])
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_device_that_the_image_names_gets_it() {
    if !private::available() || !disk::available() {
        return;
    }
    let disk = Disk::blank(16);
    disk.with("mkfs.ext4", &["-q", "-L", "OEM"]);
    // What stands in its place or under its temporary name leads nowhere.
    let link = |name: &str| {
        let made = std::process::Command::new("debugfs")
            .args(["-w", "-R", &format!("symlink {name} /etc/passwd"), disk.node()])
            .status()
            .unwrap();
        assert!(made.success());
    };
    link(FILE);
    link(&format!(".{FILE}.new"));
    let parameter = format!("ignition.digest.device={}", disk.node());
    let passwd = std::fs::read("/etc/passwd").unwrap();
    let mut before = String::new();
    for _ in 0..2 {
        let ran = fails(&visible(&disk), &parameter, &collision(json!({})));
        ran.expect_code(1);
        assert!(!ran.stdout.contains(" - ext4 "), "it is mounted still: {ran}");
        let text = left(&disk);
        let (digest, about) = text
            .split_once("\n\n")
            .unwrap_or_else(|| panic!("{text:?}\n{ran}"));
        assert_eq!(format!("{digest}\n"), ran.stderr);
        assert!(
            about.starts_with("written:   20")
                && about.contains("by ignition-rs ")
                && about.contains("in boot "),
            "{about}"
        );
        assert!(
            ran.stdout
                .contains(&format!("the digest is in {FILE} on {}", disk.node())),
            "{ran}"
        );
        assert_ne!(text, before, "a later failure takes the place of an earlier one");
        before = text;
    }
    assert_eq!(std::fs::read("/etc/passwd").unwrap(), passwd);
}

#[test]
fn a_device_that_must_not_be_written_is_left_alone() {
    if !private::available() || !disk::available() {
        return;
    }
    let disk = Disk::blank(16);
    let setup = visible(&disk);
    let parameter = format!("ignition.digest.device={}", disk.node());
    let refused = |config: &Value, parameter: &str, why: &str| {
        let begin = Instant::now();
        let ran = fails(&setup, parameter, config);
        ran.expect_code(1);
        assert!(ran.stdout.contains("the digest is not left on "), "{ran}");
        assert!(ran.stdout.contains(why), "{why}: {ran}");
        assert!(ran.stderr.starts_with("ignition: provisioning failed\n"), "{ran}");
        assert!(begin.elapsed() < Duration::from_secs(15));
    };
    let blank = disk.bytes();
    refused(&collision(json!({})), &parameter, "it holds nothing known");
    disk.assert_same(&blank, "blank");
    disk.with("mkfs.ext4", &["-q"]);
    let before = disk.bytes();
    let wiping = json!({"filesystems": [{"device": disk.node(), "format": "ext4", "wipeFilesystem": true}]});
    refused(&collision(wiping), &parameter, "makes /dev/loop");
    let table = json!({"disks": [{"device": disk.node(), "wipeTable": true}]});
    refused(&collision(table), &parameter, "anew");
    refused(
        &collision(json!({})),
        "ignition.digest.device=/dev/not-there",
        "it is not there",
    );
    refused(
        &collision(json!({})),
        "ignition.digest.device=LABEL=OEM",
        "write a path below /dev",
    );
    disk.assert_same(&before, "refused");
}
