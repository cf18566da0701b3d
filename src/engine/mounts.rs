//! The stages mount and umount: one filesystem after the other, since what one holds decides about the next.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use super::edges::Edges;
use super::failure::Failure;
use super::keys::Keeper;
use super::stage::{self, Job};
use super::world::{DryRun, Real, World};
use crate::exec::progress::{self, Record};
use crate::fetch::Fetcher;
use crate::plan::{Action, Change, Plan};
use crate::stages::mount::{self, Wanted};
use crate::stages::{Phase, PlanError, Stage, umount};
use crate::sys::HostFiles;
use crate::sys::devices::RealDevices;
use crate::sys::pid1::{self, Unit};
use crate::sys::sysroot::Sysroot;
use crate::view::{RootPath, View};

/// What later stages must know of the mount stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Left {
    /// Mount points at which the right filesystem is mounted already, as the stage begins
    Kept(Vec<String>),
    /// Directories that it is about to create, as the config has them
    Directories(Vec<String>),
}

fn kept(plans: &[Plan]) -> Left {
    let steps = plans.iter().flat_map(|plan| &plan.steps);
    Left::Kept(
        steps
            .filter_map(|step| match (&step.action, &step.change) {
                (Action::Device(action), Change::Keep { .. } | Change::Modify { .. }) => {
                    Some(action.subject())
                }
                _ => None,
            })
            .collect(),
    )
}

fn directories(plan: &Plan) -> Vec<String> {
    let made = plan.steps.iter().filter_map(|step| match &step.action {
        Action::MakeDirectory { path, .. } => Some(path.to_string()),
        _ => None,
    });
    made.collect()
}

/// Mounts the filesystems of the config.
pub fn mount(
    job: &Job<'_>,
    edges: &Edges,
    root: &Path,
    fetcher: &dyn Fetcher,
    keys: &dyn Keeper,
) -> Result<(), Failure> {
    let all = mount::wanted(job.config);
    let note = |left| {
        keys.note(left)
            .map_err(|error| Failure::new(Some(job.stage), &error))
    };
    if all.is_empty() {
        // That it has begun, too, is to be known later.
        return note(Left::Kept(Vec::new()));
    }
    let devices = stage::devices(job, edges);
    {
        // What would be refused for a later filesystem is refused now, while nothing is mounted.
        let sysroot = stage::open_root(job.stage, root)?;
        let probe = stage::probe(job, &sysroot, edges, &devices);
        let mut rehearsal = DryRun::new(&probe);
        predict(job, &text(&sysroot), &mut rehearsal)?;
        if job.state.kept_mounts.is_none() {
            note(kept(&stage::plans(rehearsal)))?;
        }
        // What a stage of an earlier boot made, which then failed, is known from the root alone.
        let before = progress::read(&sysroot).map_err(|error| {
            Failure::new(Some(job.stage), &error).doing("read what an earlier run has done")
        })?;
        let mut before: Vec<String> = before.mount_directories.iter().map(ToString::to_string).collect();
        // Of another config they may be gone with what was mounted on the way.
        before.retain(|path| {
            let leads_to = |wanted: &Wanted<'_>| wanted.path.starts_with(&RootPath::from(path.as_str()));
            all.iter().any(leads_to) && !job.state.notated_directories.contains(path)
        });
        if !before.is_empty() {
            note(Left::Directories(before))?;
        }
    }
    for wanted in &all {
        // Opened anew: a filesystem that was mounted at the root itself hides what is open.
        let sysroot = stage::open_root(job.stage, root)?;
        let probe = stage::probe(job, &sysroot, edges, &devices);
        let machine = stage::machine(&sysroot, edges, fetcher, &devices, keys.as_volume_keys());
        let mut world = Real::new(&probe, &machine, Record::none(&sysroot));
        let plan = one(wanted, &text(&sysroot), &mut world)?;
        let made = directories(&plan);
        if !made.is_empty() {
            progress::note_mount_directories(&sysroot, &made).map_err(|error| {
                Failure::new(Some(job.stage), &error).doing("note which directories are made")
            })?;
            note(Left::Directories(made))?;
        }
        world
            .advance(plan)
            .map_err(|error| Failure::from_advance(job.stage, stage::phase_of(job.stage), &error))?;
    }
    Ok(())
}

/// Unmounts them.
pub fn unmount(
    job: &Job<'_>,
    edges: &Edges,
    root: &Path,
    fetcher: &dyn Fetcher,
    keys: &dyn Keeper,
) -> Result<(), Failure> {
    let devices = stage::devices(job, edges);
    // Of no use for whoever is waiting to unmount, so it is tried whatever comes of it.
    let left = leave(job, edges, root);
    let unmounted = unmount_all(job, edges, root, fetcher, keys, &devices);
    unmounted.and(left)
}

