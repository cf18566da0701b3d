//! What is waited for, what is said meanwhile, and what ends it.

use std::fs;
use std::net::UdpSocket;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::netns::{self, FAR, FAR_V6, Machine};
use super::server::{Act, Answer, Server, answer};
use super::{closed_port, fetch_stage};
use crate::support::programs::{Program, Ran, files_stage};
use crate::support::root::Root;

const CONFIG: &[u8] = br#"{"ignition": {"version": "3.4.0"}}"#;
const DNS: &str = "198.51.100.53";

fn config(url: &str, timeouts: &Value) -> Value {
    json!({"ignition": {
        "version": "3.4.0",
        "timeouts": timeouts,
        "config": {"replace": {"source": url}},
    }})
}

/// A run, and how long it took.
fn timed(program: &Program) -> (Ran, Duration) {
    let started = Instant::now();
    let ran = program.run();
    (ran, started.elapsed())
}

/// A run beside what happens meanwhile, and when it ended.
fn beside(program: Program, happens: impl FnOnce()) -> (Ran, Instant) {
    let running = thread::spawn(move || (program.run(), Instant::now()));
    happens();
    running.join().unwrap()
}

fn sleep(milliseconds: u64) {
    thread::sleep(Duration::from_millis(milliseconds));
}

/// Answers all questions for addresses with [`FAR`], or, for IPv6, with nothing.
fn nameserver() {
    let socket = UdpSocket::bind((DNS, 53)).unwrap();
    thread::spawn(move || {
        let mut bytes = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut bytes) {
            // The question is the name, which ends with a zero, its type and its class.
            let end = 12 + bytes[12..length].iter().position(|byte| *byte == 0).unwrap() + 1;
            let wants_v4 = bytes[end..end + 2] == [0, 1];
            let mut reply = bytes[..end + 4].to_vec();
            reply[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, u8::from(wants_v4), 0, 0, 0, 0]);
            if wants_v4 {
                reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
                reply.extend(FAR.parse::<std::net::Ipv4Addr>().unwrap().octets());
            }
            let _ = socket.send_to(&reply, from);
        }
    });
}

#[test]
fn an_address_that_appears_is_used_at_once() {
    netns::bare(&[], || {
        netns::eth0();
        let server = Server::plain_at("0.0.0.0", vec![answer(200, "", CONFIG)]);
        let directory = TempDir::new().unwrap();
        let config = config(&format!("http://{FAR}:{}/", server.port()), &json!({}));
        let program = fetch_stage(directory.path(), &config);
        let mut appeared = Instant::now();
        let (ran, ended) = beside(program, || {
            // In the middle of the wait of 3200 ms, which begins after 3000.
            sleep(4200);
            netns::ip(&format!("addr add {FAR}/24 dev eth0"));
            appeared = Instant::now();
        });
        ran.expect_code(0);
        let late = ended.saturating_duration_since(appeared);
        assert!(late < Duration::from_secs(1), "{late:?}: {ran}");
        for part in [
            "this machine has no route there; no address on far0, eth0",
            "an address, a route or a nameserver has appeared: trying again at once",
        ] {
            assert!(ran.stdout.contains(part), "{part}: {ran}");
        }
    });
}

#[test]
fn a_route_that_appears_is_used_at_once_for_either_family() {
    netns::bare(&[], || {
        netns::eth0();
        netns::ip("addr add 192.0.2.1/24 dev eth0");
        let server = Server::plain_at("::", vec![answer(200, "", CONFIG); 2]);
        for (host, route) in [
            (FAR.to_owned(), format!("route add local {FAR} dev lo")),
            (
                format!("[{FAR_V6}]"),
                format!("-6 addr add {FAR_V6}/64 dev eth0 nodad"),
            ),
        ] {
            let directory = TempDir::new().unwrap();
            let config = config(&format!("http://{host}:{}/", server.port()), &json!({}));
            let program = fetch_stage(directory.path(), &config);
            let mut appeared = Instant::now();
            let (ran, ended) = beside(program, || {
                sleep(2000);
                netns::ip(&route);
                if host == FAR {
                    // A route to this machine itself is no way to others; this one is.
                    netns::ip("route add default via 192.0.2.2 dev eth0");
                }
                appeared = Instant::now();
            });
            ran.expect_code(0);
            let late = ended.saturating_duration_since(appeared);
            assert!(late < Duration::from_secs(1), "{host}: {late:?}: {ran}");
            let lacks = if host == FAR {
                "; no default route"
            } else {
                "this machine has no route there"
            };
            assert!(ran.stdout.contains(lacks), "{ran}");
        }
    });
}

