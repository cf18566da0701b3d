//! `ignition-rs explain`.

use std::ffi::OsString;

use super::{Input, Invocation, PlanFormat, Say, misused, stopped};
use crate::flags::{Command, Flag, Set, Style};

/// What is explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainArgs {
    /// The place, in one of the forms of [`crate::config::ask`]
    pub pointer: String,
    /// The configs, parents first; at least one
    pub configs: Vec<Input>,
    /// Fetch the configs that they refer to
    pub fetch: bool,
    /// How the answer is printed
    pub format: PlanFormat,
}

/// What the flags say.
#[derive(Debug, Default)]
pub struct ExplainFlags {
    fetch: bool,
    format: PlanFormat,
}

/// The verb `explain`.
pub static EXPLAIN: Command<ExplainFlags> = Command {
    name: "ignition-rs explain",
    section: 1,
    summary: "say where a value of a config comes from, and which rule applies to it",
    synopsis: "[flags] POINTER CONFIG...",
    description: &[
        "Merges the configs in their order, as base configs and the user's, each with those that it refers to, and shows one \
         value of the result: which config says it, at which line and column, what earlier ones said, what counts if nobody \
         says it, and the rule of the spec. CONFIG is a file, or - for stdin. Nothing is checked but each config by itself.",
        "POINTER is a place as reports have it ($.storage.files.0.mode), as errors have it (storage.files[0].mode), or a JSON \
         pointer (/storage/files/0/mode). An entry of a list may be named by its key: storage.files[/etc/motd].mode, \
         passwd.users[core], storage.disks[0].partitions[ROOT] or [number:9]. A number is an index if there is such an entry.",
        "Password hashes, contents, header values, configurations of pins, and what may be secret in a URL are not shown.",
    ],
    style: Style::Gnu,
    flags: &[
        Flag {
            name: "fetch",
            value: "",
            default: None,
            help: "fetch the configs that the configs refer to",
            more: "Without it those that need the network are named and left out.",
            set: Set::Switch(|args, value| args.fetch = value),
        },
        Flag {
            name: "format",
            value: "text|json",
            default: Some("text"),
            help: "for people or for programs",
            more: "",
            set: Set::Value(|args, value| {
                args.format = PlanFormat::from_flag(value)?;
                Ok(())
            }),
        },
    ],
    exit: &[
        (
            "0",
            "there is such a place, whether something is said there or not",
        ),
        (
            "1",
            "there is none, a config is refused or could not be read, or bad usage",
        ),
    ],
    files: &[],
    environment: &[("NO_COLOR", "if set and not empty, no colours on a terminal")],
    examples: &[
        (
            "ignition-rs explain 'storage.files[/etc/motd].mode' base.ign my.ign",
            "who sets the mode, and what it overrides",
        ),
        (
            "ignition-rs explain --format json /storage/filesystems/0/wipeFilesystem my.ign",
            "the same of a flag, for a program",
        ),
    ],
    see_also: &["ignition-rs(1)", "ignition-rs-plan(1)", "ignition-rs-validate(1)"],
};

/// Parses the arguments after the verb.
pub(super) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Invocation, Say> {
    let parsed = EXPLAIN
        .parse(arguments)
        .map_err(|stop| stopped(&EXPLAIN, stop, 1, false))?;
    let misused = |problem: &str| Err(misused(EXPLAIN.name, problem, 1));
    let ExplainFlags { fetch, format } = parsed.args;
    let mut rest = parsed.rest.into_iter();
    let Some(pointer) = rest.next() else {
        return misused("which value? Give a place such as storage.files[0].mode, and configs");
    };
    let Ok(pointer) = pointer.into_string() else {
        return misused("the place is no UTF-8");
    };
    let configs: Vec<Input> = rest.map(Input::from).collect();
    if configs.is_empty() {
        return misused("of which configs? Give the place first, then files, or - for stdin");
    }
    if configs.iter().filter(|input| **input == Input::Stdin).count() > 1 {
        return misused("- can be given once: stdin ends after the first");
    }
    Ok(Invocation::Explain(ExplainArgs {
        pointer,
        configs,
        fetch,
        format,
    }))
}
