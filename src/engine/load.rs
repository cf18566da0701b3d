//! Getting the config that a stage works on, and what the fetch stages make of it.

use std::path::Path;

use super::acquire::{self, Acquisition, From, Input};
use super::edges::Edges;
use super::failure::Failure;
use super::places::Places;
use super::render::Remote;
use super::state::State;
use crate::config::canonical;
use crate::config::origin::{Detail, Origins};
use crate::config::types::{Config, Hidden, Resource};
use crate::fetch::{Fetch, FetchError, Fetcher as _, read_all};
use crate::plan::Secret;
use crate::platform::Platform;
use crate::report::{Pointer, Position};
use crate::stages::Stage;
use crate::stages::fetch::Found;
use crate::sys::{HostFiles, Runner};
use crate::view::Digest;

/// Where the origins of the config's parts are kept for later stages, beside the state file.
const ORIGINS: &str = "origins.json";

/// More than the origins of a config with 100,000 files.
const ORIGINS_MAX: u64 = 64 << 20;

/// The most that one file of a plan may hold: a plan has its contents in memory.
const CONTENTS_MAX: u64 = 256 << 20;

/// Where the user config comes from.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// As at a boot: provider or cache, by stage
    Boot {
        /// Platform id
        platform: &'a str,
    },
    /// A file that the operator names, over the system's base configs
    File {
        /// Which
        path: &'a Path,
        /// Whose base configs count, too
        platform: Option<&'a str>,
    },
    /// A file and nothing else
    Alone(&'a Path),
}

/// Which config, and how.
pub struct Request<'a> {
    /// For which stage
    pub stage: Stage,
    /// Where from
    pub source: Source<'a>,
    /// Where the stages leave things for each other
    pub places: &'a Places,
    /// What happens to what a config refers to
    pub remote: Wanted,
    /// Starts programs of platforms
    pub runner: &'a dyn Runner,
}

/// What happens to what a config refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Configs are fetched now, contents of files when they are written
    Configs,
    /// Nothing is fetched; references are named
    Nothing,
    /// Contents of files, too, so that a plan can say what they are
    Contents,
}

/// A config, ready to be carried out.
#[derive(Debug)]
pub struct Loaded {
    /// Base and user config merged
    pub config: Config,
    /// What the fetch stages leave
    pub found: Found,
    /// SHA-512 of the user config as it came; of one from the cache it is not known
    pub received: Option<Digest>,
    origins: Origins,
}

impl Loaded {
    /// Adds to a failure which config it is about and where in it.
    pub fn locate(&self, mut failure: Failure) -> Failure {
        failure.wiped = crate::stages::disks::wiped(&self.config);
        failure
            .found(|pointer| self.origin(pointer))
            .of_config(|| self.received)
    }

    /// Where a part of the config stands: name of the config, line and column.
    pub fn origin(&self, pointer: &Pointer) -> Option<(String, Position)> {
        self.origins
            .lookup(&self.config, pointer)
            .map(|(name, at)| (name.to_owned(), at))
    }
}

