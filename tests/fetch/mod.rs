//! Fetching over real connections.

mod bombs;
mod eyeballs;
mod netns;
mod nginx;
mod proxy;
mod proxy_rules;
mod server;
mod system;
mod tls;
mod waits;

use std::io::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ignition_rs::config::types::{HttpHeader, Proxy, Resource, Verification};
use ignition_rs::fetch::hash::{Function, Hash};
use ignition_rs::fetch::http::Trust;
use ignition_rs::fetch::network::Network;
use ignition_rs::fetch::settings::Settings;
use ignition_rs::fetch::{Fetch, FetchError, Fetcher as _, read_all, shown};
use ignition_rs::sys::clock::SystemClock;
use ignition_rs::sys::host::Host;

use crate::support::programs::{BINARY, Program};
use server::{Act, Server, answer};

fn resource(url: &str) -> Resource {
    Resource {
        source: Some(url.into()),
        ..Resource::default()
    }
}

/// A port at which nobody listens: in a network of its own it stays so.
fn closed_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

struct Client {
    total: Duration,
    headers: Duration,
    trust: Vec<Vec<u8>>,
    proxy: Proxy,
}

impl Client {
    fn new() -> Self {
        Self {
            total: Duration::from_secs(20),
            headers: Duration::from_secs(10),
            trust: Vec::new(),
            proxy: Proxy::default(),
        }
    }

    fn get(&self, resource: &Resource) -> Result<Vec<u8>, FetchError> {
        let network = Network::new(Vec::new);
        let clock = SystemClock::new();
        let mut settings = Settings::at_start(Duration::ZERO);
        settings.total = Some(self.total);
        settings.headers = Some(self.headers);
        settings.proxy = self.proxy.clone();
        settings.trust = Arc::new(Trust {
            extra: self.trust.clone(),
        });
        let fetch = Fetch::new(&network, &Host, &clock, "/oem".into(), settings);
        read_all(fetch.open(resource)?, 1 << 20, &shown(resource))
    }

    /// The error with its causes, in both forms.
    fn error(&self, resource: &Resource) -> String {
        let error = self.get(resource).expect_err("it must fail");
        let mut text = format!("{error:?} / {error}");
        let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(&error);
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        text
    }
}

/// The stage `fetch` with this config, everything below a directory.
fn fetch_stage(directory: &Path, config: &serde_json::Value) -> Program {
    fetch_stage_of(BINARY, directory, config)
}

/// The same with any engine.
fn fetch_stage_of(engine: &str, directory: &Path, config: &serde_json::Value) -> Program {
    let at = |name: &str| directory.join(name);
    for old in ["cache", "ignition"] {
        let _ = std::fs::remove_file(at(old));
    }
    std::fs::write(at("config"), config.to_string()).unwrap();
    std::os::unix::fs::symlink(engine, at("ignition")).unwrap();
    Program::new(at("ignition"))
        .args(["-platform", "file", "-stage", "fetch", "-log-to-stdout"])
        .args(["-root".as_ref(), directory.as_os_str()])
        .args(["-config-cache".as_ref(), at("cache").as_os_str()])
        .args(["-neednet".as_ref(), at("neednet").as_os_str()])
        .args(["-state-file".as_ref(), at("state").as_os_str()])
        .env("IGNITION_CONFIG_FILE", at("config"))
        .env("IGNITION_SYSTEM_CONFIG_DIR", at("system"))
}

#[test]
fn a_server_that_is_not_ready_is_asked_again() {
    let server = Server::plain(vec![answer(503, "", b"not yet"), answer(200, "", b"ready")]);
    let started = Instant::now();
    assert_eq!(Client::new().get(&resource(&server.url("/"))).unwrap(), b"ready");
    assert!(started.elapsed() >= Duration::from_millis(200));
    assert_eq!(server.requests().len(), 2);
}

/// Each on a thread of its own, and each has to wait while the others read.
#[test]
fn four_at_once() {
    let large = vec![b'x'; 600_000];
    let slow = |last: &str| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", large.len() + 1);
        vec![
            Act::Send([head.as_bytes(), &large].concat()),
            Act::Wait(Duration::from_millis(600)),
            Act::Send(last.into()),
        ]
    };
    let servers: Vec<Server> = ["1", "2", "3", "4"]
        .map(|last| Server::plain(vec![answer(503, "", b""), slow(last)]))
        .into();
    let network = Network::new(Vec::new);
    let clock = SystemClock::new();
    let settings = Settings::at_start(Duration::from_secs(20));
    let fetch = Fetch::new(&network, &Host, &clock, "/oem".into(), settings);
    let started = Instant::now();
    std::thread::scope(|scope| {
        for (server, last) in servers.iter().zip(b"1234") {
            let (fetch, large) = (&fetch, &large);
            scope.spawn(move || {
                let contents = fetch.open(&resource(&server.url("/"))).unwrap();
                assert_eq!(contents.attempts, 2);
                let bytes = read_all(contents, 1 << 20, "x").unwrap();
                assert!(bytes.starts_with(large) && bytes[large.len()..] == [*last]);
            });
        }
    });
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "{:?}",
        started.elapsed()
    );
}

