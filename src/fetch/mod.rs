//! Fetching: from a resource of a config to a reader of its contents (spec/fetch.md 8).
//!
//! [`Fetch`] dispatches on the URL's scheme, one module each. HTTP has two layers: [`web`] is the policy (headers,
//! attempts, redirects, statuses) and pure but for its clock; [`http::Http`] below it is one request on the network,
//! [`network::Network`] the real one. What comes out passes small readers: [`gunzip`], [`hash`], [`limit`].
//!
//! No error shows user info or query of an URL, header values, or what a `data:` URL holds.

mod body;
pub mod data;
mod dial;
#[cfg(test)]
pub(crate) mod fake;
pub mod gunzip;
pub mod hash;
pub mod http;
mod idn;
pub mod limit;
pub mod network;
pub mod oem;
pub mod pem;
pub mod post;
pub mod proxy;
mod running;
pub mod settings;
pub mod source;
pub mod stop;
pub mod tls;
mod told;
pub mod verified;
mod verifier;
pub mod web;
mod whole;

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;

use crate::config::grammar::data_url::DataUrlError;
use crate::config::grammar::url::display;
use crate::config::types::{Ignition, Resource};

use crate::events::{Events, Fetched, Untold};
use crate::sys::reach::{Blind, Reachability};
use crate::sys::{Clock, HostFiles};
use hash::{Hash, Hashed};
use http::{Http, Method, Trust};
use limit::Limited;
use settings::Settings;
use source::{Scheme, Source};
use stop::Stop;
use verified::{plain, verified};
use web::{Call, Web};

/// The most that one config may hold, in bytes, wherever it comes from. Upstream has no limit but memory.
pub const CONFIG_LIMIT: u64 = 256 << 20;

/// The most that contents in a config may decompress to, in bytes: they are held in memory.
const INLINE_LIMIT: u64 = 512 << 20;

/// The most that one bundle of certificate authorities may hold, in bytes.
const AUTHORITY_LIMIT: u64 = 64 << 20;

/// Why something was not fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The resource is of no use as it stands.
    #[error("cannot fetch {url}: {problem}")]
    Invalid {
        /// URL fit to be shown
        url: String,
        /// What is wrong
        problem: String,
    },
    /// It is remote, and this stage does without the network.
    #[error("{url} needs the network, which this stage does without")]
    NeedNet {
        /// URL fit to be shown
        url: String,
    },
    /// Status 404.
    #[error("{url} is not found (status 404): check the URL")]
    NotFound {
        /// URL fit to be shown
        url: String,
    },
    /// A status that is neither success nor worth another attempt.
    #[error("the server refuses {url} with status {status}: check the URL and its httpHeaders")]
    Status {
        /// URL fit to be shown
        url: String,
        /// Status code
        status: u16,
    },
    /// Like `Status`, when a proxy may have said it.
    #[error(
        "the proxy {proxy} or the server behind it refuses {url} with status {status}: check the URL, its httpHeaders, \
         what the proxy lets through, and user and password in its URL"
    )]
    ProxyStatus {
        /// URL fit to be shown
        url: String,
        /// The proxy fit to be shown
        proxy: String,
        /// Status code
        status: u16,
    },
    /// The proxy wants to know who asks (status 407).
    #[error(
        "the proxy {proxy} {problem} (status 407): write them into its URL, http://user:password@host:port"
    )]
    ProxyUser {
        /// The proxy fit to be shown
        proxy: String,
        /// Whether it was told
        problem: &'static str,
    },
    /// The config names a proxy that is none.
    #[error("cannot fetch {url} through a proxy")]
    Proxy {
        /// URL fit to be shown
        url: String,
        /// Why
        #[source]
        source: proxy::ProxyError,
    },
    /// The total budget is used up.
    #[error(
        "gave up on {url} after {attempts} {}, its time is over ({limit}); the last one failed: {last}",
        if *attempts == 1 { "attempt" } else { "attempts" }
    )]
    Timeout {
        /// URL fit to be shown
        url: String,
        /// What gave it the time
        limit: &'static str,
        /// How many attempts were made
        attempts: u64,
        /// Why the last one failed
        last: String,
    },
    /// SIGTERM while waiting for the next attempt.
    #[error("stopped on request while trying to fetch {url}; the last attempt failed: {last}")]
    Stopped {
        /// URL fit to be shown
        url: String,
        /// Why the last attempt failed
        last: String,
    },
    /// A loop of redirects.
    #[error("{url} redirects more than {} times", web::MOST_REDIRECTS)]
    Redirects {
        /// URL fit to be shown
        url: String,
    },
    /// This program does not do that yet.
    #[error("cannot fetch {url}: {what} is not built yet")]
    NotBuilt {
        /// URL fit to be shown
        url: String,
        /// What is not built
        what: String,
    },
    /// A `data:` URL that does not decode.
    #[error("cannot decode a source")]
    Data(#[source] DataUrlError),
    /// A file of the OEM partition.
    #[error("cannot fetch {url}")]
    Oem {
        /// URL fit to be shown
        url: String,
        /// Why
        #[source]
        source: oem::OemError,
    },
    /// A bundle of certificate authorities that does not hold certificates.
    #[error("{url} is no bundle of certificate authorities")]
    Authority {
        /// URL fit to be shown
        url: String,
        /// Why
        #[source]
        source: pem::PemError,
    },
    /// The contents did not come whole, or are not those asked for.
    #[error("cannot read {url} to its end")]
    Read {
        /// URL fit to be shown
        url: String,
        /// Why
        #[source]
        source: io::Error,
    },
}

