//! Verdicts as text: one line per entry, JSON, or excerpts of the source.

use std::fmt::Write as _;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use serde::Serialize;

use super::judge::{Finding, Verdict};
use super::mask;
use crate::cli::{Input, one_line};
use crate::report::{Position, Severity};

/// The version of the JSON format (`docs/validate-format.md`). It grows when a reader of the old one would be wrong.
pub const FORMAT_VERSION: u32 = 1;

/// Lines up to this length are left to the renderer to shorten.
const LONGEST: usize = 2_000;

/// How much of a longer line is shown on either side of a fault, in bytes.
const CONTEXT: usize = 100;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Root<'v> {
    format: &'static str,
    format_version: u32,
    accepted: bool,
    configs: Vec<ConfigRow<'v>>,
}

#[derive(Serialize)]
struct ConfigRow<'v> {
    file: Option<String>,
    version: Option<&'static str>,
    accepted: bool,
    entries: Vec<EntryRow<'v>>,
}

#[derive(Serialize)]
struct EntryRow<'v> {
    severity: Severity,
    path: String,
    line: Option<usize>,
    column: Option<usize>,
    message: &'v str,
    suggestion: Option<&'v str>,
}

/// All verdicts as one JSON document.
pub fn json(verdicts: &[Verdict]) -> String {
    let configs = verdicts
        .iter()
        .map(|verdict| ConfigRow {
            file: match &verdict.input {
                Input::Stdin => None,
                Input::File(path) => Some(path.to_string_lossy().into_owned()),
            },
            version: verdict.version.map(crate::config::version::Version::name),
            accepted: verdict.is_accepted(),
            entries: verdict.findings.iter().map(entry_row).collect(),
        })
        .collect();
    let root = Root {
        format: "ignition-rs.validate",
        format_version: FORMAT_VERSION,
        accepted: verdicts.iter().all(Verdict::is_accepted),
        configs,
    };
    // Serialising strings, numbers and options cannot fail.
    let mut text = serde_json::to_string_pretty(&root).unwrap_or_default();
    text.push('\n');
    text
}

fn entry_row(finding: &Finding) -> EntryRow<'_> {
    let entry = &finding.entry;
    EntryRow {
        severity: entry.severity,
        path: entry.pointer.dollar(),
        line: entry.position.map(|position| position.line),
        column: entry.position.map(|position| position.column),
        message: &entry.message,
        suggestion: finding.suggestion.as_deref(),
    }
}

/// One line per entry, as upstream's report; `name` stands before each if several configs are shown.
pub fn text(verdict: &Verdict, with_name: bool) -> String {
    let mut out = String::new();
    for finding in &verdict.findings {
        if with_name {
            let _ = write!(out, "{}: ", verdict.input);
        }
        let _ = writeln!(out, "{}", one_line(&finding.entry.to_string()));
    }
    out
}

/// Each entry with the place in the source. Secrets in the source are stars.
pub fn pretty(verdict: &Verdict, colour: bool) -> String {
    let renderer = if colour {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    let renderer = renderer.decor_style(DecorStyle::Ascii);
    let name = verdict.input.to_string();
    let source = Source::new(&verdict.text);
    let mut out = String::new();
    for finding in &verdict.findings {
        let level = match finding.entry.severity {
            Severity::Info => Level::INFO,
            Severity::Warning => Level::WARNING,
            Severity::Error => Level::ERROR,
        };
        let excerpt = finding
            .entry
            .position
            .and_then(|position| source.excerpt(&verdict.text, position));
        let pointer =
            (!finding.entry.pointer.0.is_empty()).then(|| one_line(&finding.entry.pointer.dollar()));
        let group = Group::with_title(level.primary_title(one_line(&finding.entry.message)));
        let group = point(group, &name, excerpt, pointer);
        let _ = writeln!(out, "{}\n", renderer.render(&[group]));
    }
    out
}

/// Adds where it is.
fn point<'e>(
    group: Group<'e>,
    name: &'e str,
    excerpt: Option<Excerpt<'e>>,
    label: Option<String>,
) -> Group<'e> {
    match excerpt {
        Some(Excerpt {
            text,
            line,
            column,
            span,
        }) => {
            let annotation = AnnotationKind::Primary.span(span).label(label);
            let snippet = Snippet::source(text).line_start(line).annotation(annotation);
            match column {
                None => group.element(snippet.path(name)),
                Some(column) => group
                    .element(Origin::path(name).line(line).char_column(column))
                    .element(snippet),
            }
        }
        None => group.element(Origin::path(name)),
    }
}

