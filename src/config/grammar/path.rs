//! Paths in a config (spec/config.md 5.4), with the lexical rules of Go's `path` package.

use std::borrow::Cow;

use thiserror::Error;

/// Why a path is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PathError {
    /// The path is empty
    #[error("a path is required here")]
    Empty,
    /// The path does not begin with `/`
    #[error("path must be absolute: begin it with '/'")]
    Relative,
    /// The path is not in its shortest form
    #[error("path must be in its simplest form; write {clean:?}")]
    Dirty {
        /// The same path in its simplest form
        clean: String,
    },
}

/// The shortest path that means the same lexically: no empty, `.` or inner `..` components, no trailing slash. An empty
/// path becomes `.`; a `..` at the root is dropped. Go's `path.Clean`.
pub fn clean(path: &str) -> Cow<'_, str> {
    // Nearly all are so already.
    if path == "/" || is_clean_and_absolute(path) {
        return Cow::Borrowed(path);
    }
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_none_or(|last| *last == "..") => {
                if !rooted {
                    parts.push(part);
                }
            }
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    let joined = parts.join("/");
    let result = match (rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    };
    if result == path {
        Cow::Borrowed(path)
    } else {
        Cow::Owned(result)
    }
}

fn is_clean_and_absolute(path: &str) -> bool {
    path.strip_prefix('/')
        .is_some_and(|below| below.split('/').all(|part| !matches!(part, "" | "." | "..")))
}

/// Two paths joined and cleaned; an empty one counts as absent. Go's `path.Join`.
pub fn join(base: &str, relative: &str) -> String {
    match (base.is_empty(), relative.is_empty()) {
        (true, true) => String::new(),
        (true, false) => clean(relative).into_owned(),
        (false, true) => clean(base).into_owned(),
        (false, false) => clean(&format!("{base}/{relative}")).into_owned(),
    }
}

/// Whether the path begins with `/`.
pub fn is_absolute(path: &str) -> bool {
    path.starts_with('/')
}

/// The rule for device paths, node paths and mount points: absolute and in simplest form.
pub fn check(path: &str) -> Result<(), PathError> {
    if path.is_empty() {
        return Err(PathError::Empty);
    }
    if !is_absolute(path) {
        return Err(PathError::Relative);
    }
    match clean(path) {
        Cow::Borrowed(_) => Ok(()),
        Cow::Owned(clean) => Err(PathError::Dirty { clean }),
    }
}

/// The extension with its dot: from the last `.` of the last component; empty if there is none. Go's `path.Ext`.
pub fn extension(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or_default();
    name.rfind('.')
        .and_then(|dot| name.get(dot..))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn cleans() {
        for (path, expected) in [
            ("", "."),
            (".", "."),
            ("..", ".."),
            ("/", "/"),
            ("//", "/"),
            ("/..", "/"),
            ("/../a", "/a"),
            ("a/../..", ".."),
            ("../../a", "../../a"),
            ("../a/../b", "../b"),
            ("/a/./b//c/", "/a/b/c"),
            ("/a/b/../c", "/a/c"),
            ("./a", "a"),
            ("a/..", "."),
            ("/a..", "/a.."),
            ("/é/../ü", "/ü"),
        ] {
            assert_eq!(clean(path), expected, "{path:?}");
        }
    }

    #[test]
    fn joins() {
        for (base, relative, expected) in [
            ("", "", ""),
            ("/l", "", "/l"),
            ("", "a/", "a"),
            ("/l", "rel", "/l/rel"),
            ("/l", "../rel", "/rel"),
            ("/", "x", "/x"),
        ] {
            assert_eq!(join(base, relative), expected, "{base:?} {relative:?}");
        }
    }

    #[test]
    fn checks() {
        let dirty = |clean: &str| {
            Err(PathError::Dirty {
                clean: clean.to_owned(),
            })
        };
        for (path, expected) in [
            ("", Err(PathError::Empty)),
            ("a", Err(PathError::Relative)),
            ("./a", Err(PathError::Relative)),
            ("/", Ok(())),
            ("/a/b", Ok(())),
            ("/a/", dirty("/a")),
            ("//", dirty("/")),
            ("/..", dirty("/")),
            ("/a/./b", dirty("/a/b")),
            ("/...", Ok(())),
            ("/a\n", Ok(())),
        ] {
            assert_eq!(check(path), expected, "{path:?}");
        }
    }

    #[test]
    fn extensions() {
        for (path, expected) in [
            ("a.service", ".service"),
            ("a", ""),
            ("a.", "."),
            (".conf", ".conf"),
            ("a.b.conf", ".conf"),
            ("a.service/b", ""),
            ("a.service ", ".service "),
            ("", ""),
        ] {
            assert_eq!(extension(path), expected, "{path:?}");
        }
    }

    proptest! {
        #[test]
        fn cleaning_twice_changes_nothing(path in "[/.ab]{0,12}|.*") {
            let once = clean(&path).into_owned();
            prop_assert_eq!(clean(&once), once.as_str());
        }

        #[test]
        fn a_clean_absolute_path_passes(path in "/[/.ab]{0,12}") {
            let cleaned = clean(&path).into_owned();
            prop_assert_eq!(check(&cleaned), Ok(()));
        }

        #[test]
        fn agrees_with_root_path(path in "/[/.ab]{0,12}") {
            let root_path = crate::view::RootPath::clean(&path);
            let cleaned = clean(&path);
            prop_assert_eq!(root_path.to_string(), cleaned.into_owned());
        }
    }
}
