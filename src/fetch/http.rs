//! One HTTP request and its answer: the edge below the policy of [`super::web`].

use std::fmt;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use super::proxy::Via;
use super::stop::Stop;
use crate::config::types::Hidden;

/// Certificates that are trusted beside the system's, in DER.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// From `ignition.security.tls.certificateAuthorities`
    pub extra: Vec<Vec<u8>>,
}

/// Request methods that platforms use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// `GET`
    #[default]
    Get,
    /// `PUT`, without a body: tokens of metadata services
    Put,
    /// `POST`, for the report
    Post,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Request {
    /// Method
    pub method: Method,
    /// The URL, `http:` or `https:`
    pub url: Hidden,
    /// The URL fit to be shown
    pub shown: String,
    /// All headers that are sent beside `Host`
    pub headers: Vec<(String, Hidden)>,
    /// The body; empty = none
    pub body: Vec<u8>,
    /// Time until the answer's headers are there; `None` = without end
    pub header_timeout: Option<Duration>,
    /// Time until all of it, the body too, must be over; `None` = without end
    pub budget: Option<Duration>,
    /// What the budget comes from, as it is said when it is used up
    pub limit: &'static str,
    /// Who is trusted, the proxy too
    pub trust: Arc<Trust>,
    /// The proxy to go through; `None` = straight
    pub via: Option<Via>,
    /// What is said beside the URL while it is waited for: the attempt, and how the last one failed
    pub note: String,
    /// How long nothing has been said about the wait before
    pub silent: Duration,
    /// Ends it
    pub stop: Stop,
}

/// An answer. The body may be read until it ends; it fails if it is cut short or the deadline passes.
pub struct Response {
    /// Status code
    pub status: u16,
    /// `Location`, if it is text
    pub location: Option<Hidden>,
    /// The body
    pub body: Box<dyn Read + Send>,
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// Why there is no answer. Nothing of the URL or the headers is in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// No connection, a broken answer: it may go better next time
    #[error("{0}")]
    Transport(String),
    /// This machine knows no way to the address: it may go better next time, when there is a network
    #[error("{0}")]
    Unreachable(String),
    /// The name of the host is not resolved: likewise
    #[error("{0}")]
    Name(String),
    /// The certificate of the server or proxy is not accepted: it may go better next time, with another clock
    #[error("{0}")]
    Certificate(String),
    /// The server did not begin to answer in time: it may go better next time
    #[error("no answer began within {} s (ignition.timeouts.httpResponseHeaders)", .0.as_secs())]
    HeaderTimeout(Duration),
    /// The budget is used up; what had not happened by then
    #[error("the time for it was over before {0}")]
    Deadline(&'static str),
    /// Somebody has asked this process to stop
    #[error("it was asked to stop")]
    Stopped,
    /// The request itself is of no use
    #[error("{0}")]
    Invalid(String),
}

impl HttpError {
    /// Whether another attempt makes sense.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Transport(_)
            | Self::Unreachable(_)
            | Self::Name(_)
            | Self::Certificate(_)
            | Self::HeaderTimeout(_) => true,
            Self::Deadline(_) | Self::Stopped | Self::Invalid(_) => false,
        }
    }
}

/// The network. One call is one request on one connection: no retry, no redirect, no header of its own but `Host`.
pub trait Http: Send + Sync {
    /// Sends a request and waits for the answer's headers.
    fn send(&self, request: &Request) -> Result<Response, HttpError>;
}
