//! `data:` URLs (spec/config.md 11.2, spec/fetch.md 8.6).

use crate::config::grammar::Url;
use crate::config::grammar::data_url::{self, DataUrlError};

/// The bytes that a `data:` URL holds. The scheme may be in any case here, as upstream decodes the URL written anew.
pub fn decode(url: &Url) -> Result<Vec<u8>, DataUrlError> {
    match url.reveal().split_once(':') {
        Some((scheme, rest)) if scheme != "data" => data_url::decode(&format!("data:{rest}")),
        _ => data_url::decode(url.reveal()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_in_any_case_of_the_scheme() {
        for (url, want) in [
            ("data:,hello%20world", Some("hello world")),
            ("DATA:,a+b", Some("a+b")),
            ("Data:;base64,aGVsbG8=", Some("hello")),
            ("data:;base64,aGVsbG8", None),
            ("DATA:nothing", None),
        ] {
            let got = decode(&Url::parse(url).unwrap()).ok();
            assert_eq!(got, want.map(|text| text.as_bytes().to_vec()), "{url}");
        }
    }
}
