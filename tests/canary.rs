//! Secrets reach no log, plan, error, argument or loose file. Each kind of secret carries a canary of its own.

use std::path::Path;

use serde_json::{Value, json};

use crate::report::Sink;
use crate::support::programs::{self, BINARY, Program, Ran};
use crate::support::root::Root;
use crate::support::snapshot::files_with;
use crate::support::{consoles, private};

/// In the password hash of a user; also a word that shells and JSON leave as it is.
const HASH: &str = "$6$canarysalt$CANARYHASH";
const CANARIES: &[&str] = &[
    "CANARYHASH",
    "CANARYGROUP",
    "CANARYKEYFILE",
    "CANARYHEADER",
    "CANARYCONTENTS",
    "CANARYAPPEND",
    "CANARYUSERINFO",
    "CANARYQUERY",
    "CANARYDROPIN",
    "CANARYUNIT",
    "CANARYPROXY",
    "CANARYMERGE",
    // The base64 and percent forms in which they also stand in the config
    "Q0FOQVJZ",
    "CANARY%42ASE",
];

#[track_caller]
fn silent(text: &str, about: &str) {
    for canary in CANARIES {
        if let Some(at) = text.find(canary) {
            let from = text[..at].rfind('\n').map_or(0, |end| end + 1);
            panic!(
                "{about}: {canary} shows up in: {}",
                text[from..].lines().next().unwrap()
            );
        }
    }
    // Whatever was forgotten above.
    assert!(!text.contains("CANARY"), "{about}:\n{text}");
}

/// Everything secret that a config can hold, and nothing that fails.
fn config() -> Value {
    json!({
        // Without a limit, a refused connection is tried again for ever, as upstream does.
        "ignition": {"version": "3.5.0", "timeouts": {"httpTotal": 1, "httpResponseHeaders": 1}, "proxy": {"httpProxy": "http://u:CANARYPROXY@127.0.0.1:1/"}},
        "passwd": {
            "users": [{"name": "core", "passwordHash": HASH}, {"name": "new", "passwordHash": HASH}],
            "groups": [{"name": "sudo", "passwordHash": "$6$CANARYGROUP"}],
        },
        "storage": {"files": [
            {"path": "/etc/secret", "mode": 0o600, "contents": {"source": "data:,CANARYCONTENTS%0A"}},
            {"path": "/etc/secret64", "mode": 0o600, "contents": {"source": "data:;base64,Q0FOQVJZQ09OVEVOVFM="}},
            {"path": "/etc/percent", "mode": 0o600, "contents": {"source": "data:,CANARY%42ASE"}},
            {"path": "/etc/log", "mode": 0o600, "append": [{"source": "data:,CANARYAPPEND"}]},
        ]},
        "systemd": {"units": [{"name": "a.service", "contents": "[Service]\nEnvironment=P=CANARYUNIT\n",
                               "dropins": [{"name": "a.conf", "contents": "[Service]\nEnvironment=P=CANARYDROPIN\n"}]}]},
    })
}

fn with_file(file: Value) -> Value {
    let mut config = config();
    config["storage"]["files"].as_array_mut().unwrap().push(file);
    config
}

