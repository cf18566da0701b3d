//! How Ignition speaks HTTP: default headers, what is tried again and when, redirects, statuses (spec/fetch.md 8.2).

use std::time::Duration;

use reqwest::Url;

use crate::config::grammar::url::display;
use crate::config::types::Hidden;

use super::http::{Http, HttpError, Method, Request, Response};
use super::idn;
use super::proxy::{self, Route, Via};
use super::settings::Settings;
use super::{Contents, FetchError, told};
use crate::sys::Clock;
use crate::sys::reach::{Blind, Reachability, Watch, Woken};

/// First wait between two attempts; doubles up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// Wait after an address, a route or a nameserver has appeared, for what comes with it.
const SETTLE: Duration = Duration::from_millis(100);
/// Longest wait between two attempts.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// Redirects that are followed within one attempt. Upstream has no limit; a loop would spin without a pause.
pub const MOST_REDIRECTS: usize = 100;
/// What the program calls itself.
pub const USER_AGENT: &str = concat!("Ignition/2.26.0 ignition-rs/", env!("CARGO_PKG_VERSION"));
/// The newest stable spec, or anything.
const ACCEPT: &str = "application/vnd.coreos.ignition+json;version=3.6.0, */*;q=0.1";
/// Headers of a config that Go does not send: it makes them itself.
const NOT_SENT: [&str; 4] = ["host", "content-length", "transfer-encoding", "trailer"];

/// What is asked of a server.
#[derive(Clone, Debug, Default)]
pub struct Call {
    /// Method
    pub method: Method,
    /// URL, `http:` or `https:`
    pub url: Hidden,
    /// Headers; they replace defaults of the same name
    pub headers: Vec<(String, Hidden)>,
    /// Statuses that are tried again beside 500 and above
    pub retry_also: Vec<u16>,
}

/// HTTP as Ignition speaks it.
pub struct Web<'a> {
    http: &'a dyn Http,
    clock: &'a dyn Clock,
    reach: &'a dyn Reachability,
}

/// What a budget comes from if it is not [`DEADLINE`].
const SETTINGS: &str = "-fetch-timeout, or ignition.timeouts.httpTotal";
/// The parameter of the kernel command line that ends all fetching.
pub const DEADLINE: &str = "ignition.fetch.deadline";

/// The time that a call has.
#[derive(Clone, Copy, Debug)]
struct Budget {
    /// When it is over, on the monotonic clock; `None` = never
    end: Option<Duration>,
    /// What it comes from
    limit: &'static str,
}

impl Budget {
    fn of(settings: &Settings, now: Duration) -> Self {
        let total = settings.total.map(|total| now.saturating_add(total));
        match (total, settings.deadline) {
            (Some(total), Some(deadline)) if total <= deadline => Self {
                end: Some(total),
                limit: SETTINGS,
            },
            (_, Some(deadline)) => Self {
                end: Some(deadline),
                limit: DEADLINE,
            },
            (total, None) => Self {
                end: total,
                limit: SETTINGS,
            },
        }
    }
}

impl<'a> Web<'a> {
    /// HTTP over a network and a clock.
    pub fn new(http: &'a dyn Http, clock: &'a dyn Clock) -> Self {
        Self {
            http,
            clock,
            reach: &Blind,
        }
    }

    /// The same, with waits that end when the network is there.
    #[must_use]
    pub fn watching(self, reach: &'a dyn Reachability) -> Self {
        Self { reach, ..self }
    }

