//! A boot that fails is tried again by the machine itself: each attempt says the same, and once the cause is gone the run
//! ends as one on a new machine.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use super::{config, digest, files_stage, read, record};
use crate::support::pages::{Page, Pages};
use crate::support::private;
use crate::support::programs::{self, BINARY, Program};
use crate::support::root::Root;
use crate::support::snapshot::{Look, Snapshot};

/// Something of each kind, so that an attempt has done much before it fails.
fn sections() -> Value {
    json!({
        "passwd": {
            "groups": [{"name": "staff", "gid": 3000}],
            "users": [{"name": "web", "uid": 2000, "groups": ["staff"], "passwordHash": "$6$a$b", "sshAuthorizedKeys": ["ssh-ed25519 A"]}],
        },
        "storage": {
            "directories": [{"path": "/opt/d", "mode": 0o750, "user": {"name": "web"}}],
            "files": [
                {"path": "/opt/d/new", "contents": {"source": "data:,new"}, "user": {"name": "web"}},
                {"path": "/etc/hosts", "append": [{"source": "data:,more%0A"}]},
                {"path": "/etc/fresh-log", "append": [{"source": "data:,a%0A"}]},
                {"path": "/srv/over", "overwrite": true, "contents": {"source": "data:,mine"}},
            ],
            "links": [{"path": "/opt/link", "target": "d"}, {"path": "/opt/hard", "target": "/opt/d/new", "hard": true}],
        },
        "systemd": {"units": [
            {"name": "a.service", "enabled": true, "contents": "[Service]\nExecStart=/bin/true\n"},
            {"name": "old.service", "enabled": false},
        ]},
    })
}

fn machine() -> Root {
    let root = Root::system();
    root.file("etc/hosts", "zero\n", 0o644)
        .file("srv/over", "theirs\n", 0o600);
    root
}

/// Three attempts end alike; then the config is mended.
fn tried(about: &str, failing: &Value, mended: &Value, on: &Root) {
    let said: Vec<String> = (0..3)
        .map(|_| {
            let said = digest(&files_stage(on, failing).run(), on);
            let size = fs::metadata(record(on))
                .map(|about| about.len())
                .unwrap_or_default();
            format!("{said}record: {size} bytes\n")
        })
        .collect();
    assert_eq!(
        said[0].split("record:").next(),
        said[1].split("record:").next(),
        "{about}: the second attempt says something else"
    );
    assert_eq!(said[1], said[2], "{about}: the record grows with each attempt");
    let fresh = machine();
    files_stage(&fresh, mended).run().expect_code(0);
    files_stage(on, mended).run().expect_code(0);
    Snapshot::of(fresh.path(), Look::Outcome).assert_same(&Snapshot::of(on.path(), Look::Outcome), about);
}

#[test]
fn each_attempt_says_the_same() {
    if !programs::privileged() {
        return;
    }
    let there = Arc::new(AtomicBool::new(false));
    let answers = Arc::clone(&there);
    let server = Pages::start(move |_| {
        if answers.load(Ordering::Relaxed) {
            Page::Whole(b"remote".to_vec())
        } else {
            Page::Status(404)
        }
    });
    let with = |change: &dyn Fn(&mut Value)| {
        let mut sections = sections();
        change(&mut sections);
        config(sections)
    };
    let push = |sections: &mut Value, list: [&str; 2], entry: Value| {
        sections[list[0]][list[1]].as_array_mut().unwrap().push(entry);
    };
    let fine = config(sections());
    let cases: Vec<(&str, Value, Value)> = vec![
        (
            "useradd fails",
            with(&|sections| {
                push(
                    sections,
                    ["passwd", "users"],
                    json!({"name": "clash", "uid": 2000}),
                )
            }),
            fine.clone(),
        ),
        (
            "an owner that is not there",
            with(&|sections| {
                push(
                    sections,
                    ["storage", "files"],
                    json!({"path": "/opt/last", "user": {"name": "nobody-here"}}),
                );
            }),
            fine.clone(),
        ),
        (
            "contents that are not there",
            with(&|sections| {
                push(
                    sections,
                    ["storage", "files"],
                    json!({"path": "/opt/last", "contents": {"source": server.url("/x")}}),
                );
            }),
            fine.clone(),
        ),
        (
            "a directory that is in the way of a unit",
            with(&|sections| {
                push(
                    sections,
                    ["storage", "directories"],
                    json!({"path": "/etc/systemd/system/b.service"}),
                );
                push(
                    sections,
                    ["systemd", "units"],
                    json!({"name": "b.service", "contents": "[Unit]\n"}),
                );
            }),
            fine.clone(),
        ),
        (
            "a hash that does not fit",
            with(&|sections| {
                let hash = format!("sha512-{}", "0".repeat(128));
                push(
                    sections,
                    ["storage", "files"],
                    json!({"path": "/opt/last", "contents": {"source": server.url("/y"), "verification": {"hash": hash}}}),
                );
            }),
            fine,
        ),
    ];
    for (about, failing, mended) in &cases {
        there.store(about.contains("hash"), Ordering::Relaxed);
        tried(about, failing, mended, &machine());
    }
    // The same config, once the server has it.
    there.store(false, Ordering::Relaxed);
    let root = machine();
    let late = &cases[2].1;
    digest(&files_stage(&root, late).run(), &root);
    there.store(true, Ordering::Relaxed);
    files_stage(&root, late).run().expect_code(0);
    let fresh = machine();
    files_stage(&fresh, late).run().expect_code(0);
    Snapshot::of(fresh.path(), Look::Outcome)
        .assert_same(&Snapshot::of(root.path(), Look::Outcome), "served");
}

