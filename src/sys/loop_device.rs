//! Loop devices: block devices made of files (loop(4), linux/loop.h).

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc::c_int;
use nix::sys::stat::{Mode, SFlag, makedev, mknod};

/// Major number of loop devices.
const MAJOR: u64 = 7;

/// How often another free device is tried when somebody else was faster.
const TRIES: usize = 64;

/// How long a device is waited for to be free of its file: whoever looks at new devices has it open for a moment.
const PATIENCE: Duration = Duration::from_secs(10);

/// The wait between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// `LO_FLAGS_AUTOCLEAR`: the kernel detaches it when nobody has it open or mounted any more.
const AUTOCLEAR: u32 = 4;

/// `LO_FLAGS_PARTSCAN`: it may have partitions, which go with it.
const PARTSCAN: u32 = 8;

/// What devices of this program are marked with.
const TAG: &[u8] = b"ignition-rs provision";

/// `struct loop_info64`
#[repr(C)]
#[derive(Clone, Copy)]
struct Info {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// `struct loop_config`
#[repr(C)]
struct Config {
    fd: u32,
    block_size: u32,
    info: Info,
    reserved: [u64; 8],
}

mod request {
    //! The numbers of the ioctls, which are older than the rule for them.
    nix::ioctl_none_bad!(get_free, 0x4c82);
    nix::ioctl_write_ptr_bad!(configure, 0x4c0a, super::Config);
    nix::ioctl_read_bad!(status, 0x4c05, super::Info);
}

const EMPTY: Info = Info {
    device: 0,
    inode: 0,
    rdevice: 0,
    offset: 0,
    size_limit: 0,
    number: 0,
    encrypt_type: 0,
    encrypt_key_size: 0,
    flags: 0,
    file_name: [0; 64],
    crypt_name: [0; 64],
    encrypt_key: [0; 32],
    init: [0; 2],
};

/// A file that is attached to a loop device. When this is dropped, or the process is killed, the kernel detaches it as soon as
/// nothing on it is mounted or open.
#[derive(Debug)]
pub struct LoopDevice {
    number: u32,
    file: File,
}

impl LoopDevice {
    /// Attaches a file, open for reading and writing, to a free device of this directory (`/dev`), which must have
    /// `loop-control`.
    pub fn attach(dev: &Path, file: &File, sector_size: u32) -> io::Result<Self> {
        let control = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_CLOEXEC)
            .open(dev.join("loop-control"))?;
        let mut last = Errno::EBUSY;
        for _ in 0..TRIES {
            #[expect(unsafe_code, reason = "nix has the ioctl, but not a safe function for it")]
            // SAFETY: it takes no argument.
            let number = unsafe { request::get_free(control.as_raw_fd()) }?;
            let number = u32::try_from(number).map_err(|_| Errno::EINVAL)?;
            let device = open(dev, number, true)?;
            let mut info = EMPTY;
            info.flags = AUTOCLEAR | PARTSCAN;
            for (place, byte) in info.file_name.iter_mut().zip(TAG) {
                *place = *byte;
            }
            let config = Config {
                fd: u32::try_from(file.as_raw_fd()).map_err(|_| Errno::EBADF)?,
                block_size: sector_size,
                info,
                reserved: [0; 8],
            };
            #[expect(unsafe_code, reason = "nix has the ioctl, but not a safe function for it")]
            // SAFETY: the structure has the kernel's layout (repr(C), tested below) and lives until the call returns; the
            // kernel only reads it, and takes a reference of its own to the file.
            let done = unsafe { request::configure(device.as_raw_fd(), &raw const config) };
            match done {
                Ok(_) => {
                    return Ok(Self { number, file: device });
                }
                // Another process has taken it first.
                Err(Errno::EBUSY) => last = Errno::EBUSY,
                Err(errno) => return Err(errno.into()),
            }
        }
        Err(last.into())
    }

    /// The kernel's name: `loop3`.
    pub fn name(&self) -> String {
        name(self.number)
    }

    /// Writes out what is still under way.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    /// Lets go of the device, and waits for the kernel to detach it. Says whether it has.
    pub fn detach(self, path: &Path) -> io::Result<bool> {
        let number = self.number;
        drop(self);
        wait_for(number, path)
    }
}

