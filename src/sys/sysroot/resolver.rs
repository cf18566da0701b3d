//! Opening a directory inside the root without ever leaving it.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat, openat2, readlinkat};
use nix::sys::stat::{Mode, fstat};

use super::{FileType, file_type};

/// Links followed in one path before giving up, as the kernel does (path_resolution(7)).
const LINKS_MAX: usize = 40;

/// How often a lookup is tried again when something was renamed under it (openat2(2), EAGAIN).
const TRIES: usize = 64;

/// Flags of every directory that is only a starting point.
pub(super) const DIRECTORY: OFlag = OFlag::O_PATH.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);

/// Who keeps a path inside the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolver {
    /// The kernel: openat2(2) with `RESOLVE_IN_ROOT` (Linux 5.6)
    Kernel,
    /// This program, component by component; for older kernels and containers whose seccomp filter denies openat2
    Walk,
}

impl Resolver {
    /// The best that works here.
    pub(super) fn detect(root: BorrowedFd<'_>) -> Self {
        match kernel(root, OsStr::new(".")) {
            Err(Errno::ENOSYS | Errno::EPERM) => Self::Walk,
            _ => Self::Kernel,
        }
    }

    /// Opens a directory as a starting point (`O_PATH`). Links are followed, absolute ones from the root.
    pub(super) fn open_directory(self, root: BorrowedFd<'_>, relative: &OsStr) -> nix::Result<OwnedFd> {
        match self {
            Self::Walk => walk(root, relative),
            Self::Kernel => {
                for _ in 0..TRIES {
                    match kernel(root, relative) {
                        Err(Errno::EAGAIN | Errno::EINTR) => {}
                        done => return done,
                    }
                }
                // Somebody renames all the time; the walk does not need the tree to hold still.
                walk(root, relative)
            }
        }
    }
}

fn kernel(root: BorrowedFd<'_>, relative: &OsStr) -> nix::Result<OwnedFd> {
    let how = OpenHow::new()
        .flags(DIRECTORY)
        .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    openat2(root, relative, how)
}

/// Resolves in user space. `..` goes back to the directory that was entered before, never to what the filesystem
/// calls the parent, so nothing that is moved meanwhile can lead out of the root.
fn walk(root: BorrowedFd<'_>, relative: &OsStr) -> nix::Result<OwnedFd> {
    let mut todo: VecDeque<OsString> = parts(relative).collect();
    let mut entered: Vec<OwnedFd> = Vec::new();
    let mut links = 0;
    while let Some(part) = todo.pop_front() {
        if part.as_bytes() == b".." {
            entered.pop();
            continue;
        }
        let here = entered.last().map_or(root, AsFd::as_fd);
        let node = openat(
            here,
            part.as_os_str(),
            OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC,
            Mode::empty(),
        )?;
        match file_type(&fstat(&node)?) {
            FileType::Directory => entered.push(node),
            FileType::Symlink => {
                links += 1;
                if links > LINKS_MAX {
                    return Err(Errno::ELOOP);
                }
                let target = readlinkat(&node, "")?;
                if target.as_bytes().first() == Some(&b'/') {
                    entered.clear();
                }
                for part in parts(&target).collect::<Vec<_>>().into_iter().rev() {
                    todo.push_front(part);
                }
            }
            FileType::File | FileType::Other => return Err(Errno::ENOTDIR),
        }
    }
    match entered.pop() {
        Some(directory) => Ok(directory),
        None => openat(root, ".", DIRECTORY, Mode::empty()),
    }
}

fn parts(path: &OsStr) -> impl Iterator<Item = OsString> {
    path.as_bytes()
        .split(|byte| *byte == b'/')
        .filter(|part| !part.is_empty() && *part != b".")
        .map(|part| OsString::from_vec(part.to_vec()))
}