/// The boot goes on into the system: what another attempt would go on with is of no use any more.
fn leave(job: &Job<'_>, edges: &Edges, root: &Path) -> Result<(), Failure> {
    let failed = |error: &(dyn std::error::Error + 'static)| {
        Failure::new(Some(job.stage), error).doing("remove the record of the run, which is done")
    };
    let sysroot = stage::open_root(job.stage, root)?;
    if !progress::read(&sysroot).map_err(|error| failed(&error))?.finished {
        return Ok(());
    }
    // An image is provisioned when the run over it is.
    let ask = |names: &_| pid1::units(Path::new("/run"), &edges.runner, names);
    if !job.of_image && stays_in_the_initrd(&edges.host, ask) {
        tracing::info!("this boot does not go on into the system: the record of the run stays");
        return Ok(());
    }
    progress::forget(&sysroot).map_err(|error| failed(&error))
}

/// Whether systemd stops this in an initrd for another reason than that the root is switched to: a failure, a reboot. `ask` tells how
/// units are.
fn stays_in_the_initrd(
    host: &dyn HostFiles,
    ask: impl FnOnce(&BTreeSet<String>) -> io::Result<Vec<Unit>>,
) -> bool {
    if !host.exists(Path::new(super::IN_INITRD)).unwrap_or(false) {
        return false;
    }
    match ask(&["initrd-switch-root.target".to_owned()].into()) {
        Ok(found) => !found.iter().any(|unit| unit.is_active || unit.has_job),
        // Another program is process 1, and runs the stage when it is time to.
        Err(_) => false,
    }
}

fn unmount_all(
    job: &Job<'_>,
    edges: &Edges,
    root: &Path,
    fetcher: &dyn Fetcher,
    keys: &dyn Keeper,
    devices: &RealDevices,
) -> Result<(), Failure> {
    let plan = {
        let sysroot = stage::open_root(job.stage, root)?;
        let probe = stage::probe(job, &sysroot, edges, devices);
        unmount_plan(job, &text(&sysroot), &probe)?
    };
    // The root itself may be one of them, and must not be held open.
    let sysroot = stage::open_root(job.stage, Path::new("/"))?;
    let probe = stage::probe(job, &sysroot, edges, devices);
    let machine = stage::machine(&sysroot, edges, fetcher, devices, keys.as_volume_keys());
    let mut world = Real::new(&probe, &machine, Record::none(&sysroot));
    world
        .advance(plan)
        .map_err(|error| Failure::from_advance(job.stage, stage::phase_of(job.stage), &error))
}

/// Predicts either stage. `root` is where the root is, as the kernel lists mounts.
pub fn predict(job: &Job<'_>, root: &str, world: &mut DryRun<'_>) -> Result<(), Failure> {
    let advance = |world: &mut DryRun<'_>, plan| {
        world
            .advance(plan)
            .map_err(|error| Failure::from_advance(job.stage, stage::phase_of(job.stage), &error))
    };
    if job.stage == Stage::Umount {
        let plan = unmount_plan(job, root, world.view())?;
        return advance(world, plan);
    }
    for wanted in &mount::wanted(job.config) {
        let plan = one(wanted, root, world)?;
        advance(world, plan)?;
    }
    Ok(())
}

fn one(wanted: &Wanted<'_>, root: &str, world: &mut dyn World) -> Result<Plan, Failure> {
    let device = (wanted.filesystem.device.clone(), wanted.cause.key("device"));
    world
        .await_devices(&[device])
        .map_err(|error| Failure::from_advance(Stage::Mount, Phase::Mounts, &error))?;
    mount::plan(wanted, root, world.view())
        .map_err(|error| Failure::from_plan(Stage::Mount, Some(Phase::Mounts), &error))
}

fn unmount_plan(job: &Job<'_>, root: &str, view: &dyn View) -> Result<Plan, Failure> {
    let planned: Result<Plan, PlanError> = umount::plan(
        job.config,
        job.state.kept_mounts.as_deref().unwrap_or_default(),
        root,
        view,
    );
    planned.map_err(|error| Failure::from_plan(job.stage, Some(stage::phase_of(job.stage)), &error))
}

/// Where the root is, as the kernel lists mounts.
pub(super) fn text(sysroot: &Sysroot) -> String {
    sysroot.resolved_path().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::host::FakeHost;

    /// Seen in QEMU: a boot that was cut off, or failed, after the stage files had to be provisioned again, and was refused.
    #[test]
    fn the_initrd_is_left_when_the_root_is_about_to_be_switched_to() {
        let initrd = || FakeHost::new().file(super::super::IN_INITRD, "");
        let unit = |is_active, has_job| Unit {
            name: "initrd-switch-root.target".to_owned(),
            is_active,
            has_job,
        };
        for (found, stays) in [
            (vec![unit(false, true)], false),
            (vec![unit(true, false)], false),
            // A reboot, or the emergency target.
            (vec![unit(false, false)], true),
            (Vec::new(), true),
        ] {
            let ask = |names: &BTreeSet<String>| {
                assert!(names.iter().eq(["initrd-switch-root.target"]));
                Ok(found.clone())
            };
            assert_eq!(stays_in_the_initrd(&initrd(), ask), stays, "{found:?}");
        }
        assert!(!stays_in_the_initrd(&initrd(), |_| Err(
            io::ErrorKind::NotFound.into()
        )));
        assert!(!stays_in_the_initrd(&FakeHost::new(), |_| panic!("asked")));
    }
}
