//! Tests of all renderings over the same plans.

mod disks;
mod schema;

use std::ffi::OsString;

use super::super::{
    Access, Action, Base, Change, Content, HostFile, Lost, PasswordOf, Plan, Secret, Step, UserChange,
};
use super::super::{samples, samples::CANARY};
use super::{Style, Summary, json, no_origin, text};
use crate::report::Pointer;
use crate::stages::{Phase, Stage};
use crate::view::{Owner, RootPath};

fn rendered(plans: &[Plan], style: Style) -> String {
    let mut out = String::new();
    text(&mut out, plans, &[], style, &no_origin).unwrap();
    out
}

fn step(action: Action, change: Change, list: (&'static str, &'static str), index: usize) -> Step {
    let cause = Pointer::root().key(list.0).key(list.1).index(index);
    Step {
        action,
        change,
        cause,
    }
}

fn access(user: &str, mode: u32) -> Access {
    Access {
        user: owner(user),
        group: owner(user),
        mode,
    }
}

fn owner(name: &str) -> Owner {
    name.parse()
        .map_or_else(|_| Owner::Account(name.into()), Owner::Id)
}

fn write(path: &str, user: &str, mode: u32, contents: Vec<Content>) -> Action {
    Action::WriteFile {
        path: path.into(),
        base: Base::Nothing,
        contents,
        access: access(user, mode),
    }
}

fn bytes(count: usize) -> Content {
    Content::known(vec![b'x'; count])
}

fn keep(reason: &str) -> Change {
    Change::Keep {
        reason: reason.into(),
    }
}

fn lost(what: &str, trivial: bool) -> Lost {
    Lost {
        what: what.into(),
        trivial,
    }
}

/// A user without home, files of that user, a masked and an enabled unit, on a root where some of it is there.
fn example() -> Vec<Plan> {
    let (users, files, directories, links, units) = (
        ("passwd", "users"),
        ("storage", "files"),
        ("storage", "directories"),
        ("storage", "links"),
        ("systemd", "units"),
    );
    let cache = Step {
        action: Action::WriteHostFile {
            file: HostFile::Cache,
            path: "/run/ignition.json".into(),
            bytes: Secret::new(vec![b'x'; 1204]),
            mode: 0o600,
        },
        change: Change::Create,
        cause: Pointer::root(),
    };
    let result = Step {
        action: write("/etc/.ignition-result.json", "0", 0o600, vec![bytes(300)]),
        change: Change::Modify {
            what: "contents".into(),
        },
        cause: Pointer::root(),
    };
    let app = UserChange {
        name: "app".into(),
        uid: Some(1001),
        groups: vec!["docker".into()],
        create_home: false,
        system: true,
        ..UserChange::default()
    };
    let password = Action::SetPassword {
        account: PasswordOf::User("core".into()),
        hash: Secret::new("$6$".into()),
    };
    let image = Content::Remote {
        url: "https://example.com/images/app-1.2.raw".into(),
        hash: Some(format!("sha512-{}", "ab".repeat(64))),
        resource: Secret::default(),
    };
    let opt = RootPath::from("/opt/app");
    let same = "it has these bytes, owner and mode already";
    vec![
        Plan {
            stage: Stage::Fetch,
            phase: Phase::Config,
            steps: vec![cache],
        },
        Plan {
            stage: Stage::Files,
            phase: Phase::Accounts,
            steps: vec![
                step(Action::CreateUser(app), Change::Create, users, 0),
                step(password, keep("it is that already"), users, 1),
                step(
                    Action::DeleteUser {
                        name: "guest".into(),
                        remove_home: true,
                    },
                    Change::Delete {
                        lost: lost("user guest with /home/guest, 14 entries", false),
                    },
                    users,
                    2,
                ),
            ],
        },
        Plan {
            stage: Stage::Files,
            phase: Phase::Nodes,
            steps: vec![
                step(
                    Action::SetAccess {
                        path: "/srv".into(),
                        access: access("0", 0o750),
                    },
                    Change::Modify {
                        what: "mode 0755 -> 0750".into(),
                    },
                    directories,
                    0,
                ),
                step(
                    Action::Remove { path: opt.clone() },
                    Change::Delete {
                        lost: lost("file of 1,048,576 bytes", false),
                    },
                    directories,
                    1,
                ),
                step(
                    Action::MakeDirectory {
                        path: opt,
                        access: access("app", 0o755),
                    },
                    Change::Create,
                    directories,
                    1,
                ),
                step(write("/etc/a", "0", 0o644, vec![bytes(1)]), keep(same), files, 0),
                step(write("/etc/b", "0", 0o644, vec![bytes(1)]), keep(same), files, 1),
                step(write("/etc/c", "0", 0o644, vec![bytes(1)]), keep(same), files, 2),
                step(write("/etc/d", "0", 0o644, vec![bytes(1)]), keep(same), files, 3),
                step(
                    write("/opt/app/config.yaml", "app", 0o600, vec![bytes(2345)]),
                    Change::Create,
                    files,
                    4,
                ),
                step(
                    write("/opt/app/image.raw", "app", 0o644, vec![image]),
                    Change::Create,
                    files,
                    5,
                ),
                step(
                    write("/etc/empty", "0", 0o644, vec![]),
                    Change::Replace {
                        lost: lost("file of no bytes", true),
                    },
                    files,
                    6,
                ),
                step(
                    Action::MakeSymlink {
                        path: "/etc/localtime".into(),
                        target: OsString::from("../usr/share/zoneinfo/Europe/Berlin"),
                        user: Owner::Id(0),
                        group: Owner::Id(0),
                    },
                    Change::Replace {
                        lost: lost("link to ../usr/share/zoneinfo/UTC", true),
                    },
                    links,
                    0,
                ),
            ],
        },
        Plan {
            stage: Stage::Files,
            phase: Phase::Units,
            steps: vec![step(
                write("/etc/systemd/system/app.service", "0", 0o644, vec![bytes(120)]),
                Change::Create,
                units,
                0,
            )],
        },
        Plan {
            stage: Stage::Files,
            phase: Phase::Presets,
            steps: vec![step(
                Action::DisableUnit {
                    entry: "locksmithd.service".into(),
                },
                Change::Unknown {
                    why: "if it is enabled then".into(),
                },
                units,
                1,
            )],
        },
        Plan {
            stage: Stage::Files,
            phase: Phase::Result,
            steps: vec![result],
        },
    ]
}

