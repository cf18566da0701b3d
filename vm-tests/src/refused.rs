//! Disks that the kernel uses by md, by the device mapper, as swap space, and with vfat: what must be refused, before a byte of any
//! disk is another one. What needs only loop devices is in `tests/disks/refused.rs`.

use crate::engine::{Engine, EngineCase, Outcome, engine_jobs, prepared};
use crate::job::must;
use crate::{Disk, Flavour, Lab, Result};

const MIB: u64 = 1 << 20;

/// Partitions 1 and 2 (40 MiB), 3 (16 MiB).
const PARTS: &str =
    "sgdisk -n 1:0:+40M -c 1:one -n 2:0:+40M -c 2:two -n 3:0:+16M -c 3:three /dev/sda\nsettled\n";

/// An array of the first two partitions, with a filesystem.
const ARRAY: &str = "mdadm --create data --run --homehost any --level raid1 --assume-clean --raid-devices 2 /dev/sda1 /dev/sda2
settled; mkfs.ext4 -q -L kept /dev/md/data; mdadm --stop /dev/md/data\n";

/// Nothing is written to members of an array that can only be read.
const ASSEMBLED: &str = "mdadm --assemble --readonly /dev/md/data /dev/sda1 /dev/sda2; settled\n";

const VAULT: &str = "printf key >/tmp/key; cryptsetup luksFormat -q --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 \
                     --label VAULT --key-file /tmp/key NODE; cryptsetup luksOpen NODE vault --key-file /tmp/key
settled; mkfs.ext4 -q -L inside /dev/mapper/vault; cryptsetup luksClose vault\n";

const OPENED: &str =
    "printf key >/tmp/key; cryptsetup luksOpen --readonly NODE vault --key-file /tmp/key; settled\n";

const MOUNTED: &str = "mkdir -p /tmp/m; mount -t TYPE -o ro WHAT /tmp/m\n";

const VFAT: &str = "mkfs.fat -n EFI -i cafebabe /dev/sda1\n";

const SWAP: &str = "mkswap -L paging /dev/sda1\n";

/// Changes the blank second disk first, which must not happen either.
const OTHER: &str =
    r#"{"device": "/dev/sdb", "wipeTable": true, "partitions": [{"number": 1, "label": "new"}]}"#;

struct Case {
    name: &'static str,
    before: String,
    setup: String,
    storage: String,
    words: &'static [&'static str],
}

fn case(
    name: &'static str,
    before: &str,
    setup: &str,
    storage: &str,
    words: &'static [&'static str],
) -> Case {
    Case {
        name,
        before: before.to_owned(),
        setup: setup.to_owned(),
        storage: storage.to_owned(),
        words,
    }
}

