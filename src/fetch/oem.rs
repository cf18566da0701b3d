//! `oem:` URLs: files below the OEM lookaside directory (flatcar.md 4, patches 0012 and 0015).

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use crate::config::grammar::Url;
use crate::sys::HostFiles;

/// The most that one file of the OEM partition may hold, in bytes; the partition itself is smaller.
const LIMIT: u64 = 1 << 30;

/// Why a file of the OEM partition was not got.
#[derive(Debug, thiserror::Error)]
pub enum OemError {
    /// Not `oem:///absolute/path`
    #[error("it needs an absolute path: oem:///path")]
    Relative,
    /// A NUL, which no path can hold
    #[error("its path holds a NUL")]
    Nul,
    /// `..` beyond the directory
    #[error("its path leaves the OEM directory; remove the .. from it")]
    Leaves,
    /// No such file
    #[error("there is no file {}; put it onto the OEM partition", .0.display())]
    Missing(PathBuf),
    /// The system refused
    #[error("cannot read {}", path.display())]
    Io {
        /// Which file
        path: PathBuf,
        /// What the system said
        #[source]
        source: io::Error,
    },
}

/// The path that an `oem:` URL names, below `dir`. `..` is resolved in the text and cannot leave `dir`. A host is ignored,
/// as upstream does.
pub fn path(dir: &Path, url: &Url) -> Result<PathBuf, OemError> {
    let decoded = url.path();
    if !decoded.starts_with(b"/") {
        return Err(OemError::Relative);
    }
    if decoded.contains(&0) {
        return Err(OemError::Nul);
    }
    let mut names: Vec<&[u8]> = Vec::new();
    for name in decoded.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => {
                names.pop().ok_or(OemError::Leaves)?;
            }
            name => names.push(name),
        }
    }
    let mut path = dir.to_path_buf();
    path.extend(names.into_iter().map(|name| OsString::from_vec(name.to_vec())));
    Ok(path)
}

/// The bytes of the file that an `oem:` URL names.
pub fn read(files: &dyn HostFiles, dir: &Path, url: &Url) -> Result<Vec<u8>, OemError> {
    let path = path(dir, url)?;
    match files.read(&path, LIMIT) {
        Ok(Some(bytes)) => Ok(bytes),
        Ok(None) => Err(OemError::Missing(path)),
        Err(source) => Err(OemError::Io { path, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_below_the_directory() {
        let table = [
            ("oem:///a/b", Some("/oem/a/b")),
            ("OEM:///a//./b/", Some("/oem/a/b")),
            ("oem:/a", Some("/oem/a")),
            ("oem://host/a?q#f", Some("/oem/a")),
            ("oem:///a/../b%20c", Some("/oem/b c")),
            ("oem:///..", None),
            ("oem:///a/../../etc/shadow", None),
            ("oem:///%2e%2e/etc/shadow", None),
            ("oem:///a%2f..%2f..%2fetc", None),
            ("oem:///a%00", None),
            ("oem:a", None),
            ("oem://a", None),
            ("oem:", None),
        ];
        for (url, want) in table {
            assert_eq!(
                path(Path::new("/oem"), &Url::parse(url).unwrap()).ok(),
                want.map(PathBuf::from),
                "{url}"
            );
        }
    }
}
