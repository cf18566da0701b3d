//! Links that keep leading to a device while its own names come and go (spec/disks.md 1.2).

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, symlink};
use std::path::{Path, PathBuf};

use crate::view::RootPath;

/// Where the alias of a path is: below the directory, under its cleaned path.
fn place(directory: &Path, path: &str) -> PathBuf {
    let clean = RootPath::from(path).to_string();
    directory.join(clean.trim_start_matches('/'))
}

/// Makes the alias of a path, in place of an older one. Missing parents are made with mode 0750.
pub fn make(directory: &Path, path: &str, node: &str) -> io::Result<()> {
    let link = place(directory, path);
    if let Some(parent) = link.parent() {
        DirBuilder::new().recursive(true).mode(0o750).create(parent)?;
    }
    match fs::remove_file(&link) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => symlink(node, &link),
    }
}

/// The alias of a path, if it has one that leads to a block device.
pub fn find(directory: &Path, path: &str) -> Option<String> {
    let link = place(directory, path);
    let is_device = fs::metadata(&link).is_ok_and(|meta| meta.file_type().is_block_device());
    is_device.then(|| link.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn aliases_are_made_anew() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = scratch.path().join("dev_aliases");
        make(&directory, "/dev/disk//by-label/../by-label/ROOT", "/dev/one").unwrap();
        make(&directory, "/dev/disk/by-label/ROOT", "/dev/two").unwrap();
        let link = directory.join("dev/disk/by-label/ROOT");
        assert_eq!(fs::read_link(&link).unwrap(), Path::new("/dev/two"));
        let mode = fs::metadata(link.parent().unwrap()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o750);
        assert_eq!(find(&directory, "/dev/disk/by-label/ROOT"), None, "it dangles");
        make(&directory, "/dev/null", "/dev/null").unwrap();
        assert_eq!(find(&directory, "/dev/null"), None, "no block device");
        make(&directory, "/../../escape", "/dev/two").unwrap();
        assert!(directory.join("escape").is_symlink());
    }
}
