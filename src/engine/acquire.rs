//! Getting the config of a run: base fragments, then kernel command line, `user.ign` or platform; rendering; the final
//! check (spec/fetch.md 1–3). Stages that do not fetch read the cache instead.

use std::path::{Path, PathBuf};

use base64::Engine as _;

use crate::config::ParseError;
use crate::config::merge::merge;
use crate::config::origin::{Detail, Origins};
use crate::config::types::{Config, File, Resource};
use crate::config::validate::validators;
use crate::config::version::Version;
use crate::events::{Done, Fetched};
use crate::fetch::{CONFIG_LIMIT, Fetch, FetchError, shown};
use crate::platform::{Answer, Platform, PlatformError, Transports};
use crate::report::{Pointer, Position, Report, Severity};
use crate::stages::Stage;
use crate::sys::{Environment, Runner};
use crate::view::Digest;

use super::cache::{self, CacheFileError};
use super::cmdline;
use super::log;
use super::neednet;
use super::render::{ReferenceError, Remote, Renderer, Sourced, Stop, Unfetched, parse};
use super::state::{FetchedConfig, Kind};
use super::system::{self, Base, SystemDirs, SystemError};

/// The kernel's command line.
const CMDLINE: &str = "/proc/cmdline";

/// Where the user config comes from.
#[derive(Clone, Copy, Debug)]
pub enum From<'p> {
    /// Kernel command line, `user.ign`, platform; for the stages that fetch
    Provider,
    /// The cache file; for the other stages
    Cache(&'p Path),
    /// A file that the operator names: `--config`. Unlike user data it must be a config
    File(&'p Path),
}

/// What getting a config depends on, beside the fetcher.
pub struct Input<'a> {
    /// Which stage
    pub stage: Stage,
    /// Where the user config comes from
    pub from: From<'a>,
    /// Whether nothing but that counts: no base configs
    pub alone: bool,
    /// The platform; may be absent only with [`From::File`]
    pub platform: Option<Platform>,
    /// What happens to references that need the network
    pub remote: Remote,
    /// How much is remembered of where values stood
    pub detail: Detail,
    /// Programs, for platforms
    pub runner: &'a dyn Runner,
    /// Environment
    pub environment: &'a Environment,
}

/// What came of it.
#[derive(Debug)]
pub enum Acquisition {
    /// The network is needed to get the config at all (fetch-offline): no cache is written
    NeedNet {
        /// What to add to the state
        records: Vec<FetchedConfig>,
    },
    /// The config is there
    Config(Box<Acquired>),
}

/// The config of a run, and how it was got.
#[derive(Debug)]
pub struct Acquired {
    /// The user config, rendered and checked. Goes into the cache
    pub config: Config,
    /// The base config and where its parts come from. Stays out of the cache
    pub base: Base,
    /// What to add to the state
    pub records: Vec<FetchedConfig>,
    /// Which document each part of `config` comes from; empty if it comes from the cache
    pub origins: Origins,
    /// What the platform wants written, for the state
    pub output_files: Vec<File>,
    /// fetch-offline only: whether carrying the config out takes the network, so that the flag is set beside the cache
    pub need_net: bool,
    /// References that were left out
    pub unfetched: Vec<Unfetched>,
}

impl Acquired {
    /// The config that stages work on: user over base.
    pub fn full(&self) -> Config {
        full(self.base.config.clone(), self.config.clone())
    }
}

/// As [`Acquired::full`], of its parts.
pub fn full(base: Config, user: Config) -> Config {
    merge(empty(), merge(base, user))
}

/// The config that says nothing.
pub fn empty() -> Config {
    let mut config = Config::default();
    Version::NEWEST.name().clone_into(&mut config.ignition.version);
    config
}

