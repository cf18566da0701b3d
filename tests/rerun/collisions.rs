//! A forced run on a machine that was provisioned: all that is in the way is told before anything is written, and
//! `ignition.rerun=` says what is done about it.

use std::fs;

use serde_json::{Value, json};

use super::{config, digest, files_stage, read, record};
use crate::support::private;
use crate::support::programs::{self, BINARY, Program};
use crate::support::root::Root;
use crate::support::snapshot::{Look, Snapshot};

const PRESET: &str = "etc/systemd/system-preset/20-ignition.preset";

fn first() -> Value {
    config(json!({
        "passwd": {"users": [{"name": "web", "uid": 2000, "sshAuthorizedKeys": ["ssh-ed25519 A"]}]},
        "storage": {
            "directories": [{"path": "/srv/data", "mode": 0o750}],
            "files": [
                {"path": "/etc/one", "contents": {"source": "data:,one"}},
                {"path": "/etc/two", "contents": {"source": "data:,two"}, "mode": 0o600},
                {"path": "/srv/log", "contents": {"source": "data:,log%0A"}},
                {"path": "/etc/hosts", "append": [{"source": "data:,10.0.0.1%20web%0A"}]},
            ],
            "links": [{"path": "/etc/link", "target": "one"}],
        },
        "systemd": {"units": [
            {"name": "a.service", "enabled": true, "contents": "[Service]\nExecStart=/bin/true\n"},
            {"name": "b.service", "enabled": true},
        ]},
    }))
}

/// Another config for the same machine: nearly everything is in the way of it.
fn second() -> Value {
    config(json!({
        "passwd": {"users": [{"name": "web", "uid": 2000, "sshAuthorizedKeys": ["ssh-ed25519 B"]}]},
        "storage": {
            "directories": [{"path": "/srv/data", "mode": 0o755}, {"path": "/srv/log"}],
            "files": [
                {"path": "/etc/one", "contents": {"source": "data:,uno"}},
                {"path": "/etc/two", "contents": {"source": "data:,two"}},
                {"path": "/etc/new", "contents": {"source": "data:,new"}},
                {"path": "/etc/hosts", "append": [{"source": "data:,10.0.0.1%20web%0A"}]},
            ],
            "links": [{"path": "/etc/link", "target": "two"}],
        },
        "systemd": {"units": [
            {"name": "a.service", "enabled": true, "contents": "[Service]\nExecStart=/bin/false\n"},
            {"name": "b.service", "enabled": false},
        ]},
    }))
}

fn provisioned() -> Root {
    let root = Root::system();
    root.file("etc/hosts", "127.0.0.1 localhost\n", 0o644);
    files_stage(&root, &first()).run().expect_code(0);
    root.file("srv/data/precious", "kept\n", 0o644);
    root
}

#[test]
fn all_collisions_are_told_and_nothing_is_written() {
    if !programs::privileged() {
        return;
    }
    let root = provisioned();
    let before = Snapshot::of(root.path(), Look::Strict);
    let ran = files_stage(&root, &second()).run();
    let said = digest(&ran, &root);
    for words in [
        "operation: plan what to do; nothing of this stage has been done",
        "place:     storage.directories[1].path",
        "error:     file of 4 bytes is there already, at /srv/log",
        "also storage.files[0].path (27:",
        "file of 3 bytes is there already, at /etc/two",
        "ignition.rerun=converge",
    ] {
        assert!(said.contains(words), "{words}:\n{said}");
    }
    // The log has those for which the digest has no room, too.
    for place in ["storage.files[0]", "storage.files[1]", "storage.links[0]"] {
        assert!(
            ran.stdout.contains(&format!("also {place}.path (")),
            "{place}: {ran}"
        );
    }
    before.assert_same(&Snapshot::of(root.path(), Look::Strict), "refused");
    assert!(!record(&root).exists());

    // As somebody at a terminal sees it beforehand.
    let path = root.beside().join("config.ign");
    let plan = programs::plan(&path, root.path());
    let dry = files_stage(&root, &second()).arg("-dry-run");
    for program in [&plan, &dry] {
        let ran = program.run();
        ran.expect_code(1);
        assert_eq!(ran.stderr.lines().count(), 4, "{ran}");
        assert_eq!(ran.stderr.matches("is there already").count(), 4, "{ran}");
    }
    let ran = plan.clone().args(["--rerun", "converge"]).run();
    ran.expect_code(3);
    assert!(
        ran.stdout.contains("/etc/one") && !ran.stdout.contains("precious"),
        "{ran}"
    );
    dry.arg("-rerun=converge").run().expect_code(0);
    plan.arg("--rerun=nonsense").run().expect_code(1);
    before.assert_same(&Snapshot::of(root.path(), Look::Strict), "planned");
}

