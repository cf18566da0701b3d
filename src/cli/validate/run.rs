//! Validating: reads each config through what it is given, judges it, and says so. Prints nothing itself.

use std::fmt::Write as _;
use std::io;

use super::judge::{Rules, Verdict, judge};
use super::{ReportFormat, ValidateArgs, show};
use crate::cli::{Input, one_line};
use crate::report::chain;
use crate::view::View;

/// What is printed, and the exit code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// For stdout
    pub stdout: String,
    /// For stderr
    pub stderr: String,
    /// 0 if all configs are accepted, else 1
    pub code: u8,
}

/// Validates. `read` gives the bytes of an input; `view` shows the system of `--root`.
pub fn run(
    args: &ValidateArgs,
    colour: bool,
    read: &mut dyn FnMut(&Input) -> io::Result<Vec<u8>>,
    view: Option<&dyn View>,
) -> Outcome {
    let rules = match (args.strict, view) {
        (false, _) => Rules::Machine,
        (true, None) => Rules::Strict,
        (true, Some(view)) => Rules::StrictFor(view),
    };
    let mut outcome = Outcome::default();
    let mut verdicts = Vec::new();
    for input in &args.inputs {
        let text = match read(input) {
            Ok(text) => text,
            Err(error) => {
                if args.format != ReportFormat::Json {
                    let _ = writeln!(outcome.stderr, "couldn't read config {input}: {error}");
                    outcome.code = 1;
                    continue;
                }
                verdicts.push(Verdict::unreadable(input.clone(), &error));
                continue;
            }
        };
        match judge(input.clone(), text, rules) {
            Ok(verdict) => verdicts.push(verdict),
            // The root cannot be asked: that is no verdict on any config.
            Err(error) => {
                let text = format!("ignition-rs validate: {}; is --root right?\n", chain(&error));
                return Outcome {
                    stdout: String::new(),
                    stderr: text,
                    code: 1,
                };
            }
        }
    }
    if !verdicts.iter().all(Verdict::is_accepted) {
        outcome.code = 1;
    }
    if args.format == ReportFormat::Json {
        outcome.stdout = show::json(&verdicts);
        return outcome;
    }
    for verdict in &verdicts {
        match args.format {
            ReportFormat::Pretty => outcome.stdout.push_str(&show::pretty(verdict, colour)),
            // Upstream says on stderr why something is no config at all.
            ReportFormat::Text if args.drop_in && !verdict.is_report => {
                for finding in &verdict.findings {
                    let _ = writeln!(
                        outcome.stderr,
                        "couldn't parse config: {}",
                        one_line(&finding.entry.message)
                    );
                }
            }
            ReportFormat::Text | ReportFormat::Json => {
                outcome
                    .stdout
                    .push_str(&show::text(verdict, args.inputs.len() > 1));
            }
        }
    }
    outcome
}
