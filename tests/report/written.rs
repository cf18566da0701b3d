//! `report.jsonl`, and `ignition-rs report` over it.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Boot, Sink, checker, events};
use crate::support::programs::{self, Program};
use crate::support::root::Root;

const BOOT: [&str; 6] = ["fetch-offline", "kargs", "disks", "mount", "files", "umount"];

fn table(path: &std::path::Path, more: &[&str]) -> String {
    let ran = Program::ignition_rs().arg("report").arg(path).args(more).run();
    ran.expect_code(0);
    ran.stdout
}

fn config() -> Value {
    json!({
        "ignition": {"version": "3.4.0"},
        "passwd": {"users": [{"name": "web"}]},
        "storage": {
            "directories": [{"path": "/home/core", "mode": 0o750, "user": {"id": 500}, "group": {"id": 500}}],
            "files": [{"path": "/etc/hostname", "overwrite": true, "contents": {"source": "data:,box"}}],
        },
    })
}

#[test]
fn a_boot_that_succeeds() {
    if !programs::privileged() {
        return;
    }
    let boot = Boot::new(&config());
    for stage in BOOT {
        boot.stage(stage).expect_code(0);
    }
    assert_eq!(fs::metadata(boot.path()).unwrap().mode() & 0o7777, 0o600);
    let lines = boot.report();
    let begins = events(&lines, "stage-begins");
    let stages: Vec<&str> = begins
        .iter()
        .map(|line| line["stage"].as_str().unwrap())
        .collect();
    assert_eq!(stages, BOOT);
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    assert!(
        begins
            .iter()
            .all(|line| line["bootId"] == id.trim() && line["platform"] == "file")
    );
    let ends = events(&lines, "stage-ends");
    assert_eq!(ends.len(), BOOT.len());
    assert!(ends.iter().all(|line| line["outcome"] == "done"));
    // Times only go forward, over all stages.
    let at: Vec<u64> = lines.iter().map(|line| line["at"].as_u64().unwrap()).collect();
    assert!(at.is_sorted(), "{at:?}");
    assert!(at[0] > 0);

    let fetched = events(&lines, "fetch");
    assert_eq!(fetched.len(), 1);
    assert_eq!(fetched[0]["kind"], "provider");
    assert_eq!(fetched[0]["source"], "platform file");
    assert_eq!(fetched[0]["bytes"], config().to_string().len());

    let steps = events(&lines, "step");
    let of = |what: &str| {
        *steps
            .iter()
            .find(|step| step["what"] == what)
            .unwrap_or_else(|| panic!("{what}"))
    };
    let host = of("/etc/hostname");
    for (member, want) in [
        ("phase", json!("nodes")),
        ("action", json!("writeFile")),
        ("change", json!("create")),
        ("cause", json!("storage.files[0]")),
        ("outcome", json!("done")),
        ("bytes", json!(3)),
    ] {
        assert_eq!(host[member], want, "{host}");
    }
    assert_eq!(of("/home/core")["outcome"], "kept");
    assert_eq!(of("user web")["outcome"], "done");
    // A program is told when it begins, a small file is not.
    let begun = events(&lines, "step-begins");
    assert!(begun.iter().any(|step| step["what"] == "user web"));
    assert!(!begun.iter().any(|step| step["what"] == "/etc/hostname"));

    let shown = table(&boot.path(), &[]);
    assert!(shown.contains("files  done in "), "{shown}");
    assert!(shown.contains("user web (passwd.users[0])"), "{shown}");
    assert!(!shown.contains("malformed"), "{shown}");
    assert!(!shown.contains("keep /home/core"), "{shown}");
    assert!(table(&boot.path(), &["--all"]).contains("keep /home/core"));

    // Run again, it is told again, behind what is there.
    let before = fs::read(boot.path()).unwrap();
    boot.stage("files").expect_code(0);
    assert!(fs::read(boot.path()).unwrap().starts_with(&before));
    assert_eq!(events(&boot.report(), "stage-begins").len(), BOOT.len() + 1);
}

