//! The part of the initrd for jobs about disks: what the disks stage starts, udev, systemd, and Debian's own Go Ignition to compare
//! with. Made from Debian's packages, not from what happens to be installed here.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::debian::{Debian, keep_used, key};
use crate::{Archive, Doing as _, Kernel, Machine, Result, packages};

/// Where Debian's Go Ignition (2.14.0) is in a machine.
pub const PEER: &str = "/usr/lib/dracut/modules.d/30ignition/ignition";

const PACKAGES: [&str; 27] = [
    "bash",
    "btrfs-progs",
    "clevis",
    "clevis-luks",
    "clevis-tpm2",
    "coreutils",
    "cryptsetup-bin",
    "curl",
    "dash",
    "dmsetup",
    "dosfstools",
    "e2fsprogs",
    "fdisk",
    "gdisk",
    "grep",
    "ignition",
    "kmod",
    "kpartx",
    "mdadm",
    "mount",
    "sed",
    "systemd",
    "tang",
    "udev",
    "util-linux",
    "util-linux-extra",
    "xfsprogs",
];

/// Files of the packages, from the root of their tree: programs, udev's rules, systemd.
const FILES: &str = "
bin/dash sbin/blkid sbin/blockdev sbin/wipefs sbin/sgdisk sbin/sfdisk sbin/mkswap sbin/swapon sbin/swapoff sbin/swaplabel
bin/mount bin/umount bin/findmnt bin/lsblk bin/partx usr/bin/flock sbin/losetup
sbin/mdadm sbin/mdmon sbin/dmsetup sbin/kpartx sbin/cryptsetup sbin/veritysetup
sbin/mke2fs sbin/mkfs.ext4 sbin/e2fsck sbin/tune2fs sbin/dumpe2fs sbin/resize2fs usr/sbin/debugfs etc/mke2fs.conf
sbin/mkfs.xfs sbin/xfs_repair usr/sbin/xfs_db usr/sbin/xfs_admin usr/sbin/xfs_io
bin/btrfs sbin/mkfs.btrfs
sbin/mkfs.fat sbin/mkfs.vfat sbin/fatlabel sbin/fsck.fat
usr/bin/clevis usr/bin/clevis-decrypt usr/bin/clevis-decrypt-null usr/bin/clevis-decrypt-sss usr/bin/clevis-decrypt-tang
usr/bin/clevis-decrypt-tpm2 usr/bin/clevis-encrypt-null usr/bin/clevis-encrypt-sss usr/bin/clevis-encrypt-tang
usr/bin/clevis-encrypt-tpm2 usr/bin/clevis-luks-bind usr/bin/clevis-luks-common-functions usr/bin/clevis-luks-list
usr/bin/clevis-luks-unlock usr/bin/clevis-luks-pass bin/cat usr/bin/jose usr/bin/pwmake usr/bin/curl bin/grep bin/egrep bin/sed
usr/bin/tpm2 usr/bin/tpm2_create usr/bin/tpm2_createpolicy usr/bin/tpm2_createprimary usr/bin/tpm2_flushcontext
usr/bin/tpm2_getcap usr/bin/tpm2_load usr/bin/tpm2_pcrread usr/bin/tpm2_unseal
usr/lib/x86_64-linux-gnu/libtss2-tcti-device.so.0
usr/libexec/tangd usr/libexec/tangd-keygen usr/bin/systemd-socket-activate
lib/udev/ata_id lib/udev/scsi_id lib/udev/cdrom_id
lib/udev/rules.d/01-md-raid-creating.rules lib/udev/rules.d/50-udev-default.rules lib/udev/rules.d/55-dm.rules
lib/udev/rules.d/60-block.rules lib/udev/rules.d/60-cdrom_id.rules lib/udev/rules.d/60-persistent-storage-dm.rules
lib/udev/rules.d/60-persistent-storage.rules lib/udev/rules.d/63-md-raid-arrays.rules lib/udev/rules.d/64-btrfs-dm.rules
lib/udev/rules.d/64-btrfs.rules lib/udev/rules.d/80-drivers.rules lib/udev/rules.d/95-dm-notify.rules
lib/udev/rules.d/99-systemd.rules
bin/udevadm lib/systemd/systemd-udevd
lib/systemd/systemd lib/systemd/systemd-journald lib/systemd/systemd-shutdown lib/systemd/systemd-cryptsetup
bin/systemctl bin/journalctl bin/systemd-tmpfiles bin/systemd-escape usr/bin/systemd-run usr/bin/systemd-cat
usr/bin/systemd-detect-virt
lib/systemd/system/systemd-journald.service lib/systemd/system/systemd-journald.socket
lib/systemd/system/systemd-journald-dev-log.socket lib/systemd/system/systemd-udevd.service
lib/systemd/system/systemd-udevd-control.socket lib/systemd/system/systemd-udevd-kernel.socket
lib/systemd/system/systemd-udev-settle.service lib/systemd/system/sysinit.target lib/systemd/system/basic.target
lib/systemd/system/sockets.target lib/systemd/system/paths.target lib/systemd/system/timers.target
lib/systemd/system/slices.target lib/systemd/system/swap.target lib/systemd/system/local-fs.target
lib/systemd/system/local-fs-pre.target lib/systemd/system/cryptsetup.target lib/systemd/system/cryptsetup-pre.target
lib/systemd/system/emergency.target lib/systemd/system/rescue.target lib/systemd/system/shutdown.target
lib/systemd/system/umount.target lib/systemd/system/final.target lib/systemd/system/poweroff.target
lib/systemd/system/reboot.target lib/systemd/system/systemd-poweroff.service lib/systemd/system/systemd-reboot.service
lib/systemd/system/initrd.target lib/systemd/system/initrd-fs.target lib/systemd/system/initrd-root-fs.target
lib/systemd/system/initrd-root-device.target lib/systemd/system/initrd-usr-fs.target
lib/systemd/system/initrd-switch-root.target
";

