//! Disks that are in use (the boot disk) and disks of the device mapper (multipath): what may be changed on them, what not.

use crate::engine::{Engine, EngineCase, Outcome, engine_jobs, prepared};
use crate::job::must;
use crate::{Disk, Flavour, Lab, Result};

const MIB: u64 = 1 << 20;

/// Partitions 1 (32 MiB, "usr", ext4), 2 (16 MiB, "old"), 3 (8 MiB, "grow", then 16 MiB of room) and 9 (the rest, "root").
const BOOT_DISK: &str =
    "sgdisk -n 1:0:+32M -c 1:usr -n 2:0:+16M -c 2:old -n 3:0:+8M -c 3:grow -n 9:73M:0 -c 9:root DISK
settled";

/// Changes everything but the first partition.
const OTHERS: &str = r#""disks": [{D, "partitions": [
    {"number": 1, "label": "usr", "sizeMiB": 32},
    {"number": 2, "shouldExist": false, "wipePartitionEntry": true},
    {"number": 3, "label": "grow", "sizeMiB": 16, "resize": true},
    {"number": 4, "label": "new", "startMiB": 33, "sizeMiB": 12}]}],
  "filesystems": [{"device": "/dev/disk/by-partlabel/new", "format": "ext4", "label": "made"}]"#;

/// Changes the first partition, and would delete the second before.
const THE_FIRST: &str = r#""disks": [{D, "partitions": [
    {"number": 2, "shouldExist": false, "wipePartitionEntry": true},
    {"number": 1, "label": "other", "wipePartitionEntry": true}]}]"#;

const WIPE: &str = r#""disks": [{D, "wipeTable": true, "partitions": [{"number": 1, "label": "new"}]}]"#;

const TWO: &str = r#""disks": [{D, "wipeTable": true, "partitions": [
    {"number": 1, "label": "one", "sizeMiB": 16}, {"number": 2, "label": "two", "sizeMiB": 12}]}],
  "filesystems": [
    {"device": "/dev/mapper/whole1", "format": "ext4", "label": "first"},
    {"device": "/dev/mapper/whole2", "format": "ext4", "label": "second"}]"#;

/// All of the SCSI disk as a device of the device mapper; with a UUID, as multipath's have one.
const MAPPED: &str =
    "dmsetup create whole --uuid mpath-3600 --table \"0 $(blockdev --getsz /dev/sda) linear /dev/sda 0\"
settled";

/// What `after` prints: the device mapper's tables, what is mounted of the disk.
const AFTER: &str = "settled; dmsetup table | sed 's/linear [0-9]*:[0-9]* /linear DM /'; grep '^/dev/' /proc/mounts; blkid -p -o export /dev/mapper/whole* 2>/dev/null | grep '^LABEL'; true";

/// What must have come of a case.
enum Wanted {
    /// It succeeded; the kernel has these partitions (name, first 512-byte unit, size in them), and no more
    Kernel(&'static [(&'static str, u64, u64)]),
    /// It succeeded; the device mapper has these lines
    Mapped(&'static [&'static str]),
    /// It was refused with these words, and no byte is another one
    Refused(&'static [&'static str]),
}

struct Case {
    name: &'static str,
    sector: u32,
    before: String,
    setup: String,
    storage: String,
    wanted: Wanted,
}

