use super::*;
use proptest::prelude::*;

fn config(http: &str, https: &str, no_proxy: &[&str]) -> Proxy {
    let some = |text: &str| Some(Hidden::from(text)).filter(|_| !text.is_empty());
    Proxy {
        http_proxy: some(http),
        https_proxy: some(https),
        no_proxy: no_proxy.iter().map(|item| (*item).to_owned()).collect(),
    }
}

/// The proxy's URL, `None` for a direct way.
fn way(proxy: &Proxy, url: &str) -> Option<String> {
    match route(proxy, &Url::parse(&crate::fetch::idn::ascii(url)).unwrap()).unwrap() {
        Route::Direct => None,
        Route::Via(via) => Some(via.url.into()),
    }
}

#[test]
fn each_scheme_has_its_proxy_and_no_other() {
    let both = config("http://p:1", "https://s:2", &[]);
    let (plain, tls) = (config("http://p:1", "", &[]), config("", "https://s:2", &[]));
    let p = Some("http://p:1/".to_owned());
    let s = Some("https://s:2/".to_owned());
    for (proxy, http, https) in [
        (&both, &p, &s),
        (&plain, &p, &None),
        (&tls, &None, &s),
        (&config("", "", &["h"]), &None, &None),
    ] {
        assert_eq!(way(proxy, "http://h/x"), *http);
        assert_eq!(way(proxy, "https://h/x"), *https);
    }
    let empty = Proxy {
        http_proxy: Some("".into()),
        ..Proxy::default()
    };
    assert_eq!(way(&empty, "http://h/"), None);
}

#[test]
fn this_machine_is_never_proxied() {
    let proxy = config("http://p", "http://p", &[]);
    for (host, direct) in [
        ("localhost", true),
        ("LOCALHOST", true),
        ("localhost:8080", true),
        ("127.0.0.1", true),
        ("127.1", true),
        ("0x7f000001", true),
        ("127.9.9.9:80", true),
        ("[::1]", true),
        ("[::ffff:127.0.0.1]", true),
        ("localhost.", false),
        ("localhost.example", false),
        ("sub.localhost", false),
        ("128.0.0.1", false),
        ("0.0.0.0", false),
        ("[::2]", false),
    ] {
        for scheme in ["http", "https"] {
            let url = format!("{scheme}://{host}/");
            assert_eq!(way(&proxy, &url).is_none(), direct, "{url}");
        }
    }
    // Nor does it matter then what the proxy is.
    assert_eq!(way(&config("http://", "", &[]), "http://localhost/"), None);
}

