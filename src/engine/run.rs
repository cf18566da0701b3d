//! `ignition -stage …`: one stage of a boot, or of a config on a workstation.

use std::time::Duration;

use super::Audience;
use super::disks::{ALIASES, MARKS};
use super::edges::Edges;
use super::failure::Failure;
use super::keys::StateKeys;
use super::load::{self, Loaded, Source, Wanted};
use super::places::Places;
use super::stage::{self, Job};
use super::state::State;
use super::told::Told;
use super::world::{DryRun, World as _};
use crate::cli::{EngineArgs, PlanFormat};
use crate::fetch::settings::Settings;
use crate::fetch::{CONFIG_LIMIT, Fetch};
use crate::stages::{Phase, Rerun, Stage};
use crate::sys::devices::BlockDevices as _;
use crate::sys::host::{Host, private_directory};
use crate::sys::lock::RunLock;
use crate::sys::probe::Probe;
use crate::sys::runner::NoPrograms;
use crate::sys::terminal;
use crate::sys::{HostFiles as _, Runner};
use crate::view::Digest;

/// How long a stage waits for another run to end.
const LOCK_WAIT: Duration = Duration::from_secs(60);

/// How long a dry run tries to fetch one thing: nobody waits for ever at a terminal.
pub(super) const DRY_RUN_MOST: Duration = Duration::from_secs(60);

/// Runs a stage and returns the exit code (spec/cli.md 2).
pub fn run(args: &EngineArgs) -> u8 {
    crate::sys::set_umask();
    let _stage = crate::log::stage(args.stage);
    // With `--config` a workstation is left as it was.
    let kept = (!args.dry_run && args.config.is_none()).then(|| Places::of(args).beside_state(super::DIGEST));
    let (done, audience) = if args.dry_run {
        (dry_run(args), Audience::Terminal)
    } else {
        // What an earlier run said is over.
        if let Some(kept) = &kept
            && let Err(error) = Host.remove(kept)
        {
            tracing::debug!("cannot remove {}: {error}", kept.display());
        }
        (real_run(args), Audience::Boot)
    };
    match done {
        Ok(()) => 0,
        Err(failure) => super::tell(&failure.of_config(|| cached(args)), audience, kept.as_deref()),
    }
}

/// SHA-512 of the cache, for the stages that work on it.
fn cached(args: &EngineArgs) -> Option<Digest> {
    if args.config.is_some() || matches!(args.stage, Stage::FetchOffline | Stage::Fetch) {
        return None;
    }
    let bytes = Host.read(&args.config_cache, CONFIG_LIMIT).ok()??;
    Some(Digest::of(&bytes))
}

fn real_run(args: &EngineArgs) -> Result<(), Failure> {
    let edges = Edges::of_this_machine();
    let mut fetch = edges.fetch(Settings::at_start(args.fetch_timeout).until(super::deadline::of(&edges)));
    let told = Told::new(args, &edges);
    let done = locked(args, &edges, &mut fetch, &told);
    told.post(&done, &fetch.settings);
    done
}

