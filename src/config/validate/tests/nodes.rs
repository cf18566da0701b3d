use serde_json::{Value, json};

use super::Version::{V3_0, V3_2, V3_3, V3_5, V3_6, V3_7};
use super::check_table;

#[test]
fn nodes() {
    let file = |mut file: Value| {
        file["path"] = "/f".into();
        json!({"storage": {"files": [file]}})
    };
    let mode = "$.storage.files.0.mode";
    let (mode_error, mode_warning) = (format!("error {mode}"), format!("warning {mode}"));
    check_table(vec![
        (
            V3_0,
            V3_7,
            json!({"storage": {"directories": [{}], "files": [{"path": "f"}], "links": [{"path": "/l/", "target": "x"}]}}),
            &[
                "error $.storage.directories.0.path",
                "error $.storage.files.0.path",
                "error $.storage.links.0.path",
            ],
        ),
        (V3_0, V3_7, file(json!({"mode": 0o777})), &[]),
        (V3_0, V3_5, file(json!({"mode": 0o1777})), &[&mode_warning]),
        (V3_6, V3_7, file(json!({"mode": 0o1777})), &[]),
        (
            V3_0,
            V3_5,
            file(json!({"mode": 0o17777})),
            &[&mode_error, &mode_warning],
        ),
        (V3_6, V3_7, file(json!({"mode": 0o10000})), &[&mode_error]),
        (V3_6, V3_7, file(json!({"mode": -1})), &[&mode_error]),
        (
            V3_0,
            V3_5,
            json!({"storage": {"directories": [{"path": "/d", "mode": 0o1777}]}}),
            &["warning $.storage.directories.0.mode"],
        ),
        (
            V3_0,
            V3_7,
            file(json!({"overwrite": true})),
            &["error $.storage.files.0.overwrite"],
        ),
        (
            V3_0,
            V3_7,
            file(json!({"overwrite": true, "contents": {"source": ""}})),
            &[],
        ),
        (V3_0, V3_7, file(json!({"overwrite": false})), &[]),
        (
            V3_0,
            V3_7,
            file(json!({"user": {"id": 0, "name": "x"}, "group": {"id": 0, "name": "x"}})),
            &["error $.storage.files.0.group", "error $.storage.files.0.user"],
        ),
        (V3_0, V3_7, file(json!({"user": {"id": 0, "name": ""}})), &[]),
        (
            V3_0,
            V3_7,
            file(json!({"append": [{"source": "x"}]})),
            &["error $.storage.files.0.append.0.source"],
        ),
    ]);
}

#[test]
fn links() {
    let link = |link: Value| json!({"storage": {"links": [link]}});
    let beside = |key: &str, list: Value, mut config: Value| {
        config["storage"][key] = list;
        config
    };
    let at = "error $.storage.links.0";
    let target = "error $.storage.links.0.target";
    let hard = |target: &str| link(json!({"path": "/l", "target": target, "hard": true}));
    let directory = json!([{"path": "/l/d"}, {"path": "/d"}]);
    let below = "error $.storage.directories.0";
    check_table(vec![
        (V3_0, V3_2, link(json!({"path": "/l"})), &[]),
        (V3_3, V3_7, link(json!({"path": "/l"})), &[target]),
        (V3_3, V3_7, link(json!({"path": "/l", "target": ""})), &[target]),
        (
            V3_0,
            V3_7,
            beside(
                "files",
                json!([{"path": "/l/f"}, {"path": "/lf"}]),
                link(json!({"path": "/l", "target": "x"})),
            ),
            &["error $.storage.files.0"],
        ),
        (
            V3_0,
            V3_7,
            json!({"storage": {"links": [{"path": "/l/m", "target": "x"}, {"path": "/l", "target": "x"}]}}),
            &[at],
        ),
        // An empty link path is a prefix of every absolute path.
        (
            V3_0,
            V3_7,
            beside("files", json!([{"path": "/f"}]), link(json!({"target": "x"}))),
            &["error $.storage.files.0", "error $.storage.links.0.path"],
        ),
        (
            V3_0,
            V3_7,
            beside("directories", json!([{"path": "/d"}]), hard("/x/../d")),
            &[at],
        ),
        (
            V3_0,
            V3_7,
            beside("directories", json!([{"path": "/d"}]), hard("/x")),
            &[],
        ),
        // A relative target is joined onto the link's own path.
        (
            V3_0,
            V3_7,
            beside("directories", directory.clone(), hard("d")),
            &[below, at],
        ),
        (
            V3_0,
            V3_7,
            beside("directories", directory, hard("../d")),
            &[below, at],
        ),
        (
            V3_0,
            V3_7,
            link(
                json!({"path": "/l", "target": "/x", "hard": true, "user": {"id": 1}, "group": {"name": ""}}),
            ),
            &[
                "warning $.storage.links.0.user.id",
                "warning $.storage.links.0.group.name",
            ],
        ),
        (
            V3_0,
            V3_7,
            link(json!({"path": "/l", "target": "/x", "user": {"id": 1}})),
            &[],
        ),
    ]);
}
