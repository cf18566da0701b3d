//! Keys of volumes in the state file.

use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::mounts::Left;
use super::state::State;
use crate::config::grammar::data_url;
use crate::config::types::Hidden;
use crate::exec::VolumeKeys;
use crate::plan::Secret;
use crate::sys::HostFiles;

/// Keeps what a stage leaves for later ones, before it acts: a run that is killed must be known, too.
pub trait Keeper: VolumeKeys {
    /// Keeps what the mount stage leaves.
    fn note(&self, left: Left) -> io::Result<()>;

    /// The same as what the executor needs.
    fn as_volume_keys(&self) -> &dyn VolumeKeys;
}

/// The state of a stage that works on volumes: every change of its keys is written to the state file at once.
pub struct StateKeys<'a> {
    files: &'a dyn HostFiles,
    path: &'a Path,
    state: Mutex<State>,
}

impl std::fmt::Debug for StateKeys<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StateKeys")
            .field("path", &self.path)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl<'a> StateKeys<'a> {
    /// Begins with a state that was loaded.
    pub fn new(files: &'a dyn HostFiles, path: &'a Path, state: State) -> Self {
        Self {
            files,
            path,
            state: Mutex::new(state),
        }
    }

    /// The state with its keys as they are now.
    pub fn into_state(self) -> State {
        self.state.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) -> io::Result<()> {
        let mut state = self.state();
        change(&mut state);
        state.save(self.files, self.path).map_err(io::Error::other)
    }
}

fn url(bytes: &[u8]) -> Hidden {
    Hidden(format!("data:;base64,{}", STANDARD.encode(bytes)))
}

impl VolumeKeys for StateKeys<'_> {
    fn keep(&self, volume: &str, key: &[u8]) -> io::Result<()> {
        self.change(|state| {
            state.luks_persist_key_files.insert(volume.to_owned(), url(key));
        })
    }

    fn key(&self, volume: &str) -> io::Result<Option<Secret<Vec<u8>>>> {
        let state = self.state();
        let Some(url) = state.luks_persist_key_files.get(volume) else {
            return Ok(None);
        };
        match data_url::decode(url.reveal()) {
            Ok(bytes) => Ok(Some(Secret::new(bytes))),
            Err(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "it is no data: URL")),
        }
    }

    fn forget(&self, volume: &str) -> io::Result<()> {
        self.change(|state| {
            state.luks_persist_key_files.remove(volume);
        })
    }

    fn keep_secure_key(&self, file: &str, bytes: &[u8]) -> io::Result<()> {
        self.change(|state| {
            state
                .luks_persist_volume_key_files
                .insert(file.to_owned(), url(bytes));
        })
    }
}

impl Keeper for StateKeys<'_> {
    fn note(&self, left: Left) -> io::Result<()> {
        self.change(|state| match left {
            Left::Kept(mounts) => state.kept_mounts = Some(mounts),
            Left::Directories(made) => state.notated_directories.extend(made),
        })
    }

    fn as_volume_keys(&self) -> &dyn VolumeKeys {
        self
    }
}

/// For stages that work on no volume.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoKeys;

impl VolumeKeys for NoKeys {
    fn keep(&self, _volume: &str, _key: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn key(&self, _volume: &str) -> io::Result<Option<Secret<Vec<u8>>>> {
        Ok(None)
    }

    fn forget(&self, _volume: &str) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn keep_secure_key(&self, _file: &str, _bytes: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl Keeper for NoKeys {
    fn note(&self, _left: Left) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn as_volume_keys(&self) -> &dyn VolumeKeys {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::host::FakeHost;

    #[test]
    fn every_change_is_in_the_file_at_once_and_nothing_else_is_lost() {
        let path = Path::new("/run/ignition/state");
        let files = FakeHost::new();
        let before = State {
            notated_directories: vec!["/a".to_owned()],
            ..State::default()
        };
        let keys = StateKeys::new(&files, path, before);
        let stored = || State::load(&files, path).unwrap();
        let key: Vec<u8> = (0..=255).collect();
        keys.keep("data", &key).unwrap();
        assert_eq!(stored().notated_directories, ["/a"]);
        assert_eq!(keys.key("data").unwrap().unwrap().reveal(), &key);
        let again = StateKeys::new(&files, path, stored());
        assert_eq!(again.key("data").unwrap().unwrap().reveal(), &key);
        keys.keep("data", b"canary").unwrap();
        keys.keep_secure_key("k.skey", b"secure").unwrap();
        assert_eq!(keys.key("data").unwrap().unwrap().reveal(), b"canary");
        assert!(!format!("{keys:?}").contains(&STANDARD.encode("canary")));
        keys.forget("data").unwrap();
        assert!(keys.key("data").unwrap().is_none());
        assert!(stored().luks_persist_key_files.is_empty());
        assert_eq!(
            keys.into_state().luks_persist_volume_key_files["k.skey"].reveal(),
            "data:;base64,c2VjdXJl"
        );
    }

    #[test]
    fn failures() {
        let path = Path::new("/run/ignition/state");
        let denied = FakeHost::new().deny(path);
        let keys = StateKeys::new(&denied, path, State::default());
        assert!(keys.keep("data", b"x").is_err());
        let broken = State {
            luks_persist_key_files: [("data".to_owned(), "canary".into())].into(),
            ..State::default()
        };
        let keys = StateKeys::new(&denied, path, broken);
        let error = keys.key("data").unwrap_err();
        assert!(!error.to_string().contains("canary"));
    }
}
