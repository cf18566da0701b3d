//! The stages as an initrd runs them, one process each, through the files that they leave for each other.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::support::programs::{self, Program, Ran};
use crate::support::root::Root;

/// A machine in its initrd: a root, and a directory for what stands in `/run` there.
struct Initrd {
    root: Root,
    run: PathBuf,
    config: PathBuf,
}

impl Initrd {
    fn new(config: &Value) -> Self {
        let root = Root::system();
        let run = root.beside().join("run");
        fs::create_dir(&run).unwrap();
        symlink(env!("CARGO_BIN_EXE_ignition-rs"), root.beside().join("ignition")).unwrap();
        let config = root.file_beside("user.json", config.to_string());
        Self { root, run, config }
    }

    fn stage(&self, stage: &str) -> Ran {
        let at = |name: &str| self.run.join(name);
        Program::new(self.root.beside().join("ignition"))
            .args(["-platform", "file", "-stage", stage, "-log-to-stdout"])
            .args(["-root".as_ref(), self.root.path().as_os_str()])
            .args(["-config-cache".as_ref(), at("ignition.json").as_os_str()])
            .args(["-neednet".as_ref(), at("ignition/neednet").as_os_str()])
            .args(["-state-file".as_ref(), at("ignition/state").as_os_str()])
            .env("IGNITION_CONFIG_FILE", &self.config)
            .env("IGNITION_SYSTEM_CONFIG_DIR", at("system"))
            .run()
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&fs::read(self.run.join(name)).unwrap()).unwrap()
    }

    fn result(&self) -> Value {
        serde_json::from_slice(&fs::read(self.root.at("etc/.ignition-result.json")).unwrap()).unwrap()
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

fn hostname(overwrite: bool) -> Value {
    json!({
        "ignition": {"version": "3.4.0"},
        "storage": {"files": [{"path": "/etc/hostname", "overwrite": overwrite, "contents": {"source": "data:,box"}}]},
    })
}

#[test]
fn all_stages_in_order() {
    if !crate::support::programs::privileged() {
        return;
    }
    let initrd = Initrd::new(&hostname(true));
    fs::create_dir_all(initrd.run.join("system/base.d")).unwrap();
    let base = json!({
        "ignition": {"version": "3.0.0"},
        "storage": {"files": [
            {"path": "/etc/hostname", "mode": 0o600},
            {"path": "/etc/base", "overwrite": true, "contents": {"source": "data:,base"}},
        ]},
    });
    fs::write(initrd.run.join("system/base.d/10-base.ign"), base.to_string()).unwrap();
    for stage in ["fetch-offline", "kargs", "disks", "mount", "files", "umount"] {
        initrd.stage(stage).expect_code(0);
    }
    assert_eq!(mode(&initrd.run.join("ignition.json")), 0o640);
    assert_eq!(mode(&initrd.run.join("ignition/state")), 0o600);
    assert!(!initrd.run.join("ignition/neednet").exists(), "nothing is remote");
    let cache = initrd.json("ignition.json");
    assert_eq!(cache["ignition"]["version"], "3.7.0-experimental");
    assert_eq!(
        cache["storage"]["files"].as_array().unwrap().len(),
        1,
        "the base config is not cached"
    );
    let records = initrd.json("ignition/state")["fetchedConfigs"].clone();
    assert_eq!(
        records[1],
        json!({"kind": "user", "source": "file", "referenced": false})
    );
    assert_eq!(fs::read(initrd.root.at("etc/base")).unwrap(), b"base");
    assert_eq!(fs::read(initrd.root.at("etc/hostname")).unwrap(), b"box");
    assert_eq!(
        mode(&initrd.root.at("etc/hostname")),
        0o600,
        "the base config's mode"
    );
    let result = initrd.result();
    assert_eq!(result["userConfigProvided"], true);
    assert_eq!(result["provisioningBootID"].as_str().unwrap().len(), 36);
    assert!(result.get("previousReport").is_none());
    assert!(!initrd.root.at(".ignition-progress").exists());

    initrd.stage("files").expect_code(0);
    assert_eq!(
        initrd.result()["previousReport"],
        result,
        "the report before is kept"
    );
}

#[test]
fn the_network_is_asked_for() {
    if !crate::support::programs::privileged() {
        return;
    }
    let mut config = hostname(true);
    config["storage"]["files"][0]["contents"]["source"] = json!("http://192.0.2.1/hostname");
    let initrd = Initrd::new(&config);
    initrd.stage("fetch-offline").expect_code(0);
    assert!(initrd.run.join("ignition/neednet").exists());
    assert!(
        initrd.run.join("ignition.json").exists(),
        "the config itself is there"
    );

    let remote = json!({"ignition": {"version": "3.4.0", "config": {"replace": {"source": "http://192.0.2.1/config"}}}});
    let initrd = Initrd::new(&remote);
    initrd.stage("fetch-offline").expect_code(0);
    assert!(initrd.run.join("ignition/neednet").exists());
    assert!(
        !initrd.run.join("ignition.json").exists(),
        "the fetch stage must run"
    );
}

#[test]
fn failures_name_the_line_of_the_config_that_was_fetched_by_an_earlier_stage() {
    if !crate::support::programs::privileged() {
        return;
    }
    let initrd = Initrd::new(&hostname(false));
    fs::write(&initrd.config, "{\n \"ignition\": {\"version\": \"3.4.0\"},\n \"storage\": {\"files\": [\n  {\"path\": \"/etc/hostname\", \"contents\": {\"source\": \"data:,x\"}}\n ]}\n}").unwrap();
    fs::write(initrd.root.at("etc/hostname"), "there").unwrap();
    initrd.stage("fetch").expect_code(0);
    let ran = initrd.stage("files");
    ran.expect_code(1);
    let said = ran.output();
    assert!(
        said.contains("storage.files[0].path (") && said.contains(":4:4)"),
        "{said}"
    );
    assert!(!initrd.root.at("etc/.ignition-result.json").exists());
}

#[test]
fn failures_name_the_line_of_a_base_config() {
    if !crate::support::programs::privileged() {
        return;
    }
    let initrd = Initrd::new(&json!({"ignition": {"version": "3.4.0"}}));
    fs::create_dir_all(initrd.run.join("system/base.d")).unwrap();
    let base = "{\"ignition\": {\"version\": \"3.0.0\"}, \"storage\": {\"files\": [\n {\"path\": \"/etc/there\", \"contents\": {\"source\": \"data:,x\"}}]}}";
    fs::write(initrd.run.join("system/base.d/10-base.ign"), base).unwrap();
    fs::write(initrd.root.at("etc/there"), "there").unwrap();
    initrd.stage("fetch").expect_code(0);
    let ran = initrd.stage("files");
    ran.expect_code(1);
    assert!(ran.output().contains("10-base.ign:2:3)"), "{}", ran.output());
}

#[test]
fn a_corrupt_state_file_and_a_missing_cache() {
    if !crate::support::programs::privileged() {
        return;
    }
    let initrd = Initrd::new(&hostname(true));
    let ran = initrd.stage("files");
    ran.expect_code(1);
    assert!(ran.output().contains("ignition.json"), "{}", ran.output());
    fs::create_dir_all(initrd.run.join("ignition")).unwrap();
    fs::write(initrd.run.join("ignition/state"), "{").unwrap();
    initrd.stage("fetch").expect_code(3);
}

#[test]
fn no_user_config_is_no_provision() {
    if !crate::support::programs::privileged() {
        return;
    }
    for data in ["", "#cloud-config\npackages: []\n", "#!/bin/sh\ntrue\n"] {
        let initrd = Initrd::new(&hostname(true));
        fs::write(&initrd.config, data).unwrap();
        initrd.stage("fetch").expect_code(0);
        initrd.stage("files").expect_code(0);
        assert_eq!(initrd.result()["userConfigProvided"], false, "{data:?}");
    }
}

/// A real LUKS volume in an image file; opening it would need device-mapper, asking for its UUID does not.
#[test]
fn encrypted_volumes_get_their_key_and_their_line() {
    if !crate::support::programs::privileged() {
        return;
    }
    if !programs::have("cryptsetup") {
        return;
    }
    let initrd = Initrd::new(&json!({"ignition": {"version": "3.4.0"}}));
    let image = initrd.root.file_beside("luks.img", vec![0; 20 << 20]);
    let key = initrd.root.file_beside("key", "canary-of-the-key");
    let made = Command::new("cryptsetup")
        .args([
            "luksFormat",
            "-q",
            "--type",
            "luks2",
            "--pbkdf",
            "pbkdf2",
            "--pbkdf-force-iterations",
            "1000",
        ])
        .args([&image, &key])
        .status()
        .unwrap();
    assert!(made.success());
    let uuid = Command::new("cryptsetup")
        .arg("luksUUID")
        .arg(&image)
        .output()
        .unwrap()
        .stdout;
    let uuid = String::from_utf8(uuid).unwrap();
    let cache = json!({
        "ignition": {"version": "3.7.0-experimental"},
        "storage": {"luks": [{"name": "data", "device": image}]},
    });
    fs::write(initrd.run.join("ignition.json"), cache.to_string()).unwrap();
    fs::create_dir(initrd.run.join("ignition")).unwrap();
    let state = json!({"luksPersistKeyFiles": {"data": "data:;base64,Y2FuYXJ5LW9mLXRoZS1rZXk="}});
    fs::write(initrd.run.join("ignition/state"), state.to_string()).unwrap();
    let ran = initrd.stage("files");
    ran.expect_code(0);
    assert!(!ran.output().contains("canary"), "{}", ran.output());
    assert_eq!(
        fs::read_to_string(initrd.root.at("etc/crypttab")).unwrap(),
        format!("data UUID={} /etc/luks/data luks\n", uuid.trim())
    );
    assert_eq!(mode(&initrd.root.at("etc/crypttab")), 0o600);
    assert_eq!(mode(&initrd.root.at("etc/luks")), 0o700);
    assert_eq!(
        fs::read(initrd.root.at("etc/luks/data")).unwrap(),
        b"canary-of-the-key"
    );
    assert_eq!(mode(&initrd.root.at("etc/luks/data")), 0o600);
    assert_eq!(
        initrd.json("ignition/state")["luksPersistKeyFiles"],
        Value::Null,
        "the key's way ends here"
    );
}

#[test]
fn a_dry_run_names_configs_that_it_did_not_fetch() {
    if !crate::support::programs::privileged() {
        return;
    }
    let root = Root::empty();
    let config = root.file_beside(
        "config.json",
        r#"{"ignition": {"version": "3.4.0", "config": {"merge": [{"source": "http://192.0.2.1/more.ign?key=canary"}]}}}"#,
    );
    let ran = programs::files_stage(&config, root.path()).arg("--dry-run").run();
    ran.expect_code(0);
    let said = ran.output();
    assert!(
        said.contains("http://192.0.2.1/more.ign") && said.contains("not fetched"),
        "{said}"
    );
    assert!(!said.contains("canary"), "{said}");
}

#[test]
fn a_plan_counts_the_base_configs_of_a_platform() {
    if !crate::support::programs::privileged() {
        return;
    }
    let root = Root::empty();
    let system = root.beside().join("system");
    fs::create_dir_all(system.join("base.platform.d/qemu")).unwrap();
    fs::write(
        system.join("base.platform.d/qemu/10.ign"),
        hostname(true).to_string(),
    )
    .unwrap();
    let config = root.file_beside(
        "config.json",
        json!({"ignition": {"version": "3.4.0"}}).to_string(),
    );
    let plan = |more: &[&str]| {
        programs::plan(&config, root.path())
            .args(more)
            .env("IGNITION_SYSTEM_CONFIG_DIR", &system)
            .run()
    };
    let with = plan(&["--platform", "qemu"]);
    with.expect_code(2);
    assert!(with.output().contains("/etc/hostname"), "{}", with.output());
    let without = plan(&[]);
    without.expect_code(0);
    assert!(
        !without.output().contains("/etc/hostname"),
        "{}",
        without.output()
    );
}

#[test]
fn accounts_are_made_in_an_empty_directory() {
    if !crate::support::programs::privileged() {
        return;
    }
    let root = Root::empty();
    let config = root.file_beside(
        "config.json",
        json!({
            "ignition": {"version": "3.3.0"},
            "passwd": {
                "groups": [{"name": "web", "gid": 700}],
                "users": [{"name": "caddy", "uid": 701, "primaryGroup": "web", "passwordHash": "$6$hash", "noCreateHome": true}],
            },
        })
        .to_string(),
    );
    let mut expected = programs::plan(&config, root.path()).run();
    expected.expect_code(2);
    programs::files_stage(&config, root.path()).run().expect_code(0);
    assert_eq!(mode(&root.at("etc/shadow")), 0o600);
    let passwd = fs::read_to_string(root.at("etc/passwd")).unwrap();
    assert_eq!(
        passwd, "caddy:x:701:700::/home/caddy:/bin/bash\n",
        "no hash where all can read it"
    );
    assert!(
        fs::read_to_string(root.at("etc/shadow"))
            .unwrap()
            .starts_with("caddy:$6$hash:")
    );
    expected = programs::plan(&config, root.path()).run();
    expected.expect_code(0);
}

/// A server whose every answer takes a while.
fn slow_server() -> std::net::SocketAddr {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            std::thread::sleep(std::time::Duration::from_millis(150));
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi");
        }
    });
    address
}