/// Gets the config for a stage. What has been found out goes to `state`, too.
pub fn load(
    request: &Request<'_>,
    edges: &Edges,
    fetch: &mut Fetch<'_>,
    state: &mut State,
) -> Result<Loaded, Failure> {
    let stage = request.stage;
    let fetching = matches!(stage, Stage::FetchOffline | Stage::Fetch);
    let platform = match request.source {
        Source::Alone(_) => None,
        Source::File { platform, .. } => platform,
        Source::Boot { platform } => Some(platform),
    };
    let platform: Option<Platform> = platform
        .map(str::parse)
        .transpose()
        .map_err(|error| Failure::new(Some(stage), &error).exit(2))?;
    let from = match request.source {
        Source::File { path, .. } | Source::Alone(path) => From::File(path),
        Source::Boot { .. } if fetching => From::Provider,
        Source::Boot { .. } => From::Cache(&request.places.config_cache),
    };
    let input = Input {
        stage,
        from,
        alone: matches!(request.source, Source::Alone(_)),
        platform,
        remote: match request.remote {
            Wanted::Configs | Wanted::Contents => Remote::Fetch,
            Wanted::Nothing => Remote::List,
        },
        // Who asks for a plan wants the line of a flag, too.
        detail: match request.remote {
            Wanted::Configs => Detail::Entries,
            Wanted::Nothing | Wanted::Contents => Detail::Values,
        },
        runner: request.runner,
        environment: &edges.environment,
    };
    let mut received = None;
    let acquired = acquire::acquire(&input, fetch, &mut received)
        .map_err(|error| Failure::from_acquire(stage, &error).of_config(|| received))?;
    let acquired = match acquired {
        Acquisition::NeedNet { records } => {
            state.fetched_configs.extend(records);
            let found = Found {
                need_net: Some(request.places.neednet.clone()),
                ..Found::default()
            };
            return Ok(Loaded {
                config: acquire::empty(),
                found,
                received,
                origins: Origins::default(),
            });
        }
        Acquisition::Config(acquired) => acquired,
    };
    state.fetched_configs.extend(acquired.records);
    let places = request.places;
    let mut found = Found::default();
    let mut origins = acquired.origins;
    if fetching {
        let failed = |error: serde_json::Error| Failure::new(Some(stage), &error);
        state.provider_output_files.extend(acquired.output_files);
        let text = canonical::to_json(&acquired.config).map_err(failed)?;
        found.cache = Some((places.config_cache.clone(), Secret::new(text)));
        found.origins = Some((
            places.beside_state(ORIGINS),
            serde_json::to_vec(&origins).map_err(failed)?,
        ));
        found.need_net = acquired.need_net.then(|| places.neednet.clone());
    } else if matches!(request.source, Source::Boot { .. }) {
        origins = saved_origins(&edges.host, &places.beside_state(ORIGINS));
    }
    let mut config = match request.source {
        Source::Alone(_) => acquired.config,
        Source::Boot { .. } | Source::File { .. } => {
            let mut all = acquired.base.origins;
            all.append(origins);
            origins = all;
            acquire::full(acquired.base.config, acquired.config)
        }
    };
    found.unfetched = acquired
        .unfetched
        .into_iter()
        .map(|left| (left.pointer, left.url, left.hash))
        .collect();
    let mut loaded = Loaded {
        config: Config::default(),
        found,
        received,
        origins,
    };
    if request.remote == Wanted::Contents {
        let fetched = fetch_contents(&mut config, fetch);
        loaded.config = config;
        fetched.map_err(|(pointer, error)| {
            loaded.locate(
                Failure::new(Some(stage), &error)
                    .at(&pointer)
                    .doing("fetch what the file holds"),
            )
        })?;
    } else {
        loaded.config = config;
    }
    Ok(loaded)
}

/// Fetches what files have for contents, and puts it into the config.
fn fetch_contents(config: &mut Config, fetch: &Fetch<'_>) -> Result<(), (Pointer, FetchError)> {
    let files = Pointer::root().key("storage").key("files");
    for (index, file) in config.storage.files.iter_mut().enumerate() {
        let at = files.index(index);
        let append = file.append.iter_mut().enumerate();
        let parts = std::iter::once((at.key("contents"), &mut file.contents))
            .chain(append.map(|(index, part)| (at.key("append").index(index), part)));
        for (pointer, resource) in parts {
            if resource.source.is_some() {
                fetch_into(resource, fetch).map_err(|error| (pointer, error))?;
            }
        }
    }
    Ok(())
}

/// Puts what a resource stands for into the resource. Its hash was checked on the way.
fn fetch_into(resource: &mut Resource, fetch: &Fetch<'_>) -> Result<(), FetchError> {
    use base64::Engine as _;
    if crate::fetch::inline(resource)?.is_some() {
        return Ok(());
    }
    let bytes = read_all(
        fetch.open(resource)?,
        CONTENTS_MAX,
        &crate::fetch::shown(resource),
    )?;
    let data = base64::engine::general_purpose::STANDARD.encode(bytes);
    *resource = Resource {
        source: Some(Hidden(format!("data:;base64,{data}"))),
        ..Resource::default()
    };
    Ok(())
}

/// Origins that the fetch stage saved. They only serve messages: without them those name no line.
fn saved_origins(files: &dyn HostFiles, path: &Path) -> Origins {
    match files.read(path, ORIGINS_MAX) {
        Ok(Some(bytes)) => serde_json::from_slice(&bytes).unwrap_or_default(),
        Ok(None) => Origins::default(),
        Err(error) => {
            tracing::debug!("cannot read {}: {error}", path.display());
            Origins::default()
        }
    }
}
