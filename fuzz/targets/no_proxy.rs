//! Proxies: which request goes past them by `noProxy`, and that credentials of a proxy are not shown.
#![no_main]

use ignition_rs::config::types::{Hidden, Proxy};
use ignition_rs::fetch::proxy::{Route, route};
use ignition_rs_fuzz::{plant, text};
use libfuzzer_sys::fuzz_target;
use url::Url;

/// URL of the server, URL of the proxy, items of `noProxy`: one a line.
const SEEDS: &[&str] = &[
    "http://example.com/x\nhttp://u:p@proxy:3128\n.example.com,10.0.0.0/8",
    "https://a.example.com:8443\nproxy:3128\n*.example.com:8443\n::1",
    "http://10.1.2.3\nhttps://proxy\n10.0.0.0/8\n10.1.2.3:80",
    "http://[fe80::1]:80/\nproxy\nfe80::/10,[fe80::1]:80",
    "http://[::ffff:10.0.0.1]/\nproxy\n10.0.0.1",
    "http://localhost/\nproxy\nx",
    "http://127.0.0.53/\nproxy\nx",
    "http://h/\nftp://proxy\n*",
    "http://h\n[::1]:3128\n",
];

const WORDS: &[&str] = &[
    "*",
    ",",
    ".",
    "*.",
    "/8",
    "/129",
    "[::1]",
    ":80",
    "http://",
    "https://",
    "localhost",
    "::ffff:",
    "@",
];

const CANARY: &str = "canary";

fn is_direct(proxy: &Proxy, url: &Url) -> bool {
    matches!(route(proxy, url), Ok(Route::Direct))
}

fuzz_target!(init: plant(SEEDS, WORDS), |data: &[u8]| {
    let Some(text) = text(data) else { return };
    let mut lines = text.split('\n');
    let (server, through) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let items: Vec<String> = lines.map(str::to_owned).collect();
    // The program looks at the host first (web::parse, idn): escapes are refused, and what is not ASCII is encoded.
    if server.contains('%') || !server.is_ascii() {
        return;
    }
    let Ok(url) = Url::parse(server) else { return };
    if !matches!(url.scheme(), "http" | "https") {
        return;
    }
    let with = |through: &str, items: Vec<String>| Proxy {
        http_proxy: Some(Hidden::from(through)),
        https_proxy: Some(Hidden::from(through)),
        no_proxy: items,
    };
    let direct = is_direct(&with("http://proxy:3128", items.clone()), &url);

    // Neither the order of items nor how they are divided counts, and more of them only let more pass by.
    let reversed = items.iter().rev().cloned().collect();
    assert_eq!(is_direct(&with("http://proxy:3128", reversed), &url), direct);
    assert_eq!(is_direct(&with("http://proxy:3128", vec![items.join(",")]), &url), direct);
    // An address stands without its brackets, unless a port follows.
    let name = url.host_str().unwrap_or("*").trim_matches(['[', ']']);
    let is_name = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:".contains(&byte));
    for more in ["*", if is_name(name) { name } else { "*" }] {
        let more = items.iter().cloned().chain([more.to_owned()]).collect();
        assert!(is_direct(&with("http://proxy:3128", more), &url));
    }
    assert!(direct || !is_direct(&with("http://proxy:3128", Vec::new()), &url));
    let local = url.host_str().is_some_and(|host| matches!(host, "localhost" | "127.0.0.1" | "[::1]"));
    assert!(direct || !local);
    assert!(is_direct(&with("", items.clone()), &url));

    // The proxy's own URL can be anything; what is said about it shows no credentials.
    let _ = route(&with(through, items.clone()), &url);
    if text.to_ascii_lowercase().contains(CANARY) {
        return;
    }
    let host = through.rsplit('@').next().unwrap_or_default();
    for through in [
        format!("http://{CANARY}:x@{host}"),
        format!("https://x:{CANARY}@{host}"),
        format!("x:{CANARY}@{host}"),
        format!("http://{host}/?{CANARY}"),
    ] {
        let shown = match route(&with(&through, items.clone()), &url) {
            Ok(Route::Direct) => continue,
            Ok(Route::Via(via)) => format!("{via} {via:?}"),
            Err(error) => format!("{error} {error:?}"),
        };
        assert!(!shown.contains(CANARY), "{shown}");
    }
});
