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
use crate::plan::device::{DeviceAction, Format, MakeFilesystem, WriteTable};
use crate::plan::{Action, Change, Step};
use crate::sys::Invocation;
use crate::sys::devices::{Changed, Entry};
use crate::view::names;

/// Carries out an action.
pub(super) fn execute(action: &DeviceAction, machine: &Machine<'_>) -> Result<(), ExecError> {
    match action {
        DeviceAction::MakeFilesystem(filesystem) => {
            make_filesystem(filesystem, machine)?;
            machine.devices.announce(&[changed(filesystem)])?;
            finish(filesystem, machine)
        }
        DeviceAction::WriteTable(action) => {
            let new = machine
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
            let mut devices = partitions(action, &new, machine)?;
            devices.push(Changed::node(&action.node));
            Ok(machine.devices.announce(&devices)?)
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

/// Sees to it that udev knows the partitions of a table that stays as it is: a run that was killed may have written it, and
/// told nobody.
pub(super) fn confirm(step: &Step, machine: &Machine<'_>) -> Result<(), ExecError> {
    let (Action::Device(DeviceAction::WriteTable(action)), Change::Keep { .. }) =
        (&step.action, &step.change)
    else {
        return Ok(());
    };
    if is_mapped(action, machine)? {
        return Ok(());
    }
    let devices = partitions(action, &[], machine)?;
    Ok(machine.devices.announce(&devices)?)
}

fn is_mapped(action: &WriteTable, machine: &Machine<'_>) -> Result<bool, ExecError> {
    let disk = machine.devices.devices().device(&action.node)?;
    Ok(disk.is_some_and(|disk| disk.mapper.is_some()))
}

/// The partitions that a table has now; `new` are the numbers of those that the kernel was just told of. Those of an ordinary
/// disk have names by a rule. They are not asked for: udev may just be having the kernel read the table again, and then
/// they are gone for a moment.
fn partitions(action: &WriteTable, new: &[u32], machine: &Machine<'_>) -> Result<Vec<Changed>, ExecError> {
    if is_mapped(action, machine)? {
        let parts = machine.devices.devices().partitions(&action.node)?;
        return Ok(parts.iter().map(|part| Changed::node(&part.node)).collect());
    }
    let changed = action.after.iter().map(|row| {
        let links = [
            names::by_partuuid(&row.guid.to_ascii_lowercase()),
            names::by_partlabel(&row.label),
        ];
        Changed {
            node: names::of_partition(&action.node, row.number),
            links: links.into_iter().flatten().collect(),
            entry: Some(Entry {
                guid: row.guid.clone(),
                type_guid: row.type_guid.clone(),
                label: row.label.clone(),
                start: row.start,
                size: row.size,
            }),
            is_new: new.contains(&row.number),
        }
    });
    Ok(changed.collect())
}

/// A device with the filesystem that was made.
fn changed(filesystem: &MakeFilesystem) -> Changed {
    Changed {
        node: filesystem.node.clone(),
        links: filesystem.links(),
        ..Changed::default()
    }
}

/// Wipes the device and makes the filesystem. Some mkfs write what tells a filesystem before the rest of it (that of vfat
/// first of all), so it is remembered that this is going on, until udev knows of it ([`finish`]): a run that comes after
/// this one was killed makes it anew.
fn make_filesystem(filesystem: &MakeFilesystem, machine: &Machine<'_>) -> Result<(), ExecError> {
    let commands = filesystem.commands();
    let Some((wipe, make)) = commands.split_first() else {
        return Ok(());
    };
    let node = &filesystem.node;
    let unwatched = |command: &Invocation| command.clone().unwatched(node);
    // What fails here has changed nothing that counts: no mark yet.
    if make.is_empty() {
        machine.runner.run(wipe)?;
        return Ok(());
    }
    machine.runner.run(&unwatched(wipe))?;
    machine.devices.begin(node).map_err(mark(node))?;
    let made = make
        .iter()
        .try_for_each(|command| machine.runner.run(&unwatched(command)).map(drop));
    if made.is_err() {
        // Nothing half-made stays behind, and udev may notice; the error to tell is that of mkfs.
        let _ = machine.runner.run(wipe);
        finish(filesystem, machine)?;
    }
    Ok(made?)
}

/// Forgets that a filesystem is being made.
fn finish(filesystem: &MakeFilesystem, machine: &Machine<'_>) -> Result<(), ExecError> {
    if filesystem.format == Format::None {
        return Ok(());
    }
    machine
        .devices
        .end(&filesystem.node)
        .map_err(mark(&filesystem.node))
}

fn mark(node: &str) -> impl Fn(std::io::Error) -> ExecError {
    move |source| ExecError::Mark {
        node: node.to_owned(),
        source,
    }
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
    let done = |(_, (result, _)): &(&&MakeFilesystem, &Made)| result.is_ok();
    let devices: Vec<Changed> = batch
        .iter()
        .zip(&made)
        .filter(done)
        .map(|(filesystem, _)| changed(filesystem))
        .collect();
    let mut ended = machine.devices.announce(&devices).map_err(ExecError::from);
    if ended.is_ok() {
        ended = batch
            .iter()
            .zip(&made)
            .filter(done)
            .try_for_each(|(filesystem, _)| finish(filesystem, machine));
    }
    if let Err(error) = ended
        && let Some((result, _)) = made.iter_mut().find(|(result, _)| result.is_ok())
    {
        *result = Err(error);
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
