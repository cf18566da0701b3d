//! Written cases, looked at by the tools that others use.

use ignition_rs::config::types::Disk as Config;
use ignition_rs::gpt::{Found, Health, Table};
use ignition_rs::stages::disks::partitions::{Action, Partitioning, Reason, Refusal};

use super::cuts::{ADD_10, flatcar};
use super::disk::{Disk, ready};
use super::property::ours;
use crate::support::random::Random;

fn run(disk: &Disk, text: &str) -> Result<Partitioning, Refusal> {
    let config: Config = serde_json::from_str(text).unwrap();
    ours(disk, &config, &mut Random::new(1))
}

/// Numbers of the partitions, as sgdisk prints them.
fn numbers(disk: &Disk) -> Vec<u32> {
    let ran = disk.sgdisk(&["-p"]);
    let list = ran
        .stdout
        .lines()
        .skip_while(|line| !line.starts_with("Number"))
        .skip(1);
    list.filter_map(|line| line.split_whitespace().next()?.parse().ok())
        .collect()
}

fn flatcar_disk() -> (Disk, Table) {
    let disk = Disk::new(200_000);
    let table = flatcar(&disk);
    (disk, table)
}

#[test]
fn numbers_attributes_names_and_guids_stay() {
    if !ready() {
        return;
    }
    let (disk, old) = flatcar_disk();
    run(&disk, ADD_10).unwrap();
    disk.verify();
    assert_eq!(numbers(&disk), [1, 2, 3, 4, 6, 7, 9, 10]);
    let new = disk.table();
    for (number, entry) in &old.entries {
        assert_eq!(new.entries[number], *entry);
    }
    assert_eq!(new.disk_guid, old.disk_guid);
    assert_eq!(new.entries[&2].attributes, 4);
    assert_eq!(new.entries[&10].name.text(), "NEW");
    let again = run(&disk, ADD_10).unwrap();
    assert!(!again.changes(), "{again:?}");
}

