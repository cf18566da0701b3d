//! Plans made by hand that must not be carried out, whatever planner they came from.

use super::*;
use crate::plan::check::{Violation, check};
use crate::plan::device::{
    ArrayAction, AssembleArray, CreateArray, Format, MakeFilesystem, Mount, Row, Unmount, WriteTable,
};
use crate::plan::{Action, Lost, Plan, Step};
use crate::report::Pointer;
use crate::stages::{Phase, Stage};
use crate::view::fake::FakeView;
use crate::view::fake_devices::FakeDevices;

/// A disk with a mounted partition, a free one and one with xfs; another disk, blank.
fn machine() -> FakeDevices {
    FakeDevices::new()
        .disk("/dev/vda", 1 << 30)
        .partition("/dev/vda", 1, 1 << 20, 8 << 20)
        .partition("/dev/vda", 2, 9 << 20, 8 << 20)
        .partition("/dev/vda", 3, 17 << 20, 8 << 20)
        .signature("/dev/vda1", "ext4", "u1", "ROOT")
        .signature("/dev/vda3", "xfs", "u3", "data")
        .mount("/dev/vda1", "/usr", "ext4")
        .disk("/dev/vdb", 1 << 30)
}

fn row(number: u32, start: u64) -> Row {
    Row {
        number,
        label: String::new(),
        start: start << 20,
        size: 8 << 20,
        type_guid: String::new(),
        guid: number.to_string(),
    }
}

fn table(wipe: bool, after: Vec<Row>) -> DeviceAction {
    DeviceAction::WriteTable(Box::new(WriteTable {
        device: "/dev/vda".to_owned(),
        node: "/dev/vda".to_owned(),
        wipe,
        before: vec![row(1, 1), row(2, 9), row(3, 17)],
        after,
        lost: std::collections::BTreeMap::new(),
        table: None,
        note: String::new(),
        writes: Vec::new(),
    }))
}

fn filesystem(node: &str) -> DeviceAction {
    DeviceAction::MakeFilesystem(MakeFilesystem {
        device: node.to_owned(),
        node: node.to_owned(),
        format: Format::Ext4,
        label: None,
        uuid: None,
        options: Vec::new(),
    })
}

fn array(name: &str, level: &str, nodes: &[&str]) -> DeviceAction {
    let nodes: Vec<String> = nodes.iter().map(|node| (*node).to_owned()).collect();
    DeviceAction::Array(ArrayAction::CreateArray(CreateArray {
        name: name.to_owned(),
        level: level.to_owned(),
        devices: nodes.clone(),
        nodes,
        spares: 0,
        options: Vec::new(),
    }))
}

fn mount(device: &str, kind: &str) -> DeviceAction {
    DeviceAction::Mount(Mount {
        device: device.to_owned(),
        target: "/sysroot/var".to_owned(),
        path: "/var".into(),
        kind: kind.to_owned(),
        options: Vec::new(),
        remount: false,
    })
}

fn problem(steps: Vec<(DeviceAction, Change)>, cause: &Pointer) -> Option<String> {
    let steps = steps.into_iter().map(|(action, change)| Step {
        action: Action::Device(action),
        change,
        cause: cause.clone(),
    });
    let plan = Plan {
        stage: Stage::Disks,
        phase: Phase::Partitions,
        steps: steps.collect(),
    };
    match check(&plan, &FakeView::new().with_devices(machine())) {
        Ok(()) => None,
        Err(Violation::Unsound { problem, .. }) => Some(problem),
        Err(other) => Some(other.to_string()),
    }
}

#[test]
fn plans_for_devices_that_must_not_be_carried_out() {
    let place = Pointer::root().key("storage");
    let replace = || Change::Replace {
        lost: Lost {
            what: "data".to_owned(),
            trivial: false,
        },
    };
    let modify = || Change::Modify { what: String::new() };
    let kept = vec![row(1, 1), row(2, 9), row(3, 17)];
    let assemble = DeviceAction::Array(ArrayAction::AssembleArray(AssembleArray {
        name: "data".to_owned(),
        nodes: vec!["/dev/vda2".to_owned()],
        stop: None,
    }));
    let unmount = DeviceAction::Unmount(Unmount {
        target: "/sysroot/srv".to_owned(),
    });
    // They are refused for what is wrong with them, not for anything.
    assert_eq!(
        problem(vec![(table(false, kept.clone()), modify())], &place),
        None
    );
    assert_eq!(problem(vec![(filesystem("/dev/vda3"), replace())], &place), None);
    assert_eq!(
        problem(vec![(filesystem("/dev/vda2"), Change::Create)], &place),
        None
    );
    for (action, change, expected) in [
        (table(true, Vec::new()), replace(), "/dev/vda1 is mounted at /usr"),
        (
            table(false, vec![row(2, 9), row(3, 17)]),
            replace(),
            "/dev/vda1 is mounted at /usr",
        ),
        (
            table(false, vec![row(1, 2), row(2, 10), row(3, 18)]),
            replace(),
            "/dev/vda1 is mounted at /usr",
        ),
        (
            table(false, vec![row(1, 1), row(3, 17)]),
            modify(),
            "does not say",
        ),
        (
            table(false, vec![row(1, 1), row(2, 9), row(3, 30)]),
            Change::Create,
            "does not say",
        ),
        (filesystem("/dev/vda1"), replace(), "/dev/vda1 is mounted at /usr"),
        (filesystem("/dev/vda"), replace(), "/dev/vda1 is mounted at /usr"),
        (filesystem("/dev/vda3"), Change::Create, "holds xfs"),
        (filesystem("/dev/nowhere"), Change::Create, "no block device"),
        (
            array("data", "raid1", &["/dev/vdb", "/dev/vdb"]),
            Change::Create,
            "twice",
        ),
        (
            array("data", "raid1", &["/dev/vdb", "/dev/vda1"]),
            replace(),
            "mounted at /usr",
        ),
        (
            array("data", "raid1", &["/dev/vdb", "/dev/vda3"]),
            Change::Create,
            "holds xfs",
        ),
        (
            array("--zero-superblock", "raid1", &["/dev/vdb"]),
            Change::Create,
            "for an option",
        ),
        (
            array("data", "--force", &["/dev/vdb"]),
            Change::Create,
            "for an option",
        ),
        (assemble, Change::Create, "no member"),
        (mount("--bind", "ext4"), Change::Create, "for an option"),
        (mount("/dev/vdb", ""), Change::Create, "for an option"),
        (unmount, modify(), "nothing is mounted"),
    ] {
        let found = problem(vec![(action, change)], &place).expect(expected);
        assert!(found.contains(expected), "{found:?} does not say {expected:?}");
    }
    // A step sees what those before it have done; what is destroyed has a place in the config.
    let gone = vec![
        (table(false, vec![row(1, 1), row(3, 17)]), replace()),
        (filesystem("/dev/vda2"), Change::Create),
    ];
    assert!(problem(gone, &place).expect("gone").contains("no block device"));
    let nobody = problem(vec![(filesystem("/dev/vda3"), replace())], &Pointer::root());
    assert!(nobody.expect("nobody").contains("no part of the config asks for"));
}
