//! Text from configs and disks, made fit for a terminal.

use std::fmt::Write as _;

/// Characters that move the cursor, hide themselves or turn the reading direction.
pub(super) fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

fn push_escaped(text: &mut String, character: char) {
    match character {
        '\n' => text.push_str("\\n"),
        '\r' => text.push_str("\\r"),
        '\t' => text.push_str("\\t"),
        other => text.extend(other.escape_unicode()),
    }
}

/// A name as it is, or, if something in it cannot be shown, in double quotes with escapes: `\n`, `\u{1b}`, `\xff`.
/// Two different names never look the same.
pub(super) fn name(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text)
            if !text.is_empty()
                && text.trim() == text
                && !text.starts_with('"')
                && !text.contains(is_hidden) =>
        {
            text.to_owned()
        }
        _ => quoted(bytes),
    }
}

fn quoted(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() + 8);
    text.push('"');
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '"' | '\\' => text.extend(['\\', character]),
                hidden if is_hidden(hidden) => push_escaped(&mut text, hidden),
                plain => text.push(plain),
            }
        }
        for byte in chunk.invalid() {
            // Writing to a string does not fail.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text.push('"');
    text
}

/// Words as they are, with what cannot be shown escaped in place.
pub fn words(given: &str) -> String {
    let mut text = String::with_capacity(given.len());
    for character in given.chars() {
        if is_hidden(character) {
            push_escaped(&mut text, character);
        } else {
            text.push(character);
        }
    }
    text
}

/// A number with a comma between each three digits: `1,204`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 byte`, `1,204 bytes`.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        1 => String::from("1 byte"),
        _ => format!("{} bytes", thousands(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1_234_567, "1,234,567"),
            (u64::MAX, "18,446,744,073,709,551,615"),
        ] {
            assert_eq!(thousands(number), text);
        }
        assert_eq!(size(1), "1 byte");
        assert_eq!(size(1204), "1,204 bytes");
    }

    #[test]
    fn names() {
        for (given, shown) in [
            (&b"/etc/plain"[..], "/etc/plain"),
            (b"/a b", "/a b"),
            (
                b"dev-disk-by\\x2dlabel-ROOT.device",
                "dev-disk-by\\x2dlabel-ROOT.device",
            ),
            ("/gr\u{fc}n".as_bytes(), "/gr\u{fc}n"),
            (b"", "\"\""),
            (b"/a ", "\"/a \""),
            (b"\"/a\"", "\"\\\"/a\\\"\""),
            (b"/\x1b[2J\n", "\"/\\u{1b}[2J\\n\""),
            (b"/\\n\n", "\"/\\\\n\\n\""),
            (b"/\xff", "\"/\\xff\""),
            ("/\u{202e}gpj".as_bytes(), "\"/\\u{202e}gpj\""),
        ] {
            assert_eq!(name(given), shown, "{given:?}");
        }
        assert_eq!(words("a\x07b \\ c"), "a\\u{7}b \\ c");
    }

    proptest! {
        #[test]
        fn names_are_safe_and_differ(one in any::<Vec<u8>>(), other in any::<Vec<u8>>()) {
            prop_assert!(!name(&one).contains(is_hidden));
            prop_assert_eq!(name(&one) == name(&other), one == other);
        }

        // From few bytes, so that escapes and what looks like them meet.
        #[test]
        fn no_escape_is_forged(one in r#"["\\nx1ub\n\x1b{}]{0,6}"#, other in r#"["\\nx1ub\n\x1b{}]{0,6}"#) {
            prop_assert_eq!(name(one.as_bytes()) == name(other.as_bytes()), one == other);
        }
    }
}
