//! Boots real kernels in QEMU and lets `ignition-rs` run in them: for what the kernel of a build machine lacks.
//!
//! [`Machine`] is what to boot, [`Job`] is what came of it. A machine boots a [`Kernel`] with parts of an initrd made by
//! [`Archive`], runs one shell script in it and powers off.

pub mod base;
pub mod bench;
pub mod debian;
pub mod differential;
pub mod disks;
pub mod engine;
pub mod fw_cfg;
pub mod gpt;
pub mod images;
pub mod in_use;
pub mod initrd;
pub mod initrd_size;
pub mod job;
pub mod kernel;
pub mod machine;
pub mod packages;
pub mod peer;
pub mod refused;
pub mod rerun;
mod running;
pub mod scenario;
pub mod scene;
pub mod smoke;
pub mod tools;

use std::fmt::Display;
use std::path::{Path, PathBuf};

pub use debian::Debian;
pub use initrd::Archive;
pub use job::{Job, Step};
pub use kernel::Kernel;
pub use machine::{Act, Disk, Machine, Moment};
pub use scene::Scene;
pub use tools::{Flavour, Lab};

/// Errors are for people to read: text, the outermost first.
pub type Error = Box<dyn std::error::Error + Send + Sync>;
/// A result with such an error
pub type Result<T> = std::result::Result<T, Error>;

/// Says what was being done when something failed.
pub trait Doing<T> {
    /// Puts `what` before the error.
    fn doing(self, what: impl Display) -> Result<T>;
}

impl<T, E: Display> Doing<T> for std::result::Result<T, E> {
    fn doing(self, what: impl Display) -> Result<T> {
        self.map_err(|error| format!("{what}: {error}").into())
    }
}

/// The workspace.
pub fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// Where everything that this package makes is: kernels, initrds, runs.
pub fn store() -> PathBuf {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from);
    // QEMU runs in a directory of its own.
    std::path::absolute(&target).unwrap_or(target).join("vm-tests")
}
