//! What scenarios boot: an initrd made by Debian's dracut with the repository's own module, and a disk as Flatcar's is. Both are made from
//! Debian's packages, which are unpacked and never installed, and are kept under a name that says what they are made of.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::debian::{Debian, keep_used, key};
use crate::{Archive, Doing as _, Kernel, Result, base, packages, workspace};

/// In the initrd and in the booted system; both are made of one tree.
const PACKAGES: [&str; 52] = [
    "base-files",
    "base-passwd",
    "bash",
    "btrfs-progs",
    "ca-certificates",
    "clevis",
    "clevis-luks",
    "clevis-systemd",
    "clevis-tpm2",
    "coreutils",
    "cpio",
    "cryptsetup-bin",
    "curl",
    "dash",
    "dbus",
    "debianutils",
    "dmsetup",
    "dosfstools",
    "dracut-core",
    "dracut-network",
    "e2fsprogs",
    "fdisk",
    "findutils",
    "gdisk",
    "grep",
    "gzip",
    "hostname",
    "iproute2",
    "jose",
    "kmod",
    "libc-bin",
    "libnss-systemd",
    "libpwquality-tools",
    "login",
    "mawk",
    "mdadm",
    "mount",
    "netbase",
    "passwd",
    "procps",
    "sed",
    "systemd",
    "systemd-resolved",
    "sysvinit-utils",
    "tar",
    "tpm2-tools",
    "udev",
    "util-linux",
    "util-linux-extra",
    "xfsprogs",
    "zlib1g",
    "zstd",
];

/// dracut's modules. As in Flatcar, none of its shell hooks: systemd alone mounts ROOT and `/usr`.
const MODULES: &str = "bash systemd systemd-initrd systemd-journald systemd-modules-load systemd-sysctl systemd-sysusers \
                       systemd-tmpfiles systemd-udevd systemd-networkd systemd-resolved dbus-daemon dbus kernel-network-modules tpm2-tss \
                       qemu fs-lib udev-rules dm btrfs usr-generator ignition vm-tests vm-tests-flatcar";

/// Modules of the kernel.
const DRIVERS: &str = "qemu_fw_cfg virtio virtio_ring virtio_pci virtio_blk virtio_scsi sd_mod sr_mod cdrom virtio_net \
                       virtio_console virtio_rng ext4 xfs btrfs vfat fat nls_ascii nls_cp437 nls_iso8859-1 nls_utf8 isofs udf squashfs \
                       overlay loop dm_mod dm_crypt dm_verity md_mod raid0 raid1 raid456 efivarfs crc32c_generic crc32c-intel xts cbc \
                       aesni-intel sha256_generic algif_hash algif_skcipher tpm_crb tpm_tis";

/// Of the file systems, modules of the kernel too.
const FILESYSTEMS: &str = "ext4 xfs btrfs vfat squashfs overlay isofs";

/// Whose initrd and disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// As Flatcar has them
    Flatcar,
    /// What dracut makes when it is told no more than to add the module, and a disk with one file system
    Plain,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Flatcar => "flatcar",
            Self::Plain => "plain",
        }
    }

    /// Modules of dracut that are the harness's.
    fn modules(self) -> &'static [&'static str] {
        match self {
            Self::Flatcar => &["10usr-generator", "60vm-tests", "61vm-tests-flatcar"],
            Self::Plain => &["60vm-tests"],
        }
    }

    /// What dracut is told.
    fn arguments(self) -> Vec<&'static str> {
        match self {
            Self::Flatcar => vec![
                "--modules",
                MODULES,
                "--drivers",
                DRIVERS,
                "--filesystems",
                FILESYSTEMS,
            ],
            Self::Plain => vec!["--add", "ignition vm-tests"],
        }
    }
}

