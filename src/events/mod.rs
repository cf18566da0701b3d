//! What happens in a run, told while it happens: the source of the run report (`docs/report-format.md`).
//!
//! [`line`] makes a line of JSON of an event, [`file::ReportFile`] appends it; [`read`] reads a report back, whatever is
//! in it, and [`table`] shows it to people.

pub mod digest;
pub mod file;
pub mod line;
pub mod read;
pub mod table;

use std::sync::OnceLock;
use std::time::Duration;

use crate::plan::Step;
use crate::stages::{Phase, Stage};
use digest::Digest;
use file::ReportFile;

/// Something that happened.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// A stage begins
    StageBegins {
        /// Which
        stage: Stage,
        /// The id of this boot, if the kernel tells it
        boot_id: Option<&'a str>,
        /// Platform id
        platform: Option<&'a str>,
    },
    /// Something that may take long to come is asked for
    FetchBegins {
        /// What it is for
        kind: Fetched,
        /// URL fit to be shown, or a source that has none
        source: &'a str,
    },
    /// A config or its authorities came, or did not
    Fetched {
        /// What it is for
        kind: Fetched,
        /// URL fit to be shown, or a source that has none
        source: &'a str,
        /// What it came to
        outcome: Outcome<'a>,
        /// How long it took
        took: Duration,
        /// What was done
        done: Done,
    },
    /// A step that may take long is begun
    StepBegins {
        /// Of which stage
        stage: Stage,
        /// Of which phase
        phase: Phase,
        /// What is to be done
        step: &'a Step,
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
        /// Why it failed, if it did
        failure: Option<&'a Digest>,
        /// How long it took
        took: Duration,
    },
}

/// What is fetched for the stage itself; contents of files are fetched by steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// The user config, from the kernel command line's URL, `user.ign` or the platform
    Provider,
    /// A config that another one refers to
    Reference,
    /// Certificate authorities
    Authorities,
}

impl Fetched {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Provider => "provider",
            Self::Reference => "reference",
            Self::Authorities => "authorities",
        }
    }
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
    /// Bytes written or fetched, if it is about bytes
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

/// Nobody, until it is known where the report goes. A dry run never gets so far.
#[derive(Debug, Default)]
pub struct Report(OnceLock<ReportFile>);

impl Report {
    /// From now on this file is told.
    pub fn goes_to(&self, file: ReportFile) {
        // A second one would be a second stage in one process, which there is not.
        let _second = self.0.set(file);
    }
}

impl Events for Report {
    fn tell(&self, event: &Event<'_>) {
        if let Some(file) = self.0.get() {
            file.tell(event);
        }
    }
}
