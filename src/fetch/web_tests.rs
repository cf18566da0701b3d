use super::super::fake::FakeHttp;
use super::*;
use crate::sys::clock::FakeClock;
use crate::sys::reach::{FakeReach, Found, Interface};
use std::io::Read;
use std::time::Duration;

fn call(url: &str) -> Call {
    Call {
        url: url.into(),
        ..Call::default()
    }
}

fn settings(total: Option<u64>) -> Settings {
    let mut settings = Settings::at_start(Duration::ZERO);
    settings.total = total.map(Duration::from_secs);
    settings
}

fn waits(clock: &FakeClock) -> Vec<u128> {
    clock.slept().iter().map(Duration::as_millis).collect()
}

fn text(mut body: Contents<'_>) -> String {
    let mut text = String::new();
    body.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn statuses() {
    for (status, want) in [
        (200, Ok(())),
        (204, Ok(())),
        (404, Err("not found")),
        (403, Err("status 403")),
        (304, Err("status 304")),
        (429, Err("status 429")),
        (301, Err("status 301")),
    ] {
        let http = FakeHttp::default();
        http.answer(status, b"x");
        let clock = FakeClock::new();
        let got = Web::new(&http, &clock).call(&call("http://h/a"), &settings(Some(60)));
        match (got, want) {
            (Ok(_), Ok(())) => {}
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{status}: {error}"),
            (got, _) => panic!("{status}: {:?}", got.map(|_| ())),
        }
    }
}

#[test]
fn tries_again_with_doubling_waits() {
    let http = FakeHttp::default();
    for _ in 0..4 {
        http.answer(503, b"");
        http.fail(HttpError::Transport("connection refused".to_owned()));
    }
    http.answer(200, b"done");
    let clock = FakeClock::new();
    let body = Web::new(&http, &clock)
        .call(&call("http://h/a"), &settings(None))
        .unwrap();
    assert_eq!(text(body), "done");
    assert_eq!(waits(&clock), [200, 400, 800, 1600, 3200, 5000, 5000, 5000]);
}

#[test]
fn the_total_budget_ends_it_and_the_last_error_is_named() {
    let http = FakeHttp::default();
    for _ in 0..100 {
        http.fail(HttpError::Transport("connection refused".to_owned()));
    }
    let clock = FakeClock::new();
    let error = Web::new(&http, &clock)
        .call(&call("http://u:canary@h/a?canary"), &settings(Some(4)))
        .map(|_| ())
        .unwrap_err();
    assert_eq!(waits(&clock), [200, 400, 800, 1600, 1000]);
    let text = error.to_string();
    assert!(
        text.contains("5 attempts") && text.contains("connection refused"),
        "{text}"
    );
    assert!(!text.contains("canary"), "{text}");
}

#[test]
fn an_extra_status_is_tried_again() {
    let http = FakeHttp::default();
    http.answer(429, b"");
    http.answer(200, b"ok");
    let clock = FakeClock::new();
    let mut call = call("http://h/a");
    call.retry_also = vec![429];
    assert!(Web::new(&http, &clock).call(&call, &settings(None)).is_ok());
}

#[test]
fn what_would_end_the_same_way_is_not_tried_again() {
    let http = FakeHttp::default();
    http.fail(HttpError::Invalid("bad header".to_owned()));
    let clock = FakeClock::new();
    assert!(
        Web::new(&http, &clock)
            .call(&call("http://h/"), &settings(None))
            .is_err()
    );
    for url in [
        "http:///path",
        "http://",
        "http:h",
        "http://user@/x",
        "http://h\\evil/",
    ] {
        assert!(
            Web::new(&http, &clock).call(&call(url), &settings(None)).is_err(),
            "{url}"
        );
    }
    assert_eq!(waits(&clock), [0_u128; 0]);
    assert_eq!(http.requests().len(), 1);
}

#[test]
fn default_headers_and_their_replacement() {
    let http = FakeHttp::default();
    http.answer(200, b"");
    let clock = FakeClock::new();
    let mut call = call("http://h/");
    call.headers = vec![
        ("accept".to_owned(), "first".into()),
        ("Accept".to_owned(), "second".into()),
        ("X-Key".to_owned(), "value".into()),
        ("host".to_owned(), "other".into()),
        ("Content-Length".to_owned(), "7".into()),
    ];
    Web::new(&http, &clock).call(&call, &settings(None)).unwrap();
    let sent: Vec<String> = http.requests()[0]
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.reveal()))
        .collect();
    let agent = format!(
        "User-Agent: Ignition/2.26.0 ignition-rs/{}",
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(
        sent,
        [
            agent.as_str(),
            "Accept-Encoding: identity",
            "Accept: second",
            "X-Key: value"
        ]
    );
}

