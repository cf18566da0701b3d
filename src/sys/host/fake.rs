//! Files that are only in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::{HostFiles, too_large};

/// Bytes and mode by path.
type Files = BTreeMap<PathBuf, (Vec<u8>, u32)>;

/// Files in memory. A directory is there if a file is below it or it was added.
#[derive(Debug, Default)]
pub struct FakeHost {
    files: RwLock<Files>,
    directories: BTreeSet<PathBuf>,
    denied: BTreeSet<PathBuf>,
}

impl FakeHost {
    /// Nothing is there.
    pub fn new() -> Self {
        Self::default()
    }

    /// With one more file, mode 0644.
    #[must_use]
    pub fn file(self, path: impl Into<PathBuf>, bytes: impl Into<Vec<u8>>) -> Self {
        self.writing().insert(path.into(), (bytes.into(), 0o644));
        self
    }

    /// With an empty directory.
    #[must_use]
    pub fn directory(mut self, path: impl Into<PathBuf>) -> Self {
        self.directories.insert(path.into());
        self
    }

    /// With a path at which everything is denied.
    #[must_use]
    pub fn deny(mut self, path: impl Into<PathBuf>) -> Self {
        self.denied.insert(path.into());
        self
    }

    /// A file's bytes and mode.
    pub fn get(&self, path: impl AsRef<Path>) -> Option<(Vec<u8>, u32)> {
        self.reading().get(path.as_ref()).cloned()
    }

    /// Paths of all files.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.reading().keys().cloned().collect()
    }

    fn reading(&self) -> RwLockReadGuard<'_, Files> {
        self.files.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn writing(&self) -> RwLockWriteGuard<'_, Files> {
        self.files.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self, path: &Path) -> io::Result<()> {
        if self.denied.contains(path) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        Ok(())
    }

    fn is_directory(&self, path: &Path) -> bool {
        let below = |other: &PathBuf| other != path && other.starts_with(path);
        self.reading().keys().any(below)
            || self
                .directories
                .iter()
                .any(|directory| directory.starts_with(path))
    }
}

impl HostFiles for FakeHost {
    fn read(&self, path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
        self.check(path)?;
        match self.reading().get(path) {
            Some((bytes, _)) if u64::try_from(bytes.len()).is_ok_and(|size| size > limit) => {
                Err(too_large(limit))
            }
            Some((bytes, _)) => Ok(Some(bytes.clone())),
            None if self.is_directory(path) => Err(io::ErrorKind::IsADirectory.into()),
            None => Ok(None),
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Option<Vec<OsString>>> {
        self.check(dir)?;
        if !self.is_directory(dir) {
            return Ok(None);
        }
        let child = |path: &PathBuf| {
            let rest = path.strip_prefix(dir).ok()?;
            rest.iter().next().map(ToOwned::to_owned)
        };
        let names: BTreeSet<OsString> = self
            .reading()
            .keys()
            .chain(&self.directories)
            .filter_map(child)
            .collect();
        Ok(Some(names.into_iter().collect()))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.check(path)?;
        Ok(self.reading().contains_key(path) || self.is_directory(path))
    }

    fn write_atomic(&self, path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
        self.check(path)?;
        let mut files = self.writing();
        let mode = files.get(path).map_or(mode, |(_, mode)| *mode);
        files.insert(path.to_owned(), (bytes.to_vec(), mode));
        Ok(())
    }

    fn create_empty(&self, path: &Path) -> io::Result<()> {
        self.check(path)?;
        self.writing()
            .entry(path.to_owned())
            .or_insert((Vec::new(), 0o644));
        Ok(())
    }

    fn make_directory(&self, path: &Path, _mode: u32) -> io::Result<()> {
        self.check(path)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.check(path)?;
        self.writing().remove(path);
        Ok(())
    }
}
