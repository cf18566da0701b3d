//! Where the values of a merged config came from.
//!
//! Merging keeps what the child says, else what the parent says, so the origin of a value is the last document that has
//! it. "It" is found by identity, not by index: entries of lists go by the key that merging uses (spec/config.md 6).
//! An [`Index`] remembers the identities of one document as 64-bit hashes with their places: 16 bytes for each, no paths,
//! and nothing secret when it is saved.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::decode::{self, Occurrence};
use super::merge::Keyed;
use super::schema::{self, Kind, Shape, Unique};
use super::types::{Config, Resource};
use super::version::Version;
use crate::json::{LineIndex, Node};
use crate::report::{Element, Pointer, Position};

/// Identity hash, line, column.
type Place = (u64, u32, u32);

/// Where one document says what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// Entries of lists, by hash
    entries: Vec<Place>,
    /// Other values, by hash; not saved, because what a later stage names are entries
    #[serde(skip)]
    scalars: Vec<Place>,
    /// The document itself, with [`Detail::Values`]
    #[serde(skip)]
    text: Text,
}

/// A document; it holds secrets.
#[derive(Clone, Default, PartialEq, Eq)]
struct Text(Vec<u8>);

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "<text, {} bytes>", self.0.len())
    }
}

/// How much an [`Index`] remembers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Detail {
    /// Entries of lists, and values outside of lists: what messages of a boot name
    #[default]
    Entries,
    /// Every value, and lists, too, and the text: for who asks at a terminal
    Values,
}

/// The documents that a config was merged from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origins {
    documents: Vec<Source>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Source {
    name: String,
    index: Index,
}

/// One document's word on a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said<'o> {
    /// What messages call the document
    pub document: &'o str,
    /// Where it stands there
    pub position: Position,
    /// The document, if it was kept
    pub text: &'o [u8],
}

/// One step of an identity path.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step<'c> {
    Key(&'c str),
    /// Entry of a list, by its key
    Entry(Cow<'c, str>),
    /// Entry of a list without keys: its place in the list of its own document
    Nth(usize),
}

/// FNV-1a: the same in every process, and a collision costs no more than a misleading line number.
#[derive(Clone, Copy)]
struct Identity(u64);

impl Identity {
    const ROOT: Self = Self(0xcbf2_9ce4_8422_2325);

    fn step(self, step: &Step<'_>) -> Self {
        match step {
            Step::Key(key) => self.bytes(&[1]).bytes(key.as_bytes()),
            Step::Entry(key) => self.bytes(&[2]).bytes(key.as_bytes()),
            Step::Nth(index) => self.bytes(&[3]).bytes(&index.to_le_bytes()),
        }
    }

    fn bytes(self, bytes: &[u8]) -> Self {
        Self(bytes.iter().fold(self.0, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        }))
    }
}

impl Index {
    /// Walks a document once, by the fields that `version` knows.
    pub fn new(root: Node<'_>, version: Version, lines: &LineIndex, detail: Detail) -> Self {
        let mut walk = Walk {
            version,
            lines,
            detail,
            index: Self::default(),
        };
        let found = decode::occurrences(&schema::CONFIG, version, &[(0, root)]);
        walk.object(&found, &schema::CONFIG, Identity::ROOT, false);
        let mut index = walk.index;
        index.entries.sort_unstable();
        index.scalars.sort_unstable();
        index
    }

    /// Keeps the document, for excerpts of it.
    pub fn keep(&mut self, text: &[u8]) {
        self.text = Text(text.to_vec());
    }

    fn get(&self, identity: Identity) -> Option<Position> {
        [&self.entries, &self.scalars].into_iter().find_map(|places| {
            let at = places
                .binary_search_by_key(&identity.0, |(hash, ..)| *hash)
                .ok()?;
            let (_, line, column) = places.get(at)?;
            Some(Position {
                line: usize::try_from(*line).ok()?,
                column: usize::try_from(*column).ok()?,
            })
        })
    }
}

struct Walk<'l> {
    version: Version,
    lines: &'l LineIndex,
    detail: Detail,
    index: Index,
}

