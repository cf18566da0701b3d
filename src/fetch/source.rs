//! A resource, read: what kind of URL, which headers, how compressed, which hash (spec/fetch.md 8).

use crate::config::grammar::Url;
use crate::config::grammar::url::display;
use crate::config::types::{Hidden, Resource};

use super::FetchError;
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
    /// The scheme of an URL; `None` if no version of the spec knows it.
    pub fn of(url: &Url) -> Option<Self> {
        Some(match url.scheme() {
            "" => Self::Nothing,
            "data" => Self::Data,
            "oem" => Self::Oem,
            "http" => Self::Http,
            "https" => Self::Https,
            "tftp" => Self::Tftp,
            "s3" => Self::S3,
            "arn" => Self::Arn,
            "gs" => Self::Gs,
            _ => return None,
        })
    }
}

/// Whether getting a source takes the network in the sense of fetch-offline: anything but `data:` and nothing. `oem:`
/// too, as on Flatcar, where the OEM partition may not be there yet (flatcar.md 2.5). What is no URL does not: the error
/// comes where it is fetched.
pub fn needs_net(source: &str) -> bool {
    Url::parse(source).is_ok_and(|url| !url.is_offline())
}

/// A resource, read.
#[derive(Clone, Debug)]
pub struct Source {
    /// What kind of URL
    pub scheme: Scheme,
    /// The URL
    pub url: Url,
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
        let text = resource.source.as_ref().map_or("", Hidden::reveal);
        let invalid = |problem: String| FetchError::Invalid {
            url: display(text),
            problem,
        };
        let url = Url::parse(text).map_err(|error| invalid(error.to_string()))?;
        let scheme = Scheme::of(&url).ok_or_else(|| {
            invalid(format!(
                "its scheme is {:?}; known are data, http, https, tftp, s3, arn, gs and oem",
                url.scheme()
            ))
        })?;
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
            headers,
            compression,
            hash,
        })
    }

    /// The URL fit to be shown. Of a `data:` URL that takes decoding it, so ask only when it is shown.
    pub fn shown(&self) -> String {
        self.url.display()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::types::HttpHeader;

    #[test]
    fn schemes() {
        let table = [
            ("", Some(Scheme::Nothing)),
            ("/a/b:c", Some(Scheme::Nothing)),
            ("DATA:,x", Some(Scheme::Data)),
            ("http://h", Some(Scheme::Http)),
            ("HtTpS://h", Some(Scheme::Https)),
            ("oem:///x", Some(Scheme::Oem)),
            ("arn:aws:s3:::b/k", Some(Scheme::Arn)),
            ("tftp://h/x", Some(Scheme::Tftp)),
            ("s3://b/k", Some(Scheme::S3)),
            ("gs://b/k", Some(Scheme::Gs)),
            ("ftp://h", None),
        ];
        for (url, want) in table {
            assert_eq!(Scheme::of(&Url::parse(url).unwrap()), want, "{url}");
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
            (":x", false),
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
