//! Carrying out what a plan does to devices and mounts.

mod array;
mod volume;

pub use volume::VolumeError;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::{ExecError, Machine, acts};
use crate::plan::device::{DeviceAction, MakeFilesystem, WriteTable};
use crate::plan::{Action, Step};
use crate::view::names;

/// Carries out an action.
pub(super) fn execute(action: &DeviceAction, machine: &Machine<'_>) -> Result<(), ExecError> {
    match action {
        DeviceAction::MakeFilesystem(filesystem) => {
            make_filesystem(filesystem, machine)?;
            Ok(machine.devices.announce(&[&filesystem.node])?)
        }
        DeviceAction::WriteTable(action) => {
            machine
                .devices
                .write_table(&action.node, &action.writes, action.table.as_ref())?;
            let failed = |source| ExecError::Mark {
                node: action.node.clone(),
                source,
            };
            machine
                .devices
                .note_table(&action.node, &action.note)
                .map_err(failed)?;
            let parts = partition_nodes(action, machine)?;
            let nodes: Vec<&str> = std::iter::once(action.node.as_str())
                .chain(parts.iter().map(String::as_str))
                .collect();
            Ok(machine.devices.announce(&nodes)?)
        }
        DeviceAction::ChangeKernelArguments(_) => {
            for command in action.commands() {
                // It belongs to the distribution: what it warns of is not known here.
                for line in machine.runner.run(&command)?.stderr.lines() {
                    tracing::warn!("{}: {line}", command.tool);
                }
            }
            Ok(())
        }
        DeviceAction::Mount(_) => {
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

/// The nodes of the partitions that a table has now. Those of an ordinary disk have names by a rule. They are not asked for:
/// udev may just be having the kernel read the table again, and then they are gone for a moment.
fn partition_nodes(action: &WriteTable, machine: &Machine<'_>) -> Result<Vec<String>, ExecError> {
    let devices = machine.devices.devices();
    let is_mapped = devices
        .device(&action.node)?
        .is_some_and(|disk| disk.mapper.is_some());
    if is_mapped {
        let parts = devices.partitions(&action.node)?;
        return Ok(parts.into_iter().map(|part| part.node).collect());
    }
    let rows = action.after.iter();
    Ok(rows
        .map(|row| names::of_partition(&action.node, row.number))
        .collect())
}

/// Wipes the device and makes the filesystem. Some mkfs write what tells a filesystem before the rest of it (that of vfat
/// first of all), so it is remembered that this is going on: a run that comes after this one was killed makes it anew.
fn make_filesystem(filesystem: &MakeFilesystem, machine: &Machine<'_>) -> Result<(), ExecError> {
    let commands = filesystem.commands();
    let Some((wipe, make)) = commands.split_first() else {
        return Ok(());
    };
    // What fails here has changed nothing that counts: no mark yet.
    machine.runner.run(wipe)?;
    if make.is_empty() {
        return Ok(());
    }
    let node = &filesystem.node;
    let failed = |source| ExecError::Mark {
        node: node.clone(),
        source,
    };
    machine.devices.begin(node).map_err(failed)?;
    let made = make
        .iter()
        .try_for_each(|command| machine.runner.run(command).map(drop));
    if made.is_err() {
        // Nothing half-made stays behind; the error to tell is that of mkfs.
        let _ = machine.runner.run(wipe);
    }
    machine.devices.end(node).map_err(failed)?;
    Ok(made?)
}

/// What became of a step, and how long it took.
pub(super) type Made = (Result<(), ExecError>, Duration);

/// Filesystems that follow each other in a plan are independent, and are made side by side, as many as there are CPUs
/// (spec/disks.md 5). All are attempted, whatever becomes of one. Answers in the order of the plan, one for each step
/// from the first on that makes one; none if there is nothing to be gained.
///
/// udev and systemd are told once about all of them.
pub(super) fn make_side_by_side(steps: &[Step], machine: &Machine<'_>) -> VecDeque<Made> {
    let batch: Vec<&MakeFilesystem> = steps
        .iter()
        .filter(|step| acts(step))
        .map_while(filesystem)
        .collect();
    if batch.len() < 2 {
        return VecDeque::new();
    }
    let workers = thread::available_parallelism()
        .map_or(1, usize::from)
        .min(batch.len());
    let next = AtomicUsize::new(0);
    let made: Vec<Mutex<Option<Made>>> = batch.iter().map(|_| Mutex::new(None)).collect();
    let span = tracing::Span::current();
    let work = || {
        let _span = span.enter();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let (Some(filesystem), Some(place)) = (batch.get(at), made.get(at)) else {
                return;
            };
            let begun = machine.clock.monotonic();
            let result = if (machine.stop)() {
                Err(ExecError::Stopped)
            } else {
                make_filesystem(filesystem, machine)
            };
            let took = machine.clock.monotonic().saturating_sub(begun);
            *place.lock().unwrap_or_else(PoisonError::into_inner) = Some((result, took));
        }
    };
    thread::scope(|scope| {
        for _ in 1..workers {
            // With fewer threads than hoped for it only takes longer.
            if thread::Builder::new().spawn_scoped(scope, work).is_err() {
                break;
            }
        }
        work();
    });
    let mut made: VecDeque<Made> = made
        .into_iter()
        .map(|place| {
            place
                .into_inner()
                .unwrap_or_else(PoisonError::into_inner)
                // Every place was filled before the threads ended.
                .unwrap_or((Err(ExecError::Stopped), Duration::ZERO))
        })
        .collect();
    let nodes: Vec<&str> = batch
        .iter()
        .zip(&made)
        .filter(|(_, (result, _))| result.is_ok())
        .map(|(filesystem, _)| filesystem.node.as_str())
        .collect();
    if let Err(error) = machine.devices.announce(&nodes)
        && let Some((result, _)) = made.iter_mut().find(|(result, _)| result.is_ok())
    {
        *result = Err(error.into());
    }
    made
}

/// What a step makes, if that is a filesystem.
pub(super) fn filesystem(step: &Step) -> Option<&MakeFilesystem> {
    match &step.action {
        Action::Device(DeviceAction::MakeFilesystem(filesystem)) => Some(filesystem),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
