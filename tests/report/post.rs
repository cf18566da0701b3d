//! `ignition.report.url=`.

use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};

use super::{Boot, Sink, checker};
use crate::support::programs::{self, Program, Ran};

/// What a run may take longer for the message (issue 3), beside what a stage takes here.
const MOST: Duration = Duration::from_millis(2500);

fn good() -> Value {
    json!({
        "ignition": {"version": "3.4.0"},
        "storage": {"files": [{"path": "/etc/new", "contents": {"source": "data:,CANARY"}}]},
    })
}

/// A file is there already.
fn bad() -> Value {
    json!({
        "ignition": {"version": "3.4.0"},
        "storage": {"files": [{"path": "/etc/passwd", "contents": {"source": "data:,CANARY"}}]},
    })
}

/// Whether a kernel command line can be faked here.
fn possible() -> bool {
    programs::privileged() && programs::have("unshare")
}

fn run(boot: &Boot, stage: &str, url: &str) -> Ran {
    boot.with_cmdline(boot.program(stage), &format!("ignition.report.url={url}"))
        .run()
}

fn messages(sink: &Sink) -> Vec<Value> {
    sink.requests()
        .into_iter()
        .map(|(head, body)| {
            let lower = head.to_ascii_lowercase();
            assert!(lower.starts_with("post /"), "{head}");
            assert!(lower.contains("\r\ncontent-type: application/json\r\n"), "{head}");
            let text = String::from_utf8(body).unwrap();
            assert!(!text.contains("CANARY"), "{text}");
            let value = serde_json::from_str(&text).unwrap();
            checker()
                .check_part("/$defs/message", &value)
                .unwrap_or_else(|problem| panic!("{problem}: {text}"));
            value
        })
        .collect()
}

fn answers(count: usize, status: u16) -> Vec<(u16, Vec<u8>)> {
    vec![(status, Vec::new()); count]
}

#[test]
fn success_is_told_once_and_by_the_last_stage() {
    if !possible() {
        return;
    }
    let sink = Sink::new(answers(9, 204));
    let boot = Boot::new(&good());
    for stage in ["fetch-offline", "fetch", "kargs", "disks", "mount"] {
        run(&boot, stage, &sink.url("/in")).expect_code(0);
        assert_eq!(sink.requests().len(), 0, "{stage}");
    }
    let ran = run(&boot, "files", &sink.url("/in?token=CANARY"));
    ran.expect_code(0);
    assert!(
        ran.stdout
            .contains(&format!("reported to {}: provisioned", sink.url("/in?token=…"))),
        "{ran}"
    );
    run(&boot, "umount", &sink.url("/in")).expect_code(0);
    let messages = messages(&sink);
    assert_eq!(messages.len(), 1);
    let message = &messages[0];
    assert_eq!(message["schema"], 1);
    assert_eq!(message["outcome"], "provisioned");
    assert_eq!(message["stage"], "files");
    assert_eq!(message["platform"], "file");
    assert_eq!(message.get("digest"), None);
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    assert_eq!(message["bootId"], id.trim());
    let cache = std::fs::read(boot.run.join("ignition.json")).unwrap();
    assert_eq!(
        message["configSha512"],
        ignition_rs::view::Digest::of(&cache).to_string()
    );
    // From the first stage on, not of the last alone.
    let lines = boot.report();
    let files = lines
        .iter()
        .find(|line| line["event"] == "stage-begins" && line["stage"] == "files")
        .unwrap();
    let since = files["at"].as_u64().unwrap() - lines[0]["at"].as_u64().unwrap();
    assert!(message["duration"].as_u64().unwrap() > since, "{message}");
}

