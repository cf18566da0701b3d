//! The cache: the rendered user config, written by the stage that fetched it and read by all others (spec/fetch.md 5).

use std::io;
use std::path::{Path, PathBuf};

use crate::config::canonical;
use crate::config::types::Config;
use crate::fetch::CONFIG_LIMIT;
use crate::sys::HostFiles;

/// Mode of a new cache file. One that is there keeps its own.
pub const MODE: u32 = 0o640;

/// The cache cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CacheFileError {
    /// It is not there.
    #[error(
        "there is no config cache at {}: run the stage fetch-offline or fetch first, or give the config with --config",
        .0.display()
    )]
    Missing(PathBuf),
    /// The system refused.
    #[error("cannot read the config cache {}", path.display())]
    Io {
        /// Which file
        path: PathBuf,
        /// What the system said
        #[source]
        source: io::Error,
    },
    /// It does not hold a config.
    #[error("the config cache {} holds no config; remove it and run the stage fetch again", path.display())]
    Form {
        /// Which file
        path: PathBuf,
        /// What is wrong
        #[source]
        source: canonical::CacheError,
    },
}

/// Reads the cache. Neither version nor rules are checked: that was done before it was written.
pub fn read(files: &dyn HostFiles, path: &Path) -> Result<Config, CacheFileError> {
    match files.read(path, CONFIG_LIMIT) {
        Ok(Some(bytes)) => canonical::from_cache(&bytes).map_err(|source| CacheFileError::Form {
            path: path.to_path_buf(),
            source,
        }),
        Ok(None) => Err(CacheFileError::Missing(path.to_path_buf())),
        Err(source) => Err(CacheFileError::Io {
            path: path.to_path_buf(),
            source,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::host::FakeHost;

    #[test]
    fn what_canonical_writes_is_read() {
        let mut config = Config::default();
        config.ignition.version = "3.7.0-experimental".to_owned();
        config.storage.directories.push(crate::config::types::Directory {
            path: "/a<b".to_owned(),
            ..Default::default()
        });
        let files = FakeHost::new().file("/run/ignition.json", canonical::to_json(&config).unwrap());
        assert_eq!(read(&files, Path::new("/run/ignition.json")).unwrap(), config);
    }

    #[test]
    fn missing_denied_and_damaged_caches_are_told_apart() {
        let path = Path::new("/run/ignition.json");
        let missing = read(&FakeHost::new(), path).unwrap_err();
        assert!(matches!(missing, CacheFileError::Missing(_)));
        assert!(missing.to_string().contains("fetch-offline"), "{missing}");
        assert!(matches!(
            read(&FakeHost::new().deny(path), path),
            Err(CacheFileError::Io { .. })
        ));
        for text in ["", "{", "[]", "{\"ignition\":7}"] {
            let error = read(&FakeHost::new().file(path, text), path).unwrap_err();
            assert!(matches!(error, CacheFileError::Form { .. }), "{text}: {error}");
        }
    }
}
