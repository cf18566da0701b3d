//! Asking PID 1 which device units are active, on its own socket (`/run/systemd/private`), as `systemctl` does: one message of
//! D-Bus and its answer. `systemctl` itself takes longer to start than udev takes for a device, and lists all units there are.

use std::collections::BTreeSet;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::sys::Tool;
use crate::sys::runner::{Invocation, Runner};

/// How long PID 1 may take to say something.
const ANSWER: Duration = Duration::from_secs(10);

/// The most bytes that an answer may have; D-Bus allows no more.
const MOST: usize = 128 << 20;

/// Which of these units are active.
pub(super) fn active(socket: &Path, units: &BTreeSet<String>) -> io::Result<BTreeSet<String>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.set_write_timeout(Some(ANSWER))?;
    // The user's number in digits, and these as hexadecimal bytes.
    let user = nix::unistd::geteuid().to_string();
    // Digits are 0x30 and so on.
    let digits: String = user.chars().flat_map(|digit| ['3', digit]).collect();
    stream.write_all(format!("\0AUTH EXTERNAL {digits}\r\n").as_bytes())?;
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        line.extend(byte);
        if line.len() > 1024 {
            return Err(strange());
        }
    }
    if !line.starts_with(b"OK ") {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    stream.write_all(b"BEGIN\r\n")?;
    stream.write_all(&question(units)?)?;
    loop {
        let mut fixed = [0; 16];
        stream.read_exact(&mut fixed)?;
        let (kind, rest) = lengths(&fixed)?;
        let mut message = vec![0; rest];
        stream.read_exact(&mut message)?;
        match kind {
            METHOD_RETURN => return answer(&fixed, &message).ok_or_else(strange),
            ERROR => return Err(io::Error::other("systemd does not answer what it was asked")),
            // Signals come without being asked for.
            _ => {}
        }
    }
}

/// The same by `systemctl`, if the socket does not do what was expected of it.
pub(super) fn active_by_program(
    runner: &dyn Runner,
    units: &BTreeSet<String>,
) -> io::Result<BTreeSet<String>> {
    let ask = ["show", "--property=Id", "--property=ActiveState", "--"].map(str::to_owned);
    let show = Invocation::new(Tool::Systemctl, ask.into_iter().chain(units.iter().cloned()));
    let output = runner.run(&show).map_err(io::Error::other)?;
    // A paragraph for each unit.
    let text = String::from_utf8_lossy(&output.stdout);
    let paragraphs = text.split("\n\n");
    let active = paragraphs.filter_map(|unit| {
        let value = |key: &str| {
            unit.lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
        };
        (value("ActiveState")? == "active").then(|| value("Id").map(str::to_owned))?
    });
    Ok(active.collect())
}

fn strange() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "systemd's answer is not what was expected",
    )
}

const METHOD_RETURN: u8 = 2;
const ERROR: u8 = 3;

/// Writes a message, little end first.
#[derive(Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn align(&mut self, to: usize) {
        while !self.0.len().is_multiple_of(to) {
            self.0.push(0);
        }
    }

    fn number(&mut self, number: usize) -> io::Result<()> {
        let number = u32::try_from(number).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        self.align(4);
        self.0.extend(number.to_le_bytes());
        Ok(())
    }

    fn string(&mut self, text: &str) -> io::Result<()> {
        self.number(text.len())?;
        self.0.extend(text.as_bytes());
        self.0.push(0);
        Ok(())
    }

    /// A field of the header: its number, the type of its value, which is a string.
    fn field(&mut self, number: u8, kind: u8, value: &str) -> io::Result<()> {
        self.align(8);
        self.0.extend([number, 1, kind, 0]);
        if kind == b'g' {
            self.0.push(u8::try_from(value.len()).unwrap_or_default());
            self.0.extend(value.as_bytes());
            self.0.push(0);
            return Ok(());
        }
        self.string(value)
    }
}

