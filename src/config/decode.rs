//! From JSON to the config's structs by the rules of Go's decoder (spec/config.md 2), as far as a spec version knows
//! them.
//!
//! Two passes. [`check`] goes through the document in its own order and finds the first value of a wrong type, wherever it
//! stands (Go decodes every occurrence of a repeated key, also those that do not count in the end). [`decode`] then reads
//! what counts.

use std::borrow::Cow;
use std::fmt;

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::schema::{Field, Kind, Presence, Shape};
use super::version::Version;
use crate::json;
use crate::json::Node;

/// A value is of the wrong type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TypeError {
    /// Where Go's decoder stands when it notices (spec/config.md 3.4)
    pub offset: usize,
    /// What was found, what is wanted, and where
    pub message: String,
}

impl serde::de::Error for TypeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self {
            offset: 0,
            message: message.to_string(),
        }
    }
}

/// The way down to a value, for messages; built only when there is one.
#[derive(Clone, Copy)]
enum Trail<'t> {
    Root,
    Key(&'t Trail<'t>, &'t str),
    Index(&'t Trail<'t>, usize),
}

impl fmt::Display for Trail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // As deep as the schema, not as deep as the text.
        match self {
            Self::Root => Ok(()),
            Self::Key(Self::Root, key) => f.write_str(key),
            Self::Key(above, key) => write!(f, "{above}.{key}"),
            Self::Index(above, index) => write!(f, "{above}[{index}]"),
        }
    }
}

/// Finds the first value, in the order of the text, whose type is not that of its field.
///
/// # Errors
/// That value. Keys that `version` does not know are not looked into, and `null` fits everywhere.
pub fn check(root: Node<'_>, shape: &'static Shape, version: Version) -> Result<(), TypeError> {
    check_value(root, Kind::Object(shape), version, &Trail::Root)
}

fn check_value(node: Node<'_>, kind: Kind, version: Version, trail: &Trail<'_>) -> Result<(), TypeError> {
    match (kind, node.kind()) {
        (_, json::Kind::Null)
        | (Kind::Text, json::Kind::String)
        | (Kind::Flag, json::Kind::True | json::Kind::False) => Ok(()),
        (Kind::Integer, json::Kind::Number) if node.as_i64().is_some() => Ok(()),
        (Kind::Object(shape), json::Kind::Object) => {
            for (key, value) in node.members() {
                let key = key.as_str().unwrap_or_default();
                if let Some((_, field)) = shape.field(version, &key) {
                    check_value(value, field.kind, version, &Trail::Key(trail, field.name))?;
                }
            }
            Ok(())
        }
        (Kind::Texts(_) | Kind::Objects(..), json::Kind::Array) => {
            for (index, element) in node.elements().enumerate() {
                check_value(element, element_kind(kind), version, &Trail::Index(trail, index))?;
            }
            Ok(())
        }
        (kind, found) => Err(TypeError {
            offset: node.type_error_offset(),
            message: match trail {
                Trail::Root => format!(
                    "a config is {}, this is {}",
                    wanted(kind),
                    found_name(found, kind)
                ),
                _ => format!(
                    "{trail} must be {}, not {}",
                    wanted(kind),
                    found_name(found, kind)
                ),
            },
        }),
    }
}

fn element_kind(list: Kind) -> Kind {
    match list {
        Kind::Objects(shape, _) => Kind::Object(shape),
        Kind::Texts(_) => Kind::Text,
        scalar => scalar,
    }
}

fn wanted(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "a string",
        Kind::Flag => "true or false",
        Kind::Integer => "an integer",
        Kind::Object(_) => "an object",
        Kind::Texts(_) => "a list of strings",
        Kind::Objects(..) => "a list of objects",
    }
}

fn found_name(found: json::Kind, wanted: Kind) -> &'static str {
    match found {
        json::Kind::Null => "null",
        json::Kind::False => "false",
        json::Kind::True => "true",
        json::Kind::Number if matches!(wanted, Kind::Integer) => {
            "a number with a fraction, an exponent or too many digits"
        }
        json::Kind::Number => "a number",
        json::Kind::String => "a string",
        json::Kind::Array => "a list",
        json::Kind::Object => "an object",
    }
}