/// Configs that fail in every way there is, each with all secrets in it.
fn failing() -> Vec<(&'static str, Value)> {
    let remote = |url: &str| json!({"path": "/etc/remote", "mode": 0o600, "contents": {"source": url, "httpHeaders": [{"name": "Authorization", "value": "Bearer CANARYHEADER"}]}});
    let mut cases = vec![
        (
            "unknown owner",
            with_file(
                json!({"path": "/etc/x", "user": {"name": "whoever"}, "contents": {"source": "data:,CANARYCONTENTS"}}),
            ),
        ),
        (
            "file is there",
            with_file(json!({"path": "/etc/group", "contents": {"source": "data:,CANARYCONTENTS"}})),
        ),
        (
            "broken base64",
            with_file(json!({"path": "/etc/x", "contents": {"source": "data:;base64,CANARYCONTENTS!"}})),
        ),
        (
            "broken escape",
            with_file(json!({"path": "/etc/x", "contents": {"source": "data:,CANARYCONTENTS%zz"}})),
        ),
        (
            "data URL without comma",
            with_file(json!({"path": "/etc/x", "contents": {"source": "data:CANARYCONTENTS"}})),
        ),
        (
            "not gzip",
            with_file(
                json!({"path": "/etc/x", "contents": {"source": "data:,CANARYCONTENTS", "compression": "gzip"}}),
            ),
        ),
        (
            "other hash",
            with_file(
                json!({"path": "/etc/x", "contents": {"source": "data:,CANARYCONTENTS", "verification": {"hash": format!("sha512-{}", "0".repeat(128))}}}),
            ),
        ),
        (
            "refused connection",
            with_file(remote(
                "http://user:CANARYUSERINFO@127.0.0.1:1/p?token=CANARYQUERY",
            )),
        ),
        (
            "refused connection, user alone",
            with_file(remote("http://CANARYUSERINFO@127.0.0.1:1/p?CANARYQUERY")),
        ),
        (
            "no such host",
            with_file(remote(
                "https://user:CANARYUSERINFO@no-such-host.invalid/p?token=CANARYQUERY#CANARYQUERY",
            )),
        ),
        (
            "unknown scheme",
            with_file(remote(
                "gopher://user:CANARYUSERINFO@127.0.0.1/p?token=CANARYQUERY",
            )),
        ),
        (
            "bad port",
            with_file(remote(
                "http://user:CANARYUSERINFO@127.0.0.1:port/p?token=CANARYQUERY",
            )),
        ),
        (
            "bad escape in a URL",
            with_file(remote(
                "http://user:CANARYUSERINFO@127.0.0.1/%zz?token=CANARYQUERY",
            )),
        ),
        (
            "not built: s3",
            with_file(remote("s3://CANARYUSERINFO@bucket/key?versionId=CANARYQUERY")),
        ),
        (
            "not built: tftp",
            with_file(remote("tftp://user:CANARYUSERINFO@127.0.0.1/p?token=CANARYQUERY")),
        ),
        (
            "bad header",
            with_file(
                json!({"path": "/etc/x", "contents": {"source": "http://127.0.0.1:1/", "httpHeaders": [{"name": "X", "value": "CANARYHEADER\r\nY: z"}]}}),
            ),
        ),
        (
            "header without name",
            with_file(
                json!({"path": "/etc/x", "contents": {"source": "http://127.0.0.1:1/", "httpHeaders": [{"name": "", "value": "CANARYHEADER"}]}}),
            ),
        ),
        (
            "header twice",
            with_file(
                json!({"path": "/etc/x", "contents": {"source": "http://127.0.0.1:1/", "httpHeaders": [{"name": "X", "value": "CANARYHEADER"}, {"name": "X", "value": "CANARYHEADER"}]}}),
            ),
        ),
    ];
    let mut hash = config();
    hash["passwd"]["users"][0]["passwordHash"] = json!("CANARYHASH:x\n");
    cases.push(("hash that breaks its line", hash));
    let mut unit = config();
    unit["systemd"]["units"][0]["contents"] = json!("[Service\nEnvironment=CANARYUNIT\n");
    cases.push(("unit text that is none", unit));
    let mut dropin = config();
    dropin["systemd"]["units"][0]["dropins"][0]["contents"] = json!("[Service\nCANARYDROPIN\n");
    cases.push(("drop-in text that is none", dropin));
    let mut proxy = config();
    proxy["ignition"]["proxy"]["httpProxy"] = json!("gopher://u:CANARYPROXY@h/");
    cases.push(("bad proxy", proxy));
    let mut luks = config();
    luks["storage"]["luks"] =
        json!([{"name": "l", "device": "/dev/sdx", "keyFile": {"source": "data:,CANARYKEYFILE"}}]);
    cases.push(("LUKS, not built", luks.clone()));
    luks["storage"]["luks"][0]["keyFile"]["source"] = json!("data:;base64,CANARYKEYFILE!");
    cases.push(("LUKS with a broken key", luks));
    let mut merge = config();
    merge["ignition"]["config"] = json!({"merge": [{"source": "http://user:CANARYUSERINFO@127.0.0.1:1/p?token=CANARYQUERY",
        "httpHeaders": [{"name": "X", "value": "CANARYHEADER"}]}]});
    cases.push(("merge is refused a connection", merge.clone()));
    merge["ignition"]["config"]["merge"][0] = json!({"source": "data:,%7B%22CANARYMERGE%22"});
    cases.push(("merge of what is no JSON", merge.clone()));
    merge["ignition"]["config"]["merge"][0] = json!({"source": "data:,CANARYMERGE", "verification": {"hash": format!("sha256-{}", "0".repeat(64))}});
    cases.push(("merge with another hash", merge));
    let mut mistyped = config();
    mistyped["passwd"]["users"][0]["passwordHash"] = json!(["CANARYHASH"]);
    cases.push(("hash of the wrong type", mistyped));
    cases
}

