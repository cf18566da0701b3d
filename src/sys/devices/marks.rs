//! Notes of devices on which a filesystem is being made, and of tables that this boot has written. They are files in `/run`,
//! and so go with the boot.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;

/// A directory with a file for each such device.
#[derive(Clone, Debug)]
pub(super) struct Marks {
    directory: PathBuf,
}

impl Marks {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    pub(super) fn has(&self, identity: &str) -> io::Result<bool> {
        match fs::symlink_metadata(self.directory.join(identity)) {
            Ok(_) => Ok(true),
            // Who may not look there has no marks of its own.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied
                ) =>
            {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    pub(super) fn set(&self, identity: &str) -> io::Result<()> {
        let make = || {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&self.directory)?;
            File::create(self.directory.join(identity)).map(drop)
        };
        // Another run may have tidied up in between.
        match make() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => make(),
            made => made,
        }
    }

    /// Notes what was written.
    pub(super) fn write(&self, name: &str, text: &str) -> io::Result<()> {
        self.set(name)?;
        // A note that is cut short is none: it is compared as a whole.
        fs::write(self.directory.join(name), text)
    }

    /// What was noted.
    pub(super) fn read(&self, name: &str) -> io::Result<Option<String>> {
        match fs::read(self.directory.join(name)) {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    pub(super) fn clear(&self, identity: &str) -> io::Result<()> {
        match fs::remove_file(self.directory.join(identity)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// Removes a directory of notes, and the one that it is in, if there are none.
pub fn tidy(directory: &std::path::Path) {
    // One that is not empty stays.
    let removed = fs::remove_dir(directory);
    if let (Ok(()), Some(parent)) = (removed, directory.parent()) {
        let _ = fs::remove_dir(parent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_and_cleared() {
        let scratch = tempfile::tempdir().unwrap();
        let marks = Marks::new(scratch.path().join("making"));
        assert!(!marks.has("7:0-599").unwrap());
        marks.clear("7:0-599").unwrap();
        marks.set("7:0-599").unwrap();
        marks.set("7:0-599").unwrap();
        assert!(marks.has("7:0-599").unwrap());
        assert!(!marks.has("7:0-600").unwrap());
        marks.clear("7:0-599").unwrap();
        assert!(!marks.has("7:0-599").unwrap());
        assert_eq!(marks.read("table-7:0-599").unwrap(), None);
        marks.write("table-7:0-599", "a").unwrap();
        marks.write("table-7:0-599", "b").unwrap();
        assert_eq!(marks.read("table-7:0-599").unwrap().as_deref(), Some("b"));
    }
}
