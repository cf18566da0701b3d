//! A place in a config as people write it: found by the schema, in the merged config.
//!
//! Three forms: that of reports, `$.storage.files.3.mode`; that of errors, `storage.files[3].mode`; a JSON pointer,
//! `/storage/files/3/mode`. An entry of a list may be named by its key instead of its index,
//! `storage.files[/etc/motd].mode`: by what makes it the same when configs are merged.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::schema::{self, Field, Kind, Shape, Unique};
use super::version::Version;
use crate::json::Node;
use crate::report::{Element, Pointer};
use crate::spelling::nearest;

/// A place that was found.
#[derive(Clone, Copy)]
pub struct Found<'d> {
    /// The field it is about, of which struct; none for the config itself. Of an entry of a list it is the list.
    pub field: Option<(&'static Shape, &'static Field)>,
    /// Whether it is an entry of that list
    pub is_entry: bool,
    /// What the merged config has there; none if nobody says it
    pub node: Option<Node<'d>>,
    /// The first spec that has it
    pub since: Version,
}

/// There is no such place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotFound {
    /// No field of that name.
    #[error("{} has no {key:?}{}; there are {known}", place(at), meant(nearest.as_deref()))]
    Field {
        /// Where
        at: Pointer,
        /// As it was asked for
        key: String,
        /// What was probably meant
        nearest: Option<String>,
        /// The fields that there are
        known: String,
    },
    /// No such entry.
    #[error("{} has no entry {key:?}{}; {known}", place(at), meant(nearest.as_deref()))]
    Entry {
        /// Which list
        at: Pointer,
        /// As it was asked for
        key: String,
        /// What was probably meant
        nearest: Option<String>,
        /// The entries that there are
        known: String,
    },
    /// Something below a value.
    #[error("{} holds no {key:?}: it is a value", place(at))]
    Value {
        /// Where
        at: Pointer,
        /// As it was asked for
        key: String,
    },
}

fn place(at: &Pointer) -> String {
    if at.0.is_empty() {
        "the config".to_owned()
    } else {
        at.to_string()
    }
}

fn meant(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |nearest| format!(", did you mean {nearest}?"))
}

/// How many entries of a list are told.
const TOLD: usize = 8;

/// The parts of a pointer in any of its forms.
fn parts(text: &str) -> Vec<Cow<'_, str>> {
    if let Some(rest) = text.strip_prefix('/') {
        if rest.is_empty() {
            return Vec::new();
        }
        let part = |part: &str| Cow::Owned(part.replace("~1", "/").replace("~0", "~"));
        return rest.split('/').map(part).collect();
    }
    let mut rest = text.strip_prefix('$').unwrap_or(text);
    let mut parts = Vec::new();
    while !rest.is_empty() {
        if let Some(inside) = rest.strip_prefix('[') {
            // A key may have brackets itself, in pairs.
            let mut open = 0_usize;
            let end = inside.find(|letter| {
                match letter {
                    '[' => open = open.saturating_add(1),
                    ']' if open == 0 => return true,
                    ']' => open = open.saturating_sub(1),
                    _ => {}
                }
                false
            });
            let end = end.unwrap_or(inside.len());
            let (part, after) = inside.split_at(end);
            parts.push(Cow::Borrowed(part));
            rest = after.strip_prefix(']').unwrap_or(after);
            continue;
        }
        rest = rest.strip_prefix('.').unwrap_or(rest);
        if rest.starts_with('[') {
            continue;
        }
        let (part, after) = rest.split_at(rest.find(['.', '[']).unwrap_or(rest.len()));
        parts.push(Cow::Borrowed(part));
        rest = after;
    }
    parts
}

