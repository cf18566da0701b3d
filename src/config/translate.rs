//! Upwards from an older spec (spec/config.md 9).
//!
//! Most of what upstream's steps do needs nothing here: there is one set of structs, and [`super::decode`] reads what an
//! older version knows into it. What is left are the two places where a step changes a value.

use super::types::Config;
use super::version::Version;

/// Permission bits without setuid, setgid and sticky.
const PLAIN_MODE: i64 = !0o7000;

/// Makes a config of `version` one of the newest spec.
#[must_use]
pub fn to_newest(mut config: Config, version: Version) -> Config {
    if version < Version::V3_5 {
        // Upstream forgets this field in the step from 3.4 to 3.5.
        for tang in config
            .storage
            .luks
            .iter_mut()
            .flat_map(|luks| &mut luks.clevis.tang)
        {
            tang.advertisement = None;
        }
    }
    if version < Version::V3_6 {
        // Special bits count since 3.6; before, they were accepted with a warning and ignored.
        let files = config.storage.files.iter_mut().map(|file| &mut file.mode);
        let directories = config
            .storage
            .directories
            .iter_mut()
            .map(|directory| &mut directory.mode);
        for mode in files.chain(directories).flatten() {
            *mode &= PLAIN_MODE;
        }
    }
    Version::NEWEST.name().clone_into(&mut config.ignition.version);
    config
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::types::{Directory, File, Luks, Tang};

    fn config() -> Config {
        let mut config = Config::default();
        config.storage.files.push(File {
            mode: Some(0o4755),
            ..File::default()
        });
        config.storage.directories.push(Directory {
            mode: Some(0o1777),
            ..Directory::default()
        });
        let mut luks = Luks::default();
        luks.clevis.tang.push(Tang {
            advertisement: Some("{}".to_owned()),
            ..Tang::default()
        });
        config.storage.luks.push(luks);
        config
    }

    #[test]
    fn special_bits_count_since_3_6() {
        for version in Version::ALL {
            let new = to_newest(config(), version);
            let keeps = version >= Version::V3_6;
            let expected = if keeps { (0o4755, 0o1777) } else { (0o755, 0o777) };
            let found = (
                new.storage.files[0].mode.unwrap(),
                new.storage.directories[0].mode.unwrap(),
            );
            assert_eq!(found, expected, "{version}");
        }
    }

    #[test]
    fn an_advertisement_survives_since_3_5() {
        for version in Version::ALL {
            let new = to_newest(config(), version);
            let kept = new.storage.luks[0].clevis.tang[0].advertisement.is_some();
            assert_eq!(kept, version >= Version::V3_5, "{version}");
        }
    }

    #[test]
    fn the_version_becomes_the_newest() {
        assert_eq!(
            to_newest(config(), Version::V3_0).ignition.version,
            "3.7.0-experimental"
        );
    }
}
