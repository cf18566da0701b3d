//! Every event conforms to `docs/report.schema.json`, and that describes every member of it.

use serde_json::{Value, json};

use super::*;
use crate::checker::Checker;
use crate::events::Fetched;
use crate::events::digest::ToolOutcome;
use crate::plan::samples;

const WHEN: Duration = Duration::from_micros(1_234_567);

fn schema() -> Value {
    serde_json::from_str(include_str!("../../../docs/report.schema.json")).unwrap()
}

fn checker() -> Checker {
    Checker::new(schema())
}

fn text(event: &Event<'_>) -> String {
    let when = When {
        time: "2026-01-02T03:04:05.678Z".into(),
        at: WHEN,
    };
    let mut out = b"before\n".to_vec();
    write(&mut out, Stage::Files, &when, event).unwrap();
    let text = String::from_utf8(out).unwrap();
    text.strip_prefix("before\n").unwrap().to_owned()
}

fn conforms(event: &Event<'_>) -> Value {
    let text = text(event);
    assert!(text.ends_with("}\n") && text.lines().count() == 1, "{text}");
    let value = serde_json::from_str(&text).unwrap();
    if let Err(problem) = checker().check_all(&value) {
        panic!("{problem}\n{text}");
    }
    value
}

fn failure() -> Digest {
    Digest {
        stage: Some(Stage::Files),
        phase: Some(Phase::Nodes),
        operation: Some("create /etc/motd".into()),
        pointer: Some(Pointer::root().key("storage").key("files").index(3)),
        config: Some("my.ign".into()),
        line: Some(12),
        column: Some(7),
        causes: vec!["one".into(), "two".into()],
        also: vec!["storage.files[4]: three".into()],
        further: 1,
        tool: Some(ToolOutcome {
            command: "useradd core".into(),
            exit_code: Some(9),
            signal: Some(9),
            stderr: vec!["no".into()],
        }),
        advice: Some("do it".into()),
        config_sha512: Some("00ff".into()),
    }
}

const FIGURES: [Done; 2] = [
    Done {
        bytes: None,
        attempts: None,
    },
    Done {
        bytes: Some(12),
        attempts: Some(3),
    },
];

#[test]
fn every_step_conforms_and_holds_no_secret() {
    for plan in samples::plans() {
        for step in &plan.steps {
            let (stage, phase) = (plan.stage, plan.phase);
            let value = conforms(&Event::StepBegins { stage, phase, step });
            let as_planned = serde_json::to_value(step).unwrap();
            for member in ["action", "change", "cause"] {
                assert_eq!(value[member], as_planned[member], "{step:?}");
            }
            for outcome in [Outcome::Done, Outcome::Kept, Outcome::Failed("why: because")] {
                for done in FIGURES {
                    let took = WHEN;
                    let event = Event::Step {
                        stage,
                        phase,
                        step,
                        outcome,
                        took,
                        done,
                    };
                    conforms(&event);
                    assert!(!text(&event).contains(samples::CANARY), "{}", text(&event));
                }
            }
        }
    }
}

#[test]
fn every_other_event_conforms() {
    for kind in [Fetched::Provider, Fetched::Reference, Fetched::Authorities] {
        let source = "http://h/x?…";
        conforms(&Event::FetchBegins { kind, source });
        for outcome in [Outcome::Done, Outcome::Failed("no")] {
            for done in FIGURES {
                let took = WHEN;
                conforms(&Event::Fetched {
                    kind,
                    source,
                    outcome,
                    took,
                    done,
                });
            }
        }
    }
    for stage in Stage::ALL {
        conforms(&Event::StageBegins {
            stage,
            boot_id: None,
            platform: None,
        });
        conforms(&Event::StageBegins {
            stage,
            boot_id: Some("b"),
            platform: Some("qemu"),
        });
        let took = WHEN;
        for failure in [None, Some(&Digest::default()), Some(&failure())] {
            let value = conforms(&Event::StageEnds { stage, failure, took });
            assert_eq!(value["outcome"] == "failed", failure.is_some());
        }
    }
}

#[test]
fn what_a_line_looks_like() {
    let plans = samples::plans();
    let fetched = plans.iter().flat_map(|plan| &plan.steps).find(|step| {
        matches!(&step.action, Action::WriteFile { contents, .. } if contents.iter().any(|part| url(part).is_some()))
    });
    let event = Event::Step {
        stage: Stage::Files,
        phase: Phase::Nodes,
        step: fetched.unwrap(),
        outcome: Outcome::Failed("cut"),
        took: Duration::from_micros(17),
        done: FIGURES[1],
    };
    insta::assert_snapshot!(text(&event));
}

#[test]
fn the_schema_knows_every_stage_and_phase() {
    let names: Vec<_> = Stage::ALL.iter().map(|stage| stage.name()).collect();
    assert_eq!(schema()["$defs"]["stage"]["enum"], json!(names));
    let plans: Value = serde_json::from_str(include_str!("../../../docs/plan.schema.json")).unwrap();
    assert_eq!(schema()["$defs"]["phase"], plans["$defs"]["phase"]);
}

#[test]
fn the_schema_refuses() {
    let good = conforms(&Event::StageEnds {
        stage: Stage::Files,
        failure: Some(&failure()),
        took: WHEN,
    });
    let cases: [(&str, &str, Option<Value>); 9] = [
        ("", "event", Some(json!("stage-over"))),
        ("", "event", None),
        ("", "other", Some(json!(1))),
        ("", "stage", Some(json!("Files"))),
        ("", "at", Some(json!(-1))),
        ("", "duration", None),
        ("", "attempts", Some(json!(1))),
        ("/failure", "causes", None),
        ("/failure/tool", "stderr", Some(json!("no"))),
    ];
    for (object, member, value) in cases {
        let mut bad = good.clone();
        let object = bad.pointer_mut(object).unwrap().as_object_mut().unwrap();
        match value {
            Some(value) => object.insert(member.to_owned(), value),
            None => object.remove(member),
        };
        assert!(checker().check_all(&bad).is_err(), "{bad}");
    }
}

#[test]
fn the_examples_of_the_documentation_conform() {
    let page = include_str!("../../../docs/report-format.md");
    let mut examples = page
        .split("```json")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap());
    let lines = examples.next().unwrap();
    assert!(lines.lines().count() > 5);
    for line in lines.lines().filter(|line| !line.is_empty()) {
        checker().check_all(&serde_json::from_str(line).unwrap()).unwrap();
    }
    let mut message = 0;
    for example in examples {
        message += 1;
        let value: Value = serde_json::from_str(example).unwrap();
        checker().check_part("/$defs/message", &value).unwrap();
    }
    assert_eq!(message, 1);
}

#[test]
fn nothing_drives_a_terminal() {
    let error = "a\u{9b}2J\u{202e}\u{7f}\x1b[2J\n";
    let event = Event::Fetched {
        kind: Fetched::Reference,
        source: "s",
        outcome: Outcome::Failed(error),
        took: WHEN,
        done: FIGURES[0],
    };
    assert!(text(&event).is_ascii());
    assert_eq!(conforms(&event)["error"], error);
}
