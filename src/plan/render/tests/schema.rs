//! Every plan that can be rendered conforms to `docs/plan.schema.json`, and that describes every member of it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::super::super::{Plan, samples};
use super::super::{json as document, no_origin};
use crate::report::Pointer;
use crate::stages::Stage;

fn schema() -> Value {
    serde_json::from_str(include_str!("../../../../docs/plan.schema.json")).unwrap()
}

/// Checks a value against the part of JSON Schema that the schema uses; another keyword is a panic. Members that no
/// schema names are errors, which the schema itself does not say: readers must accept later additions.
struct Checker {
    root: Value,
}

impl Checker {
    fn strict(&self, schema: &Value, value: &Value) -> Result<(), String> {
        let known = self.check(schema, value)?;
        match value
            .as_object()
            .and_then(|object| object.keys().find(|key| !known.contains(*key)))
        {
            Some(key) => Err(format!("{key:?} is not described, in {value}")),
            None => Ok(()),
        }
    }

    /// The members of an object that the schema names.
    fn check(&self, schema: &Value, value: &Value) -> Result<BTreeSet<String>, String> {
        let mut known = BTreeSet::new();
        for (keyword, rule) in schema.as_object().unwrap() {
            match keyword.as_str() {
                "$ref" => {
                    let pointer = rule.as_str().unwrap().strip_prefix('#').unwrap();
                    known.extend(self.check(self.root.pointer(pointer).unwrap(), value)?);
                }
                "type" => {
                    let is = |name: &Value| match name.as_str().unwrap() {
                        "object" => value.is_object(),
                        "array" => value.is_array(),
                        "string" => value.is_string(),
                        "boolean" => value.is_boolean(),
                        "integer" => value.is_i64() || value.is_u64(),
                        "null" => value.is_null(),
                        other => panic!("type {other}"),
                    };
                    if !rule
                        .as_array()
                        .map_or_else(|| is(rule), |names| names.iter().any(is))
                    {
                        return Err(format!("{value} is no {rule}"));
                    }
                }
                "const" if value != rule => return Err(format!("{value} is not {rule}")),
                "enum" if !rule.as_array().unwrap().contains(value) => {
                    return Err(format!("{value} is none of {rule}"));
                }
                "minimum" if value.as_i64() < rule.as_i64() => return Err(format!("{value} < {rule}")),
                "maximum" if value.as_u64() > rule.as_u64() => return Err(format!("{value} > {rule}")),
                // The last four: those that hold.
                "$schema" | "title" | "description" | "$defs" | "const" | "enum" | "minimum" | "maximum" => {}
                "required" => {
                    for name in rule.as_array().unwrap() {
                        if value.get(name.as_str().unwrap()).is_none() {
                            return Err(format!("{name} is missing in {value}"));
                        }
                    }
                }
                "properties" => {
                    for (name, schema) in rule.as_object().unwrap() {
                        if let Some(member) = value.get(name) {
                            self.strict(schema, member)?;
                            known.insert(name.clone());
                        }
                    }
                }
                "items" => value
                    .as_array()
                    .unwrap()
                    .iter()
                    .try_for_each(|item| self.strict(rule, item))?,
                "allOf" => {
                    for schema in rule.as_array().unwrap() {
                        known.extend(self.check(schema, value)?);
                    }
                }
                "oneOf" => {
                    let results: Vec<_> = rule
                        .as_array()
                        .unwrap()
                        .iter()
                        .map(|schema| self.check(schema, value))
                        .collect();
                    match results.iter().filter(|result| result.is_ok()).count() {
                        1 => known.extend(results.into_iter().flatten().flatten()),
                        0 => {
                            let errors: Vec<_> = results.into_iter().filter_map(Result::err).collect();
                            return Err(format!("none of: {}", errors.join("; ")));
                        }
                        count => return Err(format!("{count} of oneOf hold for {value}")),
                    }
                }
                other => panic!("keyword {other}"),
            }
        }
        Ok(known)
    }
}

fn check(value: &Value) -> Result<(), String> {
    let root = schema();
    Checker { root: root.clone() }.strict(&root, value)
}

fn rendered(plans: &[Plan]) -> Value {
    let origin = |cause: &Pointer| {
        cause
            .to_string()
            .len()
            .is_multiple_of(2)
            .then(|| String::from("my.ign:1:2"))
    };
    serde_json::to_value(document(plans, &origin)).unwrap()
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
        let text = serde_json::to_string(&document(std::slice::from_ref(&plan), &no_origin)).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value.to_string().len(), text.len());
    }
}
