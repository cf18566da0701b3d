//! Writing to every console of the machine at once. A console that takes nothing, or is not there, costs at most a
//! second in all, and never fails a run.

use std::fs::File;
use std::io::{IsTerminal as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::patience::within;

/// The consoles of the kernel, with what they can do (Documentation/filesystems/proc.rst).
const CONSOLES: &str = "/proc/consoles";

/// How long all of them together may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long to wait between two looks at what a line has not sent yet.
const LOOK: Duration = Duration::from_millis(50);

/// Writes a text to stderr. If that is a terminal that takes nothing, it is left after a second: whoever reads a pipe or a
/// file is waited for.
pub fn write_stderr(text: &str) {
    if std::io::stderr().is_terminal() {
        let text = text.to_owned();
        let _left = within(PATIENCE, move || super::terminal::print(true, &text));
    } else {
        super::terminal::print(true, text);
    }
}

/// Writes a text to every console that can be written to, but not to the one that stderr is. What a console does not take
/// within a second is lost.
pub fn write(text: &str) {
    let text = text.to_owned();
    // Even opening can wait, behind another process that closes the line.
    let _left = within(PATIENCE.saturating_mul(2), move || {
        let own = std::io::stderr().as_fd().try_clone_to_owned().ok();
        let own = own
            .and_then(|own| File::from(own).metadata().ok())
            .filter(|about| about.file_type().is_char_device())
            .map(|about| about.rdev());
        let listed = listed(&std::fs::read_to_string(CONSOLES).unwrap_or_default());
        let consoles = listed
            .into_iter()
            .filter(|console| !(console.preferred && own == Some(DEV_CONSOLE)))
            .map(|console| Path::new("/dev").join(console.name));
        write_to(consoles, &text, own, PATIENCE);
    });
}

/// The device number of `/dev/console`, which is another name of the preferred console (Documentation/admin-guide/devices.txt).
const DEV_CONSOLE: u64 = nix::sys::stat::makedev(5, 1);

/// A console as the kernel lists it.
#[derive(Debug, PartialEq, Eq)]
struct Listed {
    name: String,
    /// Whether `/dev/console` is this one
    preferred: bool,
}

/// Names of the consoles that can be written to: `ttyS0                -W- (EC p a)    4:64`. Without any, the one that
/// stands for whatever there is.
fn listed(table: &str) -> Vec<Listed> {
    let mut consoles: Vec<Listed> = table
        .lines()
        .filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            let (name, abilities) = (words.next()?, words.next()?);
            let good = abilities.contains('W') && !name.contains('/') && !name.starts_with('.');
            let flags = line.split_once('(').map_or("", |(_, rest)| rest);
            let flags = flags.split_once(')').map_or("", |(flags, _)| flags);
            good.then(|| Listed {
                name: name.to_owned(),
                preferred: flags.contains('C'),
            })
        })
        .collect();
    if consoles.is_empty() {
        consoles.push(Listed {
            name: String::from("console"),
            preferred: true,
        });
    }
    consoles
}

/// A console with what is still to be written to it.
struct Console<'t> {
    device: File,
    left: &'t [u8],
    /// Bytes that the line had not sent when it was last seen sending
    waiting: usize,
}

fn write_to(paths: impl Iterator<Item = PathBuf>, text: &str, own: Option<u64>, patience: Duration) {
    let end = Instant::now().checked_add(patience);
    // A line that was left in raw mode needs both.
    let text = format!("\r\n{}", text.replace('\n', "\r\n"));
    let mut consoles: Vec<Console<'_>> = paths
        .filter_map(|path| open(&path))
        .filter(|device| {
            let rdev = device.metadata().ok().map(|about| about.rdev());
            rdev.is_some() && rdev != own
        })
        .map(|device| Console {
            device,
            left: text.as_bytes(),
            waiting: usize::MAX,
        })
        .collect();
    loop {
        for console in &mut consoles {
            advance(console);
        }
        let rest = end
            .map(|end| end.saturating_duration_since(Instant::now()))
            .unwrap_or_default();
        let unfinished: Vec<&Console<'_>> = consoles
            .iter()
            .filter(|console| !console.left.is_empty() || unsent(&console.device) > 0)
            .collect();
        if unfinished.is_empty() || rest.is_zero() {
            break;
        }
        wait(&unfinished, rest.min(LOOK));
    }
    for console in &consoles {
        // Closing a line waits up to half a minute for what it has not sent. One that moves gets the time that it takes;
        // one that stands still, because nobody reads at its other end, loses the rest.
        let waiting = unsent(&console.device);
        if waiting > 0 && waiting >= console.waiting {
            let _lost = nix::sys::termios::tcflush(&console.device, nix::sys::termios::FlushArg::TCOFLUSH);
        }
    }
}

