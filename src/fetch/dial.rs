//! Several addresses of one host, tried side by side (RFC 8305, "happy eyeballs").
//!
//! hyper tries both families at once, but the addresses of one family in turn, each with its share of the connect timeout:
//! two dead addresses before a good one are a lost minute. Here each address has a client of its own that knows only this
//! address, and a [`Gate`] in it that lets one connection through, the first that is ready for a request.

use std::collections::VecDeque;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::AbortHandle;
use tower_layer::Layer;
use tower_service::Service;

use super::http::HttpError;
use super::running::Waiting;

/// How long an address has before the next is tried too (RFC 8305 section 8).
const HEAD_START: Duration = Duration::from_millis(250);
/// The most addresses of one host that are tried.
const MOST_ADDRESSES: usize = 16;

/// The order in which addresses are tried: as the resolver has sorted them, the families in alternation.
pub(super) fn ordered(found: &[SocketAddr]) -> Vec<SocketAddr> {
    let first_is_v6 = found.first().is_some_and(SocketAddr::is_ipv6);
    let (mut one, mut other): (VecDeque<_>, VecDeque<_>) = found
        .iter()
        .copied()
        .partition(|address| address.is_ipv6() == first_is_v6);
    let mut order: Vec<SocketAddr> = Vec::new();
    while order.len() < MOST_ADDRESSES && !(one.is_empty() && other.is_empty()) {
        for address in [one.pop_front(), other.pop_front()].into_iter().flatten() {
            if !order.contains(&address) {
                order.push(address);
            }
        }
    }
    order
}

/// When a race is over.
#[derive(Debug)]
pub(super) struct Ends {
    /// A connection must be there
    pub(super) connect: Option<Instant>,
    /// Time from then until the answer begins
    pub(super) headers: Option<Duration>,
    /// All of it must be over
    pub(super) deadline: Option<Instant>,
}

/// Why no answer began.
#[derive(Debug)]
pub(super) enum Lost {
    /// Each address that was tried, and why it failed
    Failed(Vec<(Option<SocketAddr>, reqwest::Error)>),
    /// No address let itself be connected to in time
    NoConnection,
    /// The time for the headers is over
    NoHeaders(Duration),
    /// As it stands
    Refused(HttpError),
}

/// What a client says.
enum News {
    /// It is connected, and no other will be
    Connected(Option<SocketAddr>),
    /// It is done
    Over(Option<SocketAddr>, Box<Result<reqwest::Response, reqwest::Error>>),
}

/// Lets the first connection through, and no other.
#[derive(Clone)]
pub(super) struct Gate {
    address: Option<SocketAddr>,
    taken: Arc<AtomicBool>,
    news: UnboundedSender<News>,
}

impl<S> Layer<S> for Gate {
    type Service = Gated<S>;

    fn layer(&self, inner: S) -> Gated<S> {
        Gated {
            inner,
            gate: self.clone(),
        }
    }
}

/// A connector behind a gate.
#[derive(Clone)]
pub(super) struct Gated<S> {
    inner: S,
    gate: Gate,
}

impl<S, R> Service<R> for Gated<S>
where
    S: Service<R>,
    S::Future: Send + 'static,
    S::Response: Send,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, target: R) -> Self::Future {
        let connecting = self.inner.call(target);
        let gate = self.gate.clone();
        Box::pin(async move {
            let connection = connecting.await?;
            if gate.taken.swap(true, Ordering::Relaxed) {
                drop(connection);
                // The race ends this task.
                return std::future::pending().await;
            }
            let _nobody_listens = gate.news.send(News::Connected(gate.address));
            Ok(connection)
        })
    }
}

/// Clients that are under way. They end with this.
#[derive(Default)]
struct Runners(Vec<(Option<SocketAddr>, AbortHandle)>);

impl Runners {
    /// Ends all but one.
    fn end_others(&self, winner: Option<SocketAddr>) {
        for (address, runner) in &self.0 {
            if *address != winner {
                runner.abort();
            }
        }
    }
}

impl Drop for Runners {
    fn drop(&mut self) {
        for (_, runner) in &self.0 {
            runner.abort();
        }
    }
}

