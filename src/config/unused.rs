//! Keys that mean nothing (spec/config.md 7): warnings, because a misspelt key changes what a machine becomes.

use std::borrow::Cow;
use std::collections::HashMap;

use super::schema::{self, Kind, Shape};
use super::version::Version;
use crate::json::{self, LineIndex, Node};
use crate::report::{Entry, Pointer, Severity};
use crate::spelling::nearest;

const UNUSED: &str = "unused key ";

/// Whether a report entry is about a key that means nothing.
pub fn is_unused_key(entry: &Entry) -> bool {
    entry.severity == Severity::Warning && entry.message.starts_with(UNUSED)
}

/// Every key of an object that `version` does not have in exactly this spelling, and every object that is not one.
pub(super) fn keys(root: Node<'_>, version: Version, lines: &LineIndex) -> Vec<Entry> {
    let mut search = Search {
        version,
        lines,
        entries: Vec::new(),
    };
    search.object(root, &schema::CONFIG, &Pointer::root());
    search.entries
}

struct Search<'l> {
    version: Version,
    lines: &'l LineIndex,
    entries: Vec<Entry>,
}

impl Search<'_> {
    /// As deep as the schema.
    fn object(&mut self, node: Node<'_>, shape: &'static Shape, at: &Pointer) {
        if node.kind() != json::Kind::Object {
            let message = "this is not an object: nothing is set here, and keys are not checked".to_owned();
            self.warn(at.clone(), node.report_offset(), message);
            return;
        }
        let mut unknown: Vec<(Cow<'_, str>, usize)> = Vec::new();
        let mut places: HashMap<Cow<'_, str>, usize> = HashMap::new();
        for (key, _) in node.members() {
            let name = key.as_str().unwrap_or_default();
            if shape.has(self.version, &name) {
                continue;
            }
            // A repeated key is one key, at its last place.
            let place = *places.entry(name.clone()).or_insert(unknown.len());
            match unknown.get_mut(place) {
                Some((_, offset)) => *offset = key.report_offset(),
                None => unknown.push((name, key.report_offset())),
            }
        }
        for (name, offset) in unknown {
            let message = format!("{UNUSED}{name}{}", self.advice(shape, &name));
            self.warn(at.key(name.into_owned()), offset, message);
        }
        for field in shape.fields_of(self.version) {
            match field.kind {
                Kind::Object(below) => {
                    if let Some(member) = node.get(field.name)
                        && !(member.is_null() && field.is_nullable(self.version))
                    {
                        self.object(member, below, &at.key(field.name));
                    }
                }
                Kind::Objects(below, _) => {
                    let Some(list) = node.get(field.name) else {
                        continue;
                    };
                    for (index, element) in list.elements().enumerate() {
                        self.object(element, below, &at.key(field.name).index(index));
                    }
                }
                Kind::Text | Kind::Flag | Kind::Integer | Kind::Texts(_) => {}
            }
        }
    }

    /// What to do about a key that would mean something elsewhere.
    fn advice(&self, shape: &'static Shape, name: &str) -> String {
        if let Some(field) = shape.fields.iter().find(|field| field.name == name) {
            return format!(
                ": it needs version {} or newer, this config is {}",
                field.since, self.version
            );
        }
        match shape.field(self.version, name) {
            Some((_, field)) => format!(": it is read, but should be spelt {}", field.name),
            None => match nearest(name, shape.fields_of(self.version).map(|field| field.name)) {
                Some(field) => format!(": did you mean {field}?"),
                None => String::new(),
            },
        }
    }

    fn warn(&mut self, pointer: Pointer, offset: usize, message: String) {
        self.entries.push(Entry {
            severity: Severity::Warning,
            pointer,
            position: Some(self.lines.position(offset)),
            message,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_thousand_unknown_keys_take_no_time() {
        let members: Vec<String> = (0..100_000).map(|number| format!("\"x{number}\": 1")).collect();
        let text = format!("{{{}}}", members.join(","));
        let document = crate::json::Document::parse(text.as_bytes()).unwrap();
        assert_eq!(
            keys(document.root(), Version::NEWEST, &document.lines()).len(),
            100_000
        );
    }
}