    /// The body of a successful answer (200 or 204), after as many attempts as the total budget allows. The body's reader
    /// fails if the budget ends while it is read.
    pub fn call(&self, call: &Call, settings: &Settings) -> Result<Contents<'static>, FetchError> {
        let shown = display(call.url.reveal());
        let method = method(call.method);
        let mut said = self.clock.monotonic();
        let budget = Budget::of(settings, said);
        let headers = headers(&call.headers);
        let mut wait = FIRST_WAIT;
        let mut attempt: u64 = 0;
        let mut last: Option<String> = None;
        let mut watch: Option<Box<dyn Watch + '_>> = None;
        let gave_up = |attempts, last| FetchError::Timeout {
            url: shown.clone(),
            limit: budget.limit,
            attempts,
            last,
        };
        loop {
            attempt = attempt.saturating_add(1);
            tracing::info!("{method} {shown}: attempt {attempt}");
            let note = match &last {
                None => format!("attempt {attempt}"),
                Some(last) => format!("attempt {attempt}, the one before failed: {last}"),
            };
            // Whether it may help to wait for an address or a route.
            let mut no_way = false;
            let first = Request {
                method: call.method,
                url: call.url.clone(),
                shown: shown.clone(),
                headers: headers.clone(),
                body: Vec::new(),
                header_timeout: settings.headers,
                budget: None,
                limit: budget.limit,
                trust: settings.trust.clone(),
                via: None,
                note,
                silent: Duration::ZERO,
                stop: settings.stop.clone(),
            };
            let failed = match self.attempt(first, settings, budget.end, said) {
                Ok(Answer { response, proxy })
                    if response.status >= 500 || call.retry_also.contains(&response.status) =>
                {
                    let who = match proxy {
                        None => "the server".to_owned(),
                        Some(via) => format!("the proxy {via} or the server behind it"),
                    };
                    format!("{who} answered with status {}", response.status)
                }
                Ok(Answer { response, proxy }) => {
                    tracing::info!("{method} {shown}: status {}", response.status);
                    return match response.status {
                        200 | 204 => Ok(Contents {
                            reader: response.body,
                            attempts: attempt,
                        }),
                        status => Err(refused(shown, status, proxy.as_ref())),
                    };
                }
                Err(Attempt::Stop(error)) => return Err(error),
                Err(Attempt::Http(error @ HttpError::Deadline(_))) => {
                    let text = match last {
                        None => error.to_string(),
                        Some(before) => format!("{error}; the one before: {before}"),
                    };
                    return Err(gave_up(attempt, text));
                }
                Err(Attempt::Http(HttpError::Stopped)) => {
                    return Err(FetchError::Stopped {
                        last: last.unwrap_or_else(|| "there was none before".to_owned()),
                        url: shown,
                    });
                }
                Err(Attempt::Http(error)) if error.is_transient() => {
                    no_way = matches!(error, HttpError::Unreachable(_) | HttpError::Name(_));
                    if no_way && watch.is_none() {
                        watch = self.reach.watch();
                    }
                    self.explained(&error, watch.as_deref_mut())
                }
                Err(Attempt::Http(error)) => {
                    return Err(FetchError::Invalid {
                        url: shown,
                        problem: error.to_string(),
                    });
                }
            };
            let now = self.clock.monotonic();
            let left = budget.end.map_or(wait, |end| end.saturating_sub(now));
            crate::log::waiting(&format_args!(
                "{method} {shown}: attempt {attempt} failed, next in {} ms: {failed}",
                wait.as_millis()
            ));
            said = now;
            let enough = || self.clock.is_stop_asked() || settings.stop.is_asked();
            self.pause(wait.min(left), watch.as_mut().filter(|_| no_way), &enough);
            if enough() {
                return Err(FetchError::Stopped {
                    url: shown,
                    last: failed,
                });
            }
            if budget.end.is_some_and(|end| self.clock.monotonic() >= end) {
                return Err(gave_up(attempt, failed));
            }
            last = Some(failed);
            wait = wait.saturating_mul(2).min(LONGEST_WAIT);
        }
    }

    /// Waits between two attempts; less than that if something appears that the last one may have lacked.
    fn pause(&self, time: Duration, watch: Option<&mut Box<dyn Watch + '_>>, enough: &dyn Fn() -> bool) {
        let Some(watch) = watch else {
            return self.clock.sleep_unless(time, enough);
        };
        let started = self.clock.monotonic();
        if watch.wait(time) == Woken::Change {
            tracing::info!("an address, a route or a nameserver has appeared: trying again at once");
            // They come several at a time, and a route before its address would be tried in vain; and they must not make
            // this spin.
            let passed = self.clock.monotonic().saturating_sub(started);
            let rest = FIRST_WAIT.saturating_sub(passed).max(SETTLE);
            self.clock.sleep(rest.min(time.saturating_sub(passed)));
        }
    }

    /// An error, with what this machine lacks.
    fn explained(&self, error: &HttpError, watch: Option<&mut (dyn Watch + '_)>) -> String {
        let text = error.to_string();
        let found = watch.and_then(Watch::found);
        let lacks: Vec<String> = match (error, found) {
            (HttpError::Certificate(_), _) => clock_advice(&self.clock.now()).into_iter().collect(),
            (HttpError::Name(_), Some(found)) => {
                let servers = told::is_unanswered(&text).then(|| found.nameservers());
                found.missing().into_iter().chain(servers).collect()
            }
            (HttpError::Unreachable(_), Some(found)) => found.missing().into_iter().collect(),
            _ => Vec::new(),
        };
        std::iter::once(text).chain(lacks).collect::<Vec<_>>().join("; ")
    }

    /// One attempt: the request and what it is redirected to. A redirected request carries none of the headers. `end`: when
    /// the budget is over; `said`: when something was said last.
    fn attempt(
        &self,
        mut request: Request,
        settings: &Settings,
        end: Option<Duration>,
        said: Duration,
    ) -> Result<Answer, Attempt> {
        let shown = request.shown.clone();
        for _ in 0..=MOST_REDIRECTS {
            let stop = |problem: String| {
                Attempt::Stop(FetchError::Invalid {
                    url: request.shown.clone(),
                    problem,
                })
            };
            let url = parse(request.url.reveal()).map_err(stop)?;
            request.via = match proxy::route(&settings.proxy, &url) {
                Ok(Route::Direct) => None,
                Ok(Route::Via(via)) => Some(via),
                Err(source) => {
                    return Err(Attempt::Stop(FetchError::Proxy {
                        url: request.shown,
                        source,
                    }));
                }
            };
            if let Some(via) = &request.via {
                tracing::info!("{} goes through the proxy {via}", request.shown);
            }
            let now = self.clock.monotonic();
            request.budget = end.map(|end| end.saturating_sub(now));
            request.silent = now.saturating_sub(said);
            let response = self.http.send(&request).map_err(Attempt::Http)?;
            let location = match &response.location {
                Some(location) if matches!(response.status, 301 | 302 | 303 | 307 | 308) => location,
                _ => {
                    return Ok(Answer {
                        // What comes out of a tunnel is the server's own.
                        proxy: request.via.filter(|_| url.scheme() == "http"),
                        response,
                    });
                }
            };
            if redirected_to(location.reveal()).is_some_and(is_escaped) {
                return Err(stop(format!(
                    "it redirects to an URL that cannot be used: {ESCAPED}"
                )));
            }
            let target = url
                .join(&idn::ascii(location.reveal()))
                .map_err(|_| stop("it redirects to something that is no URL".to_owned()))?;
            if response.status <= 303 {
                request.method = Method::Get;
            }
            request.url = Hidden(target.into());
            request.shown = display(request.url.reveal());
            request.headers.clear();
            tracing::info!("redirected to {}", request.shown);
        }
        Err(Attempt::Stop(FetchError::Redirects { url: shown }))
    }
}

