//! `ignition-rs explain`: where a value of a merged config comes from, and what it means.

use std::fmt::{self, Write as _};
use std::path::Path;

use serde::ser::{Serialize, SerializeMap as _, SerializeSeq as _, Serializer};

use super::Audience;
use super::acquire::AcquireError;
use super::edges::Edges;
use super::failure::Failure;
use super::render::{self, Remote, Renderer, Sourced, Stop, Unfetched};
use super::run::DRY_RUN_MOST;
use crate::cli::validate::show::place;
use crate::cli::{ExplainArgs, Input, PlanFormat};
use crate::config::ask::{self, Found, NotFound};
use crate::config::canonical;
use crate::config::grammar::url;
use crate::config::merge::merge;
use crate::config::origin::{Detail, Origins, Said};
use crate::config::rules;
use crate::config::schema::{Field, Kind, Presence, Shape, Unique};
use crate::config::types::Config;
use crate::fetch::CONFIG_LIMIT;
use crate::fetch::settings::Settings;
use crate::json::{Document, Node};
use crate::plan::render::visible_json;
use crate::report::Pointer;
use crate::stages::Stage;
use crate::sys::terminal;

/// Explains a value; 0 there is such a place, 1 there is none, or it cannot be said.
pub fn explain(args: &ExplainArgs) -> u8 {
    let edges = Edges::of_this_machine();
    let merged = match gather(args, &edges) {
        Ok(merged) => merged,
        Err(failure) => return super::tell(&failure.exit(1), Audience::Terminal, None),
    };
    let colour = terminal::wants_colour(&edges.environment);
    match answer(&args.pointer, args.format, &merged, colour) {
        Ok(text) => u8::from(!terminal::print(false, &text)),
        Err(problem) => {
            terminal::print(true, &format!("ignition-rs explain: {problem}\n"));
            1
        }
    }
}

/// The configs in one.
#[derive(Debug, Default)]
struct Merged {
    config: Config,
    origins: Origins,
    left_out: Vec<Unfetched>,
}

fn gather(args: &ExplainArgs, edges: &Edges) -> Result<Merged, Failure> {
    let failed = |error: AcquireError| Failure::from_acquire(Stage::Fetch, &error);
    let mut fetch = edges.fetch(Settings::at_start(DRY_RUN_MOST).at_most(DRY_RUN_MOST));
    let mut merged = Merged::default();
    for input in &args.configs {
        let mut renderer = Renderer {
            fetch: &mut fetch,
            remote: if args.fetch { Remote::Fetch } else { Remote::List },
            detail: Detail::Values,
            records: Vec::new(),
            unfetched: Vec::new(),
            count: 0,
        };
        let path = match input {
            Input::File(path) => path,
            Input::Stdin => Path::new("/dev/stdin"),
        };
        let unread = |source| {
            failed(AcquireError::File {
                path: path.to_owned(),
                source,
            })
        };
        let bytes = renderer.fetch.files.read(path, CONFIG_LIMIT).map_err(unread)?;
        let bytes = bytes.ok_or_else(|| unread(std::io::ErrorKind::NotFound.into()))?;
        let name = input.to_string();
        let Some(sourced) = render::parse(&name, &bytes, Detail::Values).1.map_err(failed)? else {
            // Who names a file means that file.
            return Err(failed(match crate::config::parse(&bytes) {
                Err(source) => AcquireError::Parse { name, source },
                Ok(_) => AcquireError::NoProvider,
            }));
        };
        renderer
            .configure(&name, &sourced.config.ignition)
            .map_err(failed)?;
        let sourced = match renderer.render(sourced, 0) {
            Ok(sourced) => sourced,
            Err(Stop::Empty) => Sourced::default(),
            Err(Stop::Error(error)) => return Err(failed(error)),
        };
        merged.left_out.append(&mut renderer.unfetched);
        merged.config = merge(merged.config, sourced.config);
        merged.origins.append(sourced.origins);
    }
    Ok(merged)
}

