//! The scanner: text to entries, with the state and the messages of Go's.

use super::{Entry, Kind, SyntaxError};

/// Go's limit on nesting.
const MAX_DEPTH: usize = 10_000;

/// What may come next, white space aside.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expect {
    Value,
    FirstElement,
    FirstKey,
    Key,
    Colon,
    /// Comma or closing bracket of the innermost container, or the end of the text
    After,
}

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    entries: Vec<Entry>,
    /// Indexes of the containers that are open
    open: Vec<(usize, Kind)>,
}

pub(super) fn scan(text: &[u8]) -> Result<Vec<Entry>, SyntaxError> {
    if u32::try_from(text.len()).is_err() {
        return Err(SyntaxError {
            offset: 0,
            message: "text is 4 GiB or longer".to_owned(),
        });
    }
    let mut scanner = Scanner {
        text,
        at: 0,
        entries: Vec::with_capacity(text.len() / 24),
        open: Vec::new(),
    };
    scanner.run()?;
    Ok(scanner.entries)
}

impl Scanner<'_> {
    fn run(&mut self) -> Result<(), SyntaxError> {
        let mut expect = Expect::Value;
        loop {
            self.skip_space();
            let Some(byte) = self.peek() else {
                if expect == Expect::After && self.open.is_empty() {
                    return Ok(());
                }
                return Err(self.end());
            };
            expect = match (expect, byte) {
                (Expect::FirstElement, b']') | (Expect::FirstKey, b'}') => {
                    self.at += 1;
                    self.close();
                    Expect::After
                }
                (Expect::Value | Expect::FirstElement, _) => self.value(byte)?,
                (Expect::FirstKey | Expect::Key, b'"') => {
                    self.string()?;
                    Expect::Colon
                }
                (Expect::FirstKey | Expect::Key, _) => {
                    return Err(self.invalid("looking for beginning of object key string"));
                }
                (Expect::Colon, b':') => {
                    self.at += 1;
                    Expect::Value
                }
                (Expect::Colon, _) => return Err(self.invalid("after object key")),
                (Expect::After, _) => self.after(byte)?,
            };
        }
    }

    fn after(&mut self, byte: u8) -> Result<Expect, SyntaxError> {
        match (self.open.last().map(|(_, kind)| *kind), byte) {
            (Some(Kind::Object), b',') => {
                self.at += 1;
                Ok(Expect::Key)
            }
            (Some(Kind::Array), b',') => {
                self.at += 1;
                Ok(Expect::Value)
            }
            (Some(Kind::Object), b'}') | (Some(Kind::Array), b']') => {
                self.at += 1;
                self.close();
                Ok(Expect::After)
            }
            (Some(Kind::Object), _) => Err(self.invalid("after object key:value pair")),
            (Some(_), _) => Err(self.invalid("after array element")),
            (None, _) => Err(self.invalid("after top-level value")),
        }
    }

    fn value(&mut self, byte: u8) -> Result<Expect, SyntaxError> {
        match byte {
            b'{' => self.open(Kind::Object, Expect::FirstKey),
            b'[' => self.open(Kind::Array, Expect::FirstElement),
            b'"' => self.string(),
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.literal(b"true", Kind::True),
            b'f' => self.literal(b"false", Kind::False),
            b'n' => self.literal(b"null", Kind::Null),
            _ => Err(self.invalid("looking for beginning of value")),
        }
    }

    fn open(&mut self, kind: Kind, expect: Expect) -> Result<Expect, SyntaxError> {
        if self.open.len() >= MAX_DEPTH {
            return Err(self.invalid("exceeded max depth"));
        }
        self.open.push((self.entries.len(), kind));
        let start = self.at;
        self.at += 1;
        self.push(start, kind, false);
        Ok(expect)
    }

    /// The innermost container ends before `at`.
    fn close(&mut self) {
        let next = narrow(self.entries.len());
        let end = narrow(self.at);
        if let Some(entry) = self.open.pop().and_then(|(index, _)| self.entries.get_mut(index)) {
            entry.end = end;
            entry.next = next;
        }
    }

    fn string(&mut self) -> Result<Expect, SyntaxError> {
        let start = self.at;
        let mut escaped = false;
        self.at += 1;
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let plain = rest
                .iter()
                .position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20))
                .unwrap_or(rest.len());
            self.at += plain;
            match self.peek() {
                None => return Err(self.end()),
                Some(b'"') => {
                    self.at += 1;
                    self.push(start, Kind::String, escaped);
                    return Ok(Expect::After);
                }
                Some(b'\\') => {
                    escaped = true;
                    self.at += 1;
                    self.escape()?;
                }
                Some(_) => return Err(self.invalid("in string literal")),
            }
        }
    }

    fn escape(&mut self) -> Result<(), SyntaxError> {
        match self.peek() {
            Some(b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"') => self.at += 1,
            Some(b'u') => {
                self.at += 1;
                for _ in 0..4 {
                    if !self.peek().is_some_and(|byte| byte.is_ascii_hexdigit()) {
                        return Err(self.invalid("in \\u hexadecimal character escape"));
                    }
                    self.at += 1;
                }
            }
            _ => return Err(self.invalid("in string escape code")),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<Expect, SyntaxError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.skip_digits(),
            _ => return Err(self.invalid("in numeric literal")),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits("after decimal point in numeric literal")?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits("in exponent of numeric literal")?;
        }
        self.push(start, Kind::Number, false);
        Ok(Expect::After)
    }

    fn digits(&mut self, context: &str) -> Result<(), SyntaxError> {
        if !self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            return Err(self.invalid(context));
        }
        self.skip_digits();
        Ok(())
    }

    fn skip_digits(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
    }

    fn literal(&mut self, name: &'static [u8], kind: Kind) -> Result<Expect, SyntaxError> {
        let start = self.at;
        for letter in name {
            if self.peek() != Some(*letter) {
                let name = String::from_utf8_lossy(name);
                return Err(self.invalid(&format!("in literal {name} (expecting {})", quote(*letter))));
            }
            self.at += 1;
        }
        self.push(start, kind, false);
        Ok(Expect::After)
    }

    fn push(&mut self, start: usize, kind: Kind, escaped: bool) {
        let next = narrow(self.entries.len().saturating_add(1));
        self.entries.push(Entry {
            start: narrow(start),
            end: narrow(self.at),
            next,
            kind,
            escaped,
        });
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// The byte at `at` is wrong. At the end of the text Go reads a space there, and complains about that.
    fn invalid(&self, context: &str) -> SyntaxError {
        let byte = self.peek();
        SyntaxError {
            offset: self.at.saturating_add(usize::from(byte.is_some())),
            message: format!("invalid character {} {context}", quote(byte.unwrap_or(b' '))),
        }
    }

    /// The text ends where it may go on.
    fn end(&self) -> SyntaxError {
        SyntaxError {
            offset: self.text.len(),
            message: "unexpected end of JSON input".to_owned(),
        }
    }
}

/// Lengths were checked to fit at the start.
fn narrow(offset: usize) -> u32 {
    u32::try_from(offset).unwrap_or(u32::MAX)
}

/// A byte as Go's messages quote it: as the character of that number.
fn quote(byte: u8) -> String {
    match byte {
        b'\'' => "'\\''".to_owned(),
        b'\\' => "'\\\\'".to_owned(),
        b'\n' => "'\\n'".to_owned(),
        b'\r' => "'\\r'".to_owned(),
        b'\t' => "'\\t'".to_owned(),
        0x07 => "'\\a'".to_owned(),
        0x08 => "'\\b'".to_owned(),
        0x0b => "'\\v'".to_owned(),
        0x0c => "'\\f'".to_owned(),
        0..0x20 | 0x7f => format!("'\\x{byte:02x}'"),
        0x80..=0xa0 | 0xad => format!("'\\u{byte:04x}'"),
        _ => format!("'{}'", char::from(byte)),
    }
}
