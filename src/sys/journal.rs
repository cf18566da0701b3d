//! Where log lines go: the system log's datagram socket, the kernel log, stdout; and structured messages to the journal.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Environment;

/// Priorities of syslog(3), with facility kern, which is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Priority {
    /// 2: a failure
    Critical = 2,
    /// 3
    Error = 3,
    /// 4
    Warning = 4,
    /// 5
    Notice = 5,
    /// 6
    Info = 6,
    /// 7
    Debug = 7,
}

impl Priority {
    fn number(self) -> u8 {
        match self {
            Self::Critical => 2,
            Self::Error => 3,
            Self::Warning => 4,
            Self::Notice => 5,
            Self::Info => 6,
            Self::Debug => 7,
        }
    }

    /// The word on stdout, nine columns with its colon (spec/cli.md 6).
    pub fn word(self) -> &'static str {
        match self {
            Self::Critical => "CRITICAL :",
            Self::Error => "ERROR    :",
            Self::Warning => "WARNING  :",
            Self::Notice => "NOTICE   :",
            Self::Info => "INFO     :",
            Self::Debug => "DEBUG    :",
        }
    }
}

/// Takes log lines. What cannot be written is lost: a log that fails must not fail the run.
pub trait Sink: Send + Sync {
    /// One message, which may have several lines.
    fn write(&self, priority: Priority, message: &str);
}

/// Lines on stdout.
#[derive(Debug)]
pub struct Stdout {
    /// Whether they begin with their level in the form that systemd takes off again (sd-daemon(3))
    pub with_levels: bool,
}

impl Stdout {
    /// As who reads stdout needs it.
    pub fn of(environment: &Environment) -> Self {
        Self {
            with_levels: is_stdout(environment.journal_stream.as_deref()),
        }
    }

    fn line(&self, priority: Priority, message: &str) -> String {
        let word = priority.word();
        if self.with_levels {
            format!("<{}>{word} {message}\n", priority.number())
        } else {
            format!("{word} {message}\n")
        }
    }
}

impl Sink for Stdout {
    fn write(&self, priority: Priority, message: &str) {
        // One write per line: the pipe's other end sees whole lines even if this process is killed.
        let line = self.line(priority, message);
        let mut out = io::stdout().lock();
        let _lost = out.write_all(line.as_bytes()).and_then(|()| out.flush());
    }
}

/// Where the system log's socket is, as Go's `log/syslog` looks for it.
pub const SYSLOG_SOCKETS: [&str; 3] = ["/dev/log", "/var/run/syslog", "/var/run/log"];

/// How long one message may wait for the system log to make room. After that no further message waits.
const PATIENCE: Duration = Duration::from_secs(5);

/// Datagrams to the system log.
#[derive(Debug)]
pub struct Syslog {
    socket: UnixDatagram,
    paths: Vec<PathBuf>,
    tag: &'static str,
}

impl Syslog {
    /// Connects to the first socket that takes a connection.
    pub fn connect<P: AsRef<Path>>(paths: &[P], tag: &'static str) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let paths = paths.iter().map(|path| path.as_ref().to_owned()).collect();
        let syslog = Self { socket, paths, tag };
        syslog.reconnect()?;
        Ok(syslog)
    }

