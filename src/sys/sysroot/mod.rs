//! The new root, and everything that is done to files in it.
//!
//! No operation leaves the root, whatever links it holds and whoever swaps them meanwhile: the parent of a path is opened
//! with [`Resolver`], and the last component is then named to one of the `*at` calls, none of which follows it.
//! Nothing half-made is ever visible under its final name: files, directories and links are made beside their place,
//! under a name that starts with `.ignition-`, and moved there when owner and mode are right.

mod append;
mod error;
mod remove;
mod resolver;
mod stage;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::ffi::{CStr, OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, open, openat, readlinkat};
use nix::sys::stat::{FchmodatFlags, FileStat, Mode, fchmod, fchmodat, fstat, fstatat};
use nix::unistd::{Gid, Uid, fchown, fchownat, fsync, linkat, syncfs};
use sha2::Digest as _;

pub use append::AppendFile;
pub use error::SysrootError;
pub use resolver::Resolver;
pub use stage::StagedFile;

use crate::view::{Digest, Inode, Node, NodeKind, Owner, RootPath};
use resolver::DIRECTORY;

/// Links followed at the end of a path by [`Sysroot::follow`].
const LINKS_MAX: usize = 40;

/// How many directories are kept open.
const RECENT_MAX: usize = 128;

/// How often a node is looked at again when it changed its kind while being looked at.
const TRIES: usize = 16;

/// The directory that will be `/` of the new machine.
#[derive(Debug)]
pub struct Sysroot {
    path: PathBuf,
    root: OwnedFd,
    resolver: Resolver,
    /// A directory of each filesystem that was written to, by device, for [`Sysroot::sync_touched`]
    touched: Mutex<BTreeMap<u64, OwnedFd>>,
    /// Directories that files were written to last; see [`Sysroot::forget_directories`]
    recent: Mutex<HashMap<RootPath, Arc<OwnedFd>>>,
}

impl Sysroot {
    /// Opens the root. Links in `path` itself are the caller's and are followed.
    pub fn open(path: &Path) -> Result<Self, SysrootError> {
        let mut sysroot = Self::open_with(path, Resolver::Kernel)?;
        sysroot.resolver = Resolver::detect(sysroot.root.as_fd());
        Ok(sysroot)
    }

    /// Opens the root with a given way of staying inside it.
    pub fn open_with(path: &Path, resolver: Resolver) -> Result<Self, SysrootError> {
        let root = open(path, DIRECTORY, Mode::empty())
            .map_err(|errno| SysrootError::new("open the root", &RootPath::clean(path), errno))?;
        Ok(Self {
            path: std::path::absolute(path)
                .map_err(|source| SysrootError::new("open the root", &RootPath::clean(path), source))?,
            root,
            resolver,
            touched: Mutex::default(),
            recent: Mutex::default(),
        })
    }

    /// Where the root is on the running system, for `--root` of the tools: absolute, and otherwise as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the root is with all links resolved, as the kernel lists mounts; [`Sysroot::path`] if `/proc` is not there.
    pub fn resolved_path(&self) -> PathBuf {
        let link = format!("/proc/self/fd/{}", self.root.as_raw_fd());
        readlinkat(AT_FDCWD, link.as_str()).map_or_else(|_| self.path.clone(), PathBuf::from)
    }

    /// Which way of staying inside the root is used.
    pub fn resolver(&self) -> Resolver {
        self.resolver
    }