/// The answer as it is printed. An error says why there is none.
fn answer(pointer: &str, format: PlanFormat, merged: &Merged, colour: bool) -> Result<String, String> {
    let whole = canonical::to_json(&merged.config).map_err(|error| error.to_string())?;
    let document = Document::parse(&whole).map_err(|error| error.to_string())?;
    let (pointer, found) = ask::find(pointer, document.root()).map_err(|error| {
        let mut text = crate::plan::render::words(&error.to_string());
        if !matches!(error, NotFound::Entry { .. }) {
            return text;
        }
        let left_out = merged
            .left_out
            .iter()
            .map(|left| left.url.as_str())
            .collect::<Vec<_>>();
        if !left_out.is_empty() {
            // Writing to a string does not fail.
            let _ = write!(text, "; left out without --fetch: {}", left_out.join(", "));
        }
        text
    })?;
    let said = merged.origins.said(&merged.config, &pointer);
    let typed = |node| Value::new(&found, node);
    // Of an object or a list each config may say a part.
    let is_whole = matches!(
        typed(document.root()).kind,
        Kind::Text | Kind::Flag | Kind::Integer
    );
    let values: Vec<Option<Document<'_>>> = said
        .iter()
        .map(|said| scalar(said).filter(|_| is_whole))
        .collect();
    let words: Vec<Word<'_>> = said
        .iter()
        .zip(&values)
        .map(|(said, value)| Word {
            document: said.document,
            line: said.position.line,
            column: said.position.column,
            value: value.as_ref().map(|value| typed(value.root())),
        })
        .collect();
    let last = words.last().and_then(|word| word.value);
    let value = match found.node {
        Some(node) if !(words.is_empty() && is_empty(node)) => Some(typed(node)),
        // A key that is zero is not written.
        None if found
            .field
            .is_some_and(|(_, field)| field.presence == Presence::Plain) =>
        {
            last
        }
        Some(_) | None => None,
    };
    let rule = found
        .field
        .and_then(|(shape, field)| rules::of(shape.name, field.name));
    let answer = Answer {
        format: "ignition-rs explain",
        version: 1,
        pointer: &pointer,
        value,
        said: words,
        default: rule
            .map(|rule| rule.default)
            .filter(|default| value.is_none() && !default.is_empty()),
        rule: rule.map_or("The whole config.", |rule| rule.text),
        merge: merge_rule(&found),
        since: found.field.map(|_| found.since.name()),
        left_out: merged
            .left_out
            .iter()
            .map(|left| LeftOut {
                cause: &left.pointer,
                url: &left.url,
            })
            .collect(),
    };
    match format {
        PlanFormat::Text => Ok(answer.text(&said, colour)),
        PlanFormat::Json => {
            let text = serde_json::to_string_pretty(&answer).map_err(|error| error.to_string())?;
            Ok(visible_json(&text) + "\n")
        }
    }
}

/// An object or list in which nothing is said.
fn is_empty(node: Node<'_>) -> bool {
    node.elements().next().is_none()
        && matches!(node.kind(), crate::json::Kind::Object | crate::json::Kind::Array)
        && node.members().all(|(_, value)| {
            value.kind() == crate::json::Kind::Object && value.members().all(|(_, value)| is_empty(value))
        })
}

/// The value that stands at a place, if it is neither an object nor a list.
fn scalar<'o>(said: &Said<'o>) -> Option<Document<'o>> {
    let mut rest = said.text;
    for _ in 1..said.position.line {
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        rest = rest.get(end.checked_add(1)?..)?;
    }
    let rest = rest.get(said.position.column.checked_sub(1)?..)?;
    let mut escaped = false;
    let closes = |byte: &u8| {
        let is_end = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        is_end
    };
    let length = match rest.first()? {
        b'"' => rest.iter().skip(1).position(closes)?.checked_add(2)?,
        b't' | b'f' | b'-' | b'0'..=b'9' => rest
            .iter()
            .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.'))
            .count(),
        _ => return None,
    };
    Document::parse(rest.get(..length)?).ok()
}

/// How values of several configs become one.
fn merge_rule(found: &Found<'_>) -> &'static str {
    let Some((_, field)) = found.field else {
        return "Field by field.";
    };
    match field.kind {
        Kind::Objects(_, Unique::Append) | Kind::Texts(Unique::Append) => {
            "Lists are put one after the other, that of the parent config first."
        }
        Kind::Objects(_, Unique::Partition) => {
            "Entries with the same number, or without one with the same label, are merged field by field."
        }
        Kind::Objects(_, Unique::By(_)) => "Entries with the same key are merged field by field.",
        Kind::Texts(_) | Kind::Objects(_, Unique::Whole) => "All entries of both lists, each once.",
        Kind::Object(_) => "Field by field.",
        Kind::Text | Kind::Flag | Kind::Integer if field.presence == Presence::Plain => {
            "It is what entries are merged by, or always that of the last config."
        }
        Kind::Text | Kind::Flag | Kind::Integer => "The last config that says it counts.",
    }
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    format: &'static str,
    version: u32,
    pointer: &'a Pointer,
    value: Option<Value<'a>>,
    said: Vec<Word<'a>>,
    default: Option<&'static str>,
    rule: &'static str,
    merge: &'static str,
    since: Option<&'static str>,
    left_out: Vec<LeftOut<'a>>,
}

/// What one document says.
#[derive(serde::Serialize)]
struct Word<'a> {
    document: &'a str,
    line: usize,
    column: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Value<'a>>,
}

#[derive(serde::Serialize)]
struct LeftOut<'a> {
    cause: &'a Pointer,
    url: &'a str,
}

