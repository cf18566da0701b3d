//! Spec versions (spec/config.md 1).

use std::fmt;

use serde::Serialize;

use super::grammar::semver::Semver;

/// A spec version that this program reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Version {
    /// 3.0.0
    V3_0,
    /// 3.1.0
    V3_1,
    /// 3.2.0
    V3_2,
    /// 3.3.0
    V3_3,
    /// 3.4.0
    V3_4,
    /// 3.5.0
    V3_5,
    /// 3.6.0
    V3_6,
    /// 3.7.0-experimental
    V3_7,
}

impl Version {
    /// All versions, oldest first.
    pub const ALL: [Self; 8] = [
        Self::V3_0,
        Self::V3_1,
        Self::V3_2,
        Self::V3_3,
        Self::V3_4,
        Self::V3_5,
        Self::V3_6,
        Self::V3_7,
    ];

    /// The version that every config is translated to.
    pub const NEWEST: Self = Self::V3_7;

    /// As it stands in `ignition.version`.
    pub fn name(self) -> &'static str {
        match self {
            Self::V3_0 => "3.0.0",
            Self::V3_1 => "3.1.0",
            Self::V3_2 => "3.2.0",
            Self::V3_3 => "3.3.0",
            Self::V3_4 => "3.4.0",
            Self::V3_5 => "3.5.0",
            Self::V3_6 => "3.6.0",
            Self::V3_7 => "3.7.0-experimental",
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What `ignition.version` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Declared {
    /// A version that is read here
    Known(Version),
    /// A version, but none of ours
    Unknown {
        /// Its first number
        major: i64,
    },
    /// Not a version
    Unreadable,
}

impl Version {
    /// Reads `ignition.version` as upstream's semver parser does (spec/config.md 1.2): numbers may have leading
    /// zeros; build metadata and pre-releases are part of what must match.
    pub fn declared(text: &str) -> Declared {
        let Ok(semver) = Semver::parse(text) else {
            return Declared::Unreadable;
        };
        semver
            .version()
            .map_or(Declared::Unknown { major: semver.major }, Declared::Known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_reads_as_itself() {
        for version in Version::ALL {
            assert_eq!(Version::declared(version.name()), Declared::Known(version));
        }
    }

    #[test]
    fn versions_read_as_upstream_does() {
        let table = [
            ("03.0.0", Declared::Known(Version::V3_0)),
            ("3.00.0", Declared::Known(Version::V3_0)),
            ("3.0.0+x", Declared::Unknown { major: 3 }),
            ("3.6.0-experimental", Declared::Unknown { major: 3 }),
            ("3.7.0", Declared::Unknown { major: 3 }),
            ("2.3.0", Declared::Unknown { major: 2 }),
            ("4.0.0", Declared::Unknown { major: 4 }),
            ("", Declared::Unreadable),
            ("3", Declared::Unreadable),
            ("3.0", Declared::Unreadable),
            ("3.0.0.0", Declared::Unreadable),
            ("3.0.0 ", Declared::Unreadable),
            ("v3.0.0", Declared::Unreadable),
            ("3.0.0-a..b", Declared::Unreadable),
            ("999999999999999999999.0.0", Declared::Unreadable),
        ];
        for (text, expected) in table {
            assert_eq!(Version::declared(text), expected, "{text:?}");
        }
    }
}
