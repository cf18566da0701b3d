//! Predicted devices, signatures and mounts, laid over those that are there.

use std::collections::{BTreeMap, BTreeSet};

use crate::gpt::Scan;

use super::{Device, Devices, Member, Mounted, Signature, Use, ViewError, Volume};

/// Real answers below, predicted effects above.
pub struct DeviceOverlay<'a> {
    base: &'a dyn Devices,
    /// Node by path, for links and nodes that come with a step; `None` = gone
    paths: BTreeMap<String, Option<String>>,
    /// By node
    devices: BTreeMap<String, Option<Device>>,
    signatures: BTreeMap<String, Signature>,
    volumes: BTreeMap<String, Option<Volume>>,
    members: BTreeMap<String, Option<Member>>,
    /// Nodes of devices that come with a step, and hold what nobody has looked at
    unseen: BTreeSet<String>,
    /// By node; what was predicted over a device that stays as it is otherwise
    uses: BTreeMap<String, Vec<Use>>,
    mounted: Vec<Mounted>,
    unmounted: Vec<String>,
}

impl std::fmt::Debug for DeviceOverlay<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeviceOverlay").finish_non_exhaustive()
    }
}

impl<'a> DeviceOverlay<'a> {
    /// An overlay that predicts nothing yet.
    pub fn new(base: &'a dyn Devices) -> Self {
        Self {
            base,
            paths: BTreeMap::new(),
            devices: BTreeMap::new(),
            signatures: BTreeMap::new(),
            volumes: BTreeMap::new(),
            members: BTreeMap::new(),
            unseen: BTreeSet::new(),
            uses: BTreeMap::new(),
            mounted: Vec::new(),
            unmounted: Vec::new(),
        }
    }

    /// Predicts where a path leads: `/dev/disk/by-label/data` to `/dev/vda3`. `None`: nowhere.
    pub fn put_path(&mut self, path: &str, node: Option<&str>) {
        self.paths.insert(path.to_owned(), node.map(str::to_owned));
    }

    /// Predicts what uses a device.
    pub fn put_uses(&mut self, node: &str, uses: Vec<Use>) {
        self.uses.insert(node.to_owned(), uses);
    }

    /// Predicts a device; its node is a path to it, too.
    pub fn put_device(&mut self, device: Device) {
        self.unseen.remove(&device.node);
        self.uses.remove(&device.node);
        self.put_path(&device.node, Some(&device.node));
        self.devices.insert(device.node.clone(), Some(device));
    }

    /// Predicts a device that holds something already, which only a real run sees.
    pub fn put_unseen(&mut self, device: Device) {
        let node = device.node.clone();
        self.put_device(device);
        self.unseen.insert(node);
    }

    /// Whether there is a device of which only a real run sees what it holds.
    pub fn has_unseen(&self) -> bool {
        !self.unseen.is_empty()
    }

    fn check_seen(&self, node: &str) -> Result<(), ViewError> {
        if self.unseen.contains(node) {
            return Err(ViewError::Unseen {
                device: node.to_owned(),
            });
        }
        Ok(())
    }

    /// Predicts another size of a device; what it holds stays.
    pub fn resize(&mut self, device: &Device, size: u64) -> Result<(), ViewError> {
        if device.size == Some(size) {
            return Ok(());
        }
        let node = device.node.as_str();
        let (signature, volume, member) = (self.signature(node)?, self.volume(node)?, self.member(node)?);
        self.put_device(Device {
            size: Some(size),
            ..device.clone()
        });
        self.put_signature(node, signature);
        self.volumes.insert(node.to_owned(), volume);
        self.members.insert(node.to_owned(), member);
        Ok(())
    }

    /// Predicts that a device is gone.
    pub fn remove_device(&mut self, node: &str) {
        self.unseen.remove(node);
        self.put_path(node, None);
        self.devices.insert(node.to_owned(), None);
    }

    /// Predicts what is on a device. Headers of LUKS and RAID that were there are gone.
    pub fn put_signature(&mut self, node: &str, signature: Signature) {
        self.unseen.remove(node);
        self.signatures.insert(node.to_owned(), signature);
        self.volumes.insert(node.to_owned(), None);
        self.members.insert(node.to_owned(), None);
    }

