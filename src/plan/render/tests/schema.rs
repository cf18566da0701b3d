//! Every plan that can be rendered conforms to `docs/plan.schema.json`, and that describes every member of it.

use serde_json::{Value, json};

use super::super::super::{Plan, samples};
use super::super::{json as document, no_origin};
use crate::checker::Checker;
use crate::report::Pointer;
use crate::stages::Stage;

fn schema() -> Value {
    serde_json::from_str(include_str!("../../../../docs/plan.schema.json")).unwrap()
}

fn check(value: &Value) -> Result<(), String> {
    let root = schema();
    Checker::new(root).check_all(value)
}

fn rendered(plans: &[Plan]) -> Value {
    let origin = |cause: &Pointer| {
        cause
            .to_string()
            .len()
            .is_multiple_of(2)
            .then(|| String::from("my.ign:1:2"))
    };
    serde_json::to_value(document(plans, &[], &origin)).unwrap()
}

#[test]
fn every_plan_conforms() {
    check(&rendered(&[])).unwrap();
    for plan in samples::plans() {
        for step in plan.steps {
            let plan = Plan {
                steps: vec![step],
                ..plan
            };
            if let Err(problem) = check(&rendered(std::slice::from_ref(&plan))) {
                panic!("{problem}\n{plan:?}");
            }
        }
    }
    check(&rendered(&samples::plans())).unwrap();
}

#[test]
fn the_example_of_the_documentation_conforms() {
    let page = include_str!("../../../../docs/plan-format.md");
    let example = page
        .split("```json")
        .nth(1)
        .and_then(|rest| rest.split("```").next())
        .unwrap();
    check(&serde_json::from_str(example).unwrap()).unwrap();
}

#[test]
fn the_schema_knows_every_stage() {
    let names: Vec<_> = Stage::ALL.iter().map(|stage| stage.name()).collect();
    assert_eq!(schema()["$defs"]["stage"]["enum"], json!(names));
}

#[test]
fn the_schema_refuses() {
    let good = rendered(&samples::plans());
    let first = "/stages/0/steps/0";
    let cases: [(&str, &str, Option<Value>); 10] = [
        ("", "version", Some(json!(2))),
        ("", "summary", None),
        ("", "other", Some(json!(1))),
        ("/summary", "exitCode", Some(json!(1))),
        ("/summary", "create", Some(json!(-1))),
        (first, "cause", None),
        (first, "action", Some(json!("formatDisk"))),
        (first, "change", Some(json!("keep"))),
        (first, "phase", Some(json!("Config"))),
        ("/destroys/0/lost", "trivial", Some(json!("no"))),
    ];
    for (object, member, value) in cases {
        let mut bad = good.clone();
        let object = bad.pointer_mut(object).unwrap().as_object_mut().unwrap();
        match value {
            Some(value) => object.insert(member.into(), value),
            None => object.remove(member),
        };
        assert!(check(&bad).is_err(), "{member}");
    }
}

/// Members that serde flattens into one object must not meet: the later one would win in most readers.
#[test]
fn no_member_is_there_twice() {
    for plan in samples::plans() {
        let text = serde_json::to_string(&document(std::slice::from_ref(&plan), &[], &no_origin)).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value.to_string().len(), text.len());
    }
}
