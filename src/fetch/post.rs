//! Telling a server something: one request, no second attempt, no redirect.

use std::time::Duration;

use super::http::{Http, HttpError, Method, Request};
use super::proxy::{self, ProxyError, Route};
use super::settings::Settings;
use super::web;
use crate::config::grammar::url::display;

/// Why nobody was told. Nothing of the URL is in it.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    /// The URL is of no use
    #[error("{0}")]
    Url(String),
    /// The config names a proxy that is none
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// The network says
    #[error(transparent)]
    Http(#[from] HttpError),
    /// It does not accept it
    #[error("the server answered with status {0}")]
    Status(u16),
}

/// Posts JSON to an URL of `http:` or `https:`, through the proxy and with the trust of `settings`. All of it takes at
/// most `most`. A status of 2xx is success.
pub fn post(
    http: &dyn Http,
    url: &str,
    settings: &Settings,
    json: Vec<u8>,
    most: Duration,
) -> Result<(), PostError> {
    let parsed = web::parse(url).map_err(PostError::Url)?;
    let via = match proxy::route(&settings.proxy, &parsed)? {
        Route::Direct => None,
        Route::Via(via) => Some(via),
    };
    let response = http.send(&Request {
        method: Method::Post,
        url: url.into(),
        shown: display(url),
        headers: vec![
            ("User-Agent".to_owned(), web::USER_AGENT.into()),
            ("Content-Type".to_owned(), "application/json".into()),
        ],
        body: json,
        header_timeout: None,
        budget: Some(most),
        limit: "two seconds for the report",
        trust: settings.trust.clone(),
        via,
        note: "one attempt".to_owned(),
        silent: Duration::ZERO,
        stop: settings.stop.clone(),
    })?;
    match response.status {
        200..=299 => Ok(()),
        status => Err(PostError::Status(status)),
    }
}
