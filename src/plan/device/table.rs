//! Writing a partition table (spec/disks.md 2).

use std::collections::BTreeMap;

use serde::Serialize;

use super::super::Change;
use crate::gpt::{Table, Write};
use crate::report::Pointer;
use crate::sys::Invocation;
use crate::view::{Device, DeviceOverlay, Devices, PartitionOf, ViewError, names};

/// A partition as a plan shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// Number
    pub number: u32,
    /// Label
    pub label: String,
    /// Where it begins, in bytes
    pub start: u64,
    /// Its size in bytes
    pub size: u64,
    /// Type GUID
    pub type_guid: String,
    /// Its own GUID
    pub guid: String,
}

/// The partitions of a table.
pub fn rows(table: Option<&Table>) -> Vec<Row> {
    let rows = table.into_iter().flat_map(|table| {
        let sector = u64::from(table.geometry.sector_size);
        table.entries.iter().map(move |(number, entry)| Row {
            number: *number,
            label: entry.name.text(),
            start: entry.first.saturating_mul(sector),
            size: entry.size().saturating_mul(sector),
            type_guid: entry.type_guid.to_string(),
            guid: entry.guid.to_string(),
        })
    });
    rows.collect()
}

/// Writes the table of a disk, so that one whole copy of the old or the new one is there at every instant, and tells the
/// kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WriteTable {
    /// The disk as the config names it
    pub device: String,
    /// Its node
    pub node: String,
    /// Whether what is there is wiped first
    pub wipe: bool,
    /// Partitions before
    pub before: Vec<Row>,
    /// Partitions afterwards
    pub after: Vec<Row>,
    /// The partitions that go, by number, each with the place in the config that asks for it
    #[serde(skip)]
    pub lost: BTreeMap<u32, Pointer>,
    /// The table afterwards; `None`: there is none
    #[serde(skip)]
    pub table: Option<Table>,
    /// What is noted when all is done, so that a later run of this boot knows the table for its own
    #[serde(skip)]
    pub note: String,
    /// What is written, in order, each made durable before the next
    #[serde(skip)]
    pub writes: Vec<Write>,
}

impl WriteTable {
    /// It is written by this program itself.
    pub fn commands(&self) -> Vec<Invocation> {
        Vec::new()
    }

    /// The partitions that change, in words.
    pub fn details(&self) -> String {
        let mut parts = Vec::new();
        if self.wipe {
            parts.push("wiped".to_owned());
        }
        let named = |row: &Row| match row.label.as_str() {
            "" => format!("{}", row.number),
            label => format!("{} {label:?}", row.number),
        };
        let amount = |row: &Row| crate::view::size_text(row.size);
        for row in &self.after {
            match self.before.iter().find(|old| old.number == row.number) {
                Some(old) if old == row && !self.wipe => {}
                Some(old) if old.guid == row.guid && !self.wipe => {
                    parts.push(format!("{} {} -> {}", named(row), amount(old), amount(row)));
                }
                _ => parts.push(format!("new {} of {}", named(row), amount(row))),
            }
        }
        for row in &self.before {
            if !self.after.iter().any(|new| new.number == row.number) {
                parts.push(format!("without {} of {}", named(row), amount(row)));
            }
        }
        parts.join(", ")
    }

    pub(super) fn predict(&self, overlay: &mut DeviceOverlay<'_>) -> Result<(), ViewError> {
        let Some(disk) = overlay.device(&self.node)? else {
            return Ok(());
        };
        let known = overlay.partitions(&self.node)?;
        let is_at = |device: &Device, row: &Row| {
            device
                .partition
                .as_ref()
                .is_some_and(|part| part.number == row.number && part.start == row.start)
        };
        for device in &known {
            if !self.after.iter().any(|row| is_at(device, row)) {
                overlay.remove_device(&device.node);
            }
        }
        // The kernel gives the node of a device-mapper disk's partition some number.
        let named = match &disk.mapper {
            Some(name) => format!("/dev/mapper/{name}"),
            None => self.node.clone(),
        };
        for row in &self.after {
            let mut node = names::of_partition(&named, row.number);
            if disk.mapper.is_some() {
                // udev's rule for multipath has kpartx name it like this.
                overlay.put_path(&format!("{named}-part{}", row.number), Some(&node));
            }
            match known.iter().find(|device| is_at(device, row)) {
                // What is at the same place keeps what it holds: only the table changes.
                Some(device) => {
                    overlay.resize(device, row.size)?;
                    node.clone_from(&device.node);
                }
                None => overlay.put_device(Device {
                    node: node.clone(),
                    size: Some(row.size),
                    sector_size: disk.sector_size,
                    partition: Some(PartitionOf {
                        disk: self.node.clone(),
                        number: row.number,
                        start: row.start,
                    }),
                    mapper: None,
                    uses: Vec::new(),
                }),
            }
            let links = [
                names::by_partlabel(&row.label),
                names::by_partuuid(&row.guid.to_lowercase()),
            ];
            for link in links.into_iter().flatten() {
                overlay.put_path(&link, Some(&node));
            }
        }
        Ok(())
    }

