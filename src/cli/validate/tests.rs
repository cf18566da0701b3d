//! Tests of the validate command, from bytes to what is printed.

use std::ffi::OsString;
use std::io;

use super::run::{Outcome, run};
use super::*;
use crate::view::{Account, Enabled, FileDigest, Group, Node, Owner, RootPath, User, View, ViewError};

/// A system with root, core and docker.
struct System;

impl View for System {
    fn devices(&self) -> &dyn crate::view::Devices {
        &crate::view::NoDevices
    }

    fn node(&self, _: &RootPath) -> Result<Option<Node>, ViewError> {
        Ok(None)
    }
    fn list(&self, _: &RootPath) -> Result<Vec<OsString>, ViewError> {
        Ok(Vec::new())
    }
    fn digest(&self, _: &RootPath) -> Result<FileDigest, ViewError> {
        Ok(FileDigest::Unknown)
    }
    fn read(&self, _: &RootPath, _: u64) -> Result<Option<Vec<u8>>, ViewError> {
        Ok(None)
    }
    fn user(&self, name: &str) -> Result<Option<User>, ViewError> {
        Ok(["root", "core"].contains(&name).then(|| User {
            name: name.to_owned(),
            uid: Owner::Id(1),
            gid: Owner::Id(1),
            gecos: String::new(),
            home: String::new(),
            shell: String::new(),
            groups: Vec::new(),
            local: true,
        }))
    }
    fn group(&self, name: &str) -> Result<Option<Group>, ViewError> {
        if name == "broken" {
            return Err(ViewError::Form {
                path: "/etc/group".into(),
                line: 3,
                problem: "four fields are needed".into(),
            });
        }
        Ok(["root", "docker"].contains(&name).then(|| Group {
            name: name.to_owned(),
            gid: Owner::Id(1),
            members: Vec::new(),
            local: true,
        }))
    }
    fn unit_enabled(&self, _: &str) -> Result<Enabled, ViewError> {
        Ok(Enabled::Unknown)
    }
    fn luks_uuid(&self, _: &str) -> Result<Option<String>, ViewError> {
        Ok(None)
    }
    fn default_home(&self) -> Result<String, ViewError> {
        Ok("/home".into())
    }
    fn has_password(&self, _: Account<'_>, _: &str) -> Result<bool, ViewError> {
        Ok(false)
    }
}

fn args(format: ReportFormat, strict: bool, inputs: &[&str]) -> ValidateArgs {
    ValidateArgs {
        inputs: inputs
            .iter()
            .map(|name| Input::from(OsString::from(name)))
            .collect(),
        format,
        strict,
        root: None,
        drop_in: false,
    }
}

/// Validates texts; the name of each input is its text, `-` included.
fn validate(args: &ValidateArgs, view: Option<&dyn View>) -> Outcome {
    let mut read = |input: &Input| match input {
        Input::Stdin => Ok(b"{\"ignition\": {\"version\": \"3.3.0\"}}".to_vec()),
        Input::File(path) if path.ends_with("missing") => Err(io::Error::from(io::ErrorKind::NotFound)),
        Input::File(path) => Ok(path.to_string_lossy().into_owned().into_bytes()),
    };
    run(args, false, &mut read, view)
}

/// What is shown about one text, called my.ign.
fn shown(format: ReportFormat, strict: bool, text: &str) -> String {
    let outcome = run(
        &args(format, strict, &["my.ign"]),
        false,
        &mut |_: &Input| Ok(text.into()),
        None,
    );
    assert_eq!(outcome.stderr, "");
    outcome.stdout
}

const GOOD: &str = r#"{"ignition": {"version": "3.3.0"}}"#;
const TYPO: &str =
    r#"{"ignition": {"version": "3.3.0"}, "storage": {"files": [{"path": "/a", "content": {}}]}}"#;

#[test]
fn a_good_config_prints_nothing() {
    for format in [ReportFormat::Text, ReportFormat::Pretty] {
        assert_eq!(
            validate(&args(format, true, &[GOOD, "-"]), Some(&System)),
            Outcome::default()
        );
    }
}

#[test]
fn unknown_keys_are_warnings_and_with_strict_errors() {
    let outcome = validate(&args(ReportFormat::Text, false, &[TYPO]), None);
    assert_eq!(outcome.code, 0);
    assert!(
        outcome
            .stdout
            .starts_with("warning at $.storage.files.0.content, line 1 col "),
        "{}",
        outcome.stdout
    );
    let outcome = validate(&args(ReportFormat::Text, true, &[TYPO]), None);
    assert_eq!(outcome.code, 1);
    assert!(
        outcome
            .stdout
            .starts_with("error at $.storage.files.0.content, line 1 col "),
        "{}",
        outcome.stdout
    );
    assert!(
        outcome.stdout.ends_with(": did you mean contents?\n"),
        "{}",
        outcome.stdout
    );
}

