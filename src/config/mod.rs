//! The config: from bytes to a checked [`types::Config`].
//!
//! [`parse`] is the front door: bytes of one document in, a config of the newest spec out, with what validation had to say
//! and where everything stood. Several documents are put together with [`merge`]; [`canonical`] is how a config is kept.

pub mod ask;
pub mod canonical;
pub mod decode;
mod error;
pub mod grammar;
pub(crate) mod locate;
pub mod merge;
pub mod origin;
pub mod rules;
pub mod schema;
mod sniff;
pub mod translate;
pub mod types;
mod unused;
pub mod validate;
pub mod version;

use serde::Deserialize;

pub use error::{NotIgnition, ParseError};
pub use unused::is_unused_key;

use crate::json::{Document, LineIndex, Node};
use crate::report::{Entry, Pointer, Position, Report, Severity};
use locate::Locator;
use schema::{Field, Kind, Presence, Shape};
use types::Config;
use version::{Declared, Version};

/// One document, read and found acceptable.
#[derive(Debug)]
pub struct Parsed {
    /// The config, translated to the newest spec
    pub config: Config,
    /// The spec that the document was written for
    pub version: Version,
    /// Warnings, with places in the document as it was written
    pub report: Report,
    /// Where the document says what
    pub origins: origin::Index,
}

/// Reads one document by the rules of the spec version that it declares (spec/config.md 1, with Flatcar's patches:
/// flatcar.md 4.1 and 4.2).
///
/// # Errors
/// Everything that is wrong with the document; see [`ParseError`].
pub fn parse(text: &[u8]) -> Result<Parsed, ParseError> {
    parse_in_detail(text, origin::Detail::Entries)
}

/// As [`parse`], with so much detail about where everything stood.
///
/// # Errors
/// As [`parse`].
pub fn parse_in_detail(text: &[u8], detail: origin::Detail) -> Result<Parsed, ParseError> {
    if text.is_empty() {
        return Err(ParseError::Empty);
    }
    if let Some(what) = sniff::not_ignition(text) {
        return Err(ParseError::NotIgnition(what));
    }
    let document = Document::parse(text).map_err(|error| {
        let message = match sniff::hint(text, error.offset >= text.len()) {
            Some(guess) => format!("{error}; {}: {}", guess.found, guess.advice),
            None => error.message,
        };
        invalid(text, error.offset, message)
    })?;
    let version = declared_version(text, &document)?;

    let root = document.root();
    decode::check(root, &schema::CONFIG, version)
        .map_err(|error| invalid(text, error.offset, error.message))?;
    let config: Config = decode::decode(root, &schema::CONFIG, version)
        .map_err(|error| invalid(text, error.offset, error.message))?;

    // An old config is judged as it was written, before it is translated.
    let lines = document.lines();
    let mut report = validate::validators(&config, version);
    report
        .entries
        .append(&mut validate::duplicates(&config, version).entries);
    place(&mut report, root, &lines);
    report.entries.extend(unused::keys(root, version, &lines));
    if report.is_fatal() {
        return Err(ParseError::Invalid { report });
    }
    let mut origins = origin::Index::new(root, version, &lines, detail);
    if detail == origin::Detail::Values {
        origins.keep(text);
    }
    Ok(Parsed {
        config: translate::to_newest(config, version),
        version,
        report,
        origins,
    })
}

/// What is read before it is known which spec applies.
static STUB: Shape = Shape {
    name: "Stub",
    fields: &[
        Field {
            name: "ignition",
            since: Version::V3_0,
            kind: Kind::Object(&STUB_IGNITION),
            presence: Presence::Plain,
        },
        Field {
            name: "ignitionVersion",
            since: Version::V3_0,
            kind: Kind::Integer,
            presence: Presence::Plain,
        },
    ],
};

static STUB_IGNITION: Shape = Shape {
    name: "StubIgnition",
    fields: &[Field {
        name: "version",
        since: Version::V3_0,
        kind: Kind::Text,
        presence: Presence::Plain,
    }],
};

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Stub {
    ignition: StubIgnition,
    ignition_version: i64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct StubIgnition {
    version: String,
}

fn declared_version(text: &[u8], document: &Document<'_>) -> Result<Version, ParseError> {
    let root = document.root();
    let stub: Stub = decode::check(root, &STUB, Version::NEWEST)
        .and_then(|()| decode::decode(root, &STUB, Version::NEWEST))
        .map_err(|error| invalid(text, error.offset, error.message))?;

    let found = stub.ignition.version;
    let at = root
        .get("ignition")
        .and_then(|ignition| ignition.get("version"))
        .map(|node| document.lines().position(node.report_offset()));
    if found.is_empty() {
        // Spec 1 has an integer at the top instead (Flatcar patch 0010).
        return Err(match stub.ignition_version {
            major @ (1 | 2) => ParseError::OldSpec {
                version: format!("{major}.0.0"),
                at: root
                    .get("ignitionVersion")
                    .map(|node| document.lines().position(node.report_offset())),
            },
            _ => ParseError::InvalidVersion { found: None, at },
        });
    }
    match Version::declared(&found) {
        Declared::Known(version) => Ok(version),
        Declared::Unknown { major: 1 | 2 } => Err(ParseError::OldSpec { version: found, at }),
        Declared::Unknown { .. } => Err(ParseError::UnknownVersion { found, at }),
        Declared::Unreadable => Err(ParseError::InvalidVersion {
            found: Some(found),
            at,
        }),
    }
}

/// The report of a decoder error: one entry without a path (spec/config.md 3.4).
fn invalid(text: &[u8], offset: usize, message: String) -> ParseError {
    // At the end of the text Go computes no line.
    let position = if offset >= text.len() {
        Position { line: 0, column: 0 }
    } else {
        LineIndex::new(text).position(offset)
    };
    ParseError::Invalid {
        report: Report {
            entries: vec![Entry {
                severity: Severity::Error,
                pointer: Pointer::root(),
                position: Some(position),
                message,
            }],
        },
    }
}

/// Gives every entry that has none its position: that of the deepest value on its path (spec/config.md 3.2).
fn place(report: &mut Report, root: Node<'_>, lines: &LineIndex) {
    let mut locator = Locator::new(root);
    for entry in &mut report.entries {
        if entry.position.is_none() {
            entry.position = Some(lines.position(locator.deepest(&entry.pointer).report_offset()));
        }
    }
}

#[cfg(test)]
mod tests;
