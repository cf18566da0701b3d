//! Block devices as a planner sees them (spec/disks.md 1, 2.1, 3, 4.2, 5; spec/mount_files.md 2).
//!
//! A device is named by the path that the config has, which is mostly a link (`/dev/disk/by-label/ROOT`), and known by its
//! node (`/dev/vda9`), to which the link leads now. Steps carry both: links come and go while a disk is changed.

use serde::Serialize;

use super::ViewError;
use crate::gpt::Scan;

/// A block device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Device {
    /// Its node, no link: `/dev/vda9`, `/dev/dm-0`
    pub node: String,
    /// Size in bytes; `None` if only a later phase knows it
    pub size: Option<u64>,
    /// Size of a logical sector in bytes
    pub sector_size: u32,
    /// The disk that it is a partition of
    pub partition: Option<PartitionOf>,
    /// Its name with the device mapper, if it is one of its devices
    pub mapper: Option<String>,
    /// What uses it now, partitions aside
    pub uses: Vec<Use>,
}

/// Which partition a device is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PartitionOf {
    /// The disk's node
    pub disk: String,
    /// Its number, from 1
    pub number: u32,
    /// Where it begins, in bytes
    pub start: u64,
}

/// Something that uses a device, so that it must not be changed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase", tag = "use", content = "by")]
pub enum Use {
    /// It is mounted here
    Mounted(String),
    /// It is swap space
    Swap,
    /// Another device is built on it: a RAID array, a mapping; its kernel name
    Held(String),
}

impl std::fmt::Display for Use {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Mounted(target) => write!(f, "mounted at {target}"),
            Self::Swap => f.write_str("used as swap space"),
            Self::Held(name) => write!(f, "used by {name}"),
        }
    }
}

/// A number of bytes for people: `512 B`, `1.5 GiB`, `20 GiB`. Tenths are cut off.
pub fn size_text(bytes: u64) -> String {
    const UNITS: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let Some((unit, shift)) = UNITS.into_iter().find(|(_, shift)| bytes >> shift > 0) else {
        return format!("{bytes} B");
    };
    let whole = bytes >> shift;
    let tenth = ((bytes - (whole << shift)).saturating_mul(10)) >> shift;
    match tenth {
        0 => format!("{whole} {unit}"),
        _ => format!("{whole}.{tenth} {unit}"),
    }
}

/// What `blkid -p` finds at the beginning of a device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Signature {
    /// Type: `ext4`, `swap`, `crypto_LUKS`, `linux_raid_member`; empty: none
    pub kind: String,
    /// UUID as blkid prints it; empty: none
    pub uuid: String,
    /// Label; empty: none
    pub label: String,
    /// Whether several types fit, of which this is one
    pub ambivalent: bool,
    /// Type of the partition table: `gpt`, `dos`; empty: none
    pub table: String,
}

impl Signature {
    /// Whether no type was found. There may be a partition table.
    pub fn is_blank(&self) -> bool {
        self.kind.is_empty()
    }
}

/// The header of a LUKS volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Volume {
    /// 1 or 2
    pub version: u32,
    /// UUID
    pub uuid: String,
    /// Label; empty: none
    pub label: String,
    /// Subsystem label; empty: none. A run that is not finished keeps the digest of its config here
    pub subsystem: String,
    /// Persistent flags: `allow-discards`
    pub flags: Vec<String>,
}

/// The RAID superblock of a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// UUID of the array
    pub array: String,
    /// Name of the array without its host
    pub name: String,
    /// `raid1`, `raid10`
    pub level: String,
    /// How many active devices the array has
    pub devices: u32,
}

/// A mounted filesystem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Mounted {
    /// Node of its device, or what stands for one (`tmpfs`)
    pub source: String,
    /// Where
    pub target: String,
    /// Type of filesystem
    pub kind: String,
    /// Options, of the mount and of the filesystem
    pub options: Vec<String>,
    /// Which directory of the filesystem is seen there; `/` unless it is a bind mount or subvolume
    pub root: String,
}

/// The machine's block devices and mounts as a planner sees them. Read-only. Nothing here waits: what a planner asks for
/// was waited for before the phase ([`crate::engine::world::World::await_devices`]).
pub trait Devices {
    /// The device at a path, links followed; `None` if there is none, or something that is no block device.
    fn device(&self, path: &str) -> Result<Option<Device>, ViewError>;

    /// The partitions that the kernel knows of a disk, by number.
    fn partitions(&self, node: &str) -> Result<Vec<Device>, ViewError>;

    /// What is on a device, read from the device itself.
    fn signature(&self, node: &str) -> Result<Signature, ViewError>;

    /// The LUKS header on a device; `None` if there is none.
    fn volume(&self, node: &str) -> Result<Option<Volume>, ViewError>;

    /// The RAID superblock on a device; `None` if there is none.
    fn member(&self, node: &str) -> Result<Option<Member>, ViewError>;

    /// The partition table of a disk.
    fn scan(&self, node: &str) -> Result<Scan, ViewError> {
        Err(ViewError::Io {
            operation: "read the partition table of",
            path: node.to_owned(),
            source: std::io::ErrorKind::Unsupported.into(),
        })
    }

    /// What was noted of the table that a run of this boot has written to a disk; `None` if none has.
    fn noted_table(&self, _node: &str) -> Result<Option<String>, ViewError> {
        Ok(None)
    }

    /// All mounts, in the order in which they were made.
    fn mounts(&self) -> Result<Vec<Mounted>, ViewError>;
}

/// Knows of no device and no mount: for views of a root alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoDevices;

impl Devices for NoDevices {
    fn device(&self, _path: &str) -> Result<Option<Device>, ViewError> {
        Ok(None)
    }

    fn partitions(&self, _node: &str) -> Result<Vec<Device>, ViewError> {
        Ok(Vec::new())
    }

    fn signature(&self, _node: &str) -> Result<Signature, ViewError> {
        Ok(Signature::default())
    }

    fn volume(&self, _node: &str) -> Result<Option<Volume>, ViewError> {
        Ok(None)
    }

    fn member(&self, _node: &str) -> Result<Option<Member>, ViewError> {
        Ok(None)
    }

    fn mounts(&self) -> Result<Vec<Mounted>, ViewError> {
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::size_text;

    #[test]
    fn sizes_for_people() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (300 << 20, "300 MiB"),
            ((2 << 30) + (1 << 29), "2.5 GiB"),
            ((2 << 30) - 1, "1.9 GiB"),
            (20 << 40, "20 TiB"),
            (u64::MAX, "16777215.9 TiB"),
        ] {
            assert_eq!(size_text(bytes), text);
        }
    }
}