    /// Predicts a LUKS header; its signature comes with it.
    pub fn put_volume(&mut self, node: &str, volume: Volume) {
        let signature = Signature {
            kind: "crypto_LUKS".to_owned(),
            uuid: volume.uuid.clone(),
            label: volume.label.clone(),
            ..Signature::default()
        };
        self.put_signature(node, signature);
        self.volumes.insert(node.to_owned(), Some(volume));
    }

    /// Predicts a RAID superblock; its signature comes with it.
    pub fn put_member(&mut self, node: &str, member: Member) {
        let signature = Signature {
            kind: "linux_raid_member".to_owned(),
            uuid: member.array.clone(),
            label: member.name.clone(),
            ..Signature::default()
        };
        self.put_signature(node, signature);
        self.members.insert(node.to_owned(), Some(member));
    }

    /// Whether what is on a device is a prediction.
    pub fn is_predicted(&self, node: &str) -> bool {
        !self.unseen.contains(node) && (self.signatures.contains_key(node) || self.devices.contains_key(node))
    }

    /// Predicts a mount.
    pub fn put_mount(&mut self, mounted: Mounted) {
        self.mounted.push(mounted);
    }

    /// Predicts that the last mount at a place is gone.
    pub fn remove_mount(&mut self, target: &str) {
        match self.mounted.iter().rposition(|mounted| mounted.target == target) {
            Some(at) => drop(self.mounted.remove(at)),
            None => self.unmounted.push(target.to_owned()),
        }
    }

    fn at(&self, node: &str) -> Result<Option<Device>, ViewError> {
        let found = match self.devices.get(node) {
            Some(predicted) => predicted.clone(),
            None => self.base.device(node)?,
        };
        Ok(found.map(|device| self.as_used(device)))
    }

    fn as_used(&self, mut device: Device) -> Device {
        if let Some(uses) = self.uses.get(&device.node) {
            device.uses.clone_from(uses);
        }
        device
    }
}