fn case(name: &'static str, before: &str, setup: &str, storage: &str, wanted: Wanted) -> Case {
    let node = if setup.contains("create whole") {
        "/dev/mapper/whole"
    } else {
        "/dev/sda"
    };
    Case {
        name,
        sector: if name.ends_with("-4096") { 4096 } else { 512 },
        before: before.replace("DISK", node),
        setup: setup.replace("DISK", node),
        storage: storage.replace("{D", &format!(r#"{{"device": "{node}""#)),
        wanted,
    }
}

/// What is left when all but the first partition was changed, in units of 512 bytes.
const CHANGED: Wanted = Wanted::Kernel(&[
    ("sda1", 2048, 65536),
    ("sda3", 100_352, 32768),
    ("sda4", 67584, 24576),
    ("sda9", 149_504, 112_607),
]);
const CHANGED_4096: Wanted = Wanted::Kernel(&[
    ("sda1", 2048, 65536),
    ("sda3", 100_352, 32768),
    ("sda4", 67584, 24576),
    ("sda9", 149_504, 112_600),
]);

fn cases() -> Vec<Case> {
    let formatted = format!("{BOOT_DISK}; mkfs.ext4 -q -L kept /dev/sda1");
    let mounted = "mkdir -p /tmp/usr; mount -o ro,noload /dev/sda1 /tmp/usr";
    let verity = format!(
        "{formatted}; veritysetup format /dev/sda1 /dev/sda9 >/tmp/said
sed -n 's/^Root hash:[[:space:]]*//p' /tmp/said | head -c 64 >/dev/sda3"
    );
    let verity_open = "veritysetup open /dev/sda1 usr /dev/sda9 \"$(head -c 64 /dev/sda3)\"; settled";
    let held = "dmsetup create hold --table '0 65536 linear /dev/sda1 0'; settled";
    let kpartx = format!("{MAPPED}; kpartx -a -s /dev/mapper/whole; settled");
    let on_mapped = format!(
        "{MAPPED}\n{BOOT_DISK}; kpartx -a -s /dev/mapper/whole; mkfs.ext4 -q -L kept /dev/mapper/whole1"
    );
    let mapped_mounted =
        format!("{kpartx}; mkdir -p /tmp/usr; mount -o ro,noload /dev/mapper/whole1 /tmp/usr");
    let by_udev = format!(
        "mkdir -p /run/udev/rules.d
echo 'ACTION==\"change\", ENV{{DM_NAME}}==\"whole\", RUN+=\"/usr/sbin/kpartx -un -p -part /dev/mapper/whole\"' >/run/udev/rules.d/66-kpartx.rules
udevadm control --reload; {MAPPED}"
    );
    vec![
        case("mounted", &formatted, mounted, OTHERS, CHANGED),
        case("mounted-4096", &formatted, mounted, OTHERS, CHANGED_4096),
        case(
            "mounted-wipe",
            &formatted,
            mounted,
            WIPE,
            Wanted::Refused(&["wipeTable", "mounted at /tmp/usr"]),
        ),
        case(
            "mounted-first",
            &formatted,
            mounted,
            THE_FIRST,
            Wanted::Refused(&["partition 1", "mounted at /tmp/usr"]),
        ),
        case(
            "mounted-first-4096",
            &formatted,
            mounted,
            THE_FIRST,
            Wanted::Refused(&["partition 1", "mounted at /tmp/usr"]),
        ),
        case("held", &formatted, held, OTHERS, CHANGED),
        case(
            "held-wipe",
            &formatted,
            held,
            WIPE,
            Wanted::Refused(&["wipeTable", "used by dm-"]),
        ),
        case(
            "held-first",
            &formatted,
            held,
            THE_FIRST,
            Wanted::Refused(&["partition 1", "used by dm-"]),
        ),
        case(
            "verity-first",
            &verity,
            verity_open,
            THE_FIRST,
            Wanted::Refused(&["partition 1", "used by dm-"]),
        ),
        case(
            "verity-others",
            &verity,
            verity_open,
            r#""disks": [{D, "partitions": [
                {"number": 2, "shouldExist": false, "wipePartitionEntry": true},
                {"number": 4, "label": "new", "startMiB": 33, "sizeMiB": 12}]}],
              "filesystems": [{"device": "/dev/disk/by-partlabel/new", "format": "ext4", "label": "made"}]"#,
            Wanted::Kernel(&[
                ("sda1", 2048, 65536),
                ("sda3", 100_352, 16384),
                ("sda4", 67584, 24576),
                ("sda9", 149_504, 112_607),
            ]),
        ),
        // A run that was killed when it had written the table and not told the kernel.
        case(
            "untold",
            &formatted,
            &format!("{mounted}; partx -d --nr 3 /dev/sda"),
            r#""disks": [{D, "partitions": [{"number": 3, "label": "grow"}]}],
              "filesystems": [{"device": "/dev/sda3", "format": "ext4", "label": "made"}]"#,
            Wanted::Kernel(&[
                ("sda1", 2048, 65536),
                ("sda2", 67584, 32768),
                ("sda3", 100_352, 16384),
                ("sda9", 149_504, 112_607),
            ]),
        ),
        case(
            "mapped",
            "",
            MAPPED,
            TWO,
            Wanted::Mapped(&[
                "whole1: 0 32768 linear DM 2048",
                "whole2: 0 24576 linear DM 34816",
                "LABEL=first",
                "LABEL=second",
            ]),
        ),
        case(
            "mapped-4096",
            "",
            MAPPED,
            TWO,
            Wanted::Mapped(&[
                "whole1: 0 32768 linear DM 2048",
                "whole2: 0 24576 linear DM 34816",
                "LABEL=first",
                "LABEL=second",
            ]),
        ),
        case(
            "mapped-mounted",
            &on_mapped,
            &mapped_mounted,
            &OTHERS.replace("by-partlabel/new", "by-id/dm-name-whole4"),
            Wanted::Mapped(&[
                "whole1: 0 65536 linear DM 2048",
                "whole3: 0 32768 linear DM 100352",
                "whole4: 0 24576 linear DM 67584",
                "whole9: 0 112607 linear DM 149504",
                "LABEL=made",
                "/dev/mapper/whole1 /tmp/usr",
            ]),
        ),
        case(
            "mapped-without-uuid",
            &on_mapped,
            &mapped_mounted.replace("--uuid mpath-3600 ", ""),
            r#""disks": [{D, "partitions": [{"number": 4, "label": "new", "startMiB": 57, "sizeMiB": 8}]}]"#,
            Wanted::Mapped(&[
                "whole1: 0 65536 linear DM 2048",
                "whole2: 0 32768 linear DM 67584",
                "whole4: 0 16384 linear DM 116736",
                "/dev/mapper/whole1 /tmp/usr",
            ]),
        ),
        case(
            "mapped-wipe",
            &on_mapped,
            &mapped_mounted,
            WIPE,
            Wanted::Refused(&["wipeTable", "mounted at /tmp/usr"]),
        ),
        case(
            "mapped-first",
            &on_mapped,
            &mapped_mounted,
            THE_FIRST,
            Wanted::Refused(&["partition 1", "mounted at /tmp/usr"]),
        ),
        case(
            "mapped-held",
            &on_mapped,
            &format!(
                "{MAPPED}; dmsetup create hold --table '0 8192 linear /dev/mapper/whole 200000'; settled"
            ),
            WIPE,
            Wanted::Refused(&["used by dm-"]),
        ),
        // A table on it that nothing has made devices for: what the config lists gets them.
        case(
            "mapped-untold",
            &on_mapped,
            MAPPED,
            r#""disks": [{D, "partitions": [{"number": 2, "label": "old"}]}],
              "filesystems": [{"device": "/dev/mapper/whole2", "format": "ext4", "label": "made"}]"#,
            Wanted::Mapped(&[
                "whole1: 0 65536 linear DM 2048",
                "whole2: 0 32768 linear DM 67584",
                "LABEL=made",
                "LABEL=kept",
            ]),
        ),
        case(
            "mapped-by-udev",
            "",
            &by_udev,
            &TWO.replace("whole1", "whole-part1")
                .replace("whole2", "whole-part2"),
            Wanted::Mapped(&[
                "whole-part1: 0 32768 linear DM 2048",
                "whole-part2: 0 24576 linear DM 34816",
            ]),
        ),
    ]
}