/// Not started by udev unless a job asks for it (`assemble_by_udev`): Flatcar's first boots do not, or a second attempt would find
/// the array of the first in use.
const ASSEMBLY: &str = "lib/udev/rules.d/64-md-raid-assembly.rules";

/// Modules: those that the machine loads at once.
const LOADED: &str = "virtio_blk virtio_scsi sd_mod dm_mod md_mod loop";

/// Modules that are loaded when something asks for them.
const MODULES: [&str; 39] = [
    "virtio_blk",
    "virtio_scsi",
    "sd_mod",
    "sr_mod",
    "virtio_rng",
    "virtio_net",
    "loop",
    "md_mod",
    "raid0",
    "raid1",
    "raid10",
    "raid456",
    "linear",
    "dm_mod",
    "dm_crypt",
    "dm_verity",
    "dm_flakey",
    "dm_delay",
    "dm_snapshot",
    "ext4",
    "xfs",
    "btrfs",
    "vfat",
    "nls_ascii",
    "nls_cp437",
    "nls_iso8859_1",
    "nls_utf8",
    "overlay",
    "squashfs",
    "crc32c_generic",
    "crc32c_intel",
    "xts",
    "cbc",
    "aesni_intel",
    "sha256_generic",
    "autofs4",
    "algif_hash",
    "algif_skcipher",
    "tpm_crb",
];

/// Accounts that udev's rules and systemd name.
const GROUP: &str = "root:x:0:\ntty:x:5:\ndisk:x:6:\nlp:x:7:\nkmem:x:15:\ndialout:x:20:\ncdrom:x:24:\nfloppy:x:25:\n\
                     tape:x:26:\naudio:x:29:\nvideo:x:44:\nrender:x:105:\nkvm:x:104:\ninput:x:106:\nsgx:x:107:\n\
                     systemd-journal:x:101:\nnogroup:x:65534:\n_tang:x:110:\n";
const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n_tang:x:110:110::/:/bin/false\n";

/// How much of a system a machine has around the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flavour {
    /// The kernel and devtmpfs; neither `udevadm` nor `systemctl` is there
    Bare,
    /// udev, without systemd; the job starts after it has settled
    Udev,
    /// systemd is process 1, with udev and the journal; the job is a unit
    Systemd,
}

impl Flavour {
    /// All
    pub const ALL: [Self; 3] = [Self::Bare, Self::Udev, Self::Systemd];

    /// Its name on the kernel's command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Udev => "udev",
            Self::Systemd => "systemd",
        }
    }
}

/// All that jobs about disks boot.
#[derive(Clone, Debug)]
pub struct Lab {
    /// The kernel
    pub kernel: Kernel,
    /// The tree of packages; its programs run here too (`debian.command("sbin/sgdisk")`)
    pub debian: Debian,
    base: PathBuf,
    tools: PathBuf,
}

impl Lab {
    /// Gets the packages and makes the archive, unless both are in `store` from an earlier run. `base` is the initrd that all machines
    /// share.
    pub fn new(store: &Path, kernel: &Kernel, base: &Path) -> Result<Self> {
        let debian = Debian::fetch(store, &PACKAGES)?;
        let recipe = [
            include_str!("tools.rs"),
            include_str!("debian.rs"),
            include_str!("initrd.rs"),
            include_str!("../guest/disks"),
            include_str!("../guest/job.service"),
            include_str!("../guest/nosleep.c"),
        ];
        let name = key(&(&debian.key, &kernel.release, recipe));
        let tools = store.join(format!("tools.{name}.cpio"));
        if !tools.exists() {
            let part = store.join(format!("tools.{}.part", std::process::id()));
            std::fs::write(&part, archive(store, kernel, &debian)?.finish()).doing(part.display())?;
            std::fs::rename(&part, &tools).doing(tools.display())?;
        }
        keep_used(store, "tools.", &tools, "")?;
        Ok(Self {
            kernel: kernel.clone(),
            debian,
            base: base.to_path_buf(),
            tools,
        })
    }