/// Runs the files stage, sends it SIGTERM when a path is there, and gives its exit code and stderr.
fn stopped_after(path: &str, config: &Path, root: &Root) -> (Option<i32>, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_ignition-rs"))
        .args(["--stage", "files", "--log-to-stdout", "--config"])
        .arg(config)
        .arg("--root")
        .arg(root.path())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    while !root.at(path).exists() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    let code = child.wait().unwrap().code();
    let mut said = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut said).unwrap();
    (code, said)
}

#[test]
fn a_stage_that_is_told_to_stop_stops_between_steps_and_goes_on_later() {
    if !crate::support::programs::privileged() {
        return;
    }
    let server = slow_server();
    let files: Vec<Value> = (0..20)
        .map(|number| json!({"path": format!("/srv/{number}"), "contents": {"source": format!("http://{server}/{number}")}}))
        .collect();
    let root = Root::system();
    let config = root.file_beside(
        "config.json",
        json!({"ignition": {"version": "3.4.0"}, "storage": {"files": files}}).to_string(),
    );
    let (code, said) = stopped_after("srv/3", &config, &root);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("stopped on request"), "{said}");
    assert!(root.at(".ignition-progress").exists());
    assert!(!root.at("srv/19").exists());
    programs::files_stage(&config, root.path()).run().expect_code(0);
    assert!(root.at("srv/19").exists() && !root.at(".ignition-progress").exists());
}