#[test]
fn redirects_drop_every_header_and_resolve_relative_targets() {
    let http = FakeHttp::default();
    http.redirect(307, "/two?x=1");
    http.redirect(302, "https://other/three");
    http.answer(200, b"end");
    let clock = FakeClock::new();
    let mut call = call("http://h/one");
    call.method = Method::Put;
    call.headers = vec![("Authorization".to_owned(), "canary".into())];
    assert_eq!(
        text(Web::new(&http, &clock).call(&call, &settings(None)).unwrap()),
        "end"
    );
    let requests = http.requests();
    let seen: Vec<_> = requests
        .iter()
        .map(|request| (request.method, request.url.reveal(), request.headers.len()))
        .collect();
    assert_eq!(
        seen,
        [
            (Method::Put, "http://h/one", 4),
            (Method::Put, "http://h/two?x=1", 0),
            (Method::Get, "https://other/three", 0)
        ]
    );
}

#[test]
fn redirects_that_lead_nowhere() {
    for target in ["ftp://h/x", "http://"] {
        let http = FakeHttp::default();
        http.redirect(302, target);
        let clock = FakeClock::new();
        assert!(
            Web::new(&http, &clock)
                .call(&call("http://h/"), &settings(None))
                .is_err(),
            "{target}"
        );
    }
    let http = FakeHttp::default();
    for _ in 0..1000 {
        http.redirect(302, "/again");
    }
    let clock = FakeClock::new();
    let error = Web::new(&http, &clock)
        .call(&call("http://h/"), &settings(None))
        .map(|_| ())
        .unwrap_err();
    assert!(matches!(error, FetchError::Redirects { .. }), "{error}");
    assert_eq!(http.requests().len(), MOST_REDIRECTS + 1);
}

/// Settings with a proxy for `http:` and another for `https:`.
fn proxied() -> Settings {
    let mut settings = settings(Some(4));
    settings.proxy.http_proxy = Some("http://canary:canary@plain:3128".into());
    settings.proxy.https_proxy = Some("http://tls:3129".into());
    settings.proxy.no_proxy = vec!["near.example".to_owned()];
    settings
}

#[test]
fn every_hop_takes_the_way_that_its_url_has() {
    let http = FakeHttp::default();
    http.redirect(302, "https://far.example/");
    http.redirect(302, "http://near.example/");
    http.redirect(302, "http://localhost/");
    http.redirect(302, "http://far.example/again");
    http.answer(200, b"");
    let clock = FakeClock::new();
    Web::new(&http, &clock)
        .call(&call("http://far.example/"), &proxied())
        .unwrap();
    let ways: Vec<_> = http
        .requests()
        .iter()
        .map(|request| request.via.as_ref().map(|via| via.url.to_string()))
        .collect();
    let (plain, tls) = (
        Some("http://plain:3128/".to_owned()),
        Some("http://tls:3129/".to_owned()),
    );
    assert_eq!(ways, [plain.clone(), tls, None, None, plain]);
    assert!(!format!("{:?}", http.requests()).contains("canary"));
}

#[test]
fn a_proxy_that_is_none_is_not_passed_by() {
    let http = FakeHttp::default();
    let clock = FakeClock::new();
    let mut settings = settings(None);
    settings.proxy.http_proxy = Some("http://".into());
    let error = Web::new(&http, &clock)
        .call(&call("http://far.example/?canary"), &settings)
        .map(|_| ())
        .unwrap_err();
    assert!(matches!(error, FetchError::Proxy { .. }), "{error}");
    assert!(!format!("{error} {error:?}").contains("canary"));
    assert!(http.requests().is_empty() && clock.slept().is_empty());
}

