//! Contents are fetched side by side, by the real program from a real server.

use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sha2::Digest as _;

use crate::support::pages::{Page, Pages};
use crate::support::programs;
use crate::support::root::Root;

fn config(files: &[Value]) -> String {
    json!({"ignition": {"version": "3.4.0"}, "storage": {"files": files}}).to_string()
}

fn file(path: &str, url: &str) -> Value {
    json!({"path": path, "contents": {"source": url}})
}

fn hashed(path: &str, url: &str, bytes: &[u8]) -> Value {
    let hash: String = sha2::Sha512::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    json!({"path": path, "contents": {"source": url, "verification": {"hash": format!("sha512-{hash}")}}})
}

/// More than fits in all buffers.
fn large(seed: usize) -> Vec<u8> {
    (0..3_000_000_usize)
        .map(|index| (index * (seed + 3) / 11) as u8)
        .collect()
}

fn leftovers(root: &Root) -> Vec<String> {
    let find = Command::new("find")
        .arg(root.path())
        .args(["-name", ".ignition-????????????????"])
        .output()
        .unwrap();
    String::from_utf8(find.stdout)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect()
}

/// The files stage with its output thrown away, but for stderr.
fn start(config: &std::path::Path, root: &Root) -> Child {
    Command::new(programs::BINARY)
        .args(["--stage", "files", "--log-to-stdout", "--config"])
        .arg(config)
        .arg("--root")
        .arg(root.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn a_server_that_waits_for_four_requests_gets_them() {
    if !programs::privileged() {
        return;
    }
    let here = Arc::new((Mutex::new((0_usize, 0_usize)), Condvar::new()));
    let server = Pages::start(move |path| {
        let (counts, changed) = &*here;
        let mut count = counts.lock().unwrap();
        count.0 += 1;
        count.1 += 1;
        assert!(count.1 <= 4, "five at a time");
        changed.notify_all();
        // The first four, and then nobody.
        let (mut count, time) = changed
            .wait_timeout_while(count, Duration::from_secs(20), |count| count.0 < 4)
            .unwrap();
        count.1 -= 1;
        drop(count);
        if time.timed_out() {
            return Page::Status(404);
        }
        Page::Whole(large(path.len()))
    });
    let files: Vec<Value> = (0..7)
        .map(|number| {
            let path = format!("/srv/new{number}/deep/{}", "x".repeat(number + 1));
            let url = server.url(&path);
            match number % 2 {
                0 => file(&path, &url),
                _ => hashed(&path, &url, &large(path.len())),
            }
        })
        .collect();
    let root = Root::system();
    let config = root.file_beside("config.json", config(&files));
    let ran = programs::files_stage(&config, root.path()).run();
    ran.expect_code(0);
    for number in 0..7 {
        let path = format!("/srv/new{number}/deep/{}", "x".repeat(number + 1));
        assert!(
            std::fs::read(root.at(&path[1..])).unwrap() == large(path.len()),
            "{path}"
        );
    }
    // What threads say stands under the same names.
    assert!(ran.stdout.contains("files: nodes: GET http"), "{ran}");
    assert_eq!(leftovers(&root), Vec::<String>::new());
}

#[test]
fn told_to_stop_in_the_middle_of_a_body_it_stops_and_goes_on_later() {
    if !programs::privileged() {
        return;
    }
    let stalls = Arc::new(AtomicBool::new(true));
    let asked = Arc::new(AtomicUsize::new(0));
    let (stall, count) = (Arc::clone(&stalls), Arc::clone(&asked));
    let server = Pages::start(move |path| {
        count.fetch_add(1, Ordering::SeqCst);
        match path {
            "/first" => Page::Whole(large(1)),
            "/never" if stall.load(Ordering::SeqCst) => Page::Status(503),
            _ if stall.load(Ordering::SeqCst) => Page::Stalled(large(2), 1_000_000),
            _ => Page::Whole(large(2)),
        }
    });
    let files = [
        file("/srv/a", &server.url("/first")),
        file("/srv/b", &server.url("/stalls")),
        hashed("/srv/new/c", &server.url("/too"), &large(2)),
        file("/srv/d", &server.url("/never")),
    ];
    let root = Root::system();
    let config = root.file_beside("config.json", config(&files));
    let child = start(&config, &root);
    let begin = Instant::now();
    while !root.at("srv/a").exists() || asked.load(Ordering::SeqCst) < 4 {
        assert!(begin.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(
        !leftovers(&root).is_empty(),
        "what is fetched is there, under another name"
    );
    let told = Instant::now();
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(told.elapsed() < Duration::from_secs(3), "{:?}", told.elapsed());
    assert!(
        said.contains("storage.files[1]") && said.contains("stopped on request"),
        "{said}"
    );
    assert_eq!(leftovers(&root), Vec::<String>::new());
    assert!(root.at(".ignition-progress").exists());
    assert!(!root.at("srv/b").exists() && !root.at("srv/new/c").exists());

    stalls.store(false, Ordering::SeqCst);
    programs::files_stage(&config, root.path()).run().expect_code(0);
    assert!(std::fs::read(root.at("srv/new/c")).unwrap() == large(2));
    assert!(!root.at(".ignition-progress").exists());
}

/// Peak of the memory that is its own, in KiB: pages of the binary do not count, which is large in tests.
fn peak_of(config: &std::path::Path, root: &Root) -> u64 {
    let mut child = start(config, root);
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let own = text
            .lines()
            .find_map(|line| line.strip_prefix("RssAnon:"))
            .and_then(|rest| rest.trim().strip_suffix(" kB")?.parse().ok());
        peak = peak.max(own.unwrap_or(0));
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(child.wait().unwrap().success());
    peak
}

#[test]
fn nothing_is_held_whole_in_memory() {
    if !programs::privileged() {
        return;
    }
    let size = 48 << 20;
    let server = Pages::start(move |_| Page::Whole(vec![b'x'; size]));
    let files: Vec<Value> = (0..4)
        .map(|number| hashed(&format!("/srv/{number}"), &server.url("/x"), &vec![b'x'; size]))
        .collect();
    let root = Root::system();
    let config = root.file_beside("config.json", config(&files));
    let peak = peak_of(&config, &root);
    assert!(peak > 0 && peak < 16 << 10, "{peak} KiB for 4 times 48 MiB");
}
