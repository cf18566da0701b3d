//! Debian's own files: packages with all that they depend on, unpacked side by side and never installed, and from them what
//! goes into an initrd, with libraries.

use std::collections::BTreeSet;
use std::fs::File;
use std::hash::{DefaultHasher, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use crate::{Archive, Doing as _, Result, packages};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Where libraries are.
const LIBRARIES: [&str; 3] = [
    "usr/lib/x86_64-linux-gnu",
    "usr/lib/x86_64-linux-gnu/systemd",
    "usr/lib/x86_64-linux-gnu/cryptsetup",
];

/// The program that loads programs: it says what one is linked with, and runs one with another tree's libraries.
const LOADER: &str = "usr/lib64/ld-linux-x86-64.so.2";

/// A tree with the files of packages.
#[derive(Clone, Debug)]
pub struct Debian {
    tree: PathBuf,
    /// Changes when a package does
    pub key: String,
}

impl Debian {
    /// The newest versions that this machine's mirror has, of the packages and of all that they depend on. The tree is kept below
    /// `store`, named after the versions.
    pub fn fetch(store: &Path, names: &[&str]) -> Result<Self> {
        let files = packages::closure(store, names)?;
        let key = key(&files);
        let tree = store.join(format!("debian.{key}"));
        let debian = Self { tree, key };
        if !debian.tree.exists() {
            eprintln!("unpacking {} packages", files.len());
            debian.unpack(store, names)?;
        }
        keep_used(store, "debian.", &debian.tree, ".used")?;
        Ok(debian)
    }

    fn unpack(&self, store: &Path, names: &[&str]) -> Result<()> {
        let part = store.join(format!("debian.{}.part", std::process::id()));
        std::fs::create_dir_all(&part).doing(part.display())?;
        // /usr is merged, which the packages of Debian 12 do not know.
        for name in ["bin", "sbin", "lib", "lib64"] {
            std::fs::create_dir_all(part.join("usr").join(name))?;
            std::os::unix::fs::symlink(format!("usr/{name}"), part.join(name))?;
        }
        let debs = store.join(format!("debs.{}", std::process::id()));
        packages::download(store, names, &debs)?;
        for deb in std::fs::read_dir(&debs)?.filter_map(|entry| Some(entry.ok()?.path())) {
            if deb.extension().is_some_and(|extension| extension == "deb") {
                packages::run(
                    Command::new("sh")
                        .args([
                            "-c",
                            "dpkg-deb --fsys-tarfile \"$1\" | tar -x --keep-directory-symlink -C \"$2\"",
                            "-",
                        ])
                        .arg(&deb)
                        .arg(&part),
                )?;
            }
        }
        std::fs::remove_dir_all(&debs)?;
        if std::fs::rename(&part, &self.tree).is_err() {
            // Another process was faster.
            std::fs::remove_dir_all(&part)?;
        }
        if self.tree.exists() {
            return Ok(());
        }
        Err(format!("cannot make {}", self.tree.display()).into())
    }

    /// Where a file of the tree is on this machine.
    pub fn path(&self, path: &str) -> PathBuf {
        self.tree.join(path.trim_start_matches('/'))
    }

    /// A program of the tree, to run on this machine with the libraries of the tree. Its path is from the tree's root.
    pub fn command(&self, program: &str) -> Command {
        let mut command = self.loader();
        command.arg(self.path(program));
        command
    }

    fn loader(&self) -> Command {
        let libraries: Vec<String> = LIBRARIES
            .iter()
            .map(|directory| self.path(directory).display().to_string())
            .collect();
        let mut command = Command::new(self.path(LOADER));
        command.args(["--inhibit-cache", "--library-path", &libraries.join(":")]);
        command
    }

    /// Adds files, directories with all that is in them, and links with what they point to; programs with their libraries,
    /// scripts with their interpreters. Paths are from the tree's root.
    pub fn add(&self, archive: &mut Archive, paths: &[&str]) -> Result<()> {
        let mut waiting: Vec<String> = paths.iter().rev().map(|path| (*path).to_owned()).collect();
        let mut seen = BTreeSet::new();
        while let Some(path) = waiting.pop() {
            if seen.insert(path.clone()) {
                self.add_one(archive, &path, &mut waiting)
                    .doing(format!("{path} of Debian"))?;
            }
        }
        Ok(())
    }

    fn add_one(&self, archive: &mut Archive, path: &str, more: &mut Vec<String>) -> Result<()> {
        let here = self.path(path);
        let metadata = std::fs::symlink_metadata(&here)?;
        if metadata.is_symlink() {
            let target = std::fs::read_link(&here)?;
            let target = target.to_string_lossy();
            archive.add_link(path, &target);
            let pointed = beside(path, &target);
            // Units are masked by links to /dev/null, and some links are to what only an installation makes.
            if self.path(&pointed).exists() {
                more.push(pointed);
            }
            return Ok(());
        }
        if metadata.is_dir() {
            archive.add_directory(path);
            for entry in std::fs::read_dir(&here)? {
                more.push(format!("{path}/{}", entry?.file_name().to_string_lossy()));
            }
            return Ok(());
        }
        archive.add_copy(path, &here)?;
        let content = std::fs::read(&here)?;
        if content.starts_with(b"\x7fELF") {
            more.extend(self.libraries(&here)?);
        } else if let Some(line) = content.strip_prefix(b"#!") {
            let line = String::from_utf8_lossy(line.split(|byte| *byte == b'\n').next().unwrap_or_default());
            let interpreter = line.split_whitespace().next().unwrap_or_default().to_owned();
            // The initrd has its own shell.
            if interpreter != "/bin/sh" {
                more.push(interpreter);
            }
        }
        Ok(())
    }

    /// The libraries of a program or library, as paths from the tree's root.
    fn libraries(&self, program: &Path) -> Result<Vec<String>> {
        let output = self.loader().arg("--list").arg(program).output()?;
        // A static program has none, and the loader says so by its exit code.
        let text = String::from_utf8_lossy(&output.stdout);
        let mut found = Vec::new();
        for line in text.lines() {
            if line.contains("not found") {
                return Err(line.trim().to_owned().into());
            }
            let place = line.rsplit("=>").next().unwrap_or(line);
            let place = Path::new(place.split_whitespace().next().unwrap_or_default());
            match place.strip_prefix(&self.tree) {
                Ok(inside) => found.push(inside.to_string_lossy().into_owned()),
                // Linked libraries without an entry in the search path, as the kernel's own.
                Err(_) if place.is_absolute() && !place.ends_with("ld-linux-x86-64.so.2") => {
                    return Err(format!("{} is not of the tree", place.display()).into());
                }
                Err(_) => {}
            }
        }
        if !found.is_empty() {
            found.push(LOADER.to_owned());
        }
        Ok(found)
    }
}

/// Notes that `used` is used now, and removes what nobody has used for a day: a tree has 300 MB. `mark` is the file in an entry whose
/// time counts, or nothing for the entry itself.
pub(crate) fn keep_used(store: &Path, kind: &str, used: &Path, mark: &str) -> Result<()> {
    let now = SystemTime::now();
    let time_of = |entry: &Path| {
        if mark.is_empty() {
            entry.to_path_buf()
        } else {
            entry.join(mark)
        }
    };
    File::options()
        .append(true)
        .create(true)
        .open(time_of(used))
        .and_then(|file| file.set_modified(now))
        .doing(used.display())?;
    for path in std::fs::read_dir(store)?.filter_map(|entry| Some(entry.ok()?.path())) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let Ok(time) = std::fs::metadata(time_of(&path)).and_then(|metadata| metadata.modified()) else {
            continue;
        };
        if !name.starts_with(kind) || now.duration_since(time).unwrap_or_default() < DAY {
            continue;
        }
        if path.is_dir() {
            std::fs::remove_dir_all(&path).doing(path.display())?;
        } else {
            std::fs::remove_file(&path).doing(path.display())?;
        }
    }
    Ok(())
}

/// A short name for what decides about something: equal for equal parts.
pub fn key(parts: &impl std::hash::Hash) -> String {
    let mut hasher = DefaultHasher::new();
    parts.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// What a link at `path` points to.
fn beside(path: &str, target: &str) -> String {
    let mut parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    if target.starts_with('/') {
        parts.clear();
    } else {
        parts.pop();
    }
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::beside;

    #[test]
    fn links_are_followed_in_the_tree() {
        for (path, target, want) in [
            ("usr/sbin/mkfs.ext4", "mke2fs", "usr/sbin/mke2fs"),
            ("/lib/systemd/systemd-udevd", "../../bin/udevadm", "bin/udevadm"),
            ("usr/bin/x", "/lib/./y", "lib/y"),
            ("a", "../../b", "b"),
        ] {
            assert_eq!(beside(path, target), want, "{path} {target}");
        }
    }
}
