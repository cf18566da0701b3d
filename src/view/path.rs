//! Paths inside the new root.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use serde::Serialize;

/// An absolute, lexically clean path inside the new root: `/` or `/a/b`, without `.`, `..`, empty components or a
/// trailing slash. `..` never climbs above the root. Bytes need not be UTF-8: link targets are not.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RootPath(Vec<u8>);

impl RootPath {
    /// The root itself, `/`.
    pub fn root() -> Self {
        Self(b"/".to_vec())
    }

    /// Cleans a path lexically, as Go's `path.Clean` does for `"/" + path`.
    pub fn clean(path: impl AsRef<OsStr>) -> Self {
        let mut parts: Vec<&[u8]> = Vec::new();
        for part in path.as_ref().as_bytes().split(|byte| *byte == b'/') {
            match part {
                b"" | b"." => {}
                b".." => {
                    parts.pop();
                }
                name => parts.push(name),
            }
        }
        if parts.is_empty() {
            return Self::root();
        }
        let mut bytes = Vec::with_capacity(path.as_ref().len() + 1);
        for part in parts {
            bytes.push(b'/');
            bytes.extend_from_slice(part);
        }
        Self(bytes)
    }

    /// This path with one more component. The name must be a single component; slashes in it are cleaned.
    #[must_use]
    pub fn join(&self, name: impl AsRef<OsStr>) -> Self {
        let mut bytes = self.0.clone();
        bytes.push(b'/');
        bytes.extend_from_slice(name.as_ref().as_bytes());
        Self::clean(OsString::from_vec(bytes))
    }

    /// Whether this is `/`.
    pub fn is_root(&self) -> bool {
        self.0 == b"/"
    }

    /// The parent; `None` for `/`.
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        let slash = self.0.iter().rposition(|byte| *byte == b'/')?;
        Some(if slash == 0 {
            Self::root()
        } else {
            Self(self.0.get(..slash)?.to_vec())
        })
    }

    /// The last component; `None` for `/`.
    pub fn name(&self) -> Option<&OsStr> {
        self.components().last()
    }

    /// The components from the root down.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &OsStr> {
        self.0
            .split(|byte| *byte == b'/')
            .filter(|part| !part.is_empty())
            .map(OsStr::from_bytes)
    }

    /// Number of components.
    pub fn depth(&self) -> usize {
        self.components().count()
    }

    /// Whether this path is `ancestor` or lies below it.
    pub fn starts_with(&self, ancestor: &Self) -> bool {
        ancestor.is_root()
            || self
                .0
                .strip_prefix(ancestor.0.as_slice())
                .is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
    }

    /// The path as the system's string, with its leading slash.
    pub fn as_os_str(&self) -> &OsStr {
        OsStr::from_bytes(&self.0)
    }

    /// The path relative to the root: without the leading slash, `.` for the root itself.
    pub fn relative(&self) -> &OsStr {
        match self.0.get(1..) {
            Some(rest) if !rest.is_empty() => OsStr::from_bytes(rest),
            _ => OsStr::new("."),
        }
    }
}

impl fmt::Display for RootPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for RootPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

impl Serialize for RootPath {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl From<&str> for RootPath {
    fn from(path: &str) -> Self {
        Self::clean(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cleaning() {
        for (given, clean) in [
            ("", "/"),
            ("/", "/"),
            ("a", "/a"),
            ("//a//b/", "/a/b"),
            ("/a/./b", "/a/b"),
            ("/a/../../b", "/b"),
            ("/..", "/"),
        ] {
            assert_eq!(RootPath::from(given).to_string(), clean, "{given}");
        }
    }

    #[test]
    fn relations() {
        let path = RootPath::from("/a/b");
        assert_eq!(path.parent(), Some(RootPath::from("/a")));
        assert_eq!(RootPath::from("/a").parent(), Some(RootPath::root()));
        assert_eq!(RootPath::root().parent(), None);
        assert_eq!(path.name(), Some(OsStr::new("b")));
        assert_eq!(path.relative(), "a/b");
        assert_eq!(RootPath::root().relative(), ".");
        assert!(path.starts_with(&RootPath::from("/a")));
        assert!(path.starts_with(&path));
        assert!(!RootPath::from("/ab").starts_with(&RootPath::from("/a")));
        assert_eq!(path.depth(), 2);
    }
}
