//! The machine's own block devices.

use super::{AnnounceError, BlockDevices, DeviceMissing, UnmountError};
use crate::view::{Devices, NoDevices};

/// The block devices of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDevices;

impl BlockDevices for RealDevices {
    fn devices(&self) -> &dyn Devices {
        &NoDevices
    }

    fn await_paths(&self, _paths: &[&str]) -> Result<(), DeviceMissing> {
        Ok(())
    }

    fn announce(&self, _nodes: &[&str]) -> Result<(), AnnounceError> {
        Ok(())
    }

    fn unmount(&self, target: &str) -> Result<(), UnmountError> {
        Err(UnmountError {
            target: target.to_owned(),
            held_by: Vec::new(),
            source: std::io::ErrorKind::Unsupported.into(),
        })
    }
}