#[test]
fn number_0_takes_free_slots() {
    if !ready() {
        return;
    }
    let (disk, _) = flatcar_disk();
    let done = run(&disk, r#"{"partitions": [{"label": "a", "sizeMiB": 1}, {"number": 11, "sizeMiB": 1}, {"label": "b", "sizeMiB": 1}]}"#).unwrap();
    disk.verify();
    let made: Vec<(usize, u32)> = done
        .decisions
        .iter()
        .map(|decision| (decision.index, decision.number))
        .collect();
    assert_eq!(made, [(1, 11), (0, 5), (2, 8)]);
}

#[test]
fn tables_of_other_sizes_keep_them() {
    if !ready() {
        return;
    }
    for count in [56_u32, 64, 128, 256, 512] {
        let (disk, _) = flatcar_disk();
        disk.sgdisk(&[format!("--resize-table={count}")]).expect_code(0);
        let old = disk.table();
        assert_eq!(old.entry_count, count);
        let refusal = run(
            &disk,
            &format!(r#"{{"partitions": [{{"number": {}}}]}}"#, count + 1),
        )
        .unwrap_err();
        assert!(
            matches!(refusal.reason, Reason::NumberTooLarge { .. }),
            "{refusal}"
        );
        run(&disk, &format!(r#"{{"partitions": [{{"number": {count}}}]}}"#)).unwrap();
        disk.verify();
        let new = disk.table();
        assert_eq!(
            (new.entry_count, new.first_usable, new.last_usable),
            (count, old.first_usable, old.last_usable)
        );
        assert_eq!(numbers(&disk), [1, 2, 3, 4, 6, 7, 9, count]);
    }
}

#[test]
fn a_table_that_was_moved_stays_there() {
    if !ready() {
        return;
    }
    let (disk, _) = flatcar_disk();
    disk.sgdisk(&["-j", "1024"]).expect_code(0);
    run(&disk, ADD_10).unwrap();
    disk.verify();
    assert_eq!(disk.table().primary_entries, 1024);
    assert!(
        disk.sgdisk(&["-p"])
            .stdout
            .contains("Main partition table begins at sector 1024")
    );
    run(&disk, r#"{"wipeTable": true, "partitions": [{"number": 1}]}"#).unwrap();
    disk.verify();
    assert_eq!(disk.table().primary_entries, 2);
    assert_eq!(disk.read(1024 * 512, 32 * 512), vec![0; 32 * 512]);
}

#[test]
fn a_disk_that_has_grown_is_used_to_its_end() {
    if !ready() {
        return;
    }
    let (disk, _) = flatcar_disk();
    disk.resize(400_000);
    let text = r#"{"partitions": [{"number": 10, "startMiB": 0, "sizeMiB": 0}]}"#;
    run(&disk, text).unwrap();
    disk.verify();
    let table = disk.table();
    assert_eq!((table.backup_header, table.last_usable), (399_999, 399_966));
    assert_eq!(
        (table.entries[&10].first, table.entries[&10].last),
        (81_920, 399_966)
    );
    assert_eq!(disk.read(446 + 12, 4), 399_999_u32.to_le_bytes());
    // sgdisk would have placed it in the old room, and found another size in a second run.
    assert!(!run(&disk, text).unwrap().changes());
}

#[test]
fn one_damaged_copy_is_repaired_and_two_are_refused() {
    if !ready() {
        return;
    }
    let last = 199_999 * 512;
    for (places, health) in [
        (&[512][..], Some(Health::PrimaryDamaged)),
        (&[1024 + 16], Some(Health::PrimaryDamaged)),
        (&[last], Some(Health::BackupDamaged)),
        (&[last - 32 * 512], Some(Health::BackupDamaged)),
        (&[512, last], None),
        (&[1024, last - 32 * 512], None),
        (&[512 + 40, last + 40], None),
    ] {
        let (disk, old) = flatcar_disk();
        for place in places {
            disk.write(*place, b"damaged!");
        }
        let scan = disk.scan();
        let Some(health) = health else {
            if places == [512, last] {
                // No signature is left: nobody can tell that there was a table.
                assert_eq!(scan.found, Found::Blank);
                continue;
            }
            let before = disk.ends();
            let refusal = run(&disk, ADD_10).unwrap_err();
            assert!(matches!(refusal.reason, Reason::NotGpt { .. }), "{refusal}");
            assert_eq!(disk.ends(), before);
            run(&disk, r#"{"wipeTable": true, "partitions": [{"number": 1}]}"#).unwrap();
            disk.verify();
            continue;
        };
        assert!(
            matches!(&scan.found, Found::Gpt { health: found, .. } if *found == health),
            "{scan:?}"
        );
        assert_eq!(disk.table(), old);
        run(&disk, ADD_10).unwrap();
        disk.verify();
        assert_eq!(numbers(&disk), [1, 2, 3, 4, 6, 7, 9, 10]);
    }
}

#[test]
fn boot_code_and_hybrid_mbrs_stay() {
    if !ready() {
        return;
    }
    let (disk, _) = flatcar_disk();
    disk.sgdisk(&["-h", "1:9"]).expect_code(0);
    disk.write(0, b"boot code");
    let before = disk.read(0, 512);
    assert!(disk.scan().boot.is_hybrid());
    run(&disk, ADD_10).unwrap();
    disk.verify();
    assert_eq!(disk.read(0, 512), before);
    // Also while a copy is damaged, where sgdisk gives up.
    disk.write(512, b"damaged!");
    run(
        &disk,
        r#"{"partitions": [{"number": 1, "shouldExist": false, "wipePartitionEntry": true}]}"#,
    )
    .unwrap();
    disk.verify();
    let kinds: Vec<u32> = disk
        .scan()
        .boot
        .partitions()
        .iter()
        .map(|partition| partition.number)
        .collect();
    assert_eq!(kinds, [3]);
    assert_eq!(disk.read(0, 9), b"boot code");

    run(&disk, r#"{"wipeTable": true, "partitions": [{"number": 1}]}"#).unwrap();
    disk.verify();
    assert!(!disk.scan().boot.has_boot_code() && !disk.scan().boot.is_hybrid());

    let blank = Disk::new(200_000);
    blank.write(0, b"boot code");
    run(&blank, ADD_10).unwrap();
    blank.verify();
    assert_eq!(blank.read(0, 9), b"boot code");
}

#[test]
fn a_wipe_alone_leaves_nothing() {
    if !ready() {
        return;
    }
    for grown in [200_000, 300_000] {
        let (disk, _) = flatcar_disk();
        disk.sgdisk(&["-j", "1024"]).expect_code(0);
        disk.resize(grown);
        run(&disk, r#"{"wipeTable": true}"#).unwrap();
        for (offset, bytes) in disk.ends() {
            let left = bytes.iter().position(|byte| *byte != 0);
            assert_eq!(left, None, "from {offset}");
        }
        assert_eq!(disk.read(199_967 * 512, 33 * 512), vec![0; 33 * 512]);
        assert!(disk.sgdisk(&["-v"]).stdout.contains("Creating new GPT entries"));
    }
}

#[test]
fn a_resized_partition_keeps_all_but_its_end() {
    if !ready() {
        return;
    }
    let (disk, old) = flatcar_disk();
    disk.sgdisk(&["--attributes=9:set:59"]).expect_code(0);
    let done = run(
        &disk,
        r#"{"partitions": [{"number": 9, "resize": true, "sizeMiB": 0}]}"#,
    )
    .unwrap();
    assert!(matches!(done.decisions[0].action, Action::Resize { .. }));
    disk.verify();
    let new = disk.table().entries[&9];
    assert_eq!((new.attributes, new.last), (1 << 59, old.last_usable));
    assert_eq!((new.first, new.guid, new.type_guid, new.name), {
        let old = old.entries[&9];
        (old.first, old.guid, old.type_guid, old.name)
    });
}

#[test]
fn a_start_in_a_smaller_block_and_size_0() {
    if !ready() {
        return;
    }
    // coreos/fedora-coreos-tracker#776: sgdisk takes the end of the largest block for it, and fails.
    let disk = Disk::new(200_000);
    disk.sgdisk(&["-o", "--new=1:20480:+20480"]).expect_code(0);
    run(
        &disk,
        r#"{"partitions": [{"number": 2, "startMiB": 1, "sizeMiB": 0}]}"#,
    )
    .unwrap();
    disk.verify();
    let entry = disk.table().entries[&2];
    assert_eq!((entry.first, entry.last), (2048, 20479));
}

#[test]
fn without_a_protective_mbr_the_partitions_still_count() {
    if !ready() {
        return;
    }
    let (disk, _) = flatcar_disk();
    disk.write(0, &[0; 512]);
    let refusal = run(&disk, r#"{"partitions": [{"number": 1, "label": "other"}]}"#).unwrap_err();
    assert!(
        matches!(refusal.reason, Reason::Mismatch { number: 1, .. }),
        "{refusal}"
    );
    run(&disk, ADD_10).unwrap();
    disk.verify();
    assert_eq!(numbers(&disk), [1, 2, 3, 4, 6, 7, 9, 10]);
}

#[test]
fn what_is_no_gpt_is_refused() {
    if !ready() {
        return;
    }
    for label in ["dos", "sun", "sgi"] {
        for with_partition in [true, false] {
            let disk = Disk::new(200_000);
            let mut script = format!("label: {label}\n");
            if with_partition {
                script.push_str("2048 4096\n");
            }
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), script).unwrap();
            let command = format!("sfdisk -q {} < {}", disk.path().display(), file.path().display());
            crate::support::programs::Program::new("sh")
                .args(["-c", &command])
                .run()
                .expect_code(0);
            let refusal = run(&disk, ADD_10).unwrap_err();
            assert!(
                matches!(refusal.reason, Reason::NotGpt { .. }),
                "{label}: {refusal}"
            );
            run(&disk, r#"{"wipeTable": true, "partitions": [{"number": 1}]}"#).unwrap();
            disk.verify();
        }
    }
}