impl Walk<'_> {
    /// As deep as the schema.
    fn object(&mut self, found: &[Occurrence<'_>], shape: &'static Shape, identity: Identity, in_list: bool) {
        for group in found.chunk_by(|(left, _), (right, _)| left == right) {
            let Some((number, _)) = group.first() else {
                continue;
            };
            let Some(field) = shape.fields.get(*number) else {
                continue;
            };
            let Some((_, last)) = group.iter().rfind(|(_, node)| !node.is_null()) else {
                continue;
            };
            let identity = identity.step(&Step::Key(field.name));
            let is_list = matches!(field.kind, Kind::Texts(_) | Kind::Objects(..));
            if self.detail == Detail::Values || !(in_list || is_list) {
                let place = self.place(identity, *last);
                self.index.scalars.push(place);
            }
            match field.kind {
                Kind::Text | Kind::Flag | Kind::Integer => {}
                Kind::Object(below) => {
                    let found = decode::occurrences(below, self.version, group);
                    self.object(&found, below, identity, in_list);
                }
                Kind::Texts(unique) => {
                    for (index, entry) in last.elements().enumerate() {
                        let step = match unique {
                            Unique::Append => Step::Nth(index),
                            _ => Step::Entry(entry.as_str().unwrap_or_default()),
                        };
                        let place = self.place(identity.step(&step), entry);
                        self.index.entries.push(place);
                    }
                }
                Kind::Objects(below, unique) => {
                    for (index, entry) in last.elements().enumerate() {
                        let found = decode::occurrences(below, self.version, &[(0, entry)]);
                        let step = match unique {
                            Unique::Append => Step::Nth(index),
                            _ => Step::Entry(key(&found, below, unique)),
                        };
                        let identity = identity.step(&step);
                        let place = self.place(identity, entry);
                        self.index.entries.push(place);
                        self.object(&found, below, identity, true);
                    }
                }
            }
        }
    }

    fn place(&self, identity: Identity, node: Node<'_>) -> Place {
        let position = self.lines.position(node.report_offset());
        let narrow = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        (identity.0, narrow(position.line), narrow(position.column))
    }
}

/// The key of an entry as it stands in the text; the same as [`Keyed::key`] of what is decoded from it.
fn key<'d>(found: &[Occurrence<'d>], shape: &'static Shape, unique: Unique) -> Cow<'d, str> {
    let last = |name: &str| {
        found
            .iter()
            .rfind(|(number, node)| {
                !node.is_null() && shape.fields.get(*number).is_some_and(|field| field.name == name)
            })
            .map(|(_, node)| *node)
    };
    match unique {
        Unique::Append | Unique::Whole => Cow::Borrowed(""),
        Unique::By(field) => last(field).and_then(Node::as_str).unwrap_or_default(),
        Unique::Partition => match (
            last("number").and_then(Node::as_i64),
            last("label").and_then(Node::as_str),
        ) {
            (None | Some(0), Some(label)) => Cow::Owned(format!("label:{label}")),
            (None | Some(0), None) => Cow::Borrowed(""),
            (Some(number), _) => Cow::Owned(format!("number:{number}")),
        },
    }
}

impl Origins {
    /// Adds the next document in merge order, parents before children. `name` is what messages call it: a path, an URL, a
    /// provider. Of an URL only scheme, host and path are kept; a `data:` URL, being the content, is only named.
    pub fn push(&mut self, name: &str, index: Index) {
        self.documents.push(Source {
            name: displayed(name),
            index,
        });
    }

    /// Adds what another config was merged from, as children of what is here.
    pub fn append(&mut self, mut later: Self) {
        self.documents.append(&mut later.documents);
    }

