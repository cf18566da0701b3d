//! What a config says about how to fetch: timeouts, proxy, certificate authorities (spec/fetch.md 2, 6, 8.2–8.4).

use std::sync::Arc;
use std::time::Duration;

use crate::config::types::{Proxy, Timeouts};

use super::http::Trust;
use super::stop::Stop;

/// Time that a server has to begin its answer, if the config does not say.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// How to fetch.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Budget of one fetch with all its attempts, waits and the body; `None` = without end
    pub total: Option<Duration>,
    /// Time that a server has to begin its answer, per attempt; `None` = without end
    pub headers: Option<Duration>,
    /// Proxies
    pub proxy: Proxy,
    /// Certificates trusted beside the system's
    pub trust: Arc<Trust>,
    /// Budget that no config can raise: somebody waits at a terminal. `None` = as the config says
    pub most: Option<Duration>,
    /// When all fetching of this run must be over, on the monotonic clock (`ignition.fetch.deadline`); `None` = never
    pub deadline: Option<Duration>,
    /// Ends what is fetched so
    pub stop: Stop,
}

impl Settings {
    /// Before a config is known: the total is `-fetch-timeout` in whole seconds (less than one: no limit).
    pub fn at_start(fetch_timeout: Duration) -> Self {
        let seconds = Duration::from_secs(fetch_timeout.as_secs());
        Self {
            total: Some(seconds).filter(|total| !total.is_zero()),
            headers: Some(HEADER_TIMEOUT),
            proxy: Proxy::default(),
            trust: Arc::default(),
            most: None,
            deadline: None,
            stop: Stop::default(),
        }
    }

    /// The same, with a budget that no config can raise.
    #[must_use]
    pub fn at_most(self, most: Duration) -> Self {
        let total = Some(self.total.map_or(most, |total| total.min(most)));
        Self {
            total,
            most: Some(most),
            ..self
        }
    }

    /// The same, with a moment of the monotonic clock when all must be over, whatever a config says.
    #[must_use]
    pub fn until(self, deadline: Option<Duration>) -> Self {
        Self { deadline, ..self }
    }

    /// Takes timeouts and proxy of a config. What it leaves out goes back to its default, for both.
    pub fn update(&mut self, timeouts: &Timeouts, proxy: &Proxy) {
        self.total = match timeouts.http_total {
            None | Some(0) => None,
            // A negative budget is over before it begins.
            Some(seconds) => Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0))),
        };
        if let Some(most) = self.most {
            self.total = Some(self.total.map_or(most, |total| total.min(most)));
        }
        self.headers = match timeouts.http_response_headers {
            None => Some(HEADER_TIMEOUT),
            // Nothing and less mean no limit, as in Go's transport.
            Some(seconds) => u64::try_from(seconds)
                .ok()
                .filter(|seconds| *seconds > 0)
                .map(Duration::from_secs),
        };
        self.proxy = proxy.clone();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_counts_in_whole_seconds() {
        for (millis, want) in [(120_000, Some(120)), (1_900, Some(1)), (900, None), (0, None)] {
            let settings = Settings::at_start(Duration::from_millis(millis));
            assert_eq!(settings.total, want.map(Duration::from_secs));
            assert_eq!(settings.headers, Some(HEADER_TIMEOUT));
        }
    }

    #[test]
    fn a_config_cannot_raise_the_most() {
        let most = Duration::from_secs(60);
        let mut settings = Settings::at_start(Duration::ZERO).at_most(most);
        assert_eq!(settings.total, Some(most));
        for (given, expected) in [(None, 60), (Some(0), 60), (Some(5), 5), (Some(600), 60)] {
            let timeouts = Timeouts {
                http_total: given,
                ..Timeouts::default()
            };
            settings.update(&timeouts, &Proxy::default());
            assert_eq!(settings.total, Some(Duration::from_secs(expected)), "{given:?}");
        }
    }

    #[test]
    fn absence_resets() {
        let mut settings = Settings::at_start(Duration::from_secs(120));
        let table = [
            (None, None, None, Some(10)),
            (Some(0), Some(0), None, None),
            (Some(5), Some(7), Some(7), Some(5)),
            (Some(-1), Some(-1), Some(0), None),
        ];
        for (headers, total, want_total, want_headers) in table {
            let timeouts = Timeouts {
                http_response_headers: headers,
                http_total: total,
            };
            let proxy = Proxy {
                http_proxy: headers.map(|_| "http://p".into()),
                ..Proxy::default()
            };
            settings.update(&timeouts, &proxy);
            assert_eq!(settings.total, want_total.map(Duration::from_secs));
            assert_eq!(settings.headers, want_headers.map(Duration::from_secs));
            assert_eq!(settings.proxy.http_proxy.is_some(), headers.is_some());
        }
    }
}
