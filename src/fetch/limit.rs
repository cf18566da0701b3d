//! A reader that refuses to give more than so many bytes.

use std::io::{self, Read};

/// More came than is taken.
#[derive(Debug, thiserror::Error)]
#[error("it has more than {limit} bytes, which is the most that is taken")]
pub struct TooLarge {
    /// The most that is taken, in bytes
    pub limit: u64,
}

/// Passes on at most `limit` bytes; one more is an error of kind `FileTooLarge` that holds a [`TooLarge`].
#[derive(Debug)]
pub struct Limited<R> {
    inner: R,
    limit: u64,
    left: u64,
}

impl<R: Read> Limited<R> {
    /// Limits `inner` to `limit` bytes.
    pub fn new(inner: R, limit: u64) -> Self {
        Self {
            inner,
            limit,
            left: limit,
        }
    }
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if self.left == 0 {
            let mut probe = [0];
            return match self.inner.read(&mut probe)? {
                0 => Ok(0),
                _ => Err(io::Error::new(
                    io::ErrorKind::FileTooLarge,
                    TooLarge { limit: self.limit },
                )),
            };
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let taken = self.inner.read(buffer.get_mut(..most).unwrap_or_default())?;
        self.left = self.left.saturating_sub(u64::try_from(taken).unwrap_or(u64::MAX));
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_what_fits_and_refuses_one_byte_more() {
        for (size, limit, fits) in [
            (0, 0, true),
            (4, 4, true),
            (3, 4, true),
            (5, 4, false),
            (1, 0, false),
        ] {
            let bytes = vec![7_u8; size];
            let mut got = Vec::new();
            let result = Limited::new(bytes.as_slice(), limit).read_to_end(&mut got);
            assert_eq!(result.is_ok(), fits, "{size} of {limit}");
            if let Err(error) = result {
                assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
                assert!(error.to_string().contains(&format!("more than {limit} bytes")));
            } else {
                assert_eq!(got, bytes);
            }
        }
    }

    #[test]
    fn an_empty_buffer_reads_nothing_and_proves_nothing() {
        let mut limited = Limited::new(b"ab".as_slice(), 0);
        assert_eq!(limited.read(&mut []).unwrap(), 0);
        assert!(limited.read(&mut [0]).is_err());
    }
}