#[test]
fn a_full_disk_says_the_same_each_time_and_goes_on_when_there_is_room() {
    if !private::available() {
        return;
    }
    let mut sections = sections();
    let big = json!({"path": "/zz/big", "contents": {"source": format!("data:,{}", "x".repeat(900_000))}});
    sections["storage"]["files"].as_array_mut().unwrap().push(big);
    let config = config(sections);
    let root = machine();
    let path = root.file_beside("config.ign", config.to_string());
    let stage = format!(
        "{BINARY} --stage files --log-to-stdout --config {} --root {}",
        path.display(),
        root.path().display()
    );
    let out = root.beside().display();
    let script = format!(
        "cp -a ROOT ROOT.copy; mount -t tmpfs -o size=800k,mode=755 tmpfs ROOT; cp -a ROOT.copy/. ROOT\n\
         for attempt in 1 2 3; do {stage} >{out}/log 2>{out}/said.$attempt && exit 9; stat -c %s ROOT/.ignition-progress; done\n\
         mount -o remount,size=20m ROOT\n{stage} >{out}/log\n cp -a ROOT/. {out}/end"
    )
    .replace("ROOT", root.path().to_str().unwrap());
    fs::create_dir(root.beside().join("end")).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let ran = private::run(scratch.path(), "", &Program::new("sh").args(["-euc", &script])).run();
    ran.expect_code(0);
    let said = |attempt: usize| read(&root.beside().join(format!("said.{attempt}")));
    assert!(
        said(1).contains("No space left on device") && said(1).contains("zz/big"),
        "{}",
        said(1)
    );
    assert_eq!(said(1), said(2));
    assert_eq!(said(2), said(3));
    let sizes: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(sizes[1], sizes[2], "the record grows");
    let fresh = machine();
    files_stage(&fresh, &config).run().expect_code(0);
    Snapshot::of(fresh.path(), Look::Outcome).assert_same(
        &Snapshot::of(&root.beside().join("end"), Look::Outcome),
        "once there is room",
    );
}