/// Takes the lock of the run, and tells what happens under it.
fn locked(args: &EngineArgs, edges: &Edges, fetch: &mut Fetch<'_>, told: &Told<'_>) -> Result<(), Failure> {
    let stage = args.stage;
    let failed = |error: &(dyn std::error::Error + 'static)| Failure::new(Some(stage), error);
    tracing::info!(
        "ignition-rs {} for Ignition {}",
        crate::VERSION,
        crate::UPSTREAM_VERSION
    );
    // With `--config` a workstation is left as it was.
    let private = args
        .config
        .as_ref()
        .map(|_| private_directory())
        .transpose()
        .map_err(|error| failed(&error))?;
    let places = private
        .as_ref()
        .map_or_else(|| Places::of(args), |private| Places::below(private.path()));
    let _lock = RunLock::take(&places.beside_state("lock"), LOCK_WAIT, &edges.clock)
        .map_err(|error| failed(&error).doing("wait for other runs to end"))?;
    told.begins(&places);
    let done = carry_out(args, edges, fetch, &places).map_err(|failure| failure.of_config(|| cached(args)));
    told.ends(&done);
    if let Some(private) = private.filter(|_| done.is_ok() && stage != Stage::Files) {
        tracing::info!("state and cache of this run are in {}", private.keep().display());
    }
    done
}

fn carry_out(
    args: &EngineArgs,
    edges: &Edges,
    fetch: &mut Fetch<'_>,
    places: &Places,
) -> Result<(), Failure> {
    let stage = args.stage;
    let failed = |error: &(dyn std::error::Error + 'static)| Failure::new(Some(stage), error);
    let mut state = State::load(&edges.host, &places.state_file)
        .map_err(|error| failed(&error).doing("read the state file").exit(3))?;
    let request = request(args, places, Wanted::Configs, &edges.runner);
    let loaded = load::load(&request, edges, fetch, &mut state)?;
    let aliases = places.beside_state(ALIASES);
    let marks = places.beside_state(MARKS);
    let job = Job {
        stage,
        config: &loaded.config,
        state: &state,
        found: &loaded.found,
        rerun: rerun(args, edges),
        phases: &super::files::PHASES,
        aliases: &aliases,
        marks: &marks,
        of_image: false,
    };
    let keys = StateKeys::new(&edges.host, &places.state_file, state.clone());
    stage::run(&job, edges, &args.root, fetch, &keys).map_err(|failure| loaded.locate(failure))?;
    state = keys.into_state();
    if stage == Stage::Files {
        // Their use is over with this stage (spec/mount_files.md 8).
        state.luks_persist_key_files.clear();
    }
    state
        .save(&edges.host, &places.state_file)
        .map_err(|error| failed(&error).doing("write the state file"))?;
    if matches!(stage, Stage::FetchOffline | Stage::Fetch) {
        for config in &state.fetched_configs {
            crate::log::journal_config(config.kind.name(), &config.source, config.referenced);
        }
    }
    tracing::info!("stage {stage} succeeded");
    Ok(())
}

fn dry_run(args: &EngineArgs) -> Result<(), Failure> {
    let edges = Edges::of_this_machine();
    let stage = args.stage;
    let places = Places::of(args);
    let mut state = if args.config.is_some() {
        State::default()
    } else {
        State::load(&edges.host, &places.state_file)
            .map_err(|error| Failure::new(Some(stage), &error).exit(3))?
    };
    let mut fetch = edges.fetch(Settings::at_start(args.fetch_timeout).at_most(DRY_RUN_MOST));
    let loaded = load::load(
        &request(args, &places, wanted(args.fetch), &NoPrograms),
        &edges,
        &mut fetch,
        &mut state,
    )?;
    let aliases = places.beside_state(ALIASES);
    let marks = places.beside_state(MARKS);
    let job = Job {
        stage,
        config: &loaded.config,
        state: &state,
        found: &loaded.found,
        rerun: rerun(args, &edges),
        phases: &super::files::PHASES,
        aliases: &aliases,
        marks: &marks,
        of_image: false,
    };
    let root = stage::open_root(stage, &args.root)?;
    let progress = crate::exec::progress::read(&root).map_err(|error| Failure::new(Some(stage), &error))?;
    let devices = edges.devices.clone().remembering_in(marks.clone());
    let probe = Probe::new(&root, None).with_devices(devices.devices());
    let mut world = DryRun::new(&probe);
    if !matches!(stage, Stage::FetchOffline | Stage::Fetch) {
        let unknown = crate::stages::fetch::plan_unfetched(stage, &loaded.found);
        world
            .advance(unknown)
            .map_err(|error| Failure::from_advance(stage, Phase::Config, &error))?;
    }
    stage::predict(&job, &edges, &super::mounts::text(&root), &progress, &mut world)
        .map_err(|failure| loaded.locate(failure))?;
    let plans = stage::plans(world);
    say_unread(&probe);
    show(&plans, devices.devices(), args.plan_format, &loaded, &edges)
}

/// What the flag says, else the kernel command line: of a workstation it means nothing.
fn rerun(args: &EngineArgs, edges: &Edges) -> Rerun {
    match args.rerun {
        Some(rerun) => rerun,
        None if args.config.is_some() => Rerun::default(),
        None => super::rerun::of(edges),
    }
}

/// What a dry run fetches.
pub(super) fn wanted(fetch: bool) -> Wanted {
    if fetch { Wanted::Contents } else { Wanted::Nothing }
}

/// Says what this user may not read: the plan takes it for missing.
pub(super) fn say_unread(probe: &Probe<'_>) {
    for path in probe.unread() {
        terminal::print(
            true,
            &format!(
                "ignition: may not look at {path}: the plan takes it for missing or different; root sees it\n"
            ),
        );
    }
}

/// Columns of a plan in text, unless one of its words is longer.
const COLUMNS: usize = 100;

/// Prints plans. `devices` is the machine as it is before them.
pub(super) fn show(
    plans: &[crate::plan::Plan],
    devices: &dyn crate::view::Devices,
    format: PlanFormat,
    loaded: &Loaded,
    edges: &Edges,
) -> Result<(), Failure> {
    use crate::plan::render::{self, Style};
    let origin = |pointer: &crate::report::Pointer| {
        loaded
            .origin(pointer)
            .map(|(name, at)| format!("{name}:{}:{}", at.line, at.column))
    };
    let disks = render::disks(plans, devices);
    let mut text = String::new();
    match format {
        PlanFormat::Text => {
            let style = Style {
                colour: terminal::wants_colour(&edges.environment),
                width: Some(COLUMNS),
                fold: false,
            };
            render::text(&mut text, plans, &disks, style, &origin)
                .map_err(|error| Failure::new(None, &error))?;
        }
        PlanFormat::Json => {
            text = render::json(plans, &disks, &origin)
                .to_text()
                .map_err(|error| Failure::new(None, &error))?;
        }
    }
    if terminal::print(false, &text) {
        Ok(())
    } else {
        Err(Failure::text(
            None,
            "cannot write the plan to stdout",
            "see whether the disk is full, or the reader gone",
        ))
    }
}

fn request<'a>(
    args: &'a EngineArgs,
    places: &'a Places,
    remote: Wanted,
    runner: &'a dyn Runner,
) -> load::Request<'a> {
    load::Request {
        stage: args.stage,
        source: match &args.config {
            Some(path) => Source::File {
                path,
                platform: args.platform.as_deref(),
            },
            None => Source::Boot {
                platform: args.platform.as_deref().unwrap_or_default(),
            },
        },
        places,
        remote,
        runner,
    }
}
