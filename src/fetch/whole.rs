//! What is fetched whole for the stage itself, configs and authorities, and told to whoever listens.

use std::time::Duration;

use super::source::needs_net;
use super::{Fetch, FetchError, Fetcher as _, read_all, shown};
use crate::config::types::Resource;
use crate::events::{Done, Event, Fetched, Outcome};
use crate::report::chain;

impl FetchError {
    /// How many attempts were made, if it is about attempts.
    pub fn attempts(&self) -> Option<u64> {
        match self {
            Self::Timeout { attempts, .. } => Some(*attempts),
            _ => None,
        }
    }
}

impl Fetch<'_> {
    /// All of a resource, at most `limit` bytes.
    pub fn whole(&self, kind: Fetched, resource: &Resource, limit: u64) -> Result<Vec<u8>, FetchError> {
        let source = shown(resource);
        let remote = resource
            .source
            .as_ref()
            .is_some_and(|source| needs_net(source.reveal()));
        let failed = |error: &FetchError| {
            (!error.is_need_net()).then(|| Done {
                attempts: error.attempts(),
                ..Done::default()
            })
        };
        self.told(kind, &source, remote && !self.offline, failed, || {
            let contents = self.open(resource)?;
            let attempts = Some(contents.attempts).filter(|attempts| *attempts > 0);
            let bytes = read_all(contents, limit, &source)?;
            let done = Done {
                bytes: Some(u64::try_from(bytes.len()).unwrap_or(u64::MAX)),
                attempts,
            };
            Ok((bytes, done))
        })
    }

    /// Does some fetching, and tells what it came to; if it may take `long`, that it begins, too. Of an error for which
    /// `failed` gives nothing nobody is told: it is none for the stage.
    pub fn told<T, E>(
        &self,
        kind: Fetched,
        source: &str,
        long: bool,
        failed: impl Fn(&E) -> Option<Done>,
        work: impl FnOnce() -> Result<(T, Done), E>,
    ) -> Result<T, E>
    where
        E: std::error::Error,
    {
        if long {
            self.events.tell(&Event::FetchBegins { kind, source });
        }
        let begun = self.clock.monotonic();
        let result = work();
        let took = self.clock.monotonic().saturating_sub(begun);
        let (error, done) = match &result {
            Ok((_, done)) => (None, Some(*done)),
            Err(error) => (Some(chain(error)), failed(error)),
        };
        if let Some(done) = done {
            self.events.tell(&Event::Fetched {
                kind,
                source,
                outcome: error.as_deref().map_or(Outcome::Done, Outcome::Failed),
                took,
                done,
            });
        }
        result.map(|(value, _)| value)
    }

    /// Tells of a user config that was read from a file of the system.
    pub fn was_there(&self, path: &str, bytes: usize) {
        self.events.tell(&Event::Fetched {
            kind: Fetched::Provider,
            source: path,
            outcome: Outcome::Done,
            took: Duration::ZERO,
            done: Done {
                bytes: u64::try_from(bytes).ok(),
                attempts: None,
            },
        });
    }
}
