//! Configs and states of devices that must be refused: each names its place, and not a byte of any disk is another one, neither of
//! the disk that is refused nor of one that would have been changed before it.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::Desk;
use crate::support::disk::{Disk, MountOf, available};
use crate::support::programs;

/// What a disk holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Blank,
    /// Partitions 1 ("one", 16 MiB, ext4 "kept") and 2 ("two", 8 MiB, from 20 MiB)
    Table,
    /// The same, the first partition mounted
    TableMounted,
    Mbr,
    /// A table of which neither copy is sound
    Damaged,
    Ext4,
    Ext4Mounted,
    Swap,
    Xfs,
    Vfat,
    /// ext4 within what once was xfs
    Several,
    Luks1,
    /// Label "crypt", the key is "secret"
    Luks2,
}

/// A config that is refused. `D` is the disk, `P1` its first partition, `E` another disk, which is blank.
struct Case {
    name: &'static str,
    state: State,
    storage: &'static str,
    place: &'static str,
    words: &'static str,
}

const fn case(
    name: &'static str,
    state: State,
    storage: &'static str,
    place: &'static str,
    words: &'static str,
) -> Case {
    Case {
        name,
        state,
        storage,
        place,
        words,
    }
}

const PART: &str = "storage.disks[0].partitions[0]";
const SECOND: &str = "storage.disks[0].partitions[1]";
const FILESYSTEM: &str = "storage.filesystems[0]";
const LUKS: &str = "storage.luks[0]";

use State::*;

