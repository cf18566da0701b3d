//! The runtime of one request, and what is said while it is waited for.

use std::future::Future;
use std::pin::pin;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use super::http::HttpError;
use super::stop::{LOOK_EVERY, Stop};

/// How often a wait says what it waits for.
pub(super) const SAY_EVERY: Duration = Duration::from_secs(10);

/// A wait that says at least every ten seconds what it waits for.
#[derive(Debug)]
pub(super) struct Waiting {
    what: String,
    started: Instant,
    due: Instant,
    stop: Stop,
}

impl Waiting {
    /// `what`: the URL and the attempt. `silent`: how long nothing has been said before.
    pub(super) fn new(what: String, silent: Duration, stop: Stop) -> Self {
        let started = Instant::now();
        Self {
            what,
            started,
            due: after(started, SAY_EVERY.saturating_sub(silent)),
            stop,
        }
    }

    /// Whether somebody has asked this process to stop (SIGTERM), or whoever waits has enough.
    pub(super) fn is_stop_asked(&self) -> bool {
        crate::sys::signals::terminated() || self.stop.is_asked()
    }

    /// When to look again, whatever else is waited for.
    pub(super) fn wake(&self) -> Instant {
        self.due.min(after(Instant::now(), LOOK_EVERY))
    }

    /// Says the line if it is due; `phase`: how far it is.
    pub(super) fn say(&mut self, phase: &str) {
        let now = Instant::now();
        if now < self.due {
            return;
        }
        self.due = after(now, SAY_EVERY);
        let passed = now.saturating_duration_since(self.started);
        let seconds = passed.saturating_add(Duration::from_millis(500)).as_secs();
        let what = &self.what;
        crate::log::waiting(&format_args!(
            "still waiting for {what}, {seconds} s now: {phase}"
        ));
    }
}

fn after(moment: Instant, time: Duration) -> Instant {
    moment.checked_add(time).unwrap_or(moment)
}

/// A runtime that does not wait for its blocking threads when it is dropped.
pub(super) struct Running(Option<Runtime>);

impl Running {
    pub(super) fn new() -> Result<Self, HttpError> {
        tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map(|runtime| Self(Some(runtime)))
            .map_err(|error| HttpError::Invalid(format!("cannot start a runtime for the network: {error}")))
    }

    /// What comes of `future`.
    pub(super) fn block_on<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        self.0.as_ref().map(|runtime| runtime.block_on(future))
    }

    /// Waits for `future` until `end`. `None`: it is past the end, or somebody asks to stop.
    pub(super) fn wait<T>(
        &self,
        future: impl Future<Output = T>,
        end: Option<Instant>,
        waiting: &mut Waiting,
        phase: &str,
    ) -> Option<T> {
        self.block_on(async {
            let mut future = pin!(future);
            loop {
                let wake = waiting.wake();
                let wake = end.map_or(wake, |end| end.min(wake));
                if let Ok(value) = tokio::time::timeout_at(wake.into(), &mut future).await {
                    return Some(value);
                }
                if waiting.is_stop_asked() || end.is_some_and(|end| Instant::now() >= end) {
                    return None;
                }
                waiting.say(phase);
            }
        })
        .flatten()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
