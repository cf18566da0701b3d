//! What plans make of each disk: its partitions before and after, what they hold, and what goes on whose word.

use std::collections::BTreeMap;

use serde::Serialize;

use super::super::device::{ArrayAction, DeviceAction, Row, VolumeAction, WriteTable, rows};
use super::super::{Action, Change, Plan, Step};
use crate::gpt::type_name;
use crate::report::Pointer;
use crate::view::Devices;

/// A disk before and after some plans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskTable {
    /// The disk as the config names it; its node if only what is on it is named
    pub device: String,
    /// Its node
    pub node: String,
    /// In bytes, if known
    pub size: Option<u64>,
    /// What is there; number 0 is the disk itself, if it holds something
    pub before: Vec<Part>,
    /// What will be there
    pub after: Vec<Part>,
}

/// A partition, before or after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Part {
    /// What the table says
    #[serde(flatten)]
    pub row: Row,
    /// The type in words, if it is a usual one
    #[serde(rename = "type")]
    pub kind: Option<&'static str>,
    /// What stands on it; `None`: nothing that is known
    pub holds: Option<Held>,
    /// What becomes of it, and what has become of it
    pub change: Fate,
    /// Before: the place in the config that asks for it to go
    #[serde(skip)]
    pub asks: Option<Pointer>,
}

/// What stands on a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Held {
    /// `ext4`, `swap`, `crypto_LUKS`, `linux_raid_member`
    #[serde(rename = "type")]
    pub kind: String,
    /// Its label; empty: none, or not known
    pub label: String,
}

/// What a plan makes of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Fate {
    /// It stays, with what is on it
    Keep,
    /// It stays, at another size
    Modify,
    /// After: it was not there, or nothing was on it
    Create,
    /// After: it takes the place of something
    Replace,
    /// Before: it goes, or what is on it
    Lost,
}

/// The disks that some plans are about, in the order of their steps. `devices` is the machine as it is before them.
/// What cannot be read is left out: whoever may not read a disk sees its steps all the same.
pub fn disks(plans: &[Plan], devices: &dyn Devices) -> Vec<DiskTable> {
    let mut tables: Vec<DiskTable> = Vec::new();
    let steps = || plans.iter().flat_map(|plan| &plan.steps);
    for step in steps() {
        let Action::Device(action) = &step.action else {
            continue;
        };
        let nodes: Vec<String> = match action {
            _ if matches!(step.change, Change::Unknown { .. }) => Vec::new(),
            DeviceAction::WriteTable(table) => vec![table.node.clone()],
            _ if step.change.keeps() => Vec::new(),
            // Partitions of disks whose tables stay, or whole disks.
            _ => made(action)
                .filter_map(|node| devices.device(node).ok().flatten())
                .map(|device| device.partition.map_or(device.node, |partition| partition.disk))
                .collect(),
        };
        for node in nodes {
            if tables.iter().all(|table| table.node != node) {
                tables.extend(table(node, steps(), devices));
            }
        }
    }
    tables
}

/// The nodes on which an action makes something.
fn made(action: &DeviceAction) -> impl Iterator<Item = &str> {
    let nodes: &[String] = match action {
        DeviceAction::MakeFilesystem(action) => std::slice::from_ref(&action.node),
        DeviceAction::Volume(VolumeAction::FormatVolume(action)) => std::slice::from_ref(&action.volume.node),
        DeviceAction::Array(ArrayAction::CreateArray(action)) => &action.nodes,
        DeviceAction::WriteTable(_)
        | DeviceAction::Mount(_)
        | DeviceAction::Unmount(_)
        | DeviceAction::ChangeKernelArguments(_)
        | DeviceAction::Array(ArrayAction::AssembleArray(_))
        | DeviceAction::Volume(_) => &[],
    };
    nodes.iter().map(String::as_str)
}

/// What an action leaves on its node; `None`: nothing.
fn left(action: &DeviceAction) -> Option<Held> {
    let held = |kind: &str, label: &str| Held {
        kind: kind.to_owned(),
        label: label.to_owned(),
    };
    match action {
        DeviceAction::MakeFilesystem(action) => Some(action.format.signature())
            .filter(|kind| !kind.is_empty())
            .map(|kind| held(kind, action.label.as_deref().unwrap_or_default())),
        DeviceAction::Volume(VolumeAction::FormatVolume(action)) => {
            Some(held("crypto_LUKS", action.label.as_deref().unwrap_or_default()))
        }
        DeviceAction::Array(ArrayAction::CreateArray(action)) => Some(held(
            "linux_raid_member",
            super::super::device::array_name(&action.name),
        )),
        _ => None,
    }
}

