//! The initrd's archive format (cpio, "newc"). The kernel takes several archives one after the other, so that a big part
//! is made once and a small one for each machine.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::{Doing as _, Result, packages};

const DIRECTORY: u32 = 0o040_755;
const LINK: u32 = 0o120_777;
const FILE: u32 = 0o100_000;

/// One archive, being made. Paths are relative to the root; `bin`, `sbin`, `lib` and `lib64` are links into `usr`.
#[derive(Clone, Debug, Default)]
pub struct Archive {
    bytes: Vec<u8>,
    there: BTreeSet<String>,
    inode: u32,
}

impl Archive {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// A directory and those above it.
    pub fn add_directory(&mut self, path: &str) {
        let path = merged(path);
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        for end in ends {
            let above = path.get(..end).unwrap_or_default();
            if !above.is_empty() && self.there.insert(above.to_owned()) {
                self.entry(above, DIRECTORY, &[]);
            }
        }
    }

    /// A file. The first of a path stays.
    pub fn add_file(&mut self, path: &str, mode: u32, content: &[u8]) {
        self.add(path, FILE | mode, content);
    }

    /// A link.
    pub fn add_link(&mut self, path: &str, target: &str) {
        self.add(path, LINK, target.as_bytes());
    }

    /// A file of this machine under another path.
    pub fn add_copy(&mut self, path: &str, from: &Path) -> Result<()> {
        if self.there.contains(&merged(path)) {
            return Ok(());
        }
        let content = std::fs::read(from).doing(from.display())?;
        let mode = std::fs::metadata(from)
            .doing(from.display())?
            .permissions()
            .mode();
        self.add_file(path, mode & 0o755, &content);
        Ok(())
    }

    /// A program of this machine with the libraries that it is linked with.
    pub fn add_program(&mut self, path: &str, from: &Path) -> Result<()> {
        self.add_copy(path, from)?;
        let output = Command::new("ldd").arg(from).output().doing("ldd")?;
        // A static program has none; ldd then fails.
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let place = line.rsplit("=>").next().unwrap_or(line);
            if line.contains("not found") {
                return Err(format!("{}: {}", from.display(), line.trim()).into());
            }
            if let Some(library) = place.split_whitespace().next()
                && library.starts_with('/')
            {
                self.add_copy(library, Path::new(library))?;
            }
        }
        Ok(())
    }

    /// Programs of this machine, at the places where they are here.
    pub fn add_programs(&mut self, names: &[&str]) -> Result<()> {
        for name in names {
            let path = packages::find(name).ok_or_else(|| format!("this machine has no {name}"))?;
            self.add_program(&path.to_string_lossy(), &path)?;
        }
        Ok(())
    }

    /// The bytes, with the end mark.
    pub fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }

    fn add(&mut self, path: &str, mode: u32, content: &[u8]) {
        let path = merged(path);
        if let Some((above, _)) = path.rsplit_once('/') {
            self.add_directory(above);
        }
        if self.there.insert(path.clone()) {
            self.entry(&path, mode, content);
        }
    }

    fn entry(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.inode += 1;
        let links = if mode == DIRECTORY { 2 } else { 1 };
        // magic, then: inode, mode, uid, gid, links, mtime, size, four device numbers, size of the name, checksum
        let numbers = [
            self.inode as usize,
            mode as usize,
            0,
            0,
            links,
            0,
            content.len(),
            0,
            0,
            0,
            0,
            name.len() + 1,
            0,
        ];
        self.bytes.extend_from_slice(b"070701");
        for number in numbers {
            self.bytes.extend_from_slice(format!("{number:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// A path without its leading slash, below `usr` where the root has a link to there.
fn merged(path: &str) -> String {
    let path = path.trim_matches('/');
    let first = path.split('/').next().unwrap_or(path);
    if ["bin", "sbin", "lib", "lib64"].contains(&first) && first != path {
        return format!("usr/{path}");
    }
    path.to_owned()
}

#[cfg(test)]
mod tests {
    use super::Archive;

    #[test]
    fn entries_are_aligned_and_named_once() {
        let mut archive = Archive::new();
        archive.add_file("/lib64/a/b", 0o755, b"12345");
        archive.add_file("usr/lib64/a/b", 0o755, b"another");
        archive.add_link("bin", "usr/bin");
        let bytes = archive.finish();
        assert_eq!(bytes.len() % 4, 0);
        let text = String::from_utf8_lossy(&bytes);
        let names: Vec<&str> = text
            .split("070701")
            .skip(1)
            .filter_map(|entry| entry.get(104..)?.split('\0').next())
            .collect();
        assert_eq!(
            names,
            [
                "usr",
                "usr/lib64",
                "usr/lib64/a",
                "usr/lib64/a/b",
                "bin",
                "TRAILER!!!"
            ]
        );
        assert!(!text.contains("another"));
    }
}
