//! The command line: from the name and the arguments of the process to a plain struct that says what to do.
//!
//! Nothing here reads or changes anything. [`parse`] decides by name: the drop-in names behave as upstream's programs,
//! exit codes included; verbs exist only under the name `ignition-rs`, as the first argument.

pub mod apply;
pub mod engine;
pub mod explain;
pub mod image;
pub mod plan;
pub mod provision;
pub mod report;
pub mod rmcfg;
pub mod validate;
pub mod verbs;

#[cfg(test)]
mod tests;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

pub use apply::ApplyArgs;
pub use engine::EngineArgs;
pub use explain::ExplainArgs;
pub use image::{ImageArgs, Map};
pub use plan::PlanArgs;
pub use provision::ProvisionArgs;
pub use report::ReportArgs;
pub use rmcfg::RmcfgArgs;
pub use validate::ValidateArgs;

use crate::flags::{Command, Stop, document};
use crate::{UPSTREAM_VERSION, VERSION};
use verbs::{VERBS, Verb};

/// What the command line asks for.
#[derive(Debug)]
pub enum Invocation {
    /// Print something and leave
    Say(Say),
    /// Run one stage
    Engine(EngineArgs),
    /// Show what all stages would do
    Plan(PlanArgs),
    /// Say where a value of a config comes from
    Explain(ExplainArgs),
    /// Provision an image
    Provision(ProvisionArgs),
    /// Show what a boot has done
    Report(ReportArgs),
    /// Validate configs
    Validate(ValidateArgs),
    /// Apply a config in a container
    Apply(ApplyArgs),
    /// Delete the config from the platform
    Rmcfg(RmcfgArgs),
}

/// A text, where it goes, and the exit code after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Say {
    /// The text, with its final line feed
    pub text: String,
    /// Whether it goes to stderr
    pub to_stderr: bool,
    /// The exit code
    pub code: u8,
}

impl Say {
    /// An answer on stdout, with success.
    pub fn answer(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            to_stderr: false,
            code: 0,
        }
    }

    /// A complaint on stderr.
    pub fn complaint(text: impl Into<String>, code: u8) -> Self {
        Self {
            text: text.into(),
            to_stderr: true,
            code,
        }
    }
}

/// A config that is named on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// `-`
    Stdin,
    /// A file
    File(PathBuf),
}

impl From<OsString> for Input {
    fn from(argument: OsString) -> Self {
        if argument == "-" {
            Self::Stdin
        } else {
            Self::File(argument.into())
        }
    }
}

impl std::fmt::Display for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stdin => f.write_str("<stdin>"),
            Self::File(path) => f.write_str(&one_line(&path.to_string_lossy())),
        }
    }
}

/// Text on one line that drives no terminal: control characters are spelled out.
pub fn one_line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_control() {
            out.extend(letter.escape_default());
        } else {
            out.push(letter);
        }
    }
    out
}

/// How a plan is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PlanFormat {
    /// For people
    #[default]
    Text,
    /// For programs; the schema is in `docs/`
    Json,
}

impl PlanFormat {
    fn from_flag(value: &OsStr) -> Result<Self, String> {
        match value.to_str() {
            Some("text") => Ok(Self::Text),
            Some("json") => Ok(Self::Json),
            _ => Err("it is text or json".to_owned()),
        }
    }
}

/// The names that the program answers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// `ignition-rs` and `ignition-rs-…`: verbs, and the engine's flags
    Own,
    /// `ignition-validate`
    Validate,
    /// `ignition-apply`
    Apply,
    /// `ignition-rmcfg`
    Rmcfg,
    /// `ignition` and whatever else: the engine
    Engine,
}

impl Name {
    /// The name in `argv[0]`.
    pub fn of(argv0: &OsStr) -> Self {
        match Path::new(argv0).file_name().and_then(OsStr::to_str) {
            Some("ignition-validate") => Self::Validate,
            Some("ignition-apply") => Self::Apply,
            Some("ignition-rmcfg") => Self::Rmcfg,
            Some(name) if name == "ignition-rs" || name.starts_with("ignition-rs-") => Self::Own,
            _ => Self::Engine,
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Own => "ignition-rs",
            Self::Validate => "ignition-validate",
            Self::Apply => "ignition-apply",
            Self::Rmcfg => "ignition-rmcfg",
            Self::Engine => "ignition",
        }
    }
}

/// The answer to `-version`.
fn version(name: Name) -> Say {
    Say::answer(match name {
        Name::Own => format!("ignition-rs {VERSION} (Ignition {UPSTREAM_VERSION})\n"),
        Name::Validate | Name::Apply | Name::Rmcfg | Name::Engine => {
            format!("Ignition {UPSTREAM_VERSION} (ignition-rs {VERSION})\n")
        }
    })
}

