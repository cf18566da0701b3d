//! The files stage, phase by phase: the same for the real machine and for a predicted one.

use super::failure::Failure;
use super::world::World;
use crate::config::types::Config;
use crate::plan::{Action, Plan};
use crate::report::Element;
use crate::stages::files::{self, Input};
use crate::stages::{Phase, PlanError, Stage};
use crate::view::{RootPath, View};

/// Phases of the stage, in order. Between them the view is asked again.
pub const PHASES: [Phase; 7] = [
    Phase::Accounts,
    Phase::Keys,
    Phase::Nodes,
    Phase::Units,
    Phase::Presets,
    Phase::Luks,
    Phase::Result,
];

/// Plans each phase over what the world looks like by then, and carries it out.
///
/// `rehearsed` are the plans of a rehearsal of the same phases over the same view, or none. They hold up to the first that
/// has a step: until then neither the rehearsal nor the real run has made a difference to what a planner sees.
pub fn carry_out(
    world: &mut dyn World,
    input: &Input<'_>,
    phases: &[Phase],
    rehearsed: Vec<Plan>,
) -> Result<(), Failure> {
    let mut rehearsed = rehearsed.into_iter();
    let mut untouched = true;
    // Of a predicted world all is told that is in the way, of the real one what is met first.
    let mut refused: Vec<(Phase, PlanError)> = Vec::new();
    for phase in phases {
        let _phase = crate::log::phase(*phase);
        let known = rehearsed.next().filter(|plan| untouched && plan.phase == *phase);
        let checked = known.is_some();
        let plan = match known {
            Some(plan) => plan,
            None => match plan_phase(*phase, input, world.view()) {
                None => continue,
                Some(Ok(plan)) => plan,
                Some(Err(mut error)) => {
                    let rest = error.further.as_deref_mut().map(|further| {
                        let empty = Vec::new();
                        std::mem::replace(&mut further.rest.steps, empty)
                    });
                    refused.push((*phase, error));
                    match rest {
                        Some(rest) if world.suppose(&rest) => continue,
                        _ => break,
                    }
                }
            },
        };
        if !refused.is_empty() {
            // Without what was refused it may be unsound; all that is asked is what else is refused.
            if world.suppose(&plan.steps) {
                continue;
            }
            break;
        }
        untouched &= plan.steps.is_empty();
        let keys = written_keys(input.config, &plan);
        let advanced = if checked {
            world.advance_checked(plan)
        } else {
            world.advance(plan)
        };
        advanced.map_err(|error| Failure::from_advance(Stage::Files, *phase, &error))?;
        for (user, path) in keys {
            world.keys_written(user, &path);
        }
    }
    match refused.split_first() {
        None => Ok(()),
        Some(((phase, first), rest)) => {
            let others = rest.iter().map(|(_, error)| error);
            Err(Failure::from_plan(Stage::Files, Some(*phase), first).also(others))
        }
    }
}

/// `None` for phases of other stages.
fn plan_phase(phase: Phase, input: &Input<'_>, view: &dyn View) -> Option<Result<Plan, PlanError>> {
    Some(match phase {
        Phase::Accounts => files::accounts::plan(input, view),
        Phase::Keys => files::keys::plan(input, view),
        Phase::Nodes => files::nodes::plan(input, view),
        Phase::Units => files::units::plan(input, view),
        Phase::Presets => files::presets::plan(input, view),
        Phase::Luks => files::luks::plan(input, view),
        Phase::Result => files::result::plan(input, view),
        Phase::Config
        | Phase::Arguments
        | Phase::Partitions
        | Phase::Raid
        | Phase::Volumes
        | Phase::Filesystems
        | Phase::Mounts
        | Phase::Unmounts => return None,
    })
}

/// Users whose key files a plan wrote, with the files. Only phase *keys* has any.
fn written_keys<'a>(config: &'a Config, plan: &Plan) -> Vec<(&'a str, RootPath)> {
    let written = plan.steps.iter().filter_map(|step| {
        let Action::WriteFile { path, .. } = &step.action else {
            return None;
        };
        let index = match step.cause.0.as_slice() {
            [_, _, Element::Index(index), Element::Key(key)] if key == "sshAuthorizedKeys" => *index,
            _ => return None,
        };
        let user = config.passwd.users.get(index)?;
        (plan.phase == Phase::Keys).then(|| (user.name.as_str(), path.clone()))
    });
    written.collect()
}
