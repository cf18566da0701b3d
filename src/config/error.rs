//! Why a document is no config.

use std::fmt;

use super::sniff;
use super::version::Version;
use crate::report::{Position, Report, Severity};

/// User data that is meant for another program. With it, as with no user data at all, provisioning goes on without a user
/// config (flatcar.md 4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotIgnition {
    /// Begins with `#cloud-config`
    CloudConfig,
    /// Begins with `#!`
    Script,
    /// MIME with `multipart/mixed`
    Multipart,
}

impl fmt::Display for NotIgnition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CloudConfig => "a cloud-config (it begins with #cloud-config)",
            Self::Script => "a script (it begins with #!)",
            Self::Multipart => "a MIME multipart archive",
        })
    }
}

/// Why a document is no config. The texts say what was found, what is expected, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not a single byte
    #[error("the config is empty; {}", self.advice().unwrap_or_default())]
    Empty,
    /// Meant for another program
    #[error("this is not an Ignition config, which is JSON, but {0}; Ignition leaves it alone")]
    NotIgnition(NotIgnition),
    /// Not JSON, a value of the wrong type, or a rule broken
    #[error("{}", Summary(report))]
    Invalid {
        /// At least one error
        report: Report,
    },
    /// `ignition.version` is missing or not a version
    #[error(
        "{}; expected is one of {}{}",
        match found {
            Some(found) => format!("ignition.version is {}, which is not a version", quoted(found)),
            None => "the config has no ignition.version".to_owned(),
        },
        Versions,
        At(at)
    )]
    InvalidVersion {
        /// What stands there, if anything does
        found: Option<String>,
        /// Where it stands
        at: Option<Position>,
    },
    /// A version that does not exist, or is newer than this program
    #[error(
        "config version {} is not known here; known are {Versions}{}; {}",
        quoted(found),
        At(at),
        self.advice().unwrap_or_default()
    )]
    UnknownVersion {
        /// What stands there
        found: String,
        /// Where it stands
        at: Option<Position>,
    },
    /// A config of spec 1 or 2
    #[error(
        "spec {}.x is not supported yet (the config says {version}){}; {}",
        version.split('.').next().unwrap_or_default(),
        At(at),
        self.advice().unwrap_or_default()
    )]
    OldSpec {
        /// What stands there
        version: String,
        /// Where it stands
        at: Option<Position>,
    },
}

const NEWEST_STABLE: Version = Version::V3_6;

static NO_ENTRIES: Report = Report { entries: Vec::new() };

impl ParseError {
    /// What validation said; only [`ParseError::Invalid`] has entries.
    pub fn report(&self) -> &Report {
        match self {
            Self::Invalid { report } => report,
            Self::Empty
            | Self::NotIgnition(_)
            | Self::InvalidVersion { .. }
            | Self::UnknownVersion { .. }
            | Self::OldSpec { .. } => &NO_ENTRIES,
        }
    }

    /// What to do about it. The text of the error ends with it, or says it in other words.
    pub fn advice(&self) -> Option<String> {
        Some(match self {
            Self::Empty => format!(
                "the smallest one is {{\"ignition\": {{\"version\": \"{}\"}}}}",
                NEWEST_STABLE.name()
            ),
            Self::NotIgnition(NotIgnition::Script) => {
                "to run a script, let a config write it to a file and start it from a unit".to_owned()
            }
            Self::NotIgnition(NotIgnition::CloudConfig | NotIgnition::Multipart) => {
                "write the config as Butane and translate it with butane".to_owned()
            }
            Self::Invalid { report } => {
                let first = report
                    .entries
                    .iter()
                    .find(|entry| entry.severity == Severity::Error)?;
                sniff::advice_in(&first.message)
                    .unwrap_or("correct the config; ignition-rs validate shows all that is wrong with it")
                    .to_owned()
            }
            Self::InvalidVersion { .. } => {
                "set ignition.version to the version of the spec that the config is written for".to_owned()
            }
            Self::UnknownVersion { found, .. } if is_newer(found) => {
                "boot a newer image, or lower ignition.version if the config needs nothing new".to_owned()
            }
            Self::UnknownVersion { .. } => "set ignition.version to one of these".to_owned(),
            Self::OldSpec { .. } => {
                "convert it to spec 3, for example with ign-converter, or write it as Butane".to_owned()
            }
        })
    }

    /// Where in the text it went wrong, if that is one place.
    pub fn position(&self) -> Option<Position> {
        match self {
            Self::Invalid { report } => report
                .entries
                .iter()
                .find(|entry| entry.severity == Severity::Error)
                .and_then(|entry| entry.position),
            Self::InvalidVersion { at, .. } | Self::UnknownVersion { at, .. } | Self::OldSpec { at, .. } => {
                *at
            }
            Self::Empty | Self::NotIgnition(_) => None,
        }
    }
}

/// Whether a version comes after all that are known here.
fn is_newer(version: &str) -> bool {
    let numbers = |text: &str| -> Option<(u64, u64)> {
        let mut parts = text.split('.');
        Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    };
    numbers(version) > numbers(Version::NEWEST.name())
}

/// Text of the user's, short enough for a message.
fn quoted(text: &str) -> String {
    let short: String = text.chars().take(40).collect();
    let dots = if short.len() < text.len() { "..." } else { "" };
    format!("{short:?}{dots}")
}

struct Versions;

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, version) in Version::ALL.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{version}")?;
        }
        Ok(())
    }
}

struct At<'e>(&'e Option<Position>);

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(at) => write!(f, " (line {} col {})", at.line, at.column),
            None => Ok(()),
        }
    }
}

/// The first error and how many there are.
struct Summary<'e>(&'e Report);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut errors = self
            .0
            .entries
            .iter()
            .filter(|entry| entry.severity == Severity::Error);
        let Some(first) = errors.next() else {
            return f.write_str("the config is not valid");
        };
        write!(f, "the config is not valid: {first}")?;
        match errors.count() {
            0 => Ok(()),
            1 => f.write_str(" (and one more error)"),
            more => write!(f, " (and {more} more errors)"),
        }
    }
}
