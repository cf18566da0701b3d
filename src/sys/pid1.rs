//! Asking PID 1 about units on its own socket (`/run/systemd/private`), as `systemctl` does: one message of D-Bus and its answer.
//! `systemctl` itself takes longer to start than udev takes for a device, and lists all units there are. It is asked where the socket
//! does not do what is expected of it.

use std::collections::BTreeSet;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::sys::Tool;
use crate::sys::runner::{Invocation, Runner};

/// How long PID 1 may take to say something.
const ANSWER: Duration = Duration::from_secs(10);

/// The most bytes that an answer may have; D-Bus allows no more.
const MOST: usize = 128 << 20;

/// A unit as PID 1 has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Its name
    pub name: String,
    /// Whether it is active
    pub is_active: bool,
    /// Whether there is a job for it
    pub has_job: bool,
}

/// Where PID 1 is asked; there only if it is systemd.
pub fn socket(run: &Path) -> PathBuf {
    run.join("systemd/private")
}

/// How these units are, by the socket or by `systemctl`.
///
/// # Errors
///
/// What the socket said: it tells more than what `systemctl` says of the same.
pub fn units(run: &Path, runner: &dyn Runner, names: &BTreeSet<String>) -> io::Result<Vec<Unit>> {
    by_socket(&socket(run), names).or_else(|error| by_systemctl(runner, names).map_err(|_| error))
}

fn by_socket(socket: &Path, names: &BTreeSet<String>) -> io::Result<Vec<Unit>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.set_write_timeout(Some(ANSWER))?;
    // The user's number in digits, and these as hexadecimal bytes.
    let user = nix::unistd::geteuid().to_string();
    // Digits are 0x30 and so on.
    let digits: String = user.chars().flat_map(|digit| ['3', digit]).collect();
    // `BEGIN` before the answer, and the question after it: what comes together with `BEGIN` systemd reads, and leaves until something
    // else wakes it.
    stream.write_all(format!("\0AUTH EXTERNAL {digits}\r\nBEGIN\r\n").as_bytes())?;
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
    stream.write_all(&question(names)?)?;
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

