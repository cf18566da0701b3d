//! Telling what user data is before it is read as JSON (Flatcar patch 0011, flatcar.md 4.2), and what it might be
//! after that failed.

use std::borrow::Cow;
use std::io::Read;

use flate2::read::MultiGzDecoder;

use super::error::NotIgnition;

const GZIP: &[u8] = b"\x1f\x8b";

/// As much of compressed user data as decides what it is.
const PREFIX: usize = 64 << 10;

/// Compressed user data that grows beyond this is not looked at: it would only cost time.
const MOST: usize = 64 << 20;

/// Recognises user data for other programs, also compressed.
pub(super) fn not_ignition(text: &[u8]) -> Option<NotIgnition> {
    let plain = if text.starts_with(GZIP) {
        Cow::Owned(inflated_prefix(text)?)
    } else {
        Cow::Borrowed(text)
    };
    let first_line = plain.split(|byte| *byte == b'\n').next().unwrap_or_default();
    if first_line.starts_with(b"#!") {
        Some(NotIgnition::Script)
    } else if String::from_utf8_lossy(first_line.get(..PREFIX).unwrap_or(first_line)).trim_end()
        == "#cloud-config"
    {
        Some(NotIgnition::CloudConfig)
    } else if is_multipart(&plain) {
        Some(NotIgnition::Multipart)
    } else {
        None
    }
}

/// The beginning of gzip data that is intact as a whole: what is cut off or followed by something else is not taken for user
/// data of another program, as with Flatcar.
fn inflated_prefix(text: &[u8]) -> Option<Vec<u8>> {
    let mut decoder = MultiGzDecoder::new(text);
    let mut prefix = Vec::new();
    let mut buffer = [0; 8 << 10];
    let mut total = 0_usize;
    loop {
        let count = decoder.read(&mut buffer).ok()?;
        if count == 0 {
            return Some(prefix);
        }
        total = total.saturating_add(count);
        if total > MOST {
            return None;
        }
        if prefix.len() < PREFIX {
            prefix.extend_from_slice(buffer.get(..count).unwrap_or_default());
        }
    }
}

/// Whether the text begins with mail headers as Go's `net/mail` reads them, and `Content-Type` is `multipart/mixed`.
fn is_multipart(text: &[u8]) -> bool {
    if matches!(text.first(), Some(b' ' | b'\t')) {
        return false;
    }
    // A header of interest is not longer than this; JSON in one line is.
    let text = text.get(..PREFIX).unwrap_or(text);
    let mut lines = text
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii_end)
        .peekable();
    while let Some(line) = lines.next() {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            // The blank line that ends the headers, or no header at all.
            return false;
        };
        let (key, value) = line.split_at(colon);
        let mut value = value.to_vec();
        while let Some(continued) = lines.next_if(|next| matches!(next.first(), Some(b' ' | b'\t'))) {
            value.push(b' ');
            value.extend_from_slice(continued.trim_ascii_start());
        }
        if key.eq_ignore_ascii_case(b"content-type") {
            return value.windows(15).any(|window| window == b"multipart/mixed");
        }
    }
    false
}

