//! The rules of the spec (spec/config.md 5 and 6). The shell; the rules come with branch `rules`.

use super::types::Config;
use super::version::Version;
use crate::report::Report;

/// What the rules of `version` say about a config that was written for it.
pub fn validators(_config: &Config, _version: Version) -> Report {
    Report::default()
}

/// Entries of lists that are there twice.
pub fn duplicates(_config: &Config, _version: Version) -> Report {
    Report::default()
}
