//! The one error at the top: which stage failed, at what place of which config, and why.

use std::error::Error;
use std::fmt;

use super::acquire::AcquireError;
use super::digest::{self, Digest};
use super::system::SystemError;
use super::world::AdvanceError;
use crate::config::ParseError;
use crate::plan::check::Violation;
use crate::report::{Entry, Pointer, Position, Report, Severity};
use crate::stages::disks::Wiped;
use crate::stages::{Phase, PlanError, Problem, Stage};
use crate::view::Digest as Sha512;

/// How many errors of a config are told beside the first one.
const ALSO: usize = 3;

/// How many refused entries of a plan are told beside the first one: as many as anybody reads.
const ALSO_REFUSED: usize = 200;

/// What is being done while a phase is planned.
const PLANNING: &str = "plan what to do; nothing of this";

/// A stage that failed.
#[derive(Debug)]
pub struct Failure {
    /// What is known about it
    pub digest: Box<Digest>,
    /// The exit code of the drop-in names (spec/cli.md 2)
    pub exit_code: u8,
    /// What the config of this run makes anew; empty if there is no config yet, and nothing is made
    pub wiped: Vec<Wiped>,
    /// What else is refused, with its place in the config
    others: Vec<(Pointer, String)>,
}

impl Failure {
    fn with(digest: Digest) -> Self {
        Self {
            digest: Box::new(digest),
            exit_code: 1,
            wiped: Vec::new(),
            others: Vec::new(),
        }
    }

    /// A failure that is not about a place in the config.
    pub fn new(stage: Option<Stage>, error: &(dyn Error + 'static)) -> Self {
        Self::with(explained(
            error,
            Digest {
                stage,
                ..Digest::default()
            },
        ))
    }

    /// A failure in words: what happened, and what to do about it.
    pub fn text(stage: Option<Stage>, problem: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::with(Digest {
            stage,
            causes: vec![problem.into()],
            advice: Some(advice.into()),
            ..Digest::default()
        })
    }

    /// With another exit code.
    #[must_use]
    pub fn exit(self, exit_code: u8) -> Self {
        Self { exit_code, ..self }
    }

    /// With what was being done.
    #[must_use]
    pub fn doing(mut self, operation: impl Into<String>) -> Self {
        self.digest.operation = Some(operation.into());
        self
    }

    /// With the place in the config.
    #[must_use]
    pub fn at(mut self, pointer: &Pointer) -> Self {
        self.digest.pointer = located(pointer);
        self
    }

    /// A phase that could not be planned.
    pub fn from_plan(stage: Stage, phase: Option<Phase>, error: &PlanError) -> Self {
        let mut digest = Digest {
            stage: Some(stage),
            phase,
            operation: Some(format!(
                "{PLANNING} {} has been done",
                phase.map_or("stage", |_| "phase")
            )),
            pointer: located(&error.pointer),
            ..Digest::default()
        };
        if let Problem::Refused { what, advice } = &error.problem {
            digest.causes = vec![what.clone()];
            digest.advice = Some(advice.clone());
        } else {
            digest = explained(&error.problem, digest);
        }
        let others = error.further.iter().flat_map(|further| &further.others);
        Self::with(digest).also(others)
    }

    /// Adds what else is refused.
    #[must_use]
    pub fn also<'e>(mut self, errors: impl IntoIterator<Item = &'e PlanError>) -> Self {
        for error in errors {
            let further = error.further.iter().flat_map(|further| &further.others);
            for error in std::iter::once(error).chain(further) {
                self.others.push((error.pointer.clone(), words(&error.problem)));
            }
        }
        self.tell_others(|_| None);
        self
    }

    fn tell_others(&mut self, lookup: impl Fn(&Pointer) -> Option<(String, Position)>) {
        if self.others.is_empty() {
            return;
        }
        let told = self.others.iter().take(ALSO_REFUSED);
        let told = told.map(|(pointer, what)| match lookup(pointer) {
            Some((name, at)) if Some(&name) == self.digest.config.as_ref() => {
                format!("{pointer} ({}:{}): {what}", at.line, at.column)
            }
            Some((name, at)) => format!("{pointer} ({name}:{}:{}): {what}", at.line, at.column),
            None => format!("{pointer}: {what}"),
        });
        self.digest.also = told.collect();
        self.digest.further = self.others.len().saturating_sub(self.digest.also.len());
    }

