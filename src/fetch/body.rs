//! The body of an answer.

use std::io::{self, Read};
use std::time::Instant;

use bytes::{Buf as _, Bytes};

use super::running::{Running, Waiting};
use super::told::tell;

/// A body that is read from the network while somebody waits for it.
pub(super) struct Body {
    runtime: Running,
    response: reqwest::Response,
    /// What came last, without what was taken of it
    chunk: Bytes,
    deadline: Option<Instant>,
    waiting: Waiting,
    /// What the deadline comes from
    limit: &'static str,
    /// Bytes so far
    received: u64,
    /// Bytes that the server has announced
    length: Option<u64>,
}

impl Body {
    /// `response`: its headers are there.
    pub(super) fn new(
        runtime: Running,
        response: reqwest::Response,
        deadline: Option<Instant>,
        waiting: Waiting,
        limit: &'static str,
    ) -> Self {
        Self {
            runtime,
            length: response.content_length(),
            response,
            chunk: Bytes::new(),
            deadline,
            waiting,
            limit,
            received: 0,
        }
    }

    fn progress(&self) -> String {
        match self.length {
            Some(length) => format!("{} of {length} bytes have come", self.received),
            None => format!("{} bytes have come", self.received),
        }
    }

    /// The next piece; `None` at the end.
    fn next(&mut self) -> io::Result<Option<Bytes>> {
        let progress = self.progress();
        let got = self
            .runtime
            .wait(self.response.chunk(), self.deadline, &mut self.waiting, &progress);
        match got {
            Some(Ok(Some(chunk))) => {
                let length = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
                self.received = self.received.saturating_add(length);
                // A body that flows never waits for ten seconds.
                self.waiting.say(&self.progress());
                Ok(Some(chunk))
            }
            Some(Ok(None)) => Ok(None),
            Some(Err(error)) => Err(io::Error::other(format!(
                "the connection broke off when {progress}, by the server or something on the way ({})",
                tell(&error)
            ))),
            // Not of the kind "interrupted": that would be read again.
            None if self.waiting.is_stop_asked() => {
                Err(io::Error::other(format!("stopped on request when {progress}")))
            }
            None => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("the time for it is over ({}) when {progress}", self.limit),
            )),
        }
    }
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let taken = self.chunk.len().min(buffer.len());
            if taken > 0 || buffer.is_empty() {
                if let Some(room) = buffer.get_mut(..taken) {
                    self.chunk.copy_to_slice(room);
                }
                return Ok(taken);
            }
            match self.next()? {
                Some(chunk) => self.chunk = chunk,
                None => return Ok(0),
            }
        }
    }
}