fn by_systemctl(runner: &dyn Runner, names: &BTreeSet<String>) -> io::Result<Vec<Unit>> {
    let ask = ["show", "--property=Id,ActiveState,Job", "--"].map(str::to_owned);
    let show = Invocation::new(Tool::Systemctl, ask.into_iter().chain(names.iter().cloned()));
    let output = runner.run(&show).map_err(io::Error::other)?;
    // A paragraph for each unit.
    let text = String::from_utf8_lossy(&output.stdout);
    let units = text.split("\n\n").filter_map(|unit| {
        let value = |key: &str| {
            unit.lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
        };
        Some(Unit {
            name: value("Id")?.to_owned(),
            is_active: value("ActiveState") == Some("active"),
            has_job: value("Job").is_some_and(|job| !job.is_empty()),
        })
    });
    Ok(units.collect())
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

/// What is in an answer, which is a list of units: name, description, how it was loaded, state, more of it, whom
/// it follows, path, and its job: number, kind, path. `message` is what comes after the first 16 bytes.
fn answer(fixed: &[u8; 16], message: &[u8]) -> Option<Vec<Unit>> {
    let fields = Reader::new(fixed, fixed).number_at(12)?;
    // Alignment counts from the message's begin, and this is a multiple of 8.
    let body = message.get(fields.checked_next_multiple_of(8)?..)?;
    let mut reader = Reader::new(fixed, body);
    let length = reader.number()?;
    reader.align(8)?;
    let end = reader.at.checked_add(length)?;
    let mut units = Vec::new();
    while reader.at < end {
        reader.align(8)?;
        let name = reader.string()?;
        let (_description, _loaded) = (reader.string()?, reader.string()?);
        let is_active = reader.string()? == b"active";
        let (_substate, _follows, _path) = (reader.string()?, reader.string()?, reader.string()?);
        let (job, _kind, _of) = (reader.number()?, reader.string()?, reader.string()?);
        units.push(Unit {
            name: String::from_utf8_lossy(name).into_owned(),
            is_active,
            has_job: job != 0,
        });
    }
    Some(units)
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
    fn said(kind: u8, units: &[(&str, &str, usize)]) -> Vec<u8> {
        let mut list = Writer::default();
        for (name, state, job) in units {
            list.align(8);
            for text in [name, "what it is", "loaded", state, "plugged", "", "/a/path"] {
                list.string(text).unwrap();
            }
            list.number(*job).unwrap();
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
    fn ask(answers: Vec<Vec<u8>>, units: &[&str]) -> (io::Result<Vec<Unit>>, Vec<u8>) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("private");
        let listener = UnixListener::bind(&path).unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut read = vec![0; 4096];
            let mut heard = Vec::new();
            while !heard.ends_with(b"\r\nBEGIN\r\n") {
                let count = stream.read(&mut read).unwrap();
                assert!(count > 0, "BEGIN does not come before the answer");
                heard.extend_from_slice(&read[..count]);
            }
            stream.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
            assert!(
                stream.read(&mut read).is_err(),
                "the question does not wait for the answer"
            );
            stream.set_read_timeout(None).unwrap();
            stream.write_all(b"OK 0123456789abcdef\r\n").unwrap();
            let begun = heard.len();
            while heard.len() < begun + 16 {
                let count = stream.read(&mut read).unwrap();
                heard.extend_from_slice(&read[..count]);
            }
            for answer in answers {
                stream.write_all(&answer).unwrap();
            }
            heard
        });
        let found = by_socket(&path, &set(units));
        (found, server.join().unwrap())
    }

    fn unit(name: &str, is_active: bool, has_job: bool) -> Unit {
        Unit {
            name: name.to_owned(),
            is_active,
            has_job,
        }
    }

    #[test]
    fn how_units_are() {
        let signal = said(4, &[("c.device", "active", 0)]);
        let reply = said(
            2,
            &[
                ("a.device", "active", 0),
                ("dev-b\\x2dc.device", "active", 7),
                ("d.device", "inactive", 91),
                ("e.device", "inactive", 0),
            ],
        );
        let (found, sent) = ask(vec![signal, reply], &["a.device", "d.device"]);
        let want = [
            unit("a.device", true, false),
            unit("dev-b\\x2dc.device", true, true),
            unit("d.device", false, true),
            unit("e.device", false, false),
        ];
        assert_eq!(found.unwrap(), want);
        assert!(sent.starts_with(b"\0AUTH EXTERNAL "));
        let (found, _) = ask(vec![said(2, &[])], &["a.device"]);
        assert_eq!(found.unwrap(), []);
    }

    #[test]
    fn systemctl_is_asked_where_the_socket_does_not_answer() {
        let answer = b"Id=a.device\nActiveState=active\nJob=\n\nJob=91\nId=dev-b\\x2dc.device\nActiveState=inactive\n\nActiveState=active\nId=d.device\n";
        let runner = FakeRunner::new().succeed(answer);
        let names = set(&["a.device", "dev-b\\x2dc.device", "d.device"]);
        let want = [
            unit("a.device", true, false),
            unit("dev-b\\x2dc.device", false, true),
            unit("d.device", true, false),
        ];
        assert_eq!(units(Path::new("/nowhere"), &runner, &names).unwrap(), want);
        assert_eq!(
            runner.commands(),
            [r"systemctl show --property=Id,ActiveState,Job -- a.device d.device 'dev-b\x2dc.device'"]
        );
        let nobody = FakeRunner::new().fail(1, "System has not been booted with systemd");
        let error = units(Path::new("/nowhere"), &nobody, &names).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
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
        let whole = said(2, &[("a.device", "active", 0)]);
        for length in 0..whole.len() {
            assert!(
                ask(vec![whole[..length].to_vec()], &["a.device"]).0.is_err(),
                "{length}"
            );
        }
        let mut long = whole;
        long[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(ask(vec![long], &["a.device"]).0.is_err());
        assert!(by_socket(Path::new("/nowhere"), &set(&[])).is_err());
    }
}