    /// A machine of this flavour that runs `script`; it has the functions of `guest/lib` and `guest/disks`.
    pub fn machine(&self, flavour: Flavour, script: &str) -> Machine {
        Machine::new(&self.kernel, &self.base, script)
            .initrd(&self.tools)
            .argument(&format!("vm-tests.flavour={}", flavour.name()))
            // SCSI disks are seen when the job attaches them.
            .argument("scsi_mod.scan=manual")
            // Eight devices that nobody asked for
            .argument("loop.max_loop=0")
            // The console is slow; what is worse than a warning still comes.
            .argument("loglevel=4")
            .argument("systemd.show_status=0")
            .argument("rd.systemd.unit=job.target")
    }
}

fn archive(store: &Path, kernel: &Kernel, debian: &Debian) -> Result<Archive> {
    let mut archive = Archive::new();
    let files: Vec<&str> = FILES.split_whitespace().collect();
    debian.add(&mut archive, &files)?;
    debian.add(&mut archive, &[PEER])?;
    archive.add_link("usr/bin/sh", "dash");
    let library = nosleep(store)?;
    archive.add_copy("job/nosleep.so", &library)?;
    std::fs::remove_file(&library)?;
    archive.add_copy("job/assembly.rules", &debian.path(ASSEMBLY))?;
    archive.add_file("job/disks", 0o644, include_bytes!("../guest/disks"));
    archive.add_file("job/modules", 0o644, LOADED.as_bytes());
    archive.add_file("etc/passwd", 0o644, PASSWD.as_bytes());
    archive.add_file("etc/group", 0o644, GROUP.as_bytes());
    archive.add_file(
        "etc/nsswitch.conf",
        0o644,
        b"passwd: files\ngroup: files\nhosts: files\n",
    );
    // clevis makes passwords by a program that looks into a dictionary, which only an installation makes.
    archive.add_file("etc/security/pwquality.conf", 0o644, b"dictcheck = 0\n");
    archive.add_file("etc/hosts", 0o644, b"127.0.0.1 localhost\n");
    archive.add_file("etc/hostname", 0o644, b"vm-tests\n");
    archive.add_file(
        "etc/os-release",
        0o644,
        b"NAME=vm-tests\nID=vm-tests\nVERSION_ID=1\n",
    );
    archive.add_file("etc/machine-id", 0o644, b"42000000000000000000000000000042\n");
    archive.add_directory("sysroot");
    archive.add_directory("var/log");
    archive.add_link("var/run", "../run");
    archive.add_link("etc/mtab", "../proc/self/mounts");
    let units = "usr/lib/systemd/system";
    archive.add_file(
        &format!("{units}/job.service"),
        0o644,
        include_bytes!("../guest/job.service"),
    );
    archive.add_file(
        &format!("{units}/job.target"),
        0o644,
        b"[Unit]\nRequires=job.service\nAfter=job.service\nAllowIsolate=yes\n",
    );
    // All of the journal, while it is made: a machine that hangs leaves nothing else.
    archive.add_file(
        "etc/systemd/journald.conf",
        0o644,
        b"[Journal]\nStorage=volatile\nForwardToConsole=yes\nTTYPath=/dev/hvc0\nMaxLevelConsole=debug\n\
          RateLimitIntervalSec=0\n",
    );
    kernel.add_modules(&mut archive, &MODULES)?;
    Ok(archive)
}

/// Debian's Go Ignition, for what has none of a [`Lab`]'s machines.
pub fn peer(store: &Path) -> Result<PathBuf> {
    let tree = store.join("peer");
    if !tree.exists() {
        packages::unpack("ignition", &tree)?;
    }
    Ok(tree.join(PEER.trim_start_matches('/')))
}

/// What takes the sleeping out of sgdisk. The linker that made this program makes it.
fn nosleep(store: &Path) -> Result<PathBuf> {
    let source = store.join(format!("nosleep.{}.c", std::process::id()));
    let library = source.with_extension("so");
    std::fs::write(&source, include_bytes!("../guest/nosleep.c")).doing(source.display())?;
    packages::run(
        Command::new("cc")
            .args(["-shared", "-fPIC", "-O2", "-o"])
            .args([&library, &source]),
    )?;
    std::fs::remove_file(&source)?;
    Ok(library)
}
