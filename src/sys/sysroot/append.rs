//! A file that only grows: the progress record.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, fstat};
use nix::unistd::fsync;

use super::{Sysroot, SysrootError, regular};
use crate::view::RootPath;

/// A file that bytes are added to.
#[derive(Debug)]
pub struct AppendFile {
    file: File,
    path: RootPath,
}

impl Sysroot {
    /// Opens a regular file to add to it, created with mode 0600 if it is missing; its name is durable then. A link is
    /// refused (`ELOOP`).
    pub fn open_append(&self, path: &RootPath) -> Result<AppendFile, SysrootError> {
        let open = || -> nix::Result<OwnedFd> {
            let (parent, name) = self.place(path)?;
            let flags = OFlag::O_WRONLY
                | OFlag::O_APPEND
                | OFlag::O_CREAT
                | OFlag::O_NOFOLLOW
                | OFlag::O_NONBLOCK
                | OFlag::O_CLOEXEC;
            let file = openat(&parent, name, flags, Mode::S_IRUSR | Mode::S_IWUSR)?;
            regular(&fstat(&file)?)?;
            match fsync(super::open_to_list(&parent, std::ffi::OsStr::new("."))?) {
                // Some filesystems cannot sync a directory.
                Ok(()) | Err(Errno::EINVAL) => Ok(file),
                Err(errno) => Err(errno),
            }
        };
        let file = open()
            .map_err(|errno| SysrootError::new("open the file", path, errno))?
            .into();
        Ok(AppendFile {
            file,
            path: path.clone(),
        })
    }
}

impl AppendFile {
    /// Adds bytes, and waits until they are on the disk if they are to be durable.
    pub fn append(&mut self, bytes: &[u8], durable: bool) -> Result<(), SysrootError> {
        let error = |operation: &'static str| {
            let path = self.path.clone();
            move |source: std::io::Error| SysrootError::new(operation, &path, source)
        };
        self.file.write_all(bytes).map_err(error("write to"))?;
        if durable {
            self.file.sync_data().map_err(error("sync"))
        } else {
            Ok(())
        }
    }
}
