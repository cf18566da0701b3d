//! `ignition-validate` and `ignition-rs validate` (spec/cli.md 5; `docs/validate-format.md`).

pub mod judge;
mod mask;
pub mod run;
pub mod show;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::path::PathBuf;

use super::{Input, Invocation, Name, Say, exactly_one, misused, stopped, version};
use crate::flags::{Command, Flag, Set, Style};

/// How reports are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReportFormat {
    /// One line per entry, as upstream's
    Text,
    /// For programs
    Json,
    /// With the place in the source
    #[default]
    Pretty,
}

/// What is validated, and how strictly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidateArgs {
    /// The configs, at least one
    pub inputs: Vec<Input>,
    /// How reports are printed
    pub format: ReportFormat,
    /// Unknown keys are errors; with `root` also names that nothing defines
    pub strict: bool,
    /// The system that the configs are for
    pub root: Option<PathBuf>,
    /// Behave as `ignition-validate`: report on stdout, problems with the input on stderr, no file names
    pub drop_in: bool,
}

/// What the flags of the drop-in say.
#[derive(Debug, Default)]
pub struct DropInFlags {
    version: bool,
}

/// What the flags of the verb say.
#[derive(Debug, Default)]
pub struct ValidateFlags {
    format: ReportFormat,
    strict: bool,
    root: Option<PathBuf>,
}

/// The command `ignition-validate`.
pub static IGNITION_VALIDATE: Command<DropInFlags> = Command {
    name: "ignition-validate",
    section: 1,
    summary: "check a config",
    synopsis: "[flags] CONFIG",
    description: &[
        "Checks one config, a file or - for stdin, and prints what is wrong with it, one line per entry with its place, \
         line and column. A config without faults prints nothing.",
        "Specs 3.0.0 to 3.6.0 and 3.7.0-experimental are read.",
    ],
    style: Style::Go,
    flags: &[Flag {
        name: "version",
        value: "",
        default: None,
        help: "print the version and exit",
        more: "",
        set: Set::Switch(|args, value| args.version = value),
    }],
    exit: &[
        ("0", "the config is accepted; there may be warnings"),
        (
            "1",
            "it is refused or could not be read, or there is not one CONFIG",
        ),
        ("2", "a flag is wrong"),
    ],
    files: &[],
    environment: &[],
    examples: &[],
    see_also: &["ignition-rs-validate(1)", "ignition(8)"],
};

/// The verb `validate`.
pub static VALIDATE: Command<ValidateFlags> = Command {
    name: "ignition-rs validate",
    section: 1,
    summary: "check configs and point at what is wrong",
    synopsis: "[flags] CONFIG...",
    description: &[
        "Checks configs, files or - for stdin, with the rules that the machine applies at first boot, and shows each fault \
         at its place in the source. A config without faults prints nothing.",
        "Specs 3.0.0 to 3.6.0 and 3.7.0-experimental are read. Unknown keys are only warnings at first boot, because a newer \
         spec may know them: --strict makes them errors.",
    ],
    style: Style::Gnu,
    flags: &[
        Flag {
            name: "format",
            value: "text|json|pretty",
            default: Some("pretty"),
            help: "one line per fault, for programs, or with the place in the source",
            more: "pretty uses colours on a terminal.",
            set: Set::Value(|args, value| {
                args.format = match value.to_str() {
                    Some("text") => ReportFormat::Text,
                    Some("json") => ReportFormat::Json,
                    Some("pretty") => ReportFormat::Pretty,
                    _ => return Err("it is text, json or pretty".to_owned()),
                };
                Ok(())
            }),
        },
        Flag {
            name: "root",
            value: "DIR",
            default: None,
            help: "the system that the configs are for; needs --strict",
            more: "Names of users and groups that neither the config nor this system defines are then errors. They are looked \
                   up in etc, usr/share/baselayout and usr/lib.",
            set: Set::Value(|args, value| {
                args.root = Some(value.into());
                Ok(())
            }),
        },
        Flag {
            name: "strict",
            value: "",
            default: None,
            help: "unknown keys are errors, with the key that was probably meant",
            more: "",
            set: Set::Switch(|args, value| args.strict = value),
        },
    ],
    exit: &[
        ("0", "all configs are accepted; there may be warnings"),
        ("1", "one is refused, could not be read, or bad usage"),
    ],
    files: &[],
    environment: &[("NO_COLOR", "if set and not empty, no colours on a terminal")],
    examples: &[
        (
            "ignition-rs validate --strict *.ign",
            "in CI, before the configs reach a machine",
        ),
        (
            "butane my.bu | ignition-rs validate --format json -",
            "from stdin, for a program",
        ),
    ],
    see_also: &["ignition-rs(1)", "ignition-rs-plan(1)", "ignition-validate(1)"],
};

/// Parses the arguments of `ignition-validate`.
pub(super) fn parse_drop_in(arguments: impl IntoIterator<Item = OsString>) -> Result<Invocation, Say> {
    let command = &IGNITION_VALIDATE;
    let parsed = command
        .parse(arguments)
        .map_err(|stop| stopped(command, stop, 2, true))?;
    if parsed.args.version {
        return Err(version(Name::Validate));
    }
    let input = exactly_one(command.name, parsed.rest, 1)?;
    Ok(Invocation::Validate(ValidateArgs {
        inputs: vec![input],
        format: ReportFormat::Text,
        strict: false,
        root: None,
        drop_in: true,
    }))
}

/// Parses the arguments after the verb.
pub(super) fn parse_verb(arguments: impl IntoIterator<Item = OsString>) -> Result<Invocation, Say> {
    let parsed = VALIDATE
        .parse(arguments)
        .map_err(|stop| stopped(&VALIDATE, stop, 1, false))?;
    let ValidateFlags { format, strict, root } = parsed.args;
    if parsed.rest.is_empty() {
        return Err(misused(
            VALIDATE.name,
            "which configs? Give files, or - for stdin",
            1,
        ));
    }
    let inputs: Vec<Input> = parsed.rest.into_iter().map(Input::from).collect();
    if inputs.iter().filter(|input| **input == Input::Stdin).count() > 1 {
        return Err(misused(
            VALIDATE.name,
            "- can be given once: stdin ends after the first",
            1,
        ));
    }
    if root.is_some() && !strict {
        return Err(misused(
            VALIDATE.name,
            "--root only means something with --strict",
            1,
        ));
    }
    Ok(Invocation::Validate(ValidateArgs {
        inputs,
        format,
        strict,
        root,
        drop_in: false,
    }))
}