#[rustfmt::skip]
const CASES: &[Case] = &[
    // Partitions on a blank disk
    case("larger than the disk", Blank, r#""disks": [{"device": "D", "partitions": [{"number": 1, "sizeMiB": 1000}]}]"#, PART, "needs"),
    case("beyond the disk", Blank, r#""disks": [{"device": "D", "partitions": [{"number": 1, "startMiB": 5000, "sizeMiB": 1}]}]"#, PART, ""),
    case("no disk is that large", Blank, r#""disks": [{"device": "D", "partitions": [{"number": 1, "sizeMiB": 9223372036854775807}]}]"#, PART, ""),
    case("two overlap", Blank, r#""disks": [{"device": "D", "partitions": [{"number": 1, "startMiB": 1, "sizeMiB": 20}, {"number": 2, "startMiB": 10, "sizeMiB": 20}]}]"#, SECOND, "overlap"),
    case("number too large", Blank, r#""disks": [{"device": "D", "partitions": [{"number": 129, "sizeMiB": 1}]}]"#, PART, "no partition number 129"),
    case("the second disk", Blank, r#""disks": [{"device": "E", "wipeTable": true, "partitions": [{"number": 1}]}, {"device": "D", "partitions": [{"number": 1, "sizeMiB": 1000}]}]"#, "storage.disks[1].partitions[0]", "needs"),
    case("one disk twice", Blank, r#""disks": [{"device": "D", "partitions": [{"number": 1}]}, {"device": "LINK", "wipeTable": true}]"#, "storage.disks[1].device", "names, too"),
    case("a type of zeros", Blank, r#""disks": [{"device": "D", "partitions": [{"number": 1, "typeGuid": "00000000-0000-0000-0000-000000000000"}]}]"#, PART, ""),
    // Partitions on a disk that has some
    case("another label", Table, r#""disks": [{"device": "D", "partitions": [{"number": 1, "label": "other"}]}]"#, PART, "label is"),
    case("an empty label", Table, r#""disks": [{"device": "D", "partitions": [{"number": 1, "label": ""}]}]"#, PART, "label is"),
    case("another size", Table, r#""disks": [{"device": "D", "partitions": [{"number": 1, "sizeMiB": 17}]}]"#, PART, "sizeMiB is"),
    case("all the room", Table, r#""disks": [{"device": "D", "partitions": [{"number": 2, "sizeMiB": 0}]}]"#, PART, "sizeMiB is"),
    case("another start", Table, r#""disks": [{"device": "D", "partitions": [{"number": 1, "startMiB": 2}]}]"#, PART, "startMiB is"),
    case("another type", Table, r#""disks": [{"device": "D", "partitions": [{"number": 1, "typeGuid": "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"}]}]"#, PART, "typeGuid is"),
    case("another GUID", Table, r#""disks": [{"device": "D", "partitions": [{"number": 1, "guid": "11111111-2222-3333-4444-555555555555"}]}]"#, PART, "guid is"),
    case("it should not exist", Table, r#""disks": [{"device": "D", "partitions": [{"number": 2, "shouldExist": false}]}]"#, PART, "should not exist"),
    case("resize, another label", Table, r#""disks": [{"device": "D", "partitions": [{"number": 1, "label": "other", "sizeMiB": 18, "resize": true}]}]"#, PART, "label is"),
    case("resize into the next", Table, r#""disks": [{"device": "D", "partitions": [{"number": 1, "label": "one", "sizeMiB": 24, "resize": true}]}]"#, PART, "partition 2"),
    case("resize beyond the disk", Table, r#""disks": [{"device": "D", "partitions": [{"number": 2, "label": "two", "sizeMiB": 100, "resize": true}]}]"#, PART, "end of the disk"),
    case("onto another one", Table, r#""disks": [{"device": "D", "partitions": [{"number": 3, "startMiB": 10, "sizeMiB": 4}]}]"#, PART, "partition 1"),
    case("into a block that is too small", Table, r#""disks": [{"device": "D", "partitions": [{"number": 3, "startMiB": 17, "sizeMiB": 4}]}]"#, PART, "partition 2"),
    case("larger than the largest block", Table, r#""disks": [{"device": "D", "partitions": [{"number": 0, "sizeMiB": 60}]}]"#, PART, "needs"),
    case("the last of three", Table, r#""disks": [{"device": "D", "partitions": [{"number": 2, "shouldExist": false, "wipePartitionEntry": true}, {"number": 3, "sizeMiB": 2}, {"number": 1, "label": "other"}]}]"#, "storage.disks[0].partitions[2]", "partition 3"),
    case("a filesystem in the second step", Table, r#""disks": [{"device": "D", "partitions": [{"number": 3, "sizeMiB": 2}]}], "filesystems": [{"device": "P1", "format": "xfs"}]"#, FILESYSTEM, "ext4"),
    case("a filesystem over a table", Table, r#""filesystems": [{"device": "D", "format": "ext4"}]"#, FILESYSTEM, "gpt partition table"),
    // Partitions in use
    case("wipe in use", TableMounted, r#""disks": [{"device": "D", "wipeTable": true}]"#, "storage.disks[0].wipeTable", "mounted at"),
    case("change in use", TableMounted, r#""disks": [{"device": "D", "partitions": [{"number": 1, "label": "other", "wipePartitionEntry": true}]}]"#, PART, "mounted at"),
    case("resize in use", TableMounted, r#""disks": [{"device": "D", "partitions": [{"number": 1, "label": "one", "sizeMiB": 18, "resize": true}]}]"#, PART, "mounted at"),
    case("delete in use", TableMounted, r#""disks": [{"device": "D", "partitions": [{"number": 1, "shouldExist": false, "wipePartitionEntry": true}]}]"#, PART, "mounted at"),
    case("format in use", TableMounted, r#""filesystems": [{"device": "P1", "format": "ext4", "wipeFilesystem": true}]"#, FILESYSTEM, "mounted at"),
    case("a filesystem on a disk of which a partition is in use", TableMounted, r#""filesystems": [{"device": "D", "format": "ext4", "wipeFilesystem": true}]"#, FILESYSTEM, "mounted at"),
    case("a volume in use", TableMounted, r#""luks": [{"device": "P1", "name": "vault", "wipeVolume": true}]"#, LUKS, "mounted at"),
    case("a member in use", TableMounted, r#""raid": [{"name": "data", "level": "raid1", "devices": ["P1", "E"]}]"#, "storage.raid[0].devices[0]", "mounted at"),
    // Tables that are none of ours
    case("partitions on an MBR", Mbr, r#""disks": [{"device": "D", "partitions": [{"number": 1}]}]"#, "storage.disks[0]", "an MBR"),
    case("an absent partition on an MBR", Mbr, r#""disks": [{"device": "D", "partitions": [{"number": 4, "shouldExist": false}]}]"#, "storage.disks[0]", "an MBR"),
    case("a filesystem over an MBR", Mbr, r#""filesystems": [{"device": "D", "format": "ext4"}]"#, FILESYSTEM, "dos partition table"),
    case("a damaged table", Damaged, r#""disks": [{"device": "D", "partitions": [{"number": 3, "sizeMiB": 4}]}]"#, "storage.disks[0]", ""),
    // Filesystems
    case("btrfs over ext4", Ext4, r#""filesystems": [{"device": "D", "format": "btrfs"}]"#, FILESYSTEM, "ext4"),
    case("swap over ext4", Ext4, r#""filesystems": [{"device": "D", "format": "swap"}]"#, FILESYSTEM, "ext4"),
    case("none over ext4", Ext4, r#""filesystems": [{"device": "D", "format": "none"}]"#, FILESYSTEM, "ext4"),
    case("ext4 with another label", Ext4, r#""filesystems": [{"device": "D", "format": "ext4", "label": "other"}]"#, FILESYSTEM, "label"),
    case("ext4 with an empty label", Ext4, r#""filesystems": [{"device": "D", "format": "ext4", "label": ""}]"#, FILESYSTEM, "label"),
    case("ext4 with another UUID", Ext4, r#""filesystems": [{"device": "D", "format": "ext4", "uuid": "01234567-89ab-cdef-0123-456789abcdef"}]"#, FILESYSTEM, "UUID"),
    case("ext4 over xfs", Xfs, r#""filesystems": [{"device": "D", "format": "ext4"}]"#, FILESYSTEM, "xfs"),
    case("ext4 over vfat", Vfat, r#""filesystems": [{"device": "D", "format": "ext4"}]"#, FILESYSTEM, "vfat"),
    case("vfat with another volume ID", Vfat, r#""filesystems": [{"device": "D", "format": "vfat", "uuid": "2E24-EC82"}]"#, FILESYSTEM, "UUID"),
    case("ext4 over swap", Swap, r#""filesystems": [{"device": "D", "format": "ext4"}]"#, FILESYSTEM, "swap"),
    case("btrfs over several signatures", Several, r#""filesystems": [{"device": "D", "format": "btrfs"}]"#, FILESYSTEM, "holds"),
    case("ext4 over a volume", Luks2, r#""filesystems": [{"device": "D", "format": "ext4"}]"#, FILESYSTEM, "crypto_LUKS"),
    case("ext4 over a mounted one", Ext4Mounted, r#""filesystems": [{"device": "D", "format": "ext4", "wipeFilesystem": true}]"#, FILESYSTEM, "mounted at"),
    case("partitions under a mounted one", Ext4Mounted, r#""disks": [{"device": "D", "wipeTable": true, "partitions": [{"number": 1}]}]"#, "storage.disks[0].device", "mounted at"),
    case("one device twice", Blank, r#""filesystems": [{"device": "D", "format": "ext4"}, {"device": "LINK", "format": "xfs"}]"#, "storage.filesystems[1]", "as is the device"),
    // Volumes
    case("a volume over ext4", Ext4, r#""luks": [{"device": "D", "name": "vault"}]"#, LUKS, "holds ext4"),
    case("a volume over LUKS1", Luks1, r#""luks": [{"device": "D", "name": "vault", "keyFile": {"source": "data:,secret"}}]"#, LUKS, "LUKS1"),
    case("a volume of which the key is not given", Luks2, r#""luks": [{"device": "D", "name": "vault"}]"#, LUKS, "cannot be kept"),
    case("a volume with another label", Luks2, r#""luks": [{"device": "D", "name": "vault", "label": "other", "keyFile": {"source": "data:,secret"}}]"#, LUKS, "cannot be kept"),
    case("a volume with another UUID", Luks2, r#""luks": [{"device": "D", "name": "vault", "uuid": "01234567-89ab-cdef-0123-456789abcdef", "keyFile": {"source": "data:,secret"}}]"#, LUKS, "cannot be kept"),
    case("a volume without discard", Luks2, r#""luks": [{"device": "D", "name": "vault", "discard": true, "keyFile": {"source": "data:,secret"}}]"#, LUKS, "cannot be kept"),
    case("a volume bound to something", Luks2, r#""luks": [{"device": "D", "name": "vault", "clevis": {"tpm2": true}, "keyFile": {"source": "data:,secret"}}]"#, LUKS, "cannot be kept"),
    case("a volume with an empty key", Blank, r#""luks": [{"device": "D", "name": "vault", "keyFile": {"source": "data:,"}}]"#, LUKS, ""),
    case("a volume over a mounted one", Ext4Mounted, r#""luks": [{"device": "D", "name": "vault", "wipeVolume": true}]"#, LUKS, "mounted at"),
    case("an empty advertisement", Blank, r#""luks": [{"device": "D", "name": "vault", "clevis": {"tang": [{"url": "http://127.0.0.1:1", "thumbprint": "x", "advertisement": ""}]}}]"#, LUKS, ""),
    // Arrays
    case("a member twice", Blank, r#""raid": [{"name": "data", "level": "raid1", "devices": ["D", "LINK"]}]"#, "storage.raid[0].devices[1]", "as devices[0] is"),
    case("nothing but spares", Blank, r#""raid": [{"name": "data", "level": "raid1", "devices": ["D", "E"], "spares": 2}]"#, "storage.raid[0]", "spares"),
    case("an array with a strange name", Blank, r#""raid": [{"name": "a/b", "level": "raid1", "devices": ["D", "E"]}]"#, "storage.raid[0].name", ""),
    case("a mounted member", Ext4Mounted, r#""raid": [{"name": "data", "level": "raid1", "devices": ["E", "D"]}]"#, "storage.raid[0].devices[1]", "mounted at"),
];

/// A disk, and what keeps it in use.
struct Scene {
    disk: Disk,
    _mounted: Option<MountOf>,
}

fn luks(node: &str, kind: &str) {
    let mut child = Command::new("cryptsetup")
        .args([
            "luksFormat",
            "-q",
            "--type",
            kind,
            "--pbkdf-force-iterations",
            "1000",
            "--key-file",
            "-",
        ])
        .args(if kind == "luks2" {
            &["--pbkdf", "pbkdf2", "--label", "crypt"][..]
        } else {
            &[]
        })
        .arg(node)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(child.stdin.as_mut().unwrap(), b"secret").unwrap();
    assert!(child.wait().unwrap().success());
}

impl Scene {
    fn new(state: State, desk: &Desk) -> Self {
        let disk = Disk::blank(64);
        let node = disk.node().to_owned();
        let mut mounted = None;
        match state {
            Blank => {}
            Table | TableMounted | Damaged => {
                let part = format!("{node}p1");
                let config = json!({"ignition": {"version": "3.4.0"}, "storage": {
                    "disks": [{"device": node, "partitions": [
                        {"number": 1, "label": "one", "sizeMiB": 16},
                        {"number": 2, "label": "two", "startMiB": 20, "sizeMiB": 8}]}],
                    "filesystems": [{"device": part, "format": "ext4", "label": "kept"}]}});
                desk.run(&config).expect_code(0);
                if state == TableMounted {
                    mounted = Some(MountOf::read_only(&part));
                }
                if state == Damaged {
                    let file = std::fs::OpenOptions::new().write(true).open(&node).unwrap();
                    for offset in [2 * 512 + 40, (64 << 20) - 33 * 512 + 40] {
                        std::os::unix::fs::FileExt::write_all_at(&file, &[1, 2, 3, 4], offset).unwrap();
                    }
                    file.sync_all().unwrap();
                }
            }
            Mbr => {
                let mut sfdisk = Command::new("sfdisk")
                    .args(["-q", &node])
                    .stdin(Stdio::piped())
                    .stderr(Stdio::null())
                    .spawn()
                    .unwrap();
                std::io::Write::write_all(sfdisk.stdin.as_mut().unwrap(), b"label: dos\nsize=10M,type=83\n")
                    .unwrap();
                drop(sfdisk.stdin.take());
                sfdisk.wait().unwrap();
            }
            Ext4 => drop(disk.with("mkfs.ext4", &["-q", "-L", "data"])),
            Ext4Mounted => {
                disk.with("mkfs.ext4", &["-q", "-L", "data"]);
                mounted = Some(MountOf::read_only(&node));
            }
            Swap => drop(disk.with("mkswap", &["-q"])),
            Xfs => drop(disk.with("mkfs.xfs", &["-q", "-f", "--unsupported"])),
            Vfat => drop(disk.with("mkfs.fat", &["-n", "DATA", "-i", "cafebabe"])),
            Several => {
                disk.with("mkfs.ext4", &["-q", "-L", "first"]);
                let file = std::fs::OpenOptions::new().write(true).open(&node).unwrap();
                std::os::unix::fs::FileExt::write_all_at(&file, b"XFSB", 0).unwrap();
                std::os::unix::fs::FileExt::write_all_at(&file, b"SWAPSPACE2", 4086).unwrap();
                file.sync_all().unwrap();
            }
            Luks1 => luks(&node, "luks1"),
            Luks2 => luks(&node, "luks2"),
        }
        Self {
            disk,
            _mounted: mounted,
        }
    }
}

#[test]
fn each_names_its_place_and_leaves_the_disks_alone() {
    if !available() || !programs::have("sfdisk") || !programs::have("cryptsetup") {
        return;
    }
    assert!(CASES.len() >= 40);
    let desk = Desk::new();
    let other = Disk::blank(64);
    let other_before = other.bytes();
    let mut wrong = Vec::new();
    let mut states: Vec<State> = Vec::new();
    for case in CASES {
        if !states.contains(&case.state) {
            states.push(case.state);
        }
    }
    for state in states {
        let scene = Scene::new(state, &desk);
        let before = scene.disk.bytes();
        let link = desk.beside().join(format!("{state:?}"));
        std::os::unix::fs::symlink(scene.disk.node(), &link).unwrap();
        for case in CASES.iter().filter(|case| case.state == state) {
            let node = scene.disk.node();
            let storage = case
                .storage
                .replace("\"LINK\"", &format!("\"{}\"", link.display()))
                .replace("\"D\"", &format!("\"{node}\""))
                .replace("\"P1\"", &format!("\"{node}p1\""))
                .replace("\"E\"", &format!("\"{}\"", other.node()));
            let text = format!(r#"{{"ignition": {{"version": "3.5.0"}}, "storage": {{{storage}}}}}"#);
            let config: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
            for (how, ran) in [("run", desk.run(&config)), ("dry run", desk.dry_run(&config))] {
                let said = format!("{}{}", ran.stdout, ran.stderr);
                assert_eq!(ran.code, Some(1), "{} ({how}): {ran}", case.name);
                if !said.contains(case.place) || !said.contains(case.words) {
                    wrong.push(format!("{} ({how}): {ran}", case.name));
                }
                scene.disk.assert_same(&before, case.name);
                other.assert_same(&other_before, case.name);
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        CASES.len(),
        wrong.join("\n")
    );
}
