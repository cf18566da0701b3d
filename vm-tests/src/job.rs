//! What came of a machine.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::{Doing as _, Machine, Result};

/// How a machine ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It powered off, or its kernel panicked
    ByItself,
    /// It was ended after its time
    TookTooLong,
    /// Its power was cut, as the machine asked for
    Cut,
    /// QEMU could not run it
    QemuFailed,
}

/// What came of a machine.
#[derive(Clone, Debug)]
pub struct Job {
    /// The name of the run
    pub name: String,
    /// How it ended
    pub ended: Ended,
    /// The exit code of the script; none if it did not get to its end
    pub code: Option<i64>,
    /// What was on the serial console
    pub console: String,
    /// What was on the second one, if it has one
    pub console2: String,
    /// What was written to `/dev/hvc0` while it ran: with systemd, the journal
    pub live: String,
    /// What QEMU said
    pub qemu: String,
    /// How long it ran
    pub wall: Duration,
    /// What it took of the host's CPU
    pub cpu: Duration,
    /// The same until the moments that were asked for
    pub noted: Vec<Duration>,
    /// The disks as it left them
    pub disks: Vec<PathBuf>,
    /// Where all of it is: `console.log`, `out/`
    pub directory: PathBuf,
}

/// A program that the script ran by `step`.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its exit code
    pub code: i64,
    /// What it printed
    pub stdout: String,
    /// What it printed on stderr
    pub stderr: String,
    /// How long it took in the machine
    pub time: Duration,
}

/// On a console these mean that a run is worthless, whatever its exit code.
const ALARMS: [&str; 9] = [
    "Kernel panic",
    "Oops:",
    "BUG:",
    "I/O error",
    "Out of memory:",
    "oom-kill",
    "soft lockup",
    "this is a bug in ignition-rs",
    "vm-tests: cannot",
];

impl Job {
    /// An error if the machine did not get to its end, the script failed, or the console has an alarm.
    pub fn check(&self) -> Result<()> {
        let alarm = ALARMS
            .into_iter()
            .find(|alarm| self.console.contains(alarm) || self.live.contains(alarm));
        if self.ended == Ended::ByItself && self.code == Some(0) && alarm.is_none() {
            return Ok(());
        }
        let lines: Vec<&str> = self.console.lines().collect();
        let last = lines.get(lines.len().saturating_sub(30)..).unwrap_or_default();
        Err(format!(
            "the machine ended: {:?}, code {:?}, alarm {alarm:?}\n{}{}",
            self.ended,
            self.code,
            self.qemu,
            last.join("\n")
        )
        .into())
    }

    /// A file that the script left in `/out`.
    pub fn out(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.directory.join("out").join(name);
        std::fs::read(&path).doing(path.display())
    }

    /// The same as text.
    pub fn text(&self, name: &str) -> Result<String> {
        Ok(String::from_utf8_lossy(&self.out(name)?).into_owned())
    }

    /// A program that the script ran by `step`.
    pub fn step(&self, name: &str) -> Result<Step> {
        let number = |kind: &str| {
            Self::number(&self.directory.join(format!("out/{name}.{kind}")))
                .ok_or_else(|| format!("step {name} has no {kind}: it did not run to its end"))
        };
        Ok(Step {
            code: number("code")?,
            stdout: self.text(&format!("{name}.stdout"))?,
            stderr: self.text(&format!("{name}.stderr"))?,
            time: Duration::from_millis(u64::try_from(number("ms")?)?),
        })
    }

    pub(crate) fn number(path: &Path) -> Option<i64> {
        std::fs::read_to_string(path).ok()?.trim().parse().ok()
    }
}

/// What must be true of a job; the text is shown.
pub type Check = Box<dyn Fn(&Job) -> Result<String> + Send + Sync>;

/// A machine with what must be true of its job.
pub struct Case {
    /// The name of the run
    pub name: &'static str,
    /// What to boot
    pub machine: Machine,
    /// What must be true
    pub check: Check,
}

/// Runs all; each says how it ended. An error names those that failed.
pub fn run_all(cases: Vec<Case>) -> Result<()> {
    let failed: Vec<&str> = std::thread::scope(|scope| {
        let running: Vec<_> = cases
            .into_iter()
            .map(|case| {
                scope.spawn(move || {
                    let name = case.name;
                    let outcome = case.machine.run(name).and_then(|job| {
                        job.check()?;
                        let said = (case.check)(&job)?;
                        Ok((job.wall, said))
                    });
                    match outcome {
                        Ok((wall, said)) => {
                            println!("ok   {name:<24} {:5.1} s  {said}", wall.as_secs_f64());
                            None
                        }
                        Err(error) => {
                            let place = crate::store().join("runs").join(name);
                            println!("FAIL {name:<24} {error}\n     see {}", place.display());
                            Some(name)
                        }
                    }
                })
            })
            .collect();
        running
            .into_iter()
            .filter_map(|thread| thread.join().unwrap_or(Some("a check panicked")))
            .collect()
    });
    if failed.is_empty() {
        Ok(())
    } else {
        Err(format!("failed: {}", failed.join(", ")).into())
    }
}

/// An error with `what` unless it is so.
pub fn must(so: bool, what: impl std::fmt::Display) -> Result<()> {
    if so { Ok(()) } else { Err(what.to_string().into()) }
}
