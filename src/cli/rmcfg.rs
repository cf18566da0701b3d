//! `ignition-rmcfg` (spec/cli.md 4).

use std::ffi::OsString;

use super::{Invocation, Name, Say, engine, misused, stopped, version};
use crate::flags::{Command, Flag, Set, Style};

/// From which platform the config is deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RmcfgArgs {
    /// Platform id
    pub platform: String,
    /// Log to stdout instead of the system log
    pub log_to_stdout: bool,
}

/// What the flags say.
#[derive(Debug, Default)]
pub struct RmcfgFlags {
    platform: Option<String>,
    log_to_stdout: bool,
    version: bool,
}

/// The command `ignition-rmcfg`.
pub static IGNITION_RMCFG: Command<RmcfgFlags> = Command {
    name: "ignition-rmcfg",
    section: 8,
    summary: "delete the config from the platform",
    synopsis: "--platform ID [flags]",
    description: &[
        "Asks the hypervisor to forget the config after the first boot. Only virtualbox and vmware can.",
    ],
    style: Style::Gnu,
    flags: &[
        Flag {
            name: "log-to-stdout",
            value: "",
            default: None,
            help: "log to stdout instead of the system log",
            more: "",
            set: Set::Switch(|args, value| args.log_to_stdout = value),
        },
        Flag {
            name: "platform",
            value: "ID",
            default: None,
            help: "the platform this machine runs on",
            more: "",
            set: Set::Value(|args, value| {
                args.platform = Some(engine::platform(value)?);
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
    ],
    exit: &[
        ("0", "success"),
        (
            "1",
            "the config could not be deleted, or the platform cannot delete it",
        ),
        ("2", "the command line is wrong"),
        ("3", "the platform could not be set up"),
    ],
    files: &[],
    environment: &[],
    examples: &[],
    see_also: &["ignition(8)"],
};

/// Parses the arguments.
pub(super) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Invocation, Say> {
    let name = IGNITION_RMCFG.name;
    let parsed = IGNITION_RMCFG
        .parse(arguments)
        .map_err(|stop| stopped(&IGNITION_RMCFG, stop, 2, false))?;
    if parsed.args.version {
        return Err(version(Name::Rmcfg));
    }
    if let Some(extra) = parsed.rest.first() {
        return Err(misused(
            name,
            &format!("no arguments are taken; {} is one", extra.display()),
            2,
        ));
    }
    let platform = parsed
        .args
        .platform
        .ok_or_else(|| misused(name, "'--platform' must be provided", 2))?;
    Ok(Invocation::Rmcfg(RmcfgArgs {
        platform,
        log_to_stdout: parsed.args.log_to_stdout,
    }))
}