    /// The node at a path, not followed. `None` if there is none, or if a parent is missing or no directory.
    pub fn node(&self, path: &RootPath) -> Result<Option<Node>, SysrootError> {
        let look = || -> nix::Result<Node> {
            let (parent, name) = self.place(path)?;
            for _ in 0..TRIES {
                let stat = fstatat(&parent, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
                let target = match file_type(&stat) {
                    FileType::Symlink => match readlinkat(&parent, name) {
                        Ok(target) => Some(target),
                        // Replaced by something else since.
                        Err(Errno::EINVAL) => continue,
                        Err(errno) => return Err(errno),
                    },
                    _ => None,
                };
                return Ok(node_of(&stat, target));
            }
            Err(Errno::EAGAIN)
        };
        match look() {
            Ok(node) => Ok(Some(node)),
            Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
            Err(errno) => Err(SysrootError::new("look at", path, errno)),
        }
    }

    /// Names in a directory, sorted. A link to a directory is not one.
    pub fn list(&self, path: &RootPath) -> Result<Vec<OsString>, SysrootError> {
        let read = || -> nix::Result<Vec<OsString>> {
            let (parent, name) = self.place(path)?;
            let mut names = Vec::new();
            for entry in Dir::from_fd(open_to_list(&parent, name)?)?.iter() {
                let entry = entry?;
                if !is_dots(entry.file_name()) {
                    names.push(OsString::from_vec(entry.file_name().to_bytes().to_vec()));
                }
            }
            names.sort();
            Ok(names)
        };
        read().map_err(|errno| SysrootError::new("read the directory", path, errno))
    }

    /// Opens a regular file for reading. A link is refused (`ELOOP`), and so is whatever is no regular file (`EINVAL`);
    /// such a node is not opened even for a moment, since opening a device can have effects.
    pub fn open_file(&self, path: &RootPath) -> Result<File, SysrootError> {
        let open = || -> nix::Result<OwnedFd> {
            let (parent, name) = self.place(path)?;
            regular(&fstatat(&parent, name, AtFlags::AT_SYMLINK_NOFOLLOW)?)?;
            let flags =
                OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
            let file = openat(&parent, name, flags, Mode::empty())?;
            regular(&fstat(&file)?)?;
            Ok(file)
        };
        open()
            .map(File::from)
            .map_err(|errno| SysrootError::new("open the file", path, errno))
    }

    /// Bytes of a regular file, `None` if it is missing or has more than `limit` bytes.
    pub fn read(&self, path: &RootPath, limit: u64) -> Result<Option<Vec<u8>>, SysrootError> {
        let file = match self.open_file(path) {
            Ok(file) => file,
            Err(error) if error.is_missing() => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        file.take(limit.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(|source| SysrootError::new("read", path, source))?;
        let small = u64::try_from(bytes.len()).is_ok_and(|size| size <= limit);
        Ok(small.then_some(bytes))
    }

    /// SHA-512 of a regular file.
    pub fn digest(&self, path: &RootPath) -> Result<Digest, SysrootError> {
        let mut file = self.open_file(path)?;
        let mut hash = sha2::Sha512::new();
        let mut buffer = vec![0; 128 * 1024];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => return Ok(Digest(hash.finalize().into())),
                Ok(count) => hash.update(buffer.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(SysrootError::new("read", path, source)),
            }
        }
    }

    /// Opens a regular file to lock it, created empty with this mode if it is missing. A link is refused (`ELOOP`).
    pub fn open_lock_file(&self, path: &RootPath, mode: u32) -> Result<File, SysrootError> {
        let open = || -> nix::Result<OwnedFd> {
            let (parent, name) = self.place(path)?;
            match fstatat(&parent, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
                Ok(stat) => regular(&stat)?,
                Err(Errno::ENOENT) => self.touch(&parent)?,
                Err(errno) => return Err(errno),
            }
            let flags =
                OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
            let file = openat(&parent, name, flags, mode_bits(mode))?;
            regular(&fstat(&file)?)?;
            Ok(file)
        };
        open()
            .map(File::from)
            .map_err(|errno| SysrootError::new("open the lock file", path, errno))
    }

    /// The path that the links at the end of a path lead to, inside the root; the path itself if there is no link.
    /// `..` in a target is taken lexically.
    pub fn follow(&self, path: &RootPath) -> Result<RootPath, SysrootError> {
        let mut path = path.clone();
        for _ in 0..LINKS_MAX {
            let Some(NodeKind::Symlink { target }) = self.node(&path)?.map(|node| node.kind) else {
                return Ok(path);
            };
            path = if target.as_bytes().first() == Some(&b'/') {
                RootPath::clean(target)
            } else {
                path.parent().unwrap_or_else(RootPath::root).join(target)
            };
        }
        Err(SysrootError::new("follow the link", &path, Errno::ELOOP))
    }

    /// Creates a hard link. A link as target is linked itself.
    pub fn hard_link(&self, path: &RootPath, target: &RootPath) -> Result<(), SysrootError> {
        let link = || -> nix::Result<()> {
            let (target_parent, target_name) = self.place(target)?;
            let (parent, name) = self.place(path)?;
            linkat(target_parent, target_name, &parent, name, AtFlags::empty())?;
            self.touch(&parent)
        };
        link().map_err(|errno| SysrootError::new("create the hard link", path, errno))
    }

    /// Changes owner and mode (12 bits) of a file or directory. A link is refused (`ELOOP`): it has no mode.
    pub fn set_access(&self, path: &RootPath, uid: u32, gid: u32, mode: u32) -> Result<(), SysrootError> {
        let set = || -> nix::Result<()> {
            let (parent, name) = self.place(path)?;
            let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            let node = openat(&parent, name, flags, Mode::empty())?;
            let stat = fstat(&node)?;
            let file_type = file_type(&stat);
            if file_type == FileType::Symlink {
                return Err(Errno::ELOOP);
            }
            if (stat.st_uid, stat.st_gid) != (uid, gid) {
                let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
                fchownat(&node, "", uid, gid, AtFlags::AT_EMPTY_PATH)?;
            }
            // chown clears setuid and setgid, so the mode comes after it.
            chmod_node(&node, &stat, &parent, name, mode_bits(mode))?;
            match file_type {
                FileType::Directory => self.touch(&node),
                _ => self.touch(&parent),
            }
        };
        set().map_err(|errno| SysrootError::new("set owner and mode of", path, errno))
    }

    /// Makes everything durable that was written through this root since the last call: one syncfs(2) per filesystem.
    pub fn sync_touched(&self) -> Result<(), SysrootError> {
        // Who is written to next is touched again.
        self.forget_directories();
        let touched = std::mem::take(&mut *self.touched.lock().unwrap_or_else(PoisonError::into_inner));
        for directory in touched.values() {
            syncfs(directory)
                .map_err(|errno| SysrootError::new("sync the filesystems below", &RootPath::root(), errno))?;
        }
        Ok(())
    }

    /// Makes a directory's entries durable: what was created, renamed or removed in it.
    pub fn sync_directory(&self, path: &RootPath) -> Result<(), SysrootError> {
        let sync = || -> nix::Result<()> {
            let (parent, name) = self.place(path)?;
            fsync(open_to_list(&parent, name)?)
        };
        sync().map_err(|errno| SysrootError::new("sync the directory", path, errno))
    }

    /// Closes the directories that were kept open for the next file: whoever removes or moves directories, or lets a program
    /// do so, calls this. A file written to a directory that is gone fails (`ENOENT`).
    pub fn forget_directories(&self) {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// A directory to write files to, as a starting point; links are followed. It counts as written to. Most files have
    /// siblings, so it is kept open.
    fn directory(&self, path: &RootPath) -> nix::Result<Arc<OwnedFd>> {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(directory) = recent.get(path) {
            return Ok(Arc::clone(directory));
        }
        let directory = self.resolver.open_directory(self.root.as_fd(), path.relative())?;
        self.touch(&directory)?;
        let directory = Arc::new(directory);
        if recent.len() >= RECENT_MAX {
            recent.clear();
        }
        recent.insert(path.clone(), Arc::clone(&directory));
        Ok(directory)
    }

    /// The parent of a path as a starting point, and the last component; `.` in the root itself for `/`.
    fn place<'p>(&self, path: &'p RootPath) -> nix::Result<(OwnedFd, &'p OsStr)> {
        let (Some(parent), Some(name)) = (path.parent(), path.name()) else {
            return Ok((
                openat(&self.root, ".", DIRECTORY, Mode::empty())?,
                OsStr::new("."),
            ));
        };
        let parent = self
            .resolver
            .open_directory(self.root.as_fd(), parent.relative())?;
        Ok((parent, name))
    }

    /// Remembers the filesystem of a directory that was written to.
    fn touch(&self, directory: impl AsFd) -> nix::Result<()> {
        let device = fstat(&directory)?.st_dev;
        let mut touched = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Vacant(entry) = touched.entry(device) {
            entry.insert(open_to_list(directory, OsStr::new("."))?);
        }
        Ok(())
    }
}

/// The four kinds of nodes that matter here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FileType {
    File,
    Directory,
    Symlink,
    Other,
}

fn file_type(stat: &FileStat) -> FileType {
    match stat.st_mode & libc::S_IFMT {
        libc::S_IFREG => FileType::File,
        libc::S_IFDIR => FileType::Directory,
        libc::S_IFLNK => FileType::Symlink,
        _ => FileType::Other,
    }
}

/// `EINVAL` unless it is a regular file; `ELOOP` for a link, `EISDIR` for a directory.
fn regular(stat: &FileStat) -> nix::Result<()> {
    match file_type(stat) {
        FileType::File => Ok(()),
        FileType::Directory => Err(Errno::EISDIR),
        FileType::Symlink => Err(Errno::ELOOP),
        FileType::Other => Err(Errno::EINVAL),
    }
}

fn node_of(stat: &FileStat, target: Option<OsString>) -> Node {
    Node {
        kind: match (file_type(stat), target) {
            (FileType::File, _) => NodeKind::File {
                size: u64::try_from(stat.st_size).ok(),
            },
            (FileType::Directory, _) => NodeKind::Directory,
            (FileType::Symlink, Some(target)) => NodeKind::Symlink { target },
            (FileType::Symlink, None) | (FileType::Other, _) => NodeKind::Other,
        },
        mode: stat.st_mode & 0o7777,
        user: Owner::Id(stat.st_uid),
        group: Owner::Id(stat.st_gid),
        inode: Inode {
            device: stat.st_dev,
            number: stat.st_ino,
        },
    }
}

fn mode_bits(mode: u32) -> Mode {
    Mode::from_bits_truncate(mode & 0o7777)
}

fn is_dots(name: &CStr) -> bool {
    matches!(name.to_bytes(), b"." | b"..")
}

/// Opens a directory for listing and for fsync; a link is refused (`ENOTDIR`).
fn open_to_list(parent: impl AsFd, name: &OsStr) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(parent, name, flags, Mode::empty())
}