impl Devices for DeviceOverlay<'_> {
    fn device(&self, path: &str) -> Result<Option<Device>, ViewError> {
        match self.paths.get(path) {
            Some(None) => Ok(None),
            Some(Some(node)) => self.at(node),
            None => match self.base.device(path)? {
                Some(found) => self.at(&found.node),
                None => Ok(None),
            },
        }
    }

    fn partitions(&self, node: &str) -> Result<Vec<Device>, ViewError> {
        let is_of = |device: &Device| {
            device
                .partition
                .as_ref()
                .is_some_and(|partition| partition.disk == node)
        };
        let mut found: Vec<Device> = self
            .base
            .partitions(node)?
            .into_iter()
            .filter(|device| !self.devices.contains_key(&device.node))
            .chain(
                self.devices
                    .values()
                    .flatten()
                    .filter(|device| is_of(device))
                    .cloned(),
            )
            .map(|device| self.as_used(device))
            .collect();
        found.sort_by_key(|device| device.partition.as_ref().map(|partition| partition.number));
        Ok(found)
    }

    fn signature(&self, node: &str) -> Result<Signature, ViewError> {
        self.check_seen(node)?;
        match self.signatures.get(node) {
            Some(predicted) => Ok(predicted.clone()),
            // What comes with a step is blank; what is not was said to be unseen.
            None if self.devices.contains_key(node) => Ok(Signature::default()),
            None => self.base.signature(node),
        }
    }

    fn volume(&self, node: &str) -> Result<Option<Volume>, ViewError> {
        self.check_seen(node)?;
        match self.volumes.get(node) {
            Some(predicted) => Ok(predicted.clone()),
            None if self.devices.contains_key(node) => Ok(None),
            None => self.base.volume(node),
        }
    }

    fn member(&self, node: &str) -> Result<Option<Member>, ViewError> {
        self.check_seen(node)?;
        match self.members.get(node) {
            Some(predicted) => Ok(predicted.clone()),
            None if self.devices.contains_key(node) => Ok(None),
            None => self.base.member(node),
        }
    }

    /// A table that a step writes is not asked for again: each disk has one step.
    fn scan(&self, node: &str) -> Result<Scan, ViewError> {
        self.base.scan(node)
    }

    fn noted_table(&self, node: &str) -> Result<Option<String>, ViewError> {
        self.base.noted_table(node)
    }

    fn mounts(&self) -> Result<Vec<Mounted>, ViewError> {
        let mut mounts = self.base.mounts()?;
        for target in &self.unmounted {
            if let Some(at) = mounts.iter().rposition(|mounted| mounted.target == *target) {
                mounts.remove(at);
            }
        }
        mounts.extend(self.mounted.iter().cloned());
        Ok(mounts)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake_devices::FakeDevices;
    use super::*;

    #[test]
    fn predictions_stand_over_what_is_there() {
        let base = FakeDevices::new()
            .disk("/dev/vda", 1 << 30)
            .partition("/dev/vda", 1, 1 << 20, 1 << 20)
            .partition("/dev/vda", 2, 2 << 20, 1 << 20)
            .link("/dev/disk/by-label/old", "/dev/vda2")
            .signature("/dev/vda2", "ext4", "u", "old");
        let mut overlay = DeviceOverlay::new(&base);
        assert_eq!(overlay.signature("/dev/vda2").unwrap().kind, "ext4");
        let made = |kind: &str| Signature {
            kind: kind.to_owned(),
            ..Signature::default()
        };
        overlay.put_signature("/dev/vda2", made("xfs"));
        assert_eq!(overlay.signature("/dev/vda2").unwrap().kind, "xfs");
        overlay.remove_device("/dev/vda1");
        overlay.put_device(Device {
            node: "/dev/vda3".to_owned(),
            ..base.device("/dev/vda2").unwrap().unwrap()
        });
        overlay.put_path("/dev/disk/by-partlabel/new", Some("/dev/vda3"));
        assert_eq!(overlay.device("/dev/vda1").unwrap(), None);
        let new = overlay.device("/dev/disk/by-partlabel/new").unwrap().unwrap();
        assert_eq!(new.node, "/dev/vda3");
        assert!(overlay.signature("/dev/vda3").unwrap().is_blank());
        assert_eq!(
            overlay.device("/dev/disk/by-label/old").unwrap().unwrap().node,
            "/dev/vda2"
        );
        let nodes: Vec<String> = overlay
            .partitions("/dev/vda")
            .unwrap()
            .into_iter()
            .map(|d| d.node)
            .collect();
        assert_eq!(nodes, ["/dev/vda2", "/dev/vda3"]);
    }

    #[test]
    fn uses_change_and_what_is_on_it_stays() {
        let base = FakeDevices::new()
            .disk("/dev/vda", 1 << 30)
            .partition("/dev/vda", 1, 1 << 20, 1 << 20)
            .signature("/dev/vda1", "ext4", "u", "old");
        let mut overlay = DeviceOverlay::new(&base);
        let held = vec![Use::Held("dm-0".to_owned())];
        overlay.put_uses("/dev/vda1", held.clone());
        assert_eq!(overlay.device("/dev/vda1").unwrap().unwrap().uses, held);
        assert_eq!(overlay.partitions("/dev/vda").unwrap()[0].uses, held);
        assert_eq!(overlay.signature("/dev/vda1").unwrap().kind, "ext4");
        overlay.put_uses("/dev/vda1", Vec::new());
        assert_eq!(overlay.device("/dev/vda1").unwrap().unwrap().uses, []);
    }

    #[test]
    fn mounts_come_and_go() {
        let base = FakeDevices::new().mount("tmpfs", "/run", "tmpfs");
        let mut overlay = DeviceOverlay::new(&base);
        let mut mounted = base.mounts().unwrap().remove(0);
        mounted.target = "/sysroot/var".to_owned();
        overlay.put_mount(mounted);
        let targets = |overlay: &DeviceOverlay<'_>| -> Vec<String> {
            overlay
                .mounts()
                .unwrap()
                .into_iter()
                .map(|mounted| mounted.target)
                .collect()
        };
        assert_eq!(targets(&overlay), ["/run", "/sysroot/var"]);
        overlay.remove_mount("/sysroot/var");
        overlay.remove_mount("/run");
        assert_eq!(targets(&overlay), Vec::<String>::new());
    }
}