impl Answer<'_> {
    fn text(&self, said: &[Said<'_>], colour: bool) -> String {
        let place_of = match self.pointer.to_string() {
            all if all.is_empty() => "the config".to_owned(),
            place => place,
        };
        let mut out = String::new();
        // Writing to a string does not fail.
        let _ = match self.value {
            Some(value) => writeln!(out, "{place_of} is {value}\n"),
            None if self.said.is_empty() => writeln!(out, "{place_of}: nobody says it\n"),
            None => writeln!(out, "{place_of}: nothing of it is left in the merged config\n"),
        };
        let count = self.said.len();
        for (index, (word, said)) in self.said.iter().zip(said).enumerate().rev() {
            let is_last = index.saturating_add(1) == count;
            let title = match word.value {
                None if count == 1 => format!("{} says it", word.document),
                None => format!("{} says a part of it", word.document),
                Some(value) if is_last => format!("{} says {value}: this counts", word.document),
                Some(value) => format!("{} says {value}: overridden", word.document),
            };
            out.push_str(&place(&title, word.document, said.text, said.position, colour));
            out.push('\n');
        }
        if let Some(default) = self.default {
            let _ = writeln!(out, "default: {default}");
        }
        let _ = writeln!(out, "rule: {}", self.rule);
        let _ = writeln!(out, "merging: {}", self.merge);
        if let Some(since) = self.since {
            let _ = writeln!(out, "since: {since}");
        }
        for left in &self.left_out {
            let _ = writeln!(out, "left out without --fetch: {} ({})", left.url, left.cause);
        }
        out
    }
}

/// A value of the config, fit to be shown.
#[derive(Clone, Copy)]
struct Value<'d> {
    node: Node<'d>,
    kind: Kind,
    /// Which field it is
    field: Option<(&'static Shape, &'static Field)>,
}

/// Fields whose text is not shown.
const SECRETS: [(&str, &str); 7] = [
    ("ClevisCustom", "config"),
    ("Dropin", "contents"),
    ("HttpHeader", "value"),
    ("PasswdGroup", "passwordHash"),
    ("PasswdUser", "passwordHash"),
    ("Tang", "advertisement"),
    ("Unit", "contents"),
];

/// Fields with URLs, of which a part is shown.
const URLS: [(&str, &str); 4] = [
    ("Proxy", "httpProxy"),
    ("Proxy", "httpsProxy"),
    ("Resource", "source"),
    ("Tang", "url"),
];

impl<'d> Value<'d> {
    fn new(found: &Found<'d>, node: Node<'d>) -> Self {
        let kind = match found.field.map(|(_, field)| field.kind) {
            None => Kind::Object(&crate::config::schema::CONFIG),
            Some(Kind::Objects(shape, _)) if found.is_entry => Kind::Object(shape),
            Some(Kind::Texts(_)) if found.is_entry => Kind::Text,
            Some(kind) => kind,
        };
        Self {
            node,
            kind,
            field: found.field,
        }
    }

    fn is(&self, fields: &[(&str, &str)]) -> bool {
        self.field
            .is_some_and(|(shape, field)| fields.contains(&(shape.name, field.name)))
    }
}

impl Serialize for Value<'_> {
    /// As deep as the schema.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.kind {
            Kind::Flag => serializer.serialize_bool(self.node.as_bool().unwrap_or_default()),
            Kind::Integer => serializer.serialize_i64(self.node.as_i64().unwrap_or_default()),
            Kind::Text => {
                let text = self.node.as_str().unwrap_or_default();
                if self.is(&SECRETS) {
                    serializer.collect_str(&format_args!("<secret, {} bytes>", text.len()))
                } else if self.is(&URLS) {
                    serializer.serialize_str(&url::display(&text))
                } else {
                    serializer.serialize_str(&text)
                }
            }
            Kind::Texts(_) | Kind::Objects(..) => {
                let kind = match self.kind {
                    Kind::Objects(shape, _) => Kind::Object(shape),
                    _ => Kind::Text,
                };
                let mut list = serializer.serialize_seq(None)?;
                for node in self.node.elements() {
                    list.serialize_element(&Self { node, kind, ..*self })?;
                }
                list.end()
            }
            Kind::Object(shape) => {
                let mut map = serializer.serialize_map(None)?;
                for field in shape.fields {
                    if let Some(node) = self.node.get(field.name).filter(|node| !is_empty(*node)) {
                        let value = Self {
                            node,
                            kind: field.kind,
                            field: Some((shape, field)),
                        };
                        map.serialize_entry(field.name, &value)?;
                    }
                }
                map.end()
            }
        }
    }
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let json = serde_json::to_string_pretty(self).map_err(|_| fmt::Error)?;
        f.write_str(&visible_json(&json))?;
        match self.field {
            Some((_, field)) if field.name == "mode" => {
                write!(f, " ({:04o})", self.node.as_i64().unwrap_or_default())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
#[path = "explain_tests.rs"]
mod tests;
