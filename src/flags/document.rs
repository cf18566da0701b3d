//! Help texts and man pages from the tables.

use std::fmt::Write as _;

use super::{Command, Flag, Style, Terms};

/// Columns of a help text.
const WIDTH: usize = 80;

/// The help of a command.
pub fn help<A>(command: &Command<A>) -> String {
    let mut out = format!("Usage: {} {}\n\n", command.name, command.synopsis);
    wrap(&mut out, 0, &sentence(command.summary));
    if !command.flags.is_empty() {
        out.push_str("\nFlags:\n");
    }
    for flag in command.flags {
        let _ = write!(out, "  {}", spelled(command.style, flag));
        out.push('\n');
        let mut text = flag.help.to_owned();
        if let Some(default) = flag.default {
            let _ = write!(text, " (default {default})");
        }
        wrap(&mut out, 8, &text);
    }
    terms(&mut out, "Exit codes", command.exit);
    terms(&mut out, "Examples", command.examples);
    out
}

fn terms(out: &mut String, title: &str, terms: Terms) {
    if terms.is_empty() {
        return;
    }
    let _ = write!(out, "\n{title}:\n");
    for (term, meaning) in terms {
        if term.len() < 4 {
            let mut text = String::new();
            wrap(&mut text, 6, meaning);
            let _ = write!(out, "  {term:<4}{}", text.trim_start());
        } else {
            let _ = writeln!(out, "  {term}");
            wrap(out, 8, meaning);
        }
    }
}

fn spelled<A>(style: Style, flag: &Flag<A>) -> String {
    let dashes = match style {
        Style::Go => "-",
        Style::Gnu => "--",
    };
    if flag.value.is_empty() {
        format!("{dashes}{}", flag.name)
    } else {
        format!("{dashes}{} {}", flag.name, flag.value)
    }
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first: String = letters
        .next()
        .map(|first| first.to_uppercase().collect())
        .unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}

/// Appends words, indented, in lines of at most [`WIDTH`] columns where they can be broken.
fn wrap(out: &mut String, indent: usize, text: &str) {
    let mut column = 0;
    for word in text.split_whitespace() {
        let width = word.chars().count();
        if column == 0 || column + 1 + width > WIDTH {
            if column != 0 {
                out.push('\n');
            }
            let _ = write!(out, "{:indent$}{word}", "");
            column = indent + width;
        } else {
            let _ = write!(out, " {word}");
            column += 1 + width;
        }
    }
    out.push('\n');
}

/// The man page of a command, as roff for `man(7)`.
pub fn man<A>(command: &Command<A>) -> String {
    let page = command.name.replace(' ', "-");
    let mut out = String::from(".\\\" Written from the flag tables by `just man`. Do not edit.\n");
    let _ = writeln!(
        out,
        ".TH {} {} \"\" \"ignition-rs\"",
        roff(&page.to_uppercase()),
        command.section
    );
    let _ = writeln!(out, ".SH NAME\n{} \\- {}", roff(&page), roff(command.summary));
    let _ = writeln!(
        out,
        ".SH SYNOPSIS\n.B {}\n{}",
        roff(command.name),
        roff(command.synopsis)
    );
    out.push_str(".SH DESCRIPTION\n");
    for paragraph in command.description {
        let _ = writeln!(out, ".PP\n{}", roff(paragraph));
    }
    if !command.flags.is_empty() {
        out.push_str(".SH OPTIONS\n");
        if command.style == Style::Go {
            out.push_str(".PP\n");
            out.push_str(&roff(GO_SYNTAX));
            out.push('\n');
        }
    }
    for flag in command.flags {
        let _ = writeln!(out, ".TP\n.B {}", roff(&spelled(command.style, flag)));
        out.push_str(&roff(&sentence(flag.help)));
        if !flag.more.is_empty() {
            let _ = write!(out, "\n{}", roff(flag.more));
        }
        if let Some(default) = flag.default {
            let _ = write!(out, "\nDefault: {}.", roff(default));
        }
        out.push('\n');
    }
    for (title, terms) in [
        ("EXIT STATUS", command.exit),
        ("FILES", command.files),
        ("ENVIRONMENT", command.environment),
        ("EXAMPLES", command.examples),
    ] {
        if !terms.is_empty() {
            let _ = writeln!(out, ".SH {title}");
        }
        for (term, meaning) in terms {
            let _ = writeln!(out, ".TP\n.B {}\n{}", roff(term), roff(meaning));
        }
    }
    if !command.see_also.is_empty() {
        let _ = writeln!(out, ".SH SEE ALSO\n{}", roff(&command.see_also.join(", ")));
    }
    out
}

const GO_SYNTAX: &str = "Flags have one dash or two. A value follows as the next argument or after an equals sign. A \
    switch may be written as -x=true or -x=false. Parsing stops at the first argument that is no flag.";

/// Text that roff prints as it is.
fn roff(text: &str) -> String {
    let escaped = text
        .replace('\\', "\\e")
        .replace('-', "\\-")
        .replace('"', "\\(dq");
    if escaped.starts_with(['.', '\'']) {
        format!("\\&{escaped}")
    } else {
        escaped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roff_escapes() {
        assert_eq!(roff(".x -y \\ \"z\""), "\\&.x \\-y \\e \\(dqz\\(dq");
        assert_eq!(roff("'x"), "\\&'x");
    }

    #[test]
    fn wraps() {
        let mut out = String::new();
        wrap(&mut out, 4, &"word ".repeat(30));
        assert!(
            out.lines()
                .all(|line| line.len() <= WIDTH && line.starts_with("    w"))
        );
        assert_eq!(out.split_whitespace().count(), 30);
    }
}
