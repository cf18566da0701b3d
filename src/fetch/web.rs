//! How Ignition speaks HTTP: default headers, what is tried again and when, redirects, statuses (spec/fetch.md 8.2).

use std::time::Duration;

use reqwest::Url;

use crate::config::grammar::url::display;
use crate::config::types::Hidden;

use super::http::{Http, HttpError, Method, Request, Response};
use super::idn;
use super::proxy::{self, Route, Via};
use super::settings::Settings;
use super::{Contents, FetchError};
use crate::sys::Clock;

/// First wait between two attempts; doubles up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(200);
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
}

impl<'a> Web<'a> {
    /// HTTP over a network and a clock.
    pub fn new(http: &'a dyn Http, clock: &'a dyn Clock) -> Self {
        Self { http, clock }
    }

    /// The body of a successful answer (200 or 204), after as many attempts as the total budget allows. The body's reader
    /// fails if the budget ends while it is read.
    pub fn call(&self, call: &Call, settings: &Settings) -> Result<Contents<'static>, FetchError> {
        let shown = display(call.url.reveal());
        let deadline = settings
            .total
            .map(|total| self.clock.monotonic().saturating_add(total));
        let headers = headers(&call.headers);
        let mut wait = FIRST_WAIT;
        let mut attempt: u64 = 0;
        let mut last: Option<String> = None;
        loop {
            attempt = attempt.saturating_add(1);
            tracing::info!("{} {shown}: attempt {attempt}", method(call.method));
            let note = match &last {
                None => format!("attempt {attempt}"),
                Some(last) => format!("attempt {attempt}, the one before failed: {last}"),
            };
            let failed = match self.attempt(call, &shown, &headers, settings, deadline, note) {
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
                    tracing::info!("{} {shown}: status {}", method(call.method), response.status);
                    return match response.status {
                        200 | 204 => Ok(Contents {
                            reader: response.body,
                            attempts: attempt,
                        }),
                        status => Err(refused(shown, status, proxy.as_ref())),
                    };
                }
                Err(Attempt::Stop(error)) => return Err(error),
                Err(Attempt::Http(HttpError::Deadline)) => {
                    return Err(FetchError::Timeout {
                        url: shown,
                        attempts: attempt,
                        last: match last {
                            None => HttpError::Deadline.to_string(),
                            Some(before) => format!("{}; the one before: {before}", HttpError::Deadline),
                        },
                    });
                }
                Err(Attempt::Http(error @ HttpError::Stopped)) => {
                    return Err(FetchError::Stopped {
                        url: shown,
                        last: last.unwrap_or_else(|| error.to_string()),
                    });
                }
                Err(Attempt::Http(error)) if error.is_transient() => error.to_string(),
                Err(Attempt::Http(error)) => {
                    return Err(FetchError::Invalid {
                        url: shown,
                        problem: error.to_string(),
                    });
                }
            };
            tracing::info!(
                "{} {shown}: attempt {attempt} failed, next in {} ms: {failed}",
                method(call.method),
                wait.as_millis()
            );
            let next = self.clock.monotonic().saturating_add(wait);
            if deadline.is_some_and(|deadline| next >= deadline) {
                return Err(FetchError::Timeout {
                    url: shown,
                    attempts: attempt,
                    last: failed,
                });
            }
            let enough = || self.clock.is_stop_asked() || settings.stop.is_asked();
            self.clock.sleep_unless(wait, &enough);
            if enough() {
                return Err(FetchError::Stopped {
                    url: shown,
                    last: failed,
                });
            }
            last = Some(failed);
            wait = wait.saturating_mul(2).min(LONGEST_WAIT);
        }
    }

    /// One attempt: the request and what it is redirected to. A redirected request carries none of the headers.
    fn attempt(
        &self,
        call: &Call,
        shown: &str,
        headers: &[(String, Hidden)],
        settings: &Settings,
        deadline: Option<Duration>,
        note: String,
    ) -> Result<Answer, Attempt> {
        let mut request = Request {
            method: call.method,
            url: call.url.clone(),
            shown: shown.to_owned(),
            headers: headers.to_vec(),
            header_timeout: settings.headers,
            budget: None,
            trust: settings.trust.clone(),
            via: None,
            note,
            stop: settings.stop.clone(),
        };
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
            request.budget = deadline.map(|deadline| deadline.saturating_sub(self.clock.monotonic()));
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
        Err(Attempt::Stop(FetchError::Redirects {
            url: shown.to_owned(),
        }))
    }
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
    }
}

/// Reads an URL for HTTP the way Go does where the URL standard differs and it matters: a host must be there, and a
/// backslash is an ordinary character of a path. The message shows nothing of the URL.
pub(super) fn parse(text: &str) -> Result<Url, String> {
    let authority = text
        .split_once("://")
        .map(|(_, rest)| rest.split(['/', '?', '#']).next().unwrap_or_default());
    match authority {
        None => return Err("it is malformed: write http://host/path".to_owned()),
        Some(authority) if authority.rsplit('@').next().is_none_or(str::is_empty) => {
            return Err("it names no host".to_owned());
        }
        Some(authority) if authority.contains('\\') => {
            return Err("its host holds a backslash".to_owned());
        }
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
