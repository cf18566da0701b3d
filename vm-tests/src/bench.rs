//! The disks stage of ours and of Debian's Go Ignition 2.14, in alternation in one boot: wall time, CPU time, peak RSS. `benches/compare
//! --disks` calls it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Command;
use std::time::Duration;

use crate::job::must;
use crate::{Disk, Doing as _, Flavour, Lab, Result, base, packages, tools};

const MIB: u64 = 1 << 20;

/// How often each is run.
const ROUNDS: u32 = 7;

/// As Debian's is, with an sgdisk that does not sleep a second for each table it writes, and ours.
const ENGINES: [&str; 3] = ["peer", "quick", "ours"];

/// Attaches a blank disk, runs the stage, lets the disk go.
const ROUND: &str = r#"
mkdir -p /tmp/quick
printf '#!/bin/sh\nLD_PRELOAD=/job/nosleep.so exec /usr/sbin/sgdisk "$@"\n' >/tmp/quick/sgdisk
chmod 0755 /tmp/quick/sgdisk
measured() {
  attach "$1"
  export IGNITION_CONFIG_FILE="/job/bench/$2.ign"
  case $3 in
  ours) _engine=OURS ;;
  *) _engine=PEER ;;
  esac
  _path=$PATH
  [ "$3" = quick ] && PATH=/tmp/quick:$PATH
  "$_engine" -platform file -stage fetch -root /sysroot -log-to-stdout >/tmp/log 2>&1
  /job/measure /tmp/measured "$_engine" -platform file -stage disks -root /sysroot -log-to-stdout >>/tmp/log 2>&1
  _code=$?
  PATH=$_path
  echo "$2 $3 $_code $(cat /tmp/measured)" >>/out/measured
  [ "$_code" = 0 ] || cp /tmp/log "/out/log.$2.$3"
  detach >/tmp/detach 2>&1
}
"#;

/// Wall seconds, CPU seconds, MiB
type Figures = [f64; 3];

/// Runs it on machines with one processor and with two, and prints medians and ratios. The binary should be a release build.
pub fn run(lab: &Lab) -> Result<()> {
    for processors in [1, 2] {
        println!("on a machine with {processors} processor(s):");
        run_on(lab, processors)?;
    }
    Ok(())
}

fn run_on(lab: &Lab, processors: u32) -> Result<()> {
    let parts: Vec<String> = (1..=16)
        .map(|number| format!(r#"{{"number": {number}, "label": "p{number}", "sizeMiB": 40}}"#))
        .collect();
    let filesystems: Vec<String> = (1..=4)
        .map(|number| {
            format!(
                r#"{{"device": "/dev/disk/by-partlabel/p{number}", "format": "ext4", "label": "f{number}"}}"#
            )
        })
        .collect();
    let config = |parts: &[String], more: &str| {
        format!(
            r#"{{"ignition": {{"version": "3.3.0"}}, "storage": {{"disks": [{{"device": "/dev/sda", "wipeTable": true, "partitions": [{}]}}]{more}}}}}"#,
            parts.join(", ")
        )
    };
    let more = format!(r#", "filesystems": [{}]"#, filesystems.join(", "));
    let configs = [
        ("16-partitions-4-ext4", config(&parts, &more)),
        ("3-partitions", config(parts.get(..3).unwrap_or_default(), "")),
    ];

    let mut script = ROUND.replace("OURS", base::BINARY).replace("PEER", tools::PEER);
    let mut machine = lab.machine(Flavour::Systemd, "").processors(processors);
    let mut target = 0;
    for round in 0..=ROUNDS {
        for (name, _) in &configs {
            for engine in ENGINES {
                let disk = Disk::empty(&format!("disk{target}"), 1024 * MIB);
                machine = machine.disk(disk.serial("disk0").scsi());
                // The first round is for the kernel to have everything in memory.
                let kept = if round == 0 { "; rm -f /out/measured" } else { "" };
                let _ = writeln!(script, "measured {target} {name} {engine}{kept}");
                target += 1;
            }
        }
    }
    for (name, config) in &configs {
        machine = machine.file(&format!("job/bench/{name}.ign"), 0o644, config.as_bytes());
    }
    let program = measure()?;
    let job = machine
        .file("job/measure", 0o755, &program)
        .job(&(script + "exit 0"))
        .timeout(Duration::from_secs(1800))
        .run(&format!("bench-disks-{processors}"))?;
    job.check()?;
    report(&job.text("measured")?)
}

fn report(text: &str) -> Result<()> {
    let mut found: BTreeMap<(&str, &str), Vec<Figures>> = BTreeMap::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [config, engine, code, wall, cpu, rss] = words.as_slice() else {
            return Err(format!("a strange line: {line}").into());
        };
        must(*code == "0", line)?;
        let figures = [wall.parse()?, cpu.parse()?, rss.parse::<f64>()? / 1024.0];
        found.entry((config, engine)).or_default().push(figures);
    }
    println!(
        "{:<22} {:<6} {:>8} {:>8} {:>6} {:>7} {:>7}",
        "median", "", "wall s", "CPU s", "MiB", "wall", "CPU"
    );
    for config in ["16-partitions-4-ext4", "3-partitions"] {
        let of = |engine: &str| {
            found
                .get(&(config, engine))
                .map(|all| median(all))
                .ok_or("nothing was measured")
        };
        let ours = of("ours")?;
        for engine in ENGINES {
            let [wall, cpu, rss] = of(engine)?;
            println!(
                "{config:<22} {engine:<6} {wall:>8.3} {cpu:>8.3} {rss:>6.1} {:>6.1}x {:>6.1}x",
                wall / ours[0],
                cpu / ours[1]
            );
        }
        let peer = of("peer")?;
        println!(
            "  target 4x wall against peer: {}; at most 8 MiB: {}",
            if peer[0] >= 4.0 * ours[0] {
                "reached"
            } else {
                "missed"
            },
            if ours[2] <= 8.0 { "reached" } else { "missed" }
        );
    }
    Ok(())
}

/// Of each figure by itself.
fn median(all: &[Figures]) -> Figures {
    [0, 1, 2].map(|which| {
        let mut values: Vec<f64> = all
            .iter()
            .filter_map(|figures| figures.get(which).copied())
            .collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or_default()
    })
}

/// The program that measures, linked with everything.
fn measure() -> Result<Vec<u8>> {
    let store = crate::store();
    let source = store.join(format!("measure.{}.c", std::process::id()));
    let program = source.with_extension("bin");
    std::fs::write(&source, include_bytes!("../guest/measure.c")).doing(source.display())?;
    packages::run(
        Command::new("cc")
            .args(["-static", "-O2", "-o"])
            .args([&program, &source]),
    )?;
    let bytes = std::fs::read(&program).doing(program.display())?;
    std::fs::remove_file(&source)?;
    std::fs::remove_file(&program)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_median_is_of_each_figure() {
        let all = [[3.0, 1.0, 5.0], [1.0, 2.0, 6.0], [2.0, 3.0, 4.0]];
        assert_eq!(super::median(&all), [2.0, 2.0, 5.0]);
    }
}
