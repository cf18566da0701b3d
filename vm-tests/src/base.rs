//! The part of the initrd that all machines share: busybox for the scripts, kernel modules, our binary with what it is
//! linked with, and the programs that it starts.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Archive, Doing as _, Kernel, Result, packages};

/// Modules in every initrd; nothing loads them but the job itself, save the port for the results.
const MODULES: [&str; 4] = ["virtio_pci", "virtio_console", "virtio_blk", "qemu_fw_cfg"];

/// Programs that the product starts (its `Tool`), and strace.
const PROGRAMS: [&str; 7] = [
    "useradd", "usermod", "userdel", "groupadd", "groupmod", "groupdel", "strace",
];

/// Where the binary under test is in a machine.
pub const BINARY: &str = "/usr/bin/ignition";

/// The binary of this workspace, built now.
pub fn build_binary() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--bin", "ignition-rs"])
        .current_dir(crate::workspace())
        .status()
        .doing("cargo build")?;
    if !status.success() {
        return Err("cargo build failed".into());
    }
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| crate::workspace().join("target"), PathBuf::from);
    Ok(target.join("debug/ignition-rs"))
}

/// Makes the shared part.
pub fn archive(kernel: &Kernel, binary: &Path) -> Result<Archive> {
    let mut archive = Archive::new();
    for name in ["bin", "sbin", "lib", "lib64"] {
        archive.add_directory(&format!("usr/{name}"));
        archive.add_link(name, &format!("usr/{name}"));
    }
    for name in ["dev", "proc", "sys", "run", "tmp", "out", "root", "job", "etc"] {
        archive.add_directory(name);
    }
    archive.add_file("init", 0o755, include_bytes!("../guest/init"));
    archive.add_file("job/main", 0o644, include_bytes!("../guest/main"));
    archive.add_file("job/lib", 0o644, include_bytes!("../guest/lib"));
    // Without it the product does not take this for an initrd and keeps off the kernel log.
    archive.add_file("etc/initrd-release", 0o644, b"NAME=vm-tests\nID=vm-tests\n");
    archive.add_file("etc/passwd", 0o644, b"root:x:0:0:root:/root:/bin/sh\n");
    archive.add_file("etc/group", 0o644, b"root:x:0:\n");
    let busybox = packages::find("busybox").ok_or("this machine has no busybox")?;
    archive.add_program("usr/bin/busybox", &busybox)?;
    let kmod = packages::find("kmod").ok_or("this machine has no kmod")?;
    archive.add_program("usr/bin/kmod", &kmod)?;
    for name in ["modprobe", "rmmod", "insmod"] {
        archive.add_link(&format!("usr/sbin/{name}"), "../bin/kmod");
    }
    kernel.add_modules(&mut archive, &MODULES)?;
    archive.add_programs(&PROGRAMS)?;
    archive.add_program(BINARY, binary)?;
    Ok(archive)
}
