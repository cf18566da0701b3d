use proptest::prelude::*;

use super::*;

#[test]
fn parts() {
    let url = Url::parse("HTTP://u%40x:p:w@Host.example:8080/a%20b/c?x=1&y=%31+2#frag").unwrap();
    assert_eq!(url.scheme(), "http");
    let user = url.user().unwrap();
    assert_eq!(
        (user.name.as_slice(), user.password.as_deref()),
        (&b"u@x"[..], Some(&b"p:w"[..]))
    );
    assert_eq!(url.host(), b"Host.example:8080");
    assert_eq!(url.hostname(), b"Host.example");
    assert_eq!(url.port(), Some("8080"));
    assert_eq!(url.path(), b"/a b/c");
    assert_eq!(url.raw_path(), "/a%20b/c");
    assert_eq!(url.query_value("x").as_deref(), Some(&b"1"[..]));
    assert_eq!(url.query_value("y").as_deref(), Some(&b"1 2"[..]));
    assert_eq!(url.query_value("z"), None);
    assert_eq!(url.fragment(), "frag");
}

#[test]
fn opaque_parts() {
    for (text, scheme, opaque, query) in [
        (
            "arn:aws:s3:::b/k?versionId=1",
            "arn",
            "aws:s3:::b/k",
            "versionId=1",
        ),
        ("mailto:x@y", "mailto", "x@y", ""),
        ("data:,a?b#c", "data", ",a", "b"),
        ("example.com:80", "example.com", "80", ""),
        ("http:", "http", "", ""),
    ] {
        let url = Url::parse(text).unwrap();
        assert_eq!(
            (url.scheme(), url.opaque(), url.raw_query()),
            (scheme, opaque, query),
            "{text:?}"
        );
    }
}

#[test]
fn hosts() {
    for (text, host, name, port) in [
        ("http://h", "h", "h", None),
        ("http://h:", "h:", "h", None),
        ("http://a:99999/b", "a:99999", "a", Some("99999")),
        ("http://a:b:80/", "a:b:80", "a:b", Some("80")),
        ("http://[::1]/a", "[::1]", "::1", None),
        ("http://[::1]:80/a", "[::1]:80", "::1", Some("80")),
        (
            "http://[fe80::1%25eth0]/a",
            "[fe80::1%eth0]",
            "fe80::1%eth0",
            None,
        ),
        (
            "http://[::ffff:1.2.3.4]/",
            "[::ffff:1.2.3.4]",
            "::ffff:1.2.3.4",
            None,
        ),
        ("http://x[::1]/", "[::1]", "::1", None),
        ("http:///x", "", "", None),
        ("//h/x", "h", "h", None),
        ("///x", "", "", None),
        ("http://%C3%A9/", "é", "é", None),
        ("http://é/", "é", "é", None),
    ] {
        let url = Url::parse(text).unwrap();
        assert_eq!(url.host(), host.as_bytes(), "{text:?}");
        assert_eq!((url.hostname(), url.port()), (name.as_bytes(), port), "{text:?}");
    }
}

#[test]
fn refused() {
    use UrlError::{ColonWithoutScheme, Control, EmptyScheme, Escape, Host, Port, UserInfo};
    for (text, expected) in [
        ("\n", Control),
        ("http://a/\u{7f}", Control),
        (":", EmptyScheme),
        (":a", EmptyScheme),
        ("1http://a", ColonWithoutScheme),
        (" http://a/b", ColonWithoutScheme),
        ("a b:c", ColonWithoutScheme),
        ("é:c", ColonWithoutScheme),
        ("http://a/%", Escape),
        ("http://a/%4", Escape),
        ("http://a/%zz", Escape),
        ("http://a/x#%zz", Escape),
        ("/%zz", Escape),
        ("http://%41/", Escape),
        ("http://u%zz@h/", Escape),
        ("http://u:%zz@h/", Escape),
        ("http://[fe80::1%25%2f]/", Escape),
        ("http://exa mple.com/", Host),
        ("http://a\\b/c", Host),
        ("http://a|b/", Host),
        ("http://[::1/a", Host),
        ("http://[1.2.3.4]/", Host),
        ("http://[a]/", Host),
        ("http://[::1%25]/", Host),
        ("http://[]/", Host),
        ("http://]a[/", Host),
        ("http://h:x/", Port),
        ("http://h:-1/", Port),
        ("http://[::1]x/", Port),
        ("http://[::1]:x/", Port),
        ("http://u[@h/", UserInfo),
        ("http://ü@h/", UserInfo),
    ] {
        assert_eq!(Url::parse(text).err(), Some(expected), "{text:?}");
    }
}

