//! Carrying out what a plan does to devices and mounts.

mod array;
mod volume;

pub use volume::VolumeError;

use super::{ExecError, Machine};
use crate::plan::device::DeviceAction;

/// Carries out an action.
pub(super) fn execute(action: &DeviceAction, machine: &Machine<'_>) -> Result<(), ExecError> {
    match action {
        DeviceAction::MakeFilesystem(_) | DeviceAction::Mount(_) | DeviceAction::ChangeKernelArguments(_) => {
            for command in action.commands() {
                machine.runner.run(&command)?;
            }
            Ok(())
        }
        DeviceAction::Array(array) => array::execute(array, &action.commands(), machine),
        DeviceAction::Volume(volume) => volume::execute(volume, machine),
        DeviceAction::Unmount(unmount) => machine
            .devices
            .unmount(&unmount.target)
            .map_err(ExecError::Unmount),
    }
}
