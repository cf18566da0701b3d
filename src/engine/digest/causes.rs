//! An error taken apart: its chain of causes, and the program that it is about.

use std::error::Error;

use super::ToolOutcome;
use crate::exec::ExecError;
use crate::platform::PlatformError;
use crate::sys::RunError;
use crate::sys::runner::Ended;

/// What an error and each of its causes say. What a program wrote is not in it: that is in [`tool`].
pub fn causes(error: &(dyn Error + 'static)) -> Vec<String> {
    let run = run_error(error);
    let (long, short) = match run {
        Some(run @ RunError::Failed { command, ended, .. }) => {
            (run.to_string(), format!("`{command}` failed with {ended}"))
        }
        _ => (String::new(), String::new()),
    };
    chain(error)
        .map(|error| {
            let text = error.to_string();
            if text == long { short.clone() } else { text }
        })
        .collect()
}

/// The program that an error is about.
pub fn tool(error: &(dyn Error + 'static)) -> Option<ToolOutcome> {
    let RunError::Failed {
        command,
        ended,
        stderr,
    } = run_error(error)?
    else {
        return None;
    };
    let (exit_code, signal) = match ended {
        Ended::Code(code) => (Some(*code), None),
        Ended::Signal(signal) => (None, Some(*signal)),
    };
    Some(ToolOutcome {
        command: command.clone(),
        exit_code,
        signal,
        stderr: stderr
            .lines()
            .map(str::trim_end)
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect(),
    })
}

/// An error and its causes, the outermost first.
pub(super) fn chain<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let error = next?;
        next = error.source();
        Some(error)
    })
}

/// A program that failed is somewhere in the chain, or hidden by an error that passes its words on.
fn run_error<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e RunError> {
    chain(error).find_map(|error| {
        if let Some(ExecError::Run(run)) = error.downcast_ref() {
            return Some(run);
        }
        if let Some(PlatformError::Module { source, .. }) = error.downcast_ref() {
            return Some(source);
        }
        error.downcast_ref::<RunError>()
    })
}
