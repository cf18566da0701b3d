//! The system's own config files: base fragments and `user.ign` in three directories (spec/fetch.md 3).

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use crate::config::merge::merge;
use crate::config::origin::Origins;
use crate::config::types::Config;
use crate::config::{self, ParseError};
use crate::fetch::CONFIG_LIMIT;
use crate::platform::Platform;
use crate::sys::{Environment, HostFiles};

use super::log;

/// Where the system's config files are, the first counts most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemDirs(pub [PathBuf; 3]);

impl SystemDirs {
    /// The usual three, each replaced by its environment variable.
    pub fn new(environment: &Environment) -> Self {
        let or = |path: &Option<PathBuf>, usual: &str| path.clone().unwrap_or_else(|| usual.into());
        Self([
            or(&environment.system_runtime_config_dir, "/run/ignition"),
            or(&environment.system_local_config_dir, "/etc/ignition"),
            or(&environment.system_config_dir, "/usr/lib/ignition"),
        ])
    }
}

/// A system config file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SystemError {
    /// The system refused.
    #[error("cannot read {}", path.display())]
    Io {
        /// Which file or directory
        path: PathBuf,
        /// What the system said
        #[source]
        source: io::Error,
    },
    /// It is no config.
    #[error("{} is no valid base config; correct or remove it", path.display())]
    Parse {
        /// Which file
        path: PathBuf,
        /// What is wrong
        #[source]
        source: ParseError,
    },
}

/// What the system's own fragments say.
#[derive(Debug, Default)]
pub struct Base {
    /// All of them merged
    pub config: Config,
    /// Which of them each part comes from
    pub origins: Origins,
}

/// The base config: `base.d`, and over it `base.platform.d/<platform>`. An error in the latter drops all of that
/// directory, as upstream does; it is only logged.
pub fn base(
    files: &dyn HostFiles,
    dirs: &SystemDirs,
    platform: Option<Platform>,
) -> Result<Base, SystemError> {
    let mut base = merged(files, dirs, Path::new("base.d"))?;
    if let Some(platform) = platform {
        let below = Path::new("base.platform.d").join(platform.id());
        match merged(files, dirs, &below) {
            Ok(over) => {
                base.config = merge(base.config, over.config);
                base.origins.append(over.origins);
            }
            Err(error) => {
                tracing::warn!(
                    "base configs of the platform {platform} are left out: {}",
                    crate::report::chain(&error)
                );
            }
        }
    }
    Ok(base)
}

/// The bytes of `user.ign`, from the first directory that has it.
pub fn user(files: &dyn HostFiles, dirs: &SystemDirs) -> Result<Option<(PathBuf, Vec<u8>)>, SystemError> {
    for dir in &dirs.0 {
        let path = dir.join("user.ign");
        if let Some(bytes) = read(files, &path)? {
            return Ok(Some((path, bytes)));
        }
    }
    Ok(None)
}

/// All fragments of one subdirectory, merged in the order of their names. A name in a directory that counts more hides
/// the same name in the others, also if it is a link that leads nowhere.
fn merged(files: &dyn HostFiles, dirs: &SystemDirs, below: &Path) -> Result<Base, SystemError> {
    let mut fragments: BTreeMap<OsString, PathBuf> = BTreeMap::new();
    for dir in &dirs.0 {
        let dir = dir.join(below);
        let names = files.list(&dir).map_err(|source| SystemError::Io {
            path: dir.clone(),
            source,
        })?;
        for name in names.unwrap_or_default() {
            let path = dir.join(&name);
            fragments.entry(name).or_insert(path);
        }
    }
    let mut base = Base::default();
    for path in fragments.into_values() {
        let Some(bytes) = read(files, &path)? else {
            tracing::info!("{} leads nowhere and is left out", path.display());
            continue;
        };
        log::digest(
            &path.display().to_string(),
            &bytes,
            crate::view::Digest::of(&bytes),
        );
        let parsed = config::parse(&bytes).map_err(|source| SystemError::Parse {
            path: path.clone(),
            source,
        })?;
        log::report(&path.display().to_string(), &parsed.report);
        base.config = merge(base.config, parsed.config);
        base.origins.push(&path.display().to_string(), parsed.origins);
    }
    Ok(base)
}

