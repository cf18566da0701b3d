//! gzip, as Go's reader has it: members are concatenated, anything else behind a member is an error (spec/fetch.md 8.1).

use std::io::{self, Read};

use flate2::read::MultiGzDecoder;

/// The data is not gzip, or not whole.
#[derive(Debug, thiserror::Error)]
#[error("the contents are not gzip data, or damaged, or cut short; compression says gzip")]
pub struct GunzipError(#[source] io::Error);

/// Decompresses `inner`. Damage is an error of kind `InvalidData` that holds a [`GunzipError`].
pub struct Gunzip<R> {
    decoder: MultiGzDecoder<R>,
}

impl<R: Read> Gunzip<R> {
    /// Reads gzip members from `inner` to its end.
    pub fn new(inner: R) -> Self {
        Self {
            decoder: MultiGzDecoder::new(inner),
        }
    }
}

impl<R: Read> Read for Gunzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.decoder.read(buffer).map_err(|error| match error.kind() {
            // The kinds that the decoder makes; an error of `inner` has another and passes as it is.
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                io::Error::new(io::ErrorKind::InvalidData, GunzipError(error))
            }
            _ => error,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::io::Write as _;

    pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn gunzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut got = Vec::new();
        Gunzip::new(bytes).read_to_end(&mut got).map(|_| got)
    }

    #[test]
    fn one_member_and_several() {
        assert_eq!(gunzip(&gzip(b"hello")).unwrap(), b"hello");
        assert_eq!(
            gunzip(&[gzip(b"hel"), gzip(b""), gzip(b"lo")].concat()).unwrap(),
            b"hello"
        );
    }

    #[test]
    fn damage_is_an_error() {
        let whole = gzip(b"some text that is long enough to be cut in the middle");
        let mut flipped = whole.clone();
        let middle = flipped.len() - 6;
        flipped[middle] ^= 0xff;
        let table = [
            ("not gzip", b"plain text".to_vec()),
            ("nothing", Vec::new()),
            ("cut in the data", whole[..whole.len() / 2].to_vec()),
            ("cut in the trailer", whole[..whole.len() - 2].to_vec()),
            ("cut in the header", whole[..5].to_vec()),
            ("checksum", flipped),
            ("junk behind it", [whole.clone(), b"junk".to_vec()].concat()),
            (
                "cut second member",
                [whole.clone(), whole[..12].to_vec()].concat(),
            ),
        ];
        for (what, bytes) in table {
            let error = gunzip(&bytes).expect_err(what);
            assert!(
                matches!(error.get_ref(), Some(inner) if inner.is::<GunzipError>()),
                "{what}: {error:?}"
            );
        }
    }

    #[test]
    fn the_readers_own_error_stays_what_it_is() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("connection lost"))
            }
        }
        let mut got = Vec::new();
        let start = gzip(b"abc");
        let error = Gunzip::new(start[..12].chain(Broken))
            .read_to_end(&mut got)
            .unwrap_err();
        assert_eq!(error.to_string(), "connection lost");
    }
}
