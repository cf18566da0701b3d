//! What fetching needs of the system: host files and a clock.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

/// Files of the running system, outside the new root.
pub trait HostFiles {
    /// Bytes of a file, at most `limit`; a larger file is an error. `None`: missing, or a dangling link.
    fn read(&self, path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>>;
    /// Names in a directory, sorted. `None`: missing, or a dangling link.
    fn list(&self, dir: &Path) -> io::Result<Option<Vec<OsString>>>;
    /// Writes a file through a temporary one beside it; `mode` counts if it is new.
    fn write_atomic(&self, path: &Path, bytes: &[u8], mode: u32) -> io::Result<()>;
}

/// Time that passes.
pub trait Clock {
    /// Now.
    fn now(&self) -> Instant;
    /// Waits.
    fn sleep(&self, time: Duration);
}
