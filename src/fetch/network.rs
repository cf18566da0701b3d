//! The real network: reqwest on a current-thread runtime, behind a blocking reader.
//!
//! Each request has a runtime and a connection of its own. The runtime only moves while a caller waits in it, and is shut
//! down in the background: its blocking pool may hold a `getaddrinfo` that hangs.

use std::error::Error as _;
use std::future::Future;
use std::io::{self, Read};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::header::{HeaderName, HeaderValue, LOCATION};
use rustls::ClientConfig;
use tokio::runtime::Runtime;

use super::http::{Http, HttpError, Method, Request, Response, Trust};
use super::{tls, web};

/// Time that a connection may take, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(40);
/// How often a wait says what it waits for.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// The network of this machine.
pub struct Network {
    /// Reads the system's certificates, PEM
    bundle: Box<dyn Fn() -> Vec<u8> + Send + Sync>,
    /// TLS configuration for the trust that was asked for last: making it parses the bundle
    made: Mutex<Option<(Arc<Trust>, ClientConfig)>>,
}

impl Network {
    /// The network, trusting the certificates that `bundle` reads (PEM, may be none; see [`tls::system_bundle`]). It is
    /// not called before something is fetched over TLS.
    pub fn new(bundle: impl Fn() -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self {
            bundle: Box::new(bundle),
            made: Mutex::default(),
        }
    }

    fn tls(&self, request: &Request, scheme: &str) -> Result<ClientConfig, HttpError> {
        let failed = |error: rustls::Error| HttpError::Invalid(format!("cannot set up TLS: {error}"));
        if scheme != "https" {
            // Never used; and the bundle need not be parsed for it.
            return tls::config(&[], &Trust::default()).map_err(failed);
        }
        let mut made = self
            .made
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        match made.as_ref() {
            Some((trust, config)) if *trust == request.trust => Ok(config.clone()),
            _ => {
                let config = tls::config(&(self.bundle)(), &request.trust).map_err(failed)?;
                *made = Some((request.trust.clone(), config.clone()));
                Ok(config)
            }
        }
    }
}

impl Http for Network {
    fn send(&self, request: &Request) -> Result<Response, HttpError> {
        let url = web::parse(request.url.reveal()).map_err(HttpError::Invalid)?;
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(self.tls(request, url.scheme())?)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .http1_only()
            .pool_max_idle_per_host(0)
            .connect_timeout(CONNECT_TIMEOUT)
            .build()
            .map_err(|error| HttpError::Invalid(tell(error)))?;
        let method = match request.method {
            Method::Get => reqwest::Method::GET,
            Method::Put => reqwest::Method::PUT,
        };
        let mut builder = client.request(method, url);
        for (name, value) in &request.headers {
            let header = HeaderName::try_from(name.as_str())
                .map_err(|_| HttpError::Invalid(format!("{name:?} is no name of an HTTP header")))?;
            let mut value = HeaderValue::try_from(value.reveal()).map_err(|_| {
                HttpError::Invalid(format!(
                    "the value of the HTTP header {name:?} holds a control character"
                ))
            })?;
            value.set_sensitive(true);
            builder = builder.header(header, value);
        }
        let runtime = Running::new()?;
        let started = Instant::now();
        // A time too far away to be counted is no end.
        let after = |time: Duration| started.checked_add(time);
        let deadline = request.budget.and_then(after);
        let end = match (request.header_timeout.and_then(after), deadline) {
            (Some(headers), Some(deadline)) => Some(headers.min(deadline)),
            (headers, deadline) => headers.or(deadline),
        };
        let response = match runtime.wait(builder.send(), end, &request.shown) {
            Some(Ok(response)) => response,
            Some(Err(error)) if error.is_builder() => return Err(HttpError::Invalid(tell(error))),
            Some(Err(error)) => return Err(HttpError::Transport(tell(error))),
            None => {
                let passed = deadline.is_some_and(|deadline| Instant::now() >= deadline);
                return Err(match request.header_timeout {
                    Some(most) if !passed => HttpError::HeaderTimeout(most),
                    _ => HttpError::Deadline,
                });
            }
        };
        let location = response
            .headers()
            .get(LOCATION)
            .and_then(|value| std::str::from_utf8(value.as_bytes()).ok())
            .map(Into::into);
        Ok(Response {
            status: response.status().as_u16(),
            location,
            body: Box::new(Body {
                runtime,
                response,
                chunk: io::Cursor::default(),
                deadline,
                shown: request.shown.clone(),
            }),
        })
    }
}

/// What went wrong, with its causes, without the URL.
fn tell(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    if text.contains("UnknownIssuer") {
        text.push_str("; name its authority in ignition.security.tls.certificateAuthorities");
    }
    text
}

/// A runtime that does not wait for its blocking threads when it is dropped.
struct Running(Option<Runtime>);

impl Running {
    fn new() -> Result<Self, HttpError> {
        tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map(|runtime| Self(Some(runtime)))
            .map_err(|error| HttpError::Invalid(format!("cannot start a runtime for the network: {error}")))
    }

    /// Waits for `future` until `end`; says every ten seconds that it does. `None`: it is past the end.
    fn wait<T>(&self, future: impl Future<Output = T>, end: Option<Instant>, shown: &str) -> Option<T> {
        let started = Instant::now();
        self.0.as_ref()?.block_on(async {
            let mut future = pin!(future);
            loop {
                let now = Instant::now();
                let left = end.map_or(SAY_EVERY, |end| end.saturating_duration_since(now).min(SAY_EVERY));
                if let Ok(value) = tokio::time::timeout(left, &mut future).await {
                    return Some(value);
                }
                if end.is_some_and(|end| Instant::now() >= end) {
                    return None;
                }
                tracing::info!("still waiting for {shown}, {} s now", started.elapsed().as_secs());
            }
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// The body of an answer.
struct Body {
    runtime: Running,
    response: reqwest::Response,
    chunk: io::Cursor<Vec<u8>>,
    deadline: Option<Instant>,
    shown: String,
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let taken = self.chunk.read(buffer)?;
            if taken > 0 || buffer.is_empty() {
                return Ok(taken);
            }
            match self
                .runtime
                .wait(self.response.chunk(), self.deadline, &self.shown)
            {
                Some(Ok(Some(chunk))) => self.chunk = io::Cursor::new(chunk.to_vec()),
                Some(Ok(None)) => return Ok(0),
                Some(Err(error)) => return Err(io::Error::other(tell(error))),
                None => {
                    return Err(io::Error::new(
                        io::ErrorKind::TimedOut,
                        "the time for it is over (-fetch-timeout, or ignition.timeouts.httpTotal)",
                    ));
                }
            }
        }
    }
}
