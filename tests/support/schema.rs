//! Checks documents against the JSON schemas in `docs/`. Unit tests use it, too.

use std::collections::BTreeSet;

use serde_json::Value;

/// Checks a value against the part of JSON Schema that the schema uses; another keyword is a panic. Members that no
/// schema names are errors, which the schema itself does not say: readers must accept later additions.
pub(crate) struct Checker {
    root: Value,
}

impl Checker {
    /// A checker of values against this schema.
    pub(crate) fn new(root: Value) -> Self {
        Self { root }
    }

    /// Checks a value against the whole schema.
    pub(crate) fn check_all(&self, value: &Value) -> Result<(), String> {
        self.strict(&self.root, value)
    }

    /// Checks a value against a part of the schema, by its JSON pointer.
    pub(crate) fn check_part(&self, pointer: &str, value: &Value) -> Result<(), String> {
        self.strict(self.root.pointer(pointer).unwrap(), value)
    }

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
                    .ok_or_else(|| format!("{value} is no list"))?
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
