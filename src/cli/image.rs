//! What `plan` and `provision` have in common about images.

use std::ffi::OsStr;
use std::path::PathBuf;

use crate::flags::text;

/// Which images stand for which disks of the config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageArgs {
    /// The image
    pub image: PathBuf,
    /// What disks are called, and images of others
    pub map: Vec<Map>,
    /// Label of the filesystem that is the root
    pub root_label: String,
    /// Bytes of a sector; `None`: as the image's partition table says, else 512
    pub sector_size: Option<u32>,
}

/// `--map DEV` or `--map DEV=FILE`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Map {
    /// The disk as the config names it
    pub device: String,
    /// Its image; `None`: the one of `--image`
    pub file: Option<PathBuf>,
}

/// What the flags say.
#[derive(Clone, Debug, Default)]
pub(super) struct ImageFlags {
    pub(super) image: Option<PathBuf>,
    pub(super) map: Vec<Map>,
    pub(super) root_label: String,
    pub(super) sector_size: Option<u32>,
}

/// Texts of the flags, which are the same for both verbs.
pub(super) mod help {
    pub(in super::super) const IMAGE: &str = "a disk image: a file with the bytes of a whole disk, no qcow2";
    pub(in super::super) const MAP: &str = "what the config calls the image's disk";
    pub(in super::super) const MAP_MORE: &str = "Without it that is the only disk that the config names by another name \
         than one of /dev/disk. May be given again; with =FILE, the disk of another image.";
    pub(in super::super) const ROOT_LABEL: &str = "label of the filesystem that is the root";
    pub(in super::super) const ROOT_LABEL_MORE: &str =
        "A filesystem with the path / in the config goes before it.";
    pub(in super::super) const SECTOR_SIZE: &str = "bytes of a logical sector of the disk";
    pub(in super::super) const SECTOR_SIZE_MORE: &str =
        "Without it as the partition table of the image says, else 512.";
}

impl ImageFlags {
    pub(super) fn set_map(&mut self, value: &OsStr) -> Result<(), String> {
        let value = text(value)?;
        let (device, file) = match value.split_once('=') {
            Some((device, file)) => (device, Some(file)),
            None => (value, None),
        };
        if !device.starts_with("/dev/") || file == Some("") {
            return Err("it is /dev/NAME or /dev/NAME=FILE".to_owned());
        }
        self.map.push(Map {
            device: device.to_owned(),
            file: file.map(PathBuf::from),
        });
        Ok(())
    }

    pub(super) fn set_root_label(&mut self, value: &OsStr) -> Result<(), String> {
        let label = text(value)?;
        if label.is_empty() {
            return Err("a label has at least one letter".to_owned());
        }
        label.clone_into(&mut self.root_label);
        Ok(())
    }

    pub(super) fn set_sector_size(&mut self, value: &OsStr) -> Result<(), String> {
        self.sector_size = match value.to_str() {
            Some("512") => Some(512),
            Some("4096") => Some(4096),
            _ => return Err("it is 512 or 4096".to_owned()),
        };
        Ok(())
    }

    /// The arguments; `None` without `--image`.
    pub(super) fn into_args(self) -> Option<ImageArgs> {
        Some(ImageArgs {
            image: self.image?,
            map: self.map,
            root_label: self.root_label,
            sector_size: self.sector_size,
        })
    }
}
