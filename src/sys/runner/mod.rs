//! Starting programs.

mod fake;
mod system;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;

pub use fake::FakeRunner;
pub use system::System;

use crate::plan::Secret;
use crate::sys::Tool;

/// A program and what it is given. Secrets go to its standard input, never into the arguments: those are shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Invocation {
    /// Which program
    pub tool: Tool,
    /// Its arguments, without its name
    pub args: Vec<OsString>,
    /// What it reads on standard input; without it, /dev/null
    pub stdin: Option<Secret<Vec<u8>>>,
    /// Which argument is not shown: one that may hold a secret and that the program takes in no other way
    pub hidden: Option<usize>,
    /// The node of a device that the program writes to and that is announced afterwards: udev need not notice by itself
    pub unwatched: Option<String>,
}

impl Invocation {
    /// A program with its arguments and nothing to read.
    pub fn new<I>(tool: Tool, args: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<OsString>,
    {
        Self {
            tool,
            args: args.into_iter().map(Into::into).collect(),
            stdin: None,
            hidden: None,
            unwatched: None,
        }
    }

    /// Says that the device with this node is announced when the program has ended.
    #[must_use]
    pub fn unwatched(self, node: &str) -> Self {
        Self {
            unwatched: Some(node.to_owned()),
            ..self
        }
    }

    /// Adds an argument that is not shown, neither in the command line nor in what the program says.
    #[must_use]
    pub fn hidden_arg(mut self, arg: &str) -> Self {
        self.hidden = Some(self.args.len());
        self.args.push(arg.into());
        self
    }

    /// What a program said, without its hidden argument. `cut` says that the beginning is missing.
    fn redact(&self, mut said: Vec<u8>, cut: bool) -> Vec<u8> {
        let hidden = self.hidden.and_then(|index| self.args.get(index));
        let Some(secret) = hidden.map(|arg| arg.as_encoded_bytes()) else {
            return said;
        };
        if cut {
            // It may begin within the secret.
            let ends = (1..secret.len()).filter_map(|from| secret.get(from..));
            let length = ends.filter(|end| said.starts_with(end)).map(<[u8]>::len).max();
            said.drain(..length.unwrap_or_default());
        }
        let mut text = Vec::with_capacity(said.len());
        let mut rest = said.as_slice();
        while let Some((first, after)) = rest.split_first() {
            if let Some(after) = rest.strip_prefix(secret).filter(|_| !secret.is_empty()) {
                text.extend_from_slice(HIDDEN.as_bytes());
                rest = after;
            } else {
                text.push(*first);
                rest = after;
            }
        }
        text
    }
}

/// Stands for what is not shown.
const HIDDEN: &str = "<secret>";

impl fmt::Debug for Invocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invocation")
            .field("command", &self.to_string())
            .field("stdin", &self.stdin)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Invocation {
    /// The command line as a shell would read it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.tool.name())?;
        self.args.iter().enumerate().try_for_each(|(index, arg)| {
            if self.hidden == Some(index) {
                write!(f, " {HIDDEN}")
            } else {
                write!(f, " {}", quoted(arg))
            }
        })
    }
}

/// An argument as a shell would read it.
fn quoted(arg: &OsStr) -> String {
    let text = arg.to_string_lossy();
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_=./,:@%+".contains(letter);
    if !text.is_empty() && text.chars().all(plain) {
        text.into_owned()
    } else {
        format!("'{}'", printable(&text).replace('\'', "'\\''"))
    }
}

/// Text without control characters: a program's words must not move the cursor of the console.
fn printable(text: &str) -> String {
    text.chars()
        .map(|letter| if letter.is_control() { '?' } else { letter })
        .collect()
}

/// What a program that succeeded said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// Its standard output, the first [`STDOUT_MAX`] bytes
    pub stdout: Vec<u8>,
    /// The last lines of its standard error, printable
    pub stderr: String,
}

/// How many bytes of a program's standard output are kept.
pub const STDOUT_MAX: usize = 1024 * 1024;

/// How many bytes of a program's standard error are kept: the last ones.
pub const STDERR_MAX: usize = 4096;

/// How a program ended that did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With this exit code
    Code(i32),
    /// By this signal
    Signal(i32),
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// A program could not be run, or did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It is not on `PATH`.
    #[error("{tool} not found: install it into the initrd (looked in {path})")]
    NotFound {
        /// Which
        tool: Tool,
        /// The `PATH` that was searched
        path: String,
    },
    /// The system would not start it, or not tell how it ended.
    #[error("cannot run `{command}`")]
    Start {
        /// Command line
        command: String,
        /// Why
        #[source]
        source: io::Error,
    },
    /// A dry run starts no program.
    #[error("`{command}` is not run in a dry run")]
    DryRun {
        /// Command line
        command: String,
    },
    /// It ran and said no.
    #[error("`{command}` failed with {ended}{}", said(stderr))]
    Failed {
        /// Command line
        command: String,
        /// How it ended
        ended: Ended,
        /// The last lines of its standard error, printable
        stderr: String,
    },
}

fn said(stderr: &str) -> String {
    let lines: Vec<&str> = stderr.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = lines.get(lines.len().saturating_sub(3)..).unwrap_or_default();
    if last.is_empty() {
        String::new()
    } else {
        format!(": {}", last.join("; "))
    }
}

/// Runs programs, also several at a time.
pub trait Runner: Sync {
    /// Runs a program to its end. Anything but exit code 0 is an error.
    fn run(&self, invocation: &Invocation) -> Result<Output, RunError>;
}

/// Runs nothing: for dry runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPrograms;

impl Runner for NoPrograms {
    fn run(&self, invocation: &Invocation) -> Result<Output, RunError> {
        Err(RunError::DryRun {
            command: invocation.to_string(),
        })
    }
}

#[cfg(test)]
mod tests;
