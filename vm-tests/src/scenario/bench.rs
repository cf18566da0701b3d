//! First boots of ours and of Debian's Go Ignition 2.14 in alternation: the same image, the same initrd, the same units, the same config;
//! only the program at `/usr/bin/ignition` is another. `benches/compare --boot` calls it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Boot, Computer, Play, Scenario};
use crate::job::must;
use crate::{Act, Archive, Doing as _, Machine, Moment, Result, base, packages, store, tools};

pub(super) const SCENARIOS: &[Scenario] = &[Scenario {
    name: "bench-boot",
    shows: "first boots of ours and of Ignition 2.14 compared (VMTEST_BOOTS of each, 5 if not said); needs a release build",
    ci: false,
    play: boots,
}];

/// Where the engine is; at its own place is `guest/stage.c`.
const ENGINE: &str = "/usr/libexec/vm-tests/engine";

/// What `guest/stage.c` says as `mark`.
const MARK: &str = "vm-tests: the root is switched to";

/// With this argument a machine ends where it would switch the root.
const STOP: &str = "vm-tests.stop-at-root";

/// Before the root is switched: what was done until then; and nothing more in a boot that is measured.
const AT_THE_END: &str =
    "[Service]\nExecStartPre=/usr/libexec/vm-tests/mark\nExecStartPre=/usr/libexec/vm-tests/stop\n";

const STOP_HERE: &str = r#"#!/bin/bash
words=$(</proc/cmdline)
[[ " $words " == *" vm-tests.stop-at-root "* ]] || exit 0
exec /usr/lib/vm-tests/agent bench
"#;

/// In the order in which they are run.
const STAGES: [&str; 6] = ["fetch-offline", "kargs", "disks", "mount", "files", "umount"];

/// How often a boot of the peer is tried.
const TRIES: u32 = 6;

const ENGINES: [&str; 2] = ["peer", "ours"];

/// Runs them and prints medians and ratios.
fn boots(play: &Play) -> Result<()> {
    let count: usize = match std::env::var("VMTEST_BOOTS") {
        Ok(text) => text.parse().doing("VMTEST_BOOTS")?,
        Err(_) => 5,
    };
    let runner = runner()?;
    let config = config();
    let mut found: BTreeMap<&str, Vec<Figures>> = BTreeMap::new();
    let mut failed: BTreeMap<&str, usize> = BTreeMap::new();
    for round in 0..=count {
        for at in 0..ENGINES.len() {
            // Who comes first changes.
            let engine = ENGINES
                .get((at + round) % ENGINES.len())
                .copied()
                .unwrap_or("ours");
            let archive = play.directory.join(format!("{engine}.cpio"));
            if !archive.exists() {
                let program = if engine == "ours" {
                    play.scene.program.clone()
                } else {
                    tools::peer(&store())?
                };
                let mut content = bench_archive(&runner, &program)?;
                if engine == "peer" {
                    help(&mut content, &runner)?;
                }
                std::fs::write(&archive, content.finish()).doing(archive.display())?;
            }
            let mut tries = 0;
            let figures = loop {
                tries += 1;
                let name = format!("{engine}-{round}");
                let boot = if round == 0 { whole } else { measured };
                match boot(play, &name, &archive, &config) {
                    // See `help`.
                    Err(error) if tries < TRIES && engine == "peer" => {
                        println!("{name}: {error}");
                        *failed.entry(engine).or_default() += 1;
                    }
                    figures => break figures.doing(name)?,
                }
            };
            if round == 0 {
                continue;
            }
            println!("{engine}, boot {round}: {}", figures.brief());
            found.entry(engine).or_default().push(figures);
        }
    }
    print!("{}", report(&found)?);
    for (engine, count) in failed {
        println!("{count} more boots with {engine} did not come to the root");
    }
    Ok(())
}

/// A computer whose `/usr/bin/ignition` is one of the two.
fn computer<'a>(play: &'a Play, name: &str, archive: &Path, config: &str) -> Result<Computer<'a>> {
    Ok(Computer::new(play, name)?
        // The name that both know
        .fw_cfg("opt/com.coreos/config", config)
        .with(|machine| machine.initrd(archive)))
}

fn noted(machine: Machine) -> Machine {
    machine.then(Moment::Line(MARK.to_owned()), Act::Note)
}

/// By the host's clock figures are seconds of QEMU here, and what else the host does is in them.
fn is_counted() -> bool {
    std::env::var("VMTEST_CLOCK").as_deref() != Ok("host")
}

