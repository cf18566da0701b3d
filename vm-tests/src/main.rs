//! `cargo run -p vm-tests -- fw-cfg`: gets what it needs, boots machines, says what is wrong.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use vm_tests::{
    Disk, Doing as _, Flavour, Kernel, Lab, Result, Scene, base, bench, differential, disks, fw_cfg, images,
    in_use, initrd_size, packages, peer, refused, rerun, scenario, smoke, store,
};

const USAGE: &str =
    "usage: vm-tests [--binary FILE] [--sample] smoke|fw-cfg|fw-cfg-4mb|disks|peer|differential|in-use|images|refused|rerun-disks|bench-disks|bench-boot|initrd-size...
       vm-tests [--binary FILE] scenario [--keep] [--shell] NAME...|all|ci|list
       vm-tests [--binary FILE] job bare|udev|systemd SCRIPT [DISK...]   a disk: MIB[:SECTOR-SIZE][:scsi]";

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
    let mut own = None;
    let mut scenarios = None;
    let mut is_size = false;
    let mut is_sample = false;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--binary" => binary = Some(PathBuf::from(arguments.next().ok_or(USAGE)?)),
            // For CI: a part of `differential` and `rerun-disks`
            "--sample" => is_sample = true,
            "job" => own = Some(arguments.by_ref().collect::<Vec<_>>()),
            "initrd-size" => is_size = true,
            // A scenario too: it boots what those do
            "bench-boot" => scenarios = Some(vec![argument]),
            "scenario" => scenarios = Some(arguments.by_ref().collect::<Vec<_>>()),
            "smoke" | "fw-cfg" | "fw-cfg-4mb" | "disks" | "peer" | "differential" | "in-use" | "images"
            | "refused" | "rerun-disks" | "bench-disks" => groups.push(argument),
            _ => return Err(USAGE.into()),
        }
    }
    if groups.is_empty() && own.is_none() && scenarios.is_none() && !is_size {
        return Err(USAGE.into());
    }
    if scenarios.as_ref().is_some_and(|words| *words == ["list"]) {
        scenario::list();
        return Ok(());
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
    let played = match scenarios {
        Some(words) => play(&store, &kernel, &binary, words, start),
        None => Ok(()),
    };
    let played = match is_size {
        true => played.and(initrd_size::run(&store, &kernel, &binary)),
        false => played,
    };
    if groups.is_empty() && own.is_none() {
        println!("{:.0} s in all", start.elapsed().as_secs_f64());
        return played;
    }
    let initrd = store.join(format!("base.{}.cpio", std::process::id()));
    std::fs::write(&initrd, base::archive(&kernel, &binary)?.finish()).doing(initrd.display())?;
    println!(
        "kernel {}, {}, ready after {:.1} s",
        kernel.release,
        binary.display(),
        start.elapsed().as_secs_f64()
    );
    let outcome = match own {
        Some(words) => Lab::new(&store, &kernel, &initrd).and_then(|lab| job(&lab, &words)),
        None => Ok(()),
    };
    let outcome = played
        .and(outcome)
        .and(groups.iter().try_for_each(|group| match group.as_str() {
            "smoke" => smoke::run(&kernel, &initrd),
            "disks" => disks::run(&Lab::new(&store, &kernel, &initrd)?),
            "differential" => differential::run(&Lab::new(&store, &kernel, &initrd)?, is_sample),
            "images" => images::run(&Lab::new(&store, &kernel, &initrd)?),
            "refused" => refused::run(&Lab::new(&store, &kernel, &initrd)?),
            "in-use" => in_use::run(&Lab::new(&store, &kernel, &initrd)?),
            "rerun-disks" => rerun::run(&Lab::new(&store, &kernel, &initrd)?, is_sample),
            "bench-disks" => bench::run(&Lab::new(&store, &kernel, &initrd)?),
            "peer" => peer::run(&Lab::new(&store, &kernel, &initrd)?),
            "fw-cfg-4mb" => fw_cfg::run_4mb(&kernel, &initrd),
            _ => fw_cfg::run(&kernel, &initrd),
        }));
    std::fs::remove_file(&initrd)?;
    println!("{:.0} s in all", start.elapsed().as_secs_f64());
    outcome
}

/// Scenarios.
fn play(store: &Path, kernel: &Kernel, binary: &Path, words: Vec<String>, start: Instant) -> Result<()> {
    let (flags, names): (Vec<String>, Vec<String>) =
        words.into_iter().partition(|word| word.starts_with("--"));
    let options = scenario::Options {
        keep: flags.iter().any(|flag| flag == "--keep"),
        shell: flags.iter().any(|flag| flag == "--shell"),
    };
    let known = ["--keep", "--shell"];
    if names.is_empty() || flags.iter().any(|flag| !known.contains(&flag.as_str())) {
        return Err(USAGE.into());
    }
    let chosen = scenario::named(&names)?;
    packages::install_for_scenarios()?;
    let scratch = store.join(format!("scratch.{}", std::process::id()));
    std::fs::create_dir_all(&scratch).doing(scratch.display())?;
    let outcome = Scene::new(store, kernel, binary, &scratch).and_then(|scene| {
        println!(
            "kernel {}, {}, the scene is ready after {:.1} s",
            kernel.release,
            binary.display(),
            start.elapsed().as_secs_f64()
        );
        scenario::run(&scene, chosen, options)
    });
    std::fs::remove_dir_all(&scratch)?;
    outcome
}

/// A job of somebody who tries something.
fn job(lab: &Lab, words: &[String]) -> Result<()> {
    let [flavour, script, disks @ ..] = words else {
        return Err(USAGE.into());
    };
    let flavour = Flavour::ALL
        .into_iter()
        .find(|known| known.name() == flavour)
        .ok_or(USAGE)?;
    let script = std::fs::read_to_string(script).doing(script)?;
    let mut machine = lab.machine(flavour, &script);
    for (number, words) in disks.iter().enumerate() {
        let mut numbers = words
            .split(':')
            .filter(|word| *word != "scsi")
            .map(|word| word.parse::<u32>().doing(USAGE));
        let size = numbers.next().ok_or(USAGE)??;
        let sector = numbers.next().unwrap_or(Ok(512))?;
        let disk = Disk::empty(&format!("disk{number}"), u64::from(size) << 20).sector_size(sector);
        machine = machine.disk(if words.ends_with(":scsi") {
            disk.scsi()
        } else {
            disk
        });
    }
    // Somebody else may try something at the same time.
    let name = std::env::var("VMTEST_NAME").unwrap_or_else(|_| "job".to_owned());
    let job = machine.run(&name)?;
    print!("{}", job.console);
    println!("{}, {:.1} s", job.directory.display(), job.wall.as_secs_f64());
    job.check()
}
