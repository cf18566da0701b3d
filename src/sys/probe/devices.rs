//! Answers about block devices: remembered by the probe, replayed by its recording.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;

use serde::Serialize;

use super::Probe;
use super::recording::{Recording, missing};
use crate::view::{Device, Devices, Member, Mounted, Signature, ViewError, Volume};

/// What was answered about devices.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceAnswers {
    /// By path
    pub devices: BTreeMap<String, Option<Device>>,
    /// Partitions by disk
    pub partitions: BTreeMap<String, Vec<Device>>,
    /// What is on devices; `None`: this user may not read it
    pub signatures: BTreeMap<String, Option<Signature>>,
    /// LUKS headers
    pub volumes: BTreeMap<String, Option<Volume>>,
    /// RAID superblocks
    pub members: BTreeMap<String, Option<Member>>,
    /// All mounts
    pub mounts: Option<Vec<Mounted>>,
}

/// Looks an answer up, or asks and remembers. Errors are not remembered.
fn known_or<T: Clone>(
    known: &RefCell<Recording>,
    of: impl Fn(&mut DeviceAnswers) -> &mut BTreeMap<String, T>,
    key: &str,
    ask: impl FnOnce() -> Result<T, ViewError>,
) -> Result<T, ViewError> {
    if let Some(answer) = of(&mut known.borrow_mut().devices).get(key) {
        return Ok(answer.clone());
    }
    let answer = ask()?;
    of(&mut known.borrow_mut().devices).insert(key.to_owned(), answer.clone());
    Ok(answer)
}

fn denied(node: &str) -> ViewError {
    ViewError::Io {
        operation: "read",
        path: node.to_owned(),
        source: io::ErrorKind::PermissionDenied.into(),
    }
}

impl Devices for Probe<'_> {
    fn device(&self, path: &str) -> Result<Option<Device>, ViewError> {
        let ask = || self.devices.device(path);
        known_or(&self.known, |known| &mut known.devices, path, ask)
    }

    /// Not remembered: each disk is asked about once, and recordings need none.
    fn scan(&self, node: &str) -> Result<crate::gpt::Scan, ViewError> {
        self.devices.scan(node)
    }

    fn noted_table(&self, node: &str) -> Result<Option<String>, ViewError> {
        self.devices.noted_table(node)
    }

    fn partitions(&self, node: &str) -> Result<Vec<Device>, ViewError> {
        let ask = || self.devices.partitions(node);
        known_or(&self.known, |known| &mut known.partitions, node, ask)
    }

    fn signature(&self, node: &str) -> Result<Signature, ViewError> {
        let ask = || match self.devices.signature(node) {
            Ok(signature) => Ok(Some(signature)),
            Err(error) if error.is_denied() => Ok(None),
            Err(error) => Err(error),
        };
        known_or(&self.known, |known| &mut known.signatures, node, ask)?.ok_or_else(|| denied(node))
    }

    fn volume(&self, node: &str) -> Result<Option<Volume>, ViewError> {
        let ask = || self.devices.volume(node);
        known_or(&self.known, |known| &mut known.volumes, node, ask)
    }

    fn member(&self, node: &str) -> Result<Option<Member>, ViewError> {
        let ask = || self.devices.member(node);
        known_or(&self.known, |known| &mut known.members, node, ask)
    }

    fn mounts(&self) -> Result<Vec<Mounted>, ViewError> {
        if let Some(mounts) = &self.known.borrow().devices.mounts {
            return Ok(mounts.clone());
        }
        let mounts = self.devices.mounts()?;
        self.known.borrow_mut().devices.mounts = Some(mounts.clone());
        Ok(mounts)
    }
}

/// What was not asked is an error, as with the rest of a recording.
impl Devices for DeviceAnswers {
    fn device(&self, path: &str) -> Result<Option<Device>, ViewError> {
        let found = self.devices.get(path).cloned();
        found.ok_or_else(|| missing("look at", &path))
    }

    fn partitions(&self, node: &str) -> Result<Vec<Device>, ViewError> {
        let found = self.partitions.get(node).cloned();
        found.ok_or_else(|| missing("look at the partitions of", &node))
    }

