//! Both over the same generated tables and requests, compared field by field.

use std::collections::BTreeMap;

use ignition_rs::config::types::Disk as Config;
use ignition_rs::gpt::{BootSector, Guid, NoRoom, Table};
use ignition_rs::stages::disks::partitions::{Action, Partitioning, Reason, Refusal, Request, plan};

use super::disk::{Disk, ready};
use super::generate;
use super::upstream::{Failed, partition};
use crate::support::random::Random;

/// Our side: decides, and writes if there is something to write.
pub(super) fn ours(disk: &Disk, config: &Config, random: &mut Random) -> Result<Partitioning, Refusal> {
    let scan = disk.scan();
    let in_use = BTreeMap::new();
    let request = Request {
        disk: config,
        scan: &scan,
        in_use: &in_use,
    };
    let mut bytes = || std::array::from_fn(|_| random.next().to_le_bytes()[2]);
    let done = plan(&request, &mut bytes)?;
    disk.apply(&done.writes(&scan));
    Ok(done)
}

/// What of a table both must agree in. Random GUIDs are left out, and what sgdisk computes as cylinders.
fn comparable(table: &Table, random: &[u32], fresh: bool) -> String {
    let mut table = table.clone();
    for (number, entry) in &mut table.entries {
        if random.contains(number) {
            assert!(!entry.guid.is_zero());
            entry.guid = Guid::ZERO;
        }
    }
    if fresh {
        assert!(!table.disk_guid.is_zero());
        table.disk_guid = Guid::ZERO;
    }
    let mut boot = table.boot.bytes().to_vec();
    for record in [446, 462, 478, 494] {
        boot[record + 1..record + 4].fill(0);
        boot[record + 5..record + 8].fill(0);
    }
    table.boot = BootSector::new(Vec::new());
    format!("{table:#?}\n{:?}", &boot[..512])
}

/// How a case ended.
#[derive(Debug, PartialEq, Eq, Hash, Clone, Copy, PartialOrd, Ord)]
enum End {
    Changed,
    Kept,
    Refused,
    OnlyOurs,
}

fn case(disk: &Disk, random: &mut Random, sectors: u64, per_mib: u64) -> End {
    generate::table(random, disk, sectors, per_mib);
    let config = generate::config(random, disk, sectors / per_mib, per_mib);
    let before = disk.ends();
    let old = disk.scan();
    let sector_size = u32::try_from(1_048_576 / per_mib).unwrap();

    let theirs = partition(disk, &config, sector_size);
    let their_scan = disk.scan();
    if theirs.is_ok() && their_scan.table().is_some() {
        disk.verify();
    }
    disk.restore(&before);
    let mine = ours(disk, &config, random);
    let my_scan = disk.scan();
    let shown = || format!("{config:#?}\nold {old:#?}\ntheirs {theirs:?}\nmine {mine:?}");

    match (&theirs, &mine) {
        (Ok(()), Ok(done)) => {
            let made: Vec<u32> = done
                .decisions
                .iter()
                .filter(|decision| config.partitions[decision.index].guid.is_none())
                .filter(|decision| matches!(decision.action, Action::Create | Action::Recreate { .. }))
                .map(|decision| decision.number)
                .collect();
            let fresh = done.wipe || old.table().is_none();
            match (their_scan.table(), my_scan.table()) {
                (Some(theirs), Some(mine)) => {
                    let mut theirs = theirs.clone();
                    for decision in &done.decisions {
                        // sgdisk loses the attributes of what is resized; ours keeps them.
                        if let Action::Resize { from } = &decision.action {
                            assert_eq!(mine.entries[&decision.number].attributes, from.attributes);
                            theirs.entries.get_mut(&decision.number).unwrap().attributes = from.attributes;
                        }
                    }
                    let (theirs, mine) = (comparable(&theirs, &made, fresh), comparable(mine, &made, fresh));
                    assert_eq!(theirs, mine, "{}", shown());
                    disk.verify();
                }
                (None, None) => {}
                _ => panic!("{}\n{their_scan:?}\n{my_scan:?}", shown()),
            }
            if done.changes() { End::Changed } else { End::Kept }
        }
        (Err(_), Err(refusal)) => {
            if let Reason::Flaw(_) = refusal.reason {
                panic!("a generated table is sound\n{}", shown());
            }
            assert_eq!(disk.ends(), before, "{}", shown());
            End::Refused
        }
        // sgdisk takes size 0 to mean the end of the largest block, even if the start is in another one.
        (Err(Failed::Sgdisk(ran)), Ok(done)) => {
            let line = ran
                .stderr
                .lines()
                .find(|line| line.starts_with("Could not create partition"));
            let line = line.unwrap_or_else(|| panic!("{}", shown()));
            let numbers: Vec<u64> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
            let [number, first, _] = numbers[..] else {
                panic!("{line}")
            };
            let asked = config.partitions.iter().find(|asked| {
                let same = u64::try_from(asked.number).unwrap() == number;
                (same || asked.number == 0) && asked.size_mib.unwrap_or(0) == 0
            });
            assert!(asked.is_some() && first != 0, "{line}\n{}", shown());
            if done.changes() {
                disk.verify();
            }
            End::OnlyOurs
        }
        _ => panic!("{}", shown()),
    }
}

