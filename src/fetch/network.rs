//! The real network: reqwest on a current-thread runtime, behind a blocking reader.
//!
//! Each request has a runtime and a connection of its own. The runtime only moves while a caller waits in it, and is shut
//! down in the background: its blocking pool may hold a `getaddrinfo` that hangs. The addresses of a host are tried side
//! by side ([`super::dial`]).

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, LOCATION, PROXY_AUTHORIZATION};
use rustls::ClientConfig;

use super::body::Body;
use super::dial::{self, Ends, Gate, Lost};
use super::http::{Http, HttpError, Method, Request, Response, Trust};
use super::proxy::Via;
use super::running::{Running, Waiting};
use super::told::{self, tell};
use super::{tls, web};

/// Time that the name and a connection may take, TLS and a proxy's tunnel included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(40);

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
        let tls = self.tls(request, url.scheme())?;
        let headers = headers(request, &url)?;
        let runtime = Running::new()?;
        let mut waiting = Waiting::new(
            format!("{}, {}", request.shown, request.note),
            request.silent,
            request.stop.clone(),
        );
        let started = Instant::now();
        // A time too far away to be counted is no end.
        let deadline = request.budget.and_then(|budget| started.checked_add(budget));
        let connect = started.checked_add(CONNECT_TIMEOUT);
        let first = request.via.as_ref().map_or(&url, |via| &via.url);
        let host = first.host_str().unwrap_or_default();
        let addresses = addresses(&runtime, first, earlier(connect, deadline), &mut waiting)
            .map_err(|error| through(request.via.as_ref(), error, deadline))?;
        let start = |address: Option<SocketAddr>, gate: Gate| {
            let mut client = reqwest::Client::builder()
                .tls_backend_preconfigured(tls.clone())
                // The environment's do not count.
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none())
                .retry(reqwest::retry::never())
                .referer(false)
                .http1_only()
                .pool_max_idle_per_host(0)
                .connector_layer(gate);
            if let Some(address) = address {
                client = client.resolve(host, address);
            }
            if let Some(via) = &request.via {
                client = client.proxy(proxy(via, &url)?);
            }
            let client = client.build().map_err(|error| HttpError::Invalid(tell(&error)))?;
            let method = match request.method {
                Method::Get => reqwest::Method::GET,
                Method::Put => reqwest::Method::PUT,
                Method::Post => reqwest::Method::POST,
            };
            let mut builder = client.request(method, url.clone()).headers(headers.clone());
            if !request.body.is_empty() {
                builder = builder.body(request.body.clone());
            }
            Ok(builder.send())
        };
        let ends = Ends {
            connect,
            headers: request.header_timeout,
            deadline,
        };
        let response = runtime
            .block_on(dial::race(&addresses, start, &ends, &mut waiting))
            .unwrap_or(Err(Lost::Refused(HttpError::Deadline("the wait began"))))
            .map_err(|lost| told::lost(lost, first, &url, request))?;
        let location = response
            .headers()
            .get(LOCATION)
            .and_then(|value| std::str::from_utf8(value.as_bytes()).ok())
            .map(Into::into);
        Ok(Response {
            status: response.status().as_u16(),
            location,
            body: Box::new(Body::new(runtime, response, deadline, waiting, request.limit)),
        })
    }
}

fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// The addresses of an URL's host in the order in which they are tried; of a host that is one itself, nothing.
fn addresses(
    runtime: &Running,
    url: &Url,
    end: Option<Instant>,
    waiting: &mut Waiting,
) -> Result<Vec<Option<SocketAddr>>, HttpError> {
    let Some(name) = url.domain() else {
        return Ok(vec![None]);
    };
    let port = url.port_or_known_default().unwrap_or(80);
    let what = format!("its name {name} is being looked up");
    let lookup = async {
        tokio::net::lookup_host((name, port))
            .await
            .map(Iterator::collect::<Vec<_>>)
    };
    let found = match runtime.wait(lookup, end, waiting, &what) {
        None if waiting.is_stop_asked() => return Err(HttpError::Stopped),
        None => {
            return Err(HttpError::Name(format!(
                "the name {name} was not resolved in time"
            )));
        }
        Some(Ok(found)) if found.is_empty() => Err(io::Error::other("it has no address")),
        Some(found) => found,
    };
    match found {
        Ok(found) => Ok(dial::ordered(&found).into_iter().map(Some).collect()),
        Err(error) => Err(HttpError::Name(told::name(name, &error))),
    }
}

/// An error of the way to a proxy names it. Without any time left that is the reason.
fn through(via: Option<&Via>, error: HttpError, deadline: Option<Instant>) -> HttpError {
    if error == HttpError::Stopped {
        return error;
    }
    if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
        return HttpError::Deadline("its name was resolved");
    }
    match (via, error) {
        (Some(via), HttpError::Name(text)) => HttpError::Name(format!("through the proxy {via}: {text}")),
        (_, error) => error,
    }
}

/// The headers that go out.
fn headers(request: &Request, url: &Url) -> Result<HeaderMap, HttpError> {
    let known = url.scheme() != "https"
        && request
            .via
            .as_ref()
            .is_some_and(|via| via.authorization.is_some());
    let mut headers = HeaderMap::new();
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
        headers.append(header, value);
    }
    Ok(headers)
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
        .map_err(|error| HttpError::Invalid(format!("the proxy {via} cannot be used: {}", tell(&error))))?;
    let Some(authorization) = &via.authorization else {
        return Ok(proxy);
    };
    let mut value = HeaderValue::try_from(authorization.reveal())
        .map_err(|_| HttpError::Invalid(format!("user and password of the proxy {via} cannot be sent")))?;
    value.set_sensitive(true);
    Ok(proxy.custom_http_auth(value))
}