#[test]
fn plain() {
    insta::assert_snapshot!(rendered(&example(), Style::default()));
}

#[test]
fn coloured_and_folded() {
    let style = Style {
        colour: true,
        fold: true,
        ..Style::default()
    };
    insta::assert_snapshot!(rendered(&example(), style).replace('\x1b', "^"));
}

#[test]
fn narrow_with_origins() {
    let mut out = String::new();
    let style = Style {
        width: Some(80),
        ..Style::default()
    };
    let origin = |cause: &Pointer| (!cause.0.is_empty()).then(|| String::from("my.ign:12:7"));
    text(&mut out, &example(), &[], style, &origin).unwrap();
    insta::assert_snapshot!(out);
}

#[test]
fn json_form() {
    let plans = [
        Plan {
            stage: Stage::Kargs,
            phase: Phase::Config,
            steps: vec![],
        },
        example().remove(1),
    ];
    let origin =
        |cause: &Pointer| (cause.0.len() > 2).then(|| format!("my.ign:{}:7", cause.to_string().len()));
    insta::assert_snapshot!(json(&plans, &[], &origin).to_text().unwrap());
}

#[test]
fn json_text_is_safe_for_terminals_and_the_same_json() {
    let path = "/etc/\u{7f}\u{9b}2J\u{202e}\u{e0041}\n\"\\";
    let steps = vec![step(
        Action::Remove { path: path.into() },
        Change::Create,
        ("storage", "files"),
        0,
    )];
    let plans = [Plan {
        stage: Stage::Files,
        phase: Phase::Nodes,
        steps,
    }];
    let text = json(&plans, &[], &no_origin).to_text().unwrap();
    assert!(text.is_ascii() && !text.contains('\u{7f}'));
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["stages"][0]["steps"][0]["path"], path);
    assert_eq!(
        value,
        serde_json::to_value(json(&plans, &[], &no_origin)).unwrap()
    );
}

#[test]
fn nothing_to_do() {
    let plans = [Plan {
        stage: Stage::Mount,
        phase: Phase::Nodes,
        steps: vec![],
    }];
    let text = "nothing to do\nplan: 0 to create, 0 kept, 0 modified, 0 replaced, 0 deleted, 0 unknown; 0 destroyed\n";
    assert_eq!(rendered(&plans, Style::default()), text);
}