#[test]
fn waiting_for_a_dead_server_ends_when_told_to_stop() {
    if !crate::support::programs::privileged() {
        return;
    }
    let root = Root::system();
    // Without httpTotal an attempt is made every five seconds, for ever.
    let config = root.file_beside(
        "config.json",
        json!({"ignition": {"version": "3.4.0"}, "storage": {"files": [
            {"path": "/etc/first", "contents": {"source": "data:,x"}},
            {"path": "/srv/later/x", "contents": {"source": "http://127.0.0.1:1/x"}},
        ]}})
        .to_string(),
    );
    let (code, said) = stopped_after("etc/first", &config, &root);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("storage.files[1]") && said.contains("stopped on request"),
        "{said}"
    );
}

#[test]
fn applied_in_a_container() {
    if !crate::support::programs::privileged() {
        return;
    }
    let root = Root::system();
    let apply = |config: &Value, more: &[&str], container: &str| {
        let config = root.file_beside("config.json", config.to_string());
        Program::ignition_rs()
            .arg("apply")
            .args(["--root".as_ref(), root.path().as_os_str()])
            .args(more)
            .arg(&config)
            .env("container", container)
            .run()
    };
    apply(&hostname(true), &[], "podman").expect_code(0);
    assert_eq!(fs::read(root.at("etc/hostname")).unwrap(), b"box");
    assert!(
        !root.at("etc/.ignition-result.json").exists(),
        "a container is not provisioned"
    );
    let mut users = hostname(true);
    users["passwd"] = json!({"users": [{"name": "somebody"}]});
    let refused = apply(&users, &[], "podman");
    refused.expect_code(1);
    assert!(refused.output().contains("passwd.users"), "{}", refused.output());
    apply(&users, &["--ignore-unsupported"], "podman").expect_code(0);
    assert!(
        !fs::read_to_string(root.at("etc/passwd"))
            .unwrap()
            .contains("somebody")
    );
    let mut remote = hostname(true);
    remote["storage"]["files"][0]["contents"]["source"] = json!("http://192.0.2.1/hostname");
    let offline = apply(&remote, &["--offline"], "podman");
    offline.expect_code(1);
    assert!(
        offline.output().contains("storage.files[0].contents"),
        "{}",
        offline.output()
    );
    if !Path::new("/run/.containerenv").exists() && !Path::new("/.dockerenv").exists() {
        apply(&hostname(true), &[], "").expect_code(1);
    }
}
