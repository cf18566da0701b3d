//! `ignition-rs report`.

use std::ffi::OsString;

use super::{Input, Invocation, Say, misused, stopped};
use crate::flags::{Command, Flag, Set, Style};

/// Where the report is by default.
const DEFAULT: &str = "/run/ignition/report.jsonl";

/// Which report is shown, and how much of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportArgs {
    /// The report
    pub report: Input,
    /// Every boot and every step
    pub all: bool,
}

/// What the flags say.
#[derive(Debug, Default)]
pub struct ReportFlags {
    all: bool,
}

/// The verb `report`.
pub static REPORT: Command<ReportFlags> = Command {
    name: "ignition-rs report",
    section: 1,
    summary: "show what a boot has done, with times",
    synopsis: "[flags] [FILE]",
    description: &[
        "Prints the report of a boot as a table: each stage with its duration and outcome, what it fetched, the steps of each \
         phase in sum, the slowest and the failed ones, and why a stage failed. FILE is a report, or - for stdin.",
        "The stages append to the report as things happen, so it tells also of a stage that failed, was killed or still \
         runs. Lines that cannot be read are counted and left out.",
        "A dry run and ignition-apply(8) leave no report; a stage with -config has it in its private directory.",
    ],
    style: Style::Gnu,
    flags: &[Flag {
        name: "all",
        value: "",
        default: None,
        help: "show every step, and earlier boots if the report has some",
        more: "",
        set: Set::Switch(|args, value| args.all = value),
    }],
    exit: &[
        ("0", "success, whatever the report says"),
        ("1", "bad usage, or there is no report in FILE"),
    ],
    files: &[(
        "/run/ignition/report.jsonl",
        "the report of this boot, the default",
    )],
    environment: &[],
    examples: &[
        ("ignition-rs report", "what this boot has done so far"),
        (
            "ignition-rs report --all old.jsonl",
            "everything in a report that was saved",
        ),
    ],
    see_also: &["ignition-rs(1)", "ignition(8)"],
};

/// Parses the arguments after the verb.
pub(super) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Invocation, Say> {
    let parsed = REPORT
        .parse(arguments)
        .map_err(|stop| stopped(&REPORT, stop, 1, false))?;
    let mut rest = parsed.rest.into_iter();
    let report = Input::from(rest.next().unwrap_or_else(|| OsString::from(DEFAULT)));
    if let Some(second) = rest.next() {
        let problem = format!("one report at a time; {} is one too many", second.display());
        return Err(misused(REPORT.name, &problem, 1));
    }
    Ok(Invocation::Report(ReportArgs {
        report,
        all: parsed.args.all,
    }))
}
