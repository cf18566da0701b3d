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

use reqwest::header::{HeaderName, HeaderValue, LOCATION, PROXY_AUTHORIZATION};
use rustls::ClientConfig;
use tokio::runtime::Runtime;

use super::http::{Http, HttpError, Method, Request, Response, Trust};
use super::proxy::Via;
use super::stop::{LOOK_EVERY, Stop};
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
        let proxy = request.via.as_ref().map(|via| via.url.scheme());
        if scheme != "https" && proxy != Some("https") {
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
        let tunnel = url.scheme() == "https";
        let mut client = reqwest::Client::builder()
            .tls_backend_preconfigured(self.tls(request, url.scheme())?)
            // The environment's do not count.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .http1_only()
            .pool_max_idle_per_host(0)
            .connect_timeout(CONNECT_TIMEOUT);
        if let Some(via) = &request.via {
            client = client.proxy(proxy(via, &url)?);
        }
        let client = client.build().map_err(|error| HttpError::Invalid(tell(error)))?;
        let method = match request.method {
            Method::Get => reqwest::Method::GET,
            Method::Put => reqwest::Method::PUT,
        };
        let mut builder = client.request(method, url);
        let known = !tunnel
            && request
                .via
                .as_ref()
                .is_some_and(|via| via.authorization.is_some());
        for (name, value) in &request.headers {
            if known && name.eq_ignore_ascii_case(PROXY_AUTHORIZATION.as_str()) {
                // That of the proxy's URL counts, as in Go.
                continue;
            }
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
        let runtime = Running::new(request.stop.clone())?;
        let started = Instant::now();
        // A time too far away to be counted is no end.
        let after = |time: Duration| started.checked_add(time);
        let deadline = request.budget.and_then(after);
        let end = match (request.header_timeout.and_then(after), deadline) {
            (Some(headers), Some(deadline)) => Some(headers.min(deadline)),
            (headers, deadline) => headers.or(deadline),
        };
        let waits_for = format!("{}, {}", request.shown, request.note);
        let response = match runtime.wait(builder.send(), end, &waits_for) {
            Some(Ok(response)) => response,
            Some(Err(error)) if error.is_builder() => return Err(HttpError::Invalid(tell(error))),
            Some(Err(error)) => {
                let connect = error.is_connect();
                let text = tell(error);
                return Err(HttpError::Transport(match &request.via {
                    None => text,
                    Some(via) => tell_of_proxy(&text, via, connect && !tunnel),
                }));
            }
            None if request.stop.is_asked() => return Err(HttpError::Stopped),
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
                waits_for,
            }),
        })
    }
}

/// The proxy as reqwest takes it. The rules were applied before, so it is for every request of this client.
fn proxy(via: &Via, url: &reqwest::Url) -> Result<reqwest::Proxy, HttpError> {
    if url.scheme() == "https" && url.host_str().is_some_and(|host| host.starts_with('[')) {
        // reqwest takes the brackets for a part of the name in the certificate.
        return Err(HttpError::Invalid(format!(
            "an https server named by its IPv6 address is not reached through the proxy {via}: name it by its host name, \
             or list the address in ignition.proxy.noProxy"
        )));
    }
    let proxy = reqwest::Proxy::all(via.url.as_str())
        .map_err(|error| HttpError::Invalid(format!("the proxy {via} cannot be used: {}", tell(error))))?;
    let Some(authorization) = &via.authorization else {
        return Ok(proxy);
    };
    let mut value = HeaderValue::try_from(authorization.reveal())
        .map_err(|_| HttpError::Invalid(format!("user and password of the proxy {via} cannot be sent")))?;
    value.set_sensitive(true);
    Ok(proxy.custom_http_auth(value))
}

/// Adds the proxy to what went wrong, and what can be done if it is the proxy's affair. `at_proxy`: it is known that no
/// connection to the proxy came about.
fn tell_of_proxy(text: &str, via: &Via, at_proxy: bool) -> String {
    // The types of these errors are not public.
    let has = |part: &str| text.contains(part);
    let advice = if has("proxy authorization required") {
        match via.authorization {
            None => "; it wants user and password: write them into its URL, http://user:password@host:port",
            Some(_) => "; it does not accept user and password of its URL: check them",
        }
    } else if has("tunnel error: unsuccessful") {
        "; it does not let this through, does not know the user of its URL, or cannot reach the server: ask who runs it, \
         or list the host in ignition.proxy.noProxy"
    } else if has("failed to create underlying connection") || (at_proxy && !has("certificate")) {
        "; the proxy itself cannot be reached: check its URL"
    } else {
        ""
    };
    format!("through the proxy {via}: {text}{advice}")
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
struct Running {
    /// Gone only while it is dropped
    runtime: Option<Runtime>,
    stop: Stop,
}

impl Running {
    fn new(stop: Stop) -> Result<Self, HttpError> {
        tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map(|runtime| Self {
                runtime: Some(runtime),
                stop,
            })
            .map_err(|error| HttpError::Invalid(format!("cannot start a runtime for the network: {error}")))
    }

    /// Waits for `future` until `end`; says every ten seconds that it does. `None`: it is past the end, or was stopped.
    fn wait<T>(&self, future: impl Future<Output = T>, end: Option<Instant>, what: &str) -> Option<T> {
        let started = Instant::now();
        let mut say = started.checked_add(SAY_EVERY)?;
        self.runtime.as_ref()?.block_on(async {
            let mut future = pin!(future);
            loop {
                let left = end.map_or(LOOK_EVERY, |end| {
                    end.saturating_duration_since(Instant::now()).min(LOOK_EVERY)
                });
                if let Ok(value) = tokio::time::timeout(left, &mut future).await {
                    return Some(value);
                }
                let now = Instant::now();
                if self.stop.is_asked() || end.is_some_and(|end| now >= end) {
                    return None;
                }
                if now < say {
                    continue;
                }
                say = now.checked_add(SAY_EVERY)?;
                tracing::info!("still waiting for {what}, {} s now", started.elapsed().as_secs());
            }
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
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
    waits_for: String,
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
                .wait(self.response.chunk(), self.deadline, &self.waits_for)
            {
                Some(Ok(Some(chunk))) => self.chunk = io::Cursor::new(chunk.to_vec()),
                Some(Ok(None)) => return Ok(0),
                Some(Err(error)) => return Err(io::Error::other(tell(error))),
                None if self.runtime.stop.is_asked() => {
                    return Err(io::Error::other(HttpError::Stopped));
                }
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
