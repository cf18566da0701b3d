//! `ignition-apply` and `ignition-rs apply` (spec/cli.md 3).

use std::ffi::OsString;
use std::path::PathBuf;

use super::{Input, Invocation, Name, Say, exactly_one, stopped, version};
use crate::flags::{Command, Flag, Set, Style};

/// Which config is applied, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplyArgs {
    /// The config
    pub config: Input,
    /// Root of the target, as given: it may be relative
    pub root: PathBuf,
    /// Skip sections that cannot be applied in a container, instead of failing
    pub ignore_unsupported: bool,
    /// Fail instead of using the network
    pub offline: bool,
}

/// What the flags say.
#[derive(Debug, Default)]
pub struct ApplyFlags {
    root: PathBuf,
    ignore_unsupported: bool,
    offline: bool,
    version: bool,
}

const FLAGS: &[Flag<ApplyFlags>] = &[
    Flag {
        name: "ignore-unsupported",
        value: "",
        default: None,
        help: "skip what cannot be applied in a container, instead of failing",
        more: "That is kernel arguments, disks, RAID, LUKS and filesystems.",
        set: Set::Switch(|args, value| args.ignore_unsupported = value),
    },
    Flag {
        name: "offline",
        value: "",
        default: None,
        help: "fail if the config refers to something on the network",
        more: "",
        set: Set::Switch(|args, value| args.offline = value),
    },
    Flag {
        name: "root",
        value: "DIR",
        default: Some("/"),
        help: "root of the target's filesystem",
        more: "",
        set: Set::Value(|args, value| {
            args.root = value.into();
            Ok(())
        }),
    },
    Flag {
        name: "version",
        value: "",
        default: None,
        help: "print the version and exit",
        more: "",
        set: Set::Switch(|args, value| args.version = value),
    },
];

const DESCRIPTION: &[&str] = &[
    "Applies a config to the container this runs in, as a step of building it: accounts, files and units. CONFIG is a \
     file, or - for stdin.",
    "It refuses to run outside of a container. A container is recognised by the variable container, or by one of the \
     files /run/.containerenv and /.dockerenv.",
];

const FILES: crate::flags::Terms = &[(
    "/run/.containerenv, /.dockerenv",
    "one of them says that this is a container",
)];

const ENVIRONMENT: crate::flags::Terms = &[("container", "if not empty, this is a container")];

/// The command `ignition-apply`.
pub static IGNITION_APPLY: Command<ApplyFlags> = Command {
    name: "ignition-apply",
    section: 8,
    summary: "apply a config to the container this runs in",
    synopsis: "[flags] CONFIG",
    description: DESCRIPTION,
    style: Style::Gnu,
    flags: FLAGS,
    exit: &[
        ("0", "success"),
        (
            "1",
            "the config could not be read or applied, or there is not one CONFIG",
        ),
        ("2", "a flag is wrong"),
    ],
    files: FILES,
    environment: ENVIRONMENT,
    examples: &[(
        "ignition-apply --offline my.ign",
        "in a Containerfile, after COPY my.ign",
    )],
    see_also: &["ignition-rs-apply(1)", "ignition(8)"],
};

/// The verb `apply`.
pub static APPLY: Command<ApplyFlags> = Command {
    name: "ignition-rs apply",
    section: 1,
    summary: "apply a config to the container this runs in",
    synopsis: "[flags] CONFIG",
    description: DESCRIPTION,
    style: Style::Gnu,
    flags: FLAGS,
    exit: &[("0", "success"), ("1", "any error, bad usage included")],
    files: FILES,
    environment: ENVIRONMENT,
    examples: &[(
        "ignition-rs apply --offline my.ign",
        "in a Containerfile, after COPY my.ign",
    )],
    see_also: &["ignition-rs(1)", "ignition-apply(8)"],
};

/// Parses the arguments of `ignition-apply`.
pub(super) fn parse_drop_in(arguments: impl IntoIterator<Item = OsString>) -> Result<Invocation, Say> {
    parse(&IGNITION_APPLY, Name::Apply, arguments, 2)
}

/// Parses the arguments after the verb.
pub(super) fn parse_verb(arguments: impl IntoIterator<Item = OsString>) -> Result<Invocation, Say> {
    parse(&APPLY, Name::Own, arguments, 1)
}

fn parse(
    command: &Command<ApplyFlags>,
    name: Name,
    arguments: impl IntoIterator<Item = OsString>,
    usage_code: u8,
) -> Result<Invocation, Say> {
    // pflag prints the help that was asked for on stdout, unlike Go's flag.
    let parsed = command
        .parse(arguments)
        .map_err(|stop| stopped(command, stop, usage_code, false))?;
    let ApplyFlags {
        root,
        ignore_unsupported,
        offline,
        version: wants_version,
    } = parsed.args;
    if wants_version {
        return Err(version(name));
    }
    let config = exactly_one(command.name, parsed.rest, 1)?;
    Ok(Invocation::Apply(ApplyArgs {
        config,
        root,
        ignore_unsupported,
        offline,
    }))
}
