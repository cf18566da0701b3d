//! What Debian must give: programs to install, and packages that are only unpacked.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{Doing as _, Result};

/// Programs that are needed here, with the packages that have them.
const PROGRAMS: [(&str, &str); 5] = [
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("busybox", "busybox-static"),
    ("kmod", "kmod"),
    ("useradd", "passwd"),
    ("strace", "strace"),
];

/// What scenarios need besides.
const SCENE_PROGRAMS: [(&str, &str); 9] = [
    ("debugfs", "e2fsprogs"),
    ("mcopy", "mtools"),
    ("mkfs.vfat", "dosfstools"),
    ("mksquashfs", "squashfs-tools"),
    ("openssl", "openssl"),
    ("sgdisk", "gdisk"),
    ("swtpm", "swtpm"),
    ("unshare", "util-linux"),
    ("zstd", "zstd"),
];

/// Where the firmware of the scenario with UEFI is, and the package that has it.
pub const OVMF: &str = "/usr/share/OVMF";

/// Installs the programs that all need and are missing.
pub fn install() -> Result<()> {
    install_missing(&PROGRAMS)
}

/// Installs what scenarios need and is missing.
pub fn install_for_scenarios() -> Result<()> {
    let firmware = Path::new(OVMF).join("OVMF_CODE_4M.fd");
    let mut programs = SCENE_PROGRAMS.to_vec();
    if !firmware.exists() {
        // Not a program, so it is missing by this name.
        programs.push(("OVMF_CODE_4M.fd", "ovmf"));
    }
    install_missing(&programs)
}

fn install_missing(programs: &[(&str, &'static str)]) -> Result<()> {
    let missing: Vec<&str> = programs
        .iter()
        .filter(|(program, _)| find(program).is_none())
        .map(|(_, package)| *package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    eprintln!("installing {}", missing.join(" "));
    update()?;
    run(Command::new("apt-get")
        .args(["install", "-q", "-y", "--no-install-recommends"])
        .args(["-o", "DPkg::Lock::Timeout=300"])
        .args(missing)
        .env("DEBIAN_FRONTEND", "noninteractive"))?;
    Ok(())
}

/// Where a program is.
pub fn find(program: &str) -> Option<PathBuf> {
    ["/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        .into_iter()
        .map(|directory| Path::new(directory).join(program))
        .find(|path| path.exists())
}

/// The package that a metapackage stands for: the first of its dependencies that begins with `prefix`.
pub fn dependency(package: &str, prefix: &str) -> Result<String> {
    let ask = || -> Result<Option<String>> {
        let text = run(Command::new("apt-cache").args(["depends", package]))?;
        let name = text
            .lines()
            .filter_map(|line| line.trim().strip_prefix("Depends: "))
            .find(|name| name.starts_with(prefix));
        Ok(name.map(str::to_owned))
    };
    if let Ok(Some(name)) = ask() {
        return Ok(name);
    }
    // A machine whose package lists were never fetched, or are gone.
    update()?;
    ask()?.ok_or_else(|| format!("{package} depends on no {prefix}*").into())
}

/// Unpacks a package of the machine's own mirror into `to`. It is not installed: a kernel's scripts would make an
/// initrd for this machine.
pub fn unpack(package: &str, to: &Path) -> Result<()> {
    let part = to.with_extension("part");
    if part.exists() {
        std::fs::remove_dir_all(&part).doing(part.display())?;
    }
    std::fs::create_dir_all(&part).doing(part.display())?;
    let download = |()| {
        run(Command::new("apt-get")
            .args(["download", "-q", "-o", "APT::Sandbox::User=root", package])
            .current_dir(&part))
    };
    if download(()).is_err() {
        // The lists name a version that the mirror no longer has.
        update()?;
        download(())?;
    }
    let deb = std::fs::read_dir(&part)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .ok_or_else(|| format!("apt-get download {package} left no .deb"))?;
    run(Command::new("dpkg-deb").arg("-x").arg(&deb).arg(&part))?;
    std::fs::remove_file(&deb).doing(deb.display())?;
    std::fs::rename(&part, to).doing(to.display())
}

/// The packages with all that they depend on, as if nothing were installed: what apt would fetch, with versions and sums.
pub fn closure(store: &Path, names: &[&str]) -> Result<Vec<String>> {
    let ask = || -> Result<Vec<String>> {
        let text = run(bare_apt(store)?.arg("--print-uris").args(names))?;
        Ok(text
            .lines()
            .filter(|line| line.starts_with('\''))
            // Without the mirror's name: it does not decide about the content.
            .filter_map(|line| Some(line.split_once(' ')?.1.to_owned()))
            .collect())
    };
    if let Ok(files) = ask()
        && !files.is_empty()
    {
        return Ok(files);
    }
    update()?;
    ask()
}

/// Downloads the packages and all that they depend on into `to`.
pub fn download(store: &Path, names: &[&str], to: &Path) -> Result<()> {
    std::fs::create_dir_all(to.join("partial")).doing(to.display())?;
    let fetch = || {
        let archives = format!("Dir::Cache::archives={}/", to.display());
        run(bare_apt(store)?
            .args(["--download-only", "-o", &archives])
            .args(names))
    };
    if fetch().is_err() {
        // The lists name a version that the mirror no longer has.
        update()?;
        fetch()?;
    }
    Ok(())
}

/// apt, for a machine that has nothing installed.
fn bare_apt(store: &Path) -> Result<Command> {
    std::fs::create_dir_all(store).doing(store.display())?;
    let status = store.join("nothing-installed");
    std::fs::write(&status, "").doing(status.display())?;
    let mut command = Command::new("apt-get");
    command
        .args(["install", "-q", "-y", "-o"])
        .arg(format!("Dir::State::status={}", status.display()))
        .args(["-o", "Debug::NoLocking=1", "-o", "APT::Install-Recommends=0"])
        .args(["-o", "APT::Sandbox::User=root"]);
    Ok(command)
}

fn update() -> Result<()> {
    run(Command::new("apt-get").args(["update", "-q"])).map(|_| ())
}

/// Runs a program to its end; what it printed, or an error with that in it.
pub fn run(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .doing(format!("{command:?}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    Err(format!("{command:?}: {}\n{text}{errors}", output.status).into())
}
