//! The report of a stage, appended to as things happen.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::line::{self, When};
use super::{Event, Events};
use crate::stages::Stage;
use crate::sys::Clock;
use crate::sys::append::{AppendedFile, Lines};
use crate::sys::clock::{Moment, utc};

/// The name of the report, in the directory of the state file.
pub const NAME: &str = "report.jsonl";

/// A report that is open.
pub struct ReportFile {
    path: PathBuf,
    lines: Box<dyn Lines>,
    stage: Stage,
    clock: Box<dyn Clock + Send>,
    opened: Moment,
    /// [`Clock::monotonic`] at `opened`
    since: Duration,
    writing: Mutex<Writing>,
}

/// What is used again for each line.
#[derive(Default)]
struct Writing {
    buffer: Vec<u8>,
    /// The last second that was written, and its text without the `Z`
    second: Option<(u64, String)>,
    /// The rest of the report is lost
    failed: bool,
}

impl ReportFile {
    /// Opens the report of a stage; one that is there goes on.
    pub fn open(path: PathBuf, stage: Stage, clock: impl Clock + Send + 'static) -> io::Result<Self> {
        let lines = AppendedFile::open(&path)?;
        Ok(Self::new(path, lines, stage, clock, Moment::now()))
    }

    /// A report into any lines. `now` is the moment at which this is called.
    pub fn new(
        path: PathBuf,
        lines: impl Lines + 'static,
        stage: Stage,
        clock: impl Clock + Send + 'static,
        now: Moment,
    ) -> Self {
        Self {
            path,
            lines: Box::new(lines),
            stage,
            since: clock.monotonic(),
            clock: Box::new(clock),
            opened: now,
            writing: Mutex::default(),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn write(&self, event: &Event<'_>, writing: &mut Writing) -> io::Result<()> {
        let passed = self.clock.monotonic().saturating_sub(self.since);
        let unix = self.opened.unix.saturating_add(passed);
        let second = match &mut writing.second {
            Some((second, text)) if *second == unix.as_secs() => text,
            known => {
                let mut text = utc(unix.as_secs());
                text.pop();
                &mut known.insert((unix.as_secs(), text)).1
            }
        };
        let when = When {
            time: format!("{second}.{:03}Z", unix.subsec_millis()),
            at: self.opened.uptime.saturating_add(passed),
        };
        writing.buffer.clear();
        line::write(&mut writing.buffer, self.stage, &when, event)?;
        self.lines.append(&writing.buffer)
    }
}

impl Events for ReportFile {
    fn tell(&self, event: &Event<'_>) {
        let mut writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if writing.failed {
            return;
        }
        if let Err(error) = self.write(event, &mut writing) {
            writing.failed = true;
            tracing::warn!(
                "cannot write the report {}, the rest of it is lost: {error}",
                self.path.display()
            );
        }
    }
}

impl std::fmt::Debug for ReportFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReportFile")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::append::Kept;
    use crate::sys::clock::FakeClock;
    use std::sync::Arc;

    fn report(kept: &Arc<Kept>) -> ReportFile {
        let now = Moment {
            unix: Duration::from_millis(1_767_323_045_999),
            uptime: Duration::from_micros(1_500_001),
        };
        ReportFile::new("r".into(), Arc::clone(kept), Stage::Mount, FakeClock::new(), now)
    }

    const ENDS: Event<'_> = Event::StageEnds {
        stage: Stage::Mount,
        failure: None,
        took: Duration::ZERO,
    };

    #[test]
    fn lines_carry_the_time_of_day_and_since_the_boot() {
        let kept = Arc::new(Kept::default());
        let report = report(&kept);
        for wait in [0, 1, 59_000] {
            report.clock.sleep(Duration::from_millis(wait));
            report.tell(&ENDS);
        }
        let text = String::from_utf8(kept.bytes()).unwrap();
        let times: Vec<(String, u64)> = text
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .map(|line| {
                (
                    line["time"].as_str().unwrap().to_owned(),
                    line["at"].as_u64().unwrap(),
                )
            })
            .collect();
        assert_eq!(
            times,
            [
                ("2026-01-02T03:04:05.999Z".to_owned(), 1_500_001),
                ("2026-01-02T03:04:06.000Z".to_owned(), 1_501_001),
                ("2026-01-02T03:05:05.000Z".to_owned(), 60_501_001),
            ]
        );
    }

    #[test]
    fn nothing_is_written_after_a_failure() {
        let kept = Arc::new(Kept::with_room(1));
        let report = report(&kept);
        report.tell(&ENDS);
        let one = kept.bytes();
        assert!(!one.is_empty());
        report.tell(&ENDS);
        assert!(report.writing.lock().unwrap().failed);
        report.tell(&ENDS);
        assert_eq!(kept.bytes(), one);
    }
}