#[test]
fn accepted() {
    for text in [
        "",
        "*",
        "/etc/passwd",
        "a/b:c",
        "?a:b",
        "http://example.com/é",
        "http://example.com/a b",
        "http://a/b ",
        "http://h/a#\n",
        "http://h/?%zz",
        "http://u:p@x@h/",
        "http:%zz",
    ] {
        assert!(Url::parse(text).is_ok(), "{text:?}");
    }
}

#[test]
fn shown() {
    for (text, expected) in [
        ("http://u:p@h/x", "http://h/x"),
        (
            "http://u:p@h:1/x?token=abc&b=&secret#f",
            "http://h:1/x?token=…&b=…&…#…",
        ),
        ("http:u:p@h/x", "http:…"),
        ("s3://b/k?versionId=1", "s3://b/k?versionId=…"),
        ("oem:///f", "oem:///f"),
        ("arn:aws:s3:::b/k", "arn:aws:s3:::b/k"),
        ("data:,abc%20", "data:…(4 bytes)"),
        ("data:;base64,YQ==", "data:…(1 bytes)"),
        ("data:broken", "data:…(11 bytes)"),
        ("", ""),
        ("a/b", "a/b"),
        ("secret@h/b@c", "…@c"),
        ("http://h/a@b", "http://h/a@b"),
        ("http://h/\u{9b}31m", "http://h/\u{fffd}31m"),
        ("http://u:p@[::1/", "<invalid URL, 16 bytes>"),
    ] {
        assert_eq!(display(text), expected, "{text:?}");
    }
    let url = Url::parse("https://u:canary@h/?q=canary").unwrap();
    assert!(!format!("{url} {url:?}").contains("canary"));
}

#[test]
fn what_needs_the_network() {
    for (text, expected) in [
        ("", true),
        ("/a", true),
        ("data:,x", true),
        ("DATA:,x", true),
        ("http://h/", false),
        ("oem:///f", false),
        ("arn:aws:s3:::b/k", false),
    ] {
        assert_eq!(is_offline(&Url::parse(text).unwrap()), expected, "{text:?}");
    }
}

proptest! {
    #[test]
    fn reads_what_was_written(
        scheme in "[a-z][a-z0-9+.-]{0,5}",
        host in "[a-z0-9.-]{0,8}",
        port in proptest::option::of(0_u32..100_000),
        path in "(/[a-zA-Z0-9._~-]{0,5}){0,3}",
        query in "([a-z]{1,3}=[a-z0-9]{0,3})?",
    ) {
        let port_text = port.map(|port| format!(":{port}")).unwrap_or_default();
        let mark = if query.is_empty() { "" } else { "?" };
        let text = format!("{scheme}://{host}{port_text}{path}{mark}{query}");
        let url = Url::parse(&text).unwrap();
        prop_assert_eq!(url.scheme(), &scheme);
        prop_assert_eq!(url.hostname(), host.as_bytes());
        let port = port.map(|port| port.to_string());
        prop_assert_eq!(url.port(), port.as_deref());
        prop_assert_eq!(url.path(), path.as_bytes());
        prop_assert_eq!(url.raw_query(), &query);
        prop_assert_eq!(url.reveal(), &text);
    }

    #[test]
    fn never_panics_and_never_shows_credentials(
        text in "([a-z]{0,4}:)?(//)?(canary(:canary)?@)?[\\[\\]:%a-f0-9.]{0,8}(/[^?#]{0,5})?(\\?canary)?(#canary)?",
    ) {
        // A scheme of that name is no secret.
        prop_assume!(!text.starts_with("canary:"));
        let shown = display(&text);
        prop_assert!(!shown.contains("canary"), "{} {}", text, shown);
    }

    #[test]
    fn never_panics(text in ".*") {
        let _ = display(&text);
        if let Ok(url) = Url::parse(&text) {
            let _ = (url.hostname().len(), url.port(), url.query_value("a"), url.is_offline());
        }
    }
}
