//! The digest of a failure as data. Who makes it, and shows it, is [`crate::engine::digest`].

use std::fmt;

use serde::Serialize;

use crate::report::Pointer;
use crate::stages::{Phase, Stage};

/// What is known about a failure. Texts may hold control characters; who prints them escapes them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Digest {
    /// Which stage failed; `None` before one is known
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<Stage>,
    /// Which of its phases
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// What was being done: `create /etc/motd`, `get the config`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// The place in the rendered config that asks for it; in the config at hand, if it could not be rendered
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<Pointer>,
    /// Which of the configs it stands in: a file, or a URL without secrets
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
    /// The line there, from 1
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The column there in bytes, from 1
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    /// What happened, then what caused it, and so on
    pub causes: Vec<String>,
    /// The next errors of a config that has several, each with its place
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
    /// How many errors the config has beyond those
    #[serde(skip_serializing_if = "is_zero")]
    pub further: usize,
    /// The program that failed, if it was one
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<ToolOutcome>,
    /// What to do about it
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// SHA-512 in hexadecimal of the user config: of the cache file, or before there is one of the config as it was
    /// received
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_sha512: Option<String>,
}

/// A program that failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolOutcome {
    /// Its command line; no secret is ever an argument
    pub command: String,
    /// Its exit code, if it exited
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The signal that ended it, if one did
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// The last lines that it wrote to standard error
    pub stderr: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// All of it but stage and phase in one line, as the log and a workstation show it.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.pointer, self.place()) {
            (Some(pointer), Some(place)) => write!(f, "{pointer} ({place}): ")?,
            (Some(pointer), None) => write!(f, "{pointer}: ")?,
            (None, Some(place)) => write!(f, "{place}: ")?,
            (None, None) => {}
        }
        f.write_str(&self.causes.join(": "))?;
        if let Some(tool) = &self.tool {
            let last = tool
                .stderr
                .get(tool.stderr.len().saturating_sub(3)..)
                .unwrap_or_default();
            if !last.is_empty() {
                write!(f, ": {}", last.join("; "))?;
            }
        }
        match self.also.len().saturating_add(self.further) {
            0 => {}
            1 => f.write_str(" (and one more error)")?,
            more => write!(f, " (and {more} more errors)")?,
        }
        match &self.advice {
            Some(advice) => write!(f, "; {advice}"),
            None => Ok(()),
        }
    }
}

impl Digest {
    /// Which config, line and column.
    pub(crate) fn place(&self) -> Option<String> {
        let name = self.config.as_ref()?;
        Some(match (self.line, self.column) {
            (Some(line), Some(column)) => format!("{name}:{line}:{column}"),
            _ => name.clone(),
        })
    }
}