/// The config is mended where the machine gets it from, and what it says now is what counts.
#[test]
fn another_config_is_converged_to() {
    if !programs::privileged() {
        return;
    }
    let server = Pages::start(|_| Page::Status(404));
    let first = config(json!({
        "passwd": {"users": [{"name": "web", "uid": 2000, "groups": ["sudo"], "sshAuthorizedKeys": ["ssh-ed25519 A"]}]},
        "storage": {
            "directories": [
                {"path": "/opt/dir", "mode": 0o700, "user": {"name": "web"}},
                {"path": "/opt/tree"}, {"path": "/opt/tree/in"},
            ],
            "files": [
                {"path": "/opt/file", "contents": {"source": "data:,first"}, "mode": 0o600, "user": {"name": "web"}},
                {"path": "/opt/bare", "contents": {"source": "data:,first"}},
                {"path": "/opt/log", "append": [{"source": "data:,first"}]},
                {"path": "/opt/turned", "contents": {"source": "data:,first"}},
                {"path": "/opt/tree/in/file", "contents": {"source": "data:,first"}},
                {"path": "/opt/zz/yy/last", "contents": {"source": server.url("/gone")}},
            ],
            "links": [{"path": "/opt/link", "target": "first", "user": {"name": "web"}}, {"path": "/opt/hard", "target": "/opt/file", "hard": true}],
        },
        "systemd": {"units": [{"name": "a.service", "enabled": true, "contents": "[Unit]\n"}]},
    }));
    let second = config(json!({
        "passwd": {"users": [{"name": "web", "uid": 2000, "groups": ["docker"], "sshAuthorizedKeys": ["ssh-ed25519 B"]}]},
        "storage": {
            "directories": [{"path": "/opt/dir"}, {"path": "/opt/turned"}],
            "files": [
                {"path": "/opt/file", "contents": {"source": "data:,second"}},
                {"path": "/opt/bare"},
                {"path": "/opt/log", "append": [{"source": "data:,second"}]},
                {"path": "/opt/link", "contents": {"source": "data:,second"}},
                {"path": "/opt/zz/yy/last", "contents": {"source": "data:,second"}},
                {"path": "/opt/tree", "contents": {"source": "data:,second"}},
            ],
            "links": [{"path": "/opt/hard", "target": "file"}],
        },
        "systemd": {"units": [{"name": "a.service", "enabled": false, "contents": "[Service]\n"}]},
    }));
    let root = machine();
    digest(&files_stage(&root, &first).run(), &root);
    assert_eq!(
        read(&root.at("opt/file")),
        "first",
        "the first attempt had come so far"
    );
    let ran = files_stage(&root, &second).run();
    ran.expect_code(0);
    assert!(
        ran.stdout
            .contains("an earlier run with another config did not finish"),
        "{ran}"
    );
    let fresh = machine();
    files_stage(&fresh, &second).run().expect_code(0);
    Snapshot::of(fresh.path(), Look::Outcome)
        .assert_same(&Snapshot::of(root.path(), Look::Outcome), "converged");
    let report: Value = serde_json::from_str(&read(&root.at("etc/.ignition-result.json"))).unwrap();
    assert_eq!(
        report["previousReport"],
        Value::Null,
        "the first attempt has provisioned nothing"
    );
}

/// The first config has come to its end but for the last steps: its report, presets and units are there.
#[test]
fn another_config_after_an_attempt_that_was_killed_at_its_end() {
    if !programs::privileged() || !programs::traceable() {
        return;
    }
    let unit = |enabled: bool| json!({"systemd": {"units": [{"name": "a.service", "enabled": enabled, "contents": "[Unit]\n"}]}});
    let with_append = |text: &str, enabled: bool| {
        let mut sections = unit(enabled);
        sections["storage"] =
            json!({"files": [{"path": "/etc/hosts", "append": [{"source": format!("data:,{text}%0A")}]}]});
        config(sections)
    };
    let root = machine();
    let killed = files_stage(&root, &with_append("first", true))
        .under([
            "strace",
            "-qq",
            "-o",
            "/dev/null",
            "-e",
            "trace=syncfs",
            "-e",
            "inject=syncfs:signal=SIGKILL:when=1",
        ])
        .run();
    assert_eq!(killed.signal, Some(9), "{killed}");
    assert!(root.at("etc/.ignition-result.json").exists() && record(&root).exists());
    files_stage(&root, &with_append("second", false))
        .run()
        .expect_code(0);
    // Nothing of the first is left where the second says something else.
    assert_eq!(read(&root.at("etc/hosts")), "zero\nsecond\n");
    let preset = "etc/systemd/system-preset/20-ignition.preset";
    let fresh = machine();
    files_stage(&fresh, &with_append("second", false))
        .run()
        .expect_code(0);
    assert_eq!(read(&root.at(preset)), read(&fresh.at(preset)));
    let report: Value = serde_json::from_str(&read(&root.at("etc/.ignition-result.json"))).unwrap();
    assert_eq!(report["previousReport"], Value::Null);
}