/// What the command line asks for. `is_running_root` says whether a path is the root that this process runs in, under
/// whatever name.
pub fn parse(
    argv0: &OsStr,
    arguments: impl IntoIterator<Item = OsString>,
    is_running_root: &dyn Fn(&Path) -> bool,
) -> Invocation {
    let name = Name::of(argv0);
    let mut arguments = arguments.into_iter().peekable();
    let result = match name {
        Name::Validate => validate::parse_drop_in(arguments),
        Name::Apply => apply::parse_drop_in(arguments),
        Name::Rmcfg => rmcfg::parse(arguments),
        Name::Engine => engine::parse(name, arguments, is_running_root),
        Name::Own => match arguments.next_if(|first| is_word(first)) {
            Some(verb) => parse_verb(&verb, arguments),
            None if arguments.peek().is_none() => Err(Say::complaint(verbs::overview(), 2)),
            None => match arguments.peek().and_then(|first| first.to_str()) {
                Some("-h" | "-help" | "--help") => Err(Say::answer(verbs::overview())),
                _ => engine::parse(name, arguments, is_running_root),
            },
        },
    };
    result.unwrap_or_else(Invocation::Say)
}

fn is_word(argument: &OsStr) -> bool {
    !argument.is_empty() && !argument.as_encoded_bytes().starts_with(b"-")
}

fn parse_verb(verb: &OsStr, arguments: impl IntoIterator<Item = OsString>) -> Result<Invocation, Say> {
    match verb.to_str().and_then(Verb::from_name) {
        Some(Verb::Plan) => plan::parse(arguments),
        Some(Verb::Explain) => explain::parse(arguments),
        Some(Verb::Provision) => provision::parse(arguments),
        Some(Verb::Report) => report::parse(arguments),
        Some(Verb::Validate) => validate::parse_verb(arguments),
        Some(Verb::Apply) => apply::parse_verb(arguments),
        Some(Verb::Help) => Err(Say::answer(verbs::overview())),
        Some(verb) => Err(Say::complaint(format!("ignition-rs {verb}: not built yet\n"), 1)),
        None => {
            let known = VERBS.iter().map(|(verb, _)| verb.name());
            let meant = match verb
                .to_str()
                .and_then(|verb| crate::spelling::nearest(verb, known))
            {
                Some(meant) => format!("; did you mean {meant}?"),
                None => String::new(),
            };
            let text = format!(
                "ignition-rs: {} is no verb{meant}\nRun 'ignition-rs help' for the verbs.\n",
                verb.display()
            );
            Err(Say::complaint(text, 1))
        }
    }
}

/// What to say when parsing a command ended without arguments. Upstream prints the help of its programs on stderr; so
/// do the drop-in names.
fn stopped<A>(command: &Command<A>, stop: Stop, usage_code: u8, drop_in: bool) -> Say {
    match stop {
        Stop::Help => Say {
            text: document::help(command),
            to_stderr: drop_in,
            code: 0,
        },
        Stop::Usage(problem) => misused(command.name, &problem, usage_code),
    }
}

/// A complaint about how a command was called.
fn misused(name: &str, problem: &str, code: u8) -> Say {
    Say::complaint(
        format!("{name}: {problem}\nRun '{name} --help' for usage.\n"),
        code,
    )
}

/// The only argument of a command.
fn exactly_one(name: &str, rest: Vec<OsString>, code: u8) -> Result<Input, Say> {
    let mut rest = rest.into_iter();
    match (rest.next(), rest.next()) {
        (Some(one), None) => Ok(Input::from(one)),
        (None, _) => Err(misused(name, "which config? Give one file, or - for stdin", code)),
        (Some(_), Some(second)) => Err(misused(
            name,
            &format!("one config at a time; {} is one too many", second.display()),
            code,
        )),
    }
}

/// The man pages: file name in `docs/man`, and its text.
pub fn man_pages() -> Vec<(String, String)> {
    fn page<A>(command: &Command<A>) -> (String, String) {
        (
            format!("{}.{}", command.name.replace(' ', "-"), command.section),
            document::man(command),
        )
    }
    vec![
        page(&engine::ENGINE),
        page(&apply::IGNITION_APPLY),
        page(&rmcfg::IGNITION_RMCFG),
        page(&validate::IGNITION_VALIDATE),
        page(&verbs::OVERVIEW),
        page(&plan::PLAN),
        page(&explain::EXPLAIN),
        page(&provision::PROVISION),
        page(&report::REPORT),
        page(&validate::VALIDATE),
        page(&apply::APPLY),
    ]
}
