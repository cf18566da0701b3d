//! `data:` URLs (spec/config.md 11.2, spec/fetch.md 8.6).

use base64::Engine as _;

/// The URL does not hold what a `data:` URL holds. Says nothing of its contents.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the data: URL does not decode")]
pub struct DataError;

/// The bytes that a `data:` URL holds. The scheme may be in any case.
pub fn decode(url: &str) -> Result<Vec<u8>, DataError> {
    let (_, rest) = url.split_once(':').ok_or(DataError)?;
    let (kind, payload) = rest.split_once(',').ok_or(DataError)?;
    if kind == "base64" || kind.ends_with(";base64") {
        let digits: String = payload.chars().filter(|each| *each != '\n').collect();
        return base64::engine::general_purpose::STANDARD
            .decode(digits)
            .map_err(|_| DataError);
    }
    percent(payload).ok_or(DataError)
}

/// Decodes `%XX`; a bad or short escape is `None`.
pub(super) fn percent(text: &str) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    let digit = |bytes: &mut std::str::Bytes<'_>| char::from(bytes.next()?).to_digit(16);
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let high = digit(&mut bytes)?;
            let low = digit(&mut bytes)?;
            decoded.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            decoded.push(byte);
        }
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn decodes() {
        for (url, want) in [
            ("data:,hello%20world", Ok(&b"hello world"[..])),
            ("DATA:,a+b", Ok(b"a+b")),
            ("data:text/plain;charset=utf-8,%C3%A9", Ok("é".as_bytes())),
            ("data:;base64,aGVsbG8=", Ok(b"hello")),
            ("data:text/plain;base64,aGVs\nbG8=", Ok(b"hello")),
            ("data:,", Ok(b"")),
            ("data:;base64,aGVsbG8", Err(())),
            ("data:,%4", Err(())),
            ("data:,%zz", Err(())),
            ("data:nothing", Err(())),
        ] {
            assert_eq!(decode(url).map_err(|_| ()), want.map(<[u8]>::to_vec), "{url}");
        }
    }
}
