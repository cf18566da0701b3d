//! One stage over a config that is there: on the real machine, or predicted.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::beside::beside;
use super::cmdline;
use super::disks;
use super::edges::Edges;
use super::failure::Failure;
use super::files;
use super::keys::Keeper;
use super::mounts;
use super::state::{Kind, State};
use super::world::{DryRun, Real, World};
use crate::config::canonical;
use crate::config::types::Config;
use crate::exec::progress::{self, Record};
use crate::exec::{Machine, VolumeKeys};
use crate::fetch::Fetcher;
use crate::flags::parse_duration;
use crate::plan::device::{CEX_KEY, DeviceAction, Key, VolumeAction};
use crate::plan::{Action, Content, Plan, Secret};
use crate::report::chain;
use crate::stages::fetch::Found;
use crate::stages::files::{Input, RunFacts, StateFacts};
use crate::stages::{Phase, Progress, Rerun, Stage};
use crate::sys::devices::{BlockDevices as _, DEVICE_WAIT, RealDevices};
use crate::sys::probe::Probe;
use crate::sys::sysroot::Sysroot;
use crate::sys::tool::Tool;
use crate::sys::{Clock as _, Invocation, Runner as _};
use crate::view::{Digest, RootPath};

/// What a stage works on.
#[derive(Debug)]
pub struct Job<'a> {
    /// Which stage
    pub stage: Stage,
    /// The config it carries out: base and user config merged
    pub config: &'a Config,
    /// What earlier stages left
    pub state: &'a State,
    /// What the fetch stages have found out; empty for others
    pub found: &'a Found,
    /// What is done about what an earlier run left
    pub rerun: Rerun,
    /// Phases of the files stage; `ignition-apply` leaves some out
    pub phases: &'a [Phase],
    /// Where links to the devices of the config are kept between stages
    pub aliases: &'a Path,
    /// Where it is noted on which devices filesystems are being made
    pub marks: &'a Path,
    /// Whether the root is that of an image, of which this machine's own programs know nothing
    pub of_image: bool,
}

