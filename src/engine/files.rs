//! The files stage, phase by phase: the same for the real machine and for a predicted one.

use super::failure::Failure;
use super::world::World;
use crate::plan::Plan;
use crate::stages::files::{self, Input};
use crate::stages::{Phase, PlanError, Stage};
use crate::view::View;

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

/// Plans each phase over what the world looks like by then, and carries it out. `done` is asked for what must be durable
/// before the result file says that the run has succeeded.
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
    for phase in phases {
        let known = rehearsed.next().filter(|plan| untouched && plan.phase == *phase);
        let plan = match known {
            Some(plan) => plan,
            None => match plan_phase(*phase, input, world.view()) {
                None => continue,
                Some(planned) => planned.map_err(|error| Failure::from_plan(Stage::Files, &error))?,
            },
        };
        untouched &= plan.steps.is_empty();
        world
            .advance(plan)
            .map_err(|error| Failure::from_advance(Stage::Files, &error))?;
    }
    Ok(())
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
        Phase::Config => return None,
    })
}
