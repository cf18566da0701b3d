//! Units, drop-ins, masks and presets. No instances: for these the peer asks a systemd that runs.

use serde_json::{Value, json};

use super::{Before, Case, NEWEST};

const TEXT: &str = "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n";

fn units(name: impl Into<String>, units: Value) -> Case {
    Case::new(name, NEWEST, json!({"systemd": {"units": units}}))
}

/// What can be at the unit's path before.
const BEFORE: &[Before] = &[
    ("nothing", |_| {}),
    ("a unit", |root| {
        root.file("etc/systemd/system/u.service", "[Unit]\n", 0o600).own(
            "etc/systemd/system/u.service",
            500,
            500,
        );
    }),
    ("a mask", |root| {
        root.link("etc/systemd/system/u.service", "/dev/null");
    }),
    ("a link to a unit", |root| {
        root.link(
            "etc/systemd/system/u.service",
            "/usr/lib/systemd/system/idle.service",
        );
    }),
    ("a unit of the system", |root| {
        root.file("usr/lib/systemd/system/u.service", TEXT, 0o644);
    }),
    ("an enabled unit of the system", |root| {
        root.file("usr/lib/systemd/system/u.service", TEXT, 0o644);
        root.link(
            "etc/systemd/system/multi-user.target.wants/u.service",
            "/usr/lib/systemd/system/u.service",
        );
    }),
];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (before, change) in BEFORE {
        for (wish, mut unit) in [
            ("contents", json!({"contents": TEXT})),
            ("a mask", json!({"mask": true})),
            ("no mask", json!({"mask": false})),
            (
                "contents and a mask",
                json!({"contents": TEXT, "mask": true, "enabled": true}),
            ),
            ("to be enabled", json!({"enabled": true})),
            ("to be disabled", json!({"enabled": false})),
        ] {
            unit["name"] = json!("u.service");
            let mut case = units(format!("{wish} over {before}"), json!([unit])).on(change);
            if wish == "to be disabled" && ["nothing", "a mask", "a unit of the system"].contains(before) {
                case = case.differs("a disabled unit that is not enabled");
            }
            cases.push(case);
        }
    }
    cases.extend(vec![
        units("only a name", json!([{"name": "a.service"}])),
        units("empty contents", json!([{"name": "a.service", "contents": ""}])),
        units("contents and enabled", json!([{"name": "a.service", "contents": TEXT, "enabled": true}])),
        units("contents and disabled", json!([{"name": "a.service", "contents": TEXT, "enabled": false}])).differs("a disabled unit that is not enabled"),
        units("enabled without an install section", json!([{"name": "a.service", "contents": "[Unit]\nDescription=x\n", "enabled": true}])),
        units("dropins", json!([{"name": "a.service", "dropins": [{"name": "z.conf", "contents": "[Unit]\nAfter=b.service\n"}, {"name": "a.conf", "contents": ""}, {"name": "none.conf"}]}])),
        units("dropins with contents", json!([{"name": "a.service", "contents": TEXT, "dropins": [{"name": "z.conf", "contents": "[Unit]\n"}]}])),
        units("dropins of a masked unit", json!([{"name": "a.service", "mask": true, "dropins": [{"name": "z.conf", "contents": "[Unit]\n"}]}])),
        units("a dropin over a file", json!([{"name": "a.service", "dropins": [{"name": "z.conf", "contents": "[Unit]\nAfter=x.service\n"}]}])).on(|root| {
            root.file("etc/systemd/system/a.service.d/z.conf", "old", 0o600);
        }),
        units("a dropin over a link", json!([{"name": "a.service", "dropins": [{"name": "z.conf", "contents": "[Unit]\n"}]}])).on(|root| {
            root.link("etc/systemd/system/a.service.d/z.conf", "/dev/null");
        }),
        units("a dropin where a file is the directory", json!([{"name": "a.service", "dropins": [{"name": "z.conf", "contents": "[Unit]\n"}]}])).on(|root| {
            root.file("etc/systemd/system/a.service.d", "", 0o644);
        }),
        units("a dropin with another extension", json!([{"name": "a.service", "dropins": [{"name": "z.txt", "contents": "[Unit]\n"}]}])),
        units("a unit with another extension", json!([{"name": "a.txt", "contents": TEXT}])),
        units("a unit without a name", json!([{"contents": TEXT}])),
        units("a unit that is none", json!([{"name": "a.service", "contents": "[Unit\nx"}])),
        units("a unit with a very long line", json!([{"name": "a.service", "contents": format!("[Unit]\nDescription={}\n", "x".repeat(3000))}])),
        units("a unit twice", json!([{"name": "a.service"}, {"name": "a.service"}])),
        units("a dropin twice", json!([{"name": "a.service", "dropins": [{"name": "a.conf"}, {"name": "a.conf"}]}])),
        units("presets are sorted", json!([{"name": "z.service", "contents": TEXT, "enabled": true}, {"name": "a.socket", "enabled": true}, {"name": "m.timer", "enabled": true}, {"name": "a.service", "enabled": true}, {"name": "B.service", "enabled": true}, {"name": "a-b.service", "enabled": true}])),
        units("enabled and disabled", json!([{"name": "old.service", "enabled": false}, {"name": "idle.service", "enabled": false}, {"name": "extra.service", "enabled": true}, {"name": "missing.service", "enabled": false}])).differs("a disabled unit that is not enabled"),
        units("presets are added to", json!([{"name": "extra.service", "enabled": true}])).on(|root| {
            root.file("etc/systemd/system-preset/20-ignition.preset", "enable before.service\n", 0o640);
        }),
        units("presets are added to a file without an end", json!([{"name": "extra.service", "enabled": true}])).differs("presets after a line without an end").on(|root| {
            root.file("etc/systemd/system-preset/20-ignition.preset", "enable before.service", 0o640);
        }),
        units("a unit in a linked directory", json!([{"name": "a.service", "contents": TEXT, "enabled": true}])).on(|root| {
            std::fs::rename(root.at("etc/systemd"), root.at("usr/share/systemd")).unwrap();
            root.link("etc/systemd", "/usr/share/systemd");
        }),
        units("no directory for units", json!([{"name": "a.service", "contents": TEXT, "mask": true, "dropins": [{"name": "a.conf", "contents": ""}]}])).on(|root| {
            std::fs::remove_dir_all(root.at("etc/systemd")).unwrap();
        }),
        units("mask over a directory", json!([{"name": "u.service", "mask": true}])).on(|root| {
            root.file("etc/systemd/system/u.service/x", "", 0o644);
        }),
        units("contents over a directory", json!([{"name": "u.service", "contents": TEXT}])).on(|root| {
            root.file("etc/systemd/system/u.service/x", "", 0o644);
        }),
        units("unmask a link by another spelling", json!([{"name": "u.service", "mask": false}])).on(|root| {
            root.link("etc/systemd/system/u.service", "../../../dev/null");
        }),
    ]);
    for version in ["3.0.0", "3.1.0", "3.2.0"] {
        cases.push(Case::new(
            format!("units in {version}"),
            version,
            json!({"systemd": {"units": [{"name": "a.service", "contents": TEXT, "enabled": true, "dropins": [{"name": "d.conf", "contents": "[Unit]\n"}]}, {"name": "old.service", "enabled": false}, {"name": "m.socket", "mask": true}]}}),
        ));
    }
    cases
}
