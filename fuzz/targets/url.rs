//! URLs: parsing, the parts, and the form that is shown, which never has a credential in it.
#![no_main]

use ignition_rs::config::grammar::{Url, source, url};
use ignition_rs::config::origin::{Index, Origins};
use ignition_rs::config::types::{Hidden, HttpHeader, Resource};
use ignition_rs::config::version::Version;
use ignition_rs::fetch::source::{Source, needs_net};
use ignition_rs::report::chain;
use ignition_rs_fuzz::{plant, text};
use libfuzzer_sys::fuzz_target;

/// Scheme, user, host, path, query: one a line.
const SEEDS: &[&str] = &[
    "http\nu\nh:80\na/b\nk",
    "https\nu%20\n[fe80::1%25en0]:443\n\nversionId",
    "s3\n\nbucket\nkey\nversionId",
    "oem\n\n\nf\n",
    "gs\nu;x\nexample.com\n%41%zz\na&b",
    "\nu\nh\n@\n",
    "arn:aws:s3:::b/k?versionId=1#f",
    "12:34/x",
    "http://a\\b",
];

const WORDS: &[&str] = &[
    "http",
    "https",
    "tftp",
    "//",
    "://",
    "[::1]",
    "%25",
    "@",
    "?",
    "#",
    ":80",
    "arn:aws:s3:::",
    "versionId=",
];

const CANARY: &str = "canary";

fn any(text: &str) {
    let shown = url::display(text);
    assert!(!shown.chars().any(char::is_control));
    let _ = (needs_net(text), source::check(text, Version::V3_0).is_ok());
    let _ = source::check(text, Version::NEWEST).map_err(|error| chain(&error));
    let Ok(url) = Url::parse(text) else { return };
    assert_eq!(url.reveal(), text);
    let _ = (
        url.hostname(),
        url.port(),
        url.user(),
        url.path(),
        url.fragment(),
        url.query_value("versionId"),
    );
}

/// None of what is shown about a URL may hold the canary.
fn hidden(text: &str) {
    let mut shown = vec![url::display(text)];
    match Url::parse(text) {
        Ok(url) => shown.extend([url.to_string(), format!("{url:?}"), format!("{:?}", url.user())]),
        Err(error) => shown.extend([error.to_string(), format!("{error:?}")]),
    }
    if let Err(error) = source::check(text, Version::NEWEST) {
        shown.push(format!("{} {error:?}", chain(&error)));
    }
    let resource = Resource {
        source: Some(Hidden::from(text)),
        http_headers: vec![HttpHeader {
            name: "n".to_owned(),
            value: Some(Hidden::from(CANARY)),
        }],
        ..Resource::default()
    };
    shown.push(match Source::parse(&resource) {
        Ok(source) => format!("{source:?} {}", source.shown()),
        Err(error) => format!("{} {error:?}", chain(&error)),
    });
    let mut origins = Origins::default();
    origins.push(text, Index::default());
    shown.push(format!("{origins:?}"));
    for shown in shown {
        assert!(!shown.contains(CANARY), "{shown}");
    }
}

fuzz_target!(init: plant(SEEDS, WORDS), |data: &[u8]| {
    let Some(text) = text(data) else { return };
    any(text);
    if text.to_ascii_lowercase().contains(CANARY) {
        return;
    }
    let mut parts = text.splitn(5, '\n');
    let mut next = || parts.next().unwrap_or_default();
    let (scheme, user, host, path, query) = (next(), next(), next(), next(), next());
    // What ends user info would make the rest a path, which is shown. So is all of an arn, where nothing is secret.
    let is_scheme = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let is_arn = |text: &str| text.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("arn"));
    if scheme.is_empty() || !is_scheme(scheme) || is_arn(scheme) || is_arn(user) {
        return;
    }
    if user.contains(['/', '?', '#']) {
        return;
    }
    let query = query.replace('#', "");
    hidden(&format!("{scheme}://{user}:{CANARY}@{host}/{path}"));
    hidden(&format!("{scheme}://{CANARY}:{user}@{host}/{path}"));
    hidden(&format!("{scheme}:{user}:{CANARY}@{host}"));
    hidden(&format!("{scheme}://{host}/?{query}={CANARY}"));
    hidden(&format!("{scheme}://{host}/?{CANARY}"));
    hidden(&format!("{scheme}://{host}/#{CANARY}{query}"));
    hidden(&format!("{user}:{CANARY}@{host}"));
    hidden(&format!("data:,{CANARY}{path}"));
    hidden(&format!("DATA:{path},{CANARY}"));
});