#[test]
fn a_boot_that_fails() {
    if !programs::privileged() {
        return;
    }
    let server = Sink::new(vec![(403, Vec::new())]);
    let mut config = config();
    let source = server.url("/big?token=x");
    config["storage"]["files"]
        .as_array_mut()
        .unwrap()
        .push(json!({"path": "/opt/big", "contents": {"source": source}}));
    let boot = Boot::new(&config);
    boot.stage("fetch").expect_code(0);
    boot.stage("files").expect_code(1);
    let lines = boot.report();
    let last = lines.last().unwrap();
    assert_eq!(last["event"], "stage-ends");
    assert_eq!(last["outcome"], "failed");
    assert_eq!(last["failure"]["pointer"], "storage.files[1]");
    assert_eq!(last["failure"]["config"], "the config of the platform file");
    assert_eq!(last["failure"]["phase"], "nodes");
    assert_eq!(last["failure"]["operation"], "create /opt/big");
    assert_eq!(last["failure"]["configSha512"].as_str().unwrap().len(), 128);
    let cause = last["failure"]["causes"].to_string();
    assert!(cause.contains("status 403"), "{cause}");
    let failed: Vec<&Value> = events(&lines, "step")
        .into_iter()
        .filter(|step| step["outcome"] == "failed")
        .collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0]["what"], "/opt/big");
    let shown_url = server.url("/big?token=…");
    assert_eq!(failed[0]["sources"], json!([shown_url]));
    let shown = table(&boot.path(), &[]);
    assert!(shown.contains("files  failed in "), "{shown}");
    assert!(shown.trim_end().contains("\nfiles failed\n"), "{shown}");
    assert!(shown.contains("storage.files[1]"), "{shown}");
}

/// A config that is no config: the stage fails before there is a step.
#[test]
fn a_config_that_cannot_be_read() {
    let boot =
        Boot::new(&json!({"ignition": {"version": "3.4.0"}, "storage": {"files": [{"path": "relative"}]}}));
    boot.stage("fetch").expect_code(1);
    let lines = boot.report();
    assert_eq!(events(&lines, "step").len(), 0);
    assert_eq!(lines.last().unwrap()["outcome"], "failed");
    // A state file that is spoilt is another exit code, and is told as well.
    fs::write(boot.run.join("ignition/state"), "{").unwrap();
    boot.stage("files").expect_code(3);
    assert_eq!(events(&boot.report(), "stage-ends").len(), 2);
}

