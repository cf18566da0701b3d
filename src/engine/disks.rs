//! The disks stage, phase by phase: the same for the real machine and for a predicted one.

use super::failure::Failure;
use super::stage;
use super::world::{DryRun, Real, World};
use crate::config::types::Config;
use crate::plan::Plan;
use crate::stages::disks::{filesystems, raid, tables, volumes, wanted};
use crate::stages::{Phase, PlanError, Stage};
use crate::sys::probe::Probe;
use crate::view::{Digest, View};

/// Phases of the stage, in order. Before each its devices are waited for, and the view is asked again.
const PHASES: [Phase; 4] = [Phase::Partitions, Phase::Raid, Phase::Volumes, Phase::Filesystems];

/// Name of the directory beside the state file in which links to the devices of the config are kept.
pub const ALIASES: &str = "dev_aliases";

/// Name of the directory beside the state file in which it is noted on which devices filesystems are being made, and which tables
/// were written.
pub const MARKS: &str = "making";

/// Carries the stage out. With nothing to do it asks nothing.
pub fn run(world: &mut Real<'_>, probe: &Probe<'_>, config: &Config) -> Result<(), Failure> {
    let Some(first) = PHASES
        .into_iter()
        .find(|phase| !wanted(*phase, config).is_empty())
    else {
        return Ok(());
    };
    await_devices(world, first, config)?;
    // A rehearsal: what would be refused in a later phase is refused now, while nothing is touched. What earlier phases
    // are to make is predicted, as far as it can be.
    let mut rehearsal = DryRun::new(probe);
    carry_out(&mut rehearsal, config, None)?;
    let rehearsed = stage::plans(rehearsal).into_iter().next();
    carry_out(world, config, rehearsed)?;
    world.await_units();
    Ok(())
}

/// Plans each phase over what the world looks like by then, and carries it out.
///
/// `rehearsed` is the plan of the first phase, if its devices were waited for and it was planned over them already.
pub fn carry_out(world: &mut dyn World, config: &Config, rehearsed: Option<Plan>) -> Result<(), Failure> {
    let refused = |error| Failure::from_plan(Stage::Disks, None, &error);
    raid::check_config(config).map_err(refused)?;
    volumes::check_config(config).map_err(refused)?;
    let digest = stage::config_digest(config)?;
    let mut rehearsed = rehearsed;
    for phase in PHASES {
        if wanted(phase, config).is_empty() {
            continue;
        }
        let _phase = crate::log::phase(phase);
        let plan = if let Some(plan) = rehearsed.take().filter(|plan| plan.phase == phase) {
            plan
        } else {
            await_devices(world, phase, config)?;
            match plan_phase(phase, config, digest, world.view()) {
                None => continue,
                Some(planned) => {
                    planned.map_err(|error| Failure::from_plan(Stage::Disks, Some(phase), &error))?
                }
            }
        };
        world
            .advance(plan)
            .map_err(|error| Failure::from_advance(Stage::Disks, phase, &error))?;
    }
    Ok(())
}

fn await_devices(world: &mut dyn World, phase: Phase, config: &Config) -> Result<(), Failure> {
    world
        .await_devices(&wanted(phase, config))
        .map_err(|error| Failure::from_advance(Stage::Disks, phase, &error))
}

/// `None` for phases of other stages.
fn plan_phase(
    phase: Phase,
    config: &Config,
    digest: Digest,
    view: &dyn View,
) -> Option<Result<Plan, PlanError>> {
    match phase {
        Phase::Filesystems => Some(filesystems::plan(config, view)),
        Phase::Raid => Some(raid::plan(config, view)),
        Phase::Volumes => {
            let input = volumes::Input {
                config,
                digest,
                random: &crate::sys::random::fill,
            };
            Some(volumes::plan(&input, view))
        }
        Phase::Partitions => Some(tables::plan(config, digest, view, &crate::sys::random::fill)),
        Phase::Config
        | Phase::Arguments
        | Phase::Mounts
        | Phase::Unmounts
        | Phase::Accounts
        | Phase::Keys
        | Phase::Nodes
        | Phase::Units
        | Phase::Presets
        | Phase::Luks
        | Phase::Result => None,
    }
}