/// Reads the struct that `shape` describes, as `version` sees it.
///
/// # Errors
/// A value of the wrong type; none is left after [`check`].
pub fn decode<T: DeserializeOwned>(
    root: Node<'_>,
    shape: &'static Shape,
    version: Version,
) -> Result<T, TypeError> {
    T::deserialize(Value {
        occurrences: &[(0, root)],
        kind: Kind::Object(shape),
        version,
    })
}

/// Index of the field and one value given for it.
pub(super) type Occurrence<'d> = (usize, Node<'d>);

/// What objects that are laid over each other give for the fields of a shape: by field, and then in the order of the text.
pub(super) fn occurrences<'d>(
    shape: &'static Shape,
    version: Version,
    objects: &[Occurrence<'d>],
) -> Vec<Occurrence<'d>> {
    let mut found = Vec::new();
    for (key, member) in objects.iter().flat_map(|(_, object)| object.members()) {
        let key = key.as_str().unwrap_or_default();
        if let Some((index, _)) = shape.field(version, &key) {
            found.push((index, member));
        }
    }
    // Stable: duplicates stay in the order of the text.
    found.sort_by_key(|(index, _)| *index);
    found
}

/// All values that the text gives for one field, in its order.
///
/// Of scalars and lists the last one counts; objects are laid over each other field by field.
#[derive(Clone, Copy)]
struct Value<'d, 'o> {
    occurrences: &'o [Occurrence<'d>],
    kind: Kind,
    version: Version,
}

impl<'d> Value<'d, '_> {
    fn last(&self) -> Option<Node<'d>> {
        self.occurrences
            .iter()
            .rev()
            .map(|(_, node)| *node)
            .find(|node| !node.is_null())
    }

    fn text(&self) -> Result<Cow<'d, str>, TypeError> {
        self.scalar(Cow::Borrowed(""), Node::as_str)
    }

    fn flag(&self) -> Result<bool, TypeError> {
        self.scalar(false, Node::as_bool)
    }

    fn integer(&self) -> Result<i64, TypeError> {
        self.scalar(0, Node::as_i64)
    }

    /// The last value there is, else the zero value.
    fn scalar<T>(&self, zero: T, read: impl FnOnce(Node<'d>) -> Option<T>) -> Result<T, TypeError> {
        self.last()
            .map_or(Some(zero), read)
            .ok_or_else(|| self.mismatch())
    }

    fn members(self) -> Result<Members<'d>, TypeError> {
        let mut kinds = self.occurrences.iter().map(|(_, node)| node.kind());
        match self.kind {
            Kind::Object(shape)
                if kinds.all(|kind| matches!(kind, json::Kind::Object | json::Kind::Null)) =>
            {
                Ok(Members::new(shape, self))
            }
            _ => Err(self.mismatch()),
        }
    }

    fn elements(self) -> Result<Elements<'d, impl Iterator<Item = Node<'d>>>, TypeError> {
        let last = self.last();
        let is_list = matches!(self.kind, Kind::Texts(_) | Kind::Objects(..));
        if !is_list || last.is_some_and(|node| node.kind() != json::Kind::Array) {
            return Err(self.mismatch());
        }
        Ok(Elements {
            // No value at all is an empty list.
            nodes: last.map(Node::elements),
            kind: element_kind(self.kind),
            version: self.version,
        })
    }

    fn mismatch(&self) -> TypeError {
        TypeError {
            offset: self.last().map_or(0, Node::type_error_offset),
            message: format!("must be {}", wanted(self.kind)),
        }
    }
}

impl<'de> Deserializer<'de> for Value<'de, '_> {
    type Error = TypeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeError> {
        match self.kind {
            Kind::Text => self.deserialize_string(visitor),
            Kind::Flag => self.deserialize_bool(visitor),
            Kind::Integer => self.deserialize_i64(visitor),
            Kind::Object(_) => self.deserialize_map(visitor),
            Kind::Texts(_) | Kind::Objects(..) => self.deserialize_seq(visitor),
        }
    }

