//! Amazon resource names of S3 objects (spec/config.md 11.1).

use thiserror::Error;

/// Why a resource name is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "the resource name must name an S3 object: arn:PARTITION:s3:::BUCKET/KEY or \
     arn:PARTITION:s3:REGION:ACCOUNT:accesspoint/NAME/object/KEY"
)]
pub struct ArnError;

/// The parts of a resource name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arn<'a> {
    /// `aws`, `aws-cn`, ...
    pub partition: &'a str,
    /// `s3`
    pub service: &'a str,
    /// Region; may be empty
    pub region: &'a str,
    /// Account number; may be empty
    pub account: &'a str,
    /// What follows the fifth colon
    pub resource: &'a str,
}

impl<'a> Arn<'a> {
    /// Splits the whole text, `arn:` included, at its first five colons.
    pub fn parse(text: &'a str) -> Result<Self, ArnError> {
        let mut parts = text.strip_prefix("arn:").ok_or(ArnError)?.splitn(5, ':');
        let mut part = || parts.next().ok_or(ArnError);
        Ok(Self {
            partition: part()?,
            service: part()?,
            region: part()?,
            account: part()?,
            resource: part()?,
        })
    }

    /// Whether this names an object in S3: in a bucket, or behind an access point.
    pub fn check_s3_object(&self) -> Result<(), ArnError> {
        let pieces = self.resource.split('/').count();
        let needed = if self.resource.starts_with("accesspoint/") {
            3
        } else {
            2
        };
        if self.service == "s3" && pieces >= needed {
            Ok(())
        } else {
            Err(ArnError)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn table() {
        for (text, expected) in [
            ("arn:aws:s3:::bucket/key", true),
            ("arn:aws:s3:::bucket/", true),
            ("arn:aws:s3:us-east-1:123456789012:accesspoint/ap/object/k", true),
            ("arn:aws:s3:us-east-1:123456789012:accesspoint/ap", false),
            ("arn:aws:s3:::accesspoint/ap/", true),
            ("arn:aws:s3:::bucket", false),
            ("arn:aws:s3:::", false),
            ("arn:aws:iam::123:role/x", false),
            ("arn:aws:s3::bucket/key", false),
            ("arn:aws:s3:::a:b/c", true),
            ("ARN:aws:s3:::bucket/key", false),
            ("", false),
        ] {
            let verdict = Arn::parse(text).and_then(|arn| arn.check_s3_object()).is_ok();
            assert_eq!(verdict, expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn round_trips(parts in proptest::collection::vec("[a-z0-9/-]{0,6}", 5)) {
            let text = format!("arn:{}", parts.join(":"));
            let arn = Arn::parse(&text).unwrap();
            let found = [arn.partition, arn.service, arn.region, arn.account, arn.resource];
            prop_assert_eq!(found.as_slice(), parts.as_slice());
        }

        #[test]
        fn never_panics(text in "(arn:)?[:/a-z]*|.*") {
            let _ = Arn::parse(&text).and_then(|arn| arn.check_s3_object());
        }
    }
}