/// What scenarios boot.
#[derive(Clone, Debug)]
pub struct Scene {
    /// The kernel
    pub kernel: Kernel,
    /// The initrd that dracut made
    pub initrd: PathBuf,
    /// The binary under test, as an archive that comes after the initrd
    pub binary: PathBuf,
    /// The binary itself, as it is in the archive
    pub program: PathBuf,
    /// The disk that every machine begins with a copy of
    pub image: PathBuf,
    made: Made,
}

impl Scene {
    /// Takes initrd and image from `store`, or makes them. `scratch` is for the binary's archive.
    pub fn new(store: &Path, kernel: &Kernel, binary: &Path, scratch: &Path) -> Result<Self> {
        let debian = Debian::fetch(store, &PACKAGES)?;
        let module = workspace().join("dracut/53ignition");
        let guest = workspace().join("vm-tests/guest");
        let tree = key(&(
            &debian.key,
            &kernel.release,
            content(&guest.join("scene/tree"))?,
            include_str!("scene.rs"),
        ));
        let made = Made {
            store: store.to_path_buf(),
            kernel: kernel.clone(),
            debian,
            tree,
            guest,
            module,
            binary: binary.to_path_buf(),
        };
        let (image, initrd) = made.get(Kind::Flatcar)?;
        let archive = scratch.join("binary.cpio");
        let program = stripped(binary, scratch)?;
        let mut only = Archive::new();
        only.add_copy(base::BINARY, &program)?;
        std::fs::write(&archive, only.finish()).doing(archive.display())?;
        Ok(Self {
            kernel: kernel.clone(),
            initrd,
            binary: archive,
            program,
            image,
            made,
        })
    }

    /// Disk and initrd of a distribution that is not Flatcar.
    pub fn plain(&self) -> Result<(PathBuf, PathBuf)> {
        self.made.get(Kind::Plain)
    }
}

/// The binary without what only a debugger reads: a debug build has three quarters of that.
fn stripped(binary: &Path, scratch: &Path) -> Result<PathBuf> {
    let stripped = scratch.join("ignition");
    packages::run(Command::new("strip").arg("-o").arg(&stripped).arg(binary))?;
    Ok(stripped)
}

/// What decides about files: the names, modes and bytes of everything below.
fn content(path: &Path) -> Result<Vec<(String, u32, Vec<u8>)>> {
    use std::os::unix::fs::PermissionsExt as _;
    let mut found = Vec::new();
    let mut waiting = vec![path.to_path_buf()];
    while let Some(path) = waiting.pop() {
        let metadata = std::fs::symlink_metadata(&path).doing(path.display())?;
        if metadata.is_dir() {
            for entry in std::fs::read_dir(&path).doing(path.display())? {
                waiting.push(entry?.path());
            }
            continue;
        }
        let bytes = if metadata.is_symlink() {
            std::fs::read_link(&path)?.into_os_string().into_encoded_bytes()
        } else {
            std::fs::read(&path).doing(path.display())?
        };
        found.push((path.display().to_string(), metadata.permissions().mode(), bytes));
    }
    // Where the worktree is does not matter, nor in which order a directory is read.
    let above = workspace().display().to_string();
    for (name, ..) in &mut found {
        *name = name.trim_start_matches(&above).to_owned();
    }
    found.sort();
    Ok(found)
}

/// From what initrd and image are made.
#[derive(Clone, Debug)]
struct Made {
    store: PathBuf,
    kernel: Kernel,
    debian: Debian,
    /// What decides about the tree
    tree: String,
    guest: PathBuf,
    module: PathBuf,
    binary: PathBuf,
}

impl Made {
    /// Image and initrd, from the store if they are there.
    fn get(&self, kind: Kind) -> Result<(PathBuf, PathBuf)> {
        let image_key = key(&(&self.tree, kind, content(&self.guest)?));
        let initrd_key = key(&(&image_key, content(&self.module)?));
        let image = self.store.join(format!("image.{image_key}.raw"));
        let initrd = self.store.join(format!("initrd.{initrd_key}"));
        if !image.exists() || !initrd.exists() {
            self.make(kind, &image, &initrd)?;
        }
        keep_used(&self.store, "image.", &image, "")?;
        keep_used(&self.store, "initrd.", &initrd, "")?;
        Ok((image, initrd))
    }

