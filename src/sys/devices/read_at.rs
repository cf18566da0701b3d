//! Reading a part of a device, an image or, in tests, of bytes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// Reads so many bytes at a place; fewer, or none, at the end.
pub type ReadAt<'a> = &'a dyn Fn(u64, usize) -> io::Result<Vec<u8>>;

/// Reads a file or device.
pub fn of_file(file: &File) -> impl Fn(u64, usize) -> io::Result<Vec<u8>> + '_ {
    |offset, length| {
        let mut bytes = vec![0; length];
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let at = offset.saturating_add(u64::try_from(filled).unwrap_or(u64::MAX));
            match file.read_at(rest, at) {
                Ok(0) => break,
                Ok(count) => filled = filled.saturating_add(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }
}

/// Reads from bytes in memory.
#[cfg(test)]
pub(super) fn of_bytes(bytes: &[u8]) -> impl Fn(u64, usize) -> io::Result<Vec<u8>> + '_ {
    |offset, length| {
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let to = from.saturating_add(length).min(bytes.len());
        Ok(bytes[from..to].to_vec())
    }
}

/// A field of so many bytes.
pub(super) fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

/// A text that ends with a NUL or with its field.
pub(super) fn text(bytes: &[u8], at: usize, length: usize) -> Option<String> {
    let field = bytes.get(at..at.checked_add(length)?)?;
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(length);
    Some(String::from_utf8_lossy(field.get(..end)?).into_owned())
}