/// The places in the config that ask for what a step destroys: the flag, where there is one.
pub(super) fn asks(step: &Step) -> Vec<Pointer> {
    let cause = &step.cause;
    match &step.action {
        Action::Device(DeviceAction::WriteTable(table)) if table.wipe => vec![cause.key("wipeTable")],
        Action::Device(DeviceAction::WriteTable(table)) if !table.lost.is_empty() => {
            table.lost.values().cloned().collect()
        }
        Action::Device(DeviceAction::MakeFilesystem(_)) => vec![cause.key("wipeFilesystem")],
        Action::Device(DeviceAction::Volume(VolumeAction::FormatVolume(action))) if action.wipe => {
            vec![cause.key("wipeVolume")]
        }
        _ => vec![cause.clone()],
    }
}

fn table<'p>(
    node: String,
    steps: impl Iterator<Item = &'p Step> + Clone,
    devices: &dyn Devices,
) -> Option<DiskTable> {
    let action = |step: &'p Step| match &step.action {
        Action::Device(action) => Some((step, action)),
        _ => None,
    };
    let steps = steps.filter_map(action);
    let disk = devices.device(&node).ok().flatten()?;
    let written = steps.clone().find_map(|(_, action)| match action {
        DeviceAction::WriteTable(table) if table.node == node => Some(&**table),
        _ => None,
    });
    let (before, after) = if let Some(WriteTable { before, after, .. }) = written {
        (before.clone(), after.clone())
    } else {
        let rows = rows(devices.scan(&node).ok()?.table());
        (rows.clone(), rows)
    };
    let known = devices.partitions(&node).ok()?;
    let node_of = |number: u32| {
        let known = known.iter().find(|device| {
            let partition = device.partition.as_ref();
            partition.is_some_and(|partition| partition.number == number)
        });
        match known {
            _ if number == 0 => node.clone(),
            Some(device) => device.node.clone(),
            None => crate::view::names::of_partition(&node, number),
        }
    };
    let holds = |node: &str| {
        let found = devices.signature(node).ok().filter(|found| !found.is_blank())?;
        Some(Held {
            kind: found.kind,
            label: found.label,
        })
    };
    let held: BTreeMap<u32, Held> = std::iter::once(0)
        .chain(before.iter().map(|row| row.number))
        .filter_map(|number| Some((number, holds(&node_of(number))?)))
        .collect();
    // The step that makes something on a partition or on the disk itself.
    let maker = |number: u32| {
        let node = node_of(number);
        steps
            .clone()
            .filter(|(step, action)| !step.change.keeps() && made(action).any(|made| made == node))
            .last()
    };
    let whole = maker(0);
    let itself = Row {
        number: 0,
        label: String::new(),
        start: 0,
        size: disk.size.unwrap_or_default(),
        type_guid: String::new(),
        guid: String::new(),
    };
    let before: Vec<Part> = held
        .contains_key(&0)
        .then(|| itself.clone())
        .into_iter()
        .chain(before)
        .map(|row| {
            let holds = held.get(&row.number).cloned();
            let over = maker(row.number)
                .filter(|_| holds.is_some())
                .or(whole.filter(|_| row.number > 0));
            let asked = written
                .and_then(|table| table.lost.get(&row.number).cloned())
                .or_else(|| {
                    let (step, _) = over.filter(|(step, _)| step.change.destroys())?;
                    asks(step).into_iter().next()
                });
            Part {
                kind: name_of(&row),
                holds,
                change: if asked.is_some() { Fate::Lost } else { Fate::Keep },
                asks: asked,
                row,
            }
        })
        .collect();
    let after = match whole {
        Some(_) => vec![itself],
        None => held
            .contains_key(&0)
            .then_some(itself)
            .into_iter()
            .chain(after)
            .collect(),
    };
    let after = after
        .into_iter()
        .map(|row| {
            let old = before.iter().find(|old| old.row.number == row.number);
            let there = old.filter(|old| old.row.start == row.start);
            let making = maker(row.number);
            let change = match (old, making) {
                (Some(old), _) if old.change == Fate::Lost => Fate::Replace,
                (None, _) | (Some(_), Some(_)) => Fate::Create,
                (Some(old), None) if old.row == row => Fate::Keep,
                (Some(_), None) => Fate::Modify,
            };
            Part {
                kind: name_of(&row),
                holds: match making {
                    Some((_, action)) => left(action),
                    None => there.and_then(|old| old.holds.clone()),
                },
                change,
                asks: None,
                row,
            }
        })
        .collect();
    Some(DiskTable {
        device: written.map_or_else(|| node.clone(), |table| table.device.clone()),
        node,
        size: disk.size,
        before,
        after,
    })
}

fn name_of(row: &Row) -> Option<&'static str> {
    row.type_guid.parse().ok().and_then(type_name)
}
