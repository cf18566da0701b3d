//! A second node of a device, which udev does not watch.
//!
//! udev watches the nodes in `/dev`. When one is closed after writing, it deals with the device anew; of a whole disk it has the
//! kernel read the table, so that all partitions go and come back. That is right for programs that tell nobody, and only
//! work twice done when the change is announced anyway ([`crate::sys::devices::BlockDevices::announce`]).

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::stat::{Mode, SFlag, mknod};

/// A node that is removed when this is dropped; what is open stays so.
#[derive(Debug)]
pub struct OwnNode(PathBuf);

impl OwnNode {
    /// Makes one of the block device that this is about.
    pub fn of(device: &Metadata) -> io::Result<Self> {
        if !device.file_type().is_block_device() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let path = PathBuf::from(format!("/dev/.ignition-{}-{}", std::process::id(), device.rdev()));
        let make = || {
            mknod(
                &path,
                SFlag::S_IFBLK,
                Mode::S_IRUSR | Mode::S_IWUSR,
                device.rdev(),
            )
        };
        match make() {
            // A process of this number, which is gone, has left it.
            Err(Errno::EEXIST) => {
                fs::remove_file(&path)?;
                make()?;
            }
            made => made?,
        }
        Ok(Self(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for OwnNode {
    fn drop(&mut self) {
        // One that stays is in nobody's way.
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_block_devices_have_one() {
        for path in ["/dev/null", "/", "/proc/self/exe"] {
            assert!(OwnNode::of(&fs::metadata(path).unwrap()).is_err(), "{path}");
        }
    }
}
