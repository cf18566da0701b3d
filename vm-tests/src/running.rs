//! A machine while it runs.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::job::Ended;
use crate::machine::Act;
use crate::{Doing as _, Moment, Result, store};

/// How many machines run at a time, over all processes of this workspace.
const AT_A_TIME: usize = 2;

/// A machine with a limit of CPU time that has done next to nothing for so long waits for something that does not come. The
/// longest that is waited for on purpose is five minutes.
const IDLE: Duration = Duration::from_secs(360);

/// A machine that runs. It ends with the harness.
pub(crate) struct Running {
    qemu: Child,
    /// What is searched for the line at which something is done
    said: [PathBuf; 2],
    /// What it has taken of the host's CPU
    pub(crate) cpu: Duration,
    /// The same until the moments that were asked for
    pub(crate) noted: Vec<Duration>,
}

impl Running {
    pub(crate) fn start(command: &mut Command, directory: &Path) -> Result<Self> {
        Ok(Self {
            qemu: command.spawn().doing("qemu-system-x86_64")?,
            said: [directory.join("console.log"), directory.join("live.log")],
            cpu: Duration::ZERO,
            noted: Vec::new(),
        })
    }

    /// Waits for its end, at most for `limits`: of time, of CPU time.
    pub(crate) fn wait(
        &mut self,
        start: Instant,
        limits: (Duration, Option<Duration>),
        then: &[(Moment, Act)],
    ) -> Result<Ended> {
        let mut open: Vec<(&Moment, &Act, Option<Instant>)> = then
            .iter()
            .map(|(moment, act)| match moment {
                Moment::After(time) => (moment, act, Some(start + *time)),
                Moment::Line(_) | Moment::AfterLine(..) => (moment, act, None),
            })
            .collect();
        // A moment must not be late by much.
        let mut worked = (start, Duration::ZERO);
        let pause = Duration::from_millis(if open.is_empty() { 50 } else { 5 });
        loop {
            self.cpu = self.cpu_time().unwrap_or(self.cpu);
            if let Some(status) = self.qemu.try_wait()? {
                return Ok(if status.success() {
                    Ended::ByItself
                } else {
                    Ended::QemuFailed
                });
            }
            let now = Instant::now();
            if self.cpu > worked.1 + Duration::from_secs(2) {
                worked = (now, self.cpu);
            }
            for (moment, _, at) in &mut open {
                if at.is_none()
                    && let Moment::Line(line) | Moment::AfterLine(line, _) = moment
                    && self.has_said(line)
                {
                    *at = Some(match moment {
                        Moment::AfterLine(_, time) => now + *time,
                        _ => now,
                    });
                }
            }
            while let Some(place) = open.iter().position(|(_, _, at)| at.is_some_and(|at| now >= at)) {
                match open.remove(place).1 {
                    Act::Cut => {
                        self.quit()?;
                        return Ok(Ended::Cut);
                    }
                    Act::Tell(command) => self.tell(command)?,
                    Act::Note => {
                        let cpu = self.cpu_time().ok_or("QEMU has ended")?;
                        self.noted.push(cpu);
                    }
                }
            }
            if start.elapsed() > limits.0
                || limits
                    .1
                    .is_some_and(|limit| self.cpu > limit || worked.0.elapsed() > IDLE)
            {
                return Ok(Ended::TookTooLong);
            }
            std::thread::sleep(pause);
        }
    }

    fn has_said(&self, line: &str) -> bool {
        let has = |path: &PathBuf| {
            std::fs::read(path).is_ok_and(|text| String::from_utf8_lossy(&text).contains(line))
        };
        self.said.iter().any(has)
    }

    /// User and system time, in hundredths of a second as the kernel counts.
    fn cpu_time(&self) -> Option<Duration> {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.qemu.id())).ok()?;
        let (_, after) = text.rsplit_once(')')?;
        let ticks = after
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(|word| word.parse::<u64>().unwrap_or_default());
        Some(Duration::from_millis(ticks.sum::<u64>() * 10)).filter(|time| !time.is_zero())
    }

    fn tell(&mut self, command: &str) -> Result<()> {
        let qmp = self.qemu.stdin.as_mut().ok_or("QEMU has no input")?;
        // Said again it is an error that nobody reads.
        write!(qmp, "{{\"execute\":\"qmp_capabilities\"}}\n{command}\n")
            .and_then(|()| qmp.flush())
            .doing("QEMU's monitor")
    }

    /// Ends QEMU at once. What a disk has accepted is in its file then, nothing else.
    fn quit(&mut self) -> Result<()> {
        self.tell("{\"execute\":\"quit\"}")?;
        let end = Instant::now() + Duration::from_secs(20);
        while self.qemu.try_wait()?.is_none() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _gone = self.qemu.kill();
        let _reaped = self.qemu.wait();
    }
}

/// How many of the turns this process has.
static HELD: AtomicUsize = AtomicUsize::new(0);

impl Drop for Turn {
    fn drop(&mut self) {
        HELD.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The right to run a machine: a lock that goes with the file, even when the process is killed.
pub(crate) struct Turn {
    _lock: File,
}

impl Turn {
    pub(crate) fn wait() -> Result<Self> {
        let directory = store();
        std::fs::create_dir_all(&directory).doing(directory.display())?;
        loop {
            for number in 0..AT_A_TIME {
                let path = directory.join(format!("turn.{number}"));
                let file = File::options()
                    .write(true)
                    .create(true)
                    .truncate(false)
                    .open(&path)
                    .doing(path.display())?;
                if file.try_lock().is_ok() {
                    HELD.fetch_add(1, Ordering::Relaxed);
                    return Ok(Self { _lock: file });
                }
            }
            // Who has one lets those come first that have none.
            let mine = HELD.load(Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(if mine == 0 { 10 } else { 500 }));
        }
    }
}
