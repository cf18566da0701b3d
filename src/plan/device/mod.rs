//! What a plan does to block devices, mounts and the boot loader: the actions of the stages disks, mount, umount and
//! kargs. One file for each family, with everything that is known about it before it is carried out: what it is about, the
//! commands that it stands for, what it means for a view.

mod arguments;
mod filesystem;
mod mount;

pub use arguments::KernelArguments;
pub use filesystem::{Format, MakeFilesystem, canonical_uuid};
pub use mount::{Mount, Unmount};

use serde::Serialize;

use super::Change;
use crate::sys::Invocation;
use crate::view::{Devices, Overlay, ViewError};

/// An action on a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "action")]
pub enum DeviceAction {
    /// `wipefs` and `mkfs`
    MakeFilesystem(MakeFilesystem),
    /// `mount`
    Mount(Mount),
    /// umount(2)
    Unmount(Unmount),
    /// Change the kernel's arguments for the next boot
    ChangeKernelArguments(KernelArguments),
}

impl DeviceAction {
    /// The programs that carry it out, in order; what is done without a program is not among them.
    pub fn commands(&self) -> Vec<Invocation> {
        match self {
            Self::MakeFilesystem(action) => action.commands(),
            Self::Mount(action) => vec![action.command()],
            Self::Unmount(_) => Vec::new(),
            Self::ChangeKernelArguments(action) => vec![action.command()],
        }
    }

    /// What it is about: a device as the config names it, a mount point.
    pub fn subject(&self) -> String {
        match self {
            Self::MakeFilesystem(action) => action.device.clone(),
            Self::Mount(action) => action.target.clone(),
            Self::Unmount(action) => action.target.clone(),
            Self::ChangeKernelArguments(_) => "kernel arguments".to_owned(),
        }
    }

    /// How it leaves that, in words.
    pub fn details(&self) -> String {
        match self {
            Self::MakeFilesystem(action) => action.details(),
            Self::Mount(action) => action.details(),
            Self::Unmount(_) => "unmount".to_owned(),
            Self::ChangeKernelArguments(action) => action.details(),
        }
    }

    /// Lays its effect over a view.
    pub(super) fn predict(&self, overlay: &mut Overlay<'_>) -> Result<(), ViewError> {
        match self {
            Self::MakeFilesystem(action) => action.predict(overlay.devices_mut()),
            Self::Mount(action) => action.predict(overlay.devices_mut()),
            Self::Unmount(action) => {
                overlay.devices_mut().remove_mount(&action.target);
                Ok(())
            }
            // They count from the next boot on.
            Self::ChangeKernelArguments(_) => Ok(()),
        }
    }

    /// What is wrong with it, if anything: nothing in use is changed, and no word of the config is read as an option of a
    /// program. The outer result is about asking.
    pub(super) fn check(
        &self,
        change: &Change,
        devices: &dyn Devices,
    ) -> Result<Result<(), String>, ViewError> {
        match self {
            Self::MakeFilesystem(action) => action.check(change, devices),
            Self::Mount(action) => Ok(action.check()),
            Self::Unmount(action) => action.check(devices),
            Self::ChangeKernelArguments(_) => Ok(Ok(())),
        }
    }
}

/// A device that a step changes must be there and unused: itself, and if it is a disk its partitions.
fn check_unused(node: &str, devices: &dyn Devices) -> Result<Result<(), String>, ViewError> {
    let Some(device) = devices.device(node)? else {
        return Ok(Err(format!("{node} is no block device")));
    };
    let parts = devices.partitions(node)?;
    let used = std::iter::once(&device)
        .chain(&parts)
        .find_map(|device| device.uses.first().map(|by| (device, by)));
    Ok(match used {
        Some((device, by)) => Err(format!("{} is {by}", device.node)),
        None => Ok(()),
    })
}