#[test]
fn a_converging_run_overwrites_what_the_config_names_and_leaves_the_rest() {
    if !programs::privileged() {
        return;
    }
    let root = provisioned();
    files_stage(&root, &second())
        .arg("-rerun=converge")
        .run()
        .expect_code(0);
    let modes = |path: &str| crate::rerun::stages::mode(&root.at(path));
    assert_eq!(read(&root.at("etc/one")), "uno");
    assert_eq!(modes("etc/two"), 0o644, "as on a new machine");
    assert_eq!(read(&root.at("etc/new")), "new");
    assert!(root.at("srv/log").is_dir());
    assert_eq!(read(&root.at("srv/data/precious")), "kept\n");
    assert_eq!(modes("srv/data"), 0o755);
    assert_eq!(fs::read_link(root.at("etc/link")).unwrap().to_str(), Some("two"));
    assert_eq!(read(&root.at("etc/hosts")), "127.0.0.1 localhost\n10.0.0.1 web\n");
    assert_eq!(
        read(&root.at("home/web/.ssh/authorized_keys.d/ignition")),
        "ssh-ed25519 B\n"
    );
    assert_eq!(read(&root.at(PRESET)), "enable a.service\n");
    assert!(read(&root.at("etc/systemd/system/a.service")).contains("/bin/false"));
    let report: Value = serde_json::from_str(&read(&root.at("etc/.ignition-result.json"))).unwrap();
    assert!(
        report["previousReport"]["provisioningBootID"].is_string(),
        "{report}"
    );
    // And again: nothing grows, nothing is refused.
    let once = Snapshot::of(root.path(), Look::Outcome).without("etc/.ignition-result.json");
    files_stage(&root, &second())
        .arg("-rerun=converge")
        .run()
        .expect_code(0);
    once.assert_same(
        &Snapshot::of(root.path(), Look::Outcome).without("etc/.ignition-result.json"),
        "again",
    );
}

#[test]
fn a_directory_that_is_full_is_the_configs_to_give_up() {
    if !programs::privileged() {
        return;
    }
    let root = provisioned();
    let entry = |overwrite: bool| {
        config(
            json!({"storage": {"files": [{"path": "/srv/data", "overwrite": overwrite, "contents": {"source": "data:,x"}}]}}),
        )
    };
    let before = Snapshot::of(root.path(), Look::Strict);
    let ran = files_stage(&root, &entry(false)).arg("-rerun=converge").run();
    let said = digest(&ran, &root);
    assert!(
        said.contains("directory is there already") && !said.contains("rerun"),
        "{said}"
    );
    before.assert_same(&Snapshot::of(root.path(), Look::Strict), "refused");
    files_stage(&root, &entry(true))
        .arg("-rerun=converge")
        .run()
        .expect_code(0);
    assert!(root.at("srv/data").is_file());
}

/// What a run says is what the report of the boot has, too.
#[test]
fn a_hundred_collisions_are_all_in_the_log_and_the_digest_stays_short() {
    if !programs::privileged() {
        return;
    }
    let root = Root::system();
    let files: Vec<Value> = (0..300)
        .map(|index| {
            root.file(&format!("srv/{index}"), "x", 0o644);
            json!({"path": format!("/srv/{index}"), "contents": {"source": "data:,y"}})
        })
        .collect();
    let ran = files_stage(&root, &config(json!({"storage": {"files": files}}))).run();
    let said = digest(&ran, &root);
    assert_eq!(said.lines().count(), 15, "{said}");
    assert!(
        said.contains(" more errors\n") && !said.contains("rerun"),
        "{said}"
    );
    assert_eq!(ran.stdout.matches(" also storage.files[").count(), 200, "{ran}");
}

