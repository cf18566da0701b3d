//! Virtio ports: byte streams to whoever runs a virtual machine, by name. A port that nobody reads, or that is not there,
//! costs a bounded time and never fails a run.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::patience::within;

/// How long a port may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long to wait before a port is tried again.
const LOOK: Duration = Duration::from_millis(50);

/// Where udev has links to the ports by name.
const NAMES: &str = "/dev/virtio-ports";

/// Where the kernel has their names (drivers/char/virtio_console.c).
const CLASS: &str = "/sys/class/virtio-ports";

/// Writes to the port of this name. Whether there is such a port; an error is one that did not take all of it.
pub fn write(name: &str, bytes: &[u8]) -> io::Result<bool> {
    let Some(path) = find(name) else {
        return Ok(false);
    };
    let bytes = bytes.to_owned();
    // Opening can wait, too.
    within(PATIENCE.saturating_mul(2), move || {
        open(&path).and_then(|mut port| write_all(&mut port, &bytes, PATIENCE))
    })
    .unwrap_or(Err(io::ErrorKind::TimedOut.into()))
    .map(|()| true)
}

fn find(name: &str) -> Option<PathBuf> {
    let link = Path::new(NAMES).join(name);
    if std::fs::metadata(&link).is_ok() {
        return Some(link);
    }
    let ports = std::fs::read_dir(CLASS).ok()?.filter_map(Result::ok);
    ports
        .filter(|port| {
            std::fs::read_to_string(port.path().join("name")).is_ok_and(|found| found.trim_end() == name)
        })
        .map(|port| Path::new("/dev").join(port.file_name()))
        .next()
}

/// Opens a port; what is no character device is none.
fn open(path: &Path) -> io::Result<File> {
    let port = OpenOptions::new()
        .write(true)
        .custom_flags(libc::O_NOCTTY | libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open(path)?;
    if port.metadata()?.file_type().is_char_device() {
        Ok(port)
    } else {
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is no character device",
        ))
    }
}

fn write_all(port: &mut File, bytes: &[u8], patience: Duration) -> io::Result<()> {
    let begin = Instant::now();
    let mut left = bytes;
    while !left.is_empty() {
        match port.write(left) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => left = left.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let rest = patience.saturating_sub(begin.elapsed());
                if rest.is_zero() {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                wait(port, rest.min(LOOK));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Waits until the port takes something, or for a while: one that nobody is connected to is always ready to say so.
fn wait(port: &File, rest: Duration) {
    let mut fds = [PollFd::new(port.as_fd(), PollFlags::POLLOUT)];
    let milliseconds = u16::try_from(rest.as_millis()).unwrap_or(u16::MAX).max(1);
    let told = poll(&mut fds, PollTimeout::from(milliseconds));
    let broken = PollFlags::POLLERR | PollFlags::POLLHUP | PollFlags::POLLNVAL;
    let is_broken = fds
        .iter()
        .any(|fd| fd.revents().is_some_and(|events| events.intersects(broken)));
    if told.is_err() || is_broken {
        std::thread::sleep(rest);
    }
}
