//! The writer is killed at every write, and within every write at every sector: what is found is the old or the new table.

use std::collections::BTreeMap;

use ignition_rs::config::types::Disk as Config;
use ignition_rs::gpt::{Found, Scan, Table, Write};
use ignition_rs::stages::disks::partitions::{Request, plan};

use super::disk::{Disk, ready};
use super::generate;
use crate::support::random::Random;

fn config(text: &str) -> Config {
    serde_json::from_str(text).unwrap()
}

/// What counts of a finding: the partitions, or that there are none.
fn essence(scan: &Scan) -> String {
    match &scan.found {
        Found::Gpt { table, .. } => format!("{} {:?}", table.disk_guid, table.entries),
        Found::Blank => "blank".into(),
        other => format!("{other:?}"),
    }
}

/// Every state that a kill leaves: after each number of writes, and after each sector of the next one. Of long writes the first 40
/// sectors, the last, and some between.
fn states(writes: &[Write], sector: usize) -> Vec<(usize, usize)> {
    let mut states = Vec::new();
    for (done, write) in writes.iter().enumerate() {
        let sectors = write.bytes.len() / sector;
        for torn in 0..sectors {
            if torn < 40 || torn + 2 > sectors || torn % 16 == 0 {
                states.push((done, torn * sector));
            }
        }
    }
    states.push((writes.len(), 0));
    states
}

fn apply(disk: &Disk, writes: &[Write], (done, torn): (usize, usize)) {
    disk.apply(&writes[..done]);
    if let Some(write) = writes.get(done) {
        disk.write(write.offset, &write.bytes[..torn]);
    }
}

/// What sgdisk says about partitions, or that it finds none.
fn by_sgdisk(disk: &Disk) -> String {
    let ran = disk.sgdisk(&["-p"]);
    assert_eq!(ran.code, Some(0), "{ran}");
    let mut text = String::new();
    let list = ran.stdout.lines().skip_while(|line| !line.starts_with("Number"));
    for line in list.skip(1) {
        text.push_str(line.trim());
        text.push('\n');
    }
    text
}

/// Kills a change at every place. `sgdisk`: whether it can be asked, too. Says how many states there were.
fn kill(disk: &Disk, config: &Config, sgdisk: bool) -> usize {
    let old = disk.scan();
    let in_use = BTreeMap::new();
    let request = Request {
        disk: config,
        scan: &old,
        in_use: &in_use,
    };
    let mut random = Random::new(7);
    let done = plan(&request, &mut || {
        std::array::from_fn(|_| random.next().to_le_bytes()[2])
    })
    .unwrap();
    let writes = done.writes(&old);
    assert!(!writes.is_empty(), "{done:?}");

    let under = |write: &Write| (write.offset, disk.read(write.offset, write.bytes.len()));
    let before: Vec<(u64, Vec<u8>)> = writes.iter().map(under).collect();
    let old_by_sgdisk = if sgdisk { by_sgdisk(disk) } else { String::new() };
    disk.apply(&writes);
    let new = disk.scan();
    let new_by_sgdisk = if sgdisk { by_sgdisk(disk) } else { String::new() };
    match &done.table {
        Some(table) => {
            let Found::Gpt {
                table: written,
                health,
            } = &new.found
            else {
                panic!("{new:?}")
            };
            assert_eq!(**written, *table);
            assert_eq!(*health, ignition_rs::gpt::Health::Whole);
            disk.verify();
        }
        None => assert_eq!(new.found, Found::Blank),
    }
    let (old_essence, new_essence) = (essence(&old), essence(&new));

    let states = states(&writes, usize::try_from(old.geometry.sector_size).unwrap());
    let mut turned = false;
    for state in &states {
        disk.restore(&before);
        apply(disk, &writes, *state);
        let found = essence(&disk.scan());
        assert!(
            found == old_essence || found == new_essence,
            "{state:?} of {writes:?}: {found}\nold {old_essence}\nnew {new_essence}"
        );
        // Once new, it stays new.
        assert!(
            !turned || found == new_essence,
            "{state:?} of {writes:?} went back"
        );
        turned = found == new_essence && new_essence != old_essence;
        if sgdisk && state.1 < 2048 {
            let found = by_sgdisk(disk);
            assert!(
                found == old_by_sgdisk || found == new_by_sgdisk,
                "{state:?} of {writes:?}: {found}"
            );
        }
    }
    // Killed and run again, it ends the same.
    for state in &states {
        disk.restore(&before);
        apply(disk, &writes, *state);
        if essence(&disk.scan()) == new_essence {
            break;
        }
        if let Found::Gpt { .. } = old.found {
            let scan = disk.scan();
            let request = Request {
                disk: config,
                scan: &scan,
                in_use: &in_use,
            };
            let mut random = Random::new(7);
            let again = plan(&request, &mut || {
                std::array::from_fn(|_| random.next().to_le_bytes()[2])
            })
            .unwrap();
            disk.apply(&again.writes(&scan));
            assert_eq!(essence(&disk.scan()), new_essence, "{state:?} of {writes:?}");
        }
    }
    disk.restore(&before);
    states.len()
}

/// A Flatcar-like table: numbers 1 2 3 4 6 7 9, names, attributes, GUIDs.
pub(super) fn flatcar(disk: &Disk) -> Table {
    let mut args = vec!["-o".to_owned()];
    let mut start = 4096;
    for (number, size, name) in [
        (1, 8192, "EFI-SYSTEM"),
        (2, 4096, "BIOS-BOOT"),
        (3, 16384, "USR-A"),
        (4, 16384, "USR-B"),
        (6, 8192, "OEM"),
        (7, 4096, "OEM-CONFIG"),
        (9, 20480, "ROOT"),
    ] {
        args.push(format!("--new={number}:{start}:+{size}"));
        args.push(format!("--change-name={number}:{name}"));
        start += size;
    }
    args.push("--attributes=3:set:48".into());
    args.push("--attributes=2:set:2".into());
    disk.sgdisk(&args).expect_code(0);
    disk.table()
}