#[test]
fn the_forms_of_no_proxy() {
    let table: &[(&str, &[&str], &[&str])] = &[
        // item, goes straight, goes through the proxy
        (
            "*",
            &["http://h/", "http://192.0.2.1/", "https://[2001:db8::1]/"],
            &[],
        ),
        (" * ", &["http://h/"], &[]),
        ("", &[], &["http://h/"]),
        (",, ,", &[], &["http://h/"]),
        (
            "192.0.2.1",
            &[
                "http://192.0.2.1/",
                "https://192.0.2.1:8443/",
                "http://[::ffff:192.0.2.1]/",
            ],
            &["http://192.0.2.2/", "http://192.0.2.10/", "http://h/"],
        ),
        (
            "192.0.2.1:80",
            &["http://192.0.2.1/"],
            &["https://192.0.2.1/", "http://192.0.2.1:8080/"],
        ),
        ("192.0.2.1:443", &["https://192.0.2.1/"], &["http://192.0.2.1/"]),
        (
            "2001:DB8::1",
            &["http://[2001:db8:0::1]/", "http://[2001:db8::1]:81/"],
            &["http://[2001:db8::2]/"],
        ),
        (
            "[2001:db8::1]:80",
            &["http://[2001:db8::1]/"],
            &["http://[2001:db8::1]:81/"],
        ),
        // Brackets without a port are no form that Go knows.
        ("[2001:db8::1]", &[], &["http://[2001:db8::1]/"]),
        ("::ffff:192.0.2.1", &["http://192.0.2.1/"], &["http://192.0.2.2/"]),
        (
            "192.0.2.0/24",
            &["http://192.0.2.255:9/"],
            &["http://192.0.3.0/", "http://h/", "http://[::c000:201]/"],
        ),
        (
            "192.0.2.77/24",
            &["http://192.0.2.1/", "http://[::ffff:192.0.2.1]/"],
            &["http://192.0.3.77/"],
        ),
        ("192.0.2.1/32", &["http://192.0.2.1/"], &["http://192.0.2.0/"]),
        (
            "0.0.0.0/0",
            &["http://203.0.113.9/"],
            &["http://[2001:db8::1]/", "http://h/"],
        ),
        ("192.0.2.0/024", &["http://192.0.2.9/"], &["http://192.0.3.9/"]),
        (
            "2001:db8::/32",
            &["http://[2001:db8:ffff::]/"],
            &["http://[2001:db9::]/", "http://192.0.2.1/"],
        ),
        (
            "::/0",
            &["http://[2001:db8::1]/"],
            &["http://192.0.2.1/", "http://[::ffff:192.0.2.1]/"],
        ),
        (
            "::ffff:192.0.2.0/120",
            &["http://192.0.2.9/"],
            &["http://192.0.3.9/", "http://[::c000:201]/"],
        ),
        (
            "::ffff:0:0/96",
            &["http://203.0.113.1/"],
            &["http://[2001:db8::1]/"],
        ),
        (
            "example.com",
            &[
                "http://example.com/",
                "https://a.example.com/",
                "http://a.b.example.com:81/",
                "http://EXAMPLE.com/",
            ],
            &[
                "http://notexample.com/",
                "http://example.com.evil/",
                "http://example.org/",
                "http://com/",
                "http://example.com./",
            ],
        ),
        (
            ".example.com",
            &["http://a.example.com/"],
            &["http://example.com/", "http://aexample.com/"],
        ),
        (
            "*.example.com",
            &["http://a.example.com/"],
            &["http://example.com/", "http://aexample.com/"],
        ),
        (" Example.COM ", &["http://example.com/"], &["http://h/"]),
        (
            "example.com:81",
            &["http://a.example.com:81/"],
            &["http://example.com/", "https://example.com/"],
        ),
        (
            ".example.com:443",
            &["https://a.example.com/"],
            &["http://a.example.com/", "https://example.com/"],
        ),
        ("example.com:", &["http://example.com:81/"], &["http://h/"]),
        (
            "[example.com]:80",
            &["http://example.com/"],
            &["https://example.com/"],
        ),
        ("com", &["http://example.com/"], &["http://examplecom/"]),
        (
            "a, b ,c",
            &["http://a/", "http://b/", "http://x.c/"],
            &["http://d/"],
        ),
        (
            "bücher.example",
            &["http://xn--bcher-kva.example/", "http://a.bücher.example/"],
            &["http://h/"],
        ),
        (
            ".bücher.example",
            &["http://a.bücher.example/"],
            &["http://bücher.example/"],
        ),
        // A domain's rule looks at addresses too, as in Go.
        (".2.1", &["http://192.0.2.1/"], &["http://192.0.2.2/"]),
        // Malformed: they say nothing, and what follows them counts.
        (
            "192.0.2.0/33,:80,[,],a:b:c,[::1,[::1]]:80,http://h,h/,192.0.2.0/+8,192.0.2.0/,/,b",
            &["http://b/"],
            &["http://h/", "http://a/", "http://192.0.2.0/"],
        ),
        ("192.0.2.1:http", &[], &["http://192.0.2.1/"]),
        ("exam*ple.com", &[], &["http://example.com/"]),
        ("**.example.com", &[], &["http://a.example.com/"]),
    ];
    for (item, direct, proxied) in table {
        let proxy = config("http://p", "http://p", &[item]);
        for url in *direct {
            assert_eq!(way(&proxy, url), None, "{item}: {url}");
        }
        for url in *proxied {
            assert!(way(&proxy, url).is_some(), "{item}: {url}");
        }
    }
    let several = config("http://p", "", &["a", "nonsense:::", "b"]);
    assert_eq!(way(&several, "http://b/"), None);
}

#[test]
fn urls_of_proxies() {
    let table = [
        ("http://p", "http://p/", None),
        ("http://p:80/path?query#fragment", "http://p/", None),
        ("HTTPS://P:3129", "https://p:3129/", None),
        ("p", "http://p/", None),
        ("p:3128", "http://p:3128/", None),
        ("192.0.2.1:3128", "http://192.0.2.1:3128/", None),
        ("[2001:db8::1]:3128", "http://[2001:db8::1]:3128/", None),
        ("u:w@p:3128", "http://p:3128/", Some("u:w")),
        ("http://u:w@p", "http://p/", Some("u:w")),
        ("http://u@p", "http://p/", Some("u:")),
        ("http://@p", "http://p/", Some(":")),
        ("http://:w@p", "http://p/", Some(":w")),
        ("http://u%40x:w%3a%2F@p", "http://p/", Some("u@x:w:/")),
        ("http://u:a:b@p", "http://p/", Some("u:a:b")),
    ];
    for (text, url, user) in table {
        let via = parse(text, "httpProxy").unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(via.url.as_str(), url, "{text}");
        let want = user.map(|user| format!("Basic {}", STANDARD.encode(user)));
        assert_eq!(via.authorization.map(|hidden| hidden.0), want, "{text}");
    }
    let bytes = parse("http://u:%ff@p", "httpProxy")
        .unwrap()
        .authorization
        .unwrap();
    assert_eq!(bytes.reveal(), format!("Basic {}", STANDARD.encode(b"u:\xff")));
}

