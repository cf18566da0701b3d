//! Unmounting, and who is in the way.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};

use super::UnmountError;
use crate::sys::clock::Clock;

/// How long a busy mount is tried again.
const PATIENCE: Duration = Duration::from_secs(5);
/// The wait between two tries.
const PAUSE: Duration = Duration::from_millis(200);
/// The most processes that are named.
const NAMED: usize = 8;

/// Unmounts what is mounted at `target`; a link there is not followed. Busy mounts are tried again for five seconds.
pub(super) fn unmount(target: &str, clock: &dyn Clock) -> Result<(), UnmountError> {
    let end = clock.monotonic().saturating_add(PATIENCE);
    let mut said = false;
    loop {
        match umount2(target, MntFlags::UMOUNT_NOFOLLOW) {
            Ok(()) => return Ok(()),
            Err(Errno::EBUSY) if clock.monotonic() < end && !clock.is_stop_asked() => {
                if !said {
                    tracing::info!("{target} is busy: trying again for {} s", PATIENCE.as_secs());
                    said = true;
                }
                clock.sleep(PAUSE);
            }
            Err(errno) => {
                return Err(UnmountError {
                    target: target.to_owned(),
                    held_by: if errno == Errno::EBUSY {
                        holders(target)
                    } else {
                        Vec::new()
                    },
                    source: errno.into(),
                });
            }
        }
    }
}

/// Who holds a mount: mounts below it, and processes with a directory or a file open on it, as far as they may be seen.
fn holders(target: &str) -> Vec<String> {
    let Ok(device) = std::fs::metadata(target).map(|found| found.dev()) else {
        return Vec::new();
    };
    let mut found: Vec<String> = below(target);
    for (id, directory) in processes() {
        let links = ["cwd", "root", "exe"].map(|name| directory.join(name));
        let open = entries(&directory.join("fd"));
        if links.into_iter().chain(open).any(|link| is_on(&link, device)) {
            let name = std::fs::read_to_string(directory.join("comm")).unwrap_or_default();
            found.push(format!("{} (process {id})", name.trim().escape_debug()));
        }
        if found.len() >= NAMED {
            found.push("others".to_owned());
            break;
        }
    }
    found
}

/// Mount points below one.
fn below(target: &str) -> Vec<String> {
    let mounts = std::fs::read("/proc/self/mountinfo").unwrap_or_default();
    let prefix = format!("{}/", target.trim_end_matches('/'));
    let targets: BTreeSet<String> = super::mountinfo::parse(&mounts)
        .into_iter()
        .map(|mounted| mounted.target)
        .filter(|other| other.starts_with(&prefix))
        .collect();
    targets
        .into_iter()
        .map(|other| format!("the mount at {other}"))
        .collect()
}

fn processes() -> Vec<(u32, std::path::PathBuf)> {
    let own = std::process::id();
    entries(Path::new("/proc"))
        .into_iter()
        .filter_map(|path| Some((path.file_name()?.to_str()?.parse().ok()?, path)))
        .filter(|(id, _)| *id != own)
        .collect()
}

fn entries(directory: &Path) -> Vec<std::path::PathBuf> {
    let read = |directory| -> io::Result<Vec<_>> {
        std::fs::read_dir(directory)?
            .map(|entry| Ok(entry?.path()))
            .collect()
    };
    // A process may be gone, or somebody else's.
    read(directory).unwrap_or_default()
}

fn is_on(link: &Path, device: u64) -> bool {
    std::fs::metadata(link).is_ok_and(|found| found.dev() == device)
}
