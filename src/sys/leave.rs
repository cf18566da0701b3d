//! Leaving a file on a filesystem that is mounted for that moment only, seen by nobody else.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

use super::patience::within;

/// How long mounting, writing and unmounting may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// The filesystems that are mounted for it: what an image has for its OEM or boot partition.
pub const KINDS: [&str; 6] = ["vfat", "ext2", "ext3", "ext4", "btrfs", "xfs"];

/// Puts a file of this name into the root directory of the filesystem on a device; it is seen whole or not at all, and is
/// durable on return. One that is there is replaced.
///
/// The mount is in a namespace of one thread's own, so it is gone with the thread, whatever happens. Nothing on the
/// filesystem is followed, run or taken for a device.
pub fn file_on(node: &str, kind: &str, name: &str, bytes: &[u8]) -> io::Result<()> {
    if !KINDS.contains(&kind) {
        let problem = format!(
            "it holds {}, and not one of {}",
            if kind.is_empty() { "nothing known" } else { kind },
            KINDS.join(", ")
        );
        return Err(io::Error::new(io::ErrorKind::Unsupported, problem));
    }
    let (node, kind, name, bytes) = (
        node.to_owned(),
        kind.to_owned(),
        name.to_owned(),
        bytes.to_owned(),
    );
    within(PATIENCE, move || mounted(&node, &kind, &name, &bytes))
        .unwrap_or(Err(io::ErrorKind::TimedOut.into()))
}

fn mounted(node: &str, kind: &str, name: &str, bytes: &[u8]) -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    let place = place()?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some(node), place.path(), Some(kind), flags, none)?;
    let written = write(place.path(), name, bytes);
    let unmounted =
        umount2(place.path(), MntFlags::empty()).or_else(|_| umount2(place.path(), MntFlags::MNT_DETACH));
    written?;
    Ok(unmounted?)
}

/// An empty directory to mount at.
fn place() -> io::Result<tempfile::TempDir> {
    let make = |builder: &mut tempfile::Builder<'_, '_>| builder.prefix("ignition-rs.").tempdir_in("/run");
    make(&mut tempfile::Builder::new()).or_else(|_| super::host::private_directory())
}

/// No owner and no mode are set: a FAT filesystem refuses them.
fn write(directory: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let temporary: PathBuf = directory.join(format!(".{name}.new"));
    match std::fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // Exclusive, so no link is followed.
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)?;
    let place = || -> io::Result<()> {
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, directory.join(name))?;
        File::open(directory)?.sync_all()
    };
    let mut place = place;
    place().inspect_err(|_| {
        // The first error is the one to tell.
        let _ = std::fs::remove_file(&temporary);
    })
}
