//! Random tables and requests, each named by its seed.

use ignition_rs::config::types::{Disk as Config, Partition};

use super::disk::Disk;
use crate::support::random::Random;

/// Types that sgdisk has no say about.
const TYPES: [&str; 5] = [
    "C12A7328-F81F-11D2-BA4B-00A0C93EC93B",
    "3884dd41-8582-4404-b9a8-e9b84f2df50e",
    "0fc63daf-8483-4772-8e79-3d69d8477de4",
    "5DFBF5F4-2848-4BAC-AA5E-0D9A20B745A6",
    "deadbeef-0000-4000-8000-00000badf00d",
];

pub(super) fn guid(random: &mut Random) -> String {
    let digits: Vec<String> = (0..16).map(|_| format!("{:02x}", random.next() % 256)).collect();
    let text = format!(
        "{}-{}-{}-{}-{}",
        digits[..4].concat(),
        digits[4..6].concat(),
        digits[6..8].concat(),
        digits[8..10].concat(),
        digits[10..].concat()
    );
    if random.percent(50) {
        text.to_uppercase()
    } else {
        text
    }
}

fn label(random: &mut Random) -> String {
    let words = [
        "",
        "ROOT",
        "OEM",
        "EFI-SYSTEM",
        "with space",
        "häß",
        "a😀é",
        "0123456789abcdef0123456789abcdef0123",
    ];
    (*random.pick(&words)).to_owned()
}

/// Size of a disk in sectors of 512 bytes.
pub(super) fn size(random: &mut Random) -> u64 {
    match random.below(10) {
        0 => 2048 * (3 + random.below(6) as u64),
        1 => 65_536 + random.below(100_000) as u64,
        2 => 600_000_000 + 2048 * random.below(1000) as u64,
        _ => 2048 * (16 + random.below(500) as u64),
    }
}

/// Partitions a disk by sgdisk: mostly as people do, sometimes unaligned, sparse, or with a table of another size or place.
pub(super) fn table(random: &mut Random, disk: &Disk, sectors: u64, per_mib: u64) {
    if random.percent(12) {
        return;
    }
    let mut args = vec!["-o".to_owned()];
    let odd_table = random.percent(20);
    if odd_table && per_mib == 2048 {
        args.push(format!(
            "--resize-table={}",
            random.pick(&[56, 64, 128, 132, 200, 256, 512])
        ));
    }
    let ran = disk.sgdisk(&args);
    ran.expect_code(0);
    if odd_table && random.percent(30) {
        let _ = disk.sgdisk(&["-j", "512"]);
    }
    let grain = *random.pick(&[per_mib, per_mib, per_mib, 2 * per_mib, 8, 1]);
    let count = random.below(9);
    for _ in 0..count {
        let number = if random.percent(80) {
            1 + random.below(11)
        } else {
            1 + random.below(60)
        };
        let first = random.next() % sectors / grain * grain;
        let length = (2 + random.next() % (sectors / 6).max(1)) / grain * grain;
        // sgdisk runs into partitions of a single sector: the last free sector before one is the one.
        let mut args = vec![
            format!("--set-alignment={}", if random.percent(90) { grain } else { 1 }),
            format!(
                "--new={number}:{}:{}",
                first.max(34),
                first.max(34) + length.max(2) - 1
            ),
            format!("--change-name={number}:{}", label(random)),
            format!("--typecode={number}:{}", random.pick(&TYPES)),
        ];
        if random.percent(40) {
            args.push(format!("--partition-guid={number}:{}", guid(random)));
        }
        if random.percent(30) {
            args.push(format!("--attributes={number}:set:{}", random.below(64)));
        }
        // What does not fit is left out.
        let _ = disk.sgdisk(&args);
    }
    if random.percent(10) {
        let table = disk.table();
        // A type that no MBR knows makes a record of type 0, which is none.
        let known = |guid: &str| guid.eq_ignore_ascii_case(TYPES[0]) || guid.eq_ignore_ascii_case(TYPES[2]);
        let mut entries = table.entries.iter();
        if let Some((number, _)) = entries.find(|(_, entry)| known(&entry.type_guid.to_string())) {
            let _ = disk.sgdisk(&["-h", &number.to_string()]);
        }
    }
}

fn amount(random: &mut Random, mib: u64) -> Option<i64> {
    match random.below(10) {
        0..=3 => None,
        4..=5 => Some(0),
        _ => Some(i64::try_from(1 + random.next() % (mib / 4).max(1)).unwrap()),
    }
}

/// A config for a disk: what is there, wanted as it is, changed or gone, and new partitions.
pub(super) fn config(random: &mut Random, disk: &Disk, mib: u64, per_mib: u64) -> Config {
    let scan = disk.scan();
    let wipe_table = random.percent(10).then(|| random.percent(80));
    let mut partitions: Vec<Partition> = Vec::new();
    for (number, entry) in scan.table().into_iter().flat_map(|table| &table.entries) {
        if random.percent(55) {
            continue;
        }
        let flag = |random: &mut Random, percent| random.percent(30).then(|| random.percent(percent));
        let mut partition = Partition {
            number: (*number).into(),
            wipe_partition_entry: Some(random.percent(50)),
            resize: flag(random, 80),
            ..Partition::default()
        };
        if random.percent(15) {
            partition.should_exist = Some(false);
            partition.wipe_partition_entry = Some(random.percent(85));
            partition.resize = None;
        } else {
            if random.percent(50) {
                let text = entry.name.text();
                partition.label = Some(if random.percent(80) { text } else { label(random) });
            }
            if random.percent(40) {
                let same = entry.type_guid.to_string().to_lowercase();
                partition.type_guid = Some(if random.percent(80) {
                    same
                } else {
                    (*random.pick(&TYPES)).to_owned()
                });
            }
            if random.percent(30) {
                partition.guid = Some(if random.percent(80) {
                    entry.guid.to_string()
                } else {
                    guid(random)
                });
            }
            if random.percent(40) && entry.first % per_mib == 0 {
                partition.start_mib = Some(i64::try_from(entry.first / per_mib).unwrap());
            }
            if random.percent(40) {
                partition.size_mib = match random.below(4) {
                    0 => Some(0),
                    1 => amount(random, mib),
                    _ => Some(i64::try_from(entry.size() / per_mib).unwrap().max(1)),
                };
            }
            if random.percent(10) {
                partition.resize = Some(true);
                partition.size_mib = amount(random, mib);
            }
        }
        partitions.push(partition);
    }
    for turn in 0..random.below(5) {
        let number = if random.percent(30) {
            0
        } else {
            1 + random.below(14)
        };
        let taken = |partition: &Partition| number != 0 && partition.number == i64::try_from(number).unwrap();
        if partitions.iter().any(taken) {
            continue;
        }
        let explicit = random.percent(40);
        partitions.push(Partition {
            number: number.try_into().unwrap(),
            label: (number == 0 || random.percent(60))
                .then(|| format!("{}{turn}", label(random)).chars().take(36).collect()),
            type_guid: random.percent(40).then(|| (*random.pick(&TYPES)).to_owned()),
            guid: random.percent(40).then(|| guid(random)),
            start_mib: if explicit {
                amount(random, 4 * mib)
            } else {
                random.percent(30).then_some(0)
            },
            size_mib: amount(random, mib),
            wipe_partition_entry: random.percent(20).then(|| random.percent(50)),
            ..Partition::default()
        });
    }
    for index in (1..partitions.len()).rev() {
        let other = random.below(index + 1);
        partitions.swap(index, other);
    }
    Config {
        device: "/dev/vda".into(),
        partitions,
        wipe_table,
    }
}