/// Runs all; those with links by label need udev.
pub fn run(lab: &Lab) -> Result<()> {
    let start = std::time::Instant::now();
    let cases = cases();
    let mut wrong = Vec::new();
    let made = cases.iter().map(|case| {
        let config = format!(
            r#"{{"ignition": {{"version": "3.3.0"}}, "storage": {{{}}}}}"#,
            case.storage
        );
        let disk = Disk::empty("a", 128 * MIB).sector_size(case.sector);
        let made = EngineCase::new(case.name, &config, vec![disk])
            .setup(&case.setup)
            .after(AFTER);
        if case.before.is_empty() {
            made
        } else {
            made.prepare(&case.before)
        }
    });
    let made = prepared(lab, "in-use", made.collect())?;
    let outcomes = engine_jobs(lab, Flavour::Systemd, Engine::Ours, "in-use", &made)?;
    for (case, outcome) in cases.iter().zip(&outcomes) {
        if let Err(error) = check(case, outcome) {
            let log = &outcome.log;
            wrong.push(format!("{}: {error}\n{log}{}", case.name, outcome.after.1));
        }
    }
    // Without udev there are no links, and nobody but us makes nodes.
    let (bare, plain): (Vec<&Case>, Vec<EngineCase>) = cases
        .iter()
        .zip(made)
        .filter(|(case, _)| case.name == "mapped" || case.name == "mapped-untold")
        .map(|(case, made)| (case, made.setup(&format!("{}; dmsetup mknodes", case.setup))))
        .unzip();
    let outcomes = engine_jobs(lab, Flavour::Bare, Engine::Ours, "in-use", &plain)?;
    for (case, outcome) in bare.into_iter().zip(&outcomes) {
        if let Err(error) = check(case, outcome) {
            let log = &outcome.log;
            wrong.push(format!("{} (bare): {error}\n{log}{}", case.name, outcome.after.1));
        }
    }
    if !wrong.is_empty() {
        return Err(format!("{} wrong:\n{}", wrong.len(), wrong.join("\n")).into());
    }
    println!(
        "ok   disks-in-use             {:5.1} s  {} cases: mounted, held, dm-verity, device mapper",
        start.elapsed().as_secs_f64(),
        cases.len() + 2
    );
    Ok(())
}