/// What the next part of a pointer is looked up in.
enum In {
    Object(&'static Shape),
    List(Option<&'static Shape>, Unique),
    Value,
}

impl In {
    fn field(field: &Field) -> Self {
        match field.kind {
            Kind::Object(shape) => Self::Object(shape),
            Kind::Objects(shape, unique) => Self::List(Some(shape), unique),
            Kind::Texts(unique) => Self::List(None, unique),
            Kind::Text | Kind::Flag | Kind::Integer => Self::Value,
        }
    }
}

/// Finds a place in a config of the newest spec. `root` is the whole of it, as [`super::canonical`] writes it.
///
/// # Errors
/// There is no such field, or no such entry; with the nearest ones.
pub fn find<'d>(text: &str, root: Node<'d>) -> Result<(Pointer, Found<'d>), NotFound> {
    let mut pointer = Pointer::root();
    let mut inside = In::Object(&schema::CONFIG);
    let mut found = Found {
        field: None,
        is_entry: false,
        node: Some(root),
        since: Version::V3_0,
    };
    for part in parts(text) {
        match inside {
            In::Object(shape) => {
                let named = |field: &&&'static Field| field.name == part;
                let fields: Vec<&'static Field> = shape.fields_of(Version::NEWEST).collect();
                let Some(field) = fields.iter().find(named) else {
                    let names = || fields.iter().map(|field| field.name);
                    return Err(NotFound::Field {
                        at: pointer,
                        nearest: nearest(&part, names()).map(str::to_owned),
                        key: part.into_owned(),
                        known: names().collect::<Vec<_>>().join(", "),
                    });
                };
                pointer.0.push(Element::Key(field.name.into()));
                found = Found {
                    field: Some((shape, field)),
                    is_entry: false,
                    node: found.node.and_then(|node| node.get(field.name)),
                    since: found.since.max(field.since),
                };
                inside = In::field(field);
            }
            In::List(shape, unique) => {
                let entries: Vec<Node<'d>> = found.node.iter().flat_map(|node| node.elements()).collect();
                let Some(index) = entry(&part, &entries, unique) else {
                    return Err(no_entry(pointer, part, &entries, unique));
                };
                pointer.0.push(Element::Index(index));
                found.is_entry = true;
                found.node = entries.get(index).copied();
                inside = shape.map_or(In::Value, In::Object);
            }
            In::Value => {
                return Err(NotFound::Value {
                    at: pointer,
                    key: part.into_owned(),
                });
            }
        }
    }
    Ok((pointer, found))
}

/// The index of the entry that is meant: by number if there is one of that, else by key.
fn entry(part: &str, entries: &[Node<'_>], unique: Unique) -> Option<usize> {
    let number: Option<usize> = part.parse().ok();
    number.filter(|index| *index < entries.len()).or_else(|| {
        let is_meant = |entry: &Node<'_>| keys(*entry, unique).iter().any(|key| key == part);
        entries.iter().position(is_meant)
    })
}

/// What an entry may be called. A list without keys has none.
fn keys(entry: Node<'_>, unique: Unique) -> Vec<Cow<'_, str>> {
    let text = |field: &str| entry.get(field).and_then(Node::as_str);
    match unique {
        Unique::Append => Vec::new(),
        Unique::Whole => entry.as_str().into_iter().collect(),
        Unique::By(field) => text(field).into_iter().collect(),
        Unique::Partition => {
            let number = entry.get("number").and_then(Node::as_i64);
            let number = number.map(|number| Cow::Owned(format!("number:{number}")));
            let label = text("label");
            let long = label.as_ref().map(|label| Cow::Owned(format!("label:{label}")));
            number.into_iter().chain(long).chain(label).collect()
        }
    }
}

fn no_entry(at: Pointer, part: Cow<'_, str>, entries: &[Node<'_>], unique: Unique) -> NotFound {
    let all: Vec<Vec<Cow<'_, str>>> = entries.iter().map(|entry| keys(*entry, unique)).collect();
    // URLs may hold secrets; they are told by number only.
    let told = !matches!(unique, Unique::By("source" | "url"));
    let mut known = match entries.len() {
        0 => "the list is empty".to_owned(),
        1 => "it has one".to_owned(),
        count => format!("it has {count}"),
    };
    for (index, keys) in all.iter().enumerate().take(TOLD).filter(|_| told) {
        let key = keys.first().map_or("", AsRef::as_ref);
        // Writing to a string does not fail.
        let _ = write!(known, "{} [{index}] {key}", if index == 0 { ":" } else { "," });
    }
    if told && all.len() > TOLD {
        known.push_str(", ...");
    }
    let names = all.iter().flatten().map(AsRef::as_ref).filter(|_| told);
    NotFound::Entry {
        at,
        nearest: nearest(&part, names).map(str::to_owned),
        key: part.into_owned(),
        known,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Document;

    const CONFIG: &[u8] = br#"{"passwd": {"users": [{"name": "core", "groups": ["docker", "sudo"]}, {"name": "7"}]},
        "storage": {
            "disks": [{"device": "/dev/vda", "partitions": [{"number": 9, "label": "ROOT"}, {"label": "data"}]}],
            "files": [{"path": "/etc/motd", "mode": 420}, {"path": "/etc/a[1].b", "append": [{"source": "data:,x"}]}]}}"#;

    fn found(text: &str) -> String {
        let document = Document::parse(CONFIG).unwrap();
        match find(text, document.root()) {
            Ok((pointer, found)) => {
                let field = found.field.map_or("", |(_, field)| field.name);
                let there = found
                    .node
                    .map(|node| String::from_utf8_lossy(&CONFIG[node.span()]).into_owned());
                format!(
                    "{pointer} {field}{} {}",
                    if found.is_entry { "[]" } else { "" },
                    there.as_deref().unwrap_or("-").split('{').next().unwrap()
                )
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn all_forms_lead_to_the_same_place() {
        for text in [
            "$.storage.files.0.mode",
            "storage.files[0].mode",
            "storage.files.0.mode",
            "/storage/files/0/mode",
            "storage.files[/etc/motd].mode",
            "/storage/files/~1etc~1motd/mode",
        ] {
            assert_eq!(found(text), "storage.files[0].mode mode 420", "{text}");
        }
        for (text, want) in [
            ("", "  "),
            ("$", "  "),
            ("/", "  "),
            ("storage.files[/etc/a[1].b].mode", "storage.files[1].mode mode -"),
            (
                "storage.files[1].append[0].source",
                "storage.files[1].append[0].source source \"data:,x\"",
            ),
            (
                "passwd.users[core].groups[sudo]",
                "passwd.users[0].groups[1] groups[] \"sudo\"",
            ),
            ("passwd.users[7].name", "passwd.users[1].name name \"7\""),
            (
                "storage.disks[0].partitions[ROOT].label",
                "storage.disks[0].partitions[0].label label \"ROOT\"",
            ),
            (
                "storage.disks[0].partitions[number:9]",
                "storage.disks[0].partitions[0] partitions[] ",
            ),
            (
                "storage.disks[0].partitions[label:data]",
                "storage.disks[0].partitions[1] partitions[] ",
            ),
            ("systemd.units", "systemd.units units -"),
        ] {
            assert_eq!(found(text), want, "{text}");
        }
    }

    #[test]
    fn what_is_not_there_says_what_is() {
        for (text, want) in [
            (
                "storage.file[0]",
                "storage has no \"file\", did you mean files?; there are directories, disks, files, filesystems, links, \
                 luks, raid",
            ),
            (
                "storage.files[/etc/mott].mode",
                "storage.files has no entry \"/etc/mott\", did you mean /etc/motd?; it has 2: [0] /etc/motd, [1] \
                 /etc/a[1].b",
            ),
            (
                "storage.files[2]",
                "storage.files has no entry \"2\"; it has 2: [0] /etc/motd, [1] /etc/a[1].b",
            ),
            (
                "storage.links[0]",
                "storage.links has no entry \"0\"; the list is empty",
            ),
            (
                "storage.files[0].mode.x",
                "storage.files[0].mode holds no \"x\": it is a value",
            ),
            (
                "nope",
                "the config has no \"nope\"; there are ignition, kernelArguments, passwd, storage, systemd",
            ),
        ] {
            assert_eq!(found(text), want, "{text}");
        }
    }
}
