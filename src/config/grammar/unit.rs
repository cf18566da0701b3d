//! systemd unit files, as far as validation looks at them (spec/config.md 11.4).
//!
//! The verdict is that of go-systemd's lexer (`unit.Deserialize`), with its guard against long lines, which looks into a
//! read buffer of 4096 bytes between tokens: what it accepts depends on where in the buffer a long line lies. The
//! buffer is followed here, so that the same units pass.

use std::rc::Rc;

use thiserror::Error;

use crate::config::types::Hidden;

/// systemd's `LINE_MAX`: a line without an end within so many buffered bytes is refused.
const LINE_MAX: usize = 2048;

/// Size of the read buffer of Go's `bufio`.
const BUFFER: usize = 4096;

/// Why a unit is not accepted. Lines count from 1, within the unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum UnitError {
    /// A header without `]`
    #[error("line {line} of the unit begins a section, but its ']' is missing")]
    UnfinishedHeader {
        /// Where the header begins
        line: usize,
    },
    /// Something after `]`
    #[error(
        "line {line} of the unit has text after the ']' of its section header; put it on a line of its own"
    )]
    AfterHeader {
        /// Where the text is
        line: usize,
    },
    /// An option without `=`
    #[error("line {line} of the unit has no '='; expected NAME=VALUE, [SECTION] or a comment")]
    NoEquals {
        /// Where the option is
        line: usize,
    },
    /// A line of 2048 bytes or more
    #[error(
        "line {line} of the unit is too long; end it before {LINE_MAX} bytes, or break it with a '\\' at the end"
    )]
    LongLine {
        /// Where the line is
        line: usize,
    },
}

/// One `NAME=VALUE` of a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitOption {
    /// The section that it stands in, without brackets; shared, because it may be as long as the unit
    pub section: Rc<str>,
    /// What is before the `=`, without blanks around it
    pub name: String,
    /// What is after the `=`; continuation lines keep their `\` and line feed
    pub value: Hidden,
}

/// Reads a unit. What stands before the first section is skipped, as upstream does.
pub fn lex(text: &str) -> Result<Vec<UnitOption>, UnitError> {
    let mut reader = Reader {
        text: text.as_bytes(),
        position: 0,
        buffered: 0,
        line_end: None,
    };
    let mut options = Vec::new();
    let mut section: Option<Rc<str>> = None;
    loop {
        reader.guard()?;
        let before = reader;
        let Some(first) = reader.character() else {
            return Ok(options);
        };
        match (first, &section) {
            ('[', _) => section = Some(reader.header(&before)?.into()),
            ('#' | ';', _) => reader.comment()?,
            (_, None) => {}
            (first, Some(_)) if first.is_whitespace() => {}
            (_, Some(name)) => {
                reader.back(&before);
                let name = Rc::clone(name);
                options.push(reader.option(name)?);
            }
        }
    }
}

/// Whether an enabled unit would be linked: an option stands in `[Install]`.
pub fn has_install(options: &[UnitOption]) -> bool {
    options.iter().any(|option| &*option.section == "Install")
}

