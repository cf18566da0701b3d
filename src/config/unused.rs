//! Keys that mean nothing (spec/config.md 7): warnings, because a misspelt key changes what a machine becomes.

use std::borrow::Cow;
use std::collections::HashMap;

use super::schema::{self, Kind, Shape};
use super::version::Version;
use crate::json::{self, LineIndex, Node};
use crate::report::{Entry, Pointer, Severity};

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
            None => match closest(shape.fields_of(self.version).map(|field| field.name), name) {
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

/// The name that a misspelt key most likely stands for.
fn closest<'n>(names: impl Iterator<Item = &'n str>, key: &str) -> Option<&'n str> {
    // No field is near a key of this length, and distance costs the product of both.
    if key.len() > 32 {
        return None;
    }
    names
        .map(|name| (distance(name, key), name))
        .filter(|(distance, name)| *distance <= name.len().min(key.len()) / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// How many letters to insert, delete or replace to get from one word to another, whatever their case; underscores
/// and dashes are free.
fn distance(left: &str, right: &str) -> usize {
    let letters = |word: &str| -> Vec<char> {
        word.chars()
            .filter(|letter| !matches!(letter, '_' | '-'))
            .map(|letter| letter.to_ascii_lowercase())
            .collect()
    };
    let (left, right) = (letters(left), letters(right));
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (line, from) in left.iter().enumerate() {
        let mut diagonal = line;
        let mut before = line.saturating_add(1);
        let mut next = vec![before];
        for (above, to) in row.iter().skip(1).zip(&right) {
            let replaced = diagonal.saturating_add(usize::from(from != to));
            before = replaced
                .min(above.saturating_add(1))
                .min(before.saturating_add(1));
            diagonal = *above;
            next.push(before);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspelt_keys_have_a_suggestion() {
        let names = [
            "path",
            "mode",
            "sshAuthorizedKeys",
            "passwordHash",
            "contents",
            "httpHeaders",
        ];
        let table = [
            ("moode", Some("mode")),
            ("ssh_authorized_keys", Some("sshAuthorizedKeys")),
            ("password_hash", Some("passwordHash")),
            ("content", Some("contents")),
            ("httpHeader", Some("httpHeaders")),
            ("inline", None),
            ("x", None),
            ("", None),
        ];
        for (key, expected) in table {
            assert_eq!(closest(names.into_iter(), key), expected, "{key:?}");
        }
        assert_eq!(closest(names.into_iter(), &"mode".repeat(9)), None);
    }

    #[test]
    fn distances() {
        let table = [
            ("", "", 0),
            ("abc", "abc", 0),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
            ("aB", "Ab", 0),
            ("ab", "ba", 2),
        ];
        for (left, right, expected) in table {
            assert_eq!(distance(left, right), expected, "{left} {right}");
            assert_eq!(distance(right, left), expected, "{right} {left}");
        }
    }

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
