//! Reports about a config: entries of severity, place and message, in the text form of Go Ignition's `vcontext`
//! (spec/config.md 3.1).

use std::fmt;

use serde::Serialize;

/// How bad an entry is. Only `Error` is fatal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing
    Info,
    /// Accepted, and probably not what was meant
    Warning,
    /// The config is refused
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// One element of a [`Pointer`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Element {
    /// Key of an object
    Key(std::borrow::Cow<'static, str>),
    /// Index into a list, from 0
    Index(usize),
}

/// A place inside a config, below the root.
///
/// `Display` gives the form of messages for people, `storage.files[3].path`; [`Pointer::dollar`] the form of reports,
/// `$.storage.files.3.path`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pointer(pub Vec<Element>);

impl Pointer {
    /// The root, `$`.
    pub fn root() -> Self {
        Self::default()
    }

    /// This place, one key deeper.
    #[must_use]
    pub fn key(&self, key: impl Into<std::borrow::Cow<'static, str>>) -> Self {
        self.deeper(Element::Key(key.into()))
    }

    /// This place, one list index deeper.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.deeper(Element::Index(index))
    }

    fn deeper(&self, element: Element) -> Self {
        let mut elements = Vec::with_capacity(self.0.len() + 1);
        elements.extend_from_slice(&self.0);
        elements.push(element);
        Self(elements)
    }

    /// The form that reports use: `$.storage.files.3.path`.
    pub fn dollar(&self) -> String {
        let mut text = String::from("$");
        for element in &self.0 {
            text.push('.');
            match element {
                Element::Key(key) => text.push_str(key),
                Element::Index(index) => text.push_str(&index.to_string()),
            }
        }
        text
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, element) in self.0.iter().enumerate() {
            match element {
                Element::Key(key) if position == 0 => write!(f, "{key}")?,
                Element::Key(key) => write!(f, ".{key}")?,
                Element::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

impl Serialize for Pointer {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Line and column of a place in a text, both from 1; the column counts bytes since the last line feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Position {
    /// Line, from 1
    pub line: usize,
    /// Column in bytes, from 1
    pub column: usize,
}

/// One entry of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// How bad it is
    pub severity: Severity,
    /// What it is about; the root for syntax errors
    pub pointer: Pointer,
    /// Where that stands in the text, if known
    pub position: Option<Position>,
    /// What is wrong
    pub message: String,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.severity)?;
        match (self.pointer.0.is_empty(), self.position) {
            (false, Some(at)) => write!(
                f,
                " at {}, line {} col {}",
                self.pointer.dollar(),
                at.line,
                at.column
            )?,
            (true, Some(at)) => write!(f, " at line {} col {}", at.line, at.column)?,
            (false, None) => write!(f, " at {}", self.pointer.dollar())?,
            (true, None) => {}
        }
        write!(f, ": {}", self.message)
    }
}

/// What validation has to say about one config.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// In the order of spec/config.md 3.3
    pub entries: Vec<Entry>,
}

impl Report {
    /// Whether an entry refuses the config.
    pub fn is_fatal(&self) -> bool {
        self.entries.iter().any(|entry| entry.severity == Severity::Error)
    }

    /// Adds an entry whose position is not known yet.
    pub fn add(&mut self, severity: Severity, pointer: Pointer, message: impl Into<String>) {
        self.entries.push(Entry {
            severity,
            pointer,
            position: None,
            message: message.into(),
        });
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.entries.iter().try_for_each(|entry| writeln!(f, "{entry}"))
    }
}

/// An error with its causes, once each: `a: b: c`.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
