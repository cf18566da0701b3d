//! Which sources a spec version accepts (spec/config.md 11.1; Flatcar patches 0012 and 0013 for `oem:`).

use thiserror::Error;

use super::arn::{Arn, ArnError};
use super::data_url::{self, DataUrlError};
use super::url::{Url, UrlError};
use crate::config::version::Version;

/// Why a source is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SourceError {
    /// Not a URL
    #[error("not a valid URL")]
    Url(#[from] UrlError),
    /// No scheme
    #[error("the URL has no scheme; expected one of {}", known(*version))]
    NoScheme {
        /// Version of the config
        version: Version,
    },
    /// A scheme that this version does not know
    #[error("URL scheme is not supported in spec {version}; expected one of {}", known(*version))]
    Scheme {
        /// Version of the config
        version: Version,
    },
    /// Bad `data:` URL
    #[error("not a valid data URL")]
    Data(#[from] DataUrlError),
    /// Bad `arn:` URL
    #[error("not a valid S3 resource name")]
    Arn(#[from] ArnError),
    /// `?versionId=` without a value
    #[error("versionId in the query must not be empty")]
    EmptyVersionId,
}

fn known(version: Version) -> &'static str {
    if version >= Version::V3_4 {
        "data, http, https, tftp, s3, arn, gs, oem"
    } else if version >= Version::V3_2 {
        "data, http, https, tftp, s3, gs, oem"
    } else {
        "data, http, https, tftp, s3, oem"
    }
}

/// The rule for every source. An empty text has no scheme, so it is refused here; where it is allowed, ask before.
///
/// An `oem:` URL needs an absolute path to be fetched, but is not looked at closer here: Flatcar's parser does not
/// either.
pub fn check(source: &str, version: Version) -> Result<(), SourceError> {
    if source.starts_with("data:") && source.bytes().all(is_plain) {
        // Most of a config may be such URLs. With these bytes alone they are valid as URLs whatever they hold, but for a
        // path behind the colon, which no data URL has.
        return Ok(data_url::check(source)?);
    }
    let url = Url::parse(source)?;
    match url.scheme() {
        "http" | "https" | "tftp" | "oem" => Ok(()),
        "gs" if version >= Version::V3_2 => Ok(()),
        "s3" => check_version_id(&url),
        "arn" if version >= Version::V3_4 => {
            let text = format!("arn:{}", url.opaque());
            Arn::parse(&text)?.check_s3_object()?;
            check_version_id(&url)
        }
        "data" => Ok(data_url::check(source)?),
        "" => Err(SourceError::NoScheme { version }),
        _ => Err(SourceError::Scheme { version }),
    }
}

/// What a URL may hold outside of its fragment.
fn is_plain(byte: u8) -> bool {
    byte > b' ' && byte != b'#' && byte != 0x7f
}

/// `versionId` may be absent; present, its first value counts and must not be empty.
fn check_version_id(url: &Url) -> Result<(), SourceError> {
    match url.query_value("versionId") {
        Some(value) if value.is_empty() => Err(SourceError::EmptyVersionId),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn schemes_by_version() {
        for (source, since) in [
            ("http://h/a", Some(Version::V3_0)),
            ("HTTPS://h/a", Some(Version::V3_0)),
            ("http:", Some(Version::V3_0)),
            ("tftp://h/a", Some(Version::V3_0)),
            ("s3://b/k", Some(Version::V3_0)),
            ("s3:", Some(Version::V3_0)),
            ("oem:///f", Some(Version::V3_0)),
            ("oem://f", Some(Version::V3_0)),
            ("data:,x", Some(Version::V3_0)),
            ("gs://b/k", Some(Version::V3_2)),
            ("arn:aws:s3:::b/k", Some(Version::V3_4)),
            ("file:///f", None),
            ("ftp://h/f", None),
            ("mailto:x@y", None),
            ("/f", None),
            ("", None),
        ] {
            for version in Version::ALL {
                let expected = since.is_some_and(|since| version >= since);
                assert_eq!(check(source, version).is_ok(), expected, "{source:?} {version}");
            }
        }
    }

    #[test]
    fn rules_by_scheme() {
        let newest = Version::NEWEST;
        for (source, expected) in [
            ("s3://b/k?versionId=1", None),
            ("s3://b/k?versionId", Some(SourceError::EmptyVersionId)),
            ("s3://b/k?versionId=", Some(SourceError::EmptyVersionId)),
            (
                "s3://b/k?versionId=&versionId=1",
                Some(SourceError::EmptyVersionId),
            ),
            ("s3://b/k?versionId=1&versionId=", None),
            ("s3://b/k?version%49d=", Some(SourceError::EmptyVersionId)),
            ("s3://b/k?versionId=%zz", None),
            ("s3://b/k?versionid=", None),
            ("arn:aws:s3:::b/k?versionId=", Some(SourceError::EmptyVersionId)),
            ("arn:aws:s3:::b?x=/k", Some(SourceError::Arn(ArnError))),
            ("arn://aws:s3:::b/k", Some(SourceError::Url(UrlError::Port))),
            ("arn://aws:s3:/b/k", Some(SourceError::Arn(ArnError))),
            ("DATA:,x", Some(SourceError::Data(DataUrlError::Prefix))),
            ("data:,a#b", Some(SourceError::Data(DataUrlError::Payload))),
            ("", Some(SourceError::NoScheme { version: newest })),
            ("ssh://h", Some(SourceError::Scheme { version: newest })),
            ("http://[::1/a", Some(SourceError::Url(UrlError::Host))),
        ] {
            assert_eq!(check(source, newest).err(), expected, "{source:?}");
        }
    }

    proptest! {
        /// The short way for `data:` URLs refuses what the long one refuses.
        #[test]
        fn data_urls_are_urls(source in "data:[/;a-z#,%0-9]{0,8},?[\\x00-\\x7fé]{0,8}") {
            let long = Url::parse(&source).is_ok() && data_url::check(&source).is_ok();
            prop_assert_eq!(check(&source, Version::NEWEST).is_ok(), long, "{:?}", source);
        }

        #[test]
        fn never_panics(source in "(http|s3|arn|data|oem)?:?.*", version in proptest::sample::select(Version::ALL.to_vec())) {
            let _ = check(&source, version);
        }
    }
}