    fn reconnect(&self) -> io::Result<()> {
        let mut refused = io::Error::from(io::ErrorKind::NotFound);
        for path in &self.paths {
            match self.socket.connect(path) {
                Ok(()) => return Ok(()),
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    fn send(&self, line: &[u8]) -> io::Result<()> {
        match self.socket.send(line) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.socket.set_nonblocking(true),
            // The log daemon was restarted: its socket is another one now.
            Err(_) => {
                self.reconnect()?;
                self.socket.send(line).map(|_| ())
            }
        }
    }
}

impl Sink for Syslog {
    fn write(&self, priority: Priority, message: &str) {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        let line = syslog_line(priority, now, self.tag, std::process::id(), message);
        let _lost = self.send(line.as_bytes());
    }
}

/// The kernel log, for an initrd in which no system log runs yet.
#[derive(Debug)]
pub struct Kmsg {
    device: Mutex<std::fs::File>,
    tag: &'static str,
}

impl Kmsg {
    /// Opens `/dev/kmsg`, in an initrd only: anywhere else it is the log of the host.
    pub fn open(tag: &'static str) -> io::Result<Self> {
        std::fs::metadata("/etc/initrd-release")?;
        Ok(Self {
            device: Mutex::new(Self::device()?),
            tag,
        })
    }

    fn device() -> io::Result<std::fs::File> {
        std::fs::OpenOptions::new().write(true).open("/dev/kmsg")
    }
}

impl Sink for Kmsg {
    fn write(&self, priority: Priority, message: &str) {
        let Ok(mut device) = self.device.lock() else {
            return;
        };
        // The kernel drops what is written through one opening above ten lines in five seconds. A failure has to be seen.
        if priority.number() <= Priority::Error.number()
            && let Ok(fresh) = Self::device()
        {
            *device = fresh;
        }
        // One record per write, each of at most about a thousand bytes.
        for line in message.lines() {
            let end = line
                .char_indices()
                .map(|(at, _)| at)
                .take_while(|at| *at <= 900)
                .last()
                .unwrap_or(0);
            let shown = if line.len() > 900 {
                line.get(..end).unwrap_or(line)
            } else {
                line
            };
            let record = format!("<{}>{}: {shown}\n", priority.number(), self.tag);
            let _lost = device.write_all(record.as_bytes());
        }
    }
}

/// A datagram of syslog(3): `<6>Jan  2 15:04:05 ignition[7]: message`, time in UTC.
fn syslog_line(priority: Priority, seconds: u64, tag: &str, process: u32, message: &str) -> String {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    // Days to month and day: Howard Hinnant's civil_from_days, years beginning in March.
    let day_of_era = (seconds / 86_400 + 719_468) % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = usize::try_from((shifted + 2) % 12).unwrap_or_default();
    let month = MONTHS.get(month).copied().unwrap_or("Jan");
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let number = priority.number();
    format!("<{number}>{month} {day:>2} {hour:02}:{minute:02}:{second:02} {tag}[{process}]: {message}")
}

/// Where the journal takes structured messages.
pub const JOURNAL_SOCKET: &str = "/run/systemd/journal/socket";

/// Whether there is a journal.
pub fn is_there() -> bool {
    Path::new(JOURNAL_SOCKET).exists()
}

/// Whether stdout leads to the journal: `JOURNAL_STREAM` has the device and the inode of what systemd made it, and this process
/// may have been started with another (systemd.exec(5)).
fn is_stdout(stream: Option<&OsStr>) -> bool {
    let told = stream.and_then(OsStr::to_str).and_then(|text| {
        let (device, inode) = text.split_once(':')?;
        Some((device.parse().ok()?, inode.parse().ok()?))
    });
    let own = io::stdout().as_fd().try_clone_to_owned().map(File::from);
    let own = own.and_then(|own| own.metadata()).ok();
    told.is_some() && told == own.map(|about| (about.dev(), about.ino()))
}

/// Sends one structured message to the journal. Not found means that there is no journal.
pub fn send(socket: &str, fields: &[(&str, &str)]) -> io::Result<()> {
    let sender = UnixDatagram::unbound()?;
    sender.send_to(&journal_message(fields), socket)?;
    Ok(())
}

/// The native protocol: `NAME=value`, or for values with line feeds the length in eight little-endian bytes.
fn journal_message(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        out.extend_from_slice(name.as_bytes());
        if value.contains('\n') {
            out.push(b'\n');
            out.extend_from_slice(&u64::try_from(value.len()).unwrap_or(u64::MAX).to_le_bytes());
        } else {
            out.push(b'=');
        }
        out.extend_from_slice(value.as_bytes());
        out.push(b'\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_for_the_journal_have_their_level() {
        for (with_levels, want) in [(false, "CRITICAL : no\n"), (true, "<2>CRITICAL : no\n")] {
            assert_eq!(Stdout { with_levels }.line(Priority::Critical, "no"), want);
        }
        let own = File::from(io::stdout().as_fd().try_clone_to_owned().unwrap());
        let own = own.metadata().unwrap();
        let stream = format!("{}:{}", own.dev(), own.ino());
        let other = format!("{}:{}", own.dev(), own.ino() + 1);
        for (told, want) in [
            (Some(stream.as_str()), true),
            (Some(other.as_str()), false),
            (Some("x:y"), false),
            (Some(""), false),
            (None, false),
        ] {
            assert_eq!(is_stdout(told.map(OsStr::new)), want, "{told:?}");
        }
    }

    #[test]
    fn words_are_ten_columns() {
        use Priority::{Critical, Debug, Error, Info, Notice, Warning};
        for priority in [Critical, Error, Warning, Notice, Info, Debug] {
            assert_eq!(priority.word().len(), 10, "{priority:?}");
            assert!(priority.word().ends_with(':'));
        }
    }

    #[test]
    fn syslog_dates() {
        // date -u -d @N '+%b %e %T'
        for (seconds, date) in [
            (0, "Jan  1 00:00:00"),
            (951_782_400, "Feb 29 00:00:00"),
            (1_709_251_199, "Feb 29 23:59:59"),
            (1_709_251_200, "Mar  1 00:00:00"),
            (1_767_225_599, "Dec 31 23:59:59"),
            (4_102_444_800, "Jan  1 00:00:00"),
        ] {
            assert_eq!(
                syslog_line(Priority::Info, seconds, "ignition", 7, "x"),
                format!("<6>{date} ignition[7]: x")
            );
        }
    }

    #[test]
    fn syslog_takes_the_first_socket_that_answers() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let receiver = UnixDatagram::bind(&path).unwrap();
        let sink = Syslog::connect(&[Path::new("/nonexistent/log"), &path], "ignition").unwrap();
        sink.write(Priority::Critical, "two\nlines");
        let mut buffer = [0; 256];
        let size = receiver.recv(&mut buffer).unwrap();
        let text = std::str::from_utf8(&buffer[..size]).unwrap();
        assert!(text.starts_with("<2>"), "{text}");
        assert!(
            text.ends_with(&format!(" ignition[{}]: two\nlines", std::process::id())),
            "{text}"
        );
        assert!(Syslog::connect(&["/nonexistent/log"], "ignition").is_err());
    }

    #[test]
    fn syslog_finds_a_daemon_that_was_restarted() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let first = UnixDatagram::bind(&path).unwrap();
        let sink = Syslog::connect(&[&path], "ignition").unwrap();
        drop(first);
        sink.write(Priority::Info, "nobody is there");
        std::fs::remove_file(&path).unwrap();
        let second = UnixDatagram::bind(&path).unwrap();
        sink.write(Priority::Info, "again");
        let mut buffer = [0; 256];
        let size = second.recv(&mut buffer).unwrap();
        assert!(buffer[..size].ends_with(b": again"));
    }

    #[test]
    fn a_stuck_daemon_is_waited_for_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let _never_read = UnixDatagram::bind(&path).unwrap();
        let sink = Syslog::connect(&[&path], "ignition").unwrap();
        sink.socket
            .set_write_timeout(Some(Duration::from_millis(20)))
            .unwrap();
        let start = std::time::Instant::now();
        for _ in 0..5_000 {
            sink.write(Priority::Info, "x");
        }
        // Waiting for each of them would take a minute and a half.
        assert!(start.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn journal_protocol() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let receiver = UnixDatagram::bind(&path).unwrap();
        send(path.to_str().unwrap(), &[("MESSAGE", "a\nb"), ("PRIORITY", "6")]).unwrap();
        let mut buffer = [0; 256];
        let size = receiver.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..size], b"MESSAGE\n\x03\0\0\0\0\0\0\0a\nb\nPRIORITY=6\n");
        assert_eq!(
            send("/nonexistent", &[]).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
    }
}
