use super::*;
use crate::report::Position;

const BASE: &str = r#"{
  "ignition": {"version": "3.3.0"},
  "storage": {"files": [
    {"path": "/etc/motd", "mode": 384, "contents": {"source": "data:,xyzzy-canary"}}
  ]},
  "passwd": {"users": [{"name": "core", "passwordHash": "xyzzy-canary", "groups": ["sudo"]}]}
}"#;

const USER: &str = r#"{
  "ignition": {"version": "3.4.0"},
  "storage": {
    "files": [{"path": "/etc/motd", "mode": 2541}],
    "disks": [{"device": "/dev/vda", "partitions": [{"label": "data"}]}]
  },
  "systemd": {"units": [{"name": "a.service", "contents": "[Service]\nEnvironment=A=xyzzy-canary"}]}
}"#;

fn merged() -> Merged {
    let mut merged = Merged::default();
    for (name, text) in [("base.ign", BASE), ("user.ign", USER)] {
        let parsed = crate::config::parse_in_detail(text.as_bytes(), Detail::Values).unwrap();
        merged.config = merge(merged.config, parsed.config);
        merged.origins.push(name, parsed.origins);
    }
    merged.left_out.push(Unfetched {
        pointer: Pointer::root()
            .key("ignition")
            .key("config")
            .key("merge")
            .index(0),
        url: "https://host/more.ign".into(),
        hash: None,
    });
    merged
}

fn text(pointer: &str) -> String {
    let text = answer(pointer, PlanFormat::Text, &merged(), false).unwrap();
    assert!(!text.contains("canary"), "{text}");
    text
}

fn json(pointer: &str) -> serde_json::Value {
    let text = answer(pointer, PlanFormat::Json, &merged(), false).unwrap();
    assert!(!text.contains("canary"), "{text}");
    serde_json::from_str(&text).unwrap()
}

#[test]
fn a_value_that_overrides_another() {
    insta::assert_snapshot!(text("storage.files[/etc/motd].mode"));
    insta::assert_snapshot!(answer("/storage/files/0/mode", PlanFormat::Json, &merged(), false).unwrap());
}

#[test]
fn what_nobody_says_has_a_default() {
    insta::assert_snapshot!(text("storage.files[0].user.id"));
}

#[test]
fn parts_of_several_configs() {
    insta::assert_snapshot!(text("storage.files[0]"));
}

#[test]
fn secrets_are_not_shown() {
    for (pointer, shown) in [
        ("passwd.users[core].passwordHash", "<secret, 12 bytes>"),
        ("storage.files[0].contents.source", "data:…(12 bytes)"),
        ("systemd.units[a.service].contents", "<secret, 36 bytes>"),
    ] {
        assert_eq!(json(pointer)["value"], shown, "{pointer}");
        assert!(text(pointer).contains(shown));
    }
    // Nor when they are parts of something larger.
    for pointer in [
        "$",
        "passwd",
        "passwd.users[0]",
        "systemd.units",
        "storage.files",
        "storage",
    ] {
        text(pointer);
        json(pointer);
    }
}

#[test]
fn kinds_of_values() {
    for (pointer, value, default) in [
        ("passwd.users[core].groups", serde_json::json!(["sudo"]), None),
        ("passwd.users[core].groups[sudo]", "sudo".into(), None),
        ("storage.disks[0].partitions[data].label", "data".into(), None),
        (
            "storage.disks[0].wipeTable",
            serde_json::Value::Null,
            Some("false"),
        ),
        (
            "storage.disks[0].partitions[0].number",
            serde_json::Value::Null,
            Some("0"),
        ),
        ("storage.raid", serde_json::Value::Null, Some("none")),
        (
            "storage.files[0].contents.verification",
            serde_json::Value::Null,
            None,
        ),
        ("ignition.version", "3.7.0-experimental".into(), None),
    ] {
        let answer = json(pointer);
        assert_eq!(answer["value"], value, "{pointer}");
        assert_eq!(answer["default"].as_str(), default, "{pointer}");
        assert!(answer["rule"].as_str().unwrap().len() > 10, "{pointer}");
    }
}

/// What a later config takes away is told, and the spec is that of the whole way.
#[test]
fn what_is_taken_away() {
    let mut merged = Merged::default();
    for (name, list) in [("one", "shouldExist"), ("two", "shouldNotExist")] {
        let text =
            format!(r#"{{"ignition": {{"version": "3.4.0"}}, "kernelArguments": {{"{list}": ["quiet"]}}}}"#);
        let parsed = crate::config::parse_in_detail(text.as_bytes(), Detail::Values).unwrap();
        merged.config = merge(merged.config, parsed.config);
        merged.origins.push(name, parsed.origins);
    }
    let text = answer("kernelArguments.shouldExist", PlanFormat::Text, &merged, false).unwrap();
    for words in [
        "nothing of it is left in the merged config",
        "one says it",
        "since: 3.3.0",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

/// Who asks for what is not there learns what is, and what was left out.
#[test]
fn what_is_not_there() {
    let problem = answer("storage.files[/etc/mot].mode", PlanFormat::Text, &merged(), false).unwrap_err();
    assert_eq!(
        problem,
        "storage.files has no entry \"/etc/mot\", did you mean /etc/motd?; it has one: [0] /etc/motd; left out \
         without --fetch: https://host/more.ign"
    );
}

#[test]
fn values_at_a_place() {
    let text = b"{\"a\": \"x\\\"y\\\\\", \"b\":[-1,true]}\n\"end";
    let at = |line, column| {
        let said = Said {
            document: "",
            position: Position { line, column },
            text,
        };
        let found = scalar(&said)?;
        let root = found.root();
        Some(root.as_str().map_or_else(
            || {
                root.as_i64()
                    .map_or_else(|| format!("{:?}", root.as_bool()), |number| number.to_string())
            },
            std::borrow::Cow::into_owned,
        ))
    };
    for (line, column, want) in [
        (1, 7, Some("x\"y\\")),
        (1, 22, Some("-1")),
        (1, 25, Some("Some(true)")),
        (1, 1, None),
        (1, 21, None),
        (2, 1, None),
        (3, 1, None),
        (1, 0, None),
        (1, 99, None),
    ] {
        assert_eq!(at(line, column).as_deref(), want, "{line}:{column}");
    }
}
