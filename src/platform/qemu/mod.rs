//! QEMU's firmware configuration device, through sysfs (platforms.md, flatcar.md 4.4).
//!
//! `-fw_cfg name=opt/org.flatcar-linux/config,file=x.ign`. The kernel seeks from the start for each read, so the file is
//! read in as few reads as it allows.

use std::path::{Path, PathBuf};

use super::{Answer, PlatformError, Provider, Transports, read};
use crate::fetch::CONFIG_LIMIT;
use crate::sys::{Invocation, Tool};

/// Where the kernel shows the device.
const DEVICE: &str = "/sys/firmware/qemu_fw_cfg";
/// The kernel module that does.
const MODULE: &str = "qemu_fw_cfg";
/// Where a config may be, Flatcar's own name first. Upstream asks for the second only; Flatcar's patch takes them in no
/// fixed order.
const NAMES: [&str; 2] = ["opt/org.flatcar-linux/config", "opt/com.coreos/config"];

/// Above this many bytes reading takes many seconds: the kernel gives a page for each read and takes byte by byte what
/// comes before it. Measured under emulation: 10 s for 1 MiB, minutes for 4.
const SLOW: u64 = 512 << 10;

/// `qemu`
#[derive(Clone, Copy, Debug)]
pub(super) struct Qemu;

impl Provider for Qemu {
    fn config(&self, transports: &Transports<'_>) -> Result<Answer, PlatformError> {
        let device = Path::new(DEVICE);
        let there = transports
            .files
            .exists(device)
            .map_err(|source| PlatformError::Io {
                path: device.to_path_buf(),
                source,
            })?;
        if !there {
            transports
                .runner
                .run(&Invocation::new(Tool::Modprobe, [MODULE]))
                .map_err(|source| PlatformError::Module {
                    module: MODULE,
                    source,
                })?;
        }
        for name in NAMES {
            let entry: PathBuf = [DEVICE, "by_name", name].iter().collect();
            if let Some(bytes) = blob(transports, &entry)? {
                tracing::info!(
                    "config from the firmware configuration entry {name}, {} bytes",
                    bytes.len()
                );
                return Ok(Answer::config(bytes));
            }
        }
        Ok(Answer::empty())
    }
}

/// An entry of the device; `None` if there is none of that name.
fn blob(transports: &Transports<'_>, entry: &Path) -> Result<Option<Vec<u8>>, PlatformError> {
    let size_path = entry.join("size");
    let Some(text) = read(transports.files, &size_path, 4096)? else {
        return Ok(None);
    };
    let wrong = |path: &Path, problem: String| PlatformError::Form {
        path: path.to_path_buf(),
        problem,
    };
    let size: u64 = std::str::from_utf8(&text)
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .ok_or_else(|| wrong(&size_path, "it holds no number".to_owned()))?;
    if size > CONFIG_LIMIT {
        let problem = format!("it says {size} bytes; at most {CONFIG_LIMIT} are taken");
        return Err(wrong(&size_path, problem));
    }
    let raw = entry.join("raw");
    if size > SLOW {
        tracing::warn!(
            "{}: {size} bytes; the kernel takes long to read this many here, for twice as many four times as long; \
             a small config that names the large one by its URL (ignition.config.replace) is faster",
            raw.display()
        );
    }
    let bytes = match transports.files.read(&raw, size) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Err(wrong(&raw, "it is missing beside its size".to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::FileTooLarge => {
            return Err(wrong(
                &raw,
                format!("it holds more than the {size} bytes that it should have"),
            ));
        }
        Err(source) => return Err(PlatformError::Io { path: raw, source }),
    };
    if u64::try_from(bytes.len()).is_ok_and(|length| length == size) {
        Ok(Some(bytes))
    } else {
        let problem = format!("it ends after {} of {size} bytes", bytes.len());
        Err(wrong(&raw, problem))
    }
}
