//! Hosts with several addresses, of which some lead nowhere.

use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::netns::{self, FAR, FAR_V6, Machine};
use super::server::{Act, Server, answer};
use super::{closed_port, fetch_stage};
use crate::support::programs::Ran;

const CONFIG: &[u8] = br#"{"ignition": {"version": "3.4.0"}}"#;

/// The stage `fetch` of a config at `server.test`, which has these addresses.
fn fetch_from(addresses: &[&str], port: u16, timeouts: &serde_json::Value) -> (Ran, Duration) {
    let hosts: String = addresses
        .iter()
        .map(|address| format!("{address} server.test\n"))
        .collect();
    let machine = Machine::new(&hosts, "", "");
    let config = serde_json::json!({"ignition": {
        "version": "3.4.0",
        "timeouts": timeouts,
        "config": {"replace": {"source": format!("http://server.test:{port}/")}},
    }});
    let directory = TempDir::new().unwrap();
    let started = Instant::now();
    let ran = machine.runs(fetch_stage(directory.path(), &config)).run();
    (ran, started.elapsed())
}

#[test]
fn either_family_is_enough_and_dead_addresses_cost_little() {
    netns::alone(&[], || {
        let dead = ["192.0.2.9", "192.0.2.10", "192.0.2.11"];
        let dead_v6 = ["2001:db8:1::9", "2001:db8:1::10"];
        netns::black_holes(&[&dead[..], &dead_v6].concat());
        let all = [&dead[..], &dead_v6, &[FAR]].concat();
        // The resolver puts this machine's own addresses first. This one looks like its neighbours, so the order stays.
        let neighbour = "192.0.2.12";
        netns::ip(&format!("route add local {neighbour} dev lo src 192.0.2.1"));
        for (addresses, good) in [
            (&[FAR][..], FAR),
            (&[FAR_V6], FAR_V6),
            (&[FAR_V6, FAR], FAR_V6),
            (&[dead_v6[0], FAR], FAR),
            (&[dead[0], FAR_V6], FAR_V6),
            // One family only: hyper alone gives each of these a third of the connect timeout.
            (&[dead[0], dead[1], neighbour], neighbour),
            (&all, FAR),
            // No route: that is known at once.
            (&["203.0.113.9", "2001:db8:2::9", FAR], FAR),
        ] {
            let server = Server::plain_at(good, vec![answer(200, "", CONFIG)]);
            let (ran, took) = fetch_from(addresses, server.port(), &serde_json::json!({}));
            ran.expect_code(0);
            assert_eq!(server.requests().len(), 1);
            assert!(took < Duration::from_secs(4), "{addresses:?}: {took:?}");
            assert!(good != neighbour || took > Duration::from_millis(500), "{took:?}");
        }
    });
}

#[test]
fn a_slow_answer_is_not_asked_for_at_another_address() {
    netns::alone(&[], || {
        let slow = [
            vec![Act::Wait(Duration::from_millis(900))],
            answer(200, "", CONFIG),
        ]
        .concat();
        let first = Server::plain_at(FAR_V6, vec![slow.clone()]);
        let second = Server::plain_on(FAR, first.port(), vec![slow]);
        let (ran, _) = fetch_from(&[FAR, FAR_V6], first.port(), &serde_json::json!({}));
        ran.expect_code(0);
        assert_eq!(first.requests().len() + second.requests().len(), 1);
    });
}

#[test]
fn all_addresses_are_in_the_error() {
    netns::alone(&[], || {
        let port = closed_port();
        let one_second = serde_json::json!({"httpTotal": 1});
        let (ran, took) = fetch_from(&[FAR, FAR_V6], port, &one_second);
        ran.expect_code(1);
        assert!(took < Duration::from_secs(3), "{took:?}");
        for part in [
            "cannot connect to server.test: ".to_owned(),
            format!("{FAR}:{port}: Connection refused"),
            format!("[{FAR_V6}]:{port}: Connection refused"),
        ] {
            assert!(ran.output().contains(&part), "{part}: {ran}");
        }
        // Nobody answers at all: the deadline counts.
        netns::black_holes(&["192.0.2.9"]);
        let (ran, took) = fetch_from(&["192.0.2.9"], port, &one_second);
        ran.expect_code(1);
        assert!(took < Duration::from_secs(3), "{took:?}");
        assert!(ran.output().contains("over before it was connected"), "{ran}");
    });
}
