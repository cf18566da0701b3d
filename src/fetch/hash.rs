//! SHA-256 and SHA-512 checked while the bytes stream by (spec/config.md 11.3).

use std::fmt;
use std::io::{self, Read};

pub use crate::config::grammar::hash::{Function, HashError};

use crate::config::grammar::hash as grammar;

use sha2::{Digest as _, Sha256, Sha512};

/// An expected hash.
#[derive(Clone, PartialEq, Eq)]
pub struct Hash {
    /// How it is computed
    pub function: Function,
    /// The digest
    pub digest: Vec<u8>,
}

impl Hash {
    /// Reads `sha512-<hex>` or `sha256-<hex>`; digits in either case.
    pub fn parse(text: &str) -> Result<Self, HashError> {
        let hash = grammar::Hash::parse(text)?;
        Ok(Self {
            function: hash.function,
            digest: hash.expected()?,
        })
    }

    /// The hash of `bytes` by the same function.
    pub fn of(function: Function, bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new(function);
        hasher.update(bytes);
        hasher.finish()
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-", self.function.name())?;
        self.digest.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The bytes are not those that the config asks for.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the contents have the hash {calculated}, but verification.hash asks for {expected}")]
pub struct HashMismatch {
    /// From the config
    pub expected: Hash,
    /// Of the bytes
    pub calculated: Hash,
}

enum Hasher {
    Sha256(Box<Sha256>),
    Sha512(Box<Sha512>),
}

impl Hasher {
    fn new(function: Function) -> Self {
        match function {
            Function::Sha256 => Self::Sha256(Box::default()),
            Function::Sha512 => Self::Sha512(Box::default()),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Sha512(hasher) => hasher.update(bytes),
        }
    }

    fn finish(self) -> Hash {
        match self {
            Self::Sha256(hasher) => Hash {
                function: Function::Sha256,
                digest: hasher.finalize().to_vec(),
            },
            Self::Sha512(hasher) => Hash {
                function: Function::Sha512,
                digest: hasher.finalize().to_vec(),
            },
        }
    }
}

/// Compares the hash of bytes that come one after the other.
pub struct Check {
    expected: Hash,
    hasher: Hasher,
}

impl Check {
    /// Of bytes that must have this hash; none came yet.
    pub fn new(expected: Hash) -> Self {
        Self {
            hasher: Hasher::new(expected.function),
            expected,
        }
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
    }

    /// There are no more: a mismatch is an error of kind `InvalidData` that holds a [`HashMismatch`].
    pub fn finish(self) -> io::Result<()> {
        let calculated = self.hasher.finish();
        if calculated == self.expected {
            return Ok(());
        }
        let expected = self.expected;
        Err(io::Error::new(
            io::ErrorKind::InvalidData,
            HashMismatch { expected, calculated },
        ))
    }
}

/// Passes bytes on and compares their hash at the end: a mismatch is an error of the read that would have said "end",
/// of kind `InvalidData`, holding a [`HashMismatch`].
pub struct Hashed<R> {
    inner: R,
    expected: Hash,
    /// `None` once the end was seen
    hasher: Option<Hasher>,
    /// The hash that the bytes turned out to have, if it is the wrong one
    wrong: Option<Hash>,
}

impl<R: Read> Hashed<R> {
    /// Checks that all of `inner` has the hash `expected`.
    pub fn new(inner: R, expected: Hash) -> Self {
        let hasher = Some(Hasher::new(expected.function));
        Self {
            inner,
            expected,
            hasher,
            wrong: None,
        }
    }

    fn verdict(&self) -> io::Result<usize> {
        match &self.wrong {
            None => Ok(0),
            Some(calculated) => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                HashMismatch {
                    expected: self.expected.clone(),
                    calculated: calculated.clone(),
                },
            )),
        }
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let Some(hasher) = &mut self.hasher else {
            return self.verdict();
        };
        let taken = self.inner.read(buffer)?;
        if taken > 0 {
            hasher.update(buffer.get(..taken).unwrap_or_default());
            return Ok(taken);
        }
        self.wrong = self
            .hasher
            .take()
            .map(Hasher::finish)
            .filter(|calculated| *calculated != self.expected);
        self.verdict()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABC: &str = "sha256-ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    const ABC512: &str = "sha512-ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";

    #[test]
    fn right_bytes_pass_in_either_case_of_digits() {
        for hash in [
            ABC.to_owned(),
            ABC512.to_owned(),
            ABC.to_uppercase().replace("SHA", "sha"),
        ] {
            let mut got = Vec::new();
            let hash = Hash::parse(&hash).unwrap();
            Hashed::new(b"abc".as_slice(), hash)
                .read_to_end(&mut got)
                .unwrap();
            assert_eq!(got, b"abc");
        }
    }

    #[test]
    fn wrong_bytes_fail_at_the_end_and_stay_failed() {
        let mut reader = Hashed::new(b"abd".as_slice(), Hash::parse(ABC).unwrap());
        assert_eq!(reader.read(&mut [0; 8]).unwrap(), 3);
        for _ in 0..2 {
            let error = reader.read(&mut [0; 8]).unwrap_err();
            let mismatch = error.get_ref().unwrap().downcast_ref::<HashMismatch>().unwrap();
            assert_eq!(mismatch.expected.to_string(), ABC);
            assert_eq!(mismatch.calculated, Hash::of(Function::Sha256, b"abd"));
            assert!(error.to_string().contains(ABC));
        }
        assert_eq!(reader.read(&mut []).unwrap(), 0);
    }

    #[test]
    fn forms_that_are_refused() {
        for text in [
            "",
            "abc",
            "md5-00",
            "SHA256-00",
            "sha256-",
            "sha256-zz",
            &ABC.replace("ba", "+a"),
            &ABC512.replace("54ca49f", ""),
        ] {
            assert!(Hash::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn shown_as_written() {
        assert_eq!(Hash::parse(ABC512).unwrap().to_string(), ABC512);
    }
}