/// A boot to its end: what both must have made.
fn whole(play: &Play, name: &str, archive: &Path, config: &str) -> Result<Figures> {
    let mut computer = computer(play, name, archive, config)?;
    computer.put(9, "/of-before", "old")?;
    let boot = computer.boot_with(QUESTIONS, noted)?;
    must(
        !boot.text("flag")?.contains("first_boot"),
        "the flag is still there",
    )?;
    let figures = Figures::read(&boot)?;
    computer.forget()?;
    Ok(figures)
}

/// A boot until the root would be switched to.
fn measured(play: &Play, name: &str, archive: &Path, config: &str) -> Result<Figures> {
    let mut computer = computer(play, name, archive, config)?.argument(STOP);
    if is_counted() {
        computer = computer.with(Machine::counted);
    }
    let boot = computer.run("", "", noted)?;
    boot.job.check()?;
    let failed = boot.text("failed")?;
    must(failed.is_empty(), format!("failed units: {failed}"))?;
    let figures = Figures::read(&boot)?;
    computer.forget()?;
    Ok(figures)
}

/// What a stage took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Stage {
    /// Its unit, from `Starting` to `Finished`, in seconds; that of `umount` is the program's own
    unit: f64,
    /// The program and what it ran, in seconds
    wall: f64,
    /// Its own CPU seconds, without those of the programs that it ran
    own: f64,
    /// Those of the programs that it ran
    tools: f64,
    /// Its own peak RSS in MiB
    rss: f64,
}

/// What a boot took.
#[derive(Clone, Debug, Default)]
struct Figures {
    /// From the start of the kernel to the switch of the root, in seconds of the machine's clock
    root: f64,
    /// CPU seconds of the machine until then
    guest: f64,
    /// CPU seconds of QEMU until then
    host: f64,
    /// In the order of [`STAGES`]
    stages: [Stage; 6],
}

impl Figures {
    fn read(boot: &Boot) -> Result<Self> {
        let mark = boot.text("mark")?;
        let words: Vec<f64> = mark
            .split_whitespace()
            .filter_map(|word| word.parse().ok())
            .collect();
        let [at, user, nice, system, _idle, _wait, interrupts, soft, ..] = words.as_slice() else {
            return Err(format!("a strange mark: {mark}").into());
        };
        let host = boot.job.noted.first().ok_or("the mark was not seen")?;
        Ok(Self {
            root: at / 1e6,
            guest: (user + nice + system + interrupts + soft) / 100.0,
            host: host.as_secs_f64(),
            stages: stages(boot)?,
        })
    }

    fn sum(&self, of: impl Fn(&Stage) -> f64) -> f64 {
        self.stages.iter().map(of).sum()
    }

    fn brief(&self) -> String {
        format!(
            "root {:.2} s, CPU {:.2} s of the machine, {:.2} s of QEMU; stages {:.2} s, own CPU {:.3} s",
            self.root,
            self.guest,
            self.host,
            self.sum(|stage| stage.unit),
            self.sum(|stage| stage.own)
        )
    }
}

/// What each stage took. An error if one is missing or has failed.
fn stages(boot: &Boot) -> Result<[Stage; 6]> {
    let text = boot.text("stages")?;
    let journal = boot.text("journal")?;
    let mut found = [Stage::default(); 6];
    for (name, stage) in STAGES.iter().zip(&mut found) {
        *stage = read_stage(name, &text, &journal).doing(name)?;
    }
    Ok(found)
}

fn read_stage(name: &str, text: &str, journal: &str) -> Result<Stage> {
    let mut lines = text.lines().filter(|line| line.split(' ').next() == Some(name));
    let (Some(line), None) = (lines.next(), lines.next()) else {
        return Err(format!("it was not run once:\n{text}").into());
    };
    let words: Vec<f64> = line
        .split(' ')
        .skip(1)
        .filter_map(|word| word.parse().ok())
        .collect();
    let [code, began, ended, own, tools, rss] = words.as_slice() else {
        return Err(format!("a strange line: {line}").into());
    };
    must(*code == 0.0, format!("it ended with {code}"))?;
    must(*own > 0.0, format!("its clock could not be read: {line}"))?;
    let wall = (ended - began) / 1e6;
    let unit = if name == "umount" {
        wall
    } else {
        let at = |what: &str| -> Result<f64> {
            let words = format!("systemd[1]: {what} ignition-{name}.service");
            let line = journal
                .lines()
                .find(|line| line.contains(&words))
                .ok_or_else(|| format!("the journal has no '{words}'"))?;
            let stamp = line.trim_start_matches('[').split(']').next().unwrap_or_default();
            stamp.trim().parse().doing(line)
        };
        at("Finished")? - at("Starting")?
    };
    Ok(Stage {
        unit,
        wall,
        own: own / 1e9,
        tools: tools.max(0.0) / 1e6,
        rss: rss / 1024.0,
    })
}

