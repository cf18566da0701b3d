//! A JSON reader that remembers where everything stands and follows the rules of Go's `encoding/json`
//! (spec/config.md 2), because configs in the field depend on them.
//!
//! A [`Document`] is a flat list of entries in the order of the text. Nothing here recurses: parsing, walking and dropping
//! work on any depth that the text reaches (Go refuses more than 10,000 levels, and so does this).

mod lines;
mod scan;
mod text;

use std::borrow::Cow;
use std::fmt;

pub use lines::LineIndex;

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `null`
    Null,
    /// `false`
    False,
    /// `true`
    True,
    /// A number, whose form is only looked at when it is wanted
    Number,
    /// A string (an object's keys are strings, too)
    String,
    /// A list
    Array,
    /// An object
    Object,
}

/// The text is not JSON.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SyntaxError {
    /// Bytes read up to and including the offending one, as Go counts; the text's length at its end
    pub offset: usize,
    /// In Go's words
    pub message: String,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// First byte
    start: u32,
    /// One past the last byte
    end: u32,
    /// The entry that follows this one and all that is in it
    next: u32,
    kind: Kind,
    /// A string with escapes
    escaped: bool,
}

/// A parsed text.
pub struct Document<'a> {
    text: &'a [u8],
    /// The same, when it is UTF-8: then strings can be borrowed without another look
    utf8: Option<&'a str>,
    entries: Vec<Entry>,
}

impl<'a> Document<'a> {
    /// Reads a whole text.
    ///
    /// # Errors
    /// The first place where the text stops being JSON; also a text of 4 GiB or more, whose offsets would not fit.
    pub fn parse(text: &'a [u8]) -> Result<Self, SyntaxError> {
        Ok(Self {
            text,
            utf8: std::str::from_utf8(text).ok(),
            entries: scan::scan(text)?,
        })
    }

    /// The value that the text is.
    pub fn root(&self) -> Node<'_> {
        Node {
            document: self,
            index: 0,
        }
    }

    /// Where the lines of the text begin.
    pub fn lines(&self) -> LineIndex {
        LineIndex::new(self.text)
    }

    fn entry(&self, index: u32) -> Entry {
        // Every index comes from a scanned document, so the fallback is never seen.
        usize::try_from(index)
            .ok()
            .and_then(|index| self.entries.get(index))
            .copied()
            .unwrap_or(Entry {
                start: 0,
                end: 0,
                next: u32::MAX,
                kind: Kind::Null,
                escaped: false,
            })
    }
}

/// Without the text: configs hold secrets.
impl fmt::Debug for Document<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<JSON, {} bytes>", self.text.len())
    }
}

/// One value of a [`Document`]; as cheap to copy as a reference.
#[derive(Clone, Copy)]
pub struct Node<'d> {
    document: &'d Document<'d>,
    index: u32,
}

impl<'d> Node<'d> {
    /// What the value is.
    pub fn kind(self) -> Kind {
        self.document.entry(self.index).kind
    }

    /// Whether the value is `null`.
    pub fn is_null(self) -> bool {
        self.kind() == Kind::Null
    }

    /// Byte offsets of the value in the text: first byte, one past the last byte.
    pub fn span(self) -> std::ops::Range<usize> {
        let entry = self.document.entry(self.index);
        wide(entry.start)..wide(entry.end)
    }

    /// Where reports say that the value is (spec/config.md 3.2): its first byte, inside the bracket for lists and objects.
    pub fn report_offset(self) -> usize {
        let start = self.span().start;
        match self.kind() {
            Kind::Array | Kind::Object => start.saturating_add(1),
            _ => start,
        }
    }

    /// Where Go's decoder stands when it meets this value and wanted another type (spec/config.md 3.4).
    pub fn type_error_offset(self) -> usize {
        match self.kind() {
            Kind::Array | Kind::Object => self.report_offset(),
            _ => self.span().end,
        }
    }

    /// The text of a string, with escapes undone and what is not Unicode replaced by U+FFFD as Go does; `None` if
    /// this is no string.
    pub fn as_str(self) -> Option<Cow<'d, str>> {
        let entry = self.document.entry(self.index);
        if entry.kind != Kind::String {
            return None;
        }
        let inside = wide(entry.start).saturating_add(1)..wide(entry.end).saturating_sub(1);
        if !entry.escaped
            && let Some(plain) = self.document.utf8.and_then(|text| text.get(inside.clone()))
        {
            return Some(Cow::Borrowed(plain));
        }
        let raw = self.document.text.get(inside).unwrap_or_default();
        Some(text::unquote(raw))
    }

    /// The value as an integer: `None` unless it is a plain integer literal that fits.
    pub fn as_i64(self) -> Option<i64> {
        if self.kind() != Kind::Number {
            return None;
        }
        let literal = self.document.text.get(self.span()).unwrap_or_default();
        std::str::from_utf8(literal).ok()?.parse().ok()
    }

    /// The value as a boolean.
    pub fn as_bool(self) -> Option<bool> {
        match self.kind() {
            Kind::True => Some(true),
            Kind::False => Some(false),
            _ => None,
        }
    }

    /// The elements of a list; none for any other kind.
    pub fn elements(self) -> impl Iterator<Item = Node<'d>> {
        self.children(Kind::Array)
    }

    /// The elements of this list from one of them on.
    pub fn elements_from(self, first: Node<'d>) -> impl Iterator<Item = Node<'d>> {
        let mut elements = self.children(Kind::Array);
        elements.index = elements.index.max(first.index);
        elements
    }

    /// The members of an object in the order of the text, key and value; none for any other kind.
    pub fn members(self) -> impl Iterator<Item = (Node<'d>, Node<'d>)> {
        let mut children = self.children(Kind::Object);
        std::iter::from_fn(move || Some((children.next()?, children.next()?)))
    }

    /// The value of the last member with exactly this key.
    pub fn get(self, key: &str) -> Option<Node<'d>> {
        self.members()
            .filter(|(name, _)| name.as_str().is_some_and(|name| name == key))
            .last()
            .map(|(_, value)| value)
    }

    fn children(self, kind: Kind) -> Children<'d> {
        let entry = self.document.entry(self.index);
        Children {
            document: self.document,
            index: self.index.saturating_add(1),
            end: if entry.kind == kind { entry.next } else { 0 },
        }
    }
}

struct Children<'d> {
    document: &'d Document<'d>,
    index: u32,
    end: u32,
}

impl<'d> Iterator for Children<'d> {
    type Item = Node<'d>;

    fn next(&mut self) -> Option<Node<'d>> {
        if self.index >= self.end {
            return None;
        }
        let node = Node {
            document: self.document,
            index: self.index,
        };
        self.index = self.document.entry(self.index).next;
        Some(node)
    }
}

/// Offsets are kept in 32 bits, which fit a `usize` on everything that boots this.
fn wide(offset: u32) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
