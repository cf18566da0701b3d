//! The log in a real journal: its identifier, its priorities, and the messages that programs look for.

use serde_json::Value;

use crate::support::private;
use crate::support::programs::{self, BINARY, Program, skipped};
use crate::support::root::Root;

const JOURNALD: &str = "/usr/lib/systemd/systemd-journald";

/// Starts a journal daemon that keeps its journal in `/run`, and stops it in the end.
const SETUP: &str = r#"
[ -s /etc/machine-id ] || echo 0123456789abcdef0123456789abcdef > /etc/machine-id
mkdir -p /run/systemd/journal
/usr/lib/systemd/systemd-journald >"$scratch/journald.log" 2>&1 &
journald=$!
trap 'kill "$journald"; wait "$journald" || :' EXIT
tries=0
until [ -S /run/systemd/journal/dev-log ] && [ -d "/run/log/journal/$(cat /etc/machine-id)" ]; do
    tries=$((tries + 1))
    [ "$tries" -lt 100 ] || { cat "$scratch/journald.log" >&2; exit 99; }
    sleep 0.1
done
ln -s /run/systemd/journal/dev-log /dev/log
"#;

/// Runs the stages and reads the journal.
const SCRIPT: &str = r#"
config=$1; root=$2; beside=$3; shift 3
for stage in fetch files; do
    IGNITION_CONFIG_FILE=$config IGNITION_SYSTEM_CONFIG_DIR=$beside/system \
        "$beside/ignition" -platform file -stage "$stage" -root "$root" -config-cache "$beside/cache" \
        -neednet "$beside/neednet" -state-file "$beside/state" || echo "code $?" >&2
done
sleep 0.3
journalctl --directory="/run/log/journal/$(cat /etc/machine-id)" --no-pager -o json "$@"
"#;

/// The journal of a boot with a config, as `journalctl` shows it with these arguments.
fn journal(config: &Value, arguments: &[&str]) -> Option<(Vec<Value>, String)> {
    let there = std::path::Path::new(JOURNALD).exists() && programs::have("journalctl");
    if !there || !private::available() {
        if !there {
            skipped("systemd-journald is not installed");
        }
        return None;
    }
    let root = Root::system();
    let path = root.file_beside("config.ign", config.to_string());
    std::os::unix::fs::symlink(BINARY, root.beside().join("ignition")).unwrap();
    let program = Program::new("sh")
        .args(["-euc", SCRIPT, "sh"])
        .arg(&path)
        .arg(root.path())
        .arg(root.beside())
        .args(arguments);
    let scratch = tempfile::tempdir().unwrap();
    let ran = private::run(scratch.path(), SETUP, &program).run();
    ran.expect_code(0);
    let entries = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap());
    Some((entries.collect(), ran.stderr))
}

fn field<'e>(entry: &'e Value, name: &str) -> &'e str {
    entry[name].as_str().unwrap_or_default()
}

#[test]
fn a_failure_is_found_by_identifier_and_priority() {
    let config = serde_json::json!({"ignition": {"version": "3.4.0"},
        "storage": {"files": [{"path": "/etc/group", "contents": {"source": "data:,CANARYCONTENTS"}}]}});
    let Some((entries, stderr)) = journal(&config, &["-t", "ignition", "-p", "crit"]) else {
        return;
    };
    assert_eq!(entries.len(), 1, "{entries:#?}\n{stderr}");
    let entry = &entries[0];
    assert_eq!(field(entry, "PRIORITY"), "2");
    assert_eq!(field(entry, "SYSLOG_IDENTIFIER"), "ignition");
    // journald leaves out facility kern, which is 0.
    assert_eq!(field(entry, "SYSLOG_FACILITY"), "");
    assert!(
        field(entry, "MESSAGE").starts_with("files: storage.files[0]"),
        "{entry:#}"
    );
    assert!(stderr.contains("log:       journalctl -t ignition\n"), "{stderr}");
    assert!(stderr.contains("code 1"), "{stderr}");
}

#[test]
fn levels_are_priorities() {
    let config = serde_json::json!({"ignition": {"version": "3.4.0", "nonsense": 1}});
    let Some((entries, stderr)) = journal(&config, &["-t", "ignition"]) else {
        return;
    };
    assert_eq!(stderr, "");
    let priority = |words: &str| {
        let found = entries
            .iter()
            .find(|entry| field(entry, "MESSAGE").contains(words));
        found.map_or_else(
            || panic!("nothing says {words}: {entries:#?}"),
            |entry| field(entry, "PRIORITY").to_owned(),
        )
    };
    assert_eq!(priority("unused key nonsense"), "4");
    assert_eq!(priority("stage files succeeded"), "6");
    assert_eq!(priority("SHA512"), "7");
    assert!(
        entries
            .iter()
            .all(|entry| field(entry, "SYSLOG_IDENTIFIER") == "ignition")
    );
}

/// The two messages that upstream sends, with their fields (spec/cli.md 6).
#[test]
fn upstreams_messages_have_their_ids_and_fields() {
    let config = serde_json::json!({"ignition": {"version": "3.4.0", "config": {"merge": [
            {"source": "data:,%7B%22ignition%22%3A%7B%22version%22%3A%223.4.0%22%7D%7D"}]}},
        "passwd": {"users": [{"name": "core", "sshAuthorizedKeys": ["ssh-ed25519 AAAA me"]}]}});
    let ids = [
        "MESSAGE_ID=57124006b5c94805b77ce473e92a8aeb",
        "MESSAGE_ID=225067b87bbd4a0cb6ab151f82fa364b",
    ];
    let Some((entries, stderr)) = journal(&config, &["-t", "ignition", ids[0], ids[1]]) else {
        return;
    };
    assert_eq!(stderr, "");
    let of = |names: &[&str]| -> Vec<String> {
        let chosen = entries.iter().filter(|entry| !field(entry, names[0]).is_empty());
        chosen
            .map(|entry| {
                assert_eq!(field(entry, "PRIORITY"), "6");
                names
                    .iter()
                    .map(|name| field(entry, name))
                    .collect::<Vec<_>>()
                    .join(" ")
            })
            .collect()
    };
    assert_eq!(
        of(&[
            "IGNITION_CONFIG_TYPE",
            "IGNITION_CONFIG_SRC",
            "IGNITION_CONFIG_REFERENCED"
        ])
        .iter()
        .map(|line| line.split(' ').collect::<Vec<_>>())
        .map(|words| (words[0].to_owned(), words[words.len() - 1].to_owned()))
        .collect::<Vec<_>>(),
        [("base", "false"), ("user", "false"), ("user", "true")].map(|(a, b)| (a.to_owned(), b.to_owned()))
    );
    let keys = of(&["IGNITION_USER_NAME", "IGNITION_PATH"]);
    assert_eq!(keys.len(), 1, "{entries:#?}");
    assert!(
        keys[0].starts_with("core /") && keys[0].contains("authorized_keys"),
        "{keys:?}"
    );
}