/// The stage on a root, with all that it says.
fn runs(config: &Path, root: &Root) -> Vec<(&'static str, Ran)> {
    let stage = |stage: &str| {
        Program::ignition_rs()
            .args(["--stage", stage, "--log-to-stdout", "--config"])
            .arg(config)
            .arg("--root")
            .arg(root.path())
            .env("TMPDIR", root.beside().join("tmp"))
    };
    vec![
        ("plan", programs::plan(config, root.path()).run()),
        (
            "plan as JSON",
            programs::plan(config, root.path()).arg("--format=json").run(),
        ),
        ("dry run", stage("files").arg("--dry-run").run()),
        (
            "dry run as JSON",
            stage("files").args(["--dry-run", "--plan-format=json"]).run(),
        ),
        (
            "dry run with fetching",
            stage("files")
                .args(["--dry-run", "--fetch"])
                .env("RUST_LOG", "trace")
                .run(),
        ),
        (
            "validation",
            Program::ignition_rs().arg("validate").arg(config).run(),
        ),
        (
            "validation as JSON",
            Program::ignition_rs()
                .args(["validate", "--format=json"])
                .arg(config)
                .run(),
        ),
        (
            "strict validation",
            Program::ignition_rs()
                .args(["validate", "--strict"])
                .arg(config)
                .run(),
        ),
        (
            "validation by the drop-in name",
            Program::new("sh")
                .args(["-c", "exec -a ignition-validate \"$0\" \"$1\"", BINARY])
                .arg(config)
                .under(["bash", "-c", "exec \"$@\"", "-"])
                .run(),
        ),
        ("disks", stage("disks").arg("--this-machine").run()),
        ("fetch", stage("fetch").run()),
        ("run", stage("files").run()),
    ]
}

#[test]
fn no_output_has_a_secret() {
    if !programs::privileged() {
        return;
    }
    let root = Root::system();
    let path = root.file_beside("config.ign", config().to_string());
    for (kind, ran) in runs(&path, &root) {
        silent(&ran.output(), kind);
        if kind == "run" {
            ran.expect_code(0);
        }
    }
    assert!(
        std::fs::read_to_string(root.at("etc/shadow"))
            .unwrap()
            .contains(HASH)
    );
    assert!(
        std::fs::read_to_string(root.at("etc/secret"))
            .unwrap()
            .contains("CANARYCONTENTS")
    );
    let again = programs::plan(&path, root.path()).run();
    silent(&again.output(), "plan over the same files");
}

#[test]
fn no_failure_has_a_secret() {
    if !programs::privileged() {
        return;
    }
    let cases = failing();
    for (case, config) in &cases {
        let root = Root::system();
        // On lines of its own, as people write it: an excerpt of the source would show the line.
        let path = root.file_beside("config.ign", serde_json::to_string_pretty(config).unwrap());
        for (kind, ran) in runs(&path, &root) {
            silent(&ran.output(), &format!("{case}, {kind}"));
            if kind == "run" && !case.starts_with("LUKS") {
                assert_eq!(ran.code, Some(1), "{case}: {ran}");
                assert!(
                    ran.stderr.starts_with("ignition: provisioning failed\n"),
                    "{case}: {ran}"
                );
                assert!(ran.stderr.lines().count() <= 15, "{case}: {ran}");
            }
        }
    }
    eprintln!("canary: {} failing configs, twelve commands each", cases.len());
}

