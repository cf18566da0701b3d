//! Fetching through a real proxy, tinyproxy. A server on a loopback address is never proxied, so each test has a network
//! of its own in which `lo` has another address too.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use ignition_rs::config::types::{Hidden, Proxy};
use rcgen::KeyPair;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tempfile::TempDir;

use super::netns::{self, FAR};
use super::server::{Act, Server, answer};
use super::{Client, closed_port, fetch_stage, resource, tls};

/// Runs a test in a network of its own: this thread and what it starts.
pub(super) fn in_a_network(test: impl FnOnce() + Send + 'static) {
    netns::alone(&["tinyproxy"], test);
}

/// The proxy. It ends with the test.
struct Tinyproxy {
    child: Child,
    directory: TempDir,
    port: u16,
}

impl Tinyproxy {
    fn start() -> Self {
        Self::with("")
    }

    /// With more lines of configuration.
    fn with(more: &str) -> Self {
        // Nobody else is in this network, so what was free is free.
        let port = closed_port();
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("conf");
        let log = directory.path().join("log");
        fs::write(
            &path,
            format!(
                "Port {port}\nListen 127.0.0.1\nTimeout 20\nMaxClients 20\nLogLevel Connect\nLogFile \"{}\"\n{more}",
                log.display()
            ),
        )
        .unwrap();
        let child = Command::new("tinyproxy")
            .arg("-d")
            .arg("-c")
            .arg(&path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(
                started.elapsed() < Duration::from_secs(10),
                "tinyproxy does not listen"
            );
            thread::sleep(Duration::from_millis(10));
        }
        Self {
            child,
            directory,
            port,
        }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Request lines so far, without versions.
    fn requests(&self) -> Vec<String> {
        let log = fs::read_to_string(self.directory.path().join("log")).unwrap();
        log.lines()
            .filter_map(|line| line.split_once("Request (")?.1.split_once("): "))
            .map(|(_, line)| line.trim_end_matches(" HTTP/1.1").to_owned())
            .collect()
    }
}

impl Drop for Tinyproxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client with the same proxy for both schemes.
fn client(proxy: &str, no_proxy: &[&str]) -> Client {
    Client {
        total: Duration::from_secs(10),
        proxy: Proxy {
            http_proxy: Some(proxy.into()),
            https_proxy: Some(proxy.into()),
            no_proxy: no_proxy.iter().map(|item| (*item).to_owned()).collect(),
        },
        ..Client::new()
    }
}

/// A client whose patience suffices for one attempt or two.
fn hasty(proxy: &str, no_proxy: &[&str]) -> Client {
    Client {
        total: Duration::from_millis(1500),
        ..client(proxy, no_proxy)
    }
}

/// A TLS server at `FAR`, and whom to trust for it.
fn far_tls(script: Vec<Vec<Act>>) -> (Server, Vec<u8>) {
    let (config, trust) = certified(FAR);
    (Server::tls_at(FAR, script, config), trust)
}

fn certified(name: &str) -> (ServerConfig, Vec<u8>) {
    let authority = tls::authority();
    let key = KeyPair::generate().unwrap();
    let certificate = tls::params(&[name]).signed_by(&key, &authority).unwrap();
    (tls::config(&certificate, &key), authority.der().to_vec())
}

#[test]
fn plain_requests_go_through_the_proxy() {
    in_a_network(|| {
        let proxy = Tinyproxy::start();
        let server = Server::plain_at(
            FAR,
            vec![
                answer(503, "", b"not yet"),
                answer(302, "Location: /there\r\n", b""),
                answer(200, "", b"contents"),
                answer(404, "", b""),
                answer(403, "", b""),
            ],
        );
        let url = server.url_of("us%65r:canary", "/x?canary");
        let client = client(&proxy.url(), &["other.example", "192.0.2.0/24"]);
        assert_eq!(client.get(&resource(&url)).unwrap(), b"contents");
        let asked = server.requests();
        assert!(
            asked[0].starts_with("GET /x?canary ") && asked[2].starts_with("GET /there "),
            "{asked:?}"
        );
        for request in &asked {
            assert!(request.to_lowercase().contains("\r\nvia: "), "{request}");
        }
        assert!(
            asked[0]
                .to_lowercase()
                .contains("authorization: basic dxnlcjpjyw5hcnk=")
        );
        assert_eq!(proxy.requests().len(), 3);
        let error = client.error(&resource(&url));
        assert!(error.contains("not found"), "{error}");
        let error = client.error(&resource(&url));
        assert!(
            error.contains(&format!("the proxy {} (ignition.proxy.httpProxy)", proxy.url()))
                && error.contains("status 403")
                && !error.contains(":canary"),
            "{error}"
        );
        assert_eq!(server.requests().len(), 5);
    });
}

#[test]
fn tls_goes_through_a_tunnel() {
    in_a_network(|| {
        let proxy = Tinyproxy::start();
        let script = vec![
            answer(503, "", b""),
            answer(200, "", b"secret"),
            answer(403, "", b""),
        ];
        let (server, trust) = far_tls(script);
        let client = Client {
            trust: vec![trust],
            ..client(&proxy.url(), &[])
        };
        let resource = resource(&server.https(FAR, "/x?canary"));
        assert_eq!(client.get(&resource).unwrap(), b"secret");
        let lines = proxy.requests();
        assert_eq!(lines.len(), 2, "{lines:?}");
        for (line, request) in lines.iter().zip(server.requests()) {
            assert!(
                line.starts_with(&format!("CONNECT {FAR}:")) && !line.contains("canary"),
                "{line}"
            );
            assert!(!request.to_lowercase().contains("\r\nvia: "), "{request}");
        }
        let error = client.error(&resource);
        assert!(error.contains("the server refuses"), "{error}");
        // The server's certificate counts inside of the tunnel too.
        let stranger = Client {
            trust: vec![certified(FAR).1],
            total: Duration::from_millis(1500),
            ..client
        };
        let (server, _) = far_tls(vec![answer(200, "", b"secret"); 9]);
        let error = stranger.error(&super::resource(&server.https(FAR, "/")));
        assert!(error.contains("invalid peer certificate"), "{error}");
        assert_eq!(server.requests().len(), 0);
    });
}

#[test]
fn user_and_password_of_the_proxys_url() {
    in_a_network(|| {
        let proxy = Tinyproxy::with("BasicAuth user canarypassword\n");
        let with = |user: &str| format!("http://{user}@127.0.0.1:{}", proxy.port);
        let right = with("us%65r:canary%70assword");
        let plain = Server::plain_at(FAR, vec![answer(200, "", b"contents")]);
        let (secure, trust) = far_tls(vec![answer(200, "", b"secret")]);
        let trusting = |client: Client| Client {
            trust: vec![trust.clone()],
            ..client
        };
        let http = resource(&plain.url("/"));
        let https = resource(&secure.https(FAR, "/"));
        for (user, plainly, in_tunnel) in [
            (None, "wants user and password", "wants user and password"),
            // tinyproxy says 401 where others say 407.
            (
                Some("user:canarywrong"),
                "user and password",
                "does not know the user",
            ),
        ] {
            let url = user.map_or_else(|| proxy.url(), with);
            // A status is final, a tunnel that does not come about is tried again: as with Go.
            let before = proxy.requests().len();
            let error = client(&url, &[]).error(&http);
            assert_eq!(proxy.requests().len(), before + 1);
            assert!(error.contains(plainly) && error.contains("httpProxy"), "{error}");
            assert!(!error.contains("canary"), "{error}");
            let error = trusting(hasty(&url, &[])).error(&https);
            assert!(
                error.contains("gave up on") && error.contains(in_tunnel) && error.contains("httpsProxy"),
                "{error}"
            );
            assert!(!error.contains("canary"), "{error}");
            assert!(proxy.requests().len() > before + 2);
        }
        assert_eq!(client(&right, &[]).get(&http).unwrap(), b"contents");
        assert_eq!(trusting(client(&right, &[])).get(&https).unwrap(), b"secret");
        for request in [plain.requests(), secure.requests()].concat() {
            assert!(
                !request.to_lowercase().contains("proxy-authorization"),
                "{request}"
            );
        }
    });
}

#[test]
fn a_dead_proxy_is_named_and_not_passed_by() {
    in_a_network(|| {
        let dead = format!("http://user:canary@127.0.0.1:{}", closed_port());
        let shown = dead.replace("user:canary@", "");
        let plain = Server::plain_at(FAR, vec![answer(200, "", b"contents")]);
        let (secure, trust) = far_tls(vec![answer(200, "", b"secret")]);
        for (url, key) in [
            (plain.url("/x?canary"), "httpProxy"),
            (secure.https(FAR, "/x?canary"), "httpsProxy"),
        ] {
            let client = Client {
                trust: vec![trust.clone()],
                ..hasty(&dead, &["192.0.2.0/24", "198.51.100.7:1", ".100.8"])
            };
            let error = client.error(&resource(&url));
            assert!(
                error.contains("gave up on")
                    && error.contains(&format!("the proxy {shown} (ignition.proxy.{key})"))
                    && error.contains("refused")
                    && error.contains("the proxy itself cannot be reached"),
                "{error}"
            );
            assert!(!error.contains("canary"), "{error}");
        }
        assert!(plain.requests().is_empty() && secure.requests().is_empty());
    });
}

#[test]
fn no_proxy_this_machine_and_the_other_scheme_go_straight() {
    in_a_network(|| {
        let dead = format!("http://127.0.0.1:{}", closed_port());
        let items = ["*", "198.51.100.7", "198.51.100.0/24", "x, 198.51.100.7 ,y"];
        let (secure, trust) = far_tls(vec![answer(200, "", b"straight"); items.len() + 1]);
        let plain = Server::plain_at(FAR, vec![answer(200, "", b"straight"); items.len() + 2]);
        let get = |client: Client, url: &str| {
            let client = Client {
                trust: vec![trust.clone()],
                ..client
            };
            assert_eq!(client.get(&resource(url)).unwrap(), b"straight");
        };
        for item in items {
            get(client(&dead, &[item]), &plain.url("/"));
            get(client(&dead, &[item]), &secure.https(FAR, "/"));
        }
        let url = plain.url("/");
        let with_port = url.trim_start_matches("http://").trim_end_matches('/');
        get(client(&dead, &[with_port]), &url);
        let only = |http: Option<&str>, https: Option<&str>| Client {
            proxy: Proxy {
                http_proxy: http.map(Hidden::from),
                https_proxy: https.map(Hidden::from),
                no_proxy: Vec::new(),
            },
            ..client("", &[])
        };
        get(only(Some(&dead), None), &secure.https(FAR, "/"));
        get(only(None, Some(&dead)), &plain.url("/"));
        let near = Server::plain(vec![answer(200, "", b"straight"); 2]);
        get(client(&dead, &[]), &near.url("/"));
        let port = near.url("").rsplit(':').next().unwrap().to_owned();
        get(client(&dead, &[]), &format!("http://localhost:{port}/"));
    });
}

#[test]
fn what_the_proxy_cannot_reach_or_does_not_allow() {
    in_a_network(|| {
        let proxy = Tinyproxy::with("ConnectPort 443\n");
        // The name is the proxy's to look up, so the answer is its own.
        let error = hasty(&proxy.url(), &[]).error(&resource("http://no-such-host.invalid/"));
        assert!(
            error.contains("gave up on") && error.contains("status 500") && error.contains(&proxy.url()),
            "{error}"
        );
        let error = hasty(&proxy.url(), &[]).error(&resource(&format!("https://{FAR}:4430/")));
        assert!(
            error.contains("gave up on") && error.contains("does not let this through"),
            "{error}"
        );
        // It would never come to an end.
        let before = proxy.requests().len();
        let error = client(&proxy.url(), &[]).error(&resource("https://[2001:db8::7]:4430/"));
        assert_eq!(proxy.requests().len(), before);
        assert!(
            error.contains("IPv6") && error.contains("ignition.proxy.noProxy"),
            "{error}"
        );
    });
}

#[test]
fn user_and_password_of_the_url_count_before_a_header() {
    in_a_network(|| {
        let proxy = Tinyproxy::with("BasicAuth user right\n");
        let server = Server::plain_at(FAR, vec![answer(200, "", b"contents")]);
        let mut resource = resource(&server.url("/"));
        resource.http_headers = vec![ignition_rs::config::types::HttpHeader {
            name: "proxy-authorization".to_owned(),
            value: Some("Basic d3Jvbmc6d3Jvbmc=".into()),
        }];
        let url = format!("http://user:right@127.0.0.1:{}", proxy.port);
        assert_eq!(client(&url, &[]).get(&resource).unwrap(), b"contents");
    });
}

/// Proxies of the environment do not count, those of the config do; through the whole program.
#[test]
fn the_config_decides_and_not_the_environment() {
    in_a_network(|| {
        let proxy = Tinyproxy::start();
        let dead = format!("http://127.0.0.1:{}", closed_port());
        let server = Server::plain_at(
            FAR,
            vec![answer(200, "", br#"{"ignition": {"version": "3.4.0"}}"#); 2],
        );
        let directory = TempDir::new().unwrap();
        for proxied in [false, true] {
            let mut config = serde_json::json!({"ignition": {
                "version": "3.4.0",
                "timeouts": {"httpTotal": 5},
                "config": {"replace": {"source": server.url("/")}},
            }});
            if proxied {
                config["ignition"]["proxy"] = serde_json::json!({"httpProxy": proxy.url()});
            }
            let mut program = fetch_stage(directory.path(), &config);
            for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
                program = program.env(name, &dead);
            }
            program.run().expect_code(0);
            assert_eq!(server.requests().len(), 1 + usize::from(proxied));
            assert_eq!(proxy.requests().len(), usize::from(proxied));
        }
    });
}

#[test]
fn a_proxy_that_is_itself_reached_over_tls() {
    in_a_network(|| {
        let proxy = Tinyproxy::with("BasicAuth user right\n");
        let (config, trust) = certified("127.0.0.1");
        let front = tls_front(config, proxy.port);
        let url = format!("https://user:right@127.0.0.1:{front}");
        let plain = Server::plain_at(FAR, vec![answer(200, "", b"contents")]);
        let (secure, of_server) = far_tls(vec![answer(200, "", b"secret")]);
        let trusting = |client: Client| Client {
            trust: vec![trust.clone(), of_server.clone()],
            ..client
        };
        let http = resource(&plain.url("/"));
        let https = resource(&secure.https(FAR, "/"));
        let stranger = hasty(&url, &[]);
        for resource in [&http, &https] {
            let error = stranger.error(resource);
            assert!(
                error.contains(&format!("the proxy https://127.0.0.1:{front}"))
                    && error.contains("UnknownIssuer"),
                "{error}"
            );
            assert!(!error.contains("right@"), "{error}");
        }
        assert_eq!(trusting(client(&url, &[])).get(&http).unwrap(), b"contents");
        assert_eq!(trusting(client(&url, &[])).get(&https).unwrap(), b"secret");
        assert_eq!(proxy.requests().len(), 2);
    });
}

/// Takes TLS off what comes in and hands it on to a port; its own port is returned.
fn tls_front(config: ServerConfig, to: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let config = Arc::new(config);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let config = Arc::clone(&config);
            // A client that goes away is the client's affair.
            thread::spawn(move || shuttle(stream, config, to));
        }
    });
    port
}

fn shuttle(outside: TcpStream, config: Arc<ServerConfig>, to: u16) -> std::io::Result<()> {
    let mut inside = TcpStream::connect(("127.0.0.1", to))?;
    for side in [&outside, &inside] {
        side.set_read_timeout(Some(Duration::from_millis(5)))?;
    }
    let mut outside = StreamOwned::new(ServerConnection::new(config).unwrap(), outside);
    loop {
        if !hand_on(&mut outside, &mut inside)? {
            return Ok(());
        }
        if !hand_on(&mut inside, &mut outside)? {
            outside.conn.send_close_notify();
            return outside.flush();
        }
    }
}

/// Hands on what is there; false when that has ended.
fn hand_on(from: &mut impl Read, to: &mut impl Write) -> std::io::Result<bool> {
    let mut buffer = [0; 4096];
    match from.read(&mut buffer) {
        Ok(0) => Ok(false),
        Ok(length) => {
            to.write_all(&buffer[..length])?;
            to.flush()?;
            Ok(true)
        }
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(true),
        Err(error) => Err(error),
    }
}