/// What to say of a certificate that is not accepted while the clock (RFC 3339) is wrong beyond doubt.
fn clock_advice(now: &str) -> Option<String> {
    let year: u32 = now.get(..4)?.parse().ok()?;
    (year < 2020).then(|| {
        format!(
            "the clock of this machine says {now}, which is wrong, and certificates are judged by it: set it in the firmware, or let the \
             hypervisor or NTP set it before Ignition runs"
        )
    })
}

/// What an attempt came to.
struct Answer {
    response: Response,
    /// The proxy that may have given it instead of the server
    proxy: Option<Via>,
}

/// An answer that is final and no success.
fn refused(url: String, status: u16, proxy: Option<&Via>) -> FetchError {
    match (status, proxy) {
        (404, _) => FetchError::NotFound { url },
        (407, Some(via)) => FetchError::ProxyUser {
            proxy: via.to_string(),
            problem: match via.authorization {
                None => "wants user and password",
                Some(_) => "does not accept user and password of its URL",
            },
        },
        (status, Some(via)) => FetchError::ProxyStatus {
            url,
            proxy: via.to_string(),
            status,
        },
        (status, None) => FetchError::Status { url, status },
    }
}

/// Why an attempt came to nothing.
enum Attempt {
    /// The network says
    Http(HttpError),
    /// Another attempt would end the same way
    Stop(FetchError),
}