/// What stands on the consoles of an initrd is seen by whoever passes by, and kept by clouds.
#[test]
fn no_console_has_a_secret() {
    if !private::available() {
        return;
    }
    let (mut console, line) = consoles::terminal();
    let (mut port, port_line) = consoles::terminal();
    let (mut journal, journal_line) = consoles::terminal();
    let setup = consoles::with_consoles(&[("ttyS9", Some(&line))], true)
        + &consoles::as_virtio_port("org.flatcar.ignition", &port_line)
        + &consoles::as_virtio_port("com.coreos.ignition.journal", &journal_line);
    for (case, config) in failing() {
        let root = Root::system();
        let path = root.file_beside("config.ign", serde_json::to_string_pretty(&config).unwrap());
        let scratch = tempfile::tempdir().unwrap();
        let ran = private::run(scratch.path(), &setup, &programs::files_stage(&path, root.path())).run();
        let seen = consoles::seen(&mut console);
        silent(&seen, &format!("{case}, console"));
        for port in [&mut port, &mut journal] {
            let sent = consoles::seen(port);
            silent(&sent, &format!("{case}, virtio port"));
            assert_eq!(
                sent.contains("ignition: provisioning failed"),
                ran.code == Some(1),
                "{case}: {sent}"
            );
        }
        assert_eq!(
            seen.contains("ignition: provisioning failed\n"),
            ran.code == Some(1),
            "{case}: {seen}\n{ran}"
        );
    }
}

/// `pretty` shows an excerpt of the source to whoever has the file; it must still not show a secret next to the mistake.
#[test]
fn pretty_validation_has_no_secret() {
    for (case, config) in failing() {
        let root = Root::empty();
        let path = root.file_beside("config.ign", serde_json::to_string_pretty(&config).unwrap());
        let ran = Program::ignition_rs()
            .args(["validate", "--format=pretty"])
            .arg(&path)
            .run();
        silent(&ran.output(), &format!("{case}, pretty"));
    }
}

#[test]
fn no_argument_has_a_secret() {
    if !programs::privileged() || !programs::traceable() {
        return;
    }
    let root = Root::system();
    let path = root.file_beside("config.ign", config().to_string());
    let trace = root.beside().join("trace");
    programs::files_stage(&path, root.path())
        .under([
            "strace",
            "-f",
            "-qq",
            "-v",
            "-s",
            "9999",
            "-e",
            "trace=execve,execveat",
            "-o",
            trace.to_str().unwrap(),
        ])
        .run()
        .expect_code(0);
    let text = std::fs::read_to_string(&trace).unwrap();
    assert!(text.contains("useradd"), "the trace shows no program:\n{text}");
    silent(&text, "arguments and environment of programs");
}