#[test]
fn what_is_fetched_is_told_with_its_attempts() {
    let ca = rcgen::generate_simple_self_signed(["ca.example".to_owned()]).unwrap();
    let child = json!({
        "ignition": {
            "version": "3.4.0",
            "security": {"tls": {"certificateAuthorities": [{"source": format!("data:;base64,{}", base64(&ca.cert.pem()))}]}},
        },
    });
    let server = Sink::new(vec![
        (503, Vec::new()),
        (200, child.to_string().into_bytes()),
        (404, Vec::new()),
    ]);
    let url = server.url("/child.ign?token=CANARY");
    let mut config = config();
    config["ignition"]["config"] = json!({"merge": [{"source": url}]});
    let boot = Boot::new(&config);
    boot.stage("fetch-offline").expect_code(0);
    boot.stage("fetch").expect_code(0);
    let lines = boot.report();
    // Offline it is left to the next stage, which is no failure.
    let told: Vec<(&str, &str)> = events(&lines, "fetch")
        .iter()
        .map(|line| (line["stage"].as_str().unwrap(), line["kind"].as_str().unwrap()))
        .collect();
    assert_eq!(
        told,
        [
            ("fetch-offline", "provider"),
            ("fetch", "provider"),
            ("fetch", "reference"),
            ("fetch", "authorities"),
        ]
    );
    let reference = events(&lines, "fetch")[2];
    assert_eq!(reference["source"], server.url("/child.ign?token=…"));
    assert_eq!(reference["attempts"], 2);
    assert_eq!(reference["bytes"], child.to_string().len());
    assert!(
        reference["duration"].as_u64().unwrap() >= 200_000,
        "the wait counts"
    );
    let authorities = events(&lines, "fetch")[3]["source"].as_str().unwrap().to_owned();
    assert!(authorities.starts_with("data:…"), "{authorities}");
    let begun = events(&lines, "fetch-begins");
    assert!(
        begun
            .iter()
            .any(|line| line["source"] == server.url("/child.ign?token=…"))
    );

    boot.stage("fetch").expect_code(1);
    let lines = boot.report();
    let last = *events(&lines, "fetch").last().unwrap();
    assert_eq!(last["outcome"], "failed");
    assert!(last["error"].as_str().unwrap().contains("404"), "{last}");
    assert!(!fs::read_to_string(boot.path()).unwrap().contains("CANARY"));
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

/// The machine loses power, or somebody kills the stage, while a file is on its way.
#[test]
fn a_stage_that_is_killed() {
    if !programs::privileged() {
        return;
    }
    // Accepts nothing: the request waits for its answer.
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/never", server.local_addr().unwrap());
    let mut config = config();
    config["storage"]["files"]
        .as_array_mut()
        .unwrap()
        .push(json!({"path": "/opt/never", "contents": {"source": url}}));
    let boot = Boot::new(&config);
    boot.stage("fetch").expect_code(0);
    let mut child = Command::new(boot.root.beside().join("ignition"))
        .args(["-platform", "file", "-stage", "files", "-log-to-stdout", "-root"])
        .arg(boot.root.path())
        .arg("-config-cache")
        .arg(boot.run.join("ignition.json"))
        .arg("-state-file")
        .arg(boot.run.join("ignition/state"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let started = Instant::now();
    let is_begun = || {
        let text = fs::read_to_string(boot.path()).unwrap();
        text.lines()
            .last()
            .is_some_and(|line| line.contains("step-begins") && line.contains("/opt/never"))
    };
    while !is_begun() {
        assert!(started.elapsed() < Duration::from_secs(20), "it never begins");
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let lines = boot.report();
    assert!(
        lines
            .iter()
            .any(|line| line["what"] == "/etc/hostname" && line["outcome"] == "done")
    );
    assert_eq!(lines.last().unwrap()["sources"], json!([url]));
    let shown = table(&boot.path(), &[]);
    assert!(
        shown.contains("files  did not end: killed, or still running"),
        "{shown}"
    );
    let want = format!("not over   create /opt/never from {url} (storage.files[1]), begun ");
    assert!(shown.contains(&want), "{shown}");
}

#[test]
fn a_torn_line_stands_alone() {
    let boot = Boot::new(&config());
    fs::create_dir(boot.run.join("ignition")).unwrap();
    fs::write(boot.path(), "{\"event\":\"stage-beg").unwrap();
    boot.stage("fetch-offline").expect_code(0);
    let text = fs::read_to_string(boot.path()).unwrap();
    let (torn, rest) = text.split_once('\n').unwrap();
    assert_eq!(torn, "{\"event\":\"stage-beg");
    for line in rest.lines() {
        checker().check_all(&serde_json::from_str(line).unwrap()).unwrap();
    }
    let shown = table(&boot.path(), &[]);
    assert!(shown.contains("1 line is malformed and left out."), "{shown}");
}

#[test]
fn a_report_that_cannot_be_written_is_a_warning() {
    let boot = Boot::new(&config());
    fs::create_dir_all(boot.path()).unwrap();
    let ran = boot.stage("fetch-offline");
    ran.expect_code(0);
    assert_eq!(ran.stdout.matches("WARNING").count(), 1, "{ran}");
    assert!(ran.stdout.contains("there will be no report"), "{ran}");
}

/// The file system fills up, and what is said of that is one line.
#[test]
fn a_report_that_ends_is_a_warning() {
    if !programs::privileged() {
        return;
    }
    let mut config = config();
    let files: Vec<Value> = (0..500)
        .map(|index| json!({"path": format!("/srv/{index}"), "contents": {"source": "data:,x"}}))
        .collect();
    config["storage"]["files"] = files.into();
    let boot = Boot::new(&config);
    let program = boot.program("fetch-offline");
    program.run().expect_code(0);
    // Room for the lock, the state and some of the lines.
    let script = "mount -t tmpfs -o size=64k none \"$1\" && cp -a \"$2/.\" \"$1\" && shift 2 && \"$@\"; code=$?; cat \"$0\" | wc -l; exit $code";
    let kept = boot.root.beside().join("kept");
    let copied = std::process::Command::new("cp")
        .arg("-a")
        .arg(boot.run.join("ignition"))
        .arg(&kept)
        .status()
        .unwrap();
    assert!(copied.success());
    let place = boot.run.join("ignition");
    let ran = boot
        .program("files")
        .under(
            [
                "unshare".as_ref(),
                "--mount".as_ref(),
                "sh".as_ref(),
                "-c".as_ref(),
                script.as_ref(),
                boot.path().as_os_str(),
                place.as_os_str(),
                kept.as_os_str(),
            ]
            .iter(),
        )
        .run();
    assert_eq!(ran.stdout.matches("the rest of it is lost").count(), 1, "{ran}");
    assert!(boot.root.at("srv/499").exists(), "{ran}");
}

/// Nothing is reported of what is only tried out.
#[test]
fn no_report() {
    if !programs::privileged() {
        return;
    }
    let boot = Boot::new(&config());
    boot.stage("fetch-offline").expect_code(0);
    let before = fs::read(boot.path()).unwrap();
    boot.program("files").arg("-dry-run").run().expect_code(0);
    assert_eq!(fs::read(boot.path()).unwrap(), before, "a dry run");
    let root = Root::system();
    programs::files_stage(&boot.config, root.path())
        .run()
        .expect_code(0);
    assert_eq!(fs::read_dir(root.beside().join("tmp")).unwrap().count(), 0);
    Program::ignition_rs()
        .args(["-stage", "fetch", "-log-to-stdout", "-config"])
        .arg(&boot.config)
        .arg("-root")
        .arg(root.path())
        .env("TMPDIR", root.beside().join("tmp"))
        .run()
        .expect_code(0);
    let private = fs::read_dir(root.beside().join("tmp"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    let report = private.path().join("report.jsonl");
    assert_eq!(
        fs::metadata(&report).unwrap().permissions().mode() & 0o7777,
        0o600
    );
    assert!(
        table(&report, &[]).contains("fetch  done in "),
        "its own place has it"
    );
}

#[test]
fn the_verb() {
    let boot = Boot::new(&config());
    let file = |text: &str| boot.root.file_beside("lines", text);
    let report = |path: &std::path::Path| Program::ignition_rs().arg("report").arg(path).run();
    let missing = report(&boot.run.join("missing"));
    missing.expect_code(1);
    assert!(missing.stderr.contains("cannot read"), "{missing}");
    for (text, says) in [
        ("", "has no report in it"),
        ("no\nnone\n", "2 lines are malformed"),
        ("{\"event\":\"step\"", "has no report in it"),
    ] {
        let ran = report(&file(text));
        ran.expect_code(1);
        assert!(ran.stderr.contains(says), "{ran}");
        assert_eq!(ran.stdout, "");
    }
    Program::ignition_rs()
        .args(["report", "a", "b"])
        .run()
        .expect_code(1);
    Program::ignition_rs()
        .args(["report", "--zebra"])
        .run()
        .expect_code(1);
    Program::ignition_rs()
        .args(["report", "/dev/stdin", "--all"])
        .under(
            ["sh", "-c", "\"$@\" < \"$0\""]
                .iter()
                .map(std::ffi::OsString::from)
                .chain([boot.config.clone().into()]),
        )
        .run()
        .expect_code(1);
}

/// Wherever the user config comes from.
#[test]
fn the_provider_is_told() {
    if !programs::privileged() || !programs::have("unshare") {
        return;
    }
    let text = config().to_string();
    let server = Sink::new(vec![(503, Vec::new()), (200, text.clone().into_bytes())]);
    let url = server.url("/user.ign");
    let boot = Boot::new(&json!({}));
    boot.with_cmdline(boot.program("fetch"), &format!("ignition.config.url={url}"))
        .run()
        .expect_code(0);
    let lines = boot.report();
    let begun = events(&lines, "fetch-begins");
    assert_eq!(
        (&begun[0]["kind"], &begun[0]["source"]),
        (&json!("provider"), &json!(url))
    );
    let fetched = events(&lines, "fetch");
    assert_eq!(fetched.len(), 1);
    for (member, want) in [
        ("kind", json!("provider")),
        ("source", json!(url)),
        ("outcome", json!("done")),
        ("attempts", json!(2)),
        ("bytes", json!(text.len())),
    ] {
        assert_eq!(fetched[0][member], want, "{}", fetched[0]);
    }

    // The platform has none.
    let boot = Boot::new(&json!({}));
    fs::remove_file(&boot.config).unwrap();
    boot.stage("fetch").expect_code(1);
    let lines = boot.report();
    let fetched = events(&lines, "fetch");
    assert_eq!(fetched[0]["source"], "platform file");
    assert_eq!(fetched[0]["outcome"], "failed");
    assert!(
        fetched[0]["error"].as_str().unwrap().contains("user.json"),
        "{}",
        fetched[0]
    );

    // The image brings it.
    fs::create_dir(boot.run.join("system")).unwrap();
    fs::write(boot.run.join("system/user.ign"), &text).unwrap();
    boot.stage("fetch").expect_code(0);
    let lines = boot.report();
    let last = *events(&lines, "fetch").last().unwrap();
    assert!(
        last["source"].as_str().unwrap().ends_with("/system/user.ign"),
        "{last}"
    );
    assert_eq!(last["bytes"], text.len());
}
