//! What the kernel knows of a disk and its partitions, by ioctl (linux/fs.h, linux/blkpg.h).

use std::io;
use std::os::fd::{AsFd, AsRawFd as _};

use nix::errno::Errno;
use nix::libc::{c_int, c_longlong, c_void};

use crate::gpt::{KernelPartition, Tell};

/// `struct blkpg_partition`
#[repr(C)]
struct Partition {
    /// In bytes
    start: c_longlong,
    /// In bytes
    length: c_longlong,
    number: c_int,
    /// Not read by the kernel
    devname: [u8; 64],
    /// Not read by the kernel
    volname: [u8; 64],
}

/// `struct blkpg_ioctl_arg`
#[repr(C)]
struct Argument {
    operation: c_int,
    flags: c_int,
    length: c_int,
    data: *mut c_void,
}

/// Operations of BLKPG.
const ADD: c_int = 1;
const DELETE: c_int = 2;
const RESIZE: c_int = 3;

mod request {
    //! The numbers of the ioctls: old ones, without their size in them, but for the last.
    nix::ioctl_none_bad!(reread, 0x125f);
    nix::ioctl_read_bad!(sector_size, 0x1268, nix::libc::c_int);
    nix::ioctl_write_ptr_bad!(partition, 0x1269, super::Argument);
    nix::ioctl_read!(size, 0x12, 114, u64);
}

/// The logical sector size in bytes (BLKSSZGET).
pub fn sector_size(disk: impl AsFd) -> io::Result<u32> {
    let mut size: c_int = 0;
    #[expect(unsafe_code, reason = "nix has the ioctl, but not a safe function for it")]
    // SAFETY: the kernel writes one int to where the pointer says, which is one int of ours.
    unsafe { request::sector_size(disk.as_fd().as_raw_fd(), &raw mut size) }?;
    u32::try_from(size).map_err(|_| Errno::EINVAL.into())
}

/// The size in bytes (BLKGETSIZE64).
pub fn size(disk: impl AsFd) -> io::Result<u64> {
    let mut size: u64 = 0;
    #[expect(unsafe_code, reason = "nix has the ioctl, but not a safe function for it")]
    // SAFETY: the kernel writes a u64 to where the pointer says, which is a u64 of ours. (The request's number has the size of a
    // size_t in it, which is a u64 on every machine that this is built for; others get ENOTTY.)
    unsafe { request::size(disk.as_fd().as_raw_fd(), &raw mut size) }?;
    Ok(size)
}

/// Makes the kernel read the table anew (BLKRRPART): EBUSY if a partition is in use.
pub fn reread(disk: impl AsFd) -> io::Result<()> {
    #[expect(unsafe_code, reason = "nix has the ioctl, but not a safe function for it")]
    // SAFETY: it takes no argument.
    unsafe { request::reread(disk.as_fd().as_raw_fd()) }?;
    Ok(())
}

/// Tells the kernel of one partition (BLKPG). EBUSY: it is in use, or there is one of this number already or one that overlaps; ENXIO:
/// there is none.
pub fn tell(disk: impl AsFd, what: Tell) -> io::Result<()> {
    let (operation, number, start, length) = match what {
        Tell::Delete(number) => (DELETE, number, 0, 0),
        Tell::Resize(KernelPartition { number, start, size }) => (RESIZE, number, start, size),
        Tell::Add(KernelPartition { number, start, size }) => (ADD, number, start, size),
    };
    let range = |bytes| c_longlong::try_from(bytes).map_err(|_| Errno::EINVAL);
    let mut partition = Partition {
        start: range(start)?,
        length: range(length)?,
        number: c_int::try_from(number).map_err(|_| Errno::EINVAL)?,
        devname: [0; 64],
        volname: [0; 64],
    };
    let argument = Argument {
        operation,
        flags: 0,
        length: c_int::try_from(size_of::<Partition>()).map_err(|_| Errno::EINVAL)?,
        data: (&raw mut partition).cast(),
    };
    #[expect(unsafe_code, reason = "nix has the ioctl, but not a safe function for it")]
    // SAFETY: both structures have the kernel's layout (repr(C), tested below) and live until the call returns; the kernel only reads them.
    unsafe { request::partition(disk.as_fd().as_raw_fd(), &raw const argument) }?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn the_layout_is_the_kernels() {
        assert_eq!(size_of::<Partition>(), 152);
        assert_eq!(std::mem::offset_of!(Partition, devname), 20);
        #[cfg(target_pointer_width = "64")]
        assert_eq!(
            (size_of::<Argument>(), std::mem::offset_of!(Argument, data)),
            (24, 16)
        );
    }

    #[test]
    fn what_is_no_disk_is_an_error() {
        let file = File::open("/dev/null").unwrap();
        assert!(size(&file).is_err());
        assert!(sector_size(&file).is_err());
        assert!(reread(&file).is_err());
        assert!(tell(&file, Tell::Delete(1)).is_err());
    }
}
