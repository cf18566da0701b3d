//! A digest as at most fifteen lines for a console.

use std::fmt::Write as _;

use super::Digest;
use crate::log::Place;

/// The most lines that a digest has.
pub const MOST_LINES: usize = 15;

/// The most columns that a line has, the one with the SHA-512 excepted.
const WIDTH: usize = 100;

/// Columns of a label with the spaces after it.
const LABEL: usize = 11;

/// What a digest's reader should know that is not about the failure.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// Where the log of this run is
    pub log: Place,
}

/// What fits onto a console: fixed labels in a fixed order, one value each; of what is too long the rest is left out.
/// Labels without a value are left out. Ends with a line feed.
pub fn render(digest: &Digest, context: &Context) -> String {
    let stage = digest.stage.map(|stage| match digest.phase {
        Some(phase) => format!("{stage}, phase {}", phase.name()),
        None => stage.to_string(),
    });
    let pointer = digest.pointer.as_ref().map(ToString::to_string);
    let short = |value: Option<String>| value.map_or_else(Vec::new, |value| vec![elided(&plain(&value))]);
    let sha512 = digest
        .config_sha512
        .clone()
        .map_or_else(Vec::new, |text| vec![text]);

    let first_error = wrapped(&digest.causes.join(": "));
    let also: Vec<String> = digest
        .also
        .iter()
        .map(|entry| elided(&plain(&format!("also {entry}"))))
        .collect();
    let stderr: Vec<String> = digest
        .tool
        .iter()
        .flat_map(|tool| tool.stderr.iter().map(|line| elided(&plain(line))))
        .collect();
    let advice = digest
        .advice
        .as_deref()
        .unwrap_or("see the log for what went before, correct the config or the machine, and boot again");

    let before = [
        ("stage:", short(stage)),
        ("operation:", short(digest.operation.clone())),
        ("place:", short(pointer)),
        ("config:", short(digest.place())),
    ];
    let after = [("log:", vec![context.log.hint().to_owned()]), ("sha512:", sha512)];
    let fixed = before
        .iter()
        .chain(&after)
        .map(|(_, lines)| lines.len())
        .sum::<usize>();
    let room = MOST_LINES.saturating_sub(fixed.saturating_add(1));
    let errors = first_error
        .len()
        .saturating_add(also.len())
        .saturating_add(usize::from(digest.further > 0));
    let shares = Shares::of(room, errors, stderr.len(), wrapped(advice).len());
    let middle = [
        ("error:", listed(first_error, also, digest.further, shares.error)),
        ("stderr:", last(stderr, shares.stderr)),
        ("to do:", first(wrapped(advice), shares.advice)),
    ];

    let mut out = String::from("ignition: provisioning failed\n");
    for (label, lines) in before.iter().chain(&middle).chain(&after) {
        let mut label = *label;
        for line in lines {
            let _ = writeln!(out, "{label:<LABEL$}{line}");
            label = "";
        }
    }
    out
}

/// How many lines each part gets.
struct Shares {
    error: usize,
    stderr: usize,
    advice: usize,
}

impl Shares {
    /// Everything, if there is room; else less of what is longest, but never nothing.
    fn of(room: usize, error: usize, stderr: usize, advice: usize) -> Self {
        let mut shares = Self {
            error,
            stderr: stderr.min(5),
            advice,
        };
        while shares
            .error
            .saturating_add(shares.stderr)
            .saturating_add(shares.advice)
            > room
        {
            let longest = [&mut shares.advice, &mut shares.stderr, &mut shares.error]
                .into_iter()
                .max_by_key(|lines| **lines);
            match longest {
                Some(lines) if *lines > 1 => *lines = lines.saturating_sub(1),
                _ => break,
            }
        }
        shares
    }
}

/// The first error and as many others as there is room for; the last line says how many there are beyond those.
fn listed(first_error: Vec<String>, mut also: Vec<String>, further: usize, most: usize) -> Vec<String> {
    let total = also.len().saturating_add(further);
    if total == 0 {
        return first(first_error, most);
    }
    let own = most.saturating_sub(2).clamp(1, first_error.len().max(1));
    let mut lines = first(first_error, own);
    let room = most.saturating_sub(lines.len());
    if further > 0 || also.len() > room {
        also.truncate(room.saturating_sub(1));
    }
    let more = total.saturating_sub(also.len());
    lines.extend(also);
    match more {
        0 => {}
        1 => lines.push(String::from("and one more error")),
        more => lines.push(format!("and {more} more errors")),
    }
    lines
}

/// The first lines; the last of them says that there are more.
fn first(mut lines: Vec<String>, most: usize) -> Vec<String> {
    if lines.len() > most {
        lines.truncate(most);
        if let Some(line) = lines.last_mut() {
            let kept: String = line.chars().take(WIDTH.saturating_sub(LABEL + 4)).collect();
            *line = format!("{kept} ...");
        }
    }
    lines
}

fn last(mut lines: Vec<String>, most: usize) -> Vec<String> {
    lines.split_off(lines.len().saturating_sub(most))
}

/// A text in lines of at most the width that is left beside a label, broken between words where that is possible.
fn wrapped(text: &str) -> Vec<String> {
    let most = WIDTH.saturating_sub(LABEL);
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    let mut columns = 0_usize;
    for word in plain(text).split(' ') {
        let length = word.chars().count();
        if columns > 0 && columns.saturating_add(length).saturating_add(1) > most {
            lines.push(std::mem::take(&mut line));
            columns = 0;
        }
        if columns > 0 {
            line.push(' ');
            columns = columns.saturating_add(1);
        }
        for letter in word.chars() {
            if columns == most {
                lines.push(std::mem::take(&mut line));
                columns = 0;
            }
            line.push(letter);
            columns = columns.saturating_add(1);
        }
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

/// A text in one line: of a long one the middle is left out, because what tells paths and places apart is at their ends.
fn elided(text: &str) -> String {
    let most = WIDTH.saturating_sub(LABEL);
    let count = text.chars().count();
    if count <= most {
        return text.to_owned();
    }
    let half = most.saturating_sub(3) / 2;
    let start: String = text.chars().take(half).collect();
    let end: String = text.chars().skip(count.saturating_sub(half)).collect();
    format!("{start}...{end}")
}

/// A text that moves no cursor and looks in no other order than it has.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\t' => out.push(' '),
            letter if letter.is_control() || reorders(letter) => out.extend(letter.escape_default()),
            letter => out.push(letter),
        }
    }
    out
}

/// Marks that are not seen themselves, and change how what stands around them is seen.
fn reorders(letter: char) -> bool {
    matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
