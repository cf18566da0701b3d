//! Flags as data. One table per command is parsed ([`go`], [`gnu`]), printed as help and written as a man page
//! ([`document`]), so the three cannot disagree. Defaults stand in the table only.

pub mod document;
mod duration;
mod gnu;
mod go;
#[cfg(test)]
mod tests;

use std::ffi::{OsStr, OsString};

pub use duration::{DurationError, parse_duration};

use crate::spelling::nearest;

/// How the flags of a command are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Go's `flag` package: `-x v`, `-x=v`, `--x=v`; parsing stops at the first argument that is no flag
    Go,
    /// Long flags, before and after the arguments: `--x v`, `--x=v`
    Gnu,
}

/// What a flag does to the arguments of its command.
pub enum Set<A> {
    /// A switch; the value is true unless `=false` was given
    Switch(fn(&mut A, bool)),
    /// A flag with a value. The error says what is wrong with the value, not which flag it was
    Value(fn(&mut A, &OsStr) -> Result<(), String>),
}

/// One flag.
pub struct Flag<A> {
    /// Name without dashes
    pub name: &'static str,
    /// What stands for the value in help texts; empty for a switch
    pub value: &'static str,
    /// Value it has when it is not given; parsed like one that is given
    pub default: Option<&'static str>,
    /// One line for the help
    pub help: &'static str,
    /// More, for the man page
    pub more: &'static str,
    /// Where the value goes
    pub set: Set<A>,
}

/// A table of terms and what they mean, as a section of a man page.
pub type Terms = &'static [(&'static str, &'static str)];

/// One command: what it is called, what it takes, what it means.
pub struct Command<A: 'static> {
    /// Name as it is typed: `ignition-rs plan`
    pub name: &'static str,
    /// Section of its man page
    pub section: u8,
    /// One line: what it does
    pub summary: &'static str,
    /// Arguments after the name
    pub synopsis: &'static str,
    /// Paragraphs
    pub description: &'static [&'static str],
    /// How its flags are written
    pub style: Style,
    /// Its flags, sorted by name
    pub flags: &'static [Flag<A>],
    /// Exit codes
    pub exit: Terms,
    /// Files that it reads and writes
    pub files: Terms,
    /// Environment that it reads
    pub environment: Terms,
    /// Command lines, each with what it does
    pub examples: Terms,
    /// Other pages: `ignition(8)`
    pub see_also: &'static [&'static str],
}

/// Why parsing ended without arguments.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stop {
    /// Help was asked for.
    #[error("help was asked for")]
    Help,
    /// The command line is wrong; says what to do.
    #[error("{0}")]
    Usage(String),
}

/// What was parsed.
#[derive(Debug)]
pub struct Parsed<A> {
    /// The flags
    pub args: A,
    /// What is no flag, in order
    pub rest: Vec<OsString>,
    /// Names of the flags that were given, in order
    pub given: Vec<&'static str>,
}

impl<A> Parsed<A> {
    /// Whether a flag was given, be it with its default.
    pub fn was_given(&self, name: &str) -> bool {
        self.given.contains(&name)
    }
}

impl<A: Default> Command<A> {
    /// Parses the arguments after the command's name.
    pub fn parse(&self, arguments: impl IntoIterator<Item = OsString>) -> Result<Parsed<A>, Stop> {
        let mut parsed = Parsed {
            args: A::default(),
            rest: Vec::new(),
            given: Vec::new(),
        };
        for flag in self.flags {
            if let Some(default) = flag.default {
                flag.apply("", &mut parsed.args, Some(OsStr::new(default)))
                    .map_err(Stop::Usage)?;
            }
        }
        match self.style {
            Style::Go => go::parse(self.flags, arguments, &mut parsed)?,
            Style::Gnu => gnu::parse(self.flags, arguments, &mut parsed)?,
        }
        Ok(parsed)
    }
}

impl<A> Flag<A> {
    /// Whether it takes no value of its own.
    pub fn is_switch(&self) -> bool {
        matches!(self.set, Set::Switch(_))
    }

    /// Gives the flag to the arguments. A switch may come without a value. Errors write the flag with these dashes.
    fn apply(&self, dashes: &str, args: &mut A, value: Option<&OsStr>) -> Result<(), String> {
        let name = self.name;
        let shown = || value.unwrap_or_default().to_string_lossy().into_owned();
        match (&self.set, value) {
            (Set::Switch(set), None) => set(args, true),
            (Set::Switch(set), Some(value)) => match parse_bool(value) {
                Some(value) => set(args, value),
                None => {
                    return Err(format!(
                        "invalid boolean value {:?} for {dashes}{name}: write true or false",
                        shown()
                    ));
                }
            },
            (Set::Value(set), Some(value)) => set(args, value)
                .map_err(|why| format!("invalid value {:?} for flag {dashes}{name}: {why}", shown()))?,
            (Set::Value(_), None) => return Err(format!("flag needs an argument: {dashes}{name}")),
        }
        Ok(())
    }
}

/// Go's `strconv.ParseBool`.
pub fn parse_bool(text: &OsStr) -> Option<bool> {
    match text.to_str()? {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// A value that must be text.
pub fn text(value: &OsStr) -> Result<&str, String> {
    value.to_str().ok_or_else(|| "not UTF-8".to_owned())
}

/// What to say about a flag that does not exist.
fn unknown<A>(problem: &str, dashes: &str, name: &str, flags: &[Flag<A>]) -> Stop {
    Stop::Usage(match nearest(name, flags.iter().map(|flag| flag.name)) {
        Some(meant) => format!("{problem}: {dashes}{name}; did you mean {dashes}{meant}?"),
        None => format!("{problem}: {dashes}{name}"),
    })
}

fn find<'a, A>(flags: &'a [Flag<A>], name: &str) -> Option<&'a Flag<A>> {
    flags.iter().find(|flag| flag.name == name)
}
