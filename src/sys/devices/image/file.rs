//! An image file.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::time::UNIX_EPOCH;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};

use crate::gpt::{Found, ReadAt, Scan, scan};

/// Sector sizes that an image may have.
const SECTOR_SIZES: [u32; 2] = [512, 4096];

/// The smallest image that is worth a try, in bytes.
const SMALLEST: u64 = 1 << 20;

/// An image cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The system refused.
    #[error("cannot {operation} the image {}", path.display())]
    Io {
        /// What was tried
        operation: &'static str,
        /// The image
        path: PathBuf,
        /// What the system said
        #[source]
        source: io::Error,
    },
    /// It is something else.
    #[error("{} is no regular file; --image takes a disk image, and a real disk is planned for by the stages themselves", path.display())]
    NoFile {
        /// What was named
        path: PathBuf,
    },
    /// Another process has it.
    #[error("the image {} is in use by another process: another run, or a virtual machine; end that first", path.display())]
    InUse {
        /// The image
        path: PathBuf,
    },
    /// It holds next to nothing.
    #[error("the image {} has {size} bytes; make one of the size that the disk shall have (truncate -s 8G FILE)", path.display())]
    TooSmall {
        /// The image
        path: PathBuf,
        /// Its size
        size: u64,
    },
}

/// An image file that is open.
#[derive(Debug)]
pub struct ImageFile {
    /// Names that the config has for the disk, at least one; the first is its node
    pub names: Vec<String>,
    path: PathBuf,
    file: File,
    size: u64,
    sector_size: u32,
    identity: String,
}

/// How often an image that somebody has locked is tried. What a run that was killed had just started holds the lock until it has
/// become another program.
const LOCK_TRIES: u32 = 10;

/// The time between.
const LOCK_AGAIN: Duration = Duration::from_millis(100);

impl ImageFile {
    /// Opens an image. Without a sector size, that of its partition table counts, else 512.
    pub fn open(
        path: &Path,
        names: Vec<String>,
        sector_size: Option<u32>,
        for_writing: bool,
    ) -> Result<Self, OpenError> {
        let failed = |operation| {
            move |source| OpenError::Io {
                operation,
                path: path.to_owned(),
                source,
            }
        };
        let path = std::fs::canonicalize(path).map_err(failed("find"))?;
        if !std::fs::metadata(&path).map_err(failed("look at"))?.is_file() {
            return Err(OpenError::NoFile { path });
        }
        let file = OpenOptions::new()
            .read(true)
            .write(for_writing)
            .custom_flags(libc::O_CLOEXEC | libc::O_NONBLOCK)
            .open(&path)
            .map_err(failed("open"))?;
        let meta = file.metadata().map_err(failed("look at"))?;
        let size = meta.len();
        if size < SMALLEST {
            return Err(OpenError::TooSmall { path, size });
        }
        let mut image = Self {
            names,
            path,
            file,
            size,
            sector_size: SECTOR_SIZES[0],
            identity: identity(&meta),
        };
        image.sector_size = match sector_size {
            Some(size) => size,
            None => image.sector_size_found().map_err(failed("read"))?,
        };
        Ok(image)
    }

    /// The sector size of the GPT that is there, else 512.
    fn sector_size_found(&mut self) -> io::Result<u32> {
        for size in SECTOR_SIZES {
            self.sector_size = size;
            if matches!(self.scan()?.found, Found::Gpt { .. }) {
                return Ok(size);
            }
        }
        Ok(SECTOR_SIZES[0])
    }

    /// Locks the image, as long as it is open here: against other runs (flock), and against QEMU (a lock of the open file
    /// description on all bytes).
    pub fn lock(&self) -> Result<(), OpenError> {
        let failed = |errno: Errno| match errno {
            Errno::EWOULDBLOCK | Errno::EACCES => OpenError::InUse {
                path: self.path.clone(),
            },
            errno => OpenError::Io {
                operation: "lock",
                path: self.path.clone(),
                source: errno.into(),
            },
        };
        let all = libc::flock {
            l_type: i16::try_from(libc::F_WRLCK).unwrap_or_default(),
            l_whence: i16::try_from(libc::SEEK_SET).unwrap_or_default(),
            l_start: 0,
            l_len: 0,
            l_pid: 0,
        };
        let mut tries = 1;
        loop {
            let locked = flock(&self.file).and_then(|()| fcntl(&self.file, FcntlArg::F_OFD_SETLK(&all)));
            match locked {
                Ok(_) => return Ok(()),
                Err(Errno::EWOULDBLOCK | Errno::EACCES) if tries < LOCK_TRIES => {
                    tries += 1;
                    std::thread::sleep(LOCK_AGAIN);
                }
                Err(errno) => return Err(failed(errno)),
            }
        }
    }