/// Sends one request to the first of the addresses that can be connected to. `start` makes the request; `None` for a host
/// that is an address itself.
pub(super) async fn race<F>(
    addresses: &[Option<SocketAddr>],
    mut start: impl FnMut(Option<SocketAddr>, Gate) -> Result<F, HttpError>,
    ends: &Ends,
    waiting: &mut Waiting,
) -> Result<reqwest::Response, Lost>
where
    F: Future<Output = Result<reqwest::Response, reqwest::Error>> + Send + 'static,
{
    let (sender, mut news): (_, UnboundedReceiver<News>) = unbounded_channel();
    let taken = Arc::new(AtomicBool::new(false));
    let mut left = addresses.iter().copied();
    let mut runners = Runners::default();
    let mut running = 0_usize;
    let mut failed = Vec::new();
    let mut tried: Vec<String> = Vec::new();
    let mut next = Some(Instant::now());
    let mut end = ends.connect;
    let mut winner = None;
    loop {
        let now = Instant::now();
        if next.is_some_and(|next| now >= next) {
            next = match left.next() {
                None => None,
                Some(address) => {
                    let gate = Gate {
                        address,
                        taken: Arc::clone(&taken),
                        news: sender.clone(),
                    };
                    let request = start(address, gate).map_err(Lost::Refused)?;
                    let sender = sender.clone();
                    let task = tokio::spawn(async move {
                        let result = Box::new(request.await);
                        let _nobody_listens = sender.send(News::Over(address, result));
                    });
                    runners.0.push((address, task.abort_handle()));
                    tried.extend(address.map(|address| address.ip().to_string()));
                    running = running.saturating_add(1);
                    now.checked_add(HEAD_START)
                }
            };
        }
        if running == 0 && next.is_none() {
            return Err(Lost::Failed(failed));
        }
        let phase = match (winner.is_some(), tried.as_slice()) {
            (true, _) => "it is connected, and no answer has begun".to_owned(),
            (false, []) => "it is being connected to".to_owned(),
            (false, tried) => format!("it is being connected to at {}", tried.join(", ")),
        };
        if ends.deadline.is_some_and(|deadline| now >= deadline) {
            let missing = if winner.is_some() {
                "an answer began"
            } else {
                "it was connected"
            };
            return Err(Lost::Refused(HttpError::Deadline(missing)));
        }
        if end.is_some_and(|end| now >= end) {
            return Err(match ends.headers {
                Some(time) if winner.is_some() => Lost::NoHeaders(time),
                _ => Lost::NoConnection,
            });
        }
        if waiting.is_stop_asked() {
            return Err(Lost::Refused(HttpError::Stopped));
        }
        waiting.say(&phase);
        let wake = [Some(waiting.wake()), next, end, ends.deadline];
        let wake = wake.into_iter().flatten().min().unwrap_or(now);
        match tokio::time::timeout_at(wake.into(), news.recv()).await {
            // Something is due.
            Err(_) | Ok(None) => {}
            Ok(Some(News::Connected(address))) => {
                winner = Some(address);
                runners.end_others(address);
                next = None;
                end = ends.headers.and_then(|time| Instant::now().checked_add(time));
            }
            Ok(Some(News::Over(address, result))) => match *result {
                Ok(response) => return Ok(response),
                Err(error) if winner == Some(address) => return Err(Lost::Failed(vec![(address, error)])),
                // It came too late.
                Err(_) if winner.is_some() => {}
                Err(error) => {
                    running = running.saturating_sub(1);
                    failed.push((address, error));
                    next = Some(Instant::now());
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(list: &[&str]) -> Vec<SocketAddr> {
        list.iter()
            .map(|text| SocketAddr::new(text.parse().unwrap(), 80))
            .collect()
    }

    #[test]
    fn families_alternate_and_the_resolvers_first_stays_first() {
        for (found, want) in [
            (&[][..], &[][..]),
            (&["192.0.2.1"], &["192.0.2.1"]),
            (
                &[
                    "2001:db8::1",
                    "2001:db8::2",
                    "192.0.2.1",
                    "192.0.2.2",
                    "192.0.2.3",
                ],
                &[
                    "2001:db8::1",
                    "192.0.2.1",
                    "2001:db8::2",
                    "192.0.2.2",
                    "192.0.2.3",
                ],
            ),
            (
                &["192.0.2.1", "192.0.2.1", "2001:db8::1", "192.0.2.2"],
                &["192.0.2.1", "2001:db8::1", "192.0.2.2"],
            ),
        ] {
            assert_eq!(ordered(&addresses(found)), addresses(want));
        }
        let many: Vec<SocketAddr> = (0..100)
            .map(|number| SocketAddr::new([192, 0, 2, number].into(), 80))
            .collect();
        assert_eq!(ordered(&many), many[..MOST_ADDRESSES]);
    }
}