#[test]
fn statuses_that_a_proxy_may_have_given() {
    let table = [
        // URL, status, whether the proxy is named, what else is said
        ("http://far.example/", 403, true, "lets through"),
        (
            "http://far.example/",
            407,
            true,
            "does not accept user and password",
        ),
        ("http://far.example/", 404, false, "not found"),
        ("http://near.example/", 403, false, "the server refuses"),
        ("http://near.example/", 407, false, "the server refuses"),
        ("https://far.example/", 403, false, "the server refuses"),
    ];
    for (url, status, named, part) in table {
        let http = FakeHttp::default();
        http.answer(status, b"");
        let clock = FakeClock::new();
        let error = Web::new(&http, &clock)
            .call(&call(url), &proxied())
            .map(|_| ())
            .unwrap_err();
        let text = error.to_string();
        assert_eq!(
            text.contains("http://plain:3128 (ignition.proxy.httpProxy)"),
            named,
            "{text}"
        );
        assert!(text.contains(part) && !text.contains("canary"), "{text}");
        assert_eq!(http.requests().len(), 1, "{status} is final");
    }
    let http = FakeHttp::default();
    for _ in 0..20 {
        http.answer(502, b"");
    }
    let clock = FakeClock::new();
    let error = Web::new(&http, &clock)
        .call(&call("http://far.example/"), &proxied())
        .map(|_| ())
        .unwrap_err();
    assert_eq!(waits(&clock), [200, 400, 800, 1600, 1000]);
    assert!(
        error.to_string().contains("the proxy http://plain:3128"),
        "{error}"
    );
}

#[test]
fn what_is_said_while_waiting_names_attempt_and_last_error() {
    let http = FakeHttp::default();
    http.fail(HttpError::Transport("connection refused".to_owned()));
    http.answer(200, b"");
    let clock = FakeClock::new();
    Web::new(&http, &clock)
        .call(&call("http://h/"), &settings(None))
        .unwrap();
    let notes: Vec<String> = http.requests().into_iter().map(|request| request.note).collect();
    assert_eq!(
        notes,
        [
            "attempt 1",
            "attempt 2, the one before failed: connection refused"
        ]
    );
}

#[test]
fn an_attempt_that_is_cut_short_does_not_hide_the_error_before() {
    let http = FakeHttp::default();
    http.fail(HttpError::Transport("connection refused".to_owned()));
    http.fail(HttpError::Deadline("it was connected"));
    let clock = FakeClock::new();
    let error = Web::new(&http, &clock)
        .call(&call("http://h/"), &settings(Some(4)))
        .map(|_| ())
        .unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("2 attempts") && text.contains("connection refused"),
        "{text}"
    );
}

/// What a machine has before and after an address comes.
fn network(ready: bool) -> Found {
    Found {
        links: vec![Interface {
            name: "eth0".to_owned(),
            ready: true,
            global: ready,
            link_local: false,
        }],
        default_route: ready,
        nameservers: vec!["192.0.2.53".to_owned()],
    }
}

#[test]
fn an_unreachable_network_is_waited_for_by_its_addresses() {
    let seconds = Duration::from_secs;
    for (error, want_waits) in [
        // After three seconds the wait of 3200 ms began; the address comes 1500 ms later.
        (
            HttpError::Unreachable("no way".to_owned()),
            vec![200, 400, 800, 1600, 1500, 100],
        ),
        (
            HttpError::Name("no name".to_owned()),
            vec![200, 400, 800, 1600, 1500, 100],
        ),
        // A server that refuses does not come back for an address.
        (
            HttpError::Transport("refused".to_owned()),
            vec![200, 400, 800, 1600, 3200],
        ),
    ] {
        let http = FakeHttp::default();
        for _ in 0..5 {
            http.fail(error.clone());
        }
        http.answer(200, b"there");
        let clock = FakeClock::new();
        let states = vec![
            (seconds(0), network(false)),
            (Duration::from_millis(4500), network(true)),
        ];
        let reach = FakeReach::new(&clock, states);
        let web = Web::new(&http, &clock).watching(&reach);
        assert_eq!(
            text(web.call(&call("http://h/"), &settings(None)).unwrap()),
            "there"
        );
        assert_eq!(waits(&clock), want_waits, "{error:?}");
        // What is said beside the second attempt names what is missing.
        let lacks = http.requests()[1].note.contains("no address on eth0");
        assert_eq!(lacks, !matches!(error, HttpError::Transport(_)), "{error:?}");
    }
}