impl FetchError {
    /// Whether the network is all that is missing.
    pub fn is_need_net(&self) -> bool {
        matches!(self, Self::NeedNet { .. })
    }
}

/// Gets the contents of resources. What the executor needs.
pub trait Fetcher: Sync {
    /// Begins to fetch. An error of the kind that may go better next time was tried again as often as the settings allow.
    fn open(&self, resource: &Resource) -> Result<Contents<'_>, FetchError>;

    /// As [`Fetcher::open`], for somebody who hashes on another thread: the hash that comes along is theirs to compare. It
    /// ends with an error soon after `stop` is asked for, also while it waits for the network.
    fn begin(&self, resource: &Resource, stop: &Stop) -> Result<Unchecked<'_>, FetchError> {
        let _ = stop;
        let contents = self.open(resource)?;
        Ok(Unchecked {
            reader: contents.reader,
            hash: None,
            attempts: contents.attempts,
        })
    }
}

/// Contents that are on their way and whose hash nobody has compared.
pub struct Unchecked<'a> {
    /// The contents, already decompressed
    pub reader: Box<dyn Read + Send + 'a>,
    /// What their hash must be; `None` if any will do
    pub hash: Option<Hash>,
    /// How many attempts it took to get here; 0 for what needs no network
    pub attempts: u64,
}

impl std::fmt::Debug for Unchecked<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unchecked")
            .field("hash", &self.hash)
            .field("attempts", &self.attempts)
            .finish_non_exhaustive()
    }
}

/// Contents that are on their way.
pub struct Contents<'a> {
    /// The contents, already decompressed. The hash is checked at the end: the read that would have said "end" fails with
    /// an error that holds a [`hash::HashMismatch`]
    pub reader: Box<dyn Read + Send + 'a>,
    /// How many attempts it took to get here; 0 for what needs no network
    pub attempts: u64,
}

impl Read for Contents<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer)
    }
}

impl std::fmt::Debug for Contents<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Contents")
            .field("attempts", &self.attempts)
            .finish_non_exhaustive()
    }
}

/// The real fetcher, over the edges it is given.
pub struct Fetch<'a> {
    /// The network
    pub http: &'a dyn Http,
    /// Files of the running system
    pub files: &'a dyn HostFiles,
    /// Time
    pub clock: &'a dyn Clock,
    /// Where the OEM partition's files are, `/oem`
    pub oem_dir: PathBuf,
    /// Whether everything but `data:` and nothing is refused with [`FetchError::NeedNet`]
    pub offline: bool,
    /// How to fetch
    pub settings: Settings,
    /// Whether others can be reached; nothing is known to begin with
    pub reach: &'a dyn Reachability,
    /// Who is told what was fetched whole
    pub events: &'a dyn Events,
    /// Bundles of certificate authorities that were fetched, by source
    authorities: BTreeMap<String, Vec<u8>>,
}

impl<'a> Fetch<'a> {
    /// A fetcher that is online, with the settings that count before a config is known.
    pub fn new(
        http: &'a dyn Http,
        files: &'a dyn HostFiles,
        clock: &'a dyn Clock,
        oem_dir: PathBuf,
        settings: Settings,
    ) -> Self {
        Self {
            http,
            files,
            clock,
            oem_dir,
            offline: false,
            settings,
            reach: &Blind,
            events: &Untold,
            authorities: BTreeMap::new(),
        }
    }

    /// Takes timeouts, proxy and certificate authorities of a config. Timeouts and proxy that it does not name go back to
    /// their defaults; authorities stay if it names none. They are fetched under the new timeouts and the old trust
    /// (spec/fetch.md 8.3).
    pub fn configure(&mut self, ignition: &Ignition) -> Result<(), FetchError> {
        self.settings.update(&ignition.timeouts, &ignition.proxy);
        let wanted = &ignition.security.tls.certificate_authorities;
        if wanted.is_empty() {
            return Ok(());
        }
        let mut trust = Trust::default();
        for resource in wanted {
            let bytes = self.authority(resource)?;
            let found = pem::certificates(&bytes).map_err(|source| FetchError::Authority {
                url: shown(resource),
                source,
            })?;
            trust.extra.extend(found);
        }
        self.settings.trust = Arc::new(trust);
        Ok(())
    }

