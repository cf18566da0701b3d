//! Getting the config that a stage works on, and what the fetch stages make of it.

use std::path::{Path, PathBuf};

use super::acquire::{self, Acquisition, From, Input};
use super::edges::Edges;
use super::failure::Failure;
use super::render::Remote;
use super::run::Places;
use super::state::State;
use crate::config::canonical;
use crate::config::origin::Origins;
use crate::config::types::Config;
use crate::fetch::Fetch;
use crate::plan::Secret;
use crate::platform::Platform;
use crate::report::{Pointer, Position};
use crate::stages::Stage;
use crate::stages::fetch::Found;
use crate::sys::HostFiles;

/// Where the origins of the config's parts are kept for later stages, beside the state file.
const ORIGINS: &str = "origins.json";

/// More than the origins of a config with 100,000 files.
const ORIGINS_MAX: u64 = 64 << 20;

/// Where the user config comes from.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// As at a boot: provider or cache, by stage
    Boot {
        /// Platform id
        platform: &'a str,
    },
    /// A file that the operator names, over the system's base configs
    File(&'a Path),
    /// A file and nothing else
    Alone(&'a Path),
}

/// Which config, and how.
#[derive(Debug)]
pub struct Request<'a> {
    /// For which stage
    pub stage: Stage,
    /// Where from
    pub source: Source<'a>,
    /// Where the stages leave things for each other
    pub places: &'a Places,
    /// Whether references are fetched
    pub fetch: bool,
}

/// A config, ready to be carried out.
#[derive(Debug)]
pub struct Loaded {
    /// Base and user config merged
    pub config: Config,
    /// What the fetch stages leave
    pub found: Found,
    origins: Origins,
}

impl Loaded {
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
        Source::File(_) | Source::Alone(_) => None,
        Source::Boot { platform } => {
            let platform: Platform = platform
                .parse()
                .map_err(|error| Failure::new(Some(stage), &error).exit(2))?;
            Some(platform)
        }
    };
    let from = match request.source {
        Source::File(path) | Source::Alone(path) => From::File(path),
        Source::Boot { .. } if fetching => From::Provider,
        Source::Boot { .. } => From::Cache(&request.places.config_cache),
    };
    let input = Input {
        stage,
        from,
        platform,
        remote: if request.fetch {
            Remote::Fetch
        } else {
            Remote::List
        },
        runner: &edges.runner,
        environment: &edges.environment,
    };
    let acquired = match acquire::acquire(&input, fetch).map_err(|error| Failure::new(Some(stage), &error))? {
        Acquisition::NeedNet { records } => {
            state.fetched_configs.extend(records);
            let found = Found {
                need_net: Some(request.places.neednet.clone()),
                ..Found::default()
            };
            return Ok(Loaded {
                config: acquire::empty(),
                found,
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
        origins = saved_origins(&edges.host, places.beside_state(ORIGINS));
    }
    let config = match request.source {
        Source::Alone(_) => acquired.config,
        Source::Boot { .. } | Source::File(_) => acquire::full(acquired.base, acquired.config),
    };
    found.unfetched = acquired
        .unfetched
        .into_iter()
        .map(|left| (left.pointer, left.url, left.hash))
        .collect();
    Ok(Loaded {
        config,
        found,
        origins,
    })
}

/// Origins that the fetch stage saved. They only serve messages: without them those name no line.
fn saved_origins(files: &dyn HostFiles, path: PathBuf) -> Origins {
    match files.read(&path, ORIGINS_MAX) {
        Ok(Some(bytes)) => serde_json::from_slice(&bytes).unwrap_or_default(),
        Ok(None) => Origins::default(),
        Err(error) => {
            tracing::debug!("cannot read {}: {error}", path.display());
            Origins::default()
        }
    }
}
