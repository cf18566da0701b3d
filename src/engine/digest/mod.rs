//! The digest of a failure: what the operator of a machine that did not come up has to know, as data and as a few lines.
//!
//! The same data is shown on stderr and the consoles, stands in the run report, and is posted. It never
//! holds anything secret: its texts are those of errors, which hold none.

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
    /// The place in the rendered config that asks for it
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
    /// What happened, then what caused it, and so on. Of a config with several errors the first ones
    pub causes: Vec<String>,
    /// How many errors there are beyond those in `causes`
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
