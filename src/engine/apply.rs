//! `ignition-apply`: carries out, in a container, the part of a config that is about files (spec/cli.md 3).

use std::path::Path;
use std::time::Duration;

use super::Audience;
use super::edges::Edges;
use super::failure::Failure;
use super::keys::NoKeys;
use super::load::{self, Source};
use super::places::Places;
use super::stage::{self, Job};
use super::state::State;
use crate::cli::{ApplyArgs, Input};
use crate::config::types::Config;
use crate::fetch::settings::Settings;
use crate::report::Pointer;
use crate::stages::fetch::Found;
use crate::stages::{Phase, Rerun, Stage};
use crate::sys::HostFiles as _;

/// Files that container runtimes leave.
const MARKS: [&str; 2] = ["/run/.containerenv", "/.dockerenv"];

/// What is done in a container: no accounts, LUKS or result file.
const PHASES: [Phase; 3] = [Phase::Nodes, Phase::Units, Phase::Presets];

/// Applies a config; 0 or 1.
pub fn apply(args: &ApplyArgs) -> u8 {
    crate::sys::set_umask();
    match carry_out(args) {
        Ok(()) => 0,
        Err(failure) => super::tell(&failure.exit(1), Audience::Boot, None),
    }
}

fn carry_out(args: &ApplyArgs) -> Result<(), Failure> {
    let edges = Edges::of_this_machine();
    if !in_container(&edges)? {
        return Err(Failure::text(
            None,
            "this is no container (no /run/.containerenv, no /.dockerenv, no $container)",
            "a config is applied to a machine by its initrd, or to a directory by ignition-rs -stage files -config FILE \
             -root DIR",
        ));
    }
    let mut state = State::default();
    // No limit for the whole: upstream has none here (spec/cli.md 3).
    let mut fetch = edges.fetch(Settings::at_start(Duration::ZERO));
    let places = Places::of_a_boot();
    let request = load::Request {
        stage: if args.offline {
            Stage::FetchOffline
        } else {
            Stage::Fetch
        },
        source: Source::Alone(match &args.config {
            Input::File(path) => path,
            Input::Stdin => Path::new("/dev/stdin"),
        }),
        places: &places,
        remote: load::Wanted::Configs,
        runner: &edges.runner,
    };
    let loaded = load::load(&request, &edges, &mut fetch, &mut state)?;
    if args.offline && loaded.found.need_net.is_some() {
        let failure = Failure::text(
            None,
            "this needs the network, and --offline was given",
            "leave --offline out, or put the contents into the config",
        );
        return Err(match super::neednet::needed_for(&loaded.config) {
            Some(pointer) => loaded.locate(failure.at(&pointer)),
            None => loaded.locate(failure),
        });
    }
    let mut config = loaded.config.clone();
    if let Some(pointer) = unsupported(&config) {
        if !args.ignore_unsupported {
            let failure = Failure::text(
                None,
                "cannot be applied in a container",
                "take it out, or skip all such parts with --ignore-unsupported",
            );
            return Err(loaded.locate(failure.at(&pointer)));
        }
        config.passwd = crate::config::types::Passwd::default();
    }
    let found = Found::default();
    let aliases = places.beside_state(super::disks::ALIASES);
    let marks = places.beside_state(super::disks::MARKS);
    let job = Job {
        stage: Stage::Files,
        config: &config,
        state: &state,
        found: &found,
        rerun: Rerun::default(),
        phases: &PHASES,
        aliases: &aliases,
        marks: &marks,
        of_image: false,
    };
    stage::run(&job, &edges, &args.root, &fetch, &NoKeys).map_err(|failure| loaded.locate(failure))
}

fn in_container(edges: &Edges) -> Result<bool, Failure> {
    if edges
        .environment
        .container
        .as_ref()
        .is_some_and(|container| !container.is_empty())
    {
        return Ok(true);
    }
    for mark in MARKS {
        if edges
            .host
            .exists(Path::new(mark))
            .map_err(|error| Failure::new(None, &error))?
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The first part of a config that only a boot can carry out.
fn unsupported(config: &Config) -> Option<Pointer> {
    let storage = &config.storage;
    let kernel = &config.kernel_arguments;
    let parts = [
        (
            !kernel.should_exist.is_empty() || !kernel.should_not_exist.is_empty(),
            &["kernelArguments"][..],
        ),
        (!storage.disks.is_empty(), &["storage", "disks"]),
        (!storage.raid.is_empty(), &["storage", "raid"]),
        (!storage.luks.is_empty(), &["storage", "luks"]),
        (!storage.filesystems.is_empty(), &["storage", "filesystems"]),
        (!config.passwd.groups.is_empty(), &["passwd", "groups"]),
        (!config.passwd.users.is_empty(), &["passwd", "users"]),
    ];
    parts.iter().find(|(asked, _)| *asked).map(|(_, path)| {
        path.iter()
            .fold(Pointer::root(), |pointer, key| pointer.key(*key))
    })
}
