//! The dracut module `dracut/53ignition`: its scripts in roots of their own, its units, an initrd that dracut makes with it.

mod generator;
mod image;
mod kargs;
mod module;
mod scene;
mod scripts;
mod shell;
mod units;

use std::path::{Path, PathBuf};

/// The module's directory.
pub(crate) fn module() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("dracut/53ignition")
}

/// Whether a program is here. Says that the test is skipped where it is not; in CI it must be.
pub(crate) fn has(program: &str, package: &str) -> bool {
    let found = ["/usr/bin", "/usr/sbin", "/bin", "/sbin"]
        .iter()
        .any(|directory| Path::new(directory).join(program).exists());
    if !found {
        assert!(
            std::env::var_os("CI").is_none_or(|ci| ci != "true"),
            "CI needs {program}, of the package {package}"
        );
        crate::support::programs::skipped(&format!("no {program} here; it is in the package {package}"));
    }
    found
}
