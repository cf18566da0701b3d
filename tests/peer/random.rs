//! Generated configs, brought to the specs and the roots that the peer can take.

use serde_json::{Value, json};

use super::Case;
use crate::support::generate::Pair;
use crate::support::root::Root;

/// How many.
const COUNT: u64 = 120;

pub(super) fn cases() -> Vec<Case> {
    (0..COUNT)
        .map(|index| {
            // Other seeds than those of the other tests.
            let seed = 90_000 + index;
            let pair = Pair::new(seed);
            let version = ["3.0.0", "3.1.0", "3.2.0", "3.3.0"][usize::try_from(index % 4).unwrap()];
            let mut config = pair.config.clone();
            for unit in ["t@x.service", "t@y.service"] {
                // For instances it asks a systemd that runs.
                if let Some(units) = config["systemd"]["units"].as_array_mut() {
                    units.retain(|found| found["name"] != unit);
                }
            }
            older(&mut config, version);
            adapt(&mut config, &pair.root, version);
            let mut case = Case::new(format!("seed {seed} in {version}"), version, config);
            case.root = pair.root;
            case.may_differ.push("a disabled unit that is not enabled");
            case
        })
        .collect()
}

/// Takes out what the peer cannot do, each of which has a case of its own: change groups, homes of Flatcar's second user
/// database, homes over an absolute link, appending to one of several names.
fn adapt(config: &mut Value, root: &Root, version: &str) {
    let removes = version >= "3.2.0";
    retain(&mut config["passwd"]["groups"], |group| {
        let name = group["name"].as_str().unwrap_or_default();
        name.starts_with('g') || name == "unused" && removes
    });
    retain(&mut config["passwd"]["users"], |user| user["name"] != "ntp");
    retain(&mut config["storage"]["files"], |file| {
        let path = file["path"].as_str().unwrap_or_default();
        file["append"].is_null() || !root.at(&format!("{}.twin", &path[1..])).exists()
    });
    for (path, more) in [
        ("etc/passwd", "ntp:x:203:203:ntp:/dev/null:/sbin/nologin\n"),
        ("etc/group", "kvm:x:78:\nntp:x:203:\n"),
        ("etc/gshadow", "kvm:!::\nntp:!::\n"),
        ("etc/shadow", "ntp:*:19000:0:99999:7:::\n"),
    ] {
        let path = root.at(path);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text + more).unwrap();
    }
    std::fs::remove_dir_all(root.at("usr/share/baselayout")).unwrap();
    if std::fs::read_link(root.at("home")).is_ok() {
        std::fs::remove_file(root.at("home")).unwrap();
        root.link("home", "var/home");
    }
}

fn retain(list: &mut Value, keep: impl Fn(&Value) -> bool) {
    if let Some(list) = list.as_array_mut() {
        list.retain(keep);
    }
}

/// Takes out what an old spec refuses, and paths over more than one absolute link: there the peer leaves the root.
fn older(value: &mut Value, version: &str) {
    match value {
        Value::Object(map) => {
            if version == "3.0.0"
                && map
                    .get("hash")
                    .and_then(Value::as_str)
                    .is_some_and(|hash| hash.starts_with("sha256-"))
            {
                map.remove("hash");
            }
            for value in map.values_mut() {
                older(value, version);
            }
        }
        Value::Array(list) => {
            for value in list {
                older(value, version);
            }
        }
        Value::String(text) if text.starts_with("/chain/") => {
            *value = json!(text.replacen("/chain", "/abs", 1));
        }
        _ => {}
    }
}
