//! Making and starting RAID arrays.

use super::super::{ExecError, Machine};
use crate::plan::device::ArrayAction;
use crate::sys::Invocation;

/// Carries an action out and waits for the array's node.
pub(super) fn execute(
    action: &ArrayAction,
    commands: &[Invocation],
    machine: &Machine<'_>,
) -> Result<(), ExecError> {
    for command in commands {
        machine.runner.run(command)?;
    }
    machine.devices.await_paths(&[&action.path()])?;
    Ok(())
}