#[test]
fn names_that_are_not_resolved_then_are() {
    netns::alone(&[], || {
        netns::ip(&format!("addr add {DNS} dev lo"));
        let server = Server::plain_at(FAR, vec![answer(200, "", CONFIG)]);
        let machine = Machine::new("", "# nothing yet\n", "");
        let directory = TempDir::new().unwrap();
        let config = config(&format!("http://server.test:{}/", server.port()), &json!({}));
        let program = machine.runs(fetch_stage(directory.path(), &config));
        let resolv_conf = machine.path().join("resolv.conf");
        let mut appeared = Instant::now();
        let (ran, ended) = beside(program, || {
            sleep(1000);
            // Somebody is named who does not listen yet.
            fs::write(&resolv_conf, format!("nameserver {DNS}\n")).unwrap();
            sleep(2500);
            nameserver();
            // Nobody tells that a nameserver has begun to listen; another one is seen in the file.
            fs::write(&resolv_conf, format!("nameserver {DNS}\nnameserver 127.0.0.1\n")).unwrap();
            appeared = Instant::now();
        });
        ran.expect_code(0);
        let late = ended.saturating_duration_since(appeared);
        assert!(late < Duration::from_millis(1500), "{late:?}: {ran}");
        for part in [
            "cannot resolve the name server.test (Temporary failure in name resolution): no nameserver has answered it",
            "no nameserver in /etc/resolv.conf",
            &format!("nameservers in /etc/resolv.conf: {DNS}"),
        ] {
            assert!(ran.stdout.contains(part), "{part}: {ran}");
        }
    });
}

#[test]
fn a_server_that_starts_late() {
    netns::alone(&[], || {
        let port = closed_port();
        let directory = TempDir::new().unwrap();
        let config = config(&format!("http://{FAR}:{port}/"), &json!({}));
        let program = fetch_stage(directory.path(), &config);
        let mut kept = None;
        let (ran, _) = beside(program, || {
            sleep(1000);
            kept = Some(Server::plain_on(
                FAR,
                port,
                vec![answer(503, "", b""), answer(200, "", CONFIG)],
            ));
        });
        ran.expect_code(0);
        assert_eq!(kept.unwrap().requests().len(), 2);
        let part = format!("cannot connect to {FAR}:{port}: Connection refused");
        assert!(ran.stdout.contains(&part), "{ran}");
    });
}

/// Headers that never come, a body that never ends, a server that is not there, an address that swallows everything.
#[test]
fn the_deadline_of_the_kernel_command_line_ends_every_wait() {
    netns::alone(&[], || {
        netns::black_holes(&["192.0.2.9"]);
        let for_ever = Act::Wait(Duration::from_secs(30));
        let headers = Server::plain_at(FAR, vec![vec![for_ever.clone()]]);
        let start = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this".to_vec();
        let body = Server::plain_at(FAR, vec![vec![Act::Send(start), for_ever]]);
        let cases = [
            (headers.url("/?canary"), "over before an answer began"),
            (body.url("/?canary"), "9 of 100 bytes have come"),
            (
                format!("http://{FAR}:{}/?canary", closed_port()),
                "Connection refused",
            ),
            (
                "http://192.0.2.9/?canary".to_owned(),
                "over before it was connected",
            ),
        ];
        let runs: Vec<_> = cases
            .into_iter()
            .map(|(url, part)| {
                thread::spawn(move || {
                    let machine = Machine::new("", "", "quiet ignition.fetch.deadline=3s\n");
                    let directory = TempDir::new().unwrap();
                    // No limit for headers, and a longer one for all.
                    let config = config(&url, &json!({"httpTotal": 50, "httpResponseHeaders": 0}));
                    let (ran, took) = timed(&machine.runs(fetch_stage(directory.path(), &config)));
                    ran.expect_code(1);
                    assert!(
                        took > Duration::from_millis(2800) && took < Duration::from_secs(5),
                        "{url}: {took:?}"
                    );
                    let errors = &ran.stdout;
                    assert!(errors.contains("ignition.fetch.deadline"), "{ran}");
                    assert!(errors.contains(part), "{part}: {ran}");
                    assert!(!ran.output().contains("canary"), "{ran}");
                })
            })
            .collect();
        for run in runs {
            run.join().unwrap();
        }
    });
}

fn files_from(url: &str, cmdline: &str, total: Option<u64>) -> (Ran, Duration, Root) {
    let machine = Machine::new("", "", cmdline);
    let root = Root::system();
    let file =
        |name: &str| json!({"path": format!("/opt/{name}"), "contents": {"source": format!("{url}{name}")}});
    let config = json!({
        "ignition": {"version": "3.4.0", "timeouts": {"httpTotal": total}},
        "storage": {"files": [file("a"), file("b")]},
    });
    let config = root.file_beside("config.ign", config.to_string());
    let (ran, took) = timed(&machine.runs(files_stage(&config, root.path())));
    (ran, took, root)
}

#[test]
fn the_deadline_counts_in_the_files_stage_and_for_all_files_together() {
    netns::alone(&[], || {
        let start = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this".to_vec();
        let script: Answer = vec![Act::Send(start), Act::Wait(Duration::from_secs(30))];
        let slow = [
            vec![Act::Wait(Duration::from_millis(1500))],
            answer(200, "", b"a"),
        ]
        .concat();
        let server = Server::plain_at(FAR, vec![slow, script.clone(), script]);
        let (ran, took, root) = files_from(&server.url("/"), "ignition.fetch.deadline=3", None);
        ran.expect_code(1);
        assert!(
            took > Duration::from_millis(2800) && took < Duration::from_secs(5),
            "{took:?}"
        );
        assert!(ran.stdout.contains("ignition.fetch.deadline"), "{ran}");
        assert!(!root.at("opt/b").exists());
    });
}

