//! The way from stored bytes to contents: decompress, then check the hash (spec/fetch.md 8.1).

use std::io::Read;

use super::gunzip::Gunzip;
use super::hash::{Hash, Hashed};

/// `compression` of a resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// absent or empty
    #[default]
    None,
    /// `gzip`
    Gzip,
}

/// `reader` decompressed.
pub fn plain<'a>(reader: Box<dyn Read + Send + 'a>, compression: Compression) -> Box<dyn Read + Send + 'a> {
    match compression {
        Compression::None => reader,
        Compression::Gzip => Box::new(Gunzip::new(reader)),
    }
}

/// Contents of a resource: `reader` decompressed, its hash compared at the end (a mismatch is an error of the last
/// read).
pub fn verified<'a>(
    reader: impl Read + Send + 'a,
    compression: Compression,
    hash: Option<Hash>,
) -> Box<dyn Read + Send + 'a> {
    let reader = plain(Box::new(reader), compression);
    match hash {
        None => reader,
        Some(hash) => Box::new(Hashed::new(reader, hash)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::gunzip::tests::gzip;
    use super::super::hash::Function;
    use super::*;

    #[test]
    fn the_hash_is_that_of_the_decompressed_bytes() {
        let packed = gzip(b"contents");
        let of_contents = Hash::of(Function::Sha512, b"contents");
        let of_packed = Hash::of(Function::Sha512, &packed);
        let table = [
            (Compression::Gzip, None, Ok(b"contents".to_vec())),
            (
                Compression::Gzip,
                Some(of_contents.clone()),
                Ok(b"contents".to_vec()),
            ),
            (Compression::Gzip, Some(of_packed.clone()), Err(())),
            (Compression::None, Some(of_packed), Ok(packed.clone())),
            (Compression::None, Some(of_contents), Err(())),
            (Compression::None, None, Ok(packed.clone())),
        ];
        for (compression, hash, want) in table {
            let mut got = Vec::new();
            let result = verified(packed.as_slice(), compression, hash.clone()).read_to_end(&mut got);
            assert_eq!(
                result.map(|_| got).map_err(|_| ()),
                want,
                "{compression:?} {hash:?}"
            );
        }
    }

    /// Gives at most `most` bytes at a time, like a network.
    struct Trickle<'b> {
        bytes: &'b [u8],
        most: usize,
    }

    impl Read for Trickle<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let most = buffer.len().min(self.most);
            self.bytes.read(&mut buffer[..most])
        }
    }

    proptest::proptest! {
        #[test]
        fn whole_data_passes_however_it_arrives_and_damaged_data_does_not(
            contents in proptest::collection::vec(proptest::num::u8::ANY, 0..4000),
            most in 1_usize..100,
            at in proptest::num::usize::ANY,
            flip in 1_u8..=255,
        ) {
            let packed = gzip(&contents);
            let hash = Hash::of(Function::Sha256, &contents);
            let read = |bytes: &[u8]| {
                let mut got = Vec::new();
                let reader = verified(Trickle { bytes, most }, Compression::Gzip, Some(hash.clone()));
                super::super::limit::Limited::new(reader, 4000).read_to_end(&mut got).map(|_| got)
            };
            proptest::prop_assert_eq!(read(&packed).unwrap(), contents.clone());
            let cut = at % packed.len();
            proptest::prop_assert!(read(&packed[..cut]).is_err());
            // The header's flags, time and system say nothing about the contents.
            let mut damaged = packed;
            damaged[cut] ^= flip;
            if let Ok(got) = read(&damaged) {
                proptest::prop_assert_eq!(got, contents);
            }
        }
    }
}
