//! `data:` URLs (spec/config.md 11.2): `data:[TYPE/SUBTYPE](;ATTRIBUTE=VALUE)*[;base64],PAYLOAD`.
//!
//! The verdict is that of the reference's decoder, which is stricter than browsers are: what it refuses would not have
//! booted there either.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use thiserror::Error;

use super::hex::hex_digit;

/// Go's `StdEncoding`: padding is required, bits after the last byte are not looked at.
const STANDARD: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// Why a `data:` URL is not accepted. The text itself is never shown: it is the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DataUrlError {
    /// Does not begin with `data:`
    #[error("a data URL begins with \"data:\", in lower case")]
    Prefix,
    /// There is no comma before the payload
    #[error("the comma before the data is missing: \"data:,TEXT\" or \"data:;base64,BASE64\"")]
    Comma,
    /// The media type is not one
    #[error("the media type is not valid: expected TYPE/SUBTYPE such as text/plain")]
    MediaType,
    /// A parameter is not one
    #[error("a parameter is not valid: expected \";name=value\", or \";base64\" directly before the comma")]
    Parameter,
    /// A character of the payload must be escaped
    #[error(
        "the data holds a character that must be written as %XX or, with \";base64\", does not belong there"
    )]
    Payload,
    /// A `%` without two hexadecimal digits
    #[error("a '%' in the data is not followed by two hexadecimal digits; write '%' itself as %25")]
    Escape,
    /// The payload is not base64
    #[error("the data is not valid base64 with padding")]
    Base64,
}

/// The bytes that a `data:` URL stands for.
pub fn decode(text: &str) -> Result<Vec<u8>, DataUrlError> {
    let (base64, payload) = split(text)?;
    if base64 {
        if !is_padded_base64(payload.as_bytes()) && !payload.bytes().all(is_base64) {
            return Err(DataUrlError::Payload);
        }
        let decoded = if payload.contains('\n') {
            STANDARD.decode(payload.replace('\n', ""))
        } else {
            STANDARD.decode(payload)
        };
        return decoded.map_err(|_| DataUrlError::Base64);
    }
    if !is_escaped(payload.as_bytes()) && !payload.bytes().all(is_payload) {
        return Err(DataUrlError::Payload);
    }
    unescape(payload)
}

/// Whether [`decode`] would succeed.
pub fn check(text: &str) -> Result<(), DataUrlError> {
    match split(text)? {
        (true, payload) if is_padded_base64(payload.as_bytes()) => Ok(()),
        (false, payload) if is_escaped(payload.as_bytes()) => Ok(()),
        // Line feeds between base64 digits, or something that is wrong.
        _ => decode(text).map(drop),
    }
}

/// Base64 digits alone, in groups of four with padding.
fn is_padded_base64(payload: &[u8]) -> bool {
    let ([digits @ .., b'=', b'='] | [digits @ .., b'='] | digits) = payload;
    payload.len().is_multiple_of(4) && digits.iter().all(|byte| class(*byte) & BASE64 != 0)
}

/// Characters of a payload alone, and after each `%` two digits.
fn is_escaped(payload: &[u8]) -> bool {
    let mut bytes = payload.iter();
    while let Some(byte) = bytes.next() {
        if class(*byte) & PAYLOAD == 0 {
            return false;
        }
        let mut digit = || bytes.next().is_some_and(|byte| class(*byte) & HEX != 0);
        if *byte == b'%' && !(digit() && digit()) {
            return false;
        }
    }
    true
}

const BASE64: u8 = 1;
const PAYLOAD: u8 = 2;
const HEX: u8 = 4;

/// What each byte may be: looking it up is what a large config spends its validation with.
#[expect(
    clippy::indexing_slicing,
    reason = "evaluated when it is compiled; a byte is below 256"
)]
static CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0u8;
    loop {
        let mut class = 0;
        if is_base64_digit(byte) {
            class |= BASE64;
        }
        if is_payload(byte) {
            class |= PAYLOAD;
        }
        if byte.is_ascii_hexdigit() {
            class |= HEX;
        }
        classes[byte as usize] = class;
        if byte == u8::MAX {
            break classes;
        }
        byte += 1;
    }
};

fn class(byte: u8) -> u8 {
    CLASSES.get(usize::from(byte)).copied().unwrap_or_default()
}

