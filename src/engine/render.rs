//! Replace and merge: a config that refers to others becomes one (spec/fetch.md 6).

use crate::config::grammar::Url;
use crate::config::grammar::hash::Hash as HashText;
use crate::config::merge::merge;
use crate::config::origin::{Detail, Origins};
use crate::config::types::{Config, Ignition, Resource, Verification};
use crate::config::{self, ParseError};
use crate::events::Fetched;
use crate::fetch::hash::{Hash, HashMismatch};
use crate::fetch::source::needs_net;
use crate::fetch::{CONFIG_LIMIT, Fetch, FetchError, shown};
use crate::report::Pointer;

use super::acquire::AcquireError;
use super::log;
use super::state::{FetchedConfig, Kind};
use crate::view::Digest;

/// How deep configs may refer to others. Upstream has no limit: a config that merges itself ends by a timeout only.
pub const DEEPEST: usize = 100;
/// How many configs may be fetched by reference in all, for configs that refer to themselves more than once.
pub const MOST: usize = 1000;

/// What happens to references that need the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remote {
    /// They are fetched
    Fetch,
    /// They are named and left out: a dry run does not fetch unless told to
    List,
}

/// A reference that a dry run left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfetched {
    /// Where the config refers to it; the root for the URL of the kernel command line
    pub pointer: Pointer,
    /// The URL, fit to be shown
    pub url: String,
    /// The hash that it must have
    pub hash: Option<String>,
}

impl Unfetched {
    pub(super) fn new(pointer: Pointer, resource: &Resource) -> Self {
        Self {
            pointer,
            url: shown(resource),
            hash: resource.verification.hash.clone(),
        }
    }
}

/// Why there is no rendered config.
pub(super) enum Stop {
    /// A referenced config holds nothing: then the whole user config is empty (spec/fetch.md 6)
    Empty,
    /// It failed
    Error(AcquireError),
}

impl From<AcquireError> for Stop {
    fn from(error: AcquireError) -> Self {
        Self::Error(error)
    }
}

/// A config with the places that its values come from.
#[derive(Debug, Default)]
pub(super) struct Sourced {
    /// What messages call it
    pub(super) name: String,
    pub(super) config: Config,
    pub(super) origins: Origins,
}

/// Reads one document; its warnings are logged. `None`: it is empty, or meant for another program.
pub(super) fn parse(
    name: &str,
    bytes: &[u8],
    detail: Detail,
) -> (Digest, Result<Option<Sourced>, AcquireError>) {
    let (sha512, parsed) = log::digest_beside(name, bytes, || config::parse_in_detail(bytes, detail));
    (sha512, sourced(name, parsed))
}

fn sourced(
    name: &str,
    parsed: Result<config::Parsed, config::ParseError>,
) -> Result<Option<Sourced>, AcquireError> {
    match parsed {
        Ok(parsed) => {
            log::report(name, &parsed.report);
            let mut origins = Origins::default();
            origins.push(name, parsed.origins);
            Ok(Some(Sourced {
                name: name.to_owned(),
                config: parsed.config,
                origins,
            }))
        }
        Err(error @ ParseError::Empty) => {
            tracing::info!("{name} is ignored: {error}");
            Ok(None)
        }
        Err(error @ ParseError::NotIgnition(_)) => {
            // The machine comes up as if there were no user data: whoever wonders why should see it.
            crate::log::notice(&format_args!("{name} is ignored: {error}"));
            Ok(None)
        }
        Err(source) => {
            log::report(name, source.report());
            Err(AcquireError::Parse {
                name: name.to_owned(),
                source,
            })
        }
    }
}

/// Renders configs, and remembers what was fetched on the way.
pub(super) struct Renderer<'f, 'a> {
    pub(super) fetch: &'f mut Fetch<'a>,
    pub(super) remote: Remote,
    /// How much is remembered of where values stood
    pub(super) detail: Detail,
    pub(super) records: Vec<FetchedConfig>,
    pub(super) unfetched: Vec<Unfetched>,
    /// Configs fetched by reference so far
    pub(super) count: usize,
}

impl Renderer<'_, '_> {
    /// The config that `sourced` and what it refers to make together.
    pub(super) fn render(&mut self, sourced: Sourced, depth: usize) -> Result<Sourced, Stop> {
        let name = sourced.name.clone();
        let at = Pointer::root().key("ignition").key("config");
        if sourced.config.ignition.config.replace.source.is_some() {
            let place = at.key("replace");
            let new = self
                .referenced(&name, &place, &sourced.config.ignition.config.replace, depth)
                .map_err(|stop| located(stop, &sourced))?;
            let Some(new) = new else {
                return Ok(Sourced::default());
            };
            self.configure(&new.name, &new.config.ignition)?;
            return self.render(new, depth.saturating_add(1));
        }
        let references = sourced.config.ignition.config.merge.clone();
        let mut merged = sourced;
        for (index, resource) in references.iter().enumerate() {
            let place = at.key("merge").index(index);
            let new = self
                .referenced(&name, &place, resource, depth)
                .map_err(|stop| located(stop, &merged))?;
            let Some(new) = new else {
                continue;
            };
            // Before the new config's own references are fetched, what it says about fetching is laid over what counts.
            let ahead = merge(merged.config.clone(), new.config.clone());
            self.configure(&new.name, &ahead.ignition)?;
            let new = self.render(new, depth.saturating_add(1))?;
            merged.config = merge(merged.config, new.config);
            merged.origins.append(new.origins);
        }
        Ok(merged)
    }

