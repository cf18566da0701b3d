//! `ignition-rs plan`: all stages, over predicted facts.

use std::path::Path;

use super::Audience;
use super::edges::Edges;
use super::failure::Failure;
use super::load::{self, Source};
use super::places::Places;
use super::run::DRY_RUN_MOST;
use super::stage::{self, Job};
use super::state::State;
use super::world::DryRun;
use crate::cli::{Input, PlanArgs};
use crate::fetch::settings::Settings;
use crate::plan::render::Summary;
use crate::stages::Stage;
use crate::sys::devices::BlockDevices as _;
use crate::sys::probe::Probe;
use crate::sys::runner::NoPrograms;

/// Shows what all stages would do; 0 nothing, 2 changes, 3 something is destroyed, 1 it cannot be done.
pub fn plan(args: &PlanArgs) -> u8 {
    match show(args) {
        Ok(code) => code,
        Err(failure) => super::tell(&failure.exit(1), Audience::Terminal, None),
    }
}

fn show(args: &PlanArgs) -> Result<u8, Failure> {
    if let Some(image) = &args.image {
        return super::image::plan(args, image);
    }
    let edges = Edges::of_this_machine();
    let mut state = State::default();
    let mut fetch = edges.fetch(Settings::at_start(DRY_RUN_MOST).at_most(DRY_RUN_MOST));
    let places = Places::of_a_boot();
    let request = load::Request {
        stage: Stage::Fetch,
        source: Source::File {
            path: match &args.config {
                Input::File(path) => path,
                Input::Stdin => Path::new("/dev/stdin"),
            },
            platform: args.platform.as_deref(),
        },
        places: &places,
        remote: super::run::wanted(args.fetch),
        runner: &NoPrograms,
    };
    let loaded = load::load(&request, &edges, &mut fetch, &mut state)?;
    let root = stage::open_root(Stage::Files, args.root.as_deref().unwrap_or(Path::new("/")))?;
    let progress = crate::exec::progress::read(&root).map_err(|error| Failure::new(None, &error))?;
    let aliases = places.beside_state(super::disks::ALIASES);
    let marks = places.beside_state(super::disks::MARKS);
    let devices = edges.devices.clone().remembering_in(marks.clone());
    let probe = Probe::new(&root, None).with_devices(devices.devices());
    let text = super::mounts::text(&root);
    let mut world = DryRun::new(&probe);
    for stage in [
        Stage::Fetch,
        Stage::Kargs,
        Stage::Disks,
        Stage::Mount,
        Stage::Files,
        Stage::Umount,
    ] {
        let job = Job {
            stage,
            config: &loaded.config,
            state: &state,
            found: &loaded.found,
            rerun: args.rerun,
            phases: &super::files::PHASES,
            aliases: &aliases,
            marks: &marks,
            of_image: false,
        };
        stage::predict(&job, &edges, &text, &progress, &mut world)
            .map_err(|failure| loaded.locate(failure))?;
    }
    let plans = stage::plans(world);
    super::run::say_unread(&probe);
    super::run::show(&plans, devices.devices(), args.format, &loaded, &edges)?;
    Ok(Summary::of(&plans).exit_code())
}
