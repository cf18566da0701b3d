//! Block devices of the running system: what is there, waiting for it, and telling udev and the kernel about changes.

pub mod alias;
mod announce;
mod blkid;
mod changed;
pub mod image;
pub mod luks;
mod mapped;
mod marks;
mod mountinfo;
pub mod raid;
pub mod read_at;
mod real;
mod sysfs;
mod table;
mod uevent;
mod unit;
mod unmount;
mod wait;

use std::time::Duration;

pub(in crate::sys) use announce::has_udev;
pub use changed::{Changed, Entry};
pub use marks::tidy;
pub use real::RealDevices;

use crate::gpt::{Table, Write};
use crate::view::Devices;

/// How long devices are waited for, unless the kernel command line says otherwise.
pub const DEVICE_WAIT: Duration = Duration::from_secs(90);

/// A device did not come.
#[derive(Debug, thiserror::Error)]
#[error(
    "{} {}{}; these block devices are there: {}",
    missing.join(", "),
    if waited.is_zero() { "is not there".to_owned() } else { format!("did not appear within {} s", waited.as_secs()) },
    if *stopped { ", when the wait was stopped on request" } else { "" },
    if present.is_empty() { "none".to_owned() } else { present.join(", ") }
)]
pub struct DeviceMissing {
    /// Paths that lead nowhere
    pub missing: Vec<String>,
    /// How long they were waited for
    pub waited: Duration,
    /// Whether the wait was ended by SIGTERM and not by its limit
    pub stopped: bool,
    /// What is there instead: nodes with size, label and type where known
    pub present: Vec<String>,
}

/// The edge to the machine's block devices, beside the programs that change them.
pub trait BlockDevices: Sync {
    /// What is there. Nothing is remembered.
    fn devices(&self) -> &dyn Devices;

    /// Waits until all paths lead to block devices. Says every ten seconds what is missing.
    fn await_paths(&self, paths: &[&str]) -> Result<(), DeviceMissing>;

    /// Sees to it that udev has dealt with changed devices as they are now, and that the names that follow from that are there.
    /// Without udev it does nothing. Whole-disk locks must be released before: udev passes over locked disks.
    fn announce(&self, changed: &[Changed]) -> Result<(), AnnounceError>;

    /// Waits until systemd, where it runs, has the units of all devices that were announced, and of their links: the last
    /// act of a stage.
    fn await_units(&self) {}

    /// Remembers that a filesystem is being made on a device, for the case that this run is killed meanwhile. Until
    /// [`BlockDevices::end`], what is on the device counts as nothing: it is wiped by then, and what looks like a
    /// filesystem may be half of one.
    fn begin(&self, _node: &str) -> std::io::Result<()> {
        Ok(())
    }

    /// Forgets that again.
    fn end(&self, _node: &str) -> std::io::Result<()> {
        Ok(())
    }

    /// Writes to a disk, each write made durable before the next, under the lock of the whole disk; then tells the kernel
    /// of the partitions of `table`. Returns the numbers of those that it did not have there.
    fn write_table(
        &self,
        node: &str,
        writes: &[Write],
        table: Option<&Table>,
    ) -> Result<Vec<u32>, TableError> {
        let _ = (writes, table);
        Err(TableError::new(
            "write to",
            node,
            std::io::ErrorKind::Unsupported.into(),
        ))
    }

    /// Notes what table was written to a disk, for a run of this boot that comes after this one
    /// ([`Devices::noted_table`]).
    fn note_table(&self, _node: &str, _note: &str) -> std::io::Result<()> {
        Ok(())
    }

    /// Unmounts, trying again for a while if it is busy.
    fn unmount(&self, target: &str) -> Result<(), UnmountError>;
}

/// A changed device was not seen as it is now.
#[derive(Debug, thiserror::Error)]
#[error("{problem}")]
pub struct AnnounceError {
    /// What happened, with the device
    pub problem: String,
}

/// Something stays mounted.
#[derive(Debug, thiserror::Error)]
#[error("cannot unmount {target}{}", if held_by.is_empty() { String::new() } else { format!(", it is in use by {}", held_by.join(", ")) })]
pub struct UnmountError {
    /// Where
    pub target: String,
    /// Processes that hold it: `name (pid)`, and mounts on top of it
    pub held_by: Vec<String>,
    /// What the system said last
    #[source]
    pub source: std::io::Error,
}

/// A partition table could not be written, or the kernel not be told.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {node}")]
pub struct TableError {
    /// What was tried
    pub operation: String,
    /// The disk
    pub node: String,
    /// What the system said
    #[source]
    pub source: std::io::Error,
}

impl TableError {
    pub(crate) fn new(operation: impl Into<String>, node: &str, source: std::io::Error) -> Self {
        Self {
            operation: operation.into(),
            node: node.to_owned(),
            source,
        }
    }
}