fn read(files: &dyn HostFiles, path: &Path) -> Result<Option<Vec<u8>>, SystemError> {
    files.read(path, CONFIG_LIMIT).map_err(|source| SystemError::Io {
        path: path.to_path_buf(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::host::FakeHost;

    fn fragment(paths: &[&str]) -> String {
        let directories: Vec<String> = paths
            .iter()
            .map(|path| format!("{{\"path\":\"{path}\",\"mode\":1}}"))
            .collect();
        format!(
            "{{\"ignition\":{{\"version\":\"3.3.0\"}},\"storage\":{{\"directories\":[{}]}}}}",
            directories.join(",")
        )
    }

    fn paths(config: &Config) -> Vec<&str> {
        config
            .storage
            .directories
            .iter()
            .map(|directory| directory.path.as_str())
            .collect()
    }

    fn dirs() -> SystemDirs {
        SystemDirs::new(&Environment::default())
    }

    #[test]
    fn variables_replace_directories() {
        let environment = Environment {
            system_config_dir: Some("/one".into()),
            ..Environment::default()
        };
        let want = ["/run/ignition", "/etc/ignition", "/one"].map(PathBuf::from);
        assert_eq!(SystemDirs::new(&environment).0, want);
    }

    #[test]
    fn names_are_merged_in_order_and_masked_from_above() {
        let files = FakeHost::new()
            .file("/usr/lib/ignition/base.d/10", fragment(&["/usr10"]))
            .file("/usr/lib/ignition/base.d/20", fragment(&["/usr20"]))
            .file("/etc/ignition/base.d/20", fragment(&["/etc20"]))
            .file("/etc/ignition/base.d/05", fragment(&["/etc05"]))
            .file("/run/ignition/base.d/15", fragment(&["/run15"]))
            .file("/etc/ignition/base.platform.d/qemu/x", fragment(&["/qemu"]))
            .file("/etc/ignition/base.platform.d/metal/x", fragment(&["/metal"]));
        let config = base(&files, &dirs(), Some(Platform::Qemu)).unwrap();
        assert_eq!(
            paths(&config.config),
            ["/etc05", "/usr10", "/run15", "/etc20", "/qemu"]
        );
        let config = base(&files, &dirs(), None).unwrap();
        assert_eq!(paths(&config.config), ["/etc05", "/usr10", "/run15", "/etc20"]);
        assert_eq!(
            base(&FakeHost::new(), &dirs(), None).unwrap().config,
            Config::default()
        );
    }

    #[test]
    fn what_is_wrong_in_base_is_fatal_and_names_the_file() {
        let path = "/etc/ignition/base.d/10";
        for text in [
            "",
            "{",
            "#cloud-config\n",
            "{\"ignition\":{\"version\":\"9.0.0\"}}",
        ] {
            let error = base(&FakeHost::new().file(path, text), &dirs(), None).unwrap_err();
            assert!(error.to_string().contains(path), "{error}");
        }
        let denied = FakeHost::new().file(path, "").deny(path);
        assert!(matches!(
            base(&denied, &dirs(), None),
            Err(SystemError::Io { .. })
        ));
        let directory = FakeHost::new().file("/etc/ignition/base.d/sub/file", "");
        assert!(base(&directory, &dirs(), None).is_err());
    }

    #[test]
    fn what_is_wrong_for_the_platform_drops_its_directory() {
        let files = FakeHost::new()
            .file("/usr/lib/ignition/base.d/10", fragment(&["/base"]))
            .file("/usr/lib/ignition/base.platform.d/qemu/10", fragment(&["/good"]))
            .file("/usr/lib/ignition/base.platform.d/qemu/20", "{");
        let config = base(&files, &dirs(), Some(Platform::Qemu)).unwrap();
        assert_eq!(paths(&config.config), ["/base"]);
    }

    #[test]
    fn the_first_user_ign_counts() {
        let files = FakeHost::new().file("/usr/lib/ignition/user.ign", "usr");
        let found = |files: &FakeHost| user(files, &dirs()).unwrap().map(|(_, bytes)| bytes);
        assert_eq!(found(&FakeHost::new()), None);
        assert_eq!(found(&files).unwrap(), b"usr");
        let files = files.file("/etc/ignition/user.ign", "");
        assert_eq!(found(&files).unwrap(), b"");
        assert!(user(&files.deny("/run/ignition/user.ign"), &dirs()).is_err());
    }
}
