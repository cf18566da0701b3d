//! Files that grow line by line.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Where lines go.
pub trait Lines: Send + Sync {
    /// Appends one line, its line feed included, whole or with an error.
    fn append(&self, line: &[u8]) -> io::Result<()>;
}

/// A file that is appended to: each line is one `write(2)` at its end, so a process that is killed leaves whole lines.
#[derive(Debug)]
pub struct AppendedFile(File);

impl AppendedFile {
    /// Opens it, and creates it for nobody else to read (0600). A line that an earlier writer did not finish is ended, so
    /// that the next one stands alone. What is no regular file is refused, and a link is not followed.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            // A pipe must not be waited for.
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC)
            .open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it is no regular file",
            ));
        }
        let appended = Self(file);
        if let Some(last) = metadata.len().checked_sub(1) {
            let mut byte = [0];
            if appended.0.read_at(&mut byte, last)? == 1 && byte != [b'\n'] {
                appended.append(b"\n")?;
            }
        }
        Ok(appended)
    }
}

impl Lines for AppendedFile {
    fn append(&self, line: &[u8]) -> io::Result<()> {
        // On a full disk the first write may take a part; the second then says why.
        (&self.0).write_all(line)
    }
}

/// Lines in memory; the fake of [`AppendedFile`].
#[derive(Debug, Default)]
pub struct Kept {
    lines: Mutex<Vec<u8>>,
    /// How many lines fit; `None` = all
    room: Option<usize>,
}

impl Kept {
    /// Takes so many lines, and then fails.
    pub fn with_room(room: usize) -> Self {
        Self {
            room: Some(room),
            ..Self::default()
        }
    }

    /// What was appended so far.
    pub fn bytes(&self) -> Vec<u8> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Lines for Kept {
    fn append(&self, line: &[u8]) -> io::Result<()> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let written = lines.split(|byte| *byte == b'\n').count() - 1;
        if self.room.is_some_and(|room| written >= room) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        lines.extend_from_slice(line);
        Ok(())
    }
}

impl<L: Lines + ?Sized> Lines for std::sync::Arc<L> {
    fn append(&self, line: &[u8]) -> io::Result<()> {
        (**self).append(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn lines_are_added_to_what_is_there() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lines");
        for line in ["one\n", "two\n"] {
            AppendedFile::open(&path)
                .unwrap()
                .append(line.as_bytes())
                .unwrap();
        }
        assert_eq!(std::fs::read(&path).unwrap(), b"one\ntwo\n");
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
    }

    #[test]
    fn a_torn_line_is_ended() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lines");
        std::fs::write(&path, "one\ntw").unwrap();
        AppendedFile::open(&path).unwrap().append(b"three\n").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"one\ntw\nthree\n");
    }

    #[test]
    fn only_regular_files() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        nix::unistd::mkfifo(&at("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        std::fs::write(at("target"), "").unwrap();
        std::os::unix::fs::symlink("target", at("link")).unwrap();
        std::fs::create_dir(at("directory")).unwrap();
        for name in ["pipe", "link", "directory", "missing/file"] {
            assert!(AppendedFile::open(&at(name)).is_err(), "{name}");
        }
    }

    #[test]
    fn the_fake_fills_up() {
        let kept = Kept::with_room(1);
        kept.append(b"one\n").unwrap();
        assert!(kept.append(b"two\n").is_err());
        assert_eq!(kept.bytes(), b"one\n");
    }
}