#[test]
fn failure_is_told_once_with_its_digest() {
    if !possible() {
        return;
    }
    let sink = Sink::new(answers(9, 200));
    let boot = Boot::new(&bad());
    run(&boot, "fetch", &sink.url("/")).expect_code(0);
    run(&boot, "files", &sink.url("/")).expect_code(1);
    let messages = messages(&sink);
    assert_eq!(messages.len(), 1);
    let message = &messages[0];
    assert_eq!(message["outcome"], "failed");
    assert_eq!(message["stage"], "files");
    let pointer = message["pointer"].as_str().unwrap();
    assert!(pointer.starts_with("storage.files[0]"), "{message}");
    assert_eq!(message["digest"]["pointer"], pointer);
    assert_eq!(message["digest"]["config"], "the config of the platform file");
    assert_eq!(message["digest"]["line"], 1);
    let causes = message["digest"]["causes"].to_string();
    assert!(causes.contains("is there already"), "{causes}");
    assert_eq!(message["configSha512"].as_str().unwrap().len(), 128);
}

/// Before there is a state, a cache or a report.
#[test]
fn the_failure_of_the_first_stage_is_told() {
    if !possible() {
        return;
    }
    let sink = Sink::new(answers(9, 200));
    let boot = Boot::new(&json!({"ignition": {"version": "9.9.9"}}));
    run(&boot, "fetch-offline", &sink.url("/")).expect_code(1);
    let messages = messages(&sink);
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0]["stage"], "fetch-offline");
    assert_eq!(messages[0]["outcome"], "failed");
}

#[test]
fn nothing_is_told_of_what_is_only_tried() {
    if !possible() {
        return;
    }
    let sink = Sink::new(answers(9, 200));
    let boot = Boot::new(&bad());
    let cmdline = format!("ignition.report.url={}", sink.url("/"));
    boot.stage("fetch").expect_code(0);
    boot.with_cmdline(boot.program("files").arg("-dry-run"), &cmdline)
        .run()
        .expect_code(1);
    boot.with_cmdline(programs::files_stage(&boot.config, boot.root.path()), &cmdline)
        .run()
        .expect_code(1);
    boot.with_cmdline(programs::plan(&boot.config, boot.root.path()), &cmdline)
        .run()
        .expect_code(1);
    let apply = Program::ignition_rs()
        .args(["apply", "--root"])
        .arg(boot.root.path())
        .arg(&boot.config)
        .env("container", "test");
    boot.with_cmdline(apply, &cmdline).run().expect_code(1);
    // Without the parameter, or with nothing in it.
    for words in ["", "ignition.report.url", "ignition.report.url="] {
        boot.with_cmdline(boot.program("files"), words)
            .run()
            .expect_code(1);
    }
    assert_eq!(sink.requests().len(), 0);
}

/// One attempt; what becomes of it changes nothing, and is said in one line without the secrets of the URL.
#[test]
fn a_server_that_does_not_take_it() {
    if !possible() {
        return;
    }
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let refusing = Sink::new(answers(9, 503));
    let redirecting = Sink::new(answers(9, 302));
    let (refused, redirected) = (refusing.url("/x?t=CANARY"), redirecting.url("/x?t=CANARY"));
    for (url, says) in [
        (refused.as_str(), "status 503"),
        (redirected.as_str(), "status 302"),
        (&format!("http://u:CANARY@{nobody}/x?t=CANARY"), "refused"),
        ("http://no-such-host.invalid/CANARY?CANARY", ""),
        ("ftp://u:CANARY@127.0.0.1/x", "http"),
        ("http:CANARY", ""),
        ("CANARY", ""),
    ] {
        for (config, code) in [(good(), 0), (bad(), 1)] {
            let boot = Boot::new(&config);
            boot.stage("fetch").expect_code(0);
            let ran = run(&boot, "files", url);
            ran.expect_code(code);
            let warnings: Vec<&str> = ran
                .stdout
                .lines()
                .filter(|line| line.starts_with("WARNING"))
                .collect();
            assert_eq!(warnings.len(), 1, "{ran}");
            assert!(
                warnings[0].contains("cannot report to") && warnings[0].contains(says),
                "{ran}"
            );
            if url.contains("t=CANARY") || url.contains("u:CANARY") {
                assert!(!ran.output().contains("CANARY"), "{ran}");
            }
        }
    }
    assert_eq!(refusing.requests().len(), 2);
    assert_eq!(redirecting.requests().len(), 2);
}

