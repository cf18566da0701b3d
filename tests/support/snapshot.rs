//! What a tree looks like, to the bit, and in what two trees differ.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use sha2::Digest as _;

/// How closely a tree is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// Everything, with inode numbers and the times of change: for "nothing was touched"
    Strict,
    /// What a config decides about: type, mode, owner, bytes, target, hard links. Left out are the date and the boot in
    /// the result file, the day of the last change in shadow, and what the shadow tools keep for themselves (their
    /// backups and the file that they lock).
    Outcome,
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    what: String,
    mode: u32,
    uid: u32,
    gid: u32,
    /// First path of the group of hard links
    same_as: Option<PathBuf>,
    times: Option<(u64, i64, i64, i64, i64)>,
}

/// A tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Snapshot(pub(crate) BTreeMap<PathBuf, Entry>);

impl Snapshot {
    /// Looks at a tree.
    pub(crate) fn of(top: &Path, look: Look) -> Self {
        let mut entries = BTreeMap::new();
        let mut inodes: HashMap<(u64, u64), PathBuf> = HashMap::new();
        let mut todo = vec![top.to_owned()];
        while let Some(path) = todo.pop() {
            let Ok(meta) = fs::symlink_metadata(&path) else {
                continue;
            };
            let relative = path.strip_prefix(top).unwrap().to_owned();
            if meta.is_dir() {
                let mut names: Vec<PathBuf> = fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path())
                    .collect();
                names.sort();
                names.reverse();
                todo.extend(names);
            }
            if look == Look::Outcome && is_of_the_tools(&relative) {
                continue;
            }
            let same_as = (!meta.is_dir() && meta.nlink() > 1).then(|| {
                inodes
                    .entry((meta.dev(), meta.ino()))
                    .or_insert_with(|| relative.clone())
                    .clone()
            });
            let times = (look == Look::Strict).then(|| {
                (
                    meta.ino(),
                    meta.mtime(),
                    meta.mtime_nsec(),
                    meta.ctime(),
                    meta.ctime_nsec(),
                )
            });
            let entry = Entry {
                what: what(&path, &relative, &meta, look),
                mode: meta.mode() & 0o7777,
                uid: meta.uid(),
                gid: meta.gid(),
                same_as,
                times,
            };
            entries.insert(relative, entry);
        }
        Self(entries)
    }

    /// Leaves out one path.
    pub(crate) fn without(mut self, path: &str) -> Self {
        self.0.remove(Path::new(path));
        self
    }

    /// In what another tree differs, in lines; empty if in nothing.
    pub(crate) fn diff(&self, other: &Self) -> String {
        let mut text = String::new();
        for (path, entry) in &self.0 {
            match other.0.get(path) {
                None => writeln!(text, "- {}: {}", path.display(), entry.shown()).unwrap(),
                Some(found) if found != entry => {
                    writeln!(text, "< {}: {}", path.display(), entry.shown()).unwrap();
                    writeln!(text, "> {}: {}", path.display(), found.shown()).unwrap();
                }
                Some(_) => {}
            }
        }
        for (path, entry) in &other.0 {
            if !self.0.contains_key(path) {
                writeln!(text, "+ {}: {}", path.display(), entry.shown()).unwrap();
            }
        }
        text
    }

    /// Fails with the difference, if there is one.
    #[track_caller]
    pub(crate) fn assert_same(&self, other: &Self, about: &str) {
        let diff = self.diff(other);
        assert!(diff.is_empty(), "{about}: the trees differ:\n{diff}");
    }
}

impl Entry {
    /// Whether only the hard links to it may differ.
    pub(crate) fn same_but_for_names(&self, other: &Self) -> bool {
        Self {
            same_as: None,
            ..self.clone()
        } == Self {
            same_as: None,
            ..other.clone()
        }
    }

    fn shown(&self) -> String {
        let mut text = format!("{:04o} {}:{} {}", self.mode, self.uid, self.gid, self.what);
        if let Some(first) = &self.same_as {
            write!(text, " = {}", first.display()).unwrap();
        }
        if let Some(times) = &self.times {
            write!(text, " {times:?}").unwrap();
        }
        text
    }
}

fn what(path: &Path, relative: &Path, meta: &fs::Metadata, look: Look) -> String {
    let kind = meta.file_type();
    if kind.is_dir() {
        "directory".to_owned()
    } else if kind.is_symlink() {
        format!("link to {:?}", fs::read_link(path).unwrap())
    } else if kind.is_file() {
        let mut bytes = fs::read(path).unwrap();
        if look == Look::Outcome {
            bytes = outcome(relative, bytes);
        }
        if bytes.len() <= 600 {
            format!("file {:?}", String::from_utf8_lossy(&bytes))
        } else {
            let digest = sha2::Sha256::digest(&bytes);
            let hex: String = digest.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
            let end = String::from_utf8_lossy(&bytes[bytes.len() - 60..]).into_owned();
            format!("file of {} bytes {hex} …{end:?}", bytes.len())
        }
    } else if kind.is_fifo() {
        "pipe".to_owned()
    } else {
        format!("other {kind:?} {}", meta.rdev())
    }
}

/// Backups of the shadow tools, and the file that they lock.
fn is_of_the_tools(relative: &Path) -> bool {
    let Some(name) = relative.strip_prefix("etc").ok().and_then(|rest| rest.to_str()) else {
        return false;
    };
    let files = ["passwd", "group", "shadow", "gshadow", "subuid", "subgid"];
    name == ".pwd.lock" || files.iter().any(|file| name.strip_prefix(file) == Some("-"))
}

/// A file's bytes without what differs from run to run.
fn outcome(relative: &Path, bytes: Vec<u8>) -> Vec<u8> {
    if relative == Path::new("etc/.ignition-result.json") {
        let mut report: serde_json::Value = serde_json::from_slice(&bytes).expect("the result file is JSON");
        for key in ["provisioningDate", "provisioningBootID"] {
            assert!(
                report.as_object_mut().unwrap().remove(key).is_some(),
                "{key} is missing"
            );
        }
        return report.to_string().into_bytes();
    }
    if relative == Path::new("etc/shadow") {
        let mut lines: Vec<String> = Vec::new();
        for line in bytes.split(|byte| *byte == b'\n') {
            let text = String::from_utf8_lossy(line).into_owned();
            let mut fields: Vec<&str> = text.split(':').collect();
            if fields.len() > 2 && !fields[2].is_empty() {
                fields[2] = "DAY";
            }
            lines.push(fields.join(":"));
        }
        return lines.join("\n").into_bytes();
    }
    bytes
}

/// Files and their bytes below a directory in which a text stands: path and mode.
pub(crate) fn files_with(top: &Path, text: &str) -> Vec<(PathBuf, u32)> {
    let mut found = Vec::new();
    let mut todo = vec![top.to_owned()];
    while let Some(path) = todo.pop() {
        let Ok(meta) = fs::symlink_metadata(&path) else {
            continue;
        };
        if meta.is_dir() {
            if let Ok(names) = fs::read_dir(&path) {
                todo.extend(names.map(|entry| entry.unwrap().path()));
            }
        } else if meta.is_file()
            && let Ok(bytes) = fs::read(&path)
            && bytes.windows(text.len()).any(|window| window == text.as_bytes())
        {
            found.push((path, meta.mode() & 0o7777));
        }
    }
    found.sort();
    found
}
