//! `cargo run -p vm-tests -- fw-cfg`: gets what it needs, boots machines, says what is wrong.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use vm_tests::{Doing as _, Kernel, Lab, Result, base, disks, fw_cfg, packages, smoke, store};

const USAGE: &str = "usage: vm-tests [--binary FILE] smoke|fw-cfg|fw-cfg-4mb|disks...";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vm-tests: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let mut binary = None;
    let mut groups = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--binary" => binary = Some(PathBuf::from(arguments.next().ok_or(USAGE)?)),
            "smoke" | "fw-cfg" | "fw-cfg-4mb" | "disks" => groups.push(argument),
            _ => return Err(USAGE.into()),
        }
    }
    if groups.is_empty() {
        return Err(USAGE.into());
    }

    let start = Instant::now();
    packages::install()?;
    let store = store();
    std::fs::create_dir_all(&store).doing(store.display())?;
    let kernel = Kernel::fetch(&store)?;
    let binary = match binary {
        Some(binary) => binary,
        None => base::build_binary()?,
    };
    let initrd = store.join(format!("base.{}.cpio", std::process::id()));
    std::fs::write(&initrd, base::archive(&kernel, &binary)?.finish()).doing(initrd.display())?;
    println!(
        "kernel {}, {}, ready after {:.1} s",
        kernel.release,
        binary.display(),
        start.elapsed().as_secs_f64()
    );
    let outcome = groups.iter().try_for_each(|group| match group.as_str() {
        "smoke" => smoke::run(&kernel, &initrd),
        "disks" => disks::run(&Lab::new(&store, &kernel, &initrd)?),
        "fw-cfg-4mb" => fw_cfg::run_4mb(&kernel, &initrd),
        _ => fw_cfg::run(&kernel, &initrd),
    });
    std::fs::remove_file(&initrd)?;
    println!("{:.0} s in all", start.elapsed().as_secs_f64());
    outcome
}