    /// A rehearsal that was refused: not only of one phase has nothing been done.
    #[must_use]
    pub fn before_anything(mut self) -> Self {
        if let Some(operation) = &mut self.digest.operation
            && operation.starts_with(PLANNING)
        {
            *operation = format!("{PLANNING} stage has been done");
        }
        self
    }

    /// A plan that could not be carried out.
    pub fn from_advance(stage: Stage, phase: Phase, error: &AdvanceError) -> Self {
        let digest = Digest {
            stage: Some(stage),
            phase: Some(phase),
            ..Digest::default()
        };
        Self::with(match error {
            AdvanceError::Step(step) => explained(
                &*step.problem,
                Digest {
                    operation: Some(step.operation.clone()),
                    pointer: located(&step.cause),
                    ..digest
                },
            ),
            AdvanceError::Missing { cause, source } => explained(
                source,
                Digest {
                    operation: Some("wait for devices".to_owned()),
                    pointer: located(cause),
                    ..digest
                },
            ),
            AdvanceError::Alias { cause, .. }
            | AdvanceError::Look { cause, .. }
            | AdvanceError::Unknown { cause, .. } => explained(
                error,
                Digest {
                    operation: Some("look at the device".to_owned()),
                    pointer: located(cause),
                    ..digest
                },
            ),
            AdvanceError::Predict { cause, source: _ }
            | AdvanceError::Unsound(Violation::Unsound { cause, .. }) => explained(
                error,
                Digest {
                    operation: Some("check the plan".to_owned()),
                    pointer: located(cause),
                    ..digest
                },
            ),
            AdvanceError::Unsound(Violation::View(_)) => explained(
                error,
                Digest {
                    operation: Some("check the plan".to_owned()),
                    ..digest
                },
            ),
        })
    }

    /// A config that could not be got.
    pub fn from_acquire(stage: Stage, error: &AcquireError) -> Self {
        let digest = Digest {
            stage: Some(stage),
            operation: Some(operation(error)),
            ..Digest::default()
        };
        Self::with(match error {
            AcquireError::Parse { name, source } => parsed(name, source, digest),
            AcquireError::System(SystemError::Parse { path, source }) => {
                parsed(&path.display().to_string(), source, digest)
            }
            AcquireError::Invalid { first: _, at, report } => {
                let mut digest = reported(report, digest);
                digest.line = None;
                digest.column = None;
                if let Some((name, at)) = at {
                    (digest.config, digest.line, digest.column) =
                        (Some(name.clone()), Some(at.line), Some(at.column));
                }
                digest.explain(error);
                digest
            }
            AcquireError::Reference {
                by,
                at,
                place,
                source,
            } => explained(
                &**source,
                Digest {
                    pointer: located(place),
                    config: Some(by.clone()),
                    line: at.map(|at| at.line),
                    column: at.map(|at| at.column),
                    ..digest
                },
            ),
            AcquireError::Configure { name, source: _ } => explained(
                error,
                Digest {
                    config: Some(name.clone()),
                    ..digest
                },
            ),
            _ => explained(error, digest),
        })
    }

    /// The failure without the name of its stage.
    pub fn without_stage(&self) -> impl fmt::Display + '_ {
        &self.digest
    }

    /// Adds where the place stands.
    #[must_use]
    pub fn found(mut self, lookup: impl Fn(&Pointer) -> Option<(String, Position)>) -> Self {
        if let Some((name, at)) = self.digest.pointer.as_ref().and_then(&lookup) {
            self.digest.config = Some(name);
            self.digest.line = Some(at.line);
            self.digest.column = Some(at.column);
        }
        self.tell_others(lookup);
        self
    }

    /// Adds which config it is, unless that is known.
    #[must_use]
    pub fn of_config(mut self, sha512: impl FnOnce() -> Option<Sha512>) -> Self {
        if self.digest.config_sha512.is_none() {
            self.digest.config_sha512 = sha512().map(|sha512| sha512.to_string());
        }
        self
    }
}

