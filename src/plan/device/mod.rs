//! What a plan does to block devices, mounts and the boot loader: the actions of the stages disks, mount, umount and
//! kargs. One file for each family, with everything that is known about it before it is carried out: what it is about, the
//! commands that it stands for, what it means for a view.

mod arguments;
mod array;
mod filesystem;
mod mount;
mod table;
mod volume;

pub use arguments::KernelArguments;
pub(crate) use array::level_name;
pub use array::{ArrayAction, AssembleArray, CreateArray, array_name, array_path};
pub use filesystem::{Format, MakeFilesystem, canonical_uuid};
pub use mount::{Mount, Unmount};
pub use table::{Row, WriteTable, rows};
pub(crate) use volume::ALLOW_DISCARDS;
pub use volume::{
    BindVolume, CEX_KEY, CEX_REPOSITORY, CloseVolume, FinishVolume, FormatVolume, Key, OpenVolume,
    ReachServer, SaveKey, VolumeAction, VolumeOf, mapper_path, marker, secure_key,
};

use serde::Serialize;

use super::Change;
use crate::sys::Invocation;
use crate::view::{DeviceOverlay, Devices, Overlay, ViewError};

/// An action on a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "action")]
pub enum DeviceAction {
    /// Write a partition table
    WriteTable(Box<WriteTable>),
    /// `wipefs` and `mkfs`
    MakeFilesystem(MakeFilesystem),
    /// `mount`
    Mount(Mount),
    /// umount(2)
    Unmount(Unmount),
    /// Change the kernel's arguments for the next boot
    ChangeKernelArguments(KernelArguments),
    /// Make or start a RAID array
    #[serde(untagged)]
    Array(ArrayAction),
    /// Work on a LUKS volume
    #[serde(untagged)]
    Volume(VolumeAction),
}

impl DeviceAction {
    /// The programs that carry it out, in order; what is done without a program is not among them.
    pub fn commands(&self) -> Vec<Invocation> {
        match self {
            Self::WriteTable(action) => action.commands(),
            Self::MakeFilesystem(action) => action.commands(),
            Self::Mount(action) => vec![action.command()],
            Self::Unmount(_) => Vec::new(),
            Self::ChangeKernelArguments(action) => vec![action.command()],
            Self::Array(action) => action.commands(),
            Self::Volume(action) => action.commands(),
        }
    }

    /// Its name in plans and reports, as it is serialised.
    pub fn word(&self) -> &'static str {
        match self {
            Self::WriteTable(_) => "writeTable",
            Self::MakeFilesystem(_) => "makeFilesystem",
            Self::Mount(_) => "mount",
            Self::Unmount(_) => "unmount",
            Self::ChangeKernelArguments(_) => "changeKernelArguments",
            Self::Array(ArrayAction::CreateArray(_)) => "createArray",
            Self::Array(ArrayAction::AssembleArray(_)) => "assembleArray",
            Self::Volume(action) => match action {
                VolumeAction::SaveKey(_) => "saveKey",
                VolumeAction::ReachServer(_) => "reachServer",
                VolumeAction::CloseVolume(_) => "closeVolume",
                VolumeAction::FormatVolume(_) => "formatVolume",
                VolumeAction::OpenVolume(_) => "openVolume",
                VolumeAction::BindVolume(_) => "bindVolume",
                VolumeAction::ProveUnlock(_) => "proveUnlock",
                VolumeAction::RemoveKey(_) => "removeKey",
                VolumeAction::FinishVolume(_) => "finishVolume",
            },
        }
    }

    /// What it is about: a device as the config names it, a mount point.
    pub fn subject(&self) -> String {
        match self {
            Self::WriteTable(action) => action.device.clone(),
            Self::MakeFilesystem(action) => action.device.clone(),
            Self::Mount(action) => action.target.clone(),
            Self::Unmount(action) => action.target.clone(),
            Self::ChangeKernelArguments(_) => "kernel arguments".to_owned(),
            Self::Array(action) => action.subject(),
            Self::Volume(action) => action.subject(),
        }
    }

    /// How it leaves that, in words.
    pub fn details(&self) -> String {
        match self {
            Self::WriteTable(action) => action.details(),
            Self::MakeFilesystem(action) => action.details(),
            Self::Mount(action) => action.details(),
            Self::Unmount(_) => "unmount".to_owned(),
            Self::ChangeKernelArguments(action) => action.details(),
            Self::Array(action) => action.details(),
            Self::Volume(action) => action.details(),
        }
    }

    /// Lays its effect over a view.
    pub(super) fn predict(&self, overlay: &mut Overlay<'_>) -> Result<(), ViewError> {
        match self {
            Self::WriteTable(action) => action.predict(overlay.devices_mut()),
            Self::MakeFilesystem(action) => action.predict(overlay.devices_mut()),
            Self::Mount(action) => action.predict(overlay),
            Self::Unmount(action) => {
                overlay.devices_mut().remove_mount(&action.target);
                Ok(())
            }
            // They count from the next boot on.
            Self::ChangeKernelArguments(_) => Ok(()),
            Self::Array(action) => action.predict(overlay.devices_mut()),
            Self::Volume(action) => action.predict(overlay.devices_mut()),
        }
    }

    /// Lays over a view what is there after it, if a real run is to see whether it makes that or keeps it.
    pub(super) fn predict_unknown(&self, overlay: &mut Overlay<'_>) -> Result<(), ViewError> {
        match self {
            Self::Array(action) => action.predict_unknown(overlay.devices_mut()),
            Self::Volume(action) => action.predict_unknown(overlay.devices_mut()),
            Self::WriteTable(_)
            | Self::MakeFilesystem(_)
            | Self::Mount(_)
            | Self::Unmount(_)
            | Self::ChangeKernelArguments(_) => Ok(()),
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
            Self::WriteTable(action) => action.check(change, devices),
            Self::MakeFilesystem(action) => action.check(change, devices),
            Self::Mount(action) => Ok(action.check()),
            Self::Unmount(action) => action.check(devices),
            Self::ChangeKernelArguments(_) => Ok(Ok(())),
            Self::Array(action) => action.check(change, devices),
            Self::Volume(action) => action.check(change, devices),
        }
    }
}

/// A word of the config that stands where a program looks for options, too.
fn check_words<'a>(tool: crate::sys::Tool, words: impl IntoIterator<Item = &'a str>) -> Result<(), String> {
    match words
        .into_iter()
        .find(|word| word.starts_with('-') || word.is_empty())
    {
        Some(word) => Err(format!("{tool} would take {word:?} for an option")),
        None => Ok(()),
    }
}

/// A disk that becomes something else has no partitions any more.
fn forget_partitions(node: &str, overlay: &mut DeviceOverlay<'_>) -> Result<(), ViewError> {
    for partition in overlay.partitions(node)? {
        overlay.remove_device(&partition.node);
    }
    Ok(())
}

/// A step that works over something must say that this is lost.
fn check_said(node: &str, change: &Change, devices: &dyn Devices) -> Result<Result<(), String>, ViewError> {
    if matches!(change, Change::Replace { .. }) {
        return Ok(Ok(()));
    }
    let found = devices.signature(node)?;
    Ok(if found.is_blank() {
        Ok(())
    } else {
        Err(format!(
            "{node} holds {}, which the step does not say",
            found.kind
        ))
    })
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

#[cfg(test)]
mod tests;