    /// Sets the fetcher up as a config says. With [`Remote::List`], authorities that need the network are left out.
    pub(super) fn configure(&mut self, name: &str, ignition: &Ignition) -> Result<(), AcquireError> {
        let mut ignition = ignition.clone();
        if self.lists() {
            ignition
                .security
                .tls
                .certificate_authorities
                .retain(|authority| !is_remote(authority));
        }
        self.fetch
            .configure(&ignition)
            .map_err(|source| AcquireError::Configure {
                name: name.to_owned(),
                source,
            })
    }

    /// Whether what needs the network is left out. In a stage without the network there is no question: it is needed.
    fn lists(&self) -> bool {
        self.remote == Remote::List && !self.fetch.offline
    }

    /// Whether a resource is to be left out; then it is remembered.
    pub(super) fn left_out(&mut self, place: &Pointer, resource: &Resource) -> bool {
        let left_out = self.lists() && is_remote(resource);
        if left_out {
            self.unfetched.push(Unfetched::new(place.clone(), resource));
        }
        left_out
    }

    /// A config that another one refers to; `None` if it is left out.
    fn referenced(
        &mut self,
        by: &str,
        place: &Pointer,
        resource: &Resource,
        depth: usize,
    ) -> Result<Option<Sourced>, Stop> {
        let failed = |problem: ReferenceError| {
            Stop::Error(AcquireError::Reference {
                by: by.to_owned(),
                place: place.clone(),
                at: None,
                source: Box::new(problem),
            })
        };
        if resource.source.is_none() {
            return Err(failed(ReferenceError::NoSource));
        }
        if self.left_out(place, resource) {
            return Ok(None);
        }
        if depth >= DEEPEST {
            return Err(failed(ReferenceError::TooDeep));
        }
        self.count = self.count.saturating_add(1);
        if self.count > MOST {
            return Err(failed(ReferenceError::TooMany));
        }
        let name = shown(resource);
        let bytes = self.contents(resource).map_err(|error| match error {
            ReferenceError::Fetch(error) if error.is_need_net() => Stop::Error(AcquireError::NeedNet(error)),
            error => failed(error),
        })?;
        let Some(new) = parse(&name, &bytes, self.detail).1? else {
            return Err(Stop::Empty);
        };
        self.records.push(FetchedConfig {
            kind: Kind::User,
            source: path(resource),
            referenced: true,
        });
        Ok(Some(new))
    }

    /// The bytes of a referenced config, its hash checked.
    fn contents(&self, resource: &Resource) -> Result<Vec<u8>, ReferenceError> {
        let unchecked = Resource {
            verification: Verification::default(),
            ..resource.clone()
        };
        let bytes = self.fetch.whole(Fetched::Reference, &unchecked, CONFIG_LIMIT)?;
        let Some(text) = &resource.verification.hash else {
            return Ok(bytes);
        };
        let expected = Hash::parse(text).map_err(ReferenceError::HashForm)?;
        let calculated = Hash::of(expected.function, &bytes);
        // Upstream compares the text, so digits in upper case never match; for files it compares the bytes.
        let lower = HashText::parse(text)
            .is_ok_and(|hash| !hash.digest.contains(|digit: char| digit.is_ascii_uppercase()));
        if calculated != expected {
            return Err(ReferenceError::Hash(HashMismatch { expected, calculated }));
        }
        if !lower {
            return Err(ReferenceError::UpperCase);
        }
        Ok(bytes)
    }
}

/// Adds to a failed reference where it stands in the text.
fn located(stop: Stop, sourced: &Sourced) -> Stop {
    match stop {
        Stop::Error(AcquireError::Reference {
            by,
            place,
            at: _,
            source,
        }) => Stop::Error(AcquireError::Reference {
            at: sourced
                .origins
                .lookup(&sourced.config, &place)
                .map(|(_, position)| position),
            by,
            place,
            source,
        }),
        stop => stop,
    }
}

/// Whether a resource needs the network.
pub(super) fn is_remote(resource: &Resource) -> bool {
    resource
        .source
        .as_ref()
        .is_some_and(|source| needs_net(source.reveal()))
}

/// The path of a resource's URL: what records call it.
fn path(resource: &Resource) -> String {
    let source = resource.source.as_ref().map_or("", |source| source.reveal());
    Url::parse(source).map_or_else(
        |_| String::new(),
        |url| String::from_utf8_lossy(url.path()).into_owned(),
    )
}

/// Why a reference to another config came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReferenceError {
    /// There is no URL.
    #[error("it has no source")]
    NoSource,
    /// Fetching failed.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// `verification.hash` is malformed.
    #[error("its verification.hash is malformed")]
    HashForm(#[source] crate::fetch::hash::HashError),
    /// The bytes are others.
    #[error(transparent)]
    Hash(HashMismatch),
    /// The hash is right, and not in the form that counts here.
    #[error("its verification.hash has digits in upper case; write them in lower case")]
    UpperCase,
    /// It refers to itself, or nearly.
    #[error("configs refer to configs more than {DEEPEST} deep; does one refer to itself?")]
    TooDeep,
    /// They refer to themselves.
    #[error("more than {MOST} configs are referred to; does one refer to itself?")]
    TooMany,
}