fn name(number: u32) -> String {
    format!("loop{number}")
}

/// Opens a device, of which the node is made if there is none.
fn open(dev: &Path, number: u32, for_writing: bool) -> io::Result<File> {
    let path = dev.join(name(number));
    match mknod(
        &path,
        SFlag::S_IFBLK,
        Mode::from_bits_truncate(0o600),
        makedev(MAJOR, number.into()),
    ) {
        Ok(()) | Err(Errno::EEXIST) => {}
        Err(errno) => return Err(errno.into()),
    }
    OpenOptions::new()
        .read(true)
        .write(for_writing)
        .custom_flags(libc::O_CLOEXEC)
        .open(path)
}

/// Waits until a device has not this file any more. Whether it is so in the end.
fn wait_for(number: u32, path: &Path) -> io::Result<bool> {
    let begun = Instant::now();
    while backing(&name(number))?.as_deref() == Some(path) {
        if begun.elapsed() > PATIENCE {
            return Ok(false);
        }
        std::thread::sleep(PAUSE);
    }
    Ok(true)
}

/// The file of a loop device; `None` if it has none.
fn backing(name: &str) -> io::Result<Option<PathBuf>> {
    match fs::read(format!("/sys/block/{name}/loop/backing_file")) {
        Ok(bytes) => {
            use std::os::unix::ffi::OsStrExt as _;
            let text = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
            Ok(Some(PathBuf::from(std::ffi::OsStr::from_bytes(text))))
        }
        Err(error)
            if error.kind() == io::ErrorKind::NotFound
                || matches!(error.raw_os_error(), Some(libc::ENODEV | libc::ENXIO)) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// A loop device that has a file already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    number: u32,
    path: PathBuf,
}

impl Attached {
    /// The kernel's name: `loop3`.
    pub fn name(&self) -> String {
        name(self.number)
    }

    /// Whether a run of this program has attached it.
    pub fn is_ours(&self, dev: &Path) -> io::Result<bool> {
        let device = match open(dev, self.number, false) {
            Ok(device) => device,
            Err(error) if error.raw_os_error() == Some(libc::ENXIO) => return Ok(false),
            Err(error) => return Err(error),
        };
        let mut info = EMPTY;
        #[expect(unsafe_code, reason = "nix has the ioctl, but not a safe function for it")]
        // SAFETY: the kernel writes one structure to where the pointer says, which is one of ours with the kernel's layout.
        let done: nix::Result<c_int> = unsafe { request::status(device.as_raw_fd(), &raw mut info) };
        match done {
            Ok(_) => Ok(info.file_name.starts_with(TAG)),
            // It has gone meanwhile.
            Err(Errno::ENXIO) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Waits until it is detached. Whether it is in the end.
    pub fn wait(&self) -> io::Result<bool> {
        wait_for(self.number, &self.path)
    }
}

/// The loop devices that have this file.
pub fn of_file(file: &File) -> io::Result<Vec<Attached>> {
    let meta = file.metadata()?;
    let mut found = Vec::new();
    let entries = match fs::read_dir("/sys/block") {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?.file_name();
        let number = entry
            .to_str()
            .and_then(|name| name.strip_prefix("loop")?.parse().ok());
        let Some(number) = number else { continue };
        let Some(path) = backing(&name(number))? else {
            continue;
        };
        // A file that is gone cannot be this one.
        let same = fs::metadata(&path).is_ok_and(|of| (of.dev(), of.ino()) == (meta.dev(), meta.ino()));
        if same {
            found.push(Attached { number, path });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_the_kernels() {
        assert_eq!(size_of::<Info>(), 232);
        assert_eq!(std::mem::offset_of!(Info, file_name), 56);
        assert_eq!(size_of::<Config>(), 304);
        assert_eq!(std::mem::offset_of!(Config, info), 8);
    }

    #[test]
    fn what_is_no_loop_device_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let file = tempfile::tempfile().unwrap();
        assert!(LoopDevice::attach(directory.path(), &file, 512).is_err());
        assert_eq!(of_file(&file).unwrap(), []);
        assert_eq!(backing("no-such-device").unwrap(), None);
    }
}
