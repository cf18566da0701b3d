//! What goes wrong inside the root, and what to do about it.

use std::io;

use nix::errno::Errno;

use crate::view::{RootPath, ViewError};

/// An operation inside the root failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {path}{}", in_brackets(self.advice()))]
pub struct SysrootError {
    /// What was tried, e.g. `create the directory`
    pub operation: &'static str,
    /// On what, inside the root
    pub path: RootPath,
    /// What the system said
    pub source: io::Error,
}

impl SysrootError {
    pub(in crate::sys) fn new(
        operation: &'static str,
        path: &RootPath,
        source: impl Into<io::Error>,
    ) -> Self {
        Self {
            operation,
            path: path.clone(),
            source: source.into(),
        }
    }

    /// Whether the node, or a directory on the way to it, is not there.
    pub fn is_missing(&self) -> bool {
        matches!(self.errno(), Some(Errno::ENOENT | Errno::ENOTDIR))
    }

    /// Whether this process may not do that.
    pub fn is_denied(&self) -> bool {
        matches!(self.errno(), Some(Errno::EACCES | Errno::EPERM))
    }

    /// Whether something stands there already.
    pub fn is_in_the_way(&self) -> bool {
        self.errno() == Some(Errno::EEXIST)
    }

    /// The error number, if the system gave one.
    pub fn errno(&self) -> Option<Errno> {
        self.source.raw_os_error().map(Errno::from_raw)
    }

    /// What to do about it, where that is known.
    pub fn advice(&self) -> Option<&'static str> {
        Some(match self.source.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EROFS) => {
                "mount the filesystem read-write, or choose a path outside the read-only image"
            }
            Some(Errno::ENOSPC) => "the filesystem is full: make it larger or the contents smaller",
            Some(Errno::EDQUOT) => "the quota is used up",
            Some(Errno::EACCES | Errno::EPERM) => {
                "run as root; if this is root, look for an immutable file or a security policy"
            }
            Some(Errno::ELOOP) => "a symbolic link stands there, or links in the path run in a loop",
            Some(Errno::ENOENT) => "it, or a directory above it, is missing",
            Some(Errno::ENOTDIR) => "something in the path is not a directory",
            Some(Errno::EISDIR) => "a directory stands there; the config can replace it with overwrite",
            Some(Errno::EEXIST) => "something stands there already; the config can replace it with overwrite",
            Some(Errno::EXDEV) => "a hard link must be on the same filesystem as its target",
            Some(Errno::EBUSY) => "it is a mount point: unmount it first, or choose another path",
            Some(Errno::ENAMETOOLONG) => "a name has at most 255 bytes",
            Some(Errno::EMFILE | Errno::ENFILE) => "too many open files: raise the limit",
            _ => return None,
        })
    }
}

impl From<SysrootError> for ViewError {
    fn from(error: SysrootError) -> Self {
        Self::Io {
            operation: error.operation,
            path: error.path.to_string(),
            source: error.source,
        }
    }
}

/// An advice; the system's own words come after it as the source.
fn in_brackets(advice: Option<&str>) -> String {
    advice.map_or_else(String::new, |advice| format!(" ({advice})"))
}
