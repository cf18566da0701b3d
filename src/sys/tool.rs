//! The programs that this one starts. The dracut module's list of programs is checked against [`Tool::ALL`].

use std::fmt;

/// A program that must be in the initrd.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tool {
    /// Creates users
    Useradd,
    /// Changes users
    Usermod,
    /// Deletes users
    Userdel,
    /// Creates groups
    Groupadd,
    /// Changes groups
    Groupmod,
    /// Deletes groups
    Groupdel,
    /// Asks whether units are enabled, and disables them
    Systemctl,
    /// Loads kernel modules of platforms
    Modprobe,
    /// Makes, opens and asks LUKS volumes
    Cryptsetup,
    /// Binds LUKS volumes to network servers, a TPM or other pins
    Clevis,
    /// Makes secure keys; s390x
    Zkey,
    /// Puts secure keys into LUKS volumes; s390x
    ZkeyCryptsetup,
    /// Makes and starts RAID arrays
    Mdadm,
    /// Removes signatures
    Wipefs,
    /// Makes btrfs
    MkfsBtrfs,
    /// Makes ext4
    MkfsExt4,
    /// Makes xfs
    MkfsXfs,
    /// Makes vfat
    MkfsFat,
    /// Makes swap space
    Mkswap,
    /// Makes the partitions of device-mapper disks
    Dmsetup,
    /// Reads signatures
    Blkid,
    /// Announces devices
    Udevadm,
    /// Mounts
    Mount,
    /// Changes the kernel's arguments; the distribution's own
    KargsHelper,
    /// Says whether this is a live system; the distribution's own, and optional
    IsLiveImage,
}

impl Tool {
    /// All of them.
    pub const ALL: [Self; 25] = [
        Self::Useradd,
        Self::Usermod,
        Self::Userdel,
        Self::Groupadd,
        Self::Groupmod,
        Self::Groupdel,
        Self::Systemctl,
        Self::Modprobe,
        Self::Cryptsetup,
        Self::Clevis,
        Self::Zkey,
        Self::ZkeyCryptsetup,
        Self::Mdadm,
        Self::Wipefs,
        Self::MkfsBtrfs,
        Self::MkfsExt4,
        Self::MkfsXfs,
        Self::MkfsFat,
        Self::Mkswap,
        Self::Dmsetup,
        Self::Blkid,
        Self::Udevadm,
        Self::Mount,
        Self::KargsHelper,
        Self::IsLiveImage,
    ];

    /// Its name, which is looked up on `PATH`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Useradd => "useradd",
            Self::Usermod => "usermod",
            Self::Userdel => "userdel",
            Self::Groupadd => "groupadd",
            Self::Groupmod => "groupmod",
            Self::Groupdel => "groupdel",
            Self::Systemctl => "systemctl",
            Self::Modprobe => "modprobe",
            Self::Cryptsetup => "cryptsetup",
            Self::Clevis => "clevis",
            Self::Zkey => "zkey",
            Self::ZkeyCryptsetup => "zkey-cryptsetup",
            Self::Mdadm => "mdadm",
            Self::Wipefs => "wipefs",
            Self::MkfsBtrfs => "mkfs.btrfs",
            Self::MkfsExt4 => "mkfs.ext4",
            Self::MkfsXfs => "mkfs.xfs",
            Self::MkfsFat => "mkfs.fat",
            Self::Mkswap => "mkswap",
            Self::Dmsetup => "dmsetup",
            Self::Blkid => "blkid",
            Self::Udevadm => "udevadm",
            Self::Mount => "mount",
            Self::KargsHelper => "ignition-kargs-helper",
            Self::IsLiveImage => "is-live-image",
        }
    }
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