/// The time of a run whose message goes nowhere, less that of one without a message.
fn costs(url: &str, resolver: Option<&str>) -> Duration {
    let boot = Boot::new(&bad());
    boot.stage("fetch").expect_code(0);
    let mut program = boot.with_cmdline(boot.program("files"), &format!("ignition.report.url={url}"));
    if let Some(resolver) = resolver {
        let file = boot.root.file_beside(
            "resolv.conf",
            format!("nameserver {resolver}\noptions timeout:5 attempts:3\n"),
        );
        let script = "mount --bind \"$0\" /etc/resolv.conf && exec \"$@\"";
        program = program.under(["unshare", "--mount", "sh", "-c", script, file.to_str().unwrap()].iter());
    }
    let started = Instant::now();
    boot.stage("files").expect_code(1);
    let without = started.elapsed();
    let started = Instant::now();
    let ran = program.run();
    let with = started.elapsed();
    ran.expect_code(1);
    assert!(
        ran.stdout.contains("WARNING  : files: cannot report to "),
        "{ran}"
    );
    with.saturating_sub(without)
}

#[test]
fn a_black_hole_costs_two_seconds() {
    if !possible() {
        return;
    }
    // Accepts a connection, and says nothing; over TLS the handshake waits.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    for url in [format!("http://{address}/"), format!("https://{address}/")] {
        let cost = costs(&url, None);
        assert!(
            cost < MOST && cost > Duration::from_millis(1500),
            "{url}: {cost:?}"
        );
    }
    // A queue that is full: the connection does not come about.
    let full = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = full.local_addr().unwrap();
    #[expect(unsafe_code, reason = "std has no listen(2) with a backlog")]
    // SAFETY: the descriptor is that of a listening socket; listening again only changes its backlog.
    let shortened = unsafe { libc::listen(full.as_raw_fd(), 0) };
    assert_eq!(shortened, 0);
    let mut waiting = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        waiting.push(stream);
        assert!(waiting.len() < 1000);
    }
    let cost = costs(&format!("http://{address}/"), None);
    assert!(
        cost < MOST && cost > Duration::from_millis(1500),
        "connect: {cost:?}"
    );
    // A resolver that does not answer.
    let Ok(_resolver) = UdpSocket::bind("127.0.0.9:53") else {
        eprintln!("skipped: cannot bind 127.0.0.9:53");
        return;
    };
    let cost = costs("http://sink.example/", Some("127.0.0.9"));
    assert!(
        cost < MOST && cost > Duration::from_millis(1500),
        "names: {cost:?}"
    );
}

/// A proxy that the config names is used for this, too: it is the only way out.
#[test]
fn it_goes_through_the_proxy_of_the_config() {
    if !possible() {
        return;
    }
    let proxy = Sink::new(answers(9, 200));
    let mut config = good();
    config["ignition"]["proxy"] = json!({"httpProxy": proxy.url("/")});
    let boot = Boot::new(&config);
    boot.stage("fetch").expect_code(0);
    run(&boot, "files", "http://sink.example/in").expect_code(0);
    let requests = proxy.requests();
    assert_eq!(requests.len(), 1);
    assert!(
        requests[0].0.starts_with("POST http://sink.example/in "),
        "{}",
        requests[0].0
    );
}

/// Over TLS with an authority that only the config names.
#[test]
fn it_trusts_the_authorities_of_the_config() {
    if !possible() {
        return;
    }
    use base64::Engine as _;
    let certified = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let pem = base64::engine::general_purpose::STANDARD.encode(certified.cert.pem());
    let mut trusting = good();
    trusting["ignition"]["security"] =
        json!({"tls": {"certificateAuthorities": [{"source": format!("data:;base64,{pem}")}]}});
    for (config, taken) in [(trusting, true), (good(), false)] {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.der().clone()], key)
            .unwrap();
        let sink = Sink::tls(answers(9, 200), tls);
        let boot = Boot::new(&config);
        boot.stage("fetch").expect_code(0);
        let url = sink.url("/").replace("http:", "https:");
        let ran = run(&boot, "files", &url);
        ran.expect_code(0);
        assert_eq!(messages(&sink).len(), usize::from(taken), "{ran}");
        assert_eq!(ran.stdout.contains("certificate"), !taken, "{ran}");
    }
}
