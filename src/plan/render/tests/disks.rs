//! Disks before and after, from real plans over devices made by hand.

use super::super::{DiskTable, Style, disks, json, text};
use crate::checker::Checker;
use crate::config::types::Config;
use crate::gpt::{BootSector, Entry, Found, Geometry, Guid, Health, Name, Scan, Table};
use crate::plan::Plan;
use crate::plan::predict::predict;
use crate::report::Pointer;
use crate::stages::disks::{filesystems, raid, tables};
use crate::view::fake::FakeView;
use crate::view::fake_devices::FakeDevices;
use crate::view::{Overlay, View as _};

const GIB: u64 = 1 << 30;

/// Of 1 GiB; partitions in MiB: number, label, start, size.
fn partitioned(partitions: &[(u32, &str, u64, u64)]) -> Scan {
    let boot = BootSector::blank(512);
    let geometry = Geometry {
        sector_size: 512,
        sectors: GIB / 512,
    };
    let mut table = Table::fresh(geometry, Guid([1; 16]), &boot).unwrap();
    for (number, label, start, size) in partitions {
        let entry = Entry {
            type_guid: Guid::LINUX,
            guid: Guid([0xa0 + u8::try_from(*number).unwrap(); 16]),
            first: start * 2048,
            last: (start + size) * 2048 - 1,
            attributes: 0,
            name: Name::new(label).unwrap(),
        };
        table.entries.insert(*number, entry);
    }
    Scan {
        geometry,
        boot: table.boot.clone(),
        found: Found::Gpt {
            table: Box::new(table),
            health: Health::Whole,
        },
    }
}

/// A disk with a root, a partition with a name that a terminal would obey, and data; and a blank one.
fn devices() -> FakeDevices {
    let scan = partitioned(&[
        (1, "ROOT", 1, 300),
        (2, "od\u{1b}[2Jd", 301, 100),
        (9, "data", 401, 200),
    ]);
    FakeDevices::new()
        .disk("/dev/vda", GIB)
        .partitioned("/dev/vda", scan)
        .signature("/dev/vda1", "ext4", "u", "ROOT")
        .signature("/dev/vda9", "xfs", "v", "precious")
        .link("/dev/disk/by-label/ROOT", "/dev/vda1")
        .disk("/dev/vdb", GIB)
        .disk("/dev/vdc", GIB)
        .signature("/dev/vdc", "ext4", "w", "whole")
}

fn planned(storage: &str, devices: &FakeDevices) -> Vec<Plan> {
    let config: Config = serde_json::from_str(&format!(r#"{{"storage": {storage}}}"#)).unwrap();
    let view = FakeView::new().with_devices(devices.clone());
    let mut overlay = Overlay::new(&view);
    let random = |bytes: &mut [u8]| {
        bytes.fill(7);
        Ok(())
    };
    let mut plans = Vec::new();
    let mut keep = |plan: Plan, overlay: &mut Overlay<'_>| {
        for step in &plan.steps {
            predict(step, overlay).unwrap();
        }
        plans.push(plan);
    };
    let plan = tables::plan(&config, crate::view::Digest([0; 64]), &overlay, &random).unwrap();
    keep(plan, &mut overlay);
    let plan = raid::plan(&config, &overlay).unwrap();
    keep(plan, &mut overlay);
    let plan = filesystems::plan(&config, &overlay).unwrap();
    keep(plan, &mut overlay);
    plans
}

fn shown(storage: &str) -> String {
    let devices = devices();
    let plans = planned(storage, &devices);
    let tables = disks(&plans, FakeView::new().with_devices(devices).devices());
    conforms(&plans, &tables);
    let style = Style {
        width: Some(100),
        ..Style::default()
    };
    let origin = |cause: &Pointer| Some(format!("my.ign:{}:7", cause.0.len()));
    let mut out = String::new();
    text(&mut out, &plans, &tables, style, &origin).unwrap();
    assert!(!out.contains('\u{1b}'), "{out}");
    // A command is not broken: it is there to be read by a shell.
    let mut lines = out.lines().filter(|line| !line.trim_start().starts_with("$ "));
    assert!(lines.all(|line| line.chars().count() <= 100), "{out}");
    out
}

fn conforms(plans: &[Plan], tables: &[DiskTable]) {
    let schema = serde_json::from_str(include_str!("../../../../docs/plan.schema.json")).unwrap();
    let origin = |_: &Pointer| Some("my.ign:1:2".to_owned());
    let document = serde_json::to_value(json(plans, tables, &origin)).unwrap();
    Checker::new(schema).check_all(&document).unwrap();
}

#[test]
fn partitions_go_and_come() {
    insta::assert_snapshot!(shown(
        r#"{"disks": [
            {"device": "/dev/vda", "partitions": [
                {"number": 2, "shouldExist": false, "wipePartitionEntry": true},
                {"number": 9, "label": "data", "sizeMiB": 250, "resize": true},
                {"number": 3, "label": "new", "sizeMiB": 64, "startMiB": 700}]},
            {"device": "/dev/vdb", "partitions": [{"number": 1, "label": "swap", "sizeMiB": 64}]}],
          "filesystems": [
            {"device": "/dev/disk/by-label/ROOT", "format": "btrfs", "label": "ROOT", "wipeFilesystem": true},
            {"device": "/dev/vdb1", "format": "swap"}]}"#
    ));
}