/// Outside the root a secret may stand only in files that nobody else reads. The cache is 0640 as upstream's, for the
/// group that the image chooses (spec/fetch.md 6).
#[test]
fn no_loose_file_has_a_secret() {
    if !programs::privileged() {
        return;
    }
    let root = Root::system();
    let config = root.file_beside("config.ign", config().to_string());
    let run = root.beside().join("run");
    let temporary = root.beside().join("tmp");
    std::fs::create_dir(&run).unwrap();
    let name = root.beside().join("ignition");
    std::os::unix::fs::symlink(BINARY, &name).unwrap();
    for stage in [
        "fetch-offline",
        "fetch",
        "kargs",
        "disks",
        "mount",
        "files",
        "umount",
    ] {
        let ran = Program::new(&name)
            .env("IGNITION_CONFIG_FILE", &config)
            .env("TMPDIR", &temporary)
            .args(["-platform", "file", "-log-to-stdout", "-stage", stage, "-root"])
            .arg(root.path())
            .arg("-config-cache")
            .arg(run.join("cache"))
            .arg("-neednet")
            .arg(run.join("neednet"))
            .arg("-state-file")
            .arg(run.join("state"))
            .run();
        ran.expect_code(0);
        silent(&ran.output(), stage);
        for (path, mode) in files_with(root.beside(), "CANARY") {
            if path.starts_with(root.path()) || path == config {
                continue;
            }
            let allowed = if path == run.join("cache") { 0o640 } else { 0o600 };
            assert_eq!(
                mode & !allowed,
                0,
                "{stage}: {} has mode {mode:04o} and holds a secret",
                path.display()
            );
        }
    }
    // Inside the root: what the config gave a tight mode has it, and the accounts' files keep theirs.
    for (path, mode) in files_with(root.path(), "CANARY") {
        let inside = path
            .strip_prefix(root.path())
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        // Units are for all to read, as systemd wants them.
        if inside.starts_with("etc/systemd/") {
            continue;
        }
        assert_eq!(mode & 0o037, 0, "{inside} has mode {mode:04o} and holds a secret");
    }
    assert_eq!(files_with(root.path(), "CANARYMERGE"), []);
    no_report_has_one(&run.join("report.jsonl"), "all stages");
    assert!(!root.at(".ignition-progress").exists());
}

/// The report of a boot is only for root to read, and goes further than that: people mail it.
fn no_report_has_one(report: &Path, case: &str) {
    let text = std::fs::read_to_string(report).unwrap();
    assert!(text.contains("stage-ends"), "{case}: {text}");
    silent(&text, &format!("{case}, report"));
    for more in [&[][..], &["--all"]] {
        let ran = Program::ignition_rs().arg("report").arg(report).args(more).run();
        ran.expect_code(0);
        silent(&ran.output(), &format!("{case}, the report's table"));
    }
}

/// Each stage of a boot with each config that fails somewhere: what it reports, and what it would tell a server.
#[test]
fn no_report_of_a_failure_has_a_secret() {
    if !programs::privileged() || !programs::have("unshare") {
        return;
    }
    let sink = Sink::new(vec![(200, Vec::new()); 1000]);
    let told = sink
        .url("/?token=CANARYQUERY")
        .replace("://", "://user:CANARYUSERINFO@");
    let (mut fetch_failed, mut files_failed) = (0, 0);
    for (case, config) in failing() {
        let root = Root::system();
        let config = root.file_beside("config.ign", serde_json::to_string_pretty(&config).unwrap());
        let cmdline = root.file_beside("cmdline", format!("ignition.report.url={told}\n"));
        let run = root.beside().join("run");
        let stage = |stage: &str| {
            Program::ignition_rs()
                .env("IGNITION_CONFIG_FILE", &config)
                .env("IGNITION_SYSTEM_CONFIG_DIR", root.beside().join("none"))
                .args(["-platform", "file", "-log-to-stdout", "-stage", stage, "-root"])
                .arg(root.path())
                .arg("-config-cache")
                .arg(run.join("cache"))
                .arg("-neednet")
                .arg(run.join("neednet"))
                .arg("-state-file")
                .arg(run.join("state"))
                .under([
                    "unshare",
                    "--mount",
                    "sh",
                    "-c",
                    "mount --bind \"$0\" /proc/cmdline && exec \"$@\"",
                    cmdline.to_str().unwrap(),
                ])
                .run()
        };
        let fetched = stage("fetch");
        silent(&fetched.output(), case);
        if fetched.code == Some(0) {
            let files = stage("files");
            silent(&files.output(), case);
            files_failed += usize::from(files.code == Some(1));
        } else {
            fetch_failed += 1;
        }
        no_report_has_one(&run.join("report.jsonl"), case);
    }
    let messages = sink.requests();
    assert_eq!(messages.len(), fetch_failed + files_failed);
    for (_, body) in messages {
        let text = String::from_utf8(body).unwrap();
        assert!(text.contains("\"failed\""), "{text}");
        silent(&text, "message");
    }
    assert!(
        fetch_failed > 3 && files_failed > 3,
        "{fetch_failed} {files_failed}"
    );
}
