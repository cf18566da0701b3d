//! Devices made by hand, for tests of planners.

use std::collections::BTreeMap;

use crate::gpt::{BootSector, Found, Geometry, Scan};

use super::{Device, Devices, Member, Mounted, PartitionOf, Signature, Use, ViewError, Volume};

/// In-memory devices.
#[derive(Clone, Debug, Default)]
pub struct FakeDevices {
    links: BTreeMap<String, String>,
    devices: BTreeMap<String, Device>,
    signatures: BTreeMap<String, Signature>,
    volumes: BTreeMap<String, Volume>,
    members: BTreeMap<String, Member>,
    mounts: Vec<Mounted>,
    denied: Vec<String>,
    scans: BTreeMap<String, Scan>,
}

impl FakeDevices {
    /// Nothing is there.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a device of so many bytes.
    #[must_use]
    pub fn disk(mut self, node: &str, size: u64) -> Self {
        let device = Device {
            node: node.to_owned(),
            size: Some(size),
            sector_size: 512,
            partition: None,
            mapper: None,
            uses: Vec::new(),
        };
        self.devices.insert(node.to_owned(), device);
        self
    }

    /// Adds a partition, start and size in bytes.
    #[must_use]
    pub fn partition(mut self, disk: &str, number: u32, start: u64, size: u64) -> Self {
        let node = super::names::of_partition(disk, number);
        self = self.disk(&node, size);
        if let Some(device) = self.devices.get_mut(&node) {
            device.partition = Some(PartitionOf {
                disk: disk.to_owned(),
                number,
                start,
            });
        }
        self
    }

    /// Adds a link to a node.
    #[must_use]
    pub fn link(mut self, path: &str, node: &str) -> Self {
        self.links.insert(path.to_owned(), node.to_owned());
        self
    }

    /// Puts something on a device: type, UUID, label.
    #[must_use]
    pub fn signature(mut self, node: &str, kind: &str, uuid: &str, label: &str) -> Self {
        let signature = Signature {
            kind: kind.to_owned(),
            uuid: uuid.to_owned(),
            label: label.to_owned(),
            ..Signature::default()
        };
        self.signatures.insert(node.to_owned(), signature);
        self
    }

    /// Puts a partition table on a device: `gpt`, `dos`.
    #[must_use]
    pub fn table(mut self, node: &str, table: &str) -> Self {
        let signature = self.signatures.entry(node.to_owned()).or_default();
        table.clone_into(&mut signature.table);
        self
    }

    /// What is on this device may not be read.
    #[must_use]
    pub fn deny(mut self, node: &str) -> Self {
        self.denied.push(node.to_owned());
        self
    }

    /// Puts a LUKS header on a device.
    #[must_use]
    pub fn volume(mut self, node: &str, volume: Volume) -> Self {
        self = self.signature(node, "crypto_LUKS", &volume.uuid, &volume.label);
        self.volumes.insert(node.to_owned(), volume);
        self
    }

    /// Puts a RAID superblock on a device.
    #[must_use]
    pub fn member(mut self, node: &str, member: Member) -> Self {
        self = self.signature(node, "linux_raid_member", &member.array, &member.name);
        self.members.insert(node.to_owned(), member);
        self
    }

    /// Puts a table on a disk, and its partitions beside it.
    #[must_use]
    pub fn partitioned(mut self, disk: &str, scan: Scan) -> Self {
        for row in crate::plan::device::rows(scan.table()) {
            self = self.partition(disk, row.number, row.start, row.size);
        }
        self.scans.insert(disk.to_owned(), scan);
        self
    }

    /// Uses a device.
    #[must_use]
    pub fn used(mut self, node: &str, by: Use) -> Self {
        if let Some(device) = self.devices.get_mut(node) {
            device.uses.push(by);
        }
        self
    }

    /// Mounts a source at a target; a device is used by that.
    #[must_use]
    pub fn mount(mut self, source: &str, target: &str, kind: &str) -> Self {
        self.mounts.push(Mounted {
            source: source.to_owned(),
            target: target.to_owned(),
            kind: kind.to_owned(),
            options: vec!["rw".to_owned()],
            root: "/".to_owned(),
        });
        self.used(source, Use::Mounted(target.to_owned()))
    }
}

impl FakeDevices {
    fn check_denied(&self, node: &str) -> Result<(), ViewError> {
        if self.denied.iter().all(|denied| denied != node) {
            return Ok(());
        }
        Err(ViewError::Io {
            operation: "read",
            path: node.to_owned(),
            source: std::io::ErrorKind::PermissionDenied.into(),
        })
    }
}

impl Devices for FakeDevices {
    fn device(&self, path: &str) -> Result<Option<Device>, ViewError> {
        let node = self.links.get(path).map_or(path, String::as_str);
        Ok(self.devices.get(node).cloned())
    }

    fn partitions(&self, node: &str) -> Result<Vec<Device>, ViewError> {
        let of = |device: &&Device| device.partition.as_ref().is_some_and(|part| part.disk == node);
        let mut found: Vec<Device> = self.devices.values().filter(of).cloned().collect();
        found.sort_by_key(|device| device.partition.as_ref().map(|part| part.number));
        Ok(found)
    }

    fn signature(&self, node: &str) -> Result<Signature, ViewError> {
        self.check_denied(node)?;
        Ok(self.signatures.get(node).cloned().unwrap_or_default())
    }

    fn volume(&self, node: &str) -> Result<Option<Volume>, ViewError> {
        Ok(self.volumes.get(node).cloned())
    }

    fn member(&self, node: &str) -> Result<Option<Member>, ViewError> {
        Ok(self.members.get(node).cloned())
    }

    fn scan(&self, node: &str) -> Result<Scan, ViewError> {
        self.check_denied(node)?;
        Ok(self.scans.get(node).cloned().unwrap_or_else(|| Scan {
            geometry: Geometry {
                sector_size: 512,
                sectors: self
                    .devices
                    .get(node)
                    .and_then(|disk| disk.size)
                    .unwrap_or_default()
                    / 512,
            },
            boot: BootSector::blank(512),
            found: Found::Blank,
        }))
    }

    fn mounts(&self) -> Result<Vec<Mounted>, ViewError> {
        Ok(self.mounts.clone())
    }
}