#[test]
fn what_is_no_proxy_is_refused_and_not_passed_by() {
    for text in [
        "http://",
        "http://canary@",
        "http:canary",
        "http:///canary",
        "//canary",
        "socks5://canary",
        "ftp://canary:canary@p",
        "http://[canary",
        "http://canary:canary:canary",
        "http://p:canary",
        "http://p:99999",
        "http://u:can ary@p",
        "canary\n",
        "http://p{canary}/",
        " canary",
    ] {
        let proxy = config("", text, &["elsewhere"]);
        let error = route(&proxy, &Url::parse("https://h/").unwrap()).expect_err(text);
        let shown = format!("{error} {error:?}");
        assert!(shown.contains("ignition.proxy.httpsProxy"), "{text:?}: {shown}");
        assert!(!shown.contains("canary"), "{text:?}: {shown}");
    }
}

#[test]
fn nothing_secret_is_shown() {
    let proxy = config("http://canary:canary@p:3128/canary?canary", "", &[]);
    let Route::Via(via) = route(&proxy, &Url::parse("http://h/").unwrap()).unwrap() else {
        panic!("it must be proxied");
    };
    assert_eq!(via.to_string(), "http://p:3128 (ignition.proxy.httpProxy)");
    let shown = format!("{via:?}");
    assert!(
        !shown.contains("canary") && !shown.contains(&STANDARD.encode("canary:canary")),
        "{shown}"
    );
}

proptest! {
    #[test]
    fn never_panics(proxy in ".{0,40}|(https?://)?[a-z0-9:@%\\[\\].]{0,20}", items in prop::collection::vec("\\PC{0,20}|[0-9a-f:./*\\[\\]]{0,20}", 0..6)) {
        let items: Vec<&str> = items.iter().map(String::as_str).collect();
        for url in ["http://h.example:81/", "https://192.0.2.1/", "http://[2001:db8::1]/", "http://xn--bcher-kva.example/"] {
            let url = Url::parse(url).unwrap();
            if let Ok(Route::Via(via)) = route(&config(&proxy, &proxy, &items), &url) {
                prop_assert!(matches!(via.url.scheme(), "http" | "https"));
                prop_assert_eq!(via.url.username(), "");
                prop_assert!(via.url.password().is_none());
            }
        }
    }

    #[test]
    fn networks_hold_what_begins_alike(start: u32, other: u32, length in 0..=32_u32, start6: u128, other6: u128, length6 in 0..=128_u32) {
        let straight = |item: String, url: String| way(&config("http://p", "", &[&item]), &url).is_none();
        let (a, b) = (Ipv4Addr::from_bits(start), Ipv4Addr::from_bits(other));
        // Two numbers begin alike in as many bits as their difference has leading zeros.
        let alike = (start ^ other).leading_zeros() >= length;
        prop_assert_eq!(straight(format!("{a}/{length}"), format!("http://{b}/")), alike || b.is_loopback());
        let (a, b) = (Ipv6Addr::from_bits(start6 | 1 << 127), Ipv6Addr::from_bits(other6 | 1 << 127));
        let alike = (a.to_bits() ^ b.to_bits()).leading_zeros() >= length6;
        prop_assert_eq!(straight(format!("{a}/{length6}"), format!("http://[{b}]/")), alike);
    }

    #[test]
    fn a_domain_means_itself_and_what_is_below(name in "[a-z]{1,8}(\\.[a-z]{1,8}){0,2}\\.example", below in "[a-z]{1,8}", dotted: bool) {
        let item = if dotted { format!(".{name}") } else { name.clone() };
        let proxy = config("http://p", "", &[&item]);
        let is_straight = |host: String| way(&proxy, &format!("http://{host}/")).is_none();
        prop_assert_eq!(is_straight(name.clone()), !dotted);
        for (host, straight) in [
            (format!("{below}.{name}"), true),
            (format!("{below}{name}"), false),
            (format!("{name}.{below}"), false),
        ] {
            prop_assert_eq!(is_straight(host), straight);
        }
    }
}
