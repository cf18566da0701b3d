//! Writing a file: composed beside its place, then moved there.

use std::io::{self, Read, Write};

use sha2::Digest as _;

use super::pipeline::{self, Broken, CHUNK};
use super::progress::Record;
use super::{ExecError, Machine, id};
use crate::events::Done;
use crate::fetch::Fetcher;
use crate::fetch::stop::Stop;
use crate::plan::{Access, Base, Content};
use crate::sys::sysroot::{StagedFile, Sysroot};
use crate::view::{Digest, RootPath};

/// A file to be written, without owner and mode.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewFile<'p> {
    /// Resolved path
    pub path: &'p RootPath,
    /// What the contents are laid upon
    pub base: Base,
    /// The contents, in order
    pub contents: &'p [Content],
}

/// A file that is whole but for owner, mode and name.
#[derive(Debug)]
pub(super) struct Composed<'a> {
    staged: StagedFile<'a>,
    /// What the record must know of it
    digest: Option<Digest>,
    /// How many of its first bytes are those of the file that was there
    kept: u64,
    done: Done,
}

/// Composes a file: beside its place, or in another directory of the same filesystem.
pub(super) fn compose<'a>(
    root: &'a Sysroot,
    fetcher: &dyn Fetcher,
    file: &NewFile<'_>,
    directory: Option<&RootPath>,
    stop: &Stop,
) -> Result<Composed<'a>, ExecError> {
    let NewFile { path, base, contents } = *file;
    let write_error = |source| ExecError::Write {
        path: path.to_string(),
        source,
    };
    let mut done = Done::default();
    let mut staged = root.stage_file_in(directory, path)?;
    let promised = promised(base, contents);
    let mut sink = Sink {
        file: &mut staged,
        hasher: (is_recorded(file) && promised.is_none()).then(sha2::Sha512::new),
        bytes: 0,
    };
    match base {
        Base::Nothing => {}
        Base::Existing => {
            if root.node(path)?.is_some() {
                copy(&mut root.open_file(path)?, &mut sink).map_err(write_error)?;
            }
        }
        Base::Start(length) => {
            copy(&mut root.open_file(path)?.take(length), &mut sink).map_err(write_error)?;
            if sink.bytes != length {
                return Err(write_error(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }
    let kept = sink.bytes;
    for content in contents {
        match content {
            Content::Known { bytes, .. } => sink.write_all(bytes.reveal()).map_err(write_error)?,
            Content::Remote {
                url,
                hash: _,
                resource,
            } => {
                let contents = fetcher
                    .begin(resource.reveal(), stop)
                    .map_err(|source| ExecError::Fetch {
                        url: url.clone(),
                        source,
                    })?;
                done.attempts = Some(done.attempts.unwrap_or(0).saturating_add(contents.attempts));
                pipeline::copy(contents, &mut sink, stop).map_err(|broken| match broken {
                    Broken::Writing(source) => write_error(source),
                    Broken::Reading(source) => ExecError::Copy {
                        url: url.clone(),
                        path: path.to_string(),
                        source,
                    },
                })?;
            }
        }
    }
    done.bytes = Some(sink.bytes);
    let digest = promised.or_else(|| sink.hasher.map(|hasher| Digest(hasher.finalize().into())));
    Ok(Composed {
        staged,
        digest,
        kept,
        done,
    })
}

/// Puts a file in its place, with owner and mode.
pub(super) fn place(
    composed: Composed<'_>,
    record: &mut Record<'_>,
    file: &NewFile<'_>,
    access: &Access,
) -> Result<Done, ExecError> {
    let (uid, gid) = (id(&access.user)?, id(&access.group)?);
    let appended = file.base != Base::Nothing;
    if let Some(digest) = composed.digest {
        record.placing(file.path, digest, appended.then_some(composed.kept))?;
    }
    // What was appended must not be appended again: its record and it become durable together.
    if appended {
        composed.staged.commit_durably(uid, gid, access.mode)?;
    } else {
        composed.staged.commit(uid, gid, access.mode)?;
    }
    Ok(composed.done)
}

/// Writes a file with nothing to fetch. It appears under its name whole, with owner and mode, or not at all.
pub(super) fn write(
    machine: &Machine<'_>,
    record: &mut Record<'_>,
    file: &NewFile<'_>,
    access: &Access,
) -> Result<Done, ExecError> {
    let composed = compose(machine.root, machine.fetcher, file, None, &Stop::default())?;
    place(composed, record, file, access)
}

/// Whether a re-run needs the digest of a file to know it for its own. It can tell by the config whether a file with known
/// bytes is done, and fetches again what is remote and has no SHA-512: nobody knows which bytes the config means, and
/// hashing takes longer than fetching. It must know whether an append was made, and the report, which holds the time.
fn is_recorded(file: &NewFile<'_>) -> bool {
    file.base != Base::Nothing
        // By its name: the directory may be reached through links.
        || file.path.name() == RootPath::from(crate::stages::files::result::RESULT).name()
}

/// The digest that the file will have or not be written: it is one remote content with a SHA-512 in the config, which the
/// fetcher compares. Hashing it a second time would take longer than fetching it.
fn promised(base: Base, contents: &[Content]) -> Option<Digest> {
    match (base, contents) {
        (Base::Nothing, [Content::Remote { hash: Some(hash), .. }]) => {
            hash.strip_prefix("sha512-").and_then(Digest::from_hex)
        }
        _ => None,
    }
}

/// Writes and hashes at once.
struct Sink<W> {
    file: W,
    hasher: Option<sha2::Sha512>,
    bytes: u64,
}

impl<W: Write> Write for Sink<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.bytes = self
            .bytes
            .saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        if let (Some(hasher), Some(written)) = (&mut self.hasher, bytes.get(..count)) {
            hasher.update(written);
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn copy(from: &mut dyn Read, to: &mut dyn Write) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        to.write_all(buffer.get(..count).unwrap_or_default())?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Secret;

    #[test]
    fn only_one_whole_remote_content_with_a_sha512_promises_its_digest() {
        let digest = Digest::of(b"contents");
        let remote = |hash: Option<String>| Content::Remote {
            url: "http://h/".to_owned(),
            hash,
            resource: Secret::new(crate::config::types::Resource::default()),
        };
        let sha512 = || remote(Some(format!("sha512-{digest}")));
        let table = [
            (Base::Nothing, vec![sha512()], Some(digest)),
            (Base::Existing, vec![sha512()], None),
            (Base::Nothing, vec![sha512(), sha512()], None),
            (Base::Nothing, vec![sha512(), Content::known(*b"more")], None),
            (Base::Nothing, vec![remote(None)], None),
            (
                Base::Nothing,
                vec![remote(Some(format!("sha256-{}", "0".repeat(64))))],
                None,
            ),
            (Base::Nothing, vec![Content::known(*b"contents")], None),
            (Base::Nothing, vec![], None),
        ];
        for (base, contents, want) in table {
            assert_eq!(promised(base, &contents), want, "{base:?} {contents:?}");
        }
    }
}
