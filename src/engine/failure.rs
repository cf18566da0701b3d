//! The one error at the top: which stage failed, at what place of which config, and why.

use std::fmt;

use super::world::AdvanceError;
use crate::plan::check::Violation;
use crate::report::{Pointer, Position, chain};
use crate::stages::{PlanError, Stage};

/// A stage that failed.
#[derive(Debug)]
pub struct Failure {
    /// Which; `None` before one is known
    pub stage: Option<Stage>,
    /// The place in the config, if it is about one
    pub location: Option<Pointer>,
    /// Where that stands: the config's name (file, or URL without secrets), line and column
    pub origin: Option<(String, Position)>,
    /// What happened, with its causes
    pub problem: String,
    /// The exit code of the drop-in names (spec/cli.md 2)
    pub exit_code: u8,
}

impl Failure {
    /// A failure that is not about a place in the config.
    pub fn new(stage: Option<Stage>, error: &dyn std::error::Error) -> Self {
        Self {
            stage,
            location: None,
            origin: None,
            problem: chain(error),
            exit_code: 1,
        }
    }

    /// A failure in words.
    pub fn text(stage: Option<Stage>, problem: impl Into<String>) -> Self {
        Self {
            stage,
            location: None,
            origin: None,
            problem: problem.into(),
            exit_code: 1,
        }
    }

    /// With another exit code.
    #[must_use]
    pub fn exit(self, exit_code: u8) -> Self {
        Self { exit_code, ..self }
    }

    /// A phase that could not be planned.
    pub fn from_plan(stage: Stage, error: &PlanError) -> Self {
        Self {
            stage: Some(stage),
            location: located(&error.pointer),
            origin: None,
            problem: chain(&error.problem),
            exit_code: 1,
        }
    }

    /// A plan that could not be carried out.
    pub fn from_advance(stage: Stage, error: &AdvanceError) -> Self {
        let (location, problem) = match error {
            AdvanceError::Step(step) => (located(&step.cause), chain(&step.problem)),
            AdvanceError::Missing { cause, source } => (located(cause), chain(source)),
            AdvanceError::Predict { cause, source: _ }
            | AdvanceError::Alias { cause, .. }
            | AdvanceError::Unknown { cause, .. }
            | AdvanceError::Unsound(Violation::Unsound { cause, .. }) => (located(cause), chain(error)),
            AdvanceError::Unsound(Violation::View(_)) => (None, chain(error)),
        };
        Self {
            stage: Some(stage),
            location,
            origin: None,
            problem,
            exit_code: 1,
        }
    }

    /// The failure without the name of its stage.
    pub fn without_stage(&self) -> impl fmt::Display + '_ {
        WithoutStage(self)
    }

    /// Adds where the place stands.
    #[must_use]
    pub fn found(mut self, lookup: impl FnOnce(&Pointer) -> Option<(String, Position)>) -> Self {
        self.origin = self.location.as_ref().and_then(lookup);
        self
    }
}

fn located(pointer: &Pointer) -> Option<Pointer> {
    if pointer.0.is_empty() {
        None
    } else {
        Some(pointer.clone())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(stage) = self.stage {
            write!(f, "{stage}: ")?;
        }
        self.without_stage().fmt(f)
    }
}

/// A failure as a log shows it that names the stage before each message.
struct WithoutStage<'a>(&'a Failure);

impl fmt::Display for WithoutStage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(location) = &self.0.location {
            write!(f, "{location}")?;
            if let Some((name, at)) = &self.0.origin {
                write!(f, " ({name}:{}:{})", at.line, at.column)?;
            }
            f.write_str(": ")?;
        }
        f.write_str(&self.0.problem)
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::Problem;

    #[test]
    fn names_stage_place_and_cause() {
        let pointer = Pointer::root().key("storage").key("files").index(3).key("path");
        let problem = Problem::Refused {
            what: "a file is there".into(),
            advice: "set overwrite".into(),
        };
        let failure = Failure::from_plan(Stage::Files, &problem.at(pointer))
            .found(|_| Some(("my.ign".into(), Position { line: 12, column: 7 })));
        assert_eq!(
            failure.to_string(),
            "files: storage.files[3].path (my.ign:12:7): a file is there; set overwrite"
        );
    }
}