    // One for each kind, so that no code is made for what a type cannot be: visitors of structs take lists too. That was 66 kB.

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeError> {
        match self.text()? {
            Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
            Cow::Owned(text) => visitor.visit_string(text),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeError> {
        visitor.visit_bool(self.flag()?)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeError> {
        visitor.visit_i64(self.integer()?)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeError> {
        visitor.visit_map(self.members()?)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, TypeError> {
        self.deserialize_map(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeError> {
        visitor.visit_seq(self.elements()?)
    }

    /// Only called for what is there: members that are absent or `null` are left out.
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, TypeError> {
        visitor.visit_newtype_struct(self)
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct enum identifier
        ignored_any
    }
}

struct Elements<'d, I: Iterator<Item = Node<'d>>> {
    nodes: Option<I>,
    kind: Kind,
    version: Version,
}

impl<'d, I: Iterator<Item = Node<'d>>> SeqAccess<'d> for Elements<'d, I> {
    type Error = TypeError;

    fn next_element_seed<T: DeserializeSeed<'d>>(&mut self, seed: T) -> Result<Option<T::Value>, TypeError> {
        let Some(node) = self.nodes.as_mut().and_then(Iterator::next) else {
            return Ok(None);
        };
        seed.deserialize(Value {
            occurrences: &[(0, node)],
            kind: self.kind,
            version: self.version,
        })
        .map(Some)
    }
}

struct Members<'d> {
    version: Version,
    fields: std::iter::Enumerate<std::slice::Iter<'static, Field>>,
    /// By field, and then in the order of the text
    found: Vec<Occurrence<'d>>,
    /// How many of `found` belong to earlier fields
    done: usize,
    /// What the key that was just given stands for
    value: Option<(Kind, std::ops::Range<usize>)>,
}

impl<'d> Members<'d> {
    fn new(shape: &'static Shape, value: Value<'d, '_>) -> Self {
        let found = occurrences(shape, value.version, value.occurrences);
        Self {
            version: value.version,
            fields: shape.fields.iter().enumerate(),
            found,
            done: 0,
            value: None,
        }
    }

    /// Goes to the next field that has a value. Not in the trait's functions, of which there is one for each struct.
    fn advance(&mut self) -> Option<&'static Field> {
        while let Some((index, field)) = self.fields.next() {
            let rest = self.found.get(self.done..).unwrap_or_default();
            let count = rest.iter().take_while(|(found, _)| *found == index).count();
            let range = self.done..self.done.saturating_add(count);
            self.done = range.end;
            if let Some(range) = self.counting(field, range) {
                self.value = Some((field.kind, range));
                return Some(field);
            }
        }
        None
    }

    /// The value of that field.
    fn value(&mut self) -> Value<'d, '_> {
        let (kind, range) = self.value.take().unwrap_or((Kind::Text, 0..0));
        Value {
            occurrences: self.found.get(range).unwrap_or_default(),
            kind,
            version: self.version,
        }
    }

    /// Which of the values at `range` count, if any.
    fn counting(&self, field: &Field, range: std::ops::Range<usize>) -> Option<std::ops::Range<usize>> {
        let nodes = self.found.get(range.clone()).unwrap_or_default();
        let last_null = nodes.iter().rposition(|(_, node)| node.is_null());
        // In Go null resets a pointer and a list, and leaves all else as it is.
        let resets = match field.kind {
            Kind::Texts(_) | Kind::Objects(..) => true,
            Kind::Object(_) => field.is_nullable(self.version),
            Kind::Text | Kind::Flag | Kind::Integer => !field.presence.is_plain(self.version),
        };
        let start = match last_null {
            Some(position) if resets => range.start.saturating_add(position).saturating_add(1),
            _ => range.start,
        };
        let rest = start..range.end;
        let is_there = self
            .found
            .get(rest.clone())
            .unwrap_or_default()
            .iter()
            .any(|(_, node)| !node.is_null());
        // A plain field of an object that is there has a value, which the newest type must show.
        let has_zero = matches!(field.presence, Presence::PlainBefore(_))
            && field.since <= self.version
            && field.presence.is_plain(self.version);
        (is_there || has_zero).then_some(rest)
    }
}

impl<'d> MapAccess<'d> for Members<'d> {
    type Error = TypeError;

    fn next_key_seed<K: DeserializeSeed<'d>>(&mut self, seed: K) -> Result<Option<K::Value>, TypeError> {
        self.advance()
            .map(|field| seed.deserialize(BorrowedStrDeserializer::new(field.name)))
            .transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'d>>(&mut self, seed: V) -> Result<V::Value, TypeError> {
        seed.deserialize(self.value())
    }
}

#[cfg(test)]
mod tests;
