//! The files stage, phase by phase: the same for the real machine and for a predicted one.

use super::failure::Failure;
use super::world::World;
use crate::config::types::Config;
use crate::plan::{Action, Plan};
use crate::report::Element;
use crate::stages::files::{self, Input};
use crate::stages::{Phase, Stage};
use crate::view::RootPath;

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
pub fn carry_out(world: &mut dyn World, input: &Input<'_>, phases: &[Phase]) -> Result<(), Failure> {
    for phase in phases {
        let _phase = crate::log::phase(*phase);
        let planned = match phase {
            Phase::Accounts => files::accounts::plan(input, world.view()),
            Phase::Keys => files::keys::plan(input, world.view()),
            Phase::Nodes => files::nodes::plan(input, world.view()),
            Phase::Units => files::units::plan(input, world.view()),
            Phase::Presets => files::presets::plan(input, world.view()),
            Phase::Luks => files::luks::plan(input, world.view()),
            Phase::Result => files::result::plan(input, world.view()),
            Phase::Config => continue,
        };
        let plan = planned.map_err(|error| Failure::from_plan(Stage::Files, &error))?;
        world
            .advance(&plan)
            .map_err(|error| Failure::from_advance(Stage::Files, &error))?;
        for (user, path) in written_keys(input.config, &plan) {
            world.keys_written(user, path);
        }
    }
    Ok(())
}

/// Users whose key files a plan wrote, with the files. Only phase *keys* has any.
fn written_keys<'a>(config: &'a Config, plan: &'a Plan) -> impl Iterator<Item = (&'a str, &'a RootPath)> {
    plan.steps.iter().filter_map(|step| {
        let Action::WriteFile { path, .. } = &step.action else {
            return None;
        };
        let index = match step.cause.0.as_slice() {
            [_, _, Element::Index(index), Element::Key(key)] if key == "sshAuthorizedKeys" => *index,
            _ => return None,
        };
        let user = config.passwd.users.get(index)?;
        (plan.phase == Phase::Keys).then_some((user.name.as_str(), path))
    })
}
