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

/// Contents of a resource: `reader` decompressed, its hash compared at the end (a mismatch is an error of the last
/// read).
pub fn verified<'a>(
    reader: impl Read + Send + 'a,
    compression: Compression,
    hash: Option<Hash>,
) -> Box<dyn Read + Send + 'a> {
    match (compression, hash) {
        (Compression::None, None) => Box::new(reader),
        (Compression::None, Some(hash)) => Box::new(Hashed::new(reader, hash)),
        (Compression::Gzip, None) => Box::new(Gunzip::new(reader)),
        (Compression::Gzip, Some(hash)) => Box::new(Hashed::new(Gunzip::new(reader), hash)),
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
}