    /// The bytes of a bundle of certificate authorities; fetched once per source.
    pub fn authority(&mut self, resource: &Resource) -> Result<Vec<u8>, FetchError> {
        let key = resource.source.clone().unwrap_or_default().0;
        if let Some(bytes) = self.authorities.get(&key) {
            return Ok(bytes.clone());
        }
        let bytes = self.whole(Fetched::Authorities, resource, AUTHORITY_LIMIT)?;
        self.authorities.insert(key, bytes.clone());
        Ok(bytes)
    }

    /// HTTP as Ignition speaks it, for platforms.
    pub fn web(&self) -> Web<'a> {
        Web::new(self.http, self.clock).watching(self.reach)
    }

    /// The bytes as they are stored at the source.
    fn stored(&self, source: &Source, stop: &Stop) -> Result<Contents<'_>, FetchError> {
        let not_built = |what: &str| {
            Err(FetchError::NotBuilt {
                url: source.shown(),
                what: format!("fetching with {what}"),
            })
        };
        let local = |bytes: Vec<u8>| {
            Ok(Contents {
                reader: Box::new(io::Cursor::new(bytes)),
                attempts: 0,
            })
        };
        match source.scheme {
            Scheme::Nothing => local(Vec::new()),
            Scheme::Data => local(data::decode(&source.url).map_err(FetchError::Data)?),
            Scheme::Oem => {
                let bytes =
                    oem::read(self.files, &self.oem_dir, &source.url).map_err(|error| FetchError::Oem {
                        url: source.shown(),
                        source: error,
                    })?;
                local(bytes)
            }
            Scheme::Http | Scheme::Https => {
                let call = Call {
                    method: Method::Get,
                    url: source.url.reveal().into(),
                    headers: source.headers.clone(),
                    retry_also: Vec::new(),
                };
                let settings = Settings {
                    stop: stop.clone(),
                    ..self.settings.clone()
                };
                self.web().call(&call, &settings)
            }
            Scheme::Tftp => not_built("tftp:"),
            Scheme::S3 => not_built("s3:"),
            Scheme::Arn => not_built("arn:"),
            Scheme::Gs => not_built("gs:"),
        }
    }
}

impl Fetcher for Fetch<'_> {
    fn open(&self, resource: &Resource) -> Result<Contents<'_>, FetchError> {
        let Unchecked {
            reader,
            hash,
            attempts,
        } = self.begin(resource, &Stop::default())?;
        let reader = match hash {
            None => reader,
            Some(hash) => Box::new(Hashed::new(reader, hash)),
        };
        Ok(Contents { reader, attempts })
    }

    fn begin(&self, resource: &Resource, stop: &Stop) -> Result<Unchecked<'_>, FetchError> {
        let source = Source::parse(resource)?;
        if self.offline && !source.url.is_offline() {
            return Err(FetchError::NeedNet { url: source.shown() });
        }
        let Contents { reader, attempts } = self.stored(&source, stop)?;
        if source.scheme == Scheme::Nothing {
            // Neither decompressed nor checked (spec/fetch.md 8).
            return Ok(Unchecked {
                reader,
                hash: None,
                attempts,
            });
        }
        Ok(Unchecked {
            reader: plain(reader, source.compression),
            hash: source.hash,
            attempts,
        })
    }
}

/// The contents of a resource that carries them itself: a `data:` URL, decompressed and checked, or an empty source.
/// `None` for what has to be fetched.
pub fn inline(resource: &Resource) -> Result<Option<Vec<u8>>, FetchError> {
    let source = Source::parse(resource)?;
    match source.scheme {
        Scheme::Nothing => Ok(Some(Vec::new())),
        Scheme::Data => {
            let bytes = data::decode(&source.url).map_err(FetchError::Data)?;
            if source.compression == verified::Compression::None && source.hash.is_none() {
                return Ok(Some(bytes));
            }
            let reader = verified(bytes.as_slice(), source.compression, source.hash);
            let mut bytes = Vec::new();
            match Limited::new(reader, INLINE_LIMIT).read_to_end(&mut bytes) {
                Ok(_) => Ok(Some(bytes)),
                Err(error) => Err(FetchError::Read {
                    url: source.url.display(),
                    source: error,
                }),
            }
        }
        Scheme::Oem | Scheme::Http | Scheme::Https | Scheme::Tftp | Scheme::S3 | Scheme::Arn | Scheme::Gs => {
            Ok(None)
        }
    }
}

/// The URL of a resource, fit to be shown.
pub fn shown(resource: &Resource) -> String {
    display(resource.source.as_ref().map_or("", |source| source.reveal()))
}

/// Everything a reader gives, at most `limit` bytes.
pub fn read_all(reader: impl Read, limit: u64, shown: &str) -> Result<Vec<u8>, FetchError> {
    let mut bytes = Vec::new();
    match Limited::new(reader, limit).read_to_end(&mut bytes) {
        Ok(_) => Ok(bytes),
        Err(source) => Err(FetchError::Read {
            url: shown.to_owned(),
            source,
        }),
    }
}

#[cfg(test)]
mod tests;
