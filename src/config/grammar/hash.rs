//! `verification.hash` (spec/config.md 5.3 and 11.3).

use std::fmt;

use thiserror::Error;

use super::hex::hex_digit;

/// A hash function that a config can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// SHA-256, since spec 3.1.0
    Sha256,
    /// SHA-512
    Sha512,
}

impl Function {
    /// As it stands before the `-`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// Length of a digest in bytes.
    pub fn digest_len(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }
}

/// Why a hash is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HashError {
    /// There is no `-`
    #[error("a hash has the form FUNCTION-DIGEST, like \"sha512-\" and 128 hexadecimal digits")]
    Malformed,
    /// Neither `sha256` nor `sha512`
    #[error("hash function is not known: use \"sha512\" or, since spec 3.1.0, \"sha256\", in lower case")]
    UnknownFunction,
    /// The digest is not as long as one of this function
    #[error("a {} digest has {} hexadecimal digits, this one has {found}", function.name(), function.digest_len() * 2)]
    WrongSize {
        /// The function
        function: Function,
        /// Length of the digest text in bytes
        found: usize,
    },
    /// The digest holds something else than hexadecimal digits
    #[error("digest is not hexadecimal: only 0-9 and a-f may follow the '-'")]
    NotHexadecimal,
}

/// A hash as a config gives it: the function is known, the digest has the right length.
///
/// Whether the digest is hexadecimal is only found out by [`Hash::expected`], as upstream does: validation lets it
/// pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hash {
    /// Which function
    pub function: Function,
    /// The digest text, of `2 * function.digest_len()` bytes
    pub digest: String,
}

impl Hash {
    /// Splits at the first `-`, and checks function and length.
    pub fn parse(text: &str) -> Result<Self, HashError> {
        let (name, digest) = text.split_once('-').ok_or(HashError::Malformed)?;
        let function = match name {
            "sha256" => Function::Sha256,
            "sha512" => Function::Sha512,
            _ => return Err(HashError::UnknownFunction),
        };
        if digest.len() != function.digest_len() * 2 {
            return Err(HashError::WrongSize {
                function,
                found: digest.len(),
            });
        }
        Ok(Self {
            function,
            digest: digest.to_owned(),
        })
    }

    /// The bytes that the digest must come out as.
    ///
    /// # Errors
    /// [`HashError::NotHexadecimal`]
    pub fn expected(&self) -> Result<Vec<u8>, HashError> {
        let mut digits = self.digest.bytes();
        let mut bytes = Vec::with_capacity(self.function.digest_len());
        while let Some(high) = digits.next() {
            let low = digits
                .next()
                .and_then(hex_digit)
                .ok_or(HashError::NotHexadecimal)?;
            let high = hex_digit(high).ok_or(HashError::NotHexadecimal)?;
            bytes.push(high << 4 | low);
        }
        Ok(bytes)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.function.name(), self.digest)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn table() {
        let zeroes = |count: usize| "0".repeat(count);
        let wrong = |function, found| Some(HashError::WrongSize { function, found });
        for (text, expected) in [
            (String::new(), Some(HashError::Malformed)),
            (zeroes(128), Some(HashError::Malformed)),
            (format!("sha512:{}", zeroes(128)), Some(HashError::Malformed)),
            ("-".to_owned(), Some(HashError::UnknownFunction)),
            (
                format!("SHA512-{}", zeroes(128)),
                Some(HashError::UnknownFunction),
            ),
            (
                format!(" sha512-{}", zeroes(128)),
                Some(HashError::UnknownFunction),
            ),
            (format!("sha1-{}", zeroes(40)), Some(HashError::UnknownFunction)),
            ("sha512-".to_owned(), wrong(Function::Sha512, 0)),
            (format!("sha512-{}", zeroes(127)), wrong(Function::Sha512, 127)),
            (format!("sha512--{}", zeroes(128)), wrong(Function::Sha512, 129)),
            (format!("sha256-{}", zeroes(128)), wrong(Function::Sha256, 128)),
            (format!("sha256-{}", zeroes(64)), None),
            (format!("sha512-{}", "G".repeat(128)), None),
            (format!("sha512-{}", zeroes(128)), None),
        ] {
            assert_eq!(Hash::parse(&text).err(), expected, "{text:?}");
        }
    }

    #[test]
    fn digest_that_is_not_hexadecimal() {
        for digest in ["g".repeat(64), "é".repeat(32), format!("{}-", "0".repeat(63))] {
            let hash = Hash::parse(&format!("sha256-{digest}")).unwrap();
            assert_eq!(hash.expected(), Err(HashError::NotHexadecimal), "{digest}");
        }
    }

    proptest! {
        #[test]
        fn round_trips(bytes in proptest::collection::vec(any::<u8>(), 32), upper in any::<bool>()) {
            use std::fmt::Write as _;
            let mut digest = String::new();
            for byte in &bytes {
                if upper { write!(digest, "{byte:02X}").unwrap() } else { write!(digest, "{byte:02x}").unwrap() }
            }
            let text = format!("sha256-{digest}");
            let hash = Hash::parse(&text).unwrap();
            prop_assert_eq!(hash.to_string(), text);
            prop_assert_eq!(hash.expected(), Ok(bytes));
        }

        #[test]
        fn never_panics(text in "(sha256|sha512)?-?.*") {
            if let Ok(hash) = Hash::parse(&text) {
                let _ = hash.expected();
            }
        }
    }
}
