//! One run at a time.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::Clock;

/// How often a lock that is taken is tried again.
const AGAIN: Duration = Duration::from_millis(100);

/// How often the log says that the lock is being waited for.
const SAY: Duration = Duration::from_secs(10);

/// The lock could not be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process holds it.
    #[error("another run holds {path}; wait for it to end")]
    Held {
        /// The lock's file
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot lock {path}")]
    Io {
        /// The lock's file
        path: PathBuf,
        /// Why
        #[source]
        source: io::Error,
    },
}

/// An exclusive lock, held until it is dropped or the process ends.
#[derive(Debug)]
#[must_use = "the lock is released when this is dropped"]
pub struct RunLock {
    _file: Flock<File>,
}

impl RunLock {
    /// Takes the lock, waiting at most `wait` for another run to end. Its file and missing parents (0755) are created,
    /// and stay.
    pub fn take(path: &Path, wait: Duration, clock: &dyn Clock) -> Result<Self, LockError> {
        let failed = |source| LockError::Io {
            path: path.to_owned(),
            source,
        };
        if let Some(parent) = path.parent() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o755)
                .create(parent)
                .map_err(failed)?;
        }
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW);
        let mut file = options.open(path).map_err(failed)?;
        let begin = clock.monotonic();
        let mut said = begin;
        loop {
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(file) => return Ok(Self { _file: file }),
                Err((same, Errno::EWOULDBLOCK | Errno::EINTR)) => file = same,
                Err((_, errno)) => return Err(failed(errno.into())),
            }
            let now = clock.monotonic();
            if now.saturating_sub(begin) >= wait {
                return Err(LockError::Held {
                    path: path.to_owned(),
                });
            }
            if now.saturating_sub(said) >= SAY {
                said = now;
                tracing::info!(path = %path.display(), "waiting for another run to end");
            }
            clock.sleep(AGAIN);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::clock::FakeClock;

    #[test]
    fn one_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ignition/lock");
        let clock = FakeClock::new();
        let first = RunLock::take(&path, Duration::ZERO, &clock).unwrap();
        let second = RunLock::take(&path, Duration::from_secs(1), &clock);
        assert!(matches!(second, Err(LockError::Held { .. })), "{second:?}");
        assert_eq!(clock.monotonic(), Duration::from_secs(1));
        drop(first);
        drop(RunLock::take(&path, Duration::ZERO, &clock).unwrap());
    }

    #[test]
    fn a_link_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        std::os::unix::fs::symlink("/dev/null", &path).unwrap();
        let error = RunLock::take(&path, Duration::ZERO, &FakeClock::new()).unwrap_err();
        assert!(matches!(error, LockError::Io { .. }), "{error}");
    }
}