/// `ListUnitsByNames` with these names.
fn question(units: &BTreeSet<String>) -> io::Result<Vec<u8>> {
    let mut names = Writer::default();
    for unit in units {
        names.string(unit)?;
    }
    let mut fields = Writer::default();
    fields.field(1, b'o', "/org/freedesktop/systemd1")?;
    fields.field(2, b's', "org.freedesktop.systemd1.Manager")?;
    fields.field(3, b's', "ListUnitsByNames")?;
    fields.field(6, b's', "org.freedesktop.systemd1")?;
    fields.field(8, b'g', "as")?;

    // Little end first, a call, without flags, version 1; the length of the body; the number of the message.
    let mut message = Writer(vec![b'l', 1, 0, 1]);
    message.number(names.0.len().saturating_add(4))?;
    message.number(1)?;
    message.number(fields.0.len())?;
    message.0.extend(fields.0);
    message.align(8);
    message.number(names.0.len())?;
    message.0.extend(names.0);
    Ok(message.0)
}

/// From the first 16 bytes of a message: its kind, and how many bytes come after them.
fn lengths(fixed: &[u8; 16]) -> io::Result<(u8, usize)> {
    let [_, kind, ..] = *fixed;
    let reader = Reader::new(fixed, fixed);
    let body = reader.number_at(4).ok_or_else(strange)?;
    let fields = reader.number_at(12).ok_or_else(strange)?;
    let length = fields
        .checked_next_multiple_of(8)
        .and_then(|fields| fields.checked_add(body))
        .filter(|length| *length <= MOST)
        .ok_or_else(strange)?;
    Ok((kind, length))
}

/// Reads a message.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    little: bool,
}

impl<'a> Reader<'a> {
    /// `fixed` has the order of bytes, `bytes` is what is read.
    fn new(fixed: &[u8; 16], bytes: &'a [u8]) -> Self {
        let [order, ..] = *fixed;
        Self {
            bytes,
            at: 0,
            little: order == b'l',
        }
    }

    fn number_at(&self, at: usize) -> Option<usize> {
        let bytes = self.bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        let number = if self.little {
            u32::from_le_bytes(bytes)
        } else {
            u32::from_be_bytes(bytes)
        };
        usize::try_from(number).ok()
    }

    fn align(&mut self, to: usize) -> Option<()> {
        self.at = self.at.checked_next_multiple_of(to)?;
        Some(())
    }

    fn number(&mut self) -> Option<usize> {
        self.align(4)?;
        let number = self.number_at(self.at)?;
        self.at = self.at.checked_add(4)?;
        Some(number)
    }

    fn string(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        let end = self.at.checked_add(length)?;
        let text = self.bytes.get(self.at..end)?;
        self.at = end.checked_add(1)?;
        Some(text)
    }
}