/// The text, and how much of it the read buffer would hold.
#[derive(Clone, Copy)]
struct Reader<'a> {
    text: &'a [u8],
    /// Start of what is not read yet
    position: usize,
    /// End of what is in the buffer
    buffered: usize,
    /// Where the next CR or LF is, as found last
    line_end: Option<usize>,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a [u8] {
        self.text.get(self.position..).unwrap_or_default()
    }

    /// Line of the position, from 1.
    fn line(&self) -> usize {
        let read = self.text.get(..self.position).unwrap_or_default();
        read.split(|byte| *byte == b'\n').count()
    }

    /// The guard against long lines, run between tokens.
    fn guard(&mut self) -> Result<(), UnitError> {
        if self.buffered.saturating_sub(self.position) < LINE_MAX {
            return Ok(());
        }
        if self.line_end.is_none_or(|end| end < self.position) {
            let length = self
                .rest()
                .iter()
                .take(LINE_MAX)
                .position(|byte| matches!(byte, b'\r' | b'\n'));
            self.line_end = length.map(|length| self.position + length);
        }
        match self.line_end {
            Some(end) if end - self.position < LINE_MAX => Ok(()),
            _ => Err(UnitError::LongLine { line: self.line() }),
        }
    }

    fn fill(&mut self) {
        self.buffered = self.position.saturating_add(BUFFER).min(self.text.len());
    }

    /// The next character. A unit comes from JSON, so it is UTF-8.
    fn character(&mut self) -> Option<char> {
        let length = match self.rest().first()? {
            0x00..=0x7f => 1,
            0x80..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0.. => 4,
        };
        if self.position + length > self.buffered {
            self.fill();
        }
        let bytes = self.rest().get(..length)?;
        self.position += length;
        std::str::from_utf8(bytes).ok()?.chars().next()
    }

    /// Unreads the character that was read since.
    fn back(&mut self, before: &Self) {
        self.position = before.position;
    }

    /// Everything up to and including a byte; without it, the rest and `false`.
    fn until(&mut self, wanted: u8) -> (&'a [u8], bool) {
        let rest = self.rest();
        let found = rest.iter().position(|byte| *byte == wanted);
        let length = found.map_or(rest.len(), |position| position + 1);
        let end = self.position + length;
        // The buffer is read on in whole blocks until the byte is in it.
        while self.buffered < end {
            if self.buffered - self.position >= BUFFER {
                self.position = self.buffered;
            }
            self.fill();
        }
        self.position = end;
        (rest.get(..length).unwrap_or_default(), found.is_some())
    }

    /// A line without its end, and whether it had one.
    fn rest_of_line(&mut self) -> (&'a [u8], bool) {
        let (line, ended) = self.until(b'\n');
        let line = if ended {
            line.strip_suffix(b"\n").unwrap_or(line)
        } else {
            line.strip_suffix(b"\r").unwrap_or(line)
        };
        (line, ended)
    }

    /// Skips a comment with its continuation lines.
    fn comment(&mut self) -> Result<(), UnitError> {
        self.guard()?;
        loop {
            let (line, _) = self.rest_of_line();
            if !line.strip_suffix(b" ").unwrap_or(line).ends_with(b"\\") {
                return Ok(());
            }
        }
    }

    /// A section's name, after its `[`.
    fn header(&mut self, start: &Self) -> Result<String, UnitError> {
        self.guard()?;
        let (name, found) = self.until(b']');
        let name = name
            .strip_suffix(b"]")
            .filter(|_| found)
            .ok_or_else(|| UnitError::UnfinishedHeader { line: start.line() })?;
        self.guard()?;
        let after = *self;
        let (garbage, _) = self.rest_of_line();
        if String::from_utf8_lossy(garbage).trim().is_empty() {
            Ok(String::from_utf8_lossy(name).into_owned())
        } else {
            Err(UnitError::AfterHeader { line: after.line() })
        }
    }

    /// An option, from its name to the end of its last line.
    fn option(&mut self, section: Rc<str>) -> Result<UnitOption, UnitError> {
        self.guard()?;
        let start = *self;
        let mut name = String::new();
        loop {
            match self.character() {
                None | Some('\n' | '\r') => return Err(UnitError::NoEquals { line: start.line() }),
                Some('=') => break,
                Some(character) => name.push(character),
            }
        }
        let mut value = Vec::new();
        loop {
            self.guard()?;
            let (line, ended) = self.rest_of_line();
            if line.trim_ascii().is_empty() {
                break;
            }
            value.extend_from_slice(line);
            if !line.ends_with(b"\\") {
                break;
            }
            if ended {
                value.push(b'\n');
            }
        }
        let value = String::from_utf8_lossy(&value);
        let end = if value.ends_with('\n') { "\n" } else { "" };
        Ok(UnitOption {
            section,
            name: name.trim().to_owned(),
            value: Hidden(format!("{}{end}", value.trim())),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn options(text: &str) -> Vec<(String, String, String)> {
        let options = lex(text).unwrap();
        options
            .into_iter()
            .map(|option| (option.section.to_string(), option.name, option.value.0))
            .collect()
    }

    #[test]
    fn accepted() {
        for (text, expected) in [
            ("", &[][..]),
            ("ExecStart=/x\n", &[]),
            ("nonsense\n; [comment]\\\n[ still comment\n", &[]),
            ("[Install]", &[]),
            ("[Install]\n# WantedBy=x\n", &[]),
            ("[Install]  \r\nA=b\n", &[("Install", "A", "b")]),
            ("[A]\n B = c \n[D]\nE=\n", &[("A", "B", "c"), ("D", "E", "")]),
            ("x [A]\nB=c", &[("A", "B", "c")]),
            ("[A\nB]\nC=d", &[("A\nB", "C", "d")]),
            ("[A]\nB=c\\\n d\nE=f", &[("A", "B", "c\\\n d"), ("A", "E", "f")]),
            ("[A]\nB=c\\", &[("A", "B", "c\\")]),
            ("[A]\n#c\\\nB=c\n", &[]),
            ("[A]\n#c\\ \nB=c\nD=e\n", &[("A", "D", "e")]),
            ("[A]\nB=c\\\r\nd=e", &[("A", "B", "c\\"), ("A", "d", "e")]),
            ("[A]\n\u{a0}B=c", &[("A", "B", "c")]),
        ] {
            let expected: Vec<_> = expected
                .iter()
                .map(|(a, b, c)| ((*a).to_owned(), (*b).to_owned(), (*c).to_owned()))
                .collect();
            assert_eq!(options(text), expected, "{text:?}");
        }
    }

    #[test]
    fn refused() {
        for (text, expected) in [
            ("[Unit\nfoo", UnitError::UnfinishedHeader { line: 1 }),
            ("\n[Unit] x\n", UnitError::AfterHeader { line: 2 }),
            ("[Unit]\nfoo\nA=b", UnitError::NoEquals { line: 2 }),
            ("[Unit]\nfoo\rA=b", UnitError::NoEquals { line: 2 }),
            ("[Unit]\n\nfoo", UnitError::NoEquals { line: 3 }),
        ] {
            assert_eq!(lex(text), Err(expected), "{text:?}");
        }
    }

    #[test]
    fn long_lines() {
        let line = |length: usize| format!("[A]\nB={}", "x".repeat(length));
        // The guard refuses 2048 bytes without a line end in the buffer, `B=` included.
        for (text, expected) in [
            (line(2045), None),
            (line(2046), Some(UnitError::LongLine { line: 2 })),
            (line(5000), Some(UnitError::LongLine { line: 2 })),
            (
                format!("[A]\n{}=x", "B".repeat(3000)),
                Some(UnitError::LongLine { line: 2 }),
            ),
            (
                format!("[A]\n#{}\nB=x", "x".repeat(3000)),
                Some(UnitError::LongLine { line: 2 }),
            ),
            // A long line that a token has begun is not looked at again, and so is one that the buffer holds half of.
            (
                format!("[{}]\nB=c", "A".repeat(3000)),
                Some(UnitError::LongLine { line: 1 }),
            ),
            (format!("{}[A]\nB={}", "\n".repeat(2100), "x".repeat(3000)), None),
        ] {
            assert_eq!(lex(&text).err(), expected, "{} bytes", text.len());
        }
    }

    /// A copy for each option took the square of the unit's length.
    #[test]
    fn a_long_section_name_is_held_once() {
        let text = format!("[{}]\n{}", "A\n".repeat(10_000), "B=c\n".repeat(10_000));
        let options = lex(&text).unwrap();
        assert_eq!(options.len(), 10_000);
        assert!(
            options
                .iter()
                .all(|option| Rc::ptr_eq(&option.section, &options[0].section))
        );
    }

    #[test]
    fn install_needs_an_option() {
        for (text, expected) in [
            ("[Install]\nWantedBy=multi-user.target\n", true),
            ("[Install]\nAlias=b.service\n", true),
            ("[Install]\n", false),
            ("[Unit]\nA=b\n", false),
            ("[install]\nA=b\n", false),
        ] {
            assert_eq!(has_install(&lex(text).unwrap()), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn reads_what_was_written(
            entries in proptest::collection::vec(("[A-Z][a-z]{0,5}", "[A-Z][A-Za-z]{0,5}", "[a-z]{0,3}"), 0..5),
        ) {
            let sections = entries.iter().map(|(section, name, value)| format!("[{section}]\n# c\n{name}={value}\n\n"));
            let text: String = sections.collect();
            prop_assert_eq!(options(&text), entries);
        }

        #[test]
        fn never_panics(text in "([A=\\[\\]\\\\\n\r# é]|x{100}){0,80}") {
            let _ = lex(&text);
        }
    }
}