    fn make(&self, kind: Kind, image: &Path, initrd: &Path) -> Result<()> {
        // One process at a time; the other finds it made.
        let lock = self.store.join("scene.lock");
        let file = File::create(&lock).doing(lock.display())?;
        file.lock().doing(lock.display())?;
        let work = self.store.join(format!("scene.{}", std::process::id()));
        std::fs::create_dir_all(&work).doing(work.display())?;
        let made = self.make_in(kind, &work, image, initrd);
        std::fs::remove_dir_all(&work).doing(work.display())?;
        made
    }

    fn make_in(&self, kind: Kind, work: &Path, image: &Path, initrd: &Path) -> Result<()> {
        let scripts = self.guest.join("scene");
        let tree = changeable(&self.debian, &self.kernel, work)?;
        let guest = work.join("guest");
        packages::run(Command::new("cp").arg("-a").args([&scripts, &guest]))?;
        std::fs::copy(self.guest.join("lib"), guest.join("usr/lib/vm-tests/lib"))?;
        if !image.exists() {
            eprintln!("making {}", image.display());
            let part = work.join("image");
            packages::run(
                Command::new(scripts.join("image"))
                    .args([&tree, &guest, &work.join("image.d"), &part])
                    .arg(kind.name()),
            )?;
            std::fs::rename(&part, image).doing(image.display())?;
        }
        if !initrd.exists() {
            eprintln!("making {}", initrd.display());
            let modules = tree.join("usr/lib/dracut/modules.d");
            packages::run(
                Command::new("cp")
                    .arg("-a")
                    .args([&self.module, &modules.join("53ignition")]),
            )?;
            for own in kind.modules() {
                packages::run(Command::new("cp").arg("-a").arg(guest.join(own)).arg(&modules))?;
            }
            packages::run(
                Command::new("cp")
                    .arg("-a")
                    .arg(guest.join("usr"))
                    .arg(modules.join("60vm-tests")),
            )?;
            // For its libraries; each run brings its own.
            let there = tree.join(base::BINARY.trim_start_matches('/'));
            packages::run(Command::new("install").arg("-m755").arg(&self.binary).arg(&there))?;
            let part = work.join("initrd");
            dracut(&tree, &self.kernel.release, &part, &kind.arguments())?;
            std::fs::rename(&part, initrd).doing(initrd.display())?;
        }
        Ok(())
    }
}

/// The packages of scenarios as a tree below `work` that can be changed into.
pub(crate) fn tree(store: &Path, kernel: &Kernel, work: &Path) -> Result<PathBuf> {
    changeable(&Debian::fetch(store, &PACKAGES)?, kernel, work)
}

fn changeable(debian: &Debian, kernel: &Kernel, work: &Path) -> Result<PathBuf> {
    let tree = work.join("tree");
    // Links: the files are those of the packages' tree, which nobody writes to.
    packages::run(Command::new("cp").arg("-al").args([&debian.path(""), &tree]))?;
    packages::run(
        Command::new(workspace().join("vm-tests/guest/scene/tree"))
            .args([&tree, kernel.tree()])
            .arg(&kernel.release),
    )?;
    Ok(tree)
}

/// The tree's dracut makes an initrd, in mounts of its own.
pub(crate) fn dracut(tree: &Path, release: &str, out: &Path, arguments: &[&str]) -> Result<()> {
    packages::run(
        Command::new("unshare")
            .arg("-m")
            .arg(workspace().join("vm-tests/guest/scene/initrd"))
            .arg(tree)
            .arg(release)
            .arg(out)
            .args(arguments),
    )?;
    Ok(())
}