/// Whether the payload is base64, and the payload.
fn split(text: &str) -> Result<(bool, &str), DataUrlError> {
    let rest = text.strip_prefix("data:").ok_or(DataUrlError::Prefix)?;
    let mut rest = match rest.bytes().next() {
        Some(b',' | b';') => rest,
        None => return Err(DataUrlError::Comma),
        Some(_) => media_type(rest)?,
    };
    // The reference forgets to switch back to plain values after an empty quoted one.
    let mut quoted = false;
    loop {
        if let Some(payload) = rest.strip_prefix(',') {
            return Ok((false, payload));
        }
        let parameter = rest.strip_prefix(';').ok_or(if rest.is_empty() {
            DataUrlError::Comma
        } else {
            DataUrlError::Parameter
        })?;
        let (name, after) = token(parameter);
        if name == "base64"
            && let Some(payload) = after.strip_prefix(',')
        {
            return Ok((true, payload));
        }
        let value = after.strip_prefix('=').ok_or(DataUrlError::Parameter)?;
        if name.is_empty() {
            return Err(DataUrlError::Parameter);
        }
        let (value, after) = if let Some(inner) = value.strip_prefix('"') {
            quoted = true;
            until_quote(inner)?
        } else {
            let (value, after) = token(value);
            if value.is_empty() {
                return Err(DataUrlError::Parameter);
            }
            (value, after)
        };
        if !value.is_empty() {
            if quoted && !is_go_string(value) {
                return Err(DataUrlError::Parameter);
            }
            if !quoted {
                unescape(value).map_err(|_| DataUrlError::Parameter)?;
            }
            quoted = false;
        }
        rest = after;
    }
}

/// Skips `TYPE/SUBTYPE`; the subtype may be empty.
fn media_type(text: &str) -> Result<&str, DataUrlError> {
    const KNOWN: [&str; 7] = [
        "text",
        "image",
        "audio",
        "video",
        "application",
        "message",
        "multipart",
    ];
    let (kind, after) = token(text);
    let after = after.strip_prefix('/').ok_or(DataUrlError::MediaType)?;
    let extension = kind.starts_with("x-") || kind.starts_with("X-");
    if !extension && !KNOWN.iter().any(|known| kind.starts_with(known)) {
        return Err(DataUrlError::MediaType);
    }
    let (_subtype, after) = token(after);
    match after.bytes().next() {
        Some(b',' | b';') => Ok(after),
        Some(_) => Err(DataUrlError::MediaType),
        None => Err(DataUrlError::Comma),
    }
}

/// The run of token characters at the start, and the rest.
fn token(text: &str) -> (&str, &str) {
    let end = text
        .bytes()
        .position(|byte| !is_token(byte))
        .unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_graphic()
        && !matches!(
            byte,
            b'(' | b')'
                | b'<'
                | b'>'
                | b'@'
                | b','
                | b';'
                | b':'
                | b'\\'
                | b'"'
                | b'/'
                | b'['
                | b']'
                | b'?'
                | b'='
        )
}

const fn is_base64_digit(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/')
}

fn is_base64(byte: u8) -> bool {
    is_base64_digit(byte) || matches!(byte, b'=' | b'\n')
}

const fn is_payload(byte: u8) -> bool {
    byte.is_ascii_graphic()
        && !matches!(
            byte,
            b'<' | b'>' | b'#' | b'"' | b'{' | b'}' | b'|' | b'\\' | b'^' | b'[' | b']' | b'`'
        )
}

/// What is between the quotes, and what comes after the second one.
fn until_quote(text: &str) -> Result<(&str, &str), DataUrlError> {
    let mut escaped = false;
    for (position, byte) in text.bytes().enumerate() {
        match byte {
            _ if !byte.is_ascii() => return Err(DataUrlError::Parameter),
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => {
                let (value, after) = text.split_at_checked(position).ok_or(DataUrlError::Parameter)?;
                return Ok((value, after.strip_prefix('"').unwrap_or_default()));
            }
            _ => {}
        }
    }
    Err(DataUrlError::Parameter)
}

/// Whether the text, put between double quotes, is a Go string literal.
fn is_go_string(text: &str) -> bool {
    let mut characters = text.chars();
    let digits = |characters: &mut std::str::Chars<'_>, first: Option<char>, count: usize, radix: u32| {
        let mut value: u32 = first.map_or(Some(0), |digit| digit.to_digit(radix))?;
        for _ in 0..count {
            let digit = characters.next()?.to_digit(radix)?;
            value = value.checked_mul(radix)?.checked_add(digit)?;
        }
        Some(value)
    };
    while let Some(character) = characters.next() {
        let fine =
            match character {
                '\n' | '"' => false,
                '\\' => match characters.next() {
                    Some('a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\' | '"') => true,
                    Some('x') => digits(&mut characters, None, 2, 16).is_some(),
                    Some('u') => digits(&mut characters, None, 4, 16)
                        .is_some_and(|code| char::from_u32(code).is_some()),
                    Some('U') => digits(&mut characters, None, 8, 16)
                        .is_some_and(|code| char::from_u32(code).is_some()),
                    Some(first @ '0'..='7') => {
                        digits(&mut characters, Some(first), 2, 8).is_some_and(|code| code <= 0xff)
                    }
                    _ => false,
                },
                _ => true,
            };
        if !fine {
            return false;
        }
    }
    true
}

