use super::*;
use crate::report::Position;

fn error(text: &[u8]) -> (usize, String) {
    let error = Document::parse(text).expect_err("this is not JSON");
    (error.offset, error.message)
}

fn string(text: &[u8]) -> String {
    let document = Document::parse(text).expect("this is JSON");
    document.root().as_str().expect("this is a string").into_owned()
}

#[test]
fn an_entry_takes_sixteen_bytes() {
    assert_eq!(size_of::<Entry>(), 16);
}

#[test]
fn errors_have_the_offset_and_the_words_of_go() {
    let table: &[(&[u8], usize, &str)] = &[
        (b" ", 1, "unexpected end of JSON input"),
        (b"{", 1, "unexpected end of JSON input"),
        (b"{\"a\"", 4, "unexpected end of JSON input"),
        (b"\"abc", 4, "unexpected end of JSON input"),
        (
            b"#cloud",
            1,
            "invalid character '#' looking for beginning of value",
        ),
        (
            b"\x1f\x8b",
            1,
            "invalid character '\\x1f' looking for beginning of value",
        ),
        (
            b"\xef\xbb\xbf{}",
            1,
            "invalid character '\u{ef}' looking for beginning of value",
        ),
        (b"---", 2, "invalid character '-' in numeric literal"),
        (b"-", 1, "invalid character ' ' in numeric literal"),
        (
            b"1.",
            2,
            "invalid character ' ' after decimal point in numeric literal",
        ),
        (b"1ex", 3, "invalid character 'x' in exponent of numeric literal"),
        (b"01", 2, "invalid character '1' after top-level value"),
        (
            b"{'a':1}",
            2,
            "invalid character '\\'' looking for beginning of object key string",
        ),
        (
            b"{\"a\":1,}",
            8,
            "invalid character '}' looking for beginning of object key string",
        ),
        (b"[1,]", 4, "invalid character ']' looking for beginning of value"),
        (b"{\"a\" 1}", 6, "invalid character '1' after object key"),
        (
            b"{\"a\":1 \"b\"}",
            8,
            "invalid character '\"' after object key:value pair",
        ),
        (b"[1 2]", 4, "invalid character '2' after array element"),
        (b"[1}", 3, "invalid character '}' after array element"),
        (b"{} x", 4, "invalid character 'x' after top-level value"),
        (b"{}\0", 3, "invalid character '\\x00' after top-level value"),
        (b"tru", 3, "invalid character ' ' in literal true (expecting 'e')"),
        (
            b"nule",
            4,
            "invalid character 'e' in literal null (expecting 'l')",
        ),
        (b"\"a\nb\"", 3, "invalid character '\\n' in string literal"),
        (b"\"\\x\"", 3, "invalid character 'x' in string escape code"),
        (
            b"\"\\u12g4\"",
            6,
            "invalid character 'g' in \\u hexadecimal character escape",
        ),
    ];
    for (text, offset, message) in table {
        assert_eq!(
            error(text),
            (*offset, (*message).to_owned()),
            "{}",
            text.escape_ascii()
        );
    }
}

#[test]
fn nesting_ends_where_go_ends_it() {
    let deep = |depth: usize| [vec![b'['; depth], vec![b']'; depth]].concat();
    assert!(Document::parse(&deep(10_000)).is_ok());
    let (offset, message) = error(&deep(10_001));
    assert_eq!(
        (offset, message.as_str()),
        (10_001, "invalid character '[' exceeded max depth")
    );
}

#[test]
fn strings_read_as_in_go() {
    let table: &[(&[u8], &str)] = &[
        (br#""plain \u00fc \/ \"""#, "plain \u{fc} / \""),
        (br#""\b\f\n\r\t\\""#, "\u{8}\u{c}\n\r\t\\"),
        (br#""\ud83d\ude00""#, "\u{1f600}"),
        (br#""\ud83d""#, "\u{fffd}"),
        (br#""\ud83dx""#, "\u{fffd}x"),
        (br#""\ud83d\u0041""#, "\u{fffd}A"),
        (br#""\ude00\ud83d\ude00""#, "\u{fffd}\u{1f600}"),
        (b"\"a\xffb\"", "a\u{fffd}b"),
        // One replacement for each byte, not one for the cut-off sequence
        (b"\"\xe2\x82\"", "\u{fffd}\u{fffd}"),
        (b"\"\xed\xa0\x80\"", "\u{fffd}\u{fffd}\u{fffd}"),
        ("\"ü€😀\"".as_bytes(), "ü€😀"),
    ];
    for (text, expected) in table {
        assert_eq!(string(text), *expected, "{}", text.escape_ascii());
    }
}

#[test]
fn debug_shows_no_text() {
    let document = Document::parse(b"\"canary\"").unwrap();
    assert_eq!(format!("{document:?}"), "<JSON, 8 bytes>");
}

#[test]
fn plain_strings_are_borrowed() {
    let document = Document::parse(b"[\"abc\"]").unwrap();
    let element = document.root().elements().next().unwrap();
    assert!(matches!(element.as_str(), Some(Cow::Borrowed("abc"))));
}

#[test]
fn integers_are_plain_literals_that_fit() {
    let table = [
        ("420", Some(420)),
        ("-0", Some(0)),
        ("9223372036854775807", Some(i64::MAX)),
        ("-9223372036854775808", Some(i64::MIN)),
        ("9223372036854775808", None),
        ("1.0", None),
        ("1e3", None),
        ("\"1\"", None),
    ];
    for (text, expected) in table {
        assert_eq!(
            Document::parse(text.as_bytes()).unwrap().root().as_i64(),
            expected,
            "{text}"
        );
    }
}

#[test]
fn walking_follows_the_text() {
    let document = Document::parse(b"{\"a\": [1, {\"x\": [[]]}, 2], \"b\": {}, \"a\": 3}").unwrap();
    let keys: Vec<_> = document
        .root()
        .members()
        .map(|(key, _)| key.as_str().unwrap().into_owned())
        .collect();
    assert_eq!(keys, ["a", "b", "a"]);
    assert_eq!(
        document.root().get("a").unwrap().as_i64(),
        Some(3),
        "the last duplicate counts"
    );
    let (_, list) = document.root().members().next().unwrap();
    let kinds: Vec<_> = list.elements().map(Node::kind).collect();
    assert_eq!(kinds, [Kind::Number, Kind::Object, Kind::Number]);
    assert_eq!(list.span(), 6..25);
    assert_eq!(list.report_offset(), 7);
    assert_eq!(document.lines().position(7), Position { line: 1, column: 8 });
    assert!(document.root().elements().next().is_none());
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(text in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        if let Err(error) = Document::parse(&text) {
            proptest::prop_assert!(error.offset <= text.len());
        }
    }

    /// Same verdict as `serde_json` on texts made of JSON's own pieces (it is as strict as Go about syntax).
    #[test]
    fn the_verdict_is_that_of_serde_json(
        pieces in proptest::collection::vec(
            proptest::sample::select(vec![
                "{", "}", "[", "]", ",", ":", "\"a\"", "\"\\n\"", "1", "-2.5e3", "0", "true", "null", " ", "\n", "fals",
            ]),
            0..14,
        )
    ) {
        let text = pieces.concat();
        proptest::prop_assert_eq!(
            Document::parse(text.as_bytes()).is_ok(),
            serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok(),
            "{}", text
        );
    }
}
