//! Partition tables on real disks: reading, writing, and what the kernel is told.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::TableError;
use crate::gpt::{KernelPartition, ReadAt, Scan, Table, Tell, Write, scan as read, tell};
use crate::sys::blkpg;
use crate::sys::own_node::OwnNode;
use crate::view::Device;

/// How long a partition that somebody has open is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// The wait between two tries.
const PAUSE: Duration = Duration::from_millis(50);

/// A disk that is open.
struct Disk<'a> {
    file: &'a File,
    size: u64,
    sector_size: u32,
}

impl ReadAt for Disk<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn sector_size(&self) -> u32 {
        self.sector_size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }
}

/// Looks at a disk.
pub(super) fn scan(node: &str) -> io::Result<Scan> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_CLOEXEC | libc::O_NONBLOCK)
        .open(node)?;
    let disk = Disk {
        size: blkpg::size(&file)?,
        sector_size: blkpg::sector_size(&file)?,
        file: &file,
    };
    read(&disk)
}

/// Writes, then tells the kernel of each partition; returns the numbers of those that are new to it. udev leaves the disk
/// alone meanwhile: it is locked as a whole, until this returns.
///
/// `known` says what the kernel has. It is asked under the lock: before it, udev may be having the table read again.
pub(super) fn write(
    node: &str,
    writes: &[Write],
    known: impl FnOnce() -> Result<Vec<KernelPartition>, TableError>,
    table: Option<&Table>,
) -> Result<Vec<u32>, TableError> {
    let disk = written(node, writes)?;
    let news = tell(&known()?, table);
    for news in &news {
        told(&disk, *news).map_err(|source| {
            let operation = match news {
                Tell::Delete(number) => format!("tell the kernel that partition {number} is gone from"),
                Tell::Resize(part) => {
                    format!("tell the kernel of the new size of partition {} of", part.number)
                }
                Tell::Add(part) => format!("tell the kernel of partition {} of", part.number),
            };
            TableError::new(operation, node, source)
        })?;
    }
    let new = news.iter().filter_map(|news| match news {
        Tell::Add(part) => Some(part.number),
        Tell::Delete(_) | Tell::Resize(_) => None,
    });
    Ok(new.collect())
}

/// Writes, each made durable before the next. The disk stays locked while what is returned lives.
pub(super) fn written(node: &str, writes: &[Write]) -> Result<Flock<File>, TableError> {
    let open = |source| TableError::new("open", node, source);
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_CLOEXEC)
        .open(node)
        .map_err(open)?;
    let disk = Flock::lock(file, FlockArg::LockExclusive)
        .map_err(|(_, errno)| TableError::new("lock", node, errno.into()))?;
    if writes.is_empty() {
        return Ok(disk);
    }
    let file = open_unwatched(&disk, node).map_err(open)?;
    for write in writes {
        file.write_all_at(&write.bytes, write.offset)
            .and_then(|()| file.sync_data())
            .map_err(|source| TableError::new("write the partition table of", node, source))?;
    }
    Ok(disk)
}

/// Opens a disk for writing, so that udev does not notice if that is possible: the kernel is told of partitions here, and udev
/// of the disk when it is announced.
fn open_unwatched(disk: &File, node: &str) -> io::Result<File> {
    let open = |node: &Path| {
        OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_CLOEXEC)
            .open(node)
    };
    // Without it, it costs time only. `/dev` may be mounted so that only nodes that were there can be opened.
    OwnNode::of(&disk.metadata()?)
        .and_then(|own| open(own.path()))
        .or_else(|_| open(Path::new(node)))
}

/// The partitions that the kernel has.
pub(super) fn kernel_partitions(known: &[Device]) -> Vec<KernelPartition> {
    let partitions = known.iter().filter_map(|device| {
        let of = device.partition.as_ref()?;
        Some(KernelPartition {
            number: of.number,
            start: of.start,
            size: device.size?,
        })
    });
    partitions.collect()
}

/// Tells one thing. What is gone already need not be told. Whoever only looks at a partition (blkid, a desktop) has it
/// open for a moment, in which the kernel does not let go of it: that is waited for.
fn told(disk: &Flock<File>, news: Tell) -> io::Result<()> {
    let begun = Instant::now();
    loop {
        let error = match blkpg::tell(&**disk, news) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ENXIO) if matches!(news, Tell::Delete(_)) => return Ok(()),
            Some(Errno::EBUSY) if begun.elapsed() < PATIENCE => std::thread::sleep(PAUSE),
            _ => return Err(error),
        }
    }
}