/// What a text that is not JSON seems to be, and what to do about it.
pub(super) fn hint(text: &[u8]) -> Option<&'static str> {
    if text.starts_with(GZIP) {
        return Some("the text is compressed with gzip, and must be plain JSON here: decompress it first");
    }
    if text.starts_with(b"\xef\xbb\xbf") {
        return Some("the text begins with a byte order mark: save it as UTF-8 without one");
    }
    if text.starts_with(b"\xff\xfe") || text.starts_with(b"\xfe\xff") {
        return Some("the text is UTF-16: save it as UTF-8");
    }
    let body = text.trim_ascii_start();
    if body.starts_with(b"<") {
        return Some("the text looks like HTML or XML: maybe a server's error page");
    }
    let line = body
        .split(|byte| *byte == b'\n')
        .find(|line| !line.starts_with(b"#") && !line.trim_ascii().is_empty())?;
    let word = line
        .iter()
        .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
        .count();
    let is_yaml = line.starts_with(b"---") || (word > 0 && line.get(word) == Some(&b':'));
    is_yaml.then_some("the text looks like YAML: if it is Butane, translate it with butane first")
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn user_data_for_others_is_recognised() {
        use NotIgnition::{CloudConfig, Multipart, Script};
        let table: &[(&str, Option<NotIgnition>)] = &[
            ("#cloud-config\n", Some(CloudConfig)),
            ("#cloud-config", Some(CloudConfig)),
            ("#cloud-config \t\r\nx: 1", Some(CloudConfig)),
            ("#Cloud-Config\n", None),
            (" #cloud-config\n", None),
            ("#cloud-config-archive\n", None),
            ("#!/bin/sh\n", Some(Script)),
            ("#!", Some(Script)),
            (
                "Content-Type: multipart/mixed; boundary=x\n\n--x",
                Some(Multipart),
            ),
            (
                "MIME-Version: 1.0\r\ncontent-type:\r\n  multipart/mixed\r\n\r\n",
                Some(Multipart),
            ),
            ("Content-Type: text/plain\n\nContent-Type: multipart/mixed", None),
            ("no header\nContent-Type: multipart/mixed\n", None),
            (" Content-Type: multipart/mixed\n", None),
            ("{\"a\": \"Content-Type: multipart/mixed\"}", None),
            ("{}", None),
            ("", None),
        ];
        for (text, expected) in table {
            assert_eq!(not_ignition(text.as_bytes()), *expected, "{text:?}");
            assert_eq!(
                not_ignition(&gzip(text.as_bytes())),
                *expected,
                "compressed {text:?}"
            );
        }
    }

    #[test]
    fn broken_gzip_is_nobodys() {
        let whole = gzip(b"#cloud-config\n");
        assert_eq!(not_ignition(&whole[..whole.len() - 4]), None, "cut off");
        assert_eq!(
            not_ignition(&[whole.as_slice(), b"xx"].concat()),
            None,
            "followed by something"
        );
        assert_eq!(
            not_ignition(&[whole.as_slice(), &whole].concat()),
            Some(NotIgnition::CloudConfig)
        );
    }

    #[test]
    fn a_bomb_is_left_alone() {
        let mut text = b"#cloud-config\n".to_vec();
        text.resize(MOST + 1, b'\n');
        assert_eq!(not_ignition(&gzip(&text)), None);
    }

    #[test]
    fn mime_headers_have_an_end() {
        let headers = |length: usize| {
            let filler = "X-Filler: y\n".repeat(length / 12);
            format!("MIME-Version: 1.0\n{filler}Content-Type: multipart/mixed; boundary=b\n\n--b\n")
        };
        assert_eq!(
            not_ignition(headers(1024).as_bytes()),
            Some(NotIgnition::Multipart)
        );
        assert_eq!(not_ignition(headers(PREFIX).as_bytes()), None);
    }

    #[test]
    fn hints_name_what_the_text_seems_to_be() {
        let table: &[(&[u8], Option<&str>)] = &[
            (b"\x1f\x8bxx", Some("gzip")),
            (b"variant: flatcar\nversion: 1.1.0\n", Some("Butane")),
            (b"# comment\n\nsystemd:\n", Some("Butane")),
            (b"---\n", Some("YAML")),
            (b"\xef\xbb\xbf{}", Some("byte order mark")),
            (b"\xff\xfe{\0", Some("UTF-16")),
            (b"<html>", Some("HTML")),
            (b"{\"a\":", None),
        ];
        for (text, word) in table {
            let found = hint(text);
            assert_eq!(found.is_some(), word.is_some(), "{}", text.escape_ascii());
            assert!(
                found.unwrap_or_default().contains(word.unwrap_or_default()),
                "{found:?}"
            );
        }
    }
}
