//! A kernel of Debian, with its modules.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Archive, Doing as _, Result, packages};

/// The metapackage. The cloud kernel is a quarter of the size of the other one and has what is asked of it so far;
/// AHCI, e1000 and 9p it has not.
const PACKAGE: &str = "linux-image-cloud-amd64";

/// A kernel with its modules.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// What QEMU boots
    pub image: PathBuf,
    /// `uname -r`
    pub release: String,
    /// The directory that has `lib/modules`
    tree: PathBuf,
}

impl Kernel {
    /// The newest of this machine's mirror; kept below `store`.
    pub fn fetch(store: &Path) -> Result<Self> {
        let package = packages::dependency(PACKAGE, "linux-image-")?;
        let release = package.trim_start_matches("linux-image-").to_owned();
        let tree = store.join(&package);
        if !tree.exists() {
            eprintln!("unpacking {package}");
            packages::unpack(&package, &tree)?;
        }
        let kernel = Self {
            image: tree.join(format!("boot/vmlinuz-{release}")),
            release,
            tree,
        };
        if !kernel.directory().join("modules.dep").exists() {
            packages::run(
                Command::new("/sbin/depmod")
                    .arg("-b")
                    .arg(&kernel.tree)
                    .arg(&kernel.release),
            )?;
        }
        Ok(kernel)
    }

    /// The directory that has `lib/modules`.
    pub fn tree(&self) -> &Path {
        &self.tree
    }

    fn directory(&self) -> PathBuf {
        self.tree.join("lib/modules").join(&self.release)
    }

    /// Adds modules with those that they need, and the index by which `modprobe` finds them. A name that the kernel
    /// has built in adds nothing; a name that it does not have is an error.
    pub fn add_modules(&self, archive: &mut Archive, names: &[&str]) -> Result<()> {
        let directory = self.directory();
        let read = |name: &str| {
            let path = directory.join(name);
            std::fs::read_to_string(&path).doing(path.display())
        };
        let dependencies = read("modules.dep")?;
        let builtin = read("modules.builtin")?;
        let mut files = BTreeSet::new();
        for name in names {
            let line = dependencies
                .lines()
                .find(|line| line.split(':').next().is_some_and(|path| is(path, name)));
            match line {
                Some(line) => files.extend(line.split([':', ' ']).filter(|path| !path.is_empty())),
                None if builtin.lines().any(|path| is(path, name)) => {}
                None => return Err(format!("kernel {} has no module {name}", self.release).into()),
            }
        }
        let target = format!("usr/lib/modules/{}", self.release);
        for file in files {
            archive.add_copy(&format!("{target}/{file}"), &directory.join(file))?;
        }
        for index in std::fs::read_dir(&directory)?.filter_map(std::result::Result::ok) {
            let name = index.file_name();
            let name = name.to_string_lossy();
            if name.starts_with("modules.") {
                archive.add_copy(&format!("{target}/{name}"), &index.path())?;
            }
        }
        Ok(())
    }
}

/// Whether a path is of the module `name`: `-` and `_` are the same to the kernel.
fn is(path: &str, name: &str) -> bool {
    let file = path.rsplit('/').next().unwrap_or(path);
    let stem = file.split(".ko").next().unwrap_or(file);
    stem.replace('-', "_") == name.replace('-', "_")
}

#[cfg(test)]
mod tests {
    #[test]
    fn modules_are_found_by_either_spelling() {
        for (path, name, want) in [
            ("kernel/drivers/md/dm-crypt.ko", "dm_crypt", true),
            ("kernel/drivers/md/dm-crypt.ko.xz", "dm-crypt", true),
            ("kernel/drivers/md/dm-crypt.ko", "crypt", false),
            ("kernel/a/virtio_pci_modern_dev.ko", "virtio_pci", false),
        ] {
            assert_eq!(super::is(path, name), want, "{path} {name}");
        }
    }
}