#[test]
fn the_deadline_does_not_lengthen_and_a_wrong_one_is_ignored() {
    netns::alone(&[], || {
        let url = format!("http://{FAR}:{}/", closed_port());
        let (ran, took, _) = files_from(&url, "ignition.fetch.deadline=1h", Some(1));
        ran.expect_code(1);
        assert!(took < Duration::from_secs(4), "{took:?}");
        assert!(ran.stdout.contains("ignition.timeouts.httpTotal"), "{ran}");
        let (ran, _, _) = files_from(&url, "ignition.fetch.deadline=soon", Some(1));
        ran.expect_code(1);
        let part = "WARNING  : files: ignition.fetch.deadline=soon on the kernel command line is ignored: ";
        assert!(ran.stdout.contains(part), "{ran}");
    });
}

/// Eleven seconds: headers that come late, a body that stalls, an address that swallows everything.
#[test]
fn every_wait_says_a_line_in_ten_seconds() {
    netns::alone(&[], || {
        netns::black_holes(&["192.0.2.9"]);
        let pause = Act::Wait(Duration::from_millis(10_800));
        let slow_body = vec![
            Act::Send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", CONFIG.len()).into()),
            pause.clone(),
            Act::Send(CONFIG.to_vec()),
        ];
        let slow_headers = [vec![pause], answer(200, "", CONFIG)].concat();
        let body = Server::plain_at(FAR, vec![slow_body]);
        let headers = Server::plain_at(FAR, vec![answer(503, "", b""), slow_headers]);
        let cases = [
            (
                body.url_of("user:canary", "/?canary"),
                json!({}),
                0,
                "attempt 1, 10 s now: 0 of 34 bytes have come",
            ),
            (
                headers.url_of("user:canary", "/?canary"),
                json!({"httpResponseHeaders": 15}),
                0,
                "attempt 2, the one before failed: the server answered with status 503, 10 s now: it is connected, and \
                 no answer has begun",
            ),
            (
                "http://user:canary@192.0.2.9/?canary".to_owned(),
                json!({"httpTotal": 11}),
                1,
                "attempt 1, 10 s now: it is being connected to",
            ),
        ];
        let runs: Vec<_> = cases
            .into_iter()
            .map(|(url, timeouts, code, end)| {
                thread::spawn(move || {
                    let directory = TempDir::new().unwrap();
                    let ran = fetch_stage(directory.path(), &config(&url, &timeouts)).run();
                    ran.expect_code(code);
                    expect_line(&ran, end);
                })
            })
            .collect();
        for run in runs {
            run.join().unwrap();
        }
    });
}

fn expect_line(ran: &Ran, end: &str) {
    let found = ran
        .stdout
        .lines()
        .any(|line| line.starts_with("NOTICE   : fetch: still waiting for http://") && line.ends_with(end));
    assert!(found, "{end}: {ran}");
    assert!(
        !ran.output().contains(":canary") && !ran.output().contains("?canary"),
        "{ran}"
    );
}

/// A body that is cut is not asked for again, as with upstream.
#[test]
fn a_cut_body_fails_the_stage_and_says_how_much_came() {
    netns::alone(&[], || {
        let cut = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this".to_vec();
        let server = Server::plain_at(FAR, vec![vec![Act::Send(cut)], answer(200, "", CONFIG)]);
        let directory = TempDir::new().unwrap();
        let ran = fetch_stage(directory.path(), &config(&server.url("/"), &json!({}))).run();
        ran.expect_code(1);
        assert!(
            ran.stdout
                .contains("the connection broke off when 9 of 100 bytes have come"),
            "{ran}"
        );
        assert_eq!(server.requests().len(), 1);
        assert!(!Path::new(&directory.path().join("cache")).exists());
    });
}

#[test]
fn a_stalled_fetch_is_stopped_by_sigterm() {
    netns::alone(&[], || {
        let for_ever = Act::Wait(Duration::from_secs(30));
        let start = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this".to_vec();
        for script in [vec![for_ever.clone()], vec![Act::Send(start), for_ever]] {
            let server = Server::plain_at(FAR, vec![script]);
            let root = Root::system();
            let config = json!({
                "ignition": {"version": "3.4.0", "timeouts": {"httpResponseHeaders": 0}},
                "storage": {"files": [{"path": "/opt/a", "contents": {"source": server.url("/")}}]},
            });
            let config = root.file_beside("config.ign", config.to_string());
            let program = files_stage(&config, root.path());
            let (ran, took) =
                timed(&program.under(["timeout", "--preserve-status", "-s", "TERM", "-k", "8", "1"]));
            ran.expect_code(1);
            assert!(took < Duration::from_secs(3), "{took:?}: {ran}");
            assert!(ran.stdout.contains("stopped on request"), "{ran}");
            // The step was not done, and nothing of it is left.
            let left = fs::read_dir(root.at("opt")).unwrap().count();
            assert_eq!(left, 0, "{ran}");
        }
    });
}
