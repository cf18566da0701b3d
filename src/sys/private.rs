//! A view of the machine without its devices: a mount namespace in which `/dev` is empty but for what every program needs, and
//! in which mounts are nobody else's. It goes with the process, and everything that is mounted in it.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};

/// Devices that are none, with their numbers (Documentation/admin-guide/devices.txt). The last two make devices.
const NODES: [(&str, u64, u64); 8] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
    ("loop-control", 10, 237),
    ("mapper/control", 10, 236),
];

/// Links that programs expect.
const LINKS: [(&str, &str); 4] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];

/// The namespace could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation}")]
pub struct PrivateError {
    /// What was tried
    pub operation: String,
    /// What the system said
    #[source]
    pub source: io::Error,
}

fn failed<E: Into<io::Error>>(operation: impl Into<String>) -> impl FnOnce(E) -> PrivateError {
    let operation = operation.into();
    move |source| PrivateError {
        operation,
        source: source.into(),
    }
}

/// Enters a mount namespace of its own, in which `/dev` has no devices, and a directory of this name for root alone.
/// Threads that are there already stay outside.
pub fn enter(directory: &str) -> Result<(), PrivateError> {
    unshare(CloneFlags::CLONE_NEWNS).map_err(failed("make a mount namespace"))?;
    // What this machine mounts and unmounts is seen; what is mounted here is nobody else's.
    mount_at(None, Path::new("/"), MsFlags::MS_REC | MsFlags::MS_SLAVE, "")?;
    // Files may be there that the command line names.
    let shared = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC)
        .open("/dev/shm")
        .ok();
    mount_at(
        Some("tmpfs"),
        Path::new("/dev"),
        MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC,
        "mode=755",
    )?;
    fill(Path::new("/dev"), shared.as_ref())?;
    let private = Path::new("/dev").join(directory);
    DirBuilder::new()
        .mode(0o700)
        .create(&private)
        .map_err(failed(format!("make {}", private.display())))
}

fn mount_at(
    kind: Option<&'static str>,
    target: &Path,
    flags: MsFlags,
    options: &str,
) -> Result<(), PrivateError> {
    mount(
        kind,
        target,
        kind,
        flags,
        Some(options).filter(|options| !options.is_empty()),
    )
    .map_err(failed(format!("mount at {} privately", target.display())))
}

fn fill(dev: &Path, shared: Option<&File>) -> Result<(), PrivateError> {
    let look = |name: &str| failed(format!("make {}", dev.join(name).display()));
    for directory in ["mapper", "md"] {
        fs::create_dir(dev.join(directory)).map_err(look(directory))?;
    }
    for (name, major, minor) in NODES {
        let path = dev.join(name);
        let mode = if major == 10 { 0o600 } else { 0o666 };
        mknod(
            &path,
            SFlag::S_IFCHR,
            Mode::from_bits_truncate(mode),
            makedev(major, minor),
        )
        .map_err(|errno| look(name)(io::Error::from(errno)))?;
        // Whatever the umask is.
        fs::set_permissions(&path, Permissions::from_mode(mode)).map_err(look(name))?;
    }
    for (name, target) in LINKS {
        symlink(target, dev.join(name)).map_err(look(name))?;
    }
    if let Some(shared) = shared {
        let place = dev.join("shm");
        fs::create_dir(&place).map_err(look("shm"))?;
        let source = PathBuf::from(format!("/proc/self/fd/{}", shared.as_raw_fd()));
        let none: Option<&str> = None;
        mount(Some(&source), &place, none, MsFlags::MS_BIND, none)
            .map_err(|errno| look("shm")(io::Error::from(errno)))?;
    }
    Ok(())
}

/// Whether the kernel has the device mapper, or its driver of RAID arrays.
pub fn has_device_mapper() -> bool {
    fs::read_to_string("/proc/misc")
        .is_ok_and(|text| text.lines().any(|line| line.ends_with(" device-mapper")))
}

/// Whether the kernel has RAID arrays.
pub fn has_arrays() -> bool {
    Path::new("/proc/mdstat").exists()
}