/// A new partition behind the last.
pub(super) const ADD_10: &str = r#"{"partitions": [{"number": 10, "label": "NEW", "sizeMiB": 4}]}"#;
const WIPE: &str =
    r#"{"wipeTable": true, "partitions": [{"number": 1, "label": "A", "sizeMiB": 8}, {"label": "B"}]}"#;
const ZAP: &str = r#"{"wipeTable": true}"#;
const CHANGE: &str = r#"{"partitions": [
    {"number": 9, "resize": true, "sizeMiB": 0},
    {"number": 4, "shouldExist": false, "wipePartitionEntry": true},
    {"number": 6, "label": "other", "wipePartitionEntry": true}]}"#;

#[test]
fn old_or_new_whatever_is_killed() {
    if !ready() {
        return;
    }
    let mut states = 0;
    for text in [ADD_10, CHANGE, WIPE, ZAP] {
        let disk = Disk::new(200_000);
        flatcar(&disk);
        states += kill(&disk, &config(text), true);
    }
    assert!(states > 100, "{states}");
}

#[test]
fn old_or_new_on_a_disk_that_has_grown() {
    if !ready() {
        return;
    }
    for text in [ADD_10, CHANGE, WIPE, ZAP] {
        let disk = Disk::new(200_000);
        flatcar(&disk);
        disk.resize(300_000);
        kill(&disk, &config(text), text != ZAP);
    }
}

#[test]
fn old_or_new_with_a_damaged_copy() {
    if !ready() {
        return;
    }
    let last = 199_999 * 512;
    for (place, grow) in [
        (512, false),
        (1024 + 64, false),
        (1024 + 64, true),
        (last, false),
        (last - 4096 * 4, false),
        (last, true),
    ] {
        for text in [ADD_10, CHANGE, WIPE, ZAP] {
            let disk = Disk::new(200_000);
            flatcar(&disk);
            disk.write(place, b"damaged!");
            if grow {
                disk.resize(300_000);
            }
            kill(&disk, &config(text), !grow);
        }
    }
}

#[test]
fn old_or_new_with_copies_that_differ() {
    if !ready() {
        return;
    }
    for text in [ADD_10, CHANGE, WIPE, ZAP] {
        let disk = Disk::new(200_000);
        flatcar(&disk);
        let before = disk.ends();
        disk.sgdisk(&["-d", "1"]).expect_code(0);
        // The backup is the newer one.
        disk.restore(&before[..1]);
        kill(&disk, &config(text), true);
    }
}

#[test]
fn old_or_new_on_disks_without_a_gpt() {
    if !ready() {
        return;
    }
    for text in [ADD_10, WIPE] {
        kill(&Disk::new(200_000), &config(text), true);
    }
    // sgdisk takes neither table while both are there; the kernel takes the MBR until it is replaced.
    for text in [WIPE, ZAP] {
        let disk = Disk::new(200_000);
        let mut sector = vec![0; 512];
        sector[446..462].copy_from_slice(&[0x80, 1, 1, 0, 0x83, 1, 1, 1, 0, 8, 0, 0, 0, 16, 0, 0]);
        sector[510..].copy_from_slice(&[0x55, 0xaa]);
        disk.write(0, &sector);
        kill(&disk, &config(text), false);
    }
}

#[test]
fn old_or_new_with_other_tables() {
    if !ready() {
        return;
    }
    for prepare in [
        &["-j", "1024"][..],
        &["--resize-table=256"],
        &["--resize-table=56"],
        &["-h", "9"],
    ] {
        for text in [ADD_10, CHANGE, WIPE, ZAP] {
            let disk = Disk::new(200_000);
            flatcar(&disk);
            disk.sgdisk(prepare).expect_code(0);
            // sgdisk gives up on a hybrid MBR when one copy is damaged.
            kill(&disk, &config(text), prepare[0] != "-h");
        }
    }
}

#[test]
fn old_or_new_with_large_sectors() {
    if !ready() {
        return;
    }
    for text in [ADD_10, WIPE, ZAP] {
        let Some(disk) = Disk::on_loop(25_000, 4096, false) else {
            return;
        };
        disk.sgdisk(&[
            "-o",
            "--new=1:256:+1024",
            "--new=9:2048:+1024",
            "--change-name=9:ROOT",
        ])
        .expect_code(0);
        kill(&disk, &config(text), true);
    }
}

#[test]
fn old_or_new_for_random_tables() {
    if !ready() {
        return;
    }
    let mut killed = 0;
    for seed in 1..60 {
        let mut random = Random::new(seed);
        let sectors = 2048 * (16 + random.below(200) as u64);
        let disk = Disk::new(sectors);
        generate::table(&mut random, &disk, sectors, 2048);
        let config = generate::config(&mut random, &disk, sectors / 2048, 2048);
        let scan = disk.scan();
        let in_use = BTreeMap::new();
        let request = Request {
            disk: &config,
            scan: &scan,
            in_use: &in_use,
        };
        if plan(&request, &mut || [1; 16]).is_ok_and(|done| !done.writes(&scan).is_empty()) {
            kill(&disk, &config, !scan.boot.is_hybrid());
            killed += 1;
        }
    }
    assert!(killed > 5, "{killed}");
}
