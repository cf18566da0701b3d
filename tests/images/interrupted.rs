//! A run that is stopped or killed leaves nothing attached, and the next one finishes what it began.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use super::{Desk, assert_nothing_mounted, available, file};
use crate::support::programs::{BINARY, Program};

/// Many files, so that there is time to interrupt.
fn config() -> Value {
    let files: Vec<Value> = (0..200)
        .map(|index| file(&format!("/srv/{index}"), "x"))
        .collect();
    json!({"ignition": {"version": "3.4.0"}, "storage": {
        "disks": [{"device": "/dev/vda", "wipeTable": true, "partitions": [
            {"number": 1, "label": "root", "sizeMiB": 200},
            {"number": 2, "label": "xfs", "sizeMiB": 320},
        ]}],
        "filesystems": [
            {"device": "/dev/disk/by-partlabel/root", "format": "ext4", "label": "ROOT"},
            {"device": "/dev/disk/by-partlabel/xfs", "format": "xfs", "label": "VAR", "path": "/var"},
        ],
        "files": files,
    }})
}

/// Starts a run, and sends it a signal after so long. Its exit code, if it ended by itself.
fn interrupted(desk: &Desk, config: &Value, after: Duration, signal: Signal) -> Option<i32> {
    let mut child = Command::new(BINARY)
        .args(["provision", "--image"])
        .arg(desk.image())
        .arg(desk.config(config))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(after);
    let _ = kill(Pid::from_raw(child.id().try_into().unwrap()), signal);
    child.wait().unwrap().code()
}

#[test]
fn a_killed_run_is_finished_by_the_next() {
    if !available() {
        return;
    }
    let config = config();
    // Moments are shares of what a whole run takes here: machines differ by a factor of ten.
    let whole = {
        let desk = Desk::new(600);
        let begun = Instant::now();
        desk.provision(&config).expect_code(0);
        begun.elapsed()
    };
    let mut killed = 0;
    for share in 1..=11 {
        let desk = Desk::new(600);
        let after = whole * share / 14;
        let code = interrupted(&desk, &config, after, Signal::SIGKILL);
        killed += u32::from(code.is_none());
        // The kernel does it, as soon as nobody uses it.
        desk.await_detached();
        assert_nothing_mounted();
        let ran = desk.provision(&config);
        ran.expect_code(0);
        let root = desk.mounted(1);
        assert_eq!(
            std::fs::read_dir(root.path("srv")).unwrap().count(),
            200,
            "killed after {after:?} of {whole:?}"
        );
        assert!(!root.path(".ignition-progress").exists());
        assert_eq!(desk.mounted(2).mode(""), 0o755);
    }
    assert!(killed > 0, "no run lasted for a fourteenth of {whole:?}");
}

#[test]
fn a_stopped_run_detaches() {
    if !available() {
        return;
    }
    let mut config = config();
    // Nobody answers there; without a limit that is waited for without end.
    config["storage"]["files"][0]["contents"]["source"] = json!("http://127.0.0.1:9/");
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let desk = Desk::new(600);
        let code = interrupted(&desk, &config, Duration::from_secs(3), signal);
        assert_eq!(code, Some(1), "{signal}");
        assert!(desk.attached().is_empty(), "{signal}");
        assert_nothing_mounted();
    }
}

/// What a run that was killed has left attached, because something used it, is detached by the next.
#[test]
fn what_a_killed_run_has_left_is_detached() {
    if !available() {
        return;
    }
    let desk = Desk::new(600);
    let mut config = config();
    config["storage"]["files"][0]["contents"]["source"] = json!("http://127.0.0.1:9/");
    let mut child = Command::new(BINARY)
        .args(["provision", "--image"])
        .arg(desk.image())
        .arg(desk.config(&config))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while desk.attached().is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(60), "never attached");
        std::thread::sleep(Duration::from_millis(50));
    }
    let attached = desk.attached();
    assert_eq!(attached.len(), 1, "{attached:?}");
    // Somebody looks at the device while the run is killed, and for a while after.
    let node = attached[0].split(':').next().unwrap().to_owned();
    let mut holder = Command::new("sh")
        .args(["-c", &format!("exec sleep 4 <{node}")])
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(200));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(desk.attached().len(), 1, "it is in use");
    let ran: Program = desk.program("provision", &super::interrupted::config());
    let ran = ran.run();
    holder.wait().unwrap();
    ran.expect_code(0);
    assert!(
        ran.stdout.contains("an earlier run has left the image attached"),
        "{ran}"
    );
    assert!(desk.attached().is_empty());
}
