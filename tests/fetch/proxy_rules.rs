//! Which requests go through a proxy: the same ones as in Go.

use std::thread;

use tempfile::TempDir;

use super::fetch_stage_of;
use super::netns::FAR;
use super::proxy::in_a_network;
use super::server::{Server, answer};
use crate::peer;
use crate::support::programs;

/// Items of `noProxy`, host and port, whether that goes through the proxy. Where it does not, a host with the port `PORT` is
/// reached, and others are not there.
const RULES: &[(&str, &str, bool)] = &[
    ("", "198.51.100.7:PORT", true),
    ("*", "198.51.100.7:PORT", false),
    ("198.51.100.8", "198.51.100.7:PORT", true),
    ("198.51.100.7", "198.51.100.7:PORT", false),
    ("198.51.100.7:PORT", "198.51.100.7:PORT", false),
    ("198.51.100.7:80", "198.51.100.7:PORT", true),
    ("198.51.100.7:", "198.51.100.7:PORT", false),
    ("::ffff:198.51.100.7", "198.51.100.7:PORT", false),
    ("198.51.100.99/24", "198.51.100.7:PORT", false),
    ("198.51.100.0/024", "198.51.100.7:PORT", false),
    ("198.51.100.0/33", "198.51.100.7:PORT", true),
    ("198.51.100.0/+24", "198.51.100.7:PORT", true),
    ("198.51.100.7/", "198.51.100.7:PORT", true),
    ("0.0.0.0/0", "198.51.100.7:PORT", false),
    ("::/0", "198.51.100.7:PORT", true),
    ("::ffff:0:0/96", "198.51.100.7:PORT", false),
    ("::ffff:198.51.100.0/120", "198.51.100.7:PORT", false),
    (".100.7", "198.51.100.7:PORT", false),
    ("100.7", "198.51.100.7:PORT", false),
    ("00.7", "198.51.100.7:PORT", true),
    (":80,[,a:b:c, 198.51.100.7 ,x", "198.51.100.7:PORT", false),
    ("[2001:db8::1]", "[2001:db8::1]", true),
    ("[2001:db8::1]:80", "[2001:db8::1]", false),
    ("[2001:db8::1]:81", "[2001:db8::1]", true),
    ("2001:DB8:0::1", "[2001:db8::1]", false),
    ("2001:db8::/32", "[2001:db8::1]", false),
    ("0.0.0.0/0", "[2001:db8::1]", true),
    ("example.com", "example.com", false),
    ("Example.COM", "a.b.eXample.com", false),
    ("example.com", "notexample.com", true),
    ("example.com", "example.com.", true),
    (".example.com", "example.com", true),
    (".example.com", "a.example.com", false),
    ("*.example.com", "example.com", true),
    ("*.example.com", "a.example.com", false),
    ("**.example.com", "a.example.com", true),
    ("exam*ple.com", "example.com", true),
    ("example.com:80", "a.example.com", false),
    ("example.com:81", "a.example.com", true),
    ("[example.com]:80", "example.com", false),
    ("http://example.com", "example.com", true),
    ("bücher.example", "xn--bcher-kva.example", false),
    ("x", "localhost:1", false),
    ("x", "127.9.9.9:1", false),
    ("x", "[::1]:1", false),
    ("x", "localhost.", true),
];

#[test]
fn the_peer_decides_alike() {
    if !peer::present() {
        return;
    }
    in_a_network(|| {
        let config: &[u8] = br#"{"ignition": {"version": "3.1.0"}}"#;
        let answers = || vec![answer(200, "", config); 9];
        let decide = |engine: &str, item: &str, host: &str| {
            let proxy = Server::plain(answers());
            let server = Server::plain_at(FAR, answers());
            let url = server.url("");
            let port = url.rsplit(':').next().unwrap();
            let directory = TempDir::new().unwrap();
            let config = serde_json::json!({"ignition": {
                "version": "3.1.0",
                "timeouts": {"httpTotal": 1},
                "proxy": {"httpProxy": proxy.url("").replace("http://", "http://user:right@"), "noProxy": [item.replace("PORT", port)]},
                "config": {"replace": {"source": format!("http://{}/", host.replace("PORT", port))}},
            }});
            let ran = fetch_stage_of(engine, directory.path(), &config).run();
            let through = proxy.requests();
            let straight = server.requests();
            if !through.is_empty() || host.starts_with(FAR) {
                ran.expect_code(0);
                assert_eq!(through.len() + straight.len(), 1, "{ran}");
            }
            for request in &through {
                let request = request.to_lowercase();
                assert!(request.starts_with("get http://"), "{request}");
                assert!(
                    request.contains("\r\nproxy-authorization: basic dxnlcjpyawdoda==\r\n"),
                    "{request}"
                );
            }
            !through.is_empty()
        };
        for rules in RULES.chunks(8) {
            thread::scope(|scope| {
                for (item, host, want) in rules {
                    scope.spawn(move || {
                        let ours = decide(programs::BINARY, item, host);
                        let theirs = decide(peer::PEER, item, host);
                        assert_eq!(
                            (ours, theirs),
                            (*want, *want),
                            "{item:?} {host}: ours, the peer's"
                        );
                    });
                }
            });
        }
    });
}