    /// Opens the same file once more: a loop device that a killed run leaves must not keep the lock.
    pub fn open_again(&self) -> io::Result<File> {
        use std::os::fd::AsRawFd as _;
        OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_CLOEXEC)
            .open(format!("/proc/self/fd/{}", self.file.as_raw_fd()))
    }

    /// Its path, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file itself.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The name that steps have for the disk.
    pub fn node(&self) -> &str {
        self.names.first().map_or("/dev/image", String::as_str)
    }

    /// Size of a sector in bytes.
    pub fn sector_size(&self) -> u32 {
        self.sector_size
    }

    /// Looks at its partition table.
    pub fn scan(&self) -> io::Result<Scan> {
        scan(self)
    }

    /// What the part of the image that begins at a place is known by, as long as the file is the same.
    pub fn identity_at(&self, start: u64) -> String {
        format!("{}-{start}", self.identity)
    }
}

/// Takes the whole file, if nobody else has. It is let go of with the last descriptor of this opening, so the loop device gets one of its own ([`ImageFile::open_again`]).
fn flock(file: &File) -> nix::Result<()> {
    use std::os::fd::AsRawFd as _;
    #[expect(
        unsafe_code,
        reason = "nix's lock owns the file, which is lent to the kernel here"
    )]
    // SAFETY: flock(2) takes two integers and touches no memory.
    let done = unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) };
    Errno::result(done).map(drop)
}

/// What tells a file from others, and from one that comes in its place: the time of its birth, where the filesystem knows it.
fn identity(meta: &Metadata) -> String {
    let born = meta
        .created()
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
        .unwrap_or_default();
    format!("{:x}-{}-{}", meta.dev(), meta.ino(), born.as_nanos())
}

impl ReadAt for ImageFile {
    /// As much as a loop device shows: whole sectors.
    fn size(&self) -> u64 {
        let sector = u64::from(self.sector_size);
        self.size / sector * sector
    }

    fn sector_size(&self) -> u32 {
        self.sector_size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_image() {
        let directory = tempfile::tempdir().unwrap();
        let names = || vec!["/dev/vda".to_owned()];
        let open = |path: &Path| ImageFile::open(path, names(), None, false);
        for path in [directory.path(), Path::new("/dev/null")] {
            assert!(matches!(open(path), Err(OpenError::NoFile { .. })));
        }
        let file = directory.path().join("image");
        assert!(matches!(open(&file), Err(OpenError::Io { .. })));
        std::fs::write(&file, "x").unwrap();
        assert!(matches!(open(&file), Err(OpenError::TooSmall { size: 1, .. })));
        File::create(&file).unwrap().set_len((8 << 20) + 100).unwrap();
        let image = open(&file).unwrap();
        assert_eq!((image.size(), image.sector_size()), (8 << 20, 512));
        let other = directory.path().join("other");
        File::create(&other).unwrap().set_len(8 << 20).unwrap();
        let other = open(&other).unwrap();
        assert_ne!(image.identity_at(0), other.identity_at(0));
        assert_ne!(image.identity_at(0), image.identity_at(512));
    }

    /// Seen under load: what a killed run had just started still held the lock, and the next run was refused.
    #[test]
    fn a_lock_that_is_given_back_soon_is_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("image");
        File::create(&path).unwrap().set_len(8 << 20).unwrap();
        let open = || ImageFile::open(&path, vec!["/dev/vda".to_owned()], None, true).unwrap();
        let held = open();
        held.lock().unwrap();
        let holder = std::thread::spawn(move || {
            std::thread::sleep(LOCK_AGAIN * 2);
            drop(held);
        });
        open().lock().unwrap();
        holder.join().unwrap();
        let held = open();
        held.lock().unwrap();
        assert!(matches!(open().lock(), Err(OpenError::InUse { .. })));
    }
}