/// Carries a stage out.
pub fn run(
    job: &Job<'_>,
    edges: &Edges,
    root: &Path,
    fetcher: &dyn Fetcher,
    keys: &dyn Keeper,
) -> Result<(), Failure> {
    let failed = |error: &(dyn std::error::Error + 'static)| Failure::new(Some(job.stage), error);
    let stage = job.stage;
    crate::sys::signals::watch().map_err(|error| failed(&error))?;
    match stage {
        Stage::Mount => return mounts::mount(job, edges, root, fetcher, keys),
        Stage::Umount => return mounts::unmount(job, edges, root, fetcher, keys),
        Stage::FetchOffline | Stage::Fetch | Stage::Kargs | Stage::Disks | Stage::Files => {}
    }
    let sysroot = open_root(stage, root)?;
    let devices = devices(job, edges);
    let probe = probe(job, &sysroot, edges, &devices);
    let machine = machine(&sysroot, edges, fetcher, &devices, keys.as_volume_keys());
    if stage == Stage::Disks {
        let mut world =
            Real::new(&probe, &machine, Record::none(&sysroot)).with_aliases(job.aliases.to_owned());
        return disks::run(&mut world, &probe, job.config);
    }
    if stage != Stage::Files {
        let mut world = Real::new(&probe, &machine, Record::none(&sysroot));
        return world
            .advance(one_plan(job))
            .map_err(|error| Failure::from_advance(stage, phase_of(stage), &error));
    }

    let unfinished = progress::read(&sysroot)
        .map_err(|error| failed(&error).doing("read what an earlier run has done"))?;
    let unfinished = if unfinished.is_some() {
        let config = config_digest(job.config)?;
        refuse_another(&unfinished, config, job.rerun)?;
        say_unfinished(&unfinished, config);
        unfinished.seen_by(config)
    } else {
        unfinished
    };
    let live = !job.of_image && is_live_image(&sysroot, edges);
    let facts = run_facts(job, edges, live)?;
    let input = input(job, &facts, &unfinished, &NO_KEYS);
    // A rehearsal: what would be refused in a later phase is refused now, while the root is untouched.
    let mut rehearsal = DryRun::new(&probe);
    // Of a large config the digest takes a fifth of the time.
    let (config, rehearsed) = beside(
        || config_digest(job.config),
        || files::carry_out(&mut rehearsal, &input, job.phases, Vec::new()),
    );
    rehearsed.map_err(Failure::before_anything)?;
    let config = config?;
    let mut rehearsed = plans(rehearsal);
    for directory in leftover_places(&unfinished) {
        // It may have been seen with them.
        rehearsed.clear();
        sysroot
            .remove_leftovers(&directory)
            .map_err(|error| failed(&error))?;
    }
    if unfinished.is_some() {
        crate::sys::accounts::remove_leftovers(&sysroot).map_err(|error| failed(&error))?;
        probe.forget();
    }
    let mut world = Real::new(&probe, &machine, Record::new(&sysroot, config));
    files::carry_out(&mut world, &input, job.phases, rehearsed)?;
    // What was done must be on the disk before the record that would let it be done again goes.
    sysroot
        .sync_touched()
        .map_err(|error| failed(&error).doing("make durable what was done"))?;
    // Their volumes are finished, too: a mark that stays would have them made anew.
    let marks = crate::stages::disks::volumes::finish(job.config, config, &probe)
        .map_err(|error| Failure::from_plan(stage, Some(Phase::Volumes), &error))?;
    world
        .advance(marks)
        .map_err(|error| Failure::from_advance(stage, Phase::Volumes, &error))?;
    world
        .into_record()
        // Where the stage mount has begun in this boot, the stage umount will end it.
        .finish(job.state.kept_mounts.is_some())
        .map_err(|error| failed(&error).doing("write down that everything is done"))
}

/// The phase of a stage that has only one.
pub(super) fn phase_of(stage: Stage) -> Phase {
    match stage {
        Stage::Kargs => Phase::Arguments,
        Stage::Mount => Phase::Mounts,
        Stage::Umount => Phase::Unmounts,
        _ => Phase::Config,
    }
}

/// The plan of a stage that needs nothing of the machine to decide.
fn one_plan(job: &Job<'_>) -> Plan {
    match job.stage {
        Stage::Kargs => crate::stages::kargs::plan(job.config),
        stage => crate::stages::fetch::plan(stage, job.found),
    }
}

/// The machine's devices as a real run of the stage has them.
pub(super) fn devices(job: &Job<'_>, edges: &Edges) -> RealDevices {
    edges
        .devices
        .clone()
        .waiting_at_most(device_wait(edges))
        .remembering_in(job.marks.to_owned())
}

/// The root and the devices as a real run sees them.
pub(super) fn probe<'a>(
    job: &Job<'_>,
    sysroot: &'a Sysroot,
    edges: &'a Edges,
    devices: &'a RealDevices,
) -> Probe<'a> {
    Probe::new(sysroot, Some(&edges.runner))
        .with_devices(devices.devices())
        .with_aliases(job.aliases.to_owned())
}

/// What a real run acts on.
pub(super) fn machine<'a>(
    sysroot: &'a Sysroot,
    edges: &'a Edges,
    fetcher: &'a dyn Fetcher,
    devices: &'a RealDevices,
    keys: &'a dyn VolumeKeys,
) -> Machine<'a> {
    Machine {
        root: sysroot,
        devices,
        keys,
        runner: &edges.runner,
        host: &edges.host,
        fetcher,
        events: &edges.events,
        clock: &edges.clock,
        stop: &crate::sys::signals::terminated,
    }
}

