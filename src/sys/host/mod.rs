//! The program's own files, outside the new root: base configs, OEM files, cache, state, flags, kernel files.

mod fake;
mod real;

use std::ffi::OsString;
use std::io;
use std::path::Path;

pub use fake::FakeHost;
pub use real::Host;

/// Files of the running system. Links are followed.
pub trait HostFiles: Sync {
    /// A file's bytes; `None` if it is missing or a link that leads nowhere. More than `limit` bytes are an error
    /// (`FileTooLarge`).
    fn read(&self, path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>>;

    /// Names in a directory, sorted; `None` if it is missing.
    fn list(&self, dir: &Path) -> io::Result<Option<Vec<OsString>>>;

    /// Whether something is there; a link that leads nowhere is not.
    fn exists(&self, path: &Path) -> io::Result<bool>;

    /// Writes a file that is seen whole or not at all, and is durable on return: temporary file, fsync, rename, fsync of
    /// the directory. `mode` is for a new file; one that is there keeps its own. Missing parents are created 0700.
    /// What is there and is no regular file (`/dev/null`) is written to as it is.
    fn write_atomic(&self, path: &Path, bytes: &[u8], mode: u32) -> io::Result<()>;

    /// Creates an empty file, 0644, whose presence is a flag; one that is there stays. Missing parents are created 0755.
    fn create_empty(&self, path: &Path) -> io::Result<()>;

    /// Makes a directory of this mode, and missing parents with it; one that is there stays as it is.
    fn make_directory(&self, path: &Path, mode: u32) -> io::Result<()>;

    /// Removes a file; a missing one is fine.
    fn remove(&self, path: &Path) -> io::Result<()>;
}

/// A new directory for the files of one run, 0700, below `TMPDIR`. It goes with what is returned.
pub fn private_directory() -> io::Result<tempfile::TempDir> {
    tempfile::Builder::new().prefix("ignition-rs.").tempdir()
}

/// The id of this boot, with dashes, as `/proc/sys/kernel/random/boot_id` has it.
pub fn boot_id(files: &dyn HostFiles) -> io::Result<String> {
    let path = Path::new("/proc/sys/kernel/random/boot_id");
    let bytes = files
        .read(path, 4096)?
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "/proc is not mounted"))?;
    let text =
        String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not a boot id"))?;
    Ok(text.trim().to_owned())
}

/// The error for a file that is larger than its reader allows.
fn too_large(limit: u64) -> io::Error {
    io::Error::new(
        io::ErrorKind::FileTooLarge,
        format!("it has more than {limit} bytes"),
    )
}

#[cfg(test)]
mod tests;
