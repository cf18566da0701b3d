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

/// What a text that is not JSON seems to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Guess {
    /// What was found
    pub(super) found: &'static str,
    /// What to do about it
    pub(super) advice: &'static str,
}

const SPACE: Guess = Guess {
    found: "the text has nothing but white space",
    advice: "give a config, the smallest is {\"ignition\": {\"version\": \"3.6.0\"}}, or no user data at all",
};
const COMPRESSED: Guess = Guess {
    found: "the text is compressed with gzip, and must be plain JSON here",
    advice: "decompress it first",
};
const COMPRESSED_OTHERWISE: Guess = Guess {
    found: "the text is compressed, and must be plain JSON",
    advice: "decompress it before it is given as user data",
};
const BYTE_ORDER_MARK: Guess = Guess {
    found: "the text begins with a byte order mark",
    advice: "save it as UTF-8 without one",
};
const UTF_16: Guess = Guess {
    found: "the text is UTF-16",
    advice: "save it as UTF-8",
};
const MARKUP: Guess = Guess {
    found: "the text looks like HTML or XML",
    advice: "a server's error page or a network's login page came in the place of the config: fetch the URL by hand and see",
};
const CLOUD_INIT: Guess = Guess {
    found: "the text is user data for cloud-init",
    advice: "write the config as Butane and translate it with butane",
};
const BUTANE: Guess = Guess {
    found: "the text looks like Butane, which is YAML, and Ignition takes JSON",
    advice: "translate it with butane first: butane --strict config.bu > config.ign",
};
const YAML: Guess = Guess {
    found: "the text looks like YAML",
    advice: "if it is Butane, translate it with butane first",
};
const BASE64: Guess = Guess {
    found: "the text looks like base64, and must be plain JSON",
    advice: "decode it first; what hands out the user data may want it plain, or have encoded it twice",
};
const URL: Guess = Guess {
    found: "the text is a URL and no config",
    advice: "name it in {\"ignition\": {\"version\": \"3.6.0\", \"config\": {\"replace\": {\"source\": \"URL\"}}}}",
};
const COMMENT: Guess = Guess {
    found: "there is a comment, and JSON has none",
    advice: "remove the comments, or write the config as Butane",
};
const BINARY: Guess = Guess {
    found: "the text holds NUL bytes",
    advice: "give plain JSON; a disk, archive or image came in the place of the config",
};
const CUT: Guess = Guess {
    found: "the text ends in the middle",
    advice: "it was cut off, as platforms do with user data beyond their limit: make it smaller, for example by \
             ignition.config.replace with a URL",
};

const ALL: [Guess; 14] = [
    SPACE,
    COMPRESSED,
    COMPRESSED_OTHERWISE,
    BYTE_ORDER_MARK,
    UTF_16,
    MARKUP,
    CLOUD_INIT,
    BUTANE,
    YAML,
    BASE64,
    URL,
    COMMENT,
    BINARY,
    CUT,
];

/// The advice at the end of a message that a guess is part of.
pub(super) fn advice_in(message: &str) -> Option<&'static str> {
    ALL.iter()
        .map(|guess| guess.advice)
        .find(|advice| message.ends_with(*advice))
}

/// Beginnings of xz, zstd, bzip2 and zip.
const MAGIC: [&[u8]; 4] = [b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"BZh", b"PK\x03\x04"];

/// What a text that is not JSON seems to be, and what to do about it. `ends` says that the text is JSON up to its end.
pub(super) fn hint(text: &[u8], ends: bool) -> Option<Guess> {
    if text.starts_with(GZIP) {
        return Some(COMPRESSED);
    }
    if MAGIC.iter().any(|magic| text.starts_with(magic)) {
        return Some(COMPRESSED_OTHERWISE);
    }
    if text.starts_with(b"\xef\xbb\xbf") {
        return Some(BYTE_ORDER_MARK);
    }
    if text.starts_with(b"\xff\xfe") || text.starts_with(b"\xfe\xff") || is_half_zero(text) {
        return Some(UTF_16);
    }
    let body = text.trim_ascii();
    let start = body.get(..PREFIX).unwrap_or(body);
    if body.is_empty() {
        return Some(SPACE);
    }
    if start.starts_with(b"<") {
        return Some(MARKUP);
    }
    if is_cloud_init(start) {
        return Some(CLOUD_INIT);
    }
    if matches!(start.first(), Some(b'{' | b'[')) {
        return if ends {
            Some(CUT)
        } else if has_comment(start) {
            Some(COMMENT)
        } else {
            None
        };
    }
    if start.contains(&0) {
        return Some(BINARY);
    }
    if [&b"http://"[..], b"https://", b"s3://", b"tftp://", b"data:"]
        .iter()
        .any(|scheme| start.starts_with(scheme))
        && !start.contains(&b'\n')
    {
        return Some(URL);
    }
    if is_base64(start) {
        return Some(BASE64);
    }
    yaml(start)
}

/// ASCII as UTF-16 without a byte order mark: every other byte is zero.
fn is_half_zero(text: &[u8]) -> bool {
    let even = text.iter().take(64).step_by(2);
    let odd = text.iter().take(64).skip(1).step_by(2);
    let (even, odd) = (even.collect::<Vec<_>>(), odd.collect::<Vec<_>>());
    let zeros = |half: &[&u8]| half.iter().all(|byte| **byte == 0);
    let letters = |half: &[&u8]| half.iter().all(|byte| **byte != 0);
    text.len() >= 4 && (zeros(&even) && letters(&odd) || letters(&even) && zeros(&odd))
}