/// With the other disk before it.
fn disks(entry: &str) -> String {
    format!(r#""disks": [{OTHER}, {{"device": "/dev/sda", {entry}}}]"#)
}

fn filesystem(device: &str, more: &str) -> String {
    format!(r#""disks": [{OTHER}], "filesystems": [{{"device": "{device}", "format": "ext4"{more}}}]"#)
}

fn luks(device: &str, more: &str) -> String {
    format!(
        r#""disks": [{OTHER}], "luks": [{{"name": "new", "device": "{device}", "keyFile": {{"source": "data:,key"}}{more}}}]"#
    )
}

fn mounted(kind: &str, what: &str) -> String {
    MOUNTED.replace("TYPE", kind).replace("WHAT", what)
}

const WIPE_FILESYSTEM: &str = r#", "wipeFilesystem": true"#;
const WIPE_VOLUME: &str = r#", "wipeVolume": true"#;
const WIPE_TABLE: &str = r#""wipeTable": true, "partitions": [{"number": 1}]"#;
const DELETE: &str = r#""partitions": [{"number": 1, "shouldExist": false, "wipePartitionEntry": true}]"#;

#[rustfmt::skip]
fn cases() -> Vec<Case> {
    let array = format!("{PARTS}{ARRAY}");
    let array_mounted = format!("{ASSEMBLED}{}", mounted("ext4", "/dev/md/data"));
    let vault = format!("{PARTS}{}", VAULT.replace("NODE", "/dev/sda1"));
    let opened = OPENED.replace("NODE", "/dev/sda1");
    let vault_mounted = format!("{opened}{}", mounted("ext4", "/dev/mapper/vault"));
    let vfat = format!("{PARTS}{VFAT}");
    let vfat_mounted = mounted("vfat", "/dev/sda1");
    let swap = format!("{PARTS}{SWAP}");
    let swapped = "swapon /dev/sda1\n";
    let held = "dmsetup create hold --readonly --table '0 8192 linear /dev/sda1 0'; settled\n";
    let btrfs = format!("{PARTS}mkfs.btrfs -q -f -d single -m raid1 -L two /dev/sda /dev/sdb\n");
    let btrfs_mounted = "modprobe btrfs; settled; btrfs device scan >/dev/null; mkdir -p /tmp/m; mount -o ro,rescue=nologreplay -t btrfs /dev/sda /tmp/m\n";
    let raid = |name: &str, one: &str, two: &str| {
        format!(r#""disks": [{OTHER}], "raid": [{{"name": "{name}", "level": "raid0", "devices": ["{one}", "{two}"]}}]"#)
    };
    vec![
        // md
        case("md-member", &array, ASSEMBLED, &filesystem("/dev/sda1", WIPE_FILESYSTEM), &["storage.filesystems[0]", "used by md"]),
        case("md-disk", &array, ASSEMBLED, &disks(WIPE_TABLE), &["storage.disks[1]", "used by md"]),
        case("md-partition", &array, ASSEMBLED, &disks(DELETE), &["storage.disks[1].partitions[0]", "used by md"]),
        case("md-volume", &array, ASSEMBLED, &luks("/dev/sda2", WIPE_VOLUME), &["storage.luks[0]", "used by md"]),
        case("md-array", &array, ASSEMBLED, &raid("other", "/dev/sda2", "/dev/sda3"), &["storage.raid[0]", "used by md"]),
        case("md-mounted", &array, &array_mounted, &filesystem("/dev/md/data", WIPE_FILESYSTEM), &["storage.filesystems[0]", "mounted at /tmp/m"]),
        case("md-stopped", &array, "", &filesystem("/dev/sda1", ""), &["storage.filesystems[0]", "linux_raid_member"]),
        case("md-stopped-volume", &array, "", &luks("/dev/sda1", ""), &["storage.luks[0]", "linux_raid_member"]),
        // The device mapper
        case("dm-open", &vault, &opened, &filesystem("/dev/sda1", WIPE_FILESYSTEM), &["storage.filesystems[0]", "used by dm-"]),
        case("dm-open-volume", &vault, &opened, &luks("/dev/sda1", WIPE_VOLUME), &["storage.luks[0]", "used by dm-"]),
        case("dm-open-disk", &vault, &opened, &disks(WIPE_TABLE), &["storage.disks[1]", "used by dm-"]),
        case("dm-mounted", &vault, &vault_mounted, &filesystem("/dev/mapper/vault", WIPE_FILESYSTEM), &["storage.filesystems[0]", "mounted at /tmp/m"]),
        case("dm-held-array", PARTS, held, &raid("other", "/dev/sda1", "/dev/sda3"), &["storage.raid[0]", "used by dm-"]),
        case("dm-closed", &vault, "", &filesystem("/dev/sda1", ""), &["storage.filesystems[0]", "crypto_LUKS"]),
        // vfat
        case("vfat-mounted", &vfat, &vfat_mounted, &filesystem("/dev/sda1", WIPE_FILESYSTEM), &["storage.filesystems[0]", "mounted at /tmp/m"]),
        case("vfat-mounted-disk", &vfat, &vfat_mounted, &disks(WIPE_TABLE), &["storage.disks[1]", "mounted at /tmp/m"]),
        case("vfat-mounted-volume", &vfat, &vfat_mounted, &luks("/dev/sda1", WIPE_VOLUME), &["storage.luks[0]", "mounted at /tmp/m"]),
        case("vfat-other-type", &vfat, "", &filesystem("/dev/sda1", ""), &["storage.filesystems[0]", "vfat"]),
        case("vfat-other-label", &vfat, "", &filesystem("/dev/sda1", r#", "label": "OTHER""#).replace("ext4", "vfat"), &["storage.filesystems[0].label", "another label"]),
        case("vfat-other-uuid", &vfat, "", &filesystem("/dev/sda1", r#", "uuid": "12345678""#).replace("ext4", "vfat"), &["storage.filesystems[0].uuid", "another UUID"]),
        // Swap space
        case("swap", &swap, swapped, &filesystem("/dev/sda1", WIPE_FILESYSTEM), &["storage.filesystems[0]", "used as swap space"]),
        case("swap-disk", &swap, swapped, &disks(WIPE_TABLE), &["storage.disks[1]", "used as swap space"]),
        case("swap-partition", &swap, swapped, &disks(DELETE), &["storage.disks[1].partitions[0]", "used as swap space"]),
        case("swap-array", &swap, swapped, &raid("other", "/dev/sda1", "/dev/sda3"), &["storage.raid[0]", "used as swap space"]),
        // The second disk of a mounted filesystem: no mount names it.
        case("btrfs-second", &btrfs, btrfs_mounted, r#""disks": [{"device": "/dev/sdb", "wipeTable": true, "partitions": [{"number": 1}]}]"#, &["storage.disks[0]", "mounted at /tmp/m"]),
        case("btrfs-second-format", &btrfs, btrfs_mounted, r#""filesystems": [{"device": "/dev/sdb", "format": "ext4", "wipeFilesystem": true}]"#, &["storage.filesystems[0]", "mounted at /tmp/m"]),
    ]
}

/// Runs all, or those whose names have `VMTEST_ONLY` in them.
pub fn run(lab: &Lab) -> Result<()> {
    let start = std::time::Instant::now();
    let only = std::env::var("VMTEST_ONLY").unwrap_or_default();
    let mut cases = cases();
    cases.retain(|case| case.name.contains(&only));
    let made = cases.iter().map(|case| {
        let config = format!(
            r#"{{"ignition": {{"version": "3.4.0"}}, "storage": {{{}}}}}"#,
            case.storage
        );
        let disk = |name: &str| Disk::empty(name, 128 * MIB);
        EngineCase::new(case.name, &config, vec![disk("a"), disk("b")])
            .prepare(&case.before)
            .setup(&case.setup)
    });
    let made = prepared(lab, "refused", made.collect())?;
    let outcomes = engine_jobs(lab, Flavour::Systemd, Engine::Ours, "refused", &made)?;
    let mut wrong = Vec::new();
    for (case, outcome) in cases.iter().zip(&outcomes) {
        if let Err(error) = check(case, outcome) {
            wrong.push(format!("{}: {error}\n{}", case.name, outcome.log));
        }
    }
    if !wrong.is_empty() {
        return Err(format!("{} wrong:\n{}", wrong.len(), wrong.join("\n")).into());
    }
    println!(
        "ok   refused                  {:5.1} s  {} cases: md, device mapper, vfat, swap space, btrfs; no byte is another one",
        start.elapsed().as_secs_f64(),
        cases.len()
    );
    Ok(())
}

fn check(case: &Case, outcome: &Outcome) -> Result<()> {
    must(outcome.code == 1, format!("exit code {}", outcome.code))?;
    for word in case.words {
        must(
            outcome.log.contains(word),
            format!("the log does not have {word:?}"),
        )?;
    }
    for disk in 0..2 {
        must(!outcome.changed(disk)?, format!("disk {disk} was changed"))?;
    }
    Ok(())
}