#[test]
fn statuses_that_are_final() {
    for (status, part) in [
        (404, "not found"),
        (403, "status 403"),
        (304, "status 304"),
        (429, "status 429"),
    ] {
        let server = Server::plain(vec![answer(status, "", b"")]);
        let error = Client::new().error(&resource(&server.url_of("user:canary", "/x?canary")));
        assert!(error.contains(part), "{error}");
        assert!(!error.contains(":canary"), "{error}");
    }
    let no_content = b"HTTP/1.1 204 No Content\r\n\r\n".to_vec();
    let server = Server::plain(vec![vec![Act::Send(no_content)]]);
    assert_eq!(Client::new().get(&resource(&server.url("/"))).unwrap(), b"");
}

#[test]
fn the_request_is_ignitions() {
    let server = Server::plain(vec![answer(200, "", b"")]);
    let mut resource = resource(&server.url_of("us%65r:pass", "/a//b/./c?q=1#frag"));
    resource.http_headers = vec![HttpHeader {
        name: "X-Auth".to_owned(),
        value: Some("value".into()),
    }];
    Client::new().get(&resource).unwrap();
    let request = server.requests()[0].to_lowercase();
    let lines: Vec<&str> = request.lines().collect();
    assert!(
        lines[0].starts_with("get /a//b/") && lines[0].ends_with("c?q=1 http/1.1"),
        "{request}"
    );
    let agent = format!(
        "user-agent: ignition/2.26.0 ignition-rs/{}",
        env!("CARGO_PKG_VERSION")
    );
    for want in [
        agent.as_str(),
        "accept: application/vnd.coreos.ignition+json;version=3.6.0, */*;q=0.1",
        "accept-encoding: identity",
        "x-auth: value",
        "authorization: basic dxnlcjpwyxnz",
    ] {
        assert!(lines.contains(&want), "{want} in {request}");
    }
    assert_eq!(
        lines.iter().filter(|line| line.starts_with("accept:")).count(),
        1,
        "{request}"
    );
}

#[test]
fn redirects_drop_all_headers() {
    let target = Server::plain(vec![answer(200, "", b"there")]);
    let location = format!("Location: {}\r\n", target.url("/other"));
    let server = Server::plain(vec![
        answer(301, "Location: /second\r\n", b""),
        answer(307, &location, b""),
    ]);
    let mut resource = resource(&server.url_of("user:canary", "/first"));
    resource.http_headers = vec![HttpHeader {
        name: "X-Auth".to_owned(),
        value: Some("canary".into()),
    }];
    assert_eq!(Client::new().get(&resource).unwrap(), b"there");
    assert!(server.requests()[0].contains("canary"));
    assert!(server.requests()[1].starts_with("GET /second"));
    let requests = [server.requests(), target.requests()].concat();
    for request in requests.iter().skip(1).map(|request| request.to_lowercase()) {
        for gone in ["canary", "user-agent", "vnd.coreos", "x-auth", "referer"] {
            assert!(!request.contains(gone), "{gone} in {request}");
        }
    }
    // User and password of the URL stay with a redirect on the same server, as with Go, and go nowhere else.
    assert!(requests[1].to_lowercase().contains("authorization"));
    assert!(!requests[2].to_lowercase().contains("authorization"));
}

#[test]
fn headers_that_do_not_come_in_time() {
    let slow = vec![Act::Wait(Duration::from_secs(3))];
    let server = Server::plain(vec![slow.clone(), slow]);
    let client = Client {
        total: Duration::from_millis(1500),
        headers: Duration::from_millis(400),
        ..Client::new()
    };
    let started = Instant::now();
    let error = client.error(&resource(&server.url("/?canary")));
    assert!(
        started.elapsed() < Duration::from_millis(2500),
        "{:?}",
        started.elapsed()
    );
    assert!(
        error.contains("gave up on") && !error.contains("canary"),
        "{error}"
    );
}