fn run(cases: u64, mut disk_of: impl FnMut(&mut Random) -> (Disk, u64, u64)) -> BTreeMap<End, u64> {
    let first: u64 = std::env::var("GPT_SEED")
        .ok()
        .map_or(1, |seed| seed.parse().unwrap());
    let mut ends = BTreeMap::new();
    for seed in first..first + cases {
        let mut random = Random::new(seed);
        let (disk, sectors, per_mib) = disk_of(&mut random);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            case(&disk, &mut random, sectors, per_mib)
        }));
        match outcome {
            Ok(end) => *ends.entry(end).or_insert(0) += 1,
            Err(cause) => {
                eprintln!("GPT_SEED={seed}");
                std::panic::resume_unwind(cause);
            }
        }
    }
    eprintln!("{ends:?}");
    ends
}

/// 200 cases, or as many as GPT_CASES says.
fn cases() -> u64 {
    std::env::var("GPT_CASES").map_or(200, |count| count.parse().unwrap())
}

#[test]
fn the_same_as_sgdisk() {
    if !ready() {
        return;
    }
    let ends = run(cases(), |random| {
        let sectors = generate::size(random);
        (Disk::new(sectors), sectors, 2048)
    });
    if cases() >= 200 {
        for end in [End::Changed, End::Kept, End::Refused, End::OnlyOurs] {
            assert!(ends.contains_key(&end), "no case ended in {end:?}: {ends:?}");
        }
    }
}

#[test]
fn the_same_as_sgdisk_with_large_sectors() {
    if !ready() {
        return;
    }
    let Some(disk) = Disk::on_loop(256 * 64, 4096, false) else {
        return;
    };
    drop(disk);
    run(cases() / 10, |random| {
        let sectors = 256 * (3 + random.below(200) as u64);
        (Disk::on_loop(sectors, 4096, false).unwrap(), sectors, 256)
    });
}

#[test]
fn the_other_side_refuses_what_lies_beyond_the_disk() {
    if !ready() {
        return;
    }
    let disk = Disk::new(32768);
    let config: Config =
        serde_json::from_str(r#"{"partitions": [{"number": 1, "startMiB": 10, "sizeMiB": 10}]}"#).unwrap();
    assert!(partition(&disk, &config, 512).is_err());
    let refusal = ours(&disk, &config, &mut Random::new(1)).unwrap_err();
    assert_eq!(refusal.pointer.to_string(), "partitions[0].sizeMiB");
    assert!(matches!(
        refusal.reason,
        Reason::NoRoom {
            problem: NoRoom::Short { .. },
            ..
        }
    ));
}