/// Forms of cloud-init's user data beside those that Flatcar recognises.
fn is_cloud_init(text: &[u8]) -> bool {
    let words: [&[u8]; 7] = [
        b"#cloud-config",
        b"#cloud-boothook",
        b"#include",
        b"#part-handler",
        b"#upstart-job",
        b"## template: jinja",
        b"Content-Type: multipart",
    ];
    words.iter().any(|word| {
        text.get(..word.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(word))
    })
}

/// Whether a line begins with a comment of other languages. In JSON a line can begin so only inside of no string, because
/// strings have one line.
fn has_comment(text: &[u8]) -> bool {
    text.split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii_start)
        .any(|line| {
            [&b"//"[..], b"/*", b"#"]
                .iter()
                .any(|mark| line.starts_with(mark))
        })
}

/// JSON or gzip in base64, as they always begin.
fn is_base64(text: &[u8]) -> bool {
    let starts: [&[u8]; 5] = [b"eyJ", b"ewo", b"ewA", b"eyA", b"H4sI"];
    let letter = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=-_\r\n".contains(byte);
    (starts.iter().any(|start| text.starts_with(start)) || text.starts_with(b"ew0K"))
        && text.iter().all(letter)
}

fn yaml(body: &[u8]) -> Option<Guess> {
    let lines = || {
        body.split(|byte| *byte == b'\n')
            .filter(|line| !line.starts_with(b"#") && !line.trim_ascii().is_empty())
    };
    if lines().any(|line| line.starts_with(b"variant:")) {
        return Some(BUTANE);
    }
    let line = lines().next()?;
    let word = line
        .iter()
        .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
        .count();
    let is_yaml = line.starts_with(b"---") || (word > 0 && line.get(word) == Some(&b':'));
    is_yaml.then_some(YAML)
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
        let table: &[(&[u8], bool, Option<Guess>)] = &[
            (b"\x1f\x8bxx", false, Some(COMPRESSED)),
            (b"\x28\xb5\x2f\xfd\x04", false, Some(COMPRESSED_OTHERWISE)),
            (b"\xfd7zXZ\0\0", false, Some(COMPRESSED_OTHERWISE)),
            (b"BZh91AY", false, Some(COMPRESSED_OTHERWISE)),
            (b"PK\x03\x04", false, Some(COMPRESSED_OTHERWISE)),
            (b"variant: flatcar\nversion: 1.1.0\n", false, Some(BUTANE)),
            (b"# mine\nversion: 1.1.0\nvariant: fcos\n", false, Some(BUTANE)),
            (b"---\nvariant: fcos\n", false, Some(BUTANE)),
            (b"# comment\n\nsystemd:\n", false, Some(YAML)),
            (b"---\n", false, Some(YAML)),
            (b"\xef\xbb\xbf{}", false, Some(BYTE_ORDER_MARK)),
            (b"\xff\xfe{\0", false, Some(UTF_16)),
            (b"\xfe\xff\0{", false, Some(UTF_16)),
            (b"{\0\"\0i\0", false, Some(UTF_16)),
            (b"\0{\0\"", false, Some(UTF_16)),
            (b"<html>", false, Some(MARKUP)),
            (b"\n <?xml version=\"1.0\"?>", false, Some(MARKUP)),
            (b"<!DOCTYPE html>", false, Some(MARKUP)),
            (b" #cloud-config\n", false, Some(CLOUD_INIT)),
            (b"#cloud-config-archive\n", false, Some(CLOUD_INIT)),
            (b"#include\nhttp://x\n", false, Some(CLOUD_INIT)),
            (b"## template: jinja\n#cloud-config\n", false, Some(CLOUD_INIT)),
            (b" \t\r\n", true, Some(SPACE)),
            (b"{\"ignition\": {\"version\": \"3.", true, Some(CUT)),
            (b"{\"a\":", true, Some(CUT)),
            (b"{\"a\": 1,}", false, None),
            (b"{\"a\": \"http://x\", }", false, None),
            (b"{\n  // mine\n  \"a\": 1}", false, Some(COMMENT)),
            (b"{\n# mine\n\"a\": 1}", false, Some(COMMENT)),
            (b"eyJpZ25pdGlvbiI6e319", false, Some(BASE64)),
            (b"ewogICJpZ25pdGlvbiI6IHt9\nfQo=\n", false, Some(BASE64)),
            (b"H4sIAAAAAAAAA6uuBQBDv6ajAgAAAA==", false, Some(BASE64)),
            (b"eyJ: not base64\n", false, Some(YAML)),
            (b"https://example.com/my.ign\n", false, Some(URL)),
            (b"MZ\x90\0\x03\0", false, Some(BINARY)),
            (b"hello", false, None),
            (b"", true, Some(SPACE)),
        ];
        for (text, ends, expected) in table {
            assert_eq!(hint(text, *ends), *expected, "{}", text.escape_ascii());
        }
    }

    /// The advice is found again in the message, so it must not be part of another one.
    #[test]
    fn advices_are_told_apart() {
        for guess in ALL {
            let message = format!("some error; {}: {}", guess.found, guess.advice);
            assert_eq!(advice_in(&message), Some(guess.advice));
        }
        assert_eq!(advice_in("some error"), None);
    }
}
