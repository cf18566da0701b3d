//! A resource, read: what kind of URL, which headers, how compressed, which hash (spec/fetch.md 8).

use crate::config::types::{Hidden, Resource};

use super::FetchError;
use super::display::display;
use super::hash::Hash;
use super::verified::Compression;

/// What kind of URL a source is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// No scheme: nothing is fetched, successfully
    Nothing,
    /// `data:`
    Data,
    /// `oem:`, a file of the OEM partition
    Oem,
    /// `http:`
    Http,
    /// `https:`
    Https,
    /// `tftp:`
    Tftp,
    /// `s3:`
    S3,
    /// `arn:`
    Arn,
    /// `gs:`
    Gs,
}

impl Scheme {
    /// The scheme of an URL as Go reads it: letters, digits and `+-.` before the first colon, in any case. Text in which
    /// another character comes first has no scheme.
    pub fn of(url: &str) -> Result<Self, SchemeError> {
        let end = url.find(|each: char| !(each.is_ascii_alphanumeric() || "+-.".contains(each)));
        let Some((name, rest)) = end.and_then(|end| url.split_at_checked(end)) else {
            return Ok(Self::Nothing);
        };
        if !rest.starts_with(':') {
            return Ok(Self::Nothing);
        }
        if !name.starts_with(|first: char| first.is_ascii_alphabetic()) {
            return Err(SchemeError::Malformed);
        }
        Ok(match name.to_ascii_lowercase().as_str() {
            "data" => Self::Data,
            "oem" => Self::Oem,
            "http" => Self::Http,
            "https" => Self::Https,
            "tftp" => Self::Tftp,
            "s3" => Self::S3,
            "arn" => Self::Arn,
            "gs" => Self::Gs,
            other => return Err(SchemeError::Unsupported(other.to_owned())),
        })
    }

    /// Whether getting it takes the network in the sense of fetch-offline: anything but `data:` and nothing. `oem:` too,
    /// as on Flatcar, where the OEM partition may not be there yet (flatcar.md 2.5).
    pub fn needs_net(self) -> bool {
        !matches!(self, Self::Nothing | Self::Data)
    }
}

/// An URL whose scheme is of no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemeError {
    /// A colon, and no scheme before it
    #[error("the URL is malformed: there is no scheme before the first colon")]
    Malformed,
    /// A scheme that no version of the spec knows
    #[error("the URL scheme {0:?} is not supported; use data, http, https, tftp, s3, arn, gs or oem")]
    Unsupported(String),
}

/// Whether the source of a resource needs the network. An unknown scheme does: so it is reported where it is fetched.
pub fn needs_net(source: &str) -> bool {
    match Scheme::of(source) {
        Ok(scheme) => scheme.needs_net(),
        Err(SchemeError::Unsupported(_)) => true,
        Err(SchemeError::Malformed) => false,
    }
}

/// A resource, read.
#[derive(Clone, Debug)]
pub struct Source {
    /// What kind of URL
    pub scheme: Scheme,
    /// The URL as the config has it
    pub url: Hidden,
    /// The URL fit to be shown
    pub shown: String,
    /// Headers, names with values, in the config's order
    pub headers: Vec<(String, Hidden)>,
    /// How the stored bytes are compressed
    pub compression: Compression,
    /// Hash of the contents
    pub hash: Option<Hash>,
}

impl Source {
    /// Reads a resource. An absent source is like an empty one.
    pub fn parse(resource: &Resource) -> Result<Self, FetchError> {
        let url = resource.source.clone().unwrap_or_default();
        let shown = display(url.reveal());
        let invalid = |problem: String| FetchError::Invalid {
            url: shown.clone(),
            problem,
        };
        if url.reveal().chars().any(|each| each.is_ascii_control()) {
            return Err(invalid("it holds a control character".to_owned()));
        }
        let scheme = Scheme::of(url.reveal()).map_err(|error| invalid(error.to_string()))?;
        let mut headers = Vec::with_capacity(resource.http_headers.len());
        for header in &resource.http_headers {
            let value = header.value.clone().unwrap_or_default();
            if header.name.is_empty() {
                return Err(invalid("one of its httpHeaders has no name".to_owned()));
            }
            if value.reveal().is_empty() {
                return Err(invalid(format!("its HTTP header {:?} has no value", header.name)));
            }
            headers.push((header.name.clone(), value));
        }
        let compression = match resource.compression.as_deref() {
            None | Some("") => Compression::None,
            Some("gzip") => Compression::Gzip,
            Some(other) => {
                return Err(invalid(format!(
                    "its compression is {other:?}; only gzip is known"
                )));
            }
        };
        let hash = resource
            .verification
            .hash
            .as_deref()
            .map(Hash::parse)
            .transpose()
            .map_err(|error| invalid(error.to_string()))?;
        Ok(Self {
            scheme,
            url,
            shown,
            headers,
            compression,
            hash,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::types::HttpHeader;

    #[test]
    fn schemes_as_go_reads_them() {
        let unsupported = |name: &str| Err(SchemeError::Unsupported(name.to_owned()));
        let table = [
            ("", Ok(Scheme::Nothing)),
            ("plain", Ok(Scheme::Nothing)),
            ("/a/b:c", Ok(Scheme::Nothing)),
            ("DATA:,x", Ok(Scheme::Data)),
            ("http://h", Ok(Scheme::Http)),
            ("HtTpS://h", Ok(Scheme::Https)),
            ("oem:///x", Ok(Scheme::Oem)),
            ("arn:aws:s3:::b/k", Ok(Scheme::Arn)),
            (":x", Err(SchemeError::Malformed)),
            ("1a:x", Err(SchemeError::Malformed)),
            ("ftp://h", unsupported("ftp")),
            ("héh:x", Ok(Scheme::Nothing)),
        ];
        for (url, want) in table {
            assert_eq!(Scheme::of(url), want, "{url}");
        }
    }

    #[test]
    fn what_needs_the_network() {
        for (source, want) in [
            ("", false),
            ("path", false),
            ("data:,x", false),
            ("http://h", true),
            ("oem:///x", true),
            ("s3://b/k", true),
            ("ftp://h", true),
        ] {
            assert_eq!(needs_net(source), want, "{source}");
        }
    }

    #[test]
    fn refusals_show_nothing_secret() {
        let header = |name: &str, value: Option<&str>| HttpHeader {
            name: name.to_owned(),
            value: value.map(Hidden::from),
        };
        let plain = || Resource {
            source: Some("http://u:canary@h/?canary".into()),
            ..Resource::default()
        };
        let table = [
            Resource {
                http_headers: vec![header("", Some("canary"))],
                ..plain()
            },
            Resource {
                http_headers: vec![header("X", Some("canary")), header("Y", None)],
                ..plain()
            },
            Resource {
                http_headers: vec![header("X", Some(""))],
                ..plain()
            },
            Resource {
                compression: Some("xz".to_owned()),
                ..plain()
            },
            Resource {
                source: Some("http://u:canary\n@h".into()),
                ..plain()
            },
            Resource {
                source: Some("gopher://u:canary@h".into()),
                ..plain()
            },
            Resource {
                verification: crate::config::types::Verification {
                    hash: Some("md5-1".to_owned()),
                },
                ..plain()
            },
        ];
        for resource in table {
            let error = Source::parse(&resource).expect_err("refused");
            let text = format!("{error} {error:?}");
            assert!(!text.contains("canary"), "{text}");
        }
        let source = Source::parse(&plain()).unwrap();
        assert!(!format!("{source:?}").contains("canary"));
    }
}
