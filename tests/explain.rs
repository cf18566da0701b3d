//! `ignition-rs explain` as people call it: files, stdin, references that are fetched or left out.

use serde_json::{Value, json};

use crate::support::programs::Program;
use crate::support::root::Root;

const CANARY: &str = "xyzzy-canary";

fn config(extra: &Value) -> String {
    let mut config = json!({"ignition": {"version": "3.4.0"}});
    for (key, value) in extra.as_object().unwrap() {
        config[key] = value.clone();
    }
    serde_json::to_string_pretty(&config).unwrap()
}

/// Base config, a user config that merges another one by a `data:` URL, and one that needs the network.
#[test]
fn which_config_says_it() {
    let desk = Root::empty();
    let file = |mode: u32| json!({"storage": {"files": [{"path": "/etc/motd", "mode": mode, "contents": {"source": format!("data:,{CANARY}")}}]}});
    let base = desk.file_beside("base.ign", config(&file(0o600)));
    let child = config(&json!({"storage": {"files": [{"path": "/etc/motd", "user": {"id": 7}}]}}));
    let child = child
        .replace(['\n', ' '], "")
        .replace('"', "%22")
        .replace('{', "%7B")
        .replace('}', "%7D");
    let mut user = file(0o640);
    user["ignition"] = json!({"version": "3.4.0", "config": {"merge": [
        {"source": format!("data:,{}", child.replace('[', "%5B").replace(']', "%5D"))},
        {"source": "http://127.0.0.1:1/more.ign"}]}});
    let user = desk.file_beside("user.ign", config(&user));
    let ask = |pointer: &str, more: &[&str]| {
        let program = Program::ignition_rs()
            .args(["explain", pointer])
            .args(more.iter().copied());
        program.arg(&base).arg(&user).run()
    };
    let ran = ask("storage.files[/etc/motd].mode", &["--format", "json"]);
    ran.expect_code(0);
    let answer: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(answer["value"], 0o640);
    let said = |answer: &Value| -> Vec<(String, Value)> {
        let said = answer["said"].as_array().unwrap().iter();
        said.map(|word| {
            (
                word["document"].as_str().unwrap().to_owned(),
                word["value"].clone(),
            )
        })
        .collect()
    };
    assert_eq!(
        said(&answer),
        [
            (base.display().to_string(), json!(0o600)),
            (user.display().to_string(), json!(0o640))
        ]
    );
    // The line and column are those of the number in the file.
    let text = std::fs::read_to_string(&user).unwrap();
    let (line, column) = (&answer["said"][1]["line"], &answer["said"][1]["column"]);
    let line = text
        .lines()
        .nth(usize::try_from(line.as_u64().unwrap()).unwrap() - 1)
        .unwrap();
    let there = &line[usize::try_from(column.as_u64().unwrap()).unwrap() - 1..];
    assert!(there.starts_with("416"), "{line}");
    assert_eq!(answer["leftOut"][0]["url"], "http://127.0.0.1:1/more.ign");

    let ran = ask("storage.files[0].user.id", &["--format", "json"]);
    let answer: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(said(&answer), [("a data: URL".to_owned(), json!(7))]);

    for pointer in ["$", "storage.files[0]", "/storage/files/0/contents/source"] {
        let ran = ask(pointer, &[]);
        ran.expect_code(0);
        assert!(!ran.stdout.contains(CANARY), "{ran}");
        assert!(
            ran.stdout
                .contains("left out without --fetch: http://127.0.0.1:1/more.ign"),
            "{ran}"
        );
    }
    let ran = ask("storage.files[0].moode", &[]);
    ran.expect_code(1);
    assert!(ran.stderr.contains("did you mean mode?"), "{ran}");
    let ran = Program::ignition_rs()
        .args(["explain", "storage.links", "/no/such.ign"])
        .run();
    ran.expect_code(1);
    assert!(ran.stderr.contains("/no/such.ign"), "{ran}");
}