/// The tables.
fn report(found: &BTreeMap<&str, Vec<Figures>>) -> Result<String> {
    let of = |engine: &str| {
        found
            .get(engine)
            .filter(|all| !all.is_empty())
            .ok_or("nothing was measured")
    };
    let (peer, ours) = (of("peer")?, of("ours")?);
    let mut text = format!(
        "\nmedians of {} boots each\n{:<34} {:>8} {:>8} {:>7}\n",
        ours.len(),
        "",
        "peer",
        "ours",
        "ratio"
    );
    let mut missed = Vec::new();
    let mut row = |name: &str, digits: usize, get: &dyn Fn(&Figures) -> f64| {
        let (theirs, mine) = (median(peer, get), median(ours, get));
        let _ = writeln!(
            text,
            "{name:<34} {theirs:>8.digits$} {mine:>8.digits$} {:>6.2}x",
            theirs / mine
        );
        if mine >= theirs {
            missed.push(name.to_owned());
        }
        theirs / mine
    };
    row("kernel to switch of the root, s", 2, &|all| all.root);
    row("  CPU s of the machine", 2, &|all| all.guest);
    row("  CPU s of QEMU", 2, &|all| all.host);
    row("all stages' units, s", 2, &|all| all.sum(|stage| stage.unit));
    let own = row("all stages' own CPU, s", 3, &|all| all.sum(|stage| stage.own));
    row("  with the tools', s", 3, &|all| {
        all.sum(|stage| stage.own + stage.tools)
    });
    row("largest peak RSS, MiB", 1, &|all| {
        all.stages.iter().map(|stage| stage.rss).fold(0.0, f64::max)
    });
    for (number, name) in STAGES.iter().enumerate() {
        let get = move |all: &Figures| all.stages.get(number).copied().unwrap_or_default();
        row(&format!("{name}: unit, s"), 3, &|all| get(all).unit);
        row(&format!("{name}: program, s"), 3, &|all| get(all).wall);
        row(&format!("{name}: own CPU, s"), 3, &|all| get(all).own);
        // A stage that runs no program has none.
        if median(peer, |all| get(all).tools).max(median(ours, |all| get(all).tools)) > 0.01 {
            row(&format!("{name}: tools' CPU, s"), 3, &|all| get(all).tools);
        }
        row(&format!("{name}: peak RSS, MiB"), 1, &|all| get(all).rss);
    }
    let _ = writeln!(
        text,
        "own share at most a third of the peer's: {}; not better than the peer: {}",
        if own >= 3.0 { "reached" } else { "MISSED" },
        if missed.is_empty() {
            "nothing".to_owned()
        } else {
            missed.join(", ")
        }
    );
    Ok(text)
}