    pub(super) fn check(
        &self,
        change: &Change,
        devices: &dyn Devices,
    ) -> Result<Result<(), String>, ViewError> {
        let Some(disk) = devices.device(&self.node)? else {
            return Ok(Err(format!("{} is no block device", self.node)));
        };
        let lost = |row: &&Row| {
            !self
                .after
                .iter()
                .any(|new| new.guid == row.guid && new.start == row.start)
        };
        if !change.destroys() && self.before.iter().any(|row| lost(&row)) {
            return Ok(Err(format!(
                "partitions of {} go, which the step does not say",
                self.node
            )));
        }
        for part in devices.partitions(&disk.node)? {
            let Some(of) = &part.partition else { continue };
            let same = self
                .after
                .iter()
                .any(|row| row.number == of.number && row.start == of.start && Some(row.size) == part.size);
            if let (Some(by), false) = (part.uses.first(), same) {
                return Ok(Err(format!("{} is {by}, and would change", part.node)));
            }
        }
        Ok(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::fake_devices::FakeDevices;

    fn row(number: u32, start: u64, size: u64) -> Row {
        Row {
            number,
            label: format!("p{number}"),
            start: start << 20,
            size: size << 20,
            type_guid: String::new(),
            guid: format!("{number}"),
        }
    }

    /// A plan that took a kept partition for a blank one would not say what is lost with it.
    #[test]
    fn what_stays_at_its_place_keeps_what_it_holds() {
        let base = FakeDevices::new()
            .disk("/dev/vda", 1 << 30)
            .partition("/dev/vda", 1, 1 << 20, 8 << 20)
            .partition("/dev/vda", 2, 9 << 20, 8 << 20)
            .partition("/dev/vda", 3, 17 << 20, 8 << 20)
            .partition("/dev/vda", 4, 25 << 20, 8 << 20)
            .signature("/dev/vda1", "ext4", "u1", "ROOT")
            .signature("/dev/vda2", "xfs", "u2", "data")
            .signature("/dev/vda3", "vfat", "u3", "")
            .signature("/dev/vda4", "swap", "u4", "");
        let mut overlay = DeviceOverlay::new(&base);
        let action = WriteTable {
            device: "/dev/vda".to_owned(),
            node: "/dev/vda".to_owned(),
            wipe: false,
            before: Vec::new(),
            // The first stays, the second shrinks, the third moves, the fourth goes, the fifth is new.
            after: vec![row(1, 1, 8), row(2, 9, 4), row(3, 40, 8), row(5, 60, 8)],
            lost: BTreeMap::new(),
            table: None,
            note: String::new(),
            writes: Vec::new(),
        };
        action.predict(&mut overlay).unwrap();
        let holds = |node: &str| overlay.signature(node).unwrap().kind;
        assert_eq!(
            ["/dev/vda1", "/dev/vda2", "/dev/vda3", "/dev/vda5"].map(holds),
            ["ext4", "xfs", "", ""]
        );
        let size = |node: &str| overlay.device(node).unwrap().and_then(|device| device.size);
        assert_eq!(size("/dev/vda2"), Some(4 << 20));
        assert_eq!(size("/dev/vda4"), None);
        assert_eq!(size("/dev/disk/by-partlabel/p5"), Some(8 << 20));
        assert_eq!(overlay.partitions("/dev/vda").unwrap().len(), 4);
    }
}