/// Replaces `%XX`; `+` stands for itself.
fn unescape(text: &str) -> Result<Vec<u8>, DataUrlError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut parts = text.as_bytes().split(|byte| *byte == b'%');
    bytes.extend_from_slice(parts.next().unwrap_or_default());
    // Each of the others stood behind a percent sign.
    for part in parts {
        let [high, low, plain @ ..] = part else {
            return Err(DataUrlError::Escape);
        };
        match (hex_digit(*high), hex_digit(*low)) {
            (Some(high), Some(low)) => bytes.push(high << 4 | low),
            _ => return Err(DataUrlError::Escape),
        }
        bytes.extend_from_slice(plain);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn accepted() {
        for (text, expected) in [
            ("data:,", ""),
            ("data:,a%20b", "a b"),
            ("data:,a+b", "a+b"),
            ("data:,%41%4a%4A", "AJJ"),
            ("data:,a,b;c", "a,b;c"),
            ("data:;base64,", ""),
            ("data:;base64,YQ==", "a"),
            ("data:;base64,YR==", "a"),
            ("data:;base64,Y\nQ==", "a"),
            ("data:text/plain,a", "a"),
            ("data:text/,a", "a"),
            ("data:textual/x,a", "a"),
            ("data:x-foo/bar,a", "a"),
            ("data:text/plain;charset=utf-8,a%20b", "a b"),
            ("data:;charset=utf-8;base64,YQ==", "a"),
            ("data:;a=\"b,c\\\"d\";e=f,a", "a"),
            ("data:;a=\"\\x41\\101\\u0041\\U00000041\\n\",a", "a"),
            ("data:;a=\"\";b=%zz,a", "a"),
            ("data:;base64=x,YQ==", "YQ=="),
        ] {
            assert_eq!(decode(text).as_deref(), Ok(expected.as_bytes()), "{text:?}");
        }
    }

    #[test]
    fn refused() {
        use DataUrlError::{Base64, Comma, Escape, MediaType, Parameter, Payload, Prefix};
        for (text, expected) in [
            ("", Prefix),
            ("DATA:,a", Prefix),
            ("data:", Comma),
            ("data:a", MediaType),
            ("data:foo/bar,a", MediaType),
            ("data:xfoo/bar,a", MediaType),
            ("data:text,a", MediaType),
            ("data:text/plain", Comma),
            ("data:text/pl ain,a", MediaType),
            ("data:/plain,a", MediaType),
            ("data: ,a", MediaType),
            ("data:;", Parameter),
            ("data:;,a", Parameter),
            ("data:;base64", Parameter),
            ("data:;base64;a=b,a", Parameter),
            ("data:;Base64,a", Parameter),
            ("data:;a=,a", Parameter),
            ("data:;=b,a", Parameter),
            ("data:;a=%4,a", Parameter),
            ("data:;a=\"b,a", Parameter),
            ("data:;a=\"b\"c,a", Parameter),
            ("data:;a=\"\\'\",a", Parameter),
            ("data:;a=\"\\400\",a", Parameter),
            ("data:;a=\"\\ud800\",a", Parameter),
            ("data:;a=\"é\",a", Parameter),
            ("data:;a=b", Comma),
            ("data:,a b", Payload),
            ("data:,a#b", Payload),
            ("data:,\n", Payload),
            ("data:,é", Payload),
            ("data:,%", Escape),
            ("data:,%4", Escape),
            ("data:,%zz", Escape),
            ("data:;base64,YQ", Base64),
            ("data:;base64,YQ=", Base64),
            ("data:;base64,YQ==YQ==", Base64),
            ("data:;base64,YQ%3D%3D", Payload),
            ("data:;base64,-_8", Payload),
            ("data:;base64,Y Q==", Payload),
        ] {
            assert_eq!(decode(text), Err(expected), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn base64_round_trips(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let text = format!("data:;base64,{}", STANDARD.encode(&bytes));
            prop_assert_eq!(decode(&text), Ok(bytes));
        }

        #[test]
        fn escapes_round_trip(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            use std::fmt::Write as _;
            let mut text = String::from("data:text/plain,");
            for byte in &bytes {
                if is_payload(*byte) && *byte != b'%' {
                    text.push(char::from(*byte));
                } else {
                    write!(text, "%{byte:02x}").unwrap();
                }
            }
            prop_assert_eq!(decode(&text), Ok(bytes));
        }

        #[test]
        fn check_is_the_verdict_of_decode(
            text in "data:(;base64)?,([A-Za-z0-9+/]{4}){0,3}[A-Za-z0-9+/%=\n<]{0,4}=?=?|data:,([a-z+]|%[0-9a-fA-F]{2}){0,6}.?",
        ) {
            prop_assert_eq!(check(&text), decode(&text).map(drop), "{}", text);
        }

        #[test]
        fn never_panics(text in "data:[a-z/]{0,4}(;[a-z=\"\\\\]{0,6}){0,2},?.*|.*") {
            let _ = decode(&text);
        }
    }
}