fn median(all: &[Figures], get: impl Fn(&Figures) -> f64) -> f64 {
    let mut values: Vec<f64> = all.iter().map(get).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// The program of `guest/stage.c`, linked with everything.
fn runner() -> Result<PathBuf> {
    let source = crate::workspace().join("vm-tests/guest/stage.c");
    let program = store().join(format!("stage.{}", std::process::id()));
    packages::run(
        Command::new("cc")
            .args(["-static", "-O2", "-Wall", "-Werror", "-o"])
            .args([&program, &source]),
    )?;
    Ok(program)
}

fn bench_archive(runner: &Path, program: &Path) -> Result<Archive> {
    let mut archive = Archive::new();
    archive.add_copy(base::BINARY, runner)?;
    archive.add_copy("/usr/libexec/vm-tests/mark", runner)?;
    archive.add_copy(ENGINE, program)?;
    archive.add_file("/usr/libexec/vm-tests/stop", 0o755, STOP_HERE.as_bytes());
    archive.add_file(
        "/etc/systemd/system/initrd-switch-root.service.d/vm-tests.conf",
        0o644,
        AT_THE_END.as_bytes(),
    );
    Ok(archive)
}

/// What Debian's build needs to get to the root, and ours does not.
fn help(archive: &mut Archive, runner: &Path) -> Result<()> {
    let units = "/etc/systemd/system";
    if std::env::var("VMTEST_HELP").as_deref() != Ok("no") {
        // It says that it is done before systemd knows of the new ROOT: on a busy machine that is not mounted then, and the boot fails. So
        // its unit waits for what ours waits for by itself.
        let wait = r"ExecStartPost=/usr/bin/systemctl start dev-disk-by\\x2dlabel-ROOT.device";
        archive.add_file(
            &format!("{units}/ignition-disks.service.d/vm-tests.conf"),
            0o644,
            format!("[Service]\nTimeoutStartSec=60\n{wait}\n").as_bytes(),
        );
    }
    // It is built for SELinux, which Flatcar's is not.
    archive.add_file(
        &format!("{units}/initrd-setup-root.service.d/vm-tests.conf"),
        0o644,
        b"[Service]\nExecStartPost=/usr/libexec/vm-tests/labels\n",
    );
    archive.add_copy("/usr/libexec/vm-tests/labels", runner)?;
    archive.add_copy("/usr/sbin/setfiles", runner)
}

/// ROOT anew, accounts, units of each kind, forty files of 200 bytes to 8 KiB. Nothing that 2.14 does not know.
fn config() -> String {
    let mut files = String::new();
    for number in 0..40_usize {
        let mode = if number % 8 == 0 { 0o755 } else { 0o644 };
        let text = format!("line%20of%20{number}%0A").repeat(10 << (number % 6));
        let _ = write!(
            files,
            r#"{{"path": "/opt/bench/{}/file-{number}", "mode": {mode}, "contents": {{"source": "data:,{text}"}}}}, "#,
            number % 5
        );
    }
    CONFIG.replace("FILES", &files)
}

const CONFIG: &str = r#"{
  "ignition": {"version": "3.3.0"},
  "passwd": {
    "groups": [{"name": "makers", "gid": 4321}],
    "users": [
      {"name": "core", "sshAuthorizedKeys": ["ssh-ed25519 AAAAcore one@example"], "groups": ["sudo"]},
      {"name": "alice", "uid": 1234, "gecos": "Alice", "passwordHash": "$y$j9T$abc$def", "primaryGroup": "makers",
       "groups": ["docker"], "shell": "/bin/bash", "sshAuthorizedKeys": ["ssh-ed25519 AAAAalice"]},
      {"name": "daemonic", "system": true, "noCreateHome": true}
    ]
  },
  "storage": {
    "filesystems": [{"device": "/dev/disk/by-label/ROOT", "format": "ext4", "label": "ROOT", "wipeFilesystem": true}],
    "directories": [{"path": "/opt/kept", "mode": 488, "user": {"name": "alice"}, "group": {"name": "makers"}}],
    "files": [
      FILES
      {"path": "/etc/hostname", "overwrite": true, "mode": 420, "contents": {"source": "data:,vm-host"}},
      {"path": "/opt/kept/of-alice", "mode": 384, "user": {"name": "alice"}, "group": {"id": 4321}, "contents": {"source": "data:,mine"}},
      {"path": "/opt/packed", "contents": {"compression": "gzip", "source": "data:;base64,H4sIAAAAAAAAA8tIzcnJ5wIAIDA6NgYAAAA="}},
      {"path": "/etc/appended", "append": [{"source": "data:,a"}, {"source": "data:,b"}]}
    ],
    "links": [
      {"path": "/etc/soft", "target": "/etc/appended"},
      {"path": "/opt/hard", "target": "/opt/packed", "hard": true}
    ]
  },
  "systemd": {
    "units": [
      {"name": "stamp.service", "enabled": true, "contents": "[Unit]\nDescription=stamp\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -c 'echo ran >> /var/lib/stamp'\n[Install]\nWantedBy=multi-user.target\n",
       "dropins": [{"name": "10-more.conf", "contents": "[Service]\nExecStart=/bin/sh -c 'echo more >> /var/lib/stamp'\n"}]},
      {"name": "each@.service", "contents": "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -c 'echo %i >> /var/lib/each'\n[Install]\nWantedBy=multi-user.target\n"},
      {"name": "each@one.service", "enabled": true},
      {"name": "shipped.service", "enabled": true},
      {"name": "masked.service", "mask": true},
      {"name": "shipped-on.service", "dropins": [{"name": "env.conf", "contents": "[Service]\nEnvironment=GREETING=hello\n"}]}
    ]
  }
}"#;