/// The kernel command line says it to a boot.
#[test]
fn the_kernel_command_line_decides() {
    if !private::available() {
        return;
    }
    let failing = |config: &Value| {
        let mut config = config.clone();
        config["passwd"]["users"]
            .as_array_mut()
            .unwrap()
            .push(json!({"name": "clash", "uid": 0}));
        config
    };
    let run = |root: &Root, config: &Value, parameter: &str| {
        root.file_beside("boot.ign", config.to_string());
        root.file_beside("cmdline", format!("root=x {parameter} quiet\n"));
        let ignition = root.beside().join("ignition");
        if !ignition.exists() {
            std::os::unix::fs::symlink(BINARY, &ignition).unwrap();
        }
        let at = |name: &str| root.beside().join(name);
        let stage = |stage: &str| {
            Program::new(&ignition)
                .args(["-platform", "file", "-log-to-stdout", "-stage", stage])
                .args(["-root".as_ref(), root.path().as_os_str()])
                .args(["-config-cache".as_ref(), at("cache").as_os_str()])
                .args(["-neednet".as_ref(), at("neednet").as_os_str()])
                .args(["-state-file".as_ref(), at("state").as_os_str()])
                .env("IGNITION_CONFIG_FILE", at("boot.ign"))
                .env("IGNITION_SYSTEM_CONFIG_DIR", at("system"))
        };
        for name in ["cache", "state"] {
            let _ = fs::remove_file(at(name));
        }
        let setup = format!("mount --bind {} /proc/cmdline\n", at("cmdline").display());
        let scratch = tempfile::tempdir().unwrap();
        private::run(scratch.path(), &setup, &stage("fetch"))
            .run()
            .expect_code(0);
        let scratch = tempfile::tempdir().unwrap();
        private::run(scratch.path(), &setup, &stage("files")).run()
    };
    let root = provisioned();
    run(&root, &second(), "").expect_code(1);
    let ran = run(&root, &second(), "ignition.rerun=convurge");
    ran.expect_code(1);
    assert!(
        ran.stdout.contains(
            "ignition.rerun=convurge on the kernel command line is ignored: write converge or strict"
        ),
        "{ran}"
    );
    run(&root, &second(), "ignition.rerun=converge").expect_code(0);

    // Strict is about runs that were not finished.
    let root = Root::system();
    run(&root, &failing(&first()), "ignition.rerun=strict").expect_code(1);
    assert!(record(&root).exists());
    let before = Snapshot::of(root.path(), Look::Strict);
    let ran = run(&root, &first(), "ignition.rerun=strict");
    ran.expect_code(1);
    assert!(
        ran.stderr
            .contains("an earlier run with another config did not finish"),
        "{ran}"
    );
    before.assert_same(&Snapshot::of(root.path(), Look::Strict), "strict");
    let ran = run(&root, &first(), "");
    ran.expect_code(0);
    assert!(ran.stdout.contains("what only that one asked for stays"), "{ran}");
    assert!(!record(&root).exists());
}

/// `flatcar-reset` (flatcar.md 1.7): files are removed between the stages disks and mount, the machine id always.
#[test]
fn what_a_selective_reset_leaves_is_worked_on() {
    if !programs::privileged() {
        return;
    }
    let original = Root::system();
    original.file("etc/machine-id", "0123456789abcdef0123456789abcdef\n", 0o444);
    original.file(
        "usr/share/baselayout/passwd",
        "core:x:500:500:Core:/home/core:/bin/bash\nroot:x:0:0:root:/root:/bin/bash\n",
        0o644,
    );
    original.file(
        "usr/share/baselayout/group",
        "core:x:500:\nroot:x:0:\ndocker:x:233:core\n",
        0o644,
    );
    let config = |text: &str| {
        config(json!({
            "passwd": {"users": [{"name": "core", "sshAuthorizedKeys": ["ssh-ed25519 A"], "groups": ["docker"]}]},
            "storage": {"files": [
                {"path": "/opt/bin/test-service.sh", "mode": 0o755, "contents": {"source": format!("data:,{text}")}},
                {"path": "/mydata/new", "contents": {"source": "data:,x"}},
            ]},
            "systemd": {"units": [{"name": "test.service", "enabled": true, "contents": "[Service]\nExecStart=/opt/bin/test-service.sh\n"}]},
        }))
    };
    let root = original.copy();
    files_stage(&root, &config("v1")).run().expect_code(0);
    root.file("mydata/data", "mine\n", 0o644)
        .file("etc/ssh/ssh_host_ed25519_key", "host key\n", 0o600)
        .file("var/log/messages", "log\n", 0o644)
        .file(".reprovision-marker", "", 0o644);
    // What the script of the initrd does: files that no expression keeps go, then directories as far as they are empty.
    let script = r#"cd "$1"; find . -xdev -depth ! -path . ! -path './usr*' ! -path './mydata/data' ! -path './var/log*' \
        ! -path './etc/ssh/ssh_host_*' ! -path ./.reprovision-marker \( -type d -exec rmdir --ignore-fail-on-non-empty {} + -o -delete \); \
        rm -f etc/machine-id"#;
    Program::new("sh")
        .args(["-euc", script, "sh"])
        .arg(root.path())
        .run()
        .expect_code(0);
    assert!(!root.at("etc/passwd").exists() && !root.at("etc/.ignition-result.json").exists());
    let ran = files_stage(&root, &config("v2")).run();
    ran.expect_code(0);
    for (path, text) in [
        ("opt/bin/test-service.sh", "v2"),
        ("mydata/data", "mine\n"),
        ("mydata/new", "x"),
        ("etc/ssh/ssh_host_ed25519_key", "host key\n"),
        ("var/log/messages", "log\n"),
        ("home/core/.ssh/authorized_keys.d/ignition", "ssh-ed25519 A\n"),
        (PRESET, "enable test.service\n"),
    ] {
        assert_eq!(read(&root.at(path)), text, "{path}: {ran}");
    }
    assert!(root.at("etc/systemd/system/test.service").exists());
    assert!(
        !root.at("etc/machine-id").exists(),
        "systemd makes it, and goes by the presets then"
    );
    let report: Value = serde_json::from_str(&read(&root.at("etc/.ignition-result.json"))).unwrap();
    assert_eq!(report["previousReport"], Value::Null);
}
