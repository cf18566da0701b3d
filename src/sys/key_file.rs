//! Key files for programs that take a key by a file's name only.

use std::fs::File;
use std::io::{self, Write as _};

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::os::fd::AsRawFd as _;

/// A file that has no name in any filesystem and is only in memory. It is gone when this is dropped, and when the process
/// ends, however that happens. Children, and theirs, read it by a path below this process's `/proc`; only root may.
#[derive(Debug)]
pub struct KeyFile {
    file: File,
}

impl KeyFile {
    /// A file with these bytes, which nobody can change.
    pub fn new(bytes: &[u8]) -> io::Result<Self> {
        let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let mut file = File::from(memfd_create(c"ignition-key", flags)?);
        file.write_all(bytes)?;
        let seals = SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK;
        fcntl(&file, FcntlArg::F_ADD_SEALS(seals | SealFlag::F_SEAL_SEAL))?;
        Ok(Self { file })
    }

    /// Its path.
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", nix::unistd::getpid(), self.file.as_raw_fd())
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn refers_to_a_key(path: &str) -> bool {
        std::fs::read_link(path).is_ok_and(|target| target.to_string_lossy().contains("memfd:ignition-key"))
    }

    #[test]
    fn grandchildren_read_it_again_and_again_until_it_is_gone() {
        let key = KeyFile::new(b"canary").unwrap();
        let path = key.path();
        let read = |path: &str| {
            let script = "sh -c 'printf x | cat \"$0\" \"$0\"' \"$0\"; true";
            let output = Command::new("sh").args(["-c", script, path]).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        assert_eq!(read(&path), "canarycanary");
        assert!(std::fs::write(&path, "other").is_err());
        assert!(!format!("{key:?}").contains("canary"));
        // Its number may at once be another test's pipe, so what is there afterwards is looked at and not read: reading it
        // once waited for hours.
        assert!(refers_to_a_key(&path));
        drop(key);
        assert!(!refers_to_a_key(&path));
    }
}