    /// The document and the place where a value of the merged config was set; of the nearest enclosing value that has one,
    /// if it was not set itself.
    pub fn lookup<'o>(&'o self, config: &Config, pointer: &Pointer) -> Option<(&'o str, Position)> {
        let steps = identify(config, pointer);
        let documents = self.counting(&steps);
        (1..=steps.len()).rev().find_map(|length| {
            let path = steps.get(..length)?;
            match path.iter().position(|step| matches!(step, Step::Nth(_))) {
                None => documents
                    .iter()
                    .rev()
                    .find_map(|document| document.get(path.iter())),
                Some(at) => {
                    let (list, below) = (path.get(..at)?, path.get(at.saturating_add(1)..)?);
                    let (source, position) = appended(documents, list, path.get(at)?, below)?;
                    Some((source.name.as_str(), position))
                }
            }
        })
    }

    /// Every document that sets a value of the merged config, in merge order: of a value that is not merged of parts the
    /// last one counts. Empty if none does.
    pub fn said<'o>(&'o self, config: &Config, pointer: &Pointer) -> Vec<Said<'o>> {
        let steps = identify(config, pointer);
        if steps.len() < pointer.0.len() {
            return Vec::new();
        }
        let documents = self.counting(&steps);
        let said = |(source, position): (&'o Source, Position)| Said {
            document: &source.name,
            position,
            text: &source.index.text.0,
        };
        match steps.iter().position(|step| matches!(step, Step::Nth(_))) {
            None => documents
                .iter()
                .filter_map(|source| Some(said((source, source.at(steps.iter())?))))
                .collect(),
            Some(at) => {
                let (list, rest) = steps.split_at(at);
                let Some((entry, below)) = rest.split_first() else {
                    return Vec::new();
                };
                appended(documents, list, entry, below)
                    .map(said)
                    .into_iter()
                    .collect()
            }
        }
    }

    /// The documents whose word counts: not those before one that took the entry away, by naming its key in another list of
    /// the same key space (spec/config.md 6).
    fn counting(&self, steps: &[Step<'_>]) -> &[Source] {
        let documents = self.documents.as_slice();
        let [
            above @ Step::Key("storage" | "kernelArguments"),
            Step::Key(list),
            key @ Step::Entry(_),
            ..,
        ] = steps
        else {
            return documents;
        };
        let list = *list;
        let spaces: [&[&str]; 2] = [
            &["directories", "files", "links"],
            &["shouldExist", "shouldNotExist"],
        ];
        let Some(space) = spaces.into_iter().find(|space| space.contains(&list)) else {
            return documents;
        };
        let names = |source: &Source, list| source.at([above, &Step::Key(list), key].into_iter()).is_some();
        let takes = |source: &Source| {
            let mut siblings = space.iter().filter(|sibling| **sibling != list);
            siblings.any(|sibling| names(source, sibling)) && !names(source, list)
        };
        let first = documents
            .iter()
            .rposition(takes)
            .map_or(0, |at| at.saturating_add(1));
        documents.get(first..).unwrap_or_default()
    }
}

/// Lists without keys are put one after the other, so the nth entry is found by counting.
fn appended<'o>(
    documents: &'o [Source],
    list: &[Step<'_>],
    entry: &Step<'_>,
    below: &[Step<'_>],
) -> Option<(&'o Source, Position)> {
    let Step::Nth(mut index) = *entry else { return None };
    for document in documents {
        let nth = Step::Nth(index);
        if document.at(list.iter().chain([&nth])).is_some() {
            return Some((document, document.at(list.iter().chain([&nth]).chain(below))?));
        }
        let has = |number: &usize| document.at(list.iter().chain([&Step::Nth(*number)])).is_some();
        index = index.saturating_sub((0..index).take_while(has).count());
    }
    None
}

impl Source {
    fn at<'c: 'p, 'p>(&self, path: impl Iterator<Item = &'p Step<'c>>) -> Option<Position> {
        self.index.get(path.fold(Identity::ROOT, Identity::step))
    }

    fn get<'s, 'c: 'p, 'p>(
        &'s self,
        path: impl Iterator<Item = &'p Step<'c>>,
    ) -> Option<(&'s str, Position)> {
        Some((self.name.as_str(), self.at(path)?))
    }
}

/// An URL without what may be secret in it; any other name as it is.
fn displayed(name: &str) -> String {
    let is_data = name
        .get(..5)
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:"));
    if is_data {
        return "a data: URL".to_owned();
    }
    let is_scheme = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    };
    let Some((scheme, rest)) = name.split_once("://").filter(|(scheme, _)| is_scheme(scheme)) else {
        // Where the slashes are missing, credentials may stand anywhere: `http:user:password@host`.
        return match name.split_once(':') {
            Some((scheme, rest)) if is_scheme(scheme) && !rest.is_empty() => format!("{scheme}:…"),
            Some((start, _)) if !start.starts_with('/') && name.contains('@') => {
                "a URL that is not valid".to_owned()
            }
            _ => name.to_owned(),
        };
    };
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (host, path) = match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, ""),
    };
    let host = host.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}{path}")
}

/// A pointer with indices turned into identities, as far as the config goes.
fn identify<'c>(config: &'c Config, pointer: &'c Pointer) -> Vec<Step<'c>> {
    let mut steps = Vec::with_capacity(pointer.0.len());
    let mut path = Vec::with_capacity(pointer.0.len());
    for element in &pointer.0 {
        match element {
            Element::Key(key) => {
                path.push(Part::K(key));
                steps.push(Step::Key(key));
            }
            Element::Index(index) => {
                path.push(Part::I(*index));
                match entry(config, &path) {
                    Some(step) => steps.push(step),
                    None => break,
                }
            }
        }
    }
    steps
}