/// Why there is no config.
#[derive(Debug, thiserror::Error)]
pub enum AcquireError {
    /// The system's own config files.
    #[error("cannot read the system's config")]
    System(#[source] SystemError),
    /// The kernel's command line.
    #[error("cannot read {CMDLINE}")]
    Cmdline(#[source] std::io::Error),
    /// The URL on the kernel's command line.
    #[error("cannot get the config that the kernel command line names")]
    CmdlineUrl(#[source] FetchError),
    /// The platform failed.
    #[error("cannot ask the platform {platform}")]
    Platform {
        /// Which
        platform: Platform,
        /// Why
        #[source]
        source: PlatformError,
    },
    /// Nobody has a config, nor says that there is none.
    #[error("no provider has a config: there is no URL on the kernel command line, no user.ign, no platform")]
    NoProvider,
    /// The file of `--config`.
    #[error("cannot read the config {}", path.display())]
    File {
        /// Which
        path: PathBuf,
        /// Why
        #[source]
        source: std::io::Error,
    },
    /// The cache.
    #[error(transparent)]
    Cache(#[from] CacheFileError),
    /// A document is no config.
    #[error("{name} is no config that can be used")]
    Parse {
        /// What it is called
        name: String,
        /// What is wrong
        #[source]
        source: ParseError,
    },
    /// A reference to another config.
    #[error("{by}: cannot use the config at {place}")]
    Reference {
        /// Which document refers
        by: String,
        /// Where it does
        place: Pointer,
        /// Where that stands in its text
        at: Option<Position>,
        /// Why
        #[source]
        source: Box<ReferenceError>,
    },
    /// What a config says about fetching.
    #[error("{name}: cannot use its ignition.security.tls.certificateAuthorities")]
    Configure {
        /// Which document
        name: String,
        /// Why
        #[source]
        source: FetchError,
    },
    /// The rendered config breaks a rule.
    #[error("the rendered config is not valid: {first}{}", place(at.as_ref()))]
    Invalid {
        /// The first error
        first: String,
        /// Document and place it comes from
        at: Option<(String, Position)>,
        /// Everything
        report: Report,
    },
    /// The network is needed, in a stage that does without.
    #[error(transparent)]
    NeedNet(FetchError),
}

fn place(at: Option<&(String, Position)>) -> String {
    at.map_or_else(String::new, |(name, at)| {
        format!(" ({name}, line {} col {})", at.line, at.column)
    })
}

impl AcquireError {
    /// Whether the network is all that is missing.
    pub fn is_need_net(&self) -> bool {
        match self {
            Self::NeedNet(_) => true,
            Self::CmdlineUrl(error)
            | Self::Configure { source: error, .. }
            | Self::Platform {
                source: PlatformError::Fetch(error),
                ..
            } => error.is_need_net(),
            _ => false,
        }
    }
}

/// What a provider had.
struct Provided {
    /// Its name in records
    provider: String,
    /// What messages call the document
    name: String,
    bytes: Vec<u8>,
    output_files: Vec<File>,
}

/// Gets the config of a run. `fetch` ends up with the timeouts, proxy and authorities of that config. `received` is
/// the SHA-512 of the user config as it came, if one came, also when it is of no use.
pub fn acquire(
    input: &Input<'_>,
    fetch: &mut Fetch<'_>,
    received: &mut Option<Digest>,
) -> Result<Acquisition, AcquireError> {
    let dirs = SystemDirs::new(input.environment);
    let base = if input.alone {
        Base::default()
    } else {
        system::base(fetch.files, &dirs, input.platform).map_err(AcquireError::System)?
    };
    let mut records = vec![FetchedConfig {
        kind: Kind::Base,
        source: "system".to_owned(),
        referenced: false,
    }];
    fetch.offline = input.stage == Stage::FetchOffline;
    let mut acquired = match user(input, fetch, &dirs, &mut records, received) {
        Ok(acquired) => acquired,
        Err(error) if fetch.offline && error.is_need_net() => {
            tracing::info!(
                "the network is needed to get the config: {}",
                crate::report::chain(&error)
            );
            return Ok(Acquisition::NeedNet { records });
        }
        Err(error) => return Err(error),
    };
    acquired.base = base;
    acquired.records = records;
    if input.stage == Stage::FetchOffline
        && let Some(place) = neednet::needed_for(&acquired.full())
    {
        tracing::info!("the network is needed for {place}");
        acquired.need_net = true;
    }
    Ok(Acquisition::Config(Box::new(acquired)))
}

/// The user config from where it is to come from. Base and records are left to the caller.
fn user(
    input: &Input<'_>,
    fetch: &mut Fetch<'_>,
    dirs: &SystemDirs,
    records: &mut Vec<FetchedConfig>,
    received: &mut Option<Digest>,
) -> Result<Acquired, AcquireError> {
    // A config that the operator names comes from no platform; its base configs still count.
    if let (Some(platform), false) = (input.platform, matches!(input.from, From::File(_))) {
        let web = fetch.web();
        platform
            .provider()
            .init(&transports(input, fetch, &web))
            .map_err(|source| AcquireError::Platform { platform, source })?;
    }
    let mut renderer = Renderer {
        fetch,
        remote: input.remote,
        detail: input.detail,
        records: Vec::new(),
        unfetched: Vec::new(),
        count: 0,
    };
    let mut output_files = Vec::new();
    let user = match input.from {
        From::Cache(path) => {
            let config = cache::read(renderer.fetch.files, path)?;
            renderer.configure("the config cache", &config.ignition)?;
            return Ok(acquired(config, Origins::default(), renderer.unfetched));
        }
        From::File(path) => {
            let failed = |source| AcquireError::File {
                path: path.to_path_buf(),
                source,
            };
            let missing = || failed(std::io::ErrorKind::NotFound.into());
            let bytes = renderer
                .fetch
                .files
                .read(path, CONFIG_LIMIT)
                .map_err(failed)?
                .ok_or_else(missing)?;
            let name = path.display().to_string();
            let (sha512, parsed) = parse(&name, &bytes, input.detail);
            *received = Some(sha512);
            let Some(sourced) = parsed? else {
                // For user data this means "no config"; who names a file means that file.
                return Err(match crate::config::parse(&bytes) {
                    Err(source) => AcquireError::Parse { name, source },
                    Ok(_) => AcquireError::NoProvider,
                });
            };
            Some(("file".to_owned(), sourced))
        }
        From::Provider => match provided(input, &mut renderer, dirs)? {
            None => None,
            Some(provided) => {
                output_files = provided.output_files;
                let (sha512, parsed) = parse(&provided.name, &provided.bytes, input.detail);
                *received = Some(sha512);
                parsed?.map(|sourced| (provided.provider, sourced))
            }
        },
    };
    let outcome = match user {
        None => Err(Stop::Empty),
        Some((source, sourced)) => {
            records.push(FetchedConfig {
                kind: Kind::User,
                source,
                referenced: false,
            });
            let outcome = renderer
                .configure(&sourced.name, &sourced.config.ignition)
                .map_err(Stop::Error)
                .and_then(|()| renderer.render(sourced, 0));
            records.append(&mut renderer.records);
            outcome
        }
    };
    let Sourced {
        mut config, origins, ..
    } = match outcome {
        Ok(sourced) => sourced,
        Err(Stop::Empty) => {
            tracing::info!("there is no user config");
            Sourced {
                config: empty(),
                ..Sourced::default()
            }
        }
        Err(Stop::Error(error)) => return Err(error),
    };
    if config.ignition.version.is_empty() {
        // A replacement that a dry run left out.
        Version::NEWEST.name().clone_into(&mut config.ignition.version);
    }
    renderer.configure("the rendered config", &config.ignition)?;
    inline_authorities(&mut config, &mut renderer)?;
    check(&config, &origins)?;
    let mut acquired = acquired(config, origins, renderer.unfetched);
    acquired.output_files = output_files;
    Ok(acquired)
}

fn acquired(config: Config, origins: Origins, unfetched: Vec<Unfetched>) -> Acquired {
    Acquired {
        config,
        base: Base::default(),
        records: Vec::new(),
        origins,
        output_files: Vec::new(),
        need_net: false,
        unfetched,
    }
}

fn transports<'t>(
    input: &Input<'t>,
    fetch: &'t Fetch<'_>,
    web: &'t crate::fetch::web::Web<'t>,
) -> Transports<'t> {
    Transports {
        fetcher: fetch,
        web,
        settings: &fetch.settings,
        offline: fetch.offline,
        files: fetch.files,
        runner: input.runner,
        clock: fetch.clock,
        environment: input.environment,
    }
}

/// What the first provider that has an answer says. `None`: a dry run left it out.
fn provided(
    input: &Input<'_>,
    renderer: &mut Renderer<'_, '_>,
    dirs: &SystemDirs,
) -> Result<Option<Provided>, AcquireError> {
    let files = renderer.fetch.files;
    let line = files
        .read(Path::new(CMDLINE), 1 << 20)
        .map_err(AcquireError::Cmdline)?
        .ok_or_else(|| AcquireError::Cmdline(std::io::ErrorKind::NotFound.into()))?;
    if let Some(url) = cmdline::config_url(&line) {
        let resource = Resource {
            source: Some(url.into()),
            ..Resource::default()
        };
        tracing::info!("config from the kernel command line: {}", shown(&resource));
        if renderer.left_out(&Pointer::root(), &resource) {
            return Ok(None);
        }
        let bytes = renderer
            .fetch
            .whole(Fetched::Provider, &resource, CONFIG_LIMIT)
            .map_err(AcquireError::CmdlineUrl)?;
        return Ok(Some(Provided {
            provider: "cmdline".to_owned(),
            name: shown(&resource),
            bytes,
            output_files: Vec::new(),
        }));
    }
    if let Some((path, bytes)) = system::user(files, dirs).map_err(AcquireError::System)? {
        tracing::info!("config from {}", path.display());
        renderer.fetch.was_there(&path.display().to_string(), bytes.len());
        return Ok(Some(Provided {
            provider: "system".to_owned(),
            name: path.display().to_string(),
            bytes,
            output_files: Vec::new(),
        }));
    }
    let platform = input.platform.ok_or(AcquireError::NoProvider)?;
    let web = renderer.fetch.web();
    let source = format!("platform {platform}");
    let failed = |error: &PlatformError| match error {
        PlatformError::Fetch(error) if error.is_need_net() => None,
        _ => Some(Done::default()),
    };
    let online = !renderer.fetch.offline;
    let answer = renderer
        .fetch
        .told(Fetched::Provider, &source, online, failed, || {
            let answer = platform
                .provider()
                .config(&transports(input, renderer.fetch, &web))?;
            let bytes = match &answer {
                Answer::Config { bytes, .. } => u64::try_from(bytes.reveal().len()).ok(),
                Answer::NoProvider => None,
            };
            Ok((
                answer,
                Done {
                    bytes,
                    attempts: None,
                },
            ))
        })
        .map_err(|source| AcquireError::Platform { platform, source })?;
    match answer {
        Answer::NoProvider => Err(AcquireError::NoProvider),
        Answer::Config { bytes, output_files } => Ok(Some(Provided {
            provider: platform.id().to_owned(),
            name: format!("the config of the platform {platform}"),
            bytes: bytes.into_inner(),
            output_files,
        })),
    }
}

/// Puts the bytes of certificate authorities in the place of their URLs, so that later stages need not fetch them.
fn inline_authorities(config: &mut Config, renderer: &mut Renderer<'_, '_>) -> Result<(), AcquireError> {
    let place = Pointer::root()
        .key("ignition")
        .key("security")
        .key("tls")
        .key("certificateAuthorities");
    for (index, authority) in config
        .ignition
        .security
        .tls
        .certificate_authorities
        .iter_mut()
        .enumerate()
    {
        if renderer.left_out(&place.index(index), authority) {
            continue;
        }
        let bytes = renderer
            .fetch
            .authority(authority)
            .map_err(|source| AcquireError::Configure {
                name: "the rendered config".to_owned(),
                source,
            })?;
        let text = base64::engine::general_purpose::STANDARD.encode(bytes);
        authority.source = Some(format!("data:;base64,{text}").into());
        authority.http_headers.clear();
        authority.compression = None;
    }
    Ok(())
}

/// The rules of the newest spec, once more: two good configs may be a bad one together.
fn check(config: &Config, origins: &Origins) -> Result<(), AcquireError> {
    let report = validators(config, Version::NEWEST);
    log::report("the rendered config", &report);
    let Some(first) = report
        .entries
        .iter()
        .find(|entry| entry.severity == Severity::Error)
    else {
        return Ok(());
    };
    Err(AcquireError::Invalid {
        first: first.to_string(),
        at: origins
            .lookup(config, &first.pointer)
            .map(|(name, position)| (name.to_owned(), position)),
        report,
    })
}

#[cfg(test)]
#[path = "acquire_tests.rs"]
mod tests;