/// A place in a config, with words about it. Secrets in the source are stars.
pub fn place(title: &str, name: &str, text: &[u8], position: Position, colour: bool) -> String {
    let renderer = if colour {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    let renderer = renderer.decor_style(DecorStyle::Ascii);
    let name = one_line(name);
    let source = Source::new(text);
    let group = Group::with_title(Level::NOTE.primary_title(one_line(title)));
    let group = point(group, &name, source.excerpt(text, position), None);
    renderer.render(&[group]) + "\n"
}

/// A config's text, fit to be shown, and where its lines begin.
struct Source {
    shown: String,
    lines: Vec<usize>,
}

/// Part of a line and a place in it.
struct Excerpt<'s> {
    text: &'s str,
    line: usize,
    /// Column of the place, if the text does not begin where the line does
    column: Option<usize>,
    span: std::ops::Range<usize>,
}

impl Source {
    fn new(text: &[u8]) -> Self {
        let breaks = text
            .iter()
            .enumerate()
            .filter(|(_, byte)| **byte == b'\n')
            .map(|(at, _)| at + 1);
        let lines: Vec<usize> = std::iter::once(0).chain(breaks).collect();
        // Behind the fault of a text that is no JSON, strings cannot be told from what is between them.
        let end = match crate::json::Document::parse(text) {
            Ok(_) => text.len(),
            Err(error) => token(text, error.offset).end,
        };
        Self {
            shown: mask::showable(text, end),
            lines,
        }
    }

    /// `None` if the position is not in the text: upstream has line 0 for its end.
    fn excerpt(&self, text: &[u8], position: Position) -> Option<Excerpt<'_>> {
        let index = position.line.checked_sub(1)?;
        let line_start = *self.lines.get(index)?;
        let line_end = self
            .lines
            .get(index + 1)
            .map_or(text.len(), |next| next.saturating_sub(1))
            .min(self.shown.len());
        let offset = line_start.checked_add(position.column.checked_sub(1)?)?;
        if offset >= line_end {
            return None;
        }
        let token = token(text, offset);
        let is_whole = line_end.saturating_sub(line_start) <= LONGEST;
        let (start, end) = if is_whole {
            (line_start, line_end)
        } else {
            let start = boundary(&self.shown, line_start.max(token.start.saturating_sub(CONTEXT)));
            (
                start,
                boundary(&self.shown, line_end.min(token.end.saturating_add(CONTEXT))),
            )
        };
        let span = boundary(&self.shown, token.start)..boundary(&self.shown, token.end.min(end));
        Some(Excerpt {
            text: self.shown.get(start..end)?,
            line: position.line,
            column: (!is_whole).then_some(position.column),
            span: span.start.checked_sub(start)?..span.end.checked_sub(start)?,
        })
    }
}

/// The nearest place at or before `at` where a letter begins.
fn boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len()))
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or_default()
}

/// The JSON token at a place; just inside a bracket it is the bracket.
fn token(text: &[u8], offset: usize) -> std::ops::Range<usize> {
    let opens = |at: usize| matches!(text.get(at), Some(b'{' | b'['));
    match text.get(offset) {
        Some(b'"') => {
            let mut end = offset + 1;
            while let Some(byte) = text.get(end) {
                end += match byte {
                    b'\\' => 2,
                    b'\n' => break,
                    b'"' => {
                        end += 1;
                        break;
                    }
                    _ => 1,
                };
            }
            // A very long string is pointed at, not underlined.
            offset..end.min(text.len()).min(offset + 80)
        }
        _ if offset > 0 && opens(offset - 1) => offset - 1..offset,
        Some(byte) if byte.is_ascii_alphanumeric() || *byte == b'-' => {
            let length = text
                .iter()
                .skip(offset)
                .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.'))
                .count();
            offset..offset + length.min(80)
        }
        _ => offset..offset + 1,
    }
}