const QUESTIONS: &[(&str, &str)] = &[
    ("ls /of-before", ""),
    ("ls /opt/bench/* | grep -c file", "40"),
    (
        "wc -c </opt/bench/3/file-38; stat -c '%a %u:%g' /opt/bench/0/file-0 /opt/bench/1/file-1",
        "440\n755 0:0\n644 0:0",
    ),
    (
        "cat /proc/sys/kernel/hostname /etc/soft; cat /opt/hard",
        "vm-host\nabhello",
    ),
    (
        "stat -c '%a %U:%G' /opt/kept /opt/kept/of-alice",
        "750 alice:makers\n600 alice:makers",
    ),
    (
        "getent passwd alice",
        "alice:x:1234:4321:Alice:/home/alice:/bin/bash",
    ),
    ("getent shadow alice | cut -d: -f2", "$y$j9T$abc$def"),
    ("id -nG alice; id -nG core", "makers docker\ncore sudo"),
    (
        "cat ~core/.ssh/authorized_keys.d/ignition",
        "ssh-ed25519 AAAAcore one@example",
    ),
    (
        "systemctl is-active stamp.service each@one.service shipped.service",
        "active\nactive\nactive",
    ),
    (
        "cat /var/lib/stamp; systemctl show -P Environment shipped-on.service",
        "ran\nmore\nGREETING=hello",
    ),
    (
        "readlink /etc/systemd/system/masked.service; findmnt -no FSTYPE,SOURCE / | tr -s ' '",
        "/dev/null\next4 /dev/vda9",
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const TEXT: &str = "disks 0 1000000 3500000 250000000 900000 5120\nkargs 1 1 2 3 4 5\numount 0 5000000 5100000 2000000 0 4096\n";
    const JOURNAL: &str = "[   11.500000] localhost systemd[1]: Starting ignition-disks.service - Ignition (disks)...\n\
                           [   14.250000] localhost systemd[1]: Finished ignition-disks.service - Ignition (disks).\n";

    #[test]
    fn a_stage_is_read() {
        let disks = read_stage("disks", TEXT, JOURNAL).unwrap();
        assert_eq!(
            disks,
            Stage {
                unit: 2.75,
                wall: 2.5,
                own: 0.25,
                tools: 0.9,
                rss: 5.0
            }
        );
        let umount = read_stage("umount", TEXT, JOURNAL).unwrap();
        assert_eq!((umount.unit, umount.own), (0.1, 0.002));
    }

    #[test]
    fn a_stage_that_failed_or_is_missing_is_no_figure() {
        assert!(read_stage("kargs", TEXT, JOURNAL).is_err());
        assert!(read_stage("mount", TEXT, JOURNAL).is_err());
        assert!(read_stage("disks", TEXT, "").is_err());
        assert!(read_stage("disks", &TEXT.repeat(2), JOURNAL).is_err());
    }

    #[test]
    fn what_is_not_better_is_said() {
        let figures = |own: f64, root: f64| Figures {
            root,
            guest: 1.0,
            host: 1.0,
            stages: [Stage {
                unit: 1.0,
                wall: 1.0,
                own,
                tools: 0.0,
                rss: 1.0,
            }; 6],
        };
        let found = BTreeMap::from([
            (
                "peer",
                vec![figures(0.3, 3.0), figures(0.3, 9.0), figures(0.3, 4.0)],
            ),
            (
                "ours",
                vec![figures(0.1, 2.0), figures(0.09, 1.0), figures(0.2, 8.0)],
            ),
        ]);
        let text = report(&found).unwrap();
        assert!(
            text.contains("kernel to switch of the root, s        4.00     2.00   2.00x"),
            "{text}"
        );
        assert!(text.contains("a third of the peer's: reached"), "{text}");
        let verdict = text.lines().last().unwrap();
        assert!(
            verdict.contains("CPU s of QEMU") && !verdict.contains("kernel"),
            "{text}"
        );
        assert!(report(&BTreeMap::new()).is_err());
    }

    #[test]
    fn the_config_is_json() {
        let value: serde_json::Value = serde_json::from_str(&config()).unwrap();
        assert_eq!(value["storage"]["files"].as_array().unwrap().len(), 44);
    }
}
