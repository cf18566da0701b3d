//! A config as it is kept between stages (spec/config.md 10): compact JSON in Go's field order, with empty objects.
//!
//! Scripts of distributions read the cache with `jq`, so names and shape are upstream's.

use std::io;

use serde::Serialize;
use serde_json::ser::Formatter;

use super::decode::{self, TypeError};
use super::schema;
use super::types::Config;
use super::version::Version;
use crate::json::{Document, SyntaxError};

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
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, GoFormatter);
    config.serialize(&mut serializer)?;
    Ok(out)
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