/// Sets the owner of an open node; nothing is asked of the system when it is right already, so that a user without
/// privileges can work in a root of their own.
fn own(node: impl AsFd, uid: u32, gid: u32) -> nix::Result<()> {
    let stat = fstat(&node)?;
    if (stat.st_uid, stat.st_gid) == (uid, gid) {
        return Ok(());
    }
    fchown(node, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
}

/// Changes the mode of exactly the node that an `O_PATH` descriptor stands for. fchmod(2) refuses those, so the
/// descriptor is named through /proc; where /proc is not mounted, the node is opened again and compared.
fn chmod_node(
    node: &OwnedFd,
    stat: &FileStat,
    parent: &OwnedFd,
    name: &OsStr,
    mode: Mode,
) -> nix::Result<()> {
    let link = format!("/proc/self/fd/{}", node.as_raw_fd());
    match fchmodat(
        nix::fcntl::AT_FDCWD,
        link.as_str(),
        mode,
        FchmodatFlags::FollowSymlink,
    ) {
        Err(Errno::ENOENT | Errno::ENOTDIR) => {}
        done => return done,
    }
    chmod_again(stat, parent, name, mode)
}

/// Changes the mode of a file or directory by opening it a second time.
fn chmod_again(stat: &FileStat, parent: &OwnedFd, name: &OsStr, mode: Mode) -> nix::Result<()> {
    if !matches!(file_type(stat), FileType::File | FileType::Directory) {
        return Err(Errno::EOPNOTSUPP);
    }
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let again = openat(parent, name, flags, Mode::empty())?;
    let seen = fstat(&again)?;
    if (seen.st_dev, seen.st_ino) != (stat.st_dev, stat.st_ino) {
        return Err(Errno::EAGAIN);
    }
    fchmod(again, mode)
}

#[cfg(test)]
mod tests;