/// An element of a pointer in a form that patterns can match.
#[derive(Clone, Copy)]
enum Part<'p> {
    K(&'p str),
    I(usize),
}

/// The identity of the list entry at `path`.
fn entry<'c>(config: &'c Config, path: &[Part<'_>]) -> Option<Step<'c>> {
    use Part::{I, K};

    fn by<T: Keyed>(list: &[T], index: usize) -> Option<Step<'_>> {
        list.get(index).map(|entry| Step::Entry(entry.key()))
    }

    let (storage, passwd) = (&config.storage, &config.passwd);
    match *path {
        [ref above @ .., K("httpHeaders"), I(i)] => by(&resource(config, above)?.http_headers, i),
        [K("ignition"), K("config"), K("merge"), I(i)] => by(&config.ignition.config.merge, i),
        [K("ignition"), K("proxy"), K("noProxy"), I(i)] => by(&config.ignition.proxy.no_proxy, i),
        [
            K("ignition"),
            K("security"),
            K("tls"),
            K("certificateAuthorities"),
            I(i),
        ] => by(&config.ignition.security.tls.certificate_authorities, i),
        [K("kernelArguments"), K("shouldExist"), I(i)] => by(&config.kernel_arguments.should_exist, i),
        [K("kernelArguments"), K("shouldNotExist"), I(i)] => by(&config.kernel_arguments.should_not_exist, i),
        [K("passwd"), K("groups"), I(i)] => by(&passwd.groups, i),
        [K("passwd"), K("users"), I(i)] => by(&passwd.users, i),
        [K("passwd"), K("users"), I(i), K("groups"), I(j)] => by(&passwd.users.get(i)?.groups, j),
        [K("passwd"), K("users"), I(i), K("sshAuthorizedKeys"), I(j)] => {
            by(&passwd.users.get(i)?.ssh_authorized_keys, j)
        }
        [K("storage"), K("directories"), I(i)] => by(&storage.directories, i),
        [K("storage"), K("disks"), I(i)] => by(&storage.disks, i),
        [K("storage"), K("disks"), I(i), K("partitions"), I(j)] => by(&storage.disks.get(i)?.partitions, j),
        [K("storage"), K("files"), I(i)] => by(&storage.files, i),
        [K("storage"), K("filesystems"), I(i)] => by(&storage.filesystems, i),
        [K("storage"), K("links"), I(i)] => by(&storage.links, i),
        [K("storage"), K("luks"), I(i)] => by(&storage.luks, i),
        [K("storage"), K("luks"), I(i), K("clevis"), K("tang"), I(j)] => {
            by(&storage.luks.get(i)?.clevis.tang, j)
        }
        [K("storage"), K("luks"), I(i), K("openOptions"), I(j)] => by(&storage.luks.get(i)?.open_options, j),
        [K("storage"), K("raid"), I(i)] => by(&storage.raid, i),
        [K("storage"), K("raid"), I(i), K("devices"), I(j)] => by(&storage.raid.get(i)?.devices, j),
        [K("systemd"), K("units"), I(i)] => by(&config.systemd.units, i),
        [K("systemd"), K("units"), I(i), K("dropins"), I(j)] => by(&config.systemd.units.get(i)?.dropins, j),
        [K("storage"), K("files"), I(_), K("append"), I(j)]
        | [
            K("storage"),
            K("filesystems"),
            I(_),
            K("options" | "mountOptions"),
            I(j),
        ]
        | [K("storage"), K("luks" | "raid"), I(_), K("options"), I(j)] => Some(Step::Nth(j)),
        _ => None,
    }
}

fn resource<'c>(config: &'c Config, path: &[Part<'_>]) -> Option<&'c Resource> {
    use Part::{I, K};

    match *path {
        [K("ignition"), K("config"), K("merge"), I(i)] => config.ignition.config.merge.get(i),
        [K("ignition"), K("config"), K("replace")] => Some(&config.ignition.config.replace),
        [
            K("ignition"),
            K("security"),
            K("tls"),
            K("certificateAuthorities"),
            I(i),
        ] => config.ignition.security.tls.certificate_authorities.get(i),
        [K("storage"), K("files"), I(i), K("contents")] => {
            config.storage.files.get(i).map(|file| &file.contents)
        }
        [K("storage"), K("files"), I(i), K("append"), I(j)] => config.storage.files.get(i)?.append.get(j),
        [K("storage"), K("luks"), I(i), K("keyFile")] => {
            config.storage.luks.get(i).map(|luks| &luks.key_file)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
