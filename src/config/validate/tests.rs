mod duplicates;
mod ignition;
mod nodes;
mod storage;
mod systemd;

use serde_json::{Value, json};

use super::*;
use crate::config::{self, ParseError};

/// What is said about a config of a version: `error $.path` or `warning $.path`, with the messages.
fn entries(version: Version, mut config: Value) -> Vec<(String, String)> {
    config["ignition"]["version"] = version.name().into();
    let report = match config::parse(config.to_string().as_bytes()) {
        Ok(parsed) => parsed.report,
        Err(ParseError::Invalid { report }) => report,
        Err(other) => panic!("{other}"),
    };
    let entries = report.entries.into_iter();
    entries
        .map(|entry| {
            (
                format!("{} {}", entry.severity, entry.pointer.dollar()),
                entry.message,
            )
        })
        .collect()
}

fn places(version: Version, config: Value) -> Vec<String> {
    entries(version, config)
        .into_iter()
        .map(|(place, _)| place)
        .collect()
}

/// Checks a table of (oldest version, newest version, config, expected): in all versions of the range.
#[track_caller]
fn check_table(table: Vec<(Version, Version, Value, &[&str])>) {
    for (first, last, config, expected) in table {
        for version in Version::ALL
            .into_iter()
            .filter(|version| (first..=last).contains(version))
        {
            assert_eq!(places(version, config.clone()), expected, "{version} {config}");
        }
    }
}

use Version::{V3_5, V3_6};

#[expect(clippy::needless_pass_by_value, reason = "calls read better")]
fn disk(partitions: Value) -> Value {
    json!({"storage": {"disks": [{"device": "/dev/a", "partitions": partitions}]}})
}

/// What old versions let pass is refused before anything runs.
#[test]
fn the_final_validation_uses_the_newest_rules() {
    let text = json!({"ignition": {"version": "3.0.0"}, "storage": {"links": [{"path": "/l"}]}}).to_string();
    let parsed = config::parse(text.as_bytes()).unwrap();
    assert_eq!(parsed.report, Report::default());
    let report = final_validation(&parsed.config);
    let places: Vec<_> = report
        .entries
        .iter()
        .map(|entry| entry.pointer.dollar())
        .collect();
    assert_eq!(places, ["$.storage.links.0.target"]);

    // Merging can repeat what no single document may, so duplicates are not looked for.
    let text =
        json!({"ignition": {"version": "3.6.0"}, "kernelArguments": {"shouldExist": ["a"]}}).to_string();
    let mut config = config::parse(text.as_bytes()).unwrap().config;
    config.kernel_arguments.should_exist.push("a".to_owned());
    assert_eq!(final_validation(&config), Report::default());
    assert!(duplicates(&config, Version::NEWEST).is_fatal());
}

#[test]
fn a_config_of_another_version_is_refused() {
    let mut config = Config::default();
    for (text, expected) in [("", true), ("3.0", true), ("3.0.0", true), ("3.6.0", false)] {
        text.clone_into(&mut config.ignition.version);
        let report = validators(&config, V3_6);
        assert_eq!(report.is_fatal(), expected, "{text:?}");
    }
}

#[test]
fn messages_show_no_secrets() {
    let url = "http://u:canary@h:canary/?canary#canary";
    let headers = json!([{"name": "", "value": "canary"}, {"name": "", "value": "canary"}]);
    let resource = json!({"source": url, "httpHeaders": headers, "verification": {"hash": "canary"}, "compression": "canary"});
    let config = json!({
        "ignition": {
            "config": {"merge": [resource, resource], "replace": resource},
            "proxy": {"httpProxy": url, "httpsProxy": "http://u:canary@h"},
            "security": {"tls": {"certificateAuthorities": [resource, resource]}},
        },
        "passwd": {"users": [{"name": "u", "passwordHash": "canary", "sshAuthorizedKeys": ["canary", "canary"]}]},
        "storage": {
            "files": [{"path": "f", "contents": {"source": "data:,canary "}, "append": [resource]}],
            "luks": [{
                "name": "l", "device": "d", "keyFile": {"source": "data:;base64,canary!"},
                "clevis": {"tang": [{"url": url, "advertisement": "canary"}], "custom": {"pin": "canary"}},
            }],
        },
        "systemd": {"units": [{
            "name": "u.service", "contents": "[Service]\ncanary", "dropins": [{"name": "c.conf", "contents": "[canary"}],
        }]},
    });
    let entries = entries(V3_5, config);
    assert!(entries.len() > 20, "{entries:#?}");
    for (place, message) in entries {
        assert!(!message.contains("canary"), "{place}: {message}");
    }
}
