//! The process's own streams, and what the command line must know about the machine.

use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::Environment;

/// Writes to stdout or stderr. False if not everything could be written: a full disk, or a reader that is gone.
pub fn print(to_stderr: bool, text: &str) -> bool {
    let written = if to_stderr {
        io::stderr().lock().write_all(text.as_bytes())
    } else {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush())
    };
    written.is_ok()
}

/// Whether this process has root's rights.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Whether stdout is a terminal that wants colours.
pub fn wants_colour(environment: &Environment) -> bool {
    let is_dumb = environment.term.as_ref().is_some_and(|term| term == "dumb");
    !environment.no_color && !is_dumb && io::stdout().is_terminal()
}

/// All of stdin, at most `limit` bytes; more is an error.
pub fn read_stdin(limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    io::stdin()
        .lock()
        .take(limit.saturating_add(1))
        .read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > limit {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("more than {limit} bytes"),
        ));
    }
    Ok(bytes)
}

/// Whether a path is the root that this process runs in, under whatever name: `/`, `/..`, a link, a bind mount.
pub fn is_running_root(path: &Path) -> bool {
    let (Ok(given), Ok(root)) = (std::fs::metadata(path), std::fs::metadata("/")) else {
        return false;
    };
    (given.dev(), given.ino()) == (root.dev(), root.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_running_root() {
        for path in ["/", "//", "/.", "/..", "/proc/self/root", "/tmp/.."] {
            assert!(is_running_root(Path::new(path)), "{path}");
        }
        let directory = tempfile::tempdir().unwrap();
        assert!(!is_running_root(directory.path()));
        assert!(!is_running_root(&directory.path().join("missing")));
        let link = directory.path().join("link");
        std::os::unix::fs::symlink("/", &link).unwrap();
        assert!(is_running_root(&link));
    }
}