/// Predicts a stage over a world that may have been predicted already. `root` is where the root is, as plans name it.
pub fn predict(
    job: &Job<'_>,
    edges: &Edges,
    root: &str,
    progress: &Progress,
    world: &mut DryRun<'_>,
) -> Result<(), Failure> {
    match job.stage {
        Stage::Disks => disks::carry_out(world, job.config, None),
        Stage::Mount | Stage::Umount => mounts::predict(job, root, world),
        Stage::FetchOffline | Stage::Fetch | Stage::Kargs => world
            .advance(one_plan(job))
            .map_err(|error| Failure::from_advance(job.stage, phase_of(job.stage), &error)),
        Stage::Files => {
            let facts = run_facts(job, edges, false)?;
            let config = config_digest(job.config)?;
            refuse_another(progress, config, job.rerun)?;
            let progress = progress.clone().seen_by(config);
            let keys = planned_keys(world.plans());
            files::carry_out(
                world,
                &input(job, &facts, &progress, &keys),
                job.phases,
                Vec::new(),
            )
        }
    }
}

/// How long devices are waited for: `ignition.devices.timeout` on the kernel command line, in seconds or as a Go duration.
fn device_wait(edges: &Edges) -> Duration {
    let line = edges.kernel_command_line().unwrap_or_default();
    let Some(value) = cmdline::value(&line, "ignition.devices.timeout") else {
        return DEVICE_WAIT;
    };
    read_wait(&value).unwrap_or_else(|| {
        tracing::warn!("ignition.devices.timeout is neither seconds nor a duration such as 2m0s: {value:?}");
        DEVICE_WAIT
    })
}

fn read_wait(value: &str) -> Option<Duration> {
    let seconds = value.parse().map(Duration::from_secs).ok();
    seconds.or_else(|| parse_duration(value).ok())
}

/// Opens the root of a stage.
pub fn open_root(stage: Stage, root: &Path) -> Result<Sysroot, Failure> {
    // Only these stages have to do with it, and the harness gives others an empty one.
    let concerned = matches!(stage, Stage::Mount | Stage::Files | Stage::Umount);
    let root = if !concerned || root.as_os_str().is_empty() {
        Path::new("/")
    } else {
        root
    };
    Sysroot::open(root).map_err(|error| {
        Failure::text(
            Some(stage),
            format!("cannot use {} as the root: {}", root.display(), chain(&error)),
            "it must be an existing directory",
        )
        .doing("open the root")
    })
}

/// SHA-512 of a config, by which a run is known again.
pub fn config_digest(config: &Config) -> Result<Digest, Failure> {
    canonical::digest(config).map_err(|error| Failure::new(None, &error))
}

/// What a real run has planned of keys: they are in the state file by then.
static NO_KEYS: BTreeMap<String, Content> = BTreeMap::new();

/// The keys that a dry run's disks stage would leave in the state file. One that would be read from the initrd stands as
/// something to be fetched from there: it is not known now.
fn planned_keys(plans: &[Plan]) -> BTreeMap<String, Content> {
    let steps = plans.iter().flat_map(|plan| &plan.steps);
    let keys = steps.filter_map(|step| {
        let Action::Device(DeviceAction::Volume(VolumeAction::SaveKey(saved))) = &step.action else {
            return None;
        };
        let key = match &saved.key {
            Key::Generated { bytes } => Content::known(bytes.reveal().as_slice()),
            Key::File(content) => content.clone(),
            Key::Cex => Content::Remote {
                url: CEX_KEY.to_owned(),
                hash: None,
                resource: Secret::default(),
            },
        };
        Some((saved.name.clone(), key))
    });
    keys.collect()
}

fn input<'a>(
    job: &'a Job<'_>,
    run: &'a RunFacts,
    progress: &'a Progress,
    planned_keys: &'a BTreeMap<String, Content>,
) -> Input<'a> {
    let state = StateFacts {
        notated_directories: &job.state.notated_directories,
        luks_key_files: &job.state.luks_persist_key_files,
        planned_keys,
        luks_volume_key_files: &job.state.luks_persist_volume_key_files,
        provider_files: &job.state.provider_output_files,
    };
    Input {
        config: job.config,
        state,
        run,
        progress,
        rerun: job.rerun,
    }
}