#[test]
fn a_disk_that_only_a_filesystem_names_and_a_whole_disk() {
    insta::assert_snapshot!(shown(
        r#"{"filesystems": [
            {"device": "/dev/disk/by-label/ROOT", "format": "ext4", "wipeFilesystem": true, "label": "ROOT"},
            {"device": "/dev/vdc", "format": "xfs", "wipeFilesystem": true}]}"#
    ));
}

#[test]
fn arrays_over_partitions_and_nothing_to_do() {
    insta::assert_snapshot!(shown(
        r#"{"disks": [{"device": "/dev/vda", "partitions": [{"number": 1, "label": "ROOT"}]}],
            "raid": [{"name": "data", "level": "raid1", "devices": ["/dev/vdb", "/dev/vda9"]}]}"#
    ));
    insta::assert_snapshot!(shown(
        r#"{"disks": [{"device": "/dev/vda", "partitions": [{"number": 1, "label": "ROOT"}]}],
            "filesystems": [{"device": "/dev/vda9", "format": "xfs"}]}"#
    ));
}

/// A whole disk that becomes a filesystem loses its partitions, on the word of that entry; one whose table is wiped, on
/// that of the flag.
#[test]
fn whose_word_it_is() {
    let devices = devices();
    let view = FakeView::new().with_devices(devices.clone());
    let asks = |storage: &str| -> Vec<(u32, Option<String>)> {
        let tables = disks(&planned(storage, &devices), view.devices());
        let parts = tables.iter().flat_map(|table| &table.before);
        parts
            .map(|part| (part.row.number, part.asks.as_ref().map(ToString::to_string)))
            .collect()
    };
    let all = |place: &str| {
        vec![
            (1, Some(place.to_owned())),
            (2, Some(place.to_owned())),
            (9, Some(place.to_owned())),
        ]
    };
    assert_eq!(
        asks(r#"{"filesystems": [{"device": "/dev/vda", "format": "ext4", "wipeFilesystem": true}]}"#),
        all("storage.filesystems[0].wipeFilesystem")
    );
    assert_eq!(
        asks(r#"{"disks": [{"device": "/dev/vda", "wipeTable": true}]}"#),
        all("storage.disks[0].wipeTable")
    );
}

/// Whoever may not read a disk sees its steps all the same, and one that is not there is no error.
#[test]
fn what_cannot_be_seen_is_left_out() {
    let devices = devices();
    let plans = planned(
        r#"{"filesystems": [{"device": "/dev/none", "format": "ext4"}]}"#,
        &devices,
    );
    assert_eq!(disks(&plans, &devices), []);
    let plans = planned(
        r#"{"filesystems": [{"device": "/dev/vdb", "format": "ext4"}]}"#,
        &devices,
    );
    assert_eq!(disks(&plans, &FakeDevices::new()), []);
    let denied = devices.deny("/dev/vdb");
    assert_eq!(disks(&plans, &denied), []);
    let plans = planned(
        r#"{"disks": [{"device": "/dev/vdb"}, {"device": "/dev/none"}]}"#,
        &denied,
    );
    let changes: Vec<&str> = plans[0].steps.iter().map(|step| step.change.word()).collect();
    assert_eq!(changes, ["unknown", "unknown"]);
    assert_eq!(disks(&plans, &denied), []);
}