/// Opens without waiting for a carrier, and without becoming the terminal of this process.
fn open(path: &Path) -> Option<File> {
    let device = std::fs::OpenOptions::new()
        .write(true)
        .custom_flags(libc::O_NOCTTY | libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open(path);
    match device {
        Ok(device) => {
            let about = device.metadata().ok()?;
            about.file_type().is_char_device().then_some(device)
        }
        Err(error) => {
            tracing::debug!("cannot write to the console {}: {error}", path.display());
            None
        }
    }
}

/// Writes as much as the console takes now.
fn advance(console: &mut Console<'_>) {
    while !console.left.is_empty() {
        match console.device.write(console.left) {
            Ok(0) => break,
            Ok(count) => console.left = console.left.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
            // It is gone.
            Err(_) => console.left = &[],
        }
    }
    if console.waiting == usize::MAX {
        console.waiting = unsent(&console.device);
    }
}

/// Waits until one of them takes something, or for a while.
fn wait(consoles: &[&Console<'_>], rest: Duration) {
    let full = consoles.iter().filter(|console| !console.left.is_empty());
    let mut fds: Vec<PollFd<'_>> = full
        .map(|console| PollFd::new(console.device.as_fd(), PollFlags::POLLOUT))
        .collect();
    let milliseconds = u16::try_from(rest.as_millis()).unwrap_or(u16::MAX).max(1);
    let told = poll(&mut fds, PollTimeout::from(milliseconds));
    let is_broken = fds.iter().any(|fd| {
        fd.revents().is_some_and(|events| {
            events.intersects(PollFlags::POLLERR | PollFlags::POLLHUP | PollFlags::POLLNVAL)
        })
    });
    // A terminal that hung up is always ready: it must not be asked in a circle.
    if told.is_err() || is_broken {
        std::thread::sleep(rest);
    }
}

/// Bytes that a line was given and has not sent; 0 if it does not say.
fn unsent(device: &File) -> usize {
    let mut count: libc::c_int = 0;
    #[expect(unsafe_code, reason = "nix has no TIOCOUTQ")]
    // SAFETY: TIOCOUTQ writes one int to the address it is given, which is that of a live one; the descriptor is open.
    let done = unsafe { libc::ioctl(device.as_raw_fd(), libc::TIOCOUTQ, &raw mut count) };
    if done == 0 {
        usize::try_from(count).unwrap_or_default()
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;
    use std::os::fd::OwnedFd;

    #[test]
    fn consoles_are_those_that_can_be_written_to() {
        let table = "tty0                 -WU (EC  p  )    4:1\n\
                     ttyS0                -W- (E   p a)    4:64\n\
                     braille0             R-- (E     )\n\
                     netcon0              --- (E     )\n\
                     ../kmsg              -W- (E   p a)    4:64\n";
        let found = |table: &str| -> Vec<(String, bool)> {
            let all = listed(table).into_iter();
            all.map(|console| (console.name, console.preferred)).collect()
        };
        assert_eq!(found(table), [("tty0".into(), true), ("ttyS0".into(), false)]);
        assert_eq!(found(""), [("console".into(), true)]);
        assert_eq!(found("\n x"), [("console".into(), true)]);
    }

    /// The two ends of a pty: what a person sees, and the path of the line.
    fn pty() -> (File, PathBuf) {
        let master = nix::pty::posix_openpt(nix::fcntl::OFlag::O_RDWR | nix::fcntl::OFlag::O_NOCTTY).unwrap();
        nix::pty::grantpt(&master).unwrap();
        nix::pty::unlockpt(&master).unwrap();
        let path = PathBuf::from(nix::pty::ptsname_r(&master).unwrap());
        (File::from(OwnedFd::from(master)), path)
    }

    #[test]
    fn every_console_gets_the_text_and_none_is_waited_for() {
        let (mut first, first_path) = pty();
        let (mut second, second_path) = pty();
        let (blocked, blocked_path) = pty();
        // Nobody reads: fill it, and keep it open.
        let mut line = open(&blocked_path).unwrap();
        let mut refused = 0;
        while refused < 5 {
            if line.write_all(b"x").is_ok() {
                refused = 0;
            } else {
                // What was written moves on a little later, and makes room once more.
                refused += 1;
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        let missing = PathBuf::from("/dev/no-such-console");
        let file = tempfile::NamedTempFile::new().unwrap();
        let begin = Instant::now();
        let paths = [
            missing,
            file.path().to_owned(),
            blocked_path,
            first_path,
            second_path,
        ];
        write_to(paths.into_iter(), "one\ntwo\n", None, Duration::from_millis(300));
        let took = begin.elapsed();
        assert!(
            took >= Duration::from_millis(300),
            "the full one was not full: {took:?}"
        );
        assert!(took < Duration::from_secs(2), "{took:?}");
        for master in [&mut first, &mut second] {
            let mut seen = [0; 256];
            let count = master.read(&mut seen).unwrap();
            let text = String::from_utf8_lossy(&seen[..count]).replace('\r', "");
            assert_eq!(text, "\none\ntwo\n");
        }
        assert_eq!(
            std::fs::read(file.path()).unwrap(),
            b"",
            "no regular file is written"
        );
        drop(blocked);
    }

    #[test]
    fn the_console_that_stderr_is_gets_it_once() {
        let (mut master, path) = pty();
        let rdev = std::fs::metadata(&path).unwrap().rdev();
        write_to(std::iter::once(path.clone()), "no\n", Some(rdev), PATIENCE);
        write_to(std::iter::once(path), "yes\n", None, PATIENCE);
        let mut seen = [0; 256];
        let count = master.read(&mut seen).unwrap();
        assert_eq!(
            String::from_utf8_lossy(&seen[..count]).replace('\r', ""),
            "\nyes\n"
        );
    }

    #[test]
    fn a_console_whose_other_end_is_gone_is_not_waited_for() {
        let (master, path) = pty();
        let _line = open(&path).unwrap();
        drop(master);
        let begin = Instant::now();
        write_to(std::iter::once(path), "text\n", None, Duration::from_secs(5));
        assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    }
}