    fn signature(&self, node: &str) -> Result<Signature, ViewError> {
        match self.signatures.get(node) {
            Some(Some(signature)) => Ok(signature.clone()),
            Some(None) => Err(denied(node)),
            None => Err(missing("read", &node)),
        }
    }

    fn volume(&self, node: &str) -> Result<Option<Volume>, ViewError> {
        let found = self.volumes.get(node).cloned();
        found.ok_or_else(|| missing("read the header of", &node))
    }

    fn member(&self, node: &str) -> Result<Option<Member>, ViewError> {
        let found = self.members.get(node).cloned();
        found.ok_or_else(|| missing("read the header of", &node))
    }

    fn mounts(&self) -> Result<Vec<Mounted>, ViewError> {
        let found = self.mounts.clone();
        found.ok_or_else(|| missing("read", &"/proc/self/mountinfo"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::sysroot::Sysroot;
    use crate::view::View as _;
    use crate::view::fake_devices::FakeDevices;
    use std::cell::Cell;

    /// Counts what it is asked, and hides what is on `/dev/secret`.
    struct Counting<'a>(&'a dyn Devices, Cell<u32>);

    impl Counting<'_> {
        fn count(&self) {
            self.1.set(self.1.get() + 1);
        }
    }

    impl Devices for Counting<'_> {
        fn device(&self, path: &str) -> Result<Option<Device>, ViewError> {
            self.count();
            self.0.device(path)
        }
        fn partitions(&self, node: &str) -> Result<Vec<Device>, ViewError> {
            self.count();
            self.0.partitions(node)
        }
        fn signature(&self, node: &str) -> Result<Signature, ViewError> {
            self.count();
            if node == "/dev/secret" {
                Err(denied(node))
            } else {
                self.0.signature(node)
            }
        }
        fn volume(&self, node: &str) -> Result<Option<Volume>, ViewError> {
            self.count();
            self.0.volume(node)
        }
        fn member(&self, node: &str) -> Result<Option<Member>, ViewError> {
            self.count();
            self.0.member(node)
        }
        fn mounts(&self) -> Result<Vec<Mounted>, ViewError> {
            self.count();
            self.0.mounts()
        }
    }

    fn ask(devices: &dyn Devices) -> Vec<String> {
        vec![
            format!("{:?}", devices.device("/dev/vda").unwrap()),
            format!("{:?}", devices.device("/dev/none").unwrap()),
            format!("{:?}", devices.partitions("/dev/vda").unwrap()),
            format!("{:?}", devices.signature("/dev/vda1").unwrap()),
            format!("{}", devices.signature("/dev/secret").unwrap_err()),
            format!("{:?}", devices.volume("/dev/vda1").unwrap()),
            format!("{:?}", devices.member("/dev/vda1").unwrap()),
            format!("{:?}", devices.mounts().unwrap()),
        ]
    }

    #[test]
    fn answers_are_remembered_and_replayed() {
        let fake = FakeDevices::new()
            .disk("/dev/vda", 1 << 30)
            .partition("/dev/vda", 1, 1 << 20, 1 << 20)
            .signature("/dev/vda1", "ext4", "u", "l")
            .mount("/dev/vda1", "/mnt", "ext4");
        let devices = Counting(&fake, Cell::new(0));
        let directory = tempfile::tempdir().unwrap();
        let sysroot = Sysroot::open(directory.path()).unwrap();
        let probe = Probe::new(&sysroot, None).with_devices(&devices);
        let first = ask(probe.devices());
        assert_eq!(devices.1.get(), 8);
        assert_eq!(ask(probe.devices()), first);
        assert_eq!(devices.1.get(), 8, "nothing is asked twice");
        let recording = probe.recording();
        assert_eq!(ask(recording.devices()), first);
        assert!(recording.devices().device("/dev/other").is_err());
        assert!(serde_json::to_string(&recording).unwrap().contains("/dev/vda1"));
        probe.forget();
        assert_eq!(ask(probe.devices()), first);
        assert_eq!(devices.1.get(), 16);
    }
}