#[test]
fn secrets_are_in_no_rendering() {
    let plans = samples::plans();
    let revealed = plans
        .iter()
        .flat_map(|plan| &plan.steps)
        .filter(|step| match &step.action {
            Action::WriteHostFile { bytes, .. } => bytes.reveal().ends_with(CANARY.as_bytes()),
            Action::SetPassword { hash, .. } => hash.reveal().contains(CANARY),
            Action::WriteFile { contents, .. } => contents.iter().all(|content| match content {
                Content::Known { bytes, .. } => bytes.reveal().ends_with(CANARY.as_bytes()),
                Content::Remote { resource, .. } => resource
                    .reveal()
                    .source
                    .as_ref()
                    .is_some_and(|source| source.reveal().contains(CANARY)),
            }),
            _ => false,
        });
    assert!(revealed.count() > 0, "the samples hold no secret");
    for text in [
        rendered(&plans, Style::default()),
        json(&plans, &[], &no_origin).to_text().unwrap(),
        serde_json::to_string(&plans).unwrap(),
        format!("{plans:?}"),
    ] {
        assert!(!text.contains(CANARY));
        // Debug prints bytes as numbers.
        assert!(!text.contains("120, 121, 122, 122, 121"));
    }
}

#[test]
fn each_step_is_one_line_without_control_characters() {
    let plans = samples::plans();
    let text = rendered(&plans, Style::default());
    let signs = ["    + ", "    = ", "    ~ ", "    ! ", "    - ", "    ? "];
    let lines = text
        .lines()
        .filter(|line| signs.iter().any(|sign| line.starts_with(sign)));
    assert_eq!(
        lines.count(),
        plans.iter().map(|plan| plan.steps.len()).sum::<usize>()
    );
    assert!(
        text.lines()
            .all(|line| !line.contains(|c: char| c.is_control() || c == '\u{202e}'))
    );
    assert!(text.lines().all(|line| line.trim_end() == line));
}

#[test]
fn a_narrow_terminal_loses_nothing() {
    let words = |text: &str| text.split_whitespace().map(String::from).collect::<Vec<_>>();
    let plans = samples::plans();
    for width in [0, 20, 40, 80, 120] {
        let narrow = rendered(
            &plans,
            Style {
                width: Some(width),
                ..Style::default()
            },
        );
        assert_eq!(
            words(&narrow),
            words(&rendered(&plans, Style::default())),
            "{width}"
        );
    }
}

#[test]
fn numbers_and_exit_codes() {
    let action = || Action::Remove { path: "/a".into() };
    let host = || Action::WriteHostFile {
        file: HostFile::NeedNet,
        path: "/run/ignition/neednet".into(),
        bytes: Secret::default(),
        mode: 0o644,
    };
    let fetch = || Action::FetchConfig {
        url: "https://example.com/".into(),
        hash: None,
    };
    let gone = || Change::Delete {
        lost: lost("file of 3 bytes", false),
    };
    let blank = || Change::Replace {
        lost: lost("empty directory", true),
    };
    let cases = [
        (Phase::Nodes, vec![], 0),
        (Phase::Nodes, vec![(action(), keep("so"))], 0),
        (
            Phase::Nodes,
            vec![(action(), keep("so")), (action(), Change::Create)],
            2,
        ),
        (
            Phase::Nodes,
            vec![(action(), Change::Modify { what: "mode".into() })],
            2,
        ),
        (Phase::Nodes, vec![(action(), blank())], 2),
        (Phase::Nodes, vec![(action(), gone()), (action(), keep("so"))], 3),
        (
            Phase::Config,
            vec![(
                fetch(),
                Change::Unknown {
                    why: "not fetched".into(),
                },
            )],
            2,
        ),
        (Phase::Config, vec![(host(), Change::Create)], 0),
        (Phase::Result, vec![(action(), Change::Create)], 0),
        (Phase::Result, vec![(action(), gone())], 3),
    ];
    for (phase, steps, code) in cases {
        let steps = steps
            .into_iter()
            .map(|(action, change)| Step {
                action,
                change,
                cause: Pointer::root(),
            })
            .collect();
        let plans = [Plan {
            stage: Stage::Files,
            phase,
            steps,
        }];
        assert_eq!(Summary::of(&plans).exit_code(), code, "{plans:?}");
    }
    let all = Summary::of(&example());
    assert_eq!(
        all,
        Summary {
            create: 5,
            keep: 5,
            modify: 1,
            replace: 2,
            delete: 2,
            unknown: 1,
            destroy: 2,
            records: 2
        }
    );
}
