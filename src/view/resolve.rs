//! Symlink resolution inside the root (spec/mount_files.md 1).
//!
//! All components but the last are walked; absolute targets are taken from the root, `..` stops there, and what is
//! missing is kept literally, so that a dangling link's target gets created, as upstream does. Unlike upstream, links
//! inside a target are resolved too, so nothing is left for the kernel to resolve outside the root.

use std::collections::VecDeque;
use std::ffi::OsString;

use super::{NodeKind, RootPath, View, ViewError};

/// Links followed in one path before giving up, as the kernel does (path_resolution(7)).
const LINKS_MAX: usize = 40;

/// Why a path could not be resolved inside the root.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// Too many links: a loop.
    #[error("too many symbolic links while resolving {path} (a loop?)")]
    Loop {
        /// The path that was asked for
        path: RootPath,
    },
    /// A parent is there, and no directory.
    #[error("{parent} is not a directory, so {path} cannot be below it")]
    NotADirectory {
        /// The path that was asked for
        path: RootPath,
        /// The component that stands in the way
        parent: RootPath,
    },
    /// The view could not answer.
    #[error(transparent)]
    View(#[from] ViewError),
}

/// Resolves a path whose last component is not followed: the result's parents hold no links.
pub fn resolve(view: &dyn View, path: &RootPath) -> Result<RootPath, ResolveError> {
    match (path.parent(), path.name()) {
        (Some(parent), Some(name)) => Ok(resolve_parent(view, &parent, path)?.join(name)),
        _ => Ok(RootPath::root()),
    }
}

/// Resolves a directory path fully, the last component included. `asked` is the path to name in errors.
pub fn resolve_parent(view: &dyn View, path: &RootPath, asked: &RootPath) -> Result<RootPath, ResolveError> {
    let mut todo: VecDeque<OsString> = path.components().map(OsString::from).collect();
    let mut done = RootPath::root();
    let mut links = 0;
    while let Some(name) = todo.pop_front() {
        if name == ".." {
            done = done.parent().unwrap_or_else(RootPath::root);
            continue;
        }
        let here = done.join(&name);
        match view.node(&here)?.map(|node| node.kind) {
            None | Some(NodeKind::Directory) => done = here,
            Some(NodeKind::Symlink { target }) => {
                links += 1;
                if links > LINKS_MAX {
                    return Err(ResolveError::Loop { path: asked.clone() });
                }
                let (absolute, parts) = split(&target);
                if absolute {
                    done = RootPath::root();
                }
                for part in parts.into_iter().rev() {
                    todo.push_front(part);
                }
            }
            Some(NodeKind::File { .. } | NodeKind::Other) => {
                return Err(ResolveError::NotADirectory {
                    path: asked.clone(),
                    parent: here,
                });
            }
        }
    }
    Ok(done)
}

/// Resolves a path, its last component included, which need not be a directory. What is missing is kept literally.
pub fn follow(view: &dyn View, path: &RootPath) -> Result<RootPath, ResolveError> {
    let mut asked = path.clone();
    for _ in 0..=LINKS_MAX {
        let here = resolve(view, &asked)?;
        match view.node(&here)?.map(|node| node.kind) {
            Some(NodeKind::Symlink { target }) if split(&target).0 => asked = RootPath::clean(target),
            Some(NodeKind::Symlink { target }) => {
                asked = here.parent().unwrap_or_else(RootPath::root).join(target);
            }
            _ => return Ok(here),
        }
    }
    Err(ResolveError::Loop { path: path.clone() })
}

/// A link target's components, with `..` kept: it climbs from wherever the walk is then.
fn split(target: &std::ffi::OsStr) -> (bool, Vec<OsString>) {
    use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
    let bytes = target.as_bytes();
    let parts = bytes
        .split(|byte| *byte == b'/')
        .filter(|part| !part.is_empty() && *part != b".")
        .map(|part| OsString::from_vec(part.to_vec()))
        .collect();
    (bytes.first() == Some(&b'/'), parts)
}
