//! The state file: what one stage leaves for the later ones (spec/fetch.md 5). Its form is upstream's.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::config::types::{File, Hidden};
use crate::sys::HostFiles;

/// Mode of a new state file: it holds keys.
pub const MODE: u32 = 0o600;

/// The most that a state file may hold, in bytes.
const LIMIT: u64 = 1 << 30;

/// Whose config it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The image's
    Base,
    /// The operator's
    User,
}

impl Kind {
    /// As it stands in state file and journal.
    pub fn name(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::User => "user",
        }
    }
}

/// A config that was fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchedConfig {
    /// Whose config it is
    pub kind: Kind,
    /// Where it came from: `system`, `cmdline`, the platform; of a referenced config the path of its URL
    pub source: String,
    /// Whether another config refers to it
    pub referenced: bool,
}

/// What one stage leaves for the later ones. A collection without entries is written as `null`, as Go does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct State {
    /// Every config that was fetched, in order, over all stages
    #[serde(serialize_with = "list", deserialize_with = "or_default")]
    pub fetched_configs: Vec<FetchedConfig>,
    /// LUKS key files to keep, as data: URLs, by volume name
    #[serde(serialize_with = "map", deserialize_with = "or_default")]
    pub luks_persist_key_files: BTreeMap<String, Hidden>,
    /// Directories whose labels are to be set
    #[serde(serialize_with = "list", deserialize_with = "or_default")]
    pub notated_directories: Vec<String>,
    /// Files that the platform wants to be written
    #[serde(serialize_with = "list", deserialize_with = "or_default")]
    pub provider_output_files: Vec<File>,
    /// Secure keys of CEX volumes, as data: URLs, by file name
    #[serde(serialize_with = "map", deserialize_with = "or_default")]
    pub luks_persist_volume_key_files: BTreeMap<String, Hidden>,
    /// Mount points at which the mount stage found the right filesystem mounted when it first began: umount leaves them.
    /// `None`: it has not begun. Not in upstream's state, which ignores it
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept_mounts: Option<Vec<String>>,
}

fn list<T: Serialize, S: Serializer>(list: &Vec<T>, serializer: S) -> Result<S::Ok, S::Error> {
    Some(list).filter(|list| !list.is_empty()).serialize(serializer)
}

fn map<T: Serialize, S: Serializer>(map: &BTreeMap<String, T>, serializer: S) -> Result<S::Ok, S::Error> {
    Some(map).filter(|map| !map.is_empty()).serialize(serializer)
}

fn or_default<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Default + Deserialize<'de>,
    D: Deserializer<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// The state file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The system refused.
    #[error("cannot {operation} the state file {}", path.display())]
    Io {
        /// What was tried
        operation: &'static str,
        /// Which file
        path: PathBuf,
        /// What the system said
        #[source]
        source: io::Error,
    },
    /// It is not a state file. What is wrong is told by place only: it holds keys.
    #[error(
        "{} is no state file of Ignition (line {line}, column {column}); remove it to start anew",
        path.display()
    )]
    Form {
        /// Which file
        path: PathBuf,
        /// Line, from 1
        line: usize,
        /// Column, from 1
        column: usize,
    },
}

impl State {
    /// Reads the state file; a missing one is an empty state.
    pub fn load(files: &dyn HostFiles, path: &Path) -> Result<Self, StateError> {
        let read = files.read(path, LIMIT).map_err(|source| StateError::Io {
            operation: "read",
            path: path.to_path_buf(),
            source,
        })?;
        let Some(bytes) = read else {
            return Ok(Self::default());
        };
        serde_json::from_slice(&bytes).map_err(|error| StateError::Form {
            path: path.to_path_buf(),
            line: error.line(),
            column: error.column(),
        })
    }

    /// Writes the state file, 0600 if it is new.
    pub fn save(&self, files: &dyn HostFiles, path: &Path) -> Result<(), StateError> {
        let failed = |source: io::Error| StateError::Io {
            operation: "write",
            path: path.to_path_buf(),
            source,
        };
        let mut bytes = serde_json::to_vec(self).map_err(|error| failed(error.into()))?;
        bytes.push(b'\n');
        files.write_atomic(path, &bytes, MODE).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::host::FakeHost;

    const PATH: &str = "/run/ignition/state";

    fn written(state: &State) -> String {
        let files = FakeHost::new();
        state.save(&files, Path::new(PATH)).unwrap();
        let (bytes, mode) = files.get(PATH).unwrap();
        assert_eq!(mode, 0o600);
        String::from_utf8(bytes).unwrap()
    }

    fn full() -> State {
        State {
            fetched_configs: vec![FetchedConfig {
                kind: Kind::Base,
                source: "system".to_owned(),
                referenced: false,
            }],
            luks_persist_key_files: [("data".to_owned(), "data:,canary".into())].into(),
            kept_mounts: None,
            notated_directories: vec!["/etc".to_owned()],
            provider_output_files: vec![File {
                path: "/var/x".to_owned(),
                mode: Some(0o600),
                ..File::default()
            }],
            luks_persist_volume_key_files: [("k".to_owned(), "data:,canary".into())].into(),
        }
    }

    #[test]
    fn an_empty_state_is_all_null() {
        assert_eq!(
            written(&State::default()),
            "{\"fetchedConfigs\":null,\"luksPersistKeyFiles\":null,\"notatedDirectories\":null,\
             \"providerOutputFiles\":null,\"luksPersistVolumeKeyFiles\":null}\n"
        );
    }

    #[test]
    fn the_keys_are_upstreams() {
        insta::assert_snapshot!(written(&full()), @r#"{"fetchedConfigs":[{"kind":"base","source":"system","referenced":false}],"luksPersistKeyFiles":{"data":"data:,canary"},"notatedDirectories":["/etc"],"providerOutputFiles":[{"group":{},"path":"/var/x","user":{},"contents":{"verification":{}},"mode":384}],"luksPersistVolumeKeyFiles":{"k":"data:,canary"}}"#);
    }

    #[test]
    fn what_is_written_is_read_and_what_is_unknown_is_ignored() {
        for state in [State::default(), full()] {
            let files = FakeHost::new().file(PATH, written(&state));
            assert_eq!(State::load(&files, Path::new(PATH)).unwrap(), state);
        }
        let files = FakeHost::new().file(PATH, "{\"later\":1,\"notatedDirectories\":[\"/a\"]}");
        let state = State::load(&files, Path::new(PATH)).unwrap();
        assert_eq!(state.notated_directories, ["/a"]);
        assert_eq!(
            State::load(&FakeHost::new(), Path::new(PATH)).unwrap(),
            State::default()
        );
    }

    #[test]
    fn failures_show_nothing_secret() {
        let files = FakeHost::new().file(
            PATH,
            "{\"luksPersistKeyFiles\":{\"a\":\"canary\"},\"notatedDirectories\":\"canary\"}",
        );
        let error = State::load(&files, Path::new(PATH)).unwrap_err();
        assert!(matches!(error, StateError::Form { line: 1, .. }));
        assert!(!format!("{error} {error:?} {:?}", full()).contains("canary"));
        let files = FakeHost::new().deny(PATH);
        assert!(State::load(&files, Path::new(PATH)).is_err());
        assert!(State::default().save(&files, Path::new(PATH)).is_err());
    }
}
