//! A config made fit to be shown: excerpts end up in CI logs and screenshots.

/// Keys whose text is shown, in lower case. Any other text may be a secret, or one that stands in the wrong place.
const SHOWN_KEYS: [&str; 17] = [
    "compression",
    "device",
    "format",
    "groups",
    "guid",
    "hash",
    "homedir",
    "label",
    "level",
    "name",
    "path",
    "primarygroup",
    "shell",
    "target",
    "typeguid",
    "uuid",
    "version",
];

/// Keys with URLs, of which a part is shown.
const URL_KEYS: [&str; 4] = ["httpproxy", "httpsproxy", "source", "url"];

#[derive(Clone, Copy)]
enum Shown {
    All,
    Url,
    Nothing,
}

/// A copy of the same length, byte for byte in the same place, that is text and in which secrets are stars.
///
/// It looks at strings only, so it serves texts that are no JSON too; after the first place where such a text stops
/// being JSON nothing is certain, and `end` cuts it there.
pub(super) fn showable(text: &[u8], end: usize) -> String {
    let text = text.get(..end.min(text.len())).unwrap_or(text);
    let mut bytes = text.to_vec();
    let mut shown = Shown::Nothing;
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        if *byte != b'"' {
            // Lists and objects end what a key is about; `[` does not, its strings belong to the key.
            if matches!(byte, b'{' | b'}' | b']') {
                shown = Shown::Nothing;
            }
            at += 1;
            continue;
        }
        let close = string_end(text, at + 1);
        let inside = text.get(at + 1..close).unwrap_or_default();
        let after = text.get(close + 1..).unwrap_or_default();
        if after.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b':') {
            shown = shown_of(inside);
        } else {
            let prefix = match shown {
                Shown::All => inside.len(),
                Shown::Url => shown_prefix(inside),
                Shown::Nothing => 0,
            };
            for secret in bytes.iter_mut().take(close).skip(at + 1 + prefix) {
                *secret = b'*';
            }
        }
        at = close + 1;
    }
    clean(&bytes)
}

/// The closing quote of a string, or the end of the text.
fn string_end(text: &[u8], start: usize) -> usize {
    let mut at = start;
    loop {
        match text.get(at) {
            None | Some(b'"') => return at.min(text.len()),
            Some(b'\\') => at += 2,
            Some(_) => at += 1,
        }
    }
}

fn shown_of(key: &[u8]) -> Shown {
    let is_one_of = |keys: &[&str]| {
        keys.iter()
            .any(|known| key.eq_ignore_ascii_case(known.as_bytes()))
    };
    if is_one_of(&SHOWN_KEYS) {
        Shown::All
    } else if is_one_of(&URL_KEYS) {
        Shown::Url
    } else {
        Shown::Nothing
    }
}

/// How much of an URL may be seen: up to the comma of a `data:` URL; of others the scheme, and the rest only if it has
/// neither user info nor query.
fn shown_prefix(value: &[u8]) -> usize {
    if value
        .get(..5)
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"data:"))
    {
        return value
            .iter()
            .position(|byte| *byte == b',')
            .map_or(0, |comma| comma + 1);
    }
    let Some(colon) = value.windows(3).position(|window| window == b"://") else {
        return 0;
    };
    let is_scheme = value
        .iter()
        .take(colon)
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-'));
    let is_plain = !value.iter().any(|byte| matches!(byte, b'@' | b'?' | b'\\'));
    match (is_scheme, is_plain) {
        (true, true) => value.len(),
        (true, false) => colon + 3,
        (false, _) => 0,
    }
}

/// Text of the same length: what is no UTF-8 or drives a terminal becomes question marks.
fn clean(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            let is_harmless = letter == '\n' || letter == '\t' || !(letter.is_control() || reorders(letter));
            if is_harmless {
                out.push(letter);
            } else {
                (0..letter.len_utf8()).for_each(|_| out.push('?'));
            }
        }
        chunk.invalid().iter().for_each(|_| out.push('?'));
    }
    out
}

/// Marks that make a terminal show text in another order than it stands.
fn reorders(letter: char) -> bool {
    matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn secrets_are_stars() {
        for (text, shown) in [
            (
                r#"{"passwordHash": "$6$canary"}"#,
                r#"{"passwordHash": "*********"}"#,
            ),
            (r#"{"PASSWORDHASH":"a\"b"}"#, r#"{"PASSWORDHASH":"****"}"#),
            (
                r#"{"password\u0048ash":"x","y":"z"}"#,
                r#"{"password\u0048ash":"*","y":"*"}"#,
            ),
            (
                r#"{"source":"data:;base64,YQ=="}"#,
                r#"{"source":"data:;base64,****"}"#,
            ),
            (r#"{"source":"data:no-comma"}"#, r#"{"source":"*************"}"#),
            (
                r#"{"source":"https://host/path"}"#,
                r#"{"source":"https://host/path"}"#,
            ),
            (
                r#"{"source":"https://u:p@host/?q"}"#,
                r#"{"source":"https://***********"}"#,
            ),
            (r#"{"httpProxy":"u:p@host"}"#, r#"{"httpProxy":"********"}"#),
            (
                r#"{"name":"X","value":"Bearer"}"#,
                r#"{"name":"X","value":"******"}"#,
            ),
            (r#"{"value":["a","b"],"c":"d"}"#, r#"{"value":["*","*"],"c":"*"}"#),
            (
                r#"{"passwordHash":"never closed"#,
                r#"{"passwordHash":"************"#,
            ),
            (r#"{"contents":"[Unit]\nx"}"#, r#"{"contents":"*********"}"#),
            (
                r#"{"contents":{"source":"data:,y"}}"#,
                r#"{"contents":{"source":"data:,*"}}"#,
            ),
            (r#"{"mode":"secret"}"#, r#"{"mode":"******"}"#),
            (r#"["a",{"path":"b"},"c"]"#, r#"["*",{"path":"b"},"*"]"#),
            (r#"{"path":"/etc","mode":420}"#, r#"{"path":"/etc","mode":420}"#),
        ] {
            assert_eq!(showable(text.as_bytes(), usize::MAX), shown);
        }
    }

    #[test]
    fn what_a_terminal_would_obey_is_not_shown() {
        assert_eq!(showable(b"a\x1b\xffb\xc2\x9bc\r\n", usize::MAX), "a??b??c?\n");
        assert_eq!(showable("\u{202e}x".as_bytes(), usize::MAX), "???x");
    }

    proptest! {
        #[test]
        fn lengths_and_lines_stay(bytes in proptest::collection::vec(any::<u8>(), 0..200), end in 0_usize..250) {
            let shown = showable(&bytes, end);
            prop_assert_eq!(shown.len(), bytes.len().min(end));
        }

        #[test]
        fn a_hash_is_never_shown(hash in "[a-zA-Z0-9$./]{8,40}", space in "[ \n\t]{0,3}") {
            let text = format!("{{\"a\":[1,{{\"passwordHash\"{space}:{space}\"{hash}\",\"b\":\"c\"}}]}}");
            prop_assert!(!showable(text.as_bytes(), usize::MAX).contains(&hash));
        }
    }
}