#[test]
fn slow_headers_then_a_good_answer() {
    let good = answer(200, "", b"ok");
    let server = Server::plain(vec![
        vec![Act::Wait(Duration::from_millis(900))],
        good.clone(),
        good,
    ]);
    let client = Client {
        headers: Duration::from_millis(500),
        ..Client::new()
    };
    assert_eq!(client.get(&resource(&server.url("/"))).unwrap(), b"ok");
    assert!(server.requests().len() >= 2);
}

#[test]
fn a_body_that_is_cut_short_is_an_error() {
    let length = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this".to_vec();
    let chunks = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nonly\r\n".to_vec();
    for cut in [length, chunks] {
        let server = Server::plain(vec![vec![Act::Send(cut)]]);
        let error = Client::new().error(&resource(&server.url("/?canary")));
        assert!(
            error.contains("to its end") && !error.contains("canary"),
            "{error}"
        );
    }
}

#[test]
fn a_body_that_stalls_ends_with_the_budget() {
    let start = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this".to_vec();
    let server = Server::plain(vec![vec![Act::Send(start), Act::Wait(Duration::from_secs(5))]]);
    let client = Client {
        total: Duration::from_millis(600),
        ..Client::new()
    };
    let started = Instant::now();
    let error = client.error(&resource(&server.url("/")));
    assert!(started.elapsed() < Duration::from_secs(3));
    assert!(error.contains("time for it is over"), "{error}");
}

#[test]
fn bodies_of_every_framing() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    let closed = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabcde";
    let in_parts = vec![
        Act::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab".to_vec()),
        Act::Wait(Duration::from_millis(50)),
        Act::Send(b"cde".to_vec()),
    ];
    for script in [
        vec![Act::Send(chunked.into())],
        vec![Act::Send(closed.into())],
        in_parts,
    ] {
        let server = Server::plain(vec![script]);
        assert_eq!(Client::new().get(&resource(&server.url("/"))).unwrap(), b"abcde");
    }
}

#[test]
fn compressed_and_hashed() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(b"contents").unwrap();
    let packed = encoder.finish().unwrap();
    let with = |url: &str, hash: Hash| Resource {
        compression: Some("gzip".to_owned()),
        verification: Verification {
            hash: Some(hash.to_string()),
        },
        ..resource(url)
    };
    let server = Server::plain(vec![
        answer(200, "", &packed),
        answer(200, "", &packed),
        answer(200, "", b"no gzip"),
    ]);
    let url = server.url("/");
    let right = Hash::of(Function::Sha512, b"contents");
    assert_eq!(
        Client::new().get(&with(&url, right.clone())).unwrap(),
        b"contents"
    );
    let wrong = Hash::of(Function::Sha256, b"others");
    let error = Client::new().error(&with(&url, wrong.clone()));
    let calculated = Hash::of(Function::Sha256, b"contents").to_string();
    assert!(
        error.contains(&wrong.to_string()) && error.contains(&calculated),
        "{error}"
    );
    let error = Client::new().error(&with(&url, right));
    assert!(error.contains("not gzip data"), "{error}");
}

#[test]
fn nobody_there_and_nothing_secret_in_the_error() {
    let port = closed_port();
    let client = Client {
        total: Duration::from_millis(700),
        ..Client::new()
    };
    for url in [
        format!("http://user:canary@127.0.0.1:{port}/x?token=canary"),
        "http://user:canary@no-such-host.invalid/x?token=canary".to_owned(),
    ] {
        let mut resource = resource(&url);
        resource.http_headers = vec![HttpHeader {
            name: "X-Auth".to_owned(),
            value: Some("canary".into()),
        }];
        let error = client.error(&resource);
        assert!(
            error.contains("gave up on http://") && error.contains("/x"),
            "{error}"
        );
        assert!(!error.contains("canary"), "{error}");
    }
    let mut bad = resource(&format!("http://127.0.0.1:{port}/"));
    bad.http_headers = vec![HttpHeader {
        name: "X-Auth".to_owned(),
        value: Some("can\nary-canary".into()),
    }];
    let error = client.error(&bad);
    assert!(error.contains("X-Auth") && !error.contains("canary"), "{error}");
}

#[test]
fn something_that_is_not_http() {
    let server = Server::plain(vec![
        vec![Act::Send(b"SSH-2.0-OpenSSH\r\n".to_vec())],
        vec![Act::Send(b"\r\n\r\n".to_vec())],
        answer(200, "", b"ok"),
    ]);
    assert_eq!(Client::new().get(&resource(&server.url("/"))).unwrap(), b"ok");
}
