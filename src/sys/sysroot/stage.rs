//! Making things beside their place and moving them there whole.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, RenameFlags, openat, renameat, renameat2};
use nix::sys::stat::{Mode, fchmod, fstatat, mkdirat};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchownat, fsync, symlinkat, unlinkat};

use super::{Sysroot, SysrootError, mode_bits, open_to_list, own};
use crate::view::RootPath;

/// How temporary names start; 16 hexadecimal digits follow. The digits keep them apart from `.ignition-progress` and
/// `.ignition-result.json`, which are not leftovers.
const PREFIX: &[u8] = b".ignition-";

/// How many temporary names are tried.
const NAMES_MAX: usize = 100;

impl Sysroot {
    /// Creates a directory with owner and mode (12 bits). `EEXIST` if anything stands there.
    pub fn make_directory(&self, path: &RootPath, uid: u32, gid: u32, mode: u32) -> Result<(), SysrootError> {
        let make = || -> nix::Result<()> {
            let (parent, name) = self.place(path)?;
            let (temporary, ()) = with_temporary_name(|name| mkdirat(&parent, name, Mode::S_IRWXU))?;
            let finish = || -> nix::Result<()> {
                let directory = open_to_list(&parent, &temporary)?;
                own(&directory, uid, gid)?;
                fchmod(&directory, mode_bits(mode))?;
                move_to_free_place(&parent, &temporary, name)
            };
            finish().inspect_err(|_| {
                // The first error is the one to tell.
                let _ = unlinkat(&parent, temporary.as_os_str(), UnlinkatFlags::RemoveDir);
            })?;
            self.touch(&parent)
        };
        make().map_err(|errno| SysrootError::new("create the directory", path, errno))
    }

    /// Creates a symbolic link with its owner. The target is kept verbatim. `EEXIST` if anything stands there.
    pub fn symlink(&self, path: &RootPath, target: &OsStr, uid: u32, gid: u32) -> Result<(), SysrootError> {
        let make = || -> nix::Result<()> {
            let (parent, name) = self.place(path)?;
            let (temporary, ()) = with_temporary_name(|name| symlinkat(target, &parent, name))?;
            let finish = || -> nix::Result<()> {
                let stat = fstatat(&parent, temporary.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW)?;
                if (stat.st_uid, stat.st_gid) != (uid, gid) {
                    let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
                    fchownat(
                        &parent,
                        temporary.as_os_str(),
                        uid,
                        gid,
                        AtFlags::AT_SYMLINK_NOFOLLOW,
                    )?;
                }
                move_to_free_place(&parent, &temporary, name)
            };
            finish().inspect_err(|_| {
                // The first error is the one to tell.
                let _ = unlinkat(&parent, temporary.as_os_str(), UnlinkatFlags::NoRemoveDir);
            })?;
            self.touch(&parent)
        };
        make().map_err(|errno| SysrootError::new("create the link", path, errno))
    }

    /// Begins a file that [`StagedFile::commit`] puts in its place. Until then it has another name, mode 0600 and belongs to
    /// this process; dropped uncommitted, it is removed.
    pub fn stage_file(&self, path: &RootPath) -> Result<StagedFile<'_>, SysrootError> {
        self.stage_file_in(None, path)
    }

    /// As [`Sysroot::stage_file`], but in another directory until it is put in its place, whose own may not be there yet. Both
    /// must be on one filesystem, or [`StagedFile::commit`] fails (`EXDEV`).
    pub fn stage_file_in(
        &self,
        directory: Option<&RootPath>,
        path: &RootPath,
    ) -> Result<StagedFile<'_>, SysrootError> {
        let stage = || -> nix::Result<StagedFile<'_>> {
            let (Some(beside), Some(name)) = (path.parent(), path.name()) else {
                return Err(Errno::EISDIR);
            };
            let parent = self.directory(directory.unwrap_or(&beside))?;
            let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            let mode = Mode::S_IRUSR | Mode::S_IWUSR;
            let (temporary, file) = with_temporary_name(|name| openat(&parent, name, flags, mode))?;
            Ok(StagedFile {
                sysroot: self,
                path: path.clone(),
                parent,
                name: name.to_owned(),
                elsewhere: directory.is_some(),
                temporary: Some(temporary),
                file: file.into(),
            })
        };
        stage().map_err(|errno| SysrootError::new("create a file beside", path, errno))
    }

    /// Begins a file as a copy of the one that is there, for appending; empty if there is none.
    pub fn stage_copy(&self, path: &RootPath) -> Result<StagedFile<'_>, SysrootError> {
        let source = match self.open_file(path) {
            Ok(file) => Some(file),
            Err(error) if error.errno() == Some(Errno::ENOENT) => None,
            Err(error) => return Err(error),
        };
        let mut staged = self.stage_file(path)?;
        if let Some(mut source) = source {
            // Uses copy_file_range(2) where it can.
            io::copy(&mut source, &mut staged.file)
                .map_err(|source| SysrootError::new("copy", path, source))?;
        }
        Ok(staged)
    }

    /// Removes what an interrupted run left in one directory: nodes with a temporary name. Says how many there were.
    /// Missing directories hold none.
    pub fn remove_leftovers(&self, directory: &RootPath) -> Result<usize, SysrootError> {
        let names = match self.list(directory) {
            Ok(names) => names,
            Err(error) if error.is_missing() => return Ok(0),
            Err(error) => return Err(error),
        };
        let mut removed = 0;
        for name in names.iter().filter(|name| is_temporary(name)) {
            self.remove_tree(&directory.join(name))?;
            removed += 1;
        }
        Ok(removed)
    }
}

