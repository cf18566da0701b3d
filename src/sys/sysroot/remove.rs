//! Removing a tree.

use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

use nix::NixPath;
use nix::dir::Dir;
use nix::errno::Errno;
use nix::sys::stat::fstat;
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::{Sysroot, SysrootError, is_dots, open_to_list};
use crate::view::RootPath;

impl Sysroot {
    /// Removes what is at a path, with everything below it if it is a directory; links are removed, never followed.
    /// Nothing there is fine. A mount point in the tree stops it (`EBUSY`), and so does a directory that somebody moves
    /// meanwhile (`EAGAIN`). Depth and number of entries are not bounded, open files are.
    pub fn remove_tree(&self, path: &RootPath) -> Result<(), SysrootError> {
        if path.is_root() {
            return Err(SysrootError::new("remove", path, Errno::EBUSY));
        }
        self.forget_directories();
        let mut below = Vec::new();
        let mut remove = || -> nix::Result<()> {
            let (parent, name) = match self.place(path) {
                Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(()),
                place => place?,
            };
            if remove_one(&parent, name)? == Removed::No {
                remove_below(&parent, name, &mut below)?;
            }
            self.touch(&parent)
        };
        let done = remove();
        done.map_err(|errno| {
            let place = below.iter().fold(path.clone(), |path, name: &CString| {
                path.join(OsStr::from_bytes(name.to_bytes()))
            });
            SysrootError::new("remove", &place, errno)
        })
    }
}

#[derive(PartialEq, Eq)]
enum Removed {
    Yes,
    /// A directory with something in it
    No,
}

/// Removes a node that is no directory, or an empty one. rmdir(2) comes before looking inside: it tells a mount point, a
/// bind mount of the same filesystem included, which `st_dev` would not.
fn remove_one<P: NixPath + ?Sized>(parent: impl AsFd, name: &P) -> nix::Result<Removed> {
    match unlinkat(&parent, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => return Ok(Removed::Yes),
        // POSIX says EPERM for a directory, Linux EISDIR; a read-only or immutable file also gives EPERM.
        Err(Errno::EISDIR) => {}
        Err(errno) => return Err(errno),
    }
    match unlinkat(&parent, name, UnlinkatFlags::RemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => Ok(Removed::Yes),
        Err(Errno::ENOTEMPTY | Errno::EEXIST) => Ok(Removed::No),
        Err(errno) => Err(errno),
    }
}

/// A directory above the one that is being emptied.
struct Above {
    device: u64,
    inode: u64,
}

/// Empties a directory and removes it. Only one directory is open at a time, so the depth is not bounded; on the way up
/// `..` must be the directory that was left on the way down. `below` is left at the place of the error.
fn remove_below(parent: &OwnedFd, name: &OsStr, below: &mut Vec<CString>) -> nix::Result<()> {
    let mut above: Vec<Above> = Vec::new();
    let mut here = Dir::from_fd(open_to_list(parent, name)?)?;
    loop {
        if let Some(child) = empty(&mut here)? {
            let stat = fstat(&here)?;
            above.push(Above {
                device: stat.st_dev,
                inode: stat.st_ino,
            });
            let next = open_to_list(&here, OsStr::from_bytes(child.to_bytes()));
            below.push(child);
            here = Dir::from_fd(next?)?;
            continue;
        }
        let (Some(left), Some(child)) = (above.pop(), below.last()) else {
            drop(here);
            return unlinkat(parent, name, UnlinkatFlags::RemoveDir);
        };
        let up = open_to_list(&here, OsStr::new(".."))?;
        let stat = fstat(&up)?;
        if (stat.st_dev, stat.st_ino) != (left.device, left.inode) {
            return Err(Errno::EAGAIN);
        }
        match unlinkat(&up, child.as_c_str(), UnlinkatFlags::RemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(errno) => return Err(errno),
        }
        below.pop();
        here = Dir::from_fd(up)?;
    }
}

/// Removes the entries of a directory up to the first that is a directory with something in it. `None` when a whole
/// pass finds nothing more: some filesystems skip entries while others are being removed.
fn empty(directory: &mut Dir) -> nix::Result<Option<CString>> {
    let fd = directory
        .as_fd()
        .try_clone_to_owned()
        .map_err(|_| Errno::EMFILE)?;
    loop {
        let mut seen = false;
        for entry in directory.iter() {
            let entry = entry?;
            let name = entry.file_name();
            if is_dots(name) {
                continue;
            }
            seen = true;
            if remove_one(&fd, name)? == Removed::No {
                return Ok(Some(name.to_owned()));
            }
        }
        if !seen {
            return Ok(None);
        }
    }
}