fn check(case: &Case, outcome: &Outcome) -> Result<()> {
    if let Wanted::Refused(words) = &case.wanted {
        must(outcome.code == 1, format!("exit code {}", outcome.code))?;
        for word in *words {
            must(
                outcome.log.contains(word),
                format!("the log does not have {word:?}"),
            )?;
        }
        return must(!outcome.changed(0)?, "the disk was changed");
    }
    must(outcome.code == 0, format!("exit code {}", outcome.code))?;
    match &case.wanted {
        Wanted::Refused(_) => {}
        Wanted::Kernel(parts) => {
            let there: Vec<(&str, u64, u64)> = outcome
                .kernel
                .iter()
                .filter(|(name, _)| name.starts_with("sda") && name.len() > 3)
                .map(|(name, (start, size))| (name.as_str(), start.unwrap_or_default(), *size))
                .collect();
            must(there == *parts, format!("the kernel has {there:?}"))?;
            must(outcome.verify.contains("No problems found"), &outcome.verify)?;
            let made = outcome
                .blkid
                .values()
                .any(|found| found.get("LABEL").is_some_and(|label| label == "made"));
            must(made, "the filesystem was not made")?;
        }
        Wanted::Mapped(lines) => {
            let whole = outcome
                .after
                .1
                .lines()
                .filter(|line| line.starts_with("whole") && !line.starts_with("whole:"))
                .count();
            let wanted = lines.iter().filter(|line| line.starts_with("whole")).count();
            for line in *lines {
                must(outcome.after.1.contains(line), format!("no {line:?}"))?;
            }
            // All but the last case list all partitions.
            must(whole >= wanted, format!("{whole} partitions"))?;
        }
    }
    Ok(())
}