fn method(method: Method) -> &'static str {
    match method {
        Method::Get => "GET",
        Method::Put => "PUT",
        Method::Post => "POST",
    }
}

/// What is said of a host with escapes.
const ESCAPED: &str = "its host holds a percent sign, which no name of a host has";

/// Whether the host of an authority holds escapes. What they stand for is no name that could be looked up, and the reader
/// of URLs has no Unicode tables to judge it by (src/fetch/idn.rs). A zone of an IPv6 address stands in brackets.
fn is_escaped(authority: &str) -> bool {
    let host = authority.rsplit('@').next().unwrap_or_default();
    host.contains('%') && !host.starts_with('[')
}

/// The authority that a redirect names, if it names one.
fn redirected_to(location: &str) -> Option<&str> {
    let rest = location
        .strip_prefix("//")
        .or_else(|| location.split_once("://").map(|(_, rest)| rest))?;
    rest.split(['/', '?', '#', '\\']).next()
}

/// Reads an URL for HTTP the way Go does where the URL standard differs and it matters: a host must be there, and a
/// backslash is an ordinary character of a path. The message shows nothing of the URL.
pub(super) fn parse(text: &str) -> Result<Url, String> {
    // Only what stands before is a scheme, or the host would be looked for at another place than by the reader of URLs.
    let is_scheme = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    };
    let authority = text
        .split_once("://")
        .filter(|(scheme, _)| is_scheme(scheme))
        .map(|(_, rest)| rest.split(['/', '?', '#']).next().unwrap_or_default());
    match authority {
        None => return Err("it is malformed: write http://host/path".to_owned()),
        Some(authority) if authority.rsplit('@').next().is_none_or(str::is_empty) => {
            return Err("it names no host".to_owned());
        }
        Some(authority) if authority.contains('\\') => {
            return Err("its host holds a backslash".to_owned());
        }
        Some(authority) if is_escaped(authority) => return Err(ESCAPED.to_owned()),
        Some(_) => {}
    }
    let url = Url::parse(&idn::ascii(&text.replace('\\', "%5C")))
        .map_err(|error| format!("it is malformed: {error}"))?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        other => Err(format!(
            "a redirect leads to the scheme {other:?}; only http and https are followed"
        )),
    }
}

/// The headers that go out: defaults, each replaced by the config's header of that name; of several the last counts.
fn headers(given: &[(String, Hidden)]) -> Vec<(String, Hidden)> {
    let mut headers: Vec<(String, Hidden)> = vec![
        ("User-Agent".to_owned(), USER_AGENT.into()),
        ("Accept".to_owned(), ACCEPT.into()),
        ("Accept-Encoding".to_owned(), "identity".into()),
    ];
    for (name, value) in given {
        if NOT_SENT.iter().any(|own| name.eq_ignore_ascii_case(own)) {
            tracing::warn!("the HTTP header {name:?} is not sent: it is made by the program");
            continue;
        }
        headers.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        headers.push((name.clone(), value.clone()));
    }
    headers
}

#[cfg(test)]
#[path = "web_tests.rs"]
mod tests;