/// What was being done when there was no config.
fn operation(error: &AcquireError) -> String {
    match error {
        AcquireError::System(_) => "read the base configs of the image".to_owned(),
        AcquireError::Cmdline(_) => "read the kernel command line".to_owned(),
        AcquireError::CmdlineUrl(_) => "fetch the config that the kernel command line names".to_owned(),
        AcquireError::Platform { platform, .. } => format!("get the config from the platform {platform}"),
        AcquireError::NoProvider => "find the config".to_owned(),
        AcquireError::File { path, .. } => format!("read the config {}", path.display()),
        AcquireError::Cache(_) => "read the config cache".to_owned(),
        AcquireError::Parse { name, .. } => format!("read {name}"),
        AcquireError::Reference { .. } => "get a config that the config refers to".to_owned(),
        AcquireError::Configure { .. } => "use the certificate authorities of the config".to_owned(),
        AcquireError::Invalid { .. } => "check the configs merged into one".to_owned(),
        AcquireError::NeedNet(_) => "get the config without the network".to_owned(),
    }
}

/// What stands in the way, without advice.
fn words(problem: &Problem) -> String {
    match problem {
        Problem::Refused { what, advice: _ } => what.clone(),
        problem => digest::causes(problem).join(": "),
    }
}

/// What an error says, and what to do about it.
fn explained(error: &(dyn Error + 'static), mut digest: Digest) -> Digest {
    digest.causes = digest::causes(error);
    digest.explain(error);
    digest
}

/// A document that is no config.
fn parsed(name: &str, error: &ParseError, digest: Digest) -> Digest {
    let mut digest = Digest {
        config: Some(name.to_owned()),
        ..digest
    };
    match error {
        ParseError::Invalid { report } => digest = reported(report, digest),
        other => {
            let mut text = other.to_string();
            if let Some(at) = other.position() {
                // It has a line of its own.
                text = text.replacen(&format!(" (line {} col {})", at.line, at.column), "", 1);
                (digest.line, digest.column) = (Some(at.line), Some(at.column));
            }
            digest.causes = vec![text];
        }
    }
    digest.explain(error);
    digest
}

/// The first errors of a report, with the place of the very first.
fn reported(report: &Report, digest: Digest) -> Digest {
    let mut errors = report
        .entries
        .iter()
        .filter(|entry| entry.severity == Severity::Error);
    let Some(first) = errors.next() else {
        return digest;
    };
    // At the end of the text there is no line.
    let at = first.position.filter(|at| at.line > 0);
    Digest {
        pointer: located(&first.pointer),
        line: at.map(|at| at.line),
        column: at.map(|at| at.column),
        causes: vec![first.message.clone()],
        also: errors.by_ref().take(ALSO).map(sibling).collect(),
        further: errors.count(),
        ..digest
    }
}

/// Another error of the same config.
fn sibling(entry: &Entry) -> String {
    let pointer = match located(&entry.pointer) {
        Some(pointer) => pointer.to_string(),
        None => "in the config".to_owned(),
    };
    let at = entry
        .position
        .map_or_else(String::new, |at| format!(" ({}:{})", at.line, at.column));
    format!("{pointer}{at}: {}", entry.message)
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
        if let Some(stage) = self.digest.stage {
            write!(f, "{stage}: ")?;
        }
        self.without_stage().fmt(f)
    }
}

impl Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stage_place_and_cause() {
        let pointer = Pointer::root().key("storage").key("files").index(3).key("path");
        let problem = Problem::Refused {
            what: "a file is there".into(),
            advice: "set overwrite".into(),
        };
        let failure = Failure::from_plan(Stage::Files, Some(Phase::Nodes), &problem.at(pointer))
            .found(|_| Some(("my.ign".into(), Position { line: 12, column: 7 })));
        assert_eq!(
            failure.to_string(),
            "files: storage.files[3].path (my.ign:12:7): a file is there; set overwrite"
        );
    }
}
