//! What a string literal says.

use std::borrow::Cow;

/// Undoes the escapes between the quotes of a scanned string.
///
/// As in Go every byte that is not part of valid UTF-8 becomes one U+FFFD (Rust's lossy conversion puts one for a
/// whole broken sequence), and so does every surrogate without its partner.
pub(super) fn unquote(raw: &[u8]) -> Cow<'_, str> {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    loop {
        let length = rest.iter().position(|byte| *byte == b'\\').unwrap_or(rest.len());
        let (plain, tail) = rest.split_at(length);
        push_plain(&mut out, plain);
        let Some((_, escape)) = tail.split_first() else {
            return Cow::Owned(out);
        };
        let Some((letter, after)) = escape.split_first() else {
            return Cow::Owned(out);
        };
        rest = after;
        match letter {
            b'b' => out.push('\u{8}'),
            b'f' => out.push('\u{c}'),
            b'n' => out.push('\n'),
            b'r' => out.push('\r'),
            b't' => out.push('\t'),
            b'u' => {
                let (character, after) = unicode_escape(after);
                out.push(character);
                rest = after;
            }
            other => out.push(char::from(*other)),
        }
    }
}

fn push_plain(out: &mut String, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        for _ in chunk.invalid() {
            out.push(char::REPLACEMENT_CHARACTER);
        }
    }
}

/// Reads what follows `\u`: four digits, and a second escape if the two are a surrogate pair.
fn unicode_escape(digits: &[u8]) -> (char, &[u8]) {
    let (unit, rest) = hex4(digits);
    if let Some(character) = char::from_u32(unit) {
        return (character, rest);
    }
    if (0xd800..0xdc00).contains(&unit)
        && let Some(second) = rest.strip_prefix(b"\\u")
    {
        let (low, after) = hex4(second);
        if (0xdc00..0xe000).contains(&low) {
            let point = 0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
            return (
                char::from_u32(point).unwrap_or(char::REPLACEMENT_CHARACTER),
                after,
            );
        }
    }
    (char::REPLACEMENT_CHARACTER, rest)
}

/// Four hexadecimal digits; the scanner has seen them.
fn hex4(digits: &[u8]) -> (u32, &[u8]) {
    let (four, rest) = digits.split_at(digits.len().min(4));
    let value = four.iter().fold(0, |value, digit| {
        value << 4 | char::from(*digit).to_digit(16).unwrap_or_default()
    });
    (value, rest)
}