#[test]
fn a_network_that_comes_and_goes_does_not_make_it_spin() {
    let http = FakeHttp::default();
    for _ in 0..20 {
        http.fail(HttpError::Unreachable("no way".to_owned()));
    }
    http.answer(200, b"there");
    let clock = FakeClock::new();
    let states = (0..5000)
        .map(|number| (Duration::from_millis(number), network(number % 2 == 1)))
        .collect();
    let reach = FakeReach::new(&clock, states);
    let web = Web::new(&http, &clock).watching(&reach);
    assert!(web.call(&call("http://h/"), &settings(None)).is_ok());
    assert!(clock.monotonic() >= Duration::from_secs(4));
}

#[test]
fn the_deadline_of_the_kernel_command_line_is_named_and_only_shortens() {
    for (total, deadline, limit) in [
        (None, 7, "ignition.fetch.deadline"),
        (Some(60), 7, "ignition.fetch.deadline"),
        (Some(7), 60, "httpTotal"),
    ] {
        let http = FakeHttp::default();
        for _ in 0..100 {
            http.fail(HttpError::Transport("connection refused".to_owned()));
        }
        let clock = FakeClock::new();
        let settings = settings(total).until(Some(Duration::from_secs(deadline)));
        let web = Web::new(&http, &clock);
        let error = web
            .call(&call("http://h/a"), &settings)
            .map(|_| ())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(limit) && error.contains("connection refused") && error.contains("6 attempts"),
            "{error}"
        );
        // It is one budget for all that is fetched.
        assert_eq!(clock.monotonic(), Duration::from_secs(7));
        assert_eq!(http.requests()[0].budget, Some(Duration::from_secs(7)));
        if deadline == 7 {
            assert!(web.call(&call("http://h/b"), &settings).is_err());
            assert_eq!(clock.monotonic(), Duration::from_secs(7));
            assert_eq!(http.requests().last().unwrap().budget, Some(Duration::ZERO));
        }
    }
}

#[test]
fn a_clock_that_is_wrong_is_said_when_a_certificate_is_not_accepted() {
    for (now, said) in [
        ("1970-01-01T00:01:00Z", true),
        ("2019-12-31T23:59:59Z", true),
        ("2020-01-01T00:00:00Z", false),
        ("2026-01-02T03:04:05Z", false),
        ("", false),
    ] {
        assert_eq!(
            clock_advice(now).is_some_and(|text| text.contains(now)),
            said,
            "{now}"
        );
    }
    let http = FakeHttp::default();
    http.fail(HttpError::Certificate("not valid".to_owned()));
    http.answer(200, b"");
    let clock = FakeClock::starting(60);
    assert!(
        Web::new(&http, &clock)
            .call(&call("http://h/"), &settings(None))
            .is_ok()
    );
    assert!(
        http.requests()[1]
            .note
            .contains("the clock of this machine says 1970-01-01T00:01:00Z"),
        "{}",
        http.requests()[1].note
    );
}

/// Found by fuzzing (`fuzz/targets/no_proxy.rs`): what `%EE` stands for went into the reader of URLs, which has no tables
/// for it, and a check of its own failed.
#[test]
fn hosts_hold_no_escapes() {
    for text in ["http://a%EEB/", "http://u:p@A%c3%bc.example/x", "https://h%41:80"] {
        let problem = parse(text).unwrap_err();
        assert!(problem.contains("percent sign"), "{text}: {problem}");
    }
    for text in ["http://u%40:p%EE@h/%EE?%EE", "http://[fe80::1]/%EE"] {
        assert!(parse(text).is_ok(), "{text}");
    }
    for text in ["http:M%80//x://h", "http:/h/", "http:h", " http://h"] {
        assert!(parse(text).unwrap_err().contains("malformed"), "{text}");
    }
    for location in ["http://A%EEb/", "//A%EEb/x", "https://u@A%EEb"] {
        assert!(redirected_to(location).is_some_and(is_escaped), "{location}");
    }
    for location in ["/a%EE//b", "x%EE", "?//%EE", "//h/%EE"] {
        assert!(!redirected_to(location).is_some_and(is_escaped), "{location}");
    }
}