fn run_facts(job: &Job<'_>, edges: &Edges, live_image: bool) -> Result<RunFacts, Failure> {
    let boot_id =
        crate::sys::host::boot_id(&edges.host).map_err(|error| Failure::new(Some(job.stage), &error))?;
    Ok(RunFacts {
        boot_id,
        date: edges.clock.now(),
        user_config_provided: job
            .state
            .fetched_configs
            .iter()
            .any(|config| config.kind == Kind::User),
        live_image,
        key_fragments: key_fragments(edges)?,
    })
}

/// `IGNITION_WRITE_AUTHORIZED_KEYS_FRAGMENT` (spec/cli.md 7).
fn key_fragments(edges: &Edges) -> Result<bool, Failure> {
    match edges
        .environment
        .write_authorized_keys_fragment
        .as_deref()
        .map(|value| value.to_str())
    {
        None | Some(Some("" | "true" | "1")) => Ok(true),
        Some(Some("false" | "0")) => Ok(false),
        Some(_) => Err(Failure::text(
            None,
            "IGNITION_WRITE_AUTHORIZED_KEYS_FRAGMENT is neither true, 1, false nor 0",
            "correct it in the environment",
        )),
    }
}

/// Asks `is-live-image`, if there is an old result file to decide about and the distribution has the program.
fn is_live_image(root: &Sysroot, edges: &Edges) -> bool {
    let result = RootPath::from(crate::stages::files::result::RESULT);
    let there = matches!(
        root.follow(&result).and_then(|path| root.node(&path)),
        Ok(Some(_))
    );
    there
        && edges
            .runner
            .run(&Invocation::new(Tool::IsLiveImage, Vec::<&str>::new()))
            .is_ok()
}

/// Refuses to go on where a run with another config was not finished, if that is asked for.
fn refuse_another(unfinished: &Progress, config: Digest, rerun: Rerun) -> Result<(), Failure> {
    match unfinished.config {
        Some(before) if before != config && rerun == Rerun::Strict => Err(Failure::text(
            Some(Stage::Files),
            "an earlier run with another config did not finish, and ignition.rerun=strict is set",
            "give the same config, wipe the root, or remove /.ignition-progress from it",
        )),
        _ => Ok(()),
    }
}

/// Says what an unfinished run means for this one.
fn say_unfinished(unfinished: &Progress, config: Digest) {
    match unfinished.config {
        None => {}
        Some(before) if before == config && unfinished.finished => {
            crate::log::notice(
                &"an earlier run was done, and its boot did not come to its end; what it made is kept",
            );
        }
        Some(before) if before == config => {
            crate::log::notice(&"an earlier run did not finish; continuing where it left off");
        }
        Some(_) => {
            crate::log::notice(
                &"an earlier run with another config did not finish; what only that one asked for stays as it is",
            );
        }
    }
}

/// Directories in which an interrupted run may have left files under temporary names.
fn leftover_places(unfinished: &Progress) -> std::collections::BTreeSet<RootPath> {
    let mut places = unfinished.places();
    if unfinished.is_some() {
        // Where accounts and the record are.
        places.insert(RootPath::root());
        places.insert(RootPath::from("/etc"));
    }
    places
}

/// The plans of a dry run, as they were made.
pub fn plans(world: DryRun<'_>) -> Vec<Plan> {
    world.into_parts().0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_seconds_or_durations() {
        for (value, seconds) in [
            ("90", Some(90)),
            ("0", Some(0)),
            ("2m0s", Some(120)),
            ("-1", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(read_wait(value), seconds.map(Duration::from_secs), "{value}");
        }
    }
}
