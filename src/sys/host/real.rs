//! The running system's files.

use std::ffi::OsString;
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::{HostFiles, too_large};

/// The running system's files.
#[derive(Clone, Copy, Debug, Default)]
pub struct Host;

impl HostFiles for Host {
    fn read(&self, path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
        let file = match OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(path)
        {
            Ok(file) => file,
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        // Room for all of it, so that it is read in few large reads. The kernel's own files say that they are empty.
        let size = match file.metadata().map_or(0, |meta| meta.len()) {
            0 => limit.min(1 << 20),
            size => size.min(limit),
        };
        let _grows_else = usize::try_from(size).map(|size| bytes.try_reserve_exact(size));
        file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
        if u64::try_from(bytes.len()).is_ok_and(|size| size <= limit) {
            Ok(Some(bytes))
        } else {
            Err(too_large(limit))
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Option<Vec<OsString>>> {
        let entries = match std::fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut names = entries
            .map(|entry| entry.map(|entry| entry.file_name()))
            .collect::<io::Result<Vec<_>>>()?;
        names.sort();
        Ok(Some(names))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        match std::fs::metadata(path) {
            Ok(_) => Ok(true),
            Err(error) if is_missing(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn write_atomic(&self, path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
        // Renaming over a link would replace the link and leave the file that it names as it was.
        let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let mode = match std::fs::symlink_metadata(&path) {
            Ok(meta) if meta.is_file() => meta.permissions().mode() & 0o7777,
            Ok(meta) if meta.is_symlink() => mode,
            Ok(meta) if meta.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
            Ok(_) => return OpenOptions::new().write(true).open(&path)?.write_all(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => mode,
            Err(error) => return Err(error),
        };
        let directory = parent(&path);
        create_parents(&directory, 0o700)?;
        let mut file = tempfile::Builder::new()
            .prefix(".ignition-")
            .permissions(Permissions::from_mode(0o600))
            .tempfile_in(&directory)?;
        file.write_all(bytes)?;
        // Not through the umask: the mode is the one that was asked for.
        file.as_file().set_permissions(Permissions::from_mode(mode))?;
        file.as_file().sync_all()?;
        file.persist(&path).map_err(|error| error.error)?;
        File::open(&directory)?.sync_all()
    }

    fn create_empty(&self, path: &Path) -> io::Result<()> {
        create_parents(&parent(path), 0o755)?;
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o644);
        options.open(path)?.sync_all()
    }

    fn make_directory(&self, path: &Path, mode: u32) -> io::Result<()> {
        create_parents(path, mode)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        match std::fs::remove_file(path) {
            Err(error) if is_missing(&error) => Ok(()),
            done => done,
        }
    }
}

fn is_missing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn create_parents(directory: &Path, mode: u32) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(mode).create(directory)
}
