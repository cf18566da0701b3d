//! A config as it is kept between stages (spec/config.md 10): compact JSON in Go's field order, with empty objects.
//!
//! Scripts of distributions read the cache with `jq`, so names and shape are upstream's.

use std::io;

use serde::Serialize;
use serde_json::ser::Formatter;
use sha2::Digest as _;

use super::decode::{self, TypeError};
use super::schema;
use super::types::Config;
use super::version::Version;
use crate::json::{Document, SyntaxError};
use crate::view::Digest;

/// Bytes that are gathered before they are hashed.
const HASHED_AT_ONCE: usize = 64 * 1024;

/// The cache does not hold a config.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CacheError {
    /// Not JSON
    #[error("the cached config is damaged; remove it and run the fetch stage again")]
    Syntax(#[source] SyntaxError),
    /// JSON, but no config
    #[error("the cached config was not written by this program; remove it and run the fetch stage again")]
    Type(#[source] TypeError),
}

/// The JSON that Go writes.
///
/// # Errors
/// None that a config can cause: its structs have only string keys, and memory takes what is written to it.
pub fn to_json(config: &Config) -> Result<Vec<u8>, serde_json::Error> {
    let mut out = Vec::new();
    write(config, &mut out)?;
    Ok(out)
}

/// SHA-512 of what [`to_json`] gives, without holding that.
///
/// # Errors
/// As [`to_json`].
pub fn digest(config: &Config) -> Result<Digest, serde_json::Error> {
    let mut hashing = io::BufWriter::with_capacity(HASHED_AT_ONCE, Hashing::default());
    write(config, &mut hashing)?;
    let hashing = hashing
        .into_inner()
        .map_err(|error| serde_json::Error::io(error.into_error()))?;
    Ok(Digest(hashing.0.finalize().into()))
}

/// One instance for all writers: serialising is 20 kB of code.
fn write(config: &Config, to: &mut dyn io::Write) -> Result<(), serde_json::Error> {
    config.serialize(&mut serde_json::Serializer::with_formatter(to, GoFormatter))
}

#[derive(Default)]
struct Hashing(sha2::Sha512);

impl io::Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads what [`to_json`] or another Ignition has written: the newest spec, not checked again, because it was before it got
/// there and because stages of another version may run on it.
///
/// # Errors
/// Text that is not JSON, or whose values have the wrong types.
pub fn from_cache(text: &[u8]) -> Result<Config, CacheError> {
    let document = Document::parse(text).map_err(CacheError::Syntax)?;
    decode::check(document.root(), &schema::CONFIG, Version::NEWEST).map_err(CacheError::Type)?;
    decode::decode(document.root(), &schema::CONFIG, Version::NEWEST).map_err(CacheError::Type)
}

/// Compact, with what Go escapes so that JSON can stand in HTML and JavaScript.
struct GoFormatter;

impl Formatter for GoFormatter {
    fn write_string_fragment<W: io::Write + ?Sized>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut plain = fragment;
        // All of them start with a byte that no other character contains; U+2028 and U+2029 share theirs.
        while let Some(at) = plain
            .bytes()
            .position(|byte| matches!(byte, b'<' | b'>' | b'&' | 0xe2))
        {
            let (before, rest) = plain.split_at(at);
            writer.write_all(before.as_bytes())?;
            let mut rest = rest.chars();
            match rest.next() {
                Some(special @ ('<' | '>' | '&' | '\u{2028}' | '\u{2029}')) => {
                    write!(writer, "\\u{:04x}", u32::from(special))?;
                }
                Some(other) => writer.write_all(other.encode_utf8(&mut [0; 4]).as_bytes())?,
                None => {}
            }
            plain = rest.as_str();
        }
        writer.write_all(plain.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_config_keeps_its_empty_objects() {
        let json = String::from_utf8(to_json(&Config::default()).unwrap()).unwrap();
        assert_eq!(
            json,
            r#"{"ignition":{"config":{"replace":{"verification":{}}},"proxy":{},"security":{"tls":{}},"timeouts":{},"version":""},"kernelArguments":{},"passwd":{},"storage":{},"systemd":{}}"#
        );
    }

    #[test]
    fn what_go_escapes_is_escaped() {
        let mut config = Config::default();
        config.kernel_arguments.should_exist = vec!["a<b>&\u{2028}\u{2029}\u{1}\n\"ü€".to_owned()];
        let json = String::from_utf8(to_json(&config).unwrap()).unwrap();
        assert!(
            json.contains(r#"["a\u003cb\u003e\u0026\u2028\u2029\u0001\n\"ü€"]"#),
            "{json}"
        );
        assert_eq!(from_cache(json.as_bytes()).unwrap(), config);
        assert_eq!(digest(&config).unwrap(), Digest::of(json.as_bytes()));
    }

    #[test]
    fn a_damaged_cache_is_refused() {
        assert!(matches!(
            from_cache(b"{\"ignition\":"),
            Err(CacheError::Syntax(_))
        ));
        assert!(matches!(
            from_cache(b"{\"storage\":[]}"),
            Err(CacheError::Type(_))
        ));
    }
}
