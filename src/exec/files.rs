//! Writing a file: composed beside its place, then moved there.

use std::io::{self, Read, Write};

use sha2::Digest as _;

use super::progress::Record;
use super::{ExecError, Machine, id};
use crate::events::Done;
use crate::plan::{Access, Base, Content};
use crate::view::{Digest, RootPath};

/// Bytes moved at a time.
const CHUNK: usize = 128 * 1024;

/// Writes a file. It appears under its name whole, with owner and mode, or not at all.
pub(super) fn write(
    machine: &Machine<'_>,
    record: &mut Record<'_>,
    path: &RootPath,
    base: Base,
    contents: &[Content],
    access: &Access,
) -> Result<Done, ExecError> {
    let mut done = Done::default();
    let (uid, gid) = (id(&access.user)?, id(&access.group)?);
    let mut staged = machine.root.stage_file(path)?;
    // A re-run can tell by the config whether a file with known bytes is done; of the others it needs the digest. So it
    // does of the report, which holds the time.
    let recorded = base == Base::Existing
        || contents
            .iter()
            .any(|part| matches!(part, Content::Remote { .. }))
        // By its name: the directory may be reached through links.
        || path.name() == RootPath::from(crate::stages::files::result::RESULT).name();
    let promised = promised(base, contents);
    let mut sink = Sink {
        file: &mut staged,
        hasher: (recorded && promised.is_none()).then(sha2::Sha512::new),
        bytes: 0,
    };
    if base == Base::Existing && machine.root.node(path)?.is_some() {
        let mut present = machine.root.open_file(path)?;
        copy(&mut present, &mut sink).map_err(|source| ExecError::Write {
            path: path.to_string(),
            source,
        })?;
    }
    for content in contents {
        match content {
            Content::Known { bytes, .. } => {
                sink.write_all(bytes.reveal())
                    .map_err(|source| ExecError::Write {
                        path: path.to_string(),
                        source,
                    })?;
            }
            Content::Remote {
                url,
                hash: _,
                resource,
            } => {
                let mut reader =
                    machine
                        .fetcher
                        .open(resource.reveal())
                        .map_err(|source| ExecError::Fetch {
                            url: url.clone(),
                            source,
                        })?;
                done.attempts = Some(done.attempts.unwrap_or(0).saturating_add(reader.attempts));
                copy(&mut reader, &mut sink).map_err(|source| ExecError::Copy {
                    url: url.clone(),
                    path: path.to_string(),
                    source,
                })?;
            }
        }
    }
    done.bytes = Some(sink.bytes);
    let digest = promised.or_else(|| sink.hasher.map(|hasher| Digest(hasher.finalize().into())));
    if let Some(digest) = digest {
        record.placing(path, digest, base == Base::Existing)?;
    }
    // What was appended must not be appended again: its record and it become durable together.
    if base == Base::Existing {
        staged.commit_durably(uid, gid, access.mode)?;
    } else {
        staged.commit(uid, gid, access.mode)?;
    }
    Ok(done)
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
