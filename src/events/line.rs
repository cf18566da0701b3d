//! An event as one line of JSON: `docs/report-format.md`, `docs/report.schema.json`.

use std::io;
use std::time::Duration;

use serde::Serialize;

use super::digest::Digest;
use super::{Done, Event, Outcome};
use crate::plan::render::{subject, visible_json};
use crate::plan::{Action, Base, Content, Step};
use crate::report::Pointer;
use crate::stages::{Phase, Stage};

/// The `format` of every report.
pub const FORMAT: &str = "ignition-rs report";

/// The `version` of every report. It grows when something that a reader may rely on goes or changes its meaning; what is
/// only added leaves it.
pub const VERSION: u32 = 1;

/// When something happened.
#[derive(Clone, Debug)]
pub struct When {
    /// RFC 3339, UTC, with milliseconds
    pub time: String,
    /// Since the kernel started
    pub at: Duration,
}

/// A line. Which members it has goes by its event.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u32>,
    stage: Stage,
    #[serde(skip_serializing_if = "Option::is_none")]
    phase: Option<Phase>,
    time: &'a str,
    /// Microseconds
    at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    boot_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    engine: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    what: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    change: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'a Pointer>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sources: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    /// Microseconds
    #[serde(skip_serializing_if = "Option::is_none")]
    duration: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<&'a Digest>,
}

/// Writes an event as a line, with its line feed. `stage` is the one that runs.
pub fn write(out: &mut Vec<u8>, stage: Stage, when: &When, event: &Event<'_>) -> io::Result<()> {
    let mut line = Line {
        event: name(event),
        format: None,
        version: None,
        stage,
        phase: None,
        time: &when.time,
        at: micros(when.at),
        boot_id: None,
        engine: None,
        platform: None,
        kind: None,
        source: None,
        action: None,
        what: None,
        change: None,
        cause: None,
        sources: Vec::new(),
        outcome: None,
        error: None,
        duration: None,
        bytes: None,
        attempts: None,
        failure: None,
    };
    match event {
        Event::StageBegins {
            stage,
            boot_id,
            platform,
        } => {
            line.format = Some(FORMAT);
            line.version = Some(VERSION);
            line.stage = *stage;
            line.engine = Some(crate::VERSION);
            line.boot_id = *boot_id;
            line.platform = *platform;
        }
        Event::FetchBegins { kind, source } => {
            line.kind = Some(kind.name());
            line.source = Some(source);
        }
        Event::Fetched {
            kind,
            source,
            outcome,
            took,
            done,
        } => {
            line.kind = Some(kind.name());
            line.source = Some(source);
            line.ended(*outcome, *took, *done);
        }
        Event::StepBegins { stage, phase, step } => line.step(*stage, *phase, step),
        Event::Step {
            stage,
            phase,
            step,
            outcome,
            took,
            done,
        } => {
            line.step(*stage, *phase, step);
            line.ended(*outcome, *took, *done);
        }
        Event::StageEnds { stage, failure, took } => {
            line.stage = *stage;
            line.outcome = Some(if failure.is_some() { "failed" } else { "done" });
            line.duration = Some(micros(*took));
            line.failure = *failure;
        }
    }
    let start = out.len();
    serde_json::to_writer(&mut *out, &line)?;
    // What a terminal would obey or hide is rare: texts of paths are fit for it already.
    let plain = |byte: &u8| (b' '..=b'~').contains(byte);
    if let Some(written) = out.get(start..)
        && !written.iter().all(plain)
    {
        let text = visible_json(&String::from_utf8_lossy(written));
        out.truncate(start);
        out.extend_from_slice(text.as_bytes());
    }
    out.push(b'\n');
    Ok(())
}

impl<'a> Line<'a> {
    fn step(&mut self, stage: Stage, phase: Phase, step: &'a Step) {
        self.stage = stage;
        self.phase = Some(phase);
        self.action = Some(step.action.word());
        self.what = Some(subject(&step.action));
        self.change = Some(step.change.word());
        self.cause = Some(&step.cause);
        if let Action::WriteFile { contents, .. } = &step.action {
            self.sources = contents.iter().filter_map(url).collect();
        }
    }

    fn ended(&mut self, outcome: Outcome<'a>, took: Duration, done: Done) {
        self.outcome = Some(match outcome {
            Outcome::Done => "done",
            Outcome::Kept => "kept",
            Outcome::Failed(_) => "failed",
        });
        if let Outcome::Failed(error) = outcome {
            self.error = Some(error);
        }
        self.duration = Some(micros(took));
        self.bytes = done.bytes;
        self.attempts = done.attempts;
    }
}

fn name(event: &Event<'_>) -> &'static str {
    match event {
        Event::StageBegins { .. } => "stage-begins",
        Event::FetchBegins { .. } => "fetch-begins",
        Event::Fetched { .. } => "fetch",
        Event::StepBegins { .. } => "step-begins",
        Event::Step { .. } => "step",
        Event::StageEnds { .. } => "stage-ends",
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn url(content: &Content) -> Option<&str> {
    match content {
        Content::Known { .. } => None,
        Content::Remote { url, .. } => Some(url),
    }
}

/// Whether a step may take so long that it is told when it begins: it starts a program, fetches, copies a file of any
/// size or removes a tree.
pub fn may_take_long(action: &Action) -> bool {
    match action {
        Action::FetchConfig { .. }
        | Action::CreateGroup(_)
        | Action::ModifyGroup(_)
        | Action::DeleteGroup { .. }
        | Action::CreateUser(_)
        | Action::ModifyUser(_)
        | Action::DeleteUser { .. }
        | Action::Remove { .. }
        | Action::DisableUnit { .. }
        | Action::Device(_) => true,
        Action::WriteFile { base, contents, .. } => {
            *base != Base::Nothing || contents.iter().any(|content| url(content).is_some())
        }
        Action::WriteHostFile { .. }
        | Action::AdoptGroup { .. }
        | Action::AdoptUser { .. }
        | Action::SetPassword { .. }
        | Action::MakeDirectory { .. }
        | Action::SetAccess { .. }
        | Action::MakeSymlink { .. }
        | Action::MakeHardLink { .. } => false,
    }
}

#[cfg(test)]
mod tests;
