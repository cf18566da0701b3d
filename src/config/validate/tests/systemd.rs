use serde_json::{Value, json};

use super::Version::{V3_0, V3_7};
use super::check_table;

#[test]
fn systemd() {
    let unit = |unit: Value| json!({"systemd": {"units": [unit]}});
    let contents = "$.systemd.units.0.contents";
    let (bad, useless) = (format!("error {contents}"), format!("warning {contents}"));
    let install = "[Install]\nWantedBy=x\n";
    check_table(vec![
        (V3_0, V3_7, unit(json!({"name": "a.scope"})), &[]),
        (
            V3_0,
            V3_7,
            unit(json!({"name": "a.network"})),
            &["error $.systemd.units.0.name"],
        ),
        (V3_0, V3_7, unit(json!({})), &["error $.systemd.units.0.name"]),
        (
            V3_0,
            V3_7,
            unit(json!({"name": "a.service", "contents": "[Unit\n"})),
            &[&bad],
        ),
        (
            V3_0,
            V3_7,
            unit(json!({"name": "a.service", "contents": "[Unit\n", "enabled": true})),
            &[&bad, &useless],
        ),
        (
            V3_0,
            V3_7,
            unit(json!({"name": "a.service", "contents": "[Install]\n", "enabled": true})),
            &[&useless],
        ),
        (
            V3_0,
            V3_7,
            unit(json!({"name": "a.service", "contents": install, "enabled": true})),
            &[],
        ),
        (
            V3_0,
            V3_7,
            unit(json!({"name": "a.service", "contents": "", "enabled": true})),
            &[],
        ),
        (
            V3_0,
            V3_7,
            unit(json!({"name": "a.service", "dropins": [{"name": "x", "contents": "[\n"}]})),
            &[
                "error $.systemd.units.0.dropins.0.contents",
                "error $.systemd.units.0.dropins.0.name",
            ],
        ),
    ]);
}

#[test]
fn instances_of_templates() {
    let units = |instance: &str, template: &str, contents: &str| json!({"systemd": {"units": [{"name": instance, "enabled": true}, {"name": template, "contents": contents}]}});
    let useless = "warning $.systemd.units.0.contents";
    let install = "[Install]\nWantedBy=x\n";
    check_table(vec![
        (
            V3_0,
            V3_7,
            units("a@b.service", "a@.service", "[Unit]\nA=b\n"),
            &[useless],
        ),
        (V3_0, V3_7, units("a@b.service", "a@.service", install), &[]),
        (V3_0, V3_7, units("a@b.service", "a@.service", ""), &[]),
        (
            V3_0,
            V3_7,
            units("a@b@c.service", "a@.service", "[Unit]\nA=b\n"),
            &[useless],
        ),
        (
            V3_0,
            V3_7,
            units("@@b.service", "@@.service", "[Unit]\nA=b\n"),
            &[useless],
        ),
        (
            V3_0,
            V3_7,
            units("a@.service.service", "a@.service", "[Unit]\nA=b\n"),
            &[useless],
        ),
        (V3_0, V3_7, units("a@b.timer", "a@.timer", "[Unit]\nA=b\n"), &[]),
        (
            V3_0,
            V3_7,
            units("a@b.service", "a@.service", "[Unit\n"),
            &["error $.systemd.units.1.contents"],
        ),
    ]);
}

#[test]
fn nodes_that_would_overwrite_units() {
    let unit = json!({"name": "a.service", "contents": "[A]\n", "dropins": [{"name": "b.conf", "contents": "[A]\n"}]});
    let config = json!({
        "systemd": {"units": [unit, {"name": "empty.service", "contents": ""}]},
        "storage": {
            "directories": [{"path": "/etc/systemd/system/a.service.d/b.conf"}],
            "files": [{"path": "/etc/systemd/system/a.service"}, {"path": "/etc/systemd/system/empty.service"}],
        },
    });
    let expected = [
        "error $.storage.files.0.path",
        "error $.storage.directories.0.path",
    ];
    check_table(vec![(V3_0, V3_7, config, &expected)]);
}

/// Reading the template for each instance took minutes.
#[test]
fn a_template_of_many_instances_is_read_once() {
    let mut units: Vec<Value> = (0..5_000)
        .map(|number| json!({"name": format!("a@{number}.service"), "enabled": true}))
        .collect();
    let contents = format!("[Service]\n{}", "A=b\n".repeat(100_000));
    units.push(json!({"name": "a@.service", "contents": contents}));
    let config = json!({"ignition": {"version": "3.5.0"}, "systemd": {"units": units}});
    let parsed = crate::config::parse(config.to_string().as_bytes()).unwrap();
    let silent = parsed
        .report
        .entries
        .iter()
        .filter(|entry| entry.message.starts_with("the template"))
        .count();
    assert_eq!(silent, 5_000);
}