/// The active ones of an answer, which is a list of units: name, description, how it was loaded, state, more of it, whom
/// it follows, path, and its job: number, kind, path. `message` is what comes after the first 16 bytes.
fn answer(fixed: &[u8; 16], message: &[u8]) -> Option<BTreeSet<String>> {
    let fields = Reader::new(fixed, fixed).number_at(12)?;
    // Alignment counts from the message's begin, and this is a multiple of 8.
    let body = message.get(fields.checked_next_multiple_of(8)?..)?;
    let mut reader = Reader::new(fixed, body);
    let length = reader.number()?;
    reader.align(8)?;
    let end = reader.at.checked_add(length)?;
    let mut active = BTreeSet::new();
    while reader.at < end {
        reader.align(8)?;
        let name = reader.string()?;
        let (_description, _loaded) = (reader.string()?, reader.string()?);
        if reader.string()? == b"active" {
            active.insert(String::from_utf8_lossy(name).into_owned());
        }
        let (_substate, _follows, _path) = (reader.string()?, reader.string()?, reader.string()?);
        let (_job, _kind, _of) = (reader.number()?, reader.string()?, reader.string()?);
    }
    Some(active)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::runner::FakeRunner;
    use std::os::unix::net::UnixListener;
    use std::thread;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    /// A message of PID 1 about units with their states.
    fn said(kind: u8, units: &[(&str, &str)]) -> Vec<u8> {
        let mut list = Writer::default();
        for (name, state) in units {
            list.align(8);
            for text in [name, "what it is", "loaded", state, "plugged", "", "/a/path"] {
                list.string(text).unwrap();
            }
            list.number(0).unwrap();
            list.string("").unwrap();
            list.string("/").unwrap();
        }
        let mut fields = Writer::default();
        fields.align(8);
        fields.0.extend([5, 1, b'u', 0]);
        fields.number(1).unwrap();
        fields.field(8, b'g', "a(ssssssouso)").unwrap();
        let mut message = Writer(vec![b'l', kind, 1, 1]);
        message.number(list.0.len() + 8).unwrap();
        message.number(7).unwrap();
        message.number(fields.0.len()).unwrap();
        message.0.extend(fields.0);
        message.align(8);
        message.number(list.0.len()).unwrap();
        message.align(8);
        message.0.extend(list.0);
        message.0
    }

    /// Answers one client with these messages; returns what it was sent.
    fn ask(answers: Vec<Vec<u8>>, units: &[&str]) -> (io::Result<BTreeSet<String>>, Vec<u8>) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("private");
        let listener = UnixListener::bind(&path).unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut read = vec![0; 4096];
            let mut heard = Vec::new();
            while !heard.ends_with(b"\r\n") {
                let count = stream.read(&mut read).unwrap();
                heard.extend_from_slice(&read[..count]);
            }
            stream.write_all(b"OK 0123456789abcdef\r\n").unwrap();
            let begun = heard.len();
            while !heard[begun..].starts_with(b"BEGIN\r\n") || heard.len() < begun + 7 + 16 {
                let count = stream.read(&mut read).unwrap();
                heard.extend_from_slice(&read[..count]);
            }
            for answer in answers {
                stream.write_all(&answer).unwrap();
            }
            heard
        });
        let found = active(&path, &set(units));
        (found, server.join().unwrap())
    }

    #[test]
    fn what_is_active() {
        let signal = said(4, &[("c.device", "active")]);
        let reply = said(
            2,
            &[
                ("a.device", "active"),
                ("dev-b\\x2dc.device", "active"),
                ("d.device", "inactive"),
            ],
        );
        let (found, sent) = ask(vec![signal, reply], &["a.device", "d.device"]);
        assert_eq!(found.unwrap(), set(&["a.device", "dev-b\\x2dc.device"]));
        assert!(sent.starts_with(b"\0AUTH EXTERNAL "));
        let (found, _) = ask(vec![said(2, &[])], &["a.device"]);
        assert_eq!(found.unwrap(), set(&[]));
    }

    #[test]
    fn what_is_active_by_systemctl() {
        let said = b"Id=a.device\nActiveState=active\n\nId=dev-b\\x2dc.device\nActiveState=inactive\n\nActiveState=active\nId=d.device\n";
        let runner = FakeRunner::new().succeed(said);
        let units = set(&["a.device", "dev-b\\x2dc.device", "d.device"]);
        assert_eq!(
            active_by_program(&runner, &units).unwrap(),
            set(&["a.device", "d.device"])
        );
        assert_eq!(
            runner.commands(),
            [r"systemctl show --property=Id --property=ActiveState -- a.device d.device 'dev-b\x2dc.device'"]
        );
    }

    #[test]
    fn the_question_is_as_dbus_has_it() {
        let bytes = question(&set(&["a.device", "bc.device"])).unwrap();
        let fixed: [u8; 16] = bytes[..16].try_into().unwrap();
        let (kind, rest) = lengths(&fixed).unwrap();
        assert_eq!((kind, rest), (1, bytes.len() - 16));
        let body = &bytes[bytes.len() - 34..];
        assert_eq!(body, b"\x1e\0\0\0\x08\0\0\0a.device\0\0\0\0\x09\0\0\0bc.device\0");
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        assert!(ask(vec![said(3, &[])], &["a.device"]).0.is_err());
        let whole = said(2, &[("a.device", "active")]);
        for length in 0..whole.len() {
            assert!(
                ask(vec![whole[..length].to_vec()], &["a.device"]).0.is_err(),
                "{length}"
            );
        }
        let mut long = whole;
        long[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(ask(vec![long], &["a.device"]).0.is_err());
        assert!(active(Path::new("/nowhere"), &set(&[])).is_err());
    }
}
