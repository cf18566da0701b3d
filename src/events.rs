//! What happens in a run, told while it happens: the source of the run report.

use std::time::Duration;

use crate::plan::Step;
use crate::stages::{Phase, Stage};

/// Something that happened.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// A stage begins
    StageBegins {
        /// Which
        stage: Stage,
    },
    /// A config or its authorities came, or did not
    Fetched {
        /// URL fit to be shown
        url: &'a str,
        /// What it came to
        outcome: Outcome<'a>,
        /// How long it took
        took: Duration,
        /// What was done
        done: Done,
    },
    /// A step was executed, or kept
    Step {
        /// Of which stage
        stage: Stage,
        /// Of which phase
        phase: Phase,
        /// What was to be done
        step: &'a Step,
        /// What it came to
        outcome: Outcome<'a>,
        /// How long it took
        took: Duration,
        /// What was done
        done: Done,
    },
    /// A stage is over
    StageEnds {
        /// Which
        stage: Stage,
        /// What it came to
        outcome: Outcome<'a>,
        /// How long it took
        took: Duration,
    },
}

/// What something came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// Done
    Done,
    /// It was as it should be already
    Kept,
    /// Failed; the causes in one line, without secrets
    Failed(&'a str),
}

/// Figures of what was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Bytes written, if it is about bytes
    pub bytes: Option<u64>,
    /// Attempts that a fetch took, if there was one
    pub attempts: Option<u64>,
}

/// Who is told. Telling never fails: a report that cannot be written is no reason not to provision.
pub trait Events: Sync {
    /// Tells.
    fn tell(&self, event: &Event<'_>);
}

/// Nobody listens.
#[derive(Clone, Copy, Debug, Default)]
pub struct Untold;

impl Events for Untold {
    fn tell(&self, _event: &Event<'_>) {}
}