#[test]
fn suggestions_are_keys_of_the_same_place_and_version() {
    for (text, suggestion) in [
        (
            r#"{"ignition": {"version": "3.3.0"}, "strage": {}}"#,
            "\"storage\"",
        ),
        (r#"{"ignition": {"version": "3.3.0", "confg": {}}}"#, "\"config\""),
        (
            r#"{"ignition": {"version": "3.3.0"}, "systemd": {"units": [{"name": "a.service", "enable": true}]}}"#,
            "\"enabled\"",
        ),
        (r#"{"ignition": {"version": "3.3.0"}, "zebra": 1}"#, "null"),
        // 3.0.0 has no luks; nothing near it either
        (
            r#"{"ignition": {"version": "3.0.0"}, "storage": {"luks": []}}"#,
            "null",
        ),
        // A config that is refused for another reason still gets its suggestions.
        (
            r#"{"ignition": {"version": "3.3.0"}, "strage": {}, "storage": {"files": [{"path": "rel"}]}}"#,
            "\"storage\"",
        ),
    ] {
        let outcome = validate(&args(ReportFormat::Json, true, &[text]), None);
        assert!(
            outcome.stdout.contains(&format!("\"suggestion\": {suggestion}")),
            "{text}: {}",
            outcome.stdout
        );
        assert_eq!(outcome.code, 1, "{text}");
    }
}

#[test]
fn names_that_nothing_defines() {
    let config = |body: &str| format!(r#"{{"ignition": {{"version": "3.3.0"}}, {body}}}"#);
    for (body, expected) in [
        (
            r#""storage": {"files": [{"path": "/a", "user": {"name": "root"}, "group": {"name": "docker"}}]}"#,
            &[][..],
        ),
        (
            r#""storage": {"files": [{"path": "/a", "user": {"name": "caddy"}}]}"#,
            &["$.storage.files.0.user.name"],
        ),
        (
            r#""storage": {"directories": [{"path": "/a", "group": {"name": "caddy"}}]}"#,
            &["$.storage.directories.0.group.name"],
        ),
        (
            r#""storage": {"links": [{"path": "/a", "target": "b", "user": {"name": "x"}}]}"#,
            &["$.storage.links.0.user.name"],
        ),
        (
            r#""passwd": {"users": [{"name": "caddy"}]},
               "storage": {"files": [{"path": "/a", "user": {"name": "caddy"}, "group": {"name": "caddy"}}]}"#,
            &[],
        ),
        (
            r#""passwd": {"users": [{"name": "caddy", "noUserGroup": true}]},
               "storage": {"files": [{"path": "/a", "group": {"name": "caddy"}}]}"#,
            &["$.storage.files.0.group.name"],
        ),
        (
            r#""passwd": {"users": [{"name": "caddy", "primaryGroup": "web", "groups": ["docker", "wheel"]}]}"#,
            &["$.passwd.users.0.primaryGroup", "$.passwd.users.0.groups.1"],
        ),
        (
            r#""passwd": {"groups": [{"name": "web"}], "users": [{"name": "caddy", "primaryGroup": "web"}]}"#,
            &[],
        ),
        (
            r#""passwd": {"users": [{"name": "core", "shouldExist": false}]},
               "storage": {"files": [{"path": "/a", "user": {"name": "core"}}]}"#,
            &["$.storage.files.0.user.name"],
        ),
    ] {
        let text = config(body);
        let outcome = validate(&args(ReportFormat::Text, true, &[&text]), Some(&System));
        let places: Vec<&str> = outcome
            .stdout
            .lines()
            .map(|line| line.trim_start_matches("error at ").split(',').next().unwrap())
            .collect();
        assert_eq!(places, expected, "{body}: {}", outcome.stdout);
        assert_eq!(outcome.code, u8::from(!expected.is_empty()));
        // Without a root nobody can know.
        assert_eq!(
            validate(&args(ReportFormat::Text, true, &[&text]), None).code,
            0,
            "{body}"
        );
    }
}

#[test]
fn a_root_that_cannot_be_asked_is_no_verdict() {
    let text = r#"{"ignition": {"version": "3.3.0"}, "storage": {"files": [{"path": "/a", "group": {"name": "broken"}}]}}"#;
    let outcome = validate(&args(ReportFormat::Json, true, &[text]), Some(&System));
    assert_eq!((outcome.code, outcome.stdout.as_str()), (1, ""));
    assert_eq!(
        outcome.stderr,
        "ignition-rs validate: /etc/group:3: four fields are needed; is --root right?\n"
    );
}

#[test]
fn the_drop_in_keeps_upstreams_streams() {
    let drop_in = |text: &str| {
        validate(
            &ValidateArgs {
                drop_in: true,
                ..args(ReportFormat::Text, false, &[text])
            },
            None,
        )
    };
    let outcome = drop_in(TYPO);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (0, ""));
    assert!(outcome.stdout.starts_with("warning at $"));
    let outcome = drop_in("{");
    assert_eq!((outcome.code, outcome.stderr.as_str()), (1, ""));
    assert!(
        outcome.stdout.starts_with("error at line 0 col 0: "),
        "{}",
        outcome.stdout
    );
    for text in [
        "",
        "#cloud-config\n",
        r#"{"ignition": {"version": "9.0.0"}}"#,
        "{}",
    ] {
        let outcome = drop_in(text);
        assert_eq!((outcome.code, outcome.stdout.as_str()), (1, ""), "{text:?}");
        assert!(outcome.stderr.starts_with("couldn't parse config: "), "{text:?}");
    }
    let outcome = drop_in("missing");
    assert_eq!((outcome.code, outcome.stdout.as_str()), (1, ""));
    assert!(
        outcome.stderr.starts_with("couldn't read config missing: "),
        "{}",
        outcome.stderr
    );
}

#[test]
fn percent_signs_stay() {
    let text = r#"{"ignition": {"version": "3.3.0"}, "100%d": 1}"#;
    assert_eq!(
        shown(ReportFormat::Text, false, text),
        "warning at $.100%d, line 1 col 36: unused key 100%d\n"
    );
}

#[test]
fn several_configs_are_told_apart() {
    let outcome = validate(&args(ReportFormat::Text, false, &["{", "-", "missing"]), None);
    assert_eq!(outcome.code, 1);
    assert!(
        outcome.stdout.starts_with("{: error at line 0"),
        "{}",
        outcome.stdout
    );
    assert!(outcome.stderr.starts_with("couldn't read config missing: "));
}

#[test]
fn json_format() {
    let outcome = validate(&args(ReportFormat::Json, true, &["-", "missing"]), None);
    assert_eq!(outcome.code, 1);
    insta::assert_snapshot!(outcome.stdout, @r#"
    {
      "format": "ignition-rs.validate",
      "formatVersion": 1,
      "accepted": false,
      "configs": [
        {
          "file": null,
          "version": "3.3.0",
          "accepted": true,
          "entries": []
        },
        {
          "file": "missing",
          "version": null,
          "accepted": false,
          "entries": [
            {
              "severity": "error",
              "path": "$",
              "line": null,
              "column": null,
              "message": "cannot read the config: entity not found",
              "suggestion": null
            }
          ]
        }
      ]
    }
    "#);
    insta::assert_snapshot!(shown(ReportFormat::Json, true, TYPO), @r#"
    {
      "format": "ignition-rs.validate",
      "formatVersion": 1,
      "accepted": false,
      "configs": [
        {
          "file": "my.ign",
          "version": "3.3.0",
          "accepted": false,
          "entries": [
            {
              "severity": "error",
              "path": "$.storage.files.0.content",
              "line": 1,
              "column": 73,
              "message": "unused key content: did you mean contents?",
              "suggestion": "contents"
            }
          ]
        }
      ]
    }
    "#);
}

#[test]
fn pretty_format() {
    let text = "{\n  \"ignition\": {\"version\": \"3.3.0\"},\n  \"storage\": {\n    \"files\": [\n      \
        {\"path\": \"/a\", \"moode\": 420}\n    ]\n  }\n}\n";
    insta::assert_snapshot!(shown(ReportFormat::Pretty, true, text), @r#"
    error: unused key moode: did you mean mode?
     --> my.ign:5:22
      |
    5 |       {"path": "/a", "moode": 420}
      |                      ^^^^^^^ $.storage.files.0.moode
    "#);
}

#[test]
fn pretty_shows_a_piece_of_a_long_line_and_no_secret() {
    let filler = "x".repeat(5000);
    let text = format!(
        r#"{{"ignition":{{"version":"3.3.0"}},"passwd":{{"users":[{{"name":"a","gecos":"{filler}","passwordHash":"canary","zebra":1}}]}}}}"#
    );
    insta::assert_snapshot!(shown(ReportFormat::Pretty, false, &text).replace(&"*".repeat(74), "X"), @r#"
    warning: unused key zebra
     --> my.ign:1:5099
      |
     ::: 
    1 | X","passwordHash":"******","zebra":1}]}}
      |                                                                                                     ^^^^^^^ $.passwd.users.0.zebra
    "#);
}

#[test]
fn pretty_survives_texts_that_are_no_config() {
    for text in [
        "",
        "{",
        "\u{feff}{}",
        "{\"a\": \"\u{1b}[2J\"}",
        "[1,\n2",
        "\"",
        "nul",
        "#!/bin/sh\n",
        "{\"ignition\":{\"version\":\"2.2.0\"}}",
    ] {
        let outcome = validate(&args(ReportFormat::Pretty, true, &[text]), None);
        assert_eq!(outcome.code, 1, "{text:?}");
        assert!(
            !outcome.stdout.is_empty() && !outcome.stdout.contains('\u{1b}'),
            "{text:?}: {}",
            outcome.stdout
        );
    }
}

proptest::proptest! {
    #[test]
    fn never_panics(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..60), valid in proptest::bool::ANY) {
        let mut text = bytes;
        if valid {
            text = format!("{{\"ignition\":{{\"version\":\"3.3.0\"}},{:?}:1}}", String::from_utf8_lossy(&text)).into_bytes();
        }
        for format in [ReportFormat::Pretty, ReportFormat::Json, ReportFormat::Text] {
            run(&args(format, true, &["-"]), true, &mut |_: &Input| Ok(text.clone()), Some(&System));
        }
    }
}
