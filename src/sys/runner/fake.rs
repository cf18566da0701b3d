//! A runner that starts nothing.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Ended, Invocation, Output, RunError, Runner};

/// Records what it is asked to run and answers as it was told to; without an answer left, everything succeeds.
#[derive(Debug, Default)]
pub struct FakeRunner {
    asked: Mutex<Vec<Invocation>>,
    answers: Mutex<VecDeque<Result<Output, RunError>>>,
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl FakeRunner {
    /// Everything succeeds.
    pub fn new() -> Self {
        Self::default()
    }

    /// The next run that has no answer yet succeeds with this output.
    #[must_use]
    pub fn succeed(self, stdout: &[u8]) -> Self {
        lock(&self.answers).push_back(Ok(Output {
            stdout: stdout.to_vec(),
            stderr: String::new(),
        }));
        self
    }

    /// The next run that has no answer yet fails with this exit code.
    #[must_use]
    pub fn fail(self, code: i32, stderr: &str) -> Self {
        lock(&self.answers).push_back(Err(RunError::Failed {
            command: String::new(),
            ended: Ended::Code(code),
            stderr: stderr.to_owned(),
        }));
        self
    }

    /// The next run that has no answer yet fails like this.
    #[must_use]
    pub fn answer(self, error: RunError) -> Self {
        lock(&self.answers).push_back(Err(error));
        self
    }

    /// What was run so far.
    pub fn asked(&self) -> Vec<Invocation> {
        lock(&self.asked).clone()
    }

    /// The command lines that were run so far.
    pub fn commands(&self) -> Vec<String> {
        lock(&self.asked).iter().map(ToString::to_string).collect()
    }
}

impl Runner for FakeRunner {
    fn run(&self, invocation: &Invocation) -> Result<Output, RunError> {
        lock(&self.asked).push(invocation.clone());
        match lock(&self.answers).pop_front() {
            None => Ok(Output::default()),
            Some(Err(RunError::Failed { ended, stderr, .. })) => Err(RunError::Failed {
                command: invocation.to_string(),
                ended,
                stderr,
            }),
            Some(answer) => answer,
        }
    }
}
