//! Version numbers of `ignition.version` (spec/config.md 1.2).

use thiserror::Error;

use crate::config::version::Version;

/// Why a text is not a version number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a version number has the form MAJOR.MINOR.PATCH, like \"3.4.0\"")]
pub struct SemverError;

/// A version number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Semver<'a> {
    /// First number
    pub major: i64,
    /// Second number
    pub minor: i64,
    /// Third number
    pub patch: i64,
    /// After the first `-`, e.g. `experimental`; empty if absent
    pub pre_release: &'a str,
    /// After the first `+`; empty if absent
    pub metadata: &'a str,
}

impl<'a> Semver<'a> {
    /// Reads a version number as upstream does: leading zeroes are fine, white space is not.
    pub fn parse(text: &'a str) -> Result<Self, SemverError> {
        let (rest, metadata) = text.split_once('+').unwrap_or((text, ""));
        let (numbers, pre_release) = rest.split_once('-').unwrap_or((rest, ""));
        if !are_identifiers(pre_release) || !are_identifiers(metadata) {
            return Err(SemverError);
        }
        let mut parts = numbers.splitn(3, '.');
        let mut number = || {
            let part = parts.next().ok_or(SemverError)?;
            part.parse::<i64>().map_err(|_| SemverError)
        };
        Ok(Self {
            major: number()?,
            minor: number()?,
            patch: number()?,
            pre_release,
            metadata,
        })
    }

    /// The spec version that this names, if this program reads it.
    pub fn version(&self) -> Option<Version> {
        Version::ALL
            .into_iter()
            .find(|version| Self::parse(version.name()).is_ok_and(|known| known == *self))
    }
}

/// Empty, or identifiers of letters, digits and `-`, separated by dots.
fn are_identifiers(text: &str) -> bool {
    text.is_empty()
        || text.split('.').all(|part| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn table() {
        let unknown = Ok(None);
        let bad = Err(SemverError);
        for (text, expected) in [
            ("3.0.0", Ok(Some(Version::V3_0))),
            ("03.0.0", Ok(Some(Version::V3_0))),
            ("3.00.0", Ok(Some(Version::V3_0))),
            ("3.0.0-", Ok(Some(Version::V3_0))),
            ("3.6.0", Ok(Some(Version::V3_6))),
            ("3.7.0-experimental", Ok(Some(Version::V3_7))),
            ("3.7.0", unknown),
            ("3.6.0-experimental", unknown),
            ("3.0.0+x", unknown),
            ("3.0.0-a-b.c+d.e", unknown),
            ("2.4.0", unknown),
            ("", bad),
            ("3", bad),
            ("3.0", bad),
            ("3.0.0.0", bad),
            ("3.0.0 ", bad),
            (" 3.0.0", bad),
            ("v3.0.0", bad),
            ("3.x.0", bad),
            ("3..0", bad),
            ("-3.0.0", bad),
            ("3.0.0-a..b", bad),
            ("3.0.0-é", bad),
            ("3.0.0+a_b", bad),
            ("9223372036854775807.0.0", unknown),
            ("9223372036854775808.0.0", bad),
        ] {
            assert_eq!(
                Semver::parse(text).map(|semver| semver.version()),
                expected,
                "{text:?}"
            );
        }
    }

    #[test]
    fn every_version_names_itself() {
        for version in Version::ALL {
            assert_eq!(
                Semver::parse(version.name()).map(|semver| semver.version()),
                Ok(Some(version))
            );
        }
    }

    proptest! {
        #[test]
        fn reads_what_was_written(major in 0_i64.., minor in 0_i64.., patch in 0_i64.., pre in "([0-9A-Za-z-]{1,5})?") {
            let dash = if pre.is_empty() { "" } else { "-" };
            let text = format!("{major}.{minor}.{patch}{dash}{pre}");
            let expected = Semver { major, minor, patch, pre_release: &pre, metadata: "" };
            prop_assert_eq!(Semver::parse(&text), Ok(expected));
        }

        #[test]
        fn never_panics(text in "[0-9.+-]{0,10}|.*") {
            let _ = Semver::parse(&text).map(|semver| semver.version());
        }
    }
}