/// A file that is being written beside its place.
#[derive(Debug)]
#[must_use = "a staged file that is not committed is removed"]
pub struct StagedFile<'a> {
    sysroot: &'a Sysroot,
    path: RootPath,
    parent: Arc<OwnedFd>,
    name: OsString,
    /// Whether `parent` is not the directory where it will be
    elsewhere: bool,
    /// `None` once it has its final name
    temporary: Option<OsString>,
    file: File,
}

impl StagedFile<'_> {
    /// The path that it will have.
    pub fn path(&self) -> &RootPath {
        &self.path
    }

    /// Throws away what was written, to begin again: a fetch that failed half-way is repeated into the same file.
    pub fn restart(&mut self) -> Result<(), SysrootError> {
        use io::Seek as _;
        self.file
            .set_len(0)
            .and_then(|()| self.file.rewind())
            .map_err(|source| SysrootError::new("empty the file beside", &self.path, source))
    }

    /// Sets owner, then mode (12 bits), and moves the file to its place. A file or link that is there goes in the same
    /// instant; a directory is refused (`EISDIR`).
    pub fn commit(mut self, uid: u32, gid: u32, mode: u32) -> Result<(), SysrootError> {
        self.finish(uid, gid, mode, false)
    }

    /// As [`StagedFile::commit`], and durable when it returns: for what must survive by itself.
    pub fn commit_durably(mut self, uid: u32, gid: u32, mode: u32) -> Result<(), SysrootError> {
        self.finish(uid, gid, mode, true)
    }

    fn finish(&mut self, uid: u32, gid: u32, mode: u32, durably: bool) -> Result<(), SysrootError> {
        let mut finish = || -> nix::Result<()> {
            own(&self.file, uid, gid)?;
            fchmod(&self.file, mode_bits(mode))?;
            if durably {
                fsync(&self.file)?;
            }
            let place = match self.path.parent() {
                Some(parent) if self.elsewhere => self.sysroot.directory(&parent)?,
                _ => Arc::clone(&self.parent),
            };
            if let Some(temporary) = &self.temporary {
                renameat(&self.parent, temporary.as_os_str(), &place, self.name.as_os_str())?;
                self.temporary = None;
            }
            if durably {
                fsync(open_to_list(&place, OsStr::new("."))?)?;
            }
            Ok(())
        };
        finish().map_err(|errno| SysrootError::new("put in place", &self.path, errno))
    }
}

impl Write for StagedFile<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for StagedFile<'_> {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            // If this fails, the next run's remove_leftovers finds it.
            let _ = unlinkat(&self.parent, temporary.as_os_str(), UnlinkatFlags::NoRemoveDir);
        }
    }
}

/// Whether a name is one that this module makes.
pub(super) fn is_temporary(name: &OsStr) -> bool {
    name.as_bytes().strip_prefix(PREFIX).is_some_and(|digits| {
        digits.len() == 16
            && digits
                .iter()
                .all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
    })
}

/// Makes a node under a temporary name that is free.
fn with_temporary_name<T>(mut make: impl FnMut(&OsStr) -> nix::Result<T>) -> nix::Result<(OsString, T)> {
    for _ in 0..NAMES_MAX {
        // The standard library's hash keys are random, which is all that is asked of a name made with O_EXCL.
        let mut name = OsString::from(OsStr::from_bytes(PREFIX));
        name.push(format!("{:016x}", RandomState::new().build_hasher().finish()));
        match make(&name) {
            Err(Errno::EEXIST) => {}
            Err(errno) => return Err(errno),
            Ok(node) => return Ok((name, node)),
        }
    }
    Err(Errno::EEXIST)
}

/// Renames within a directory, refusing to replace anything.
fn move_to_free_place(parent: impl AsFd, from: &OsStr, to: &OsStr) -> nix::Result<()> {
    match renameat2(&parent, from, &parent, to, RenameFlags::RENAME_NOREPLACE) {
        // The filesystem or the kernel does not know the flag.
        Err(Errno::EINVAL | Errno::ENOSYS) => {}
        done => return done,
    }
    match fstatat(&parent, to, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Err(Errno::ENOENT) => renameat(&parent, from, &parent, to),
        Err(errno) => Err(errno),
        Ok(_) => Err(Errno::EEXIST),
    }
}
