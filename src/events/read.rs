//! Reading a report back. Whatever stands in the file: a machine may have died while a line was written, and a later
//! version may have written it.

use serde::Deserialize;

use super::line::{FORMAT, VERSION};

/// A report, stage by stage in the order of the file.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Runs of stages
    pub runs: Vec<Run>,
    /// Lines that are no lines of a report
    pub malformed: usize,
    /// Whether the last line is cut: the machine died while it was written
    pub cut: bool,
    /// A later version of which there are lines; they are left out
    pub newer: Option<u64>,
}

/// One run of a stage.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// Its beginning
    pub begin: Line,
    /// What was fetched for the stage itself
    pub fetches: Vec<Line>,
    /// What was done, in order
    pub steps: Vec<Line>,
    /// What was begun last and is not over
    pub open: Option<Line>,
    /// Its end; none if it was killed, or still runs
    pub end: Option<Line>,
}

/// A line, with the members that it has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Line {
    /// What happened
    pub event: String,
    /// What kind of file it is
    pub format: Option<String>,
    /// Version of the format
    pub version: Option<u64>,
    /// Which stage
    pub stage: String,
    /// Which phase
    pub phase: Option<String>,
    /// Time of day
    pub time: String,
    /// Microseconds since the kernel started
    pub at: u64,
    /// Which boot
    pub boot_id: Option<String>,
    /// Version of the program
    pub engine: Option<String>,
    /// Platform id
    pub platform: Option<String>,
    /// What is fetched
    pub kind: Option<String>,
    /// From where
    pub source: Option<String>,
    /// What is done, in a word of plans
    pub action: Option<String>,
    /// To what
    pub what: Option<String>,
    /// What that means for what is there
    pub change: Option<String>,
    /// The place in the config
    pub cause: Option<String>,
    /// URLs of the contents of a file
    pub sources: Vec<String>,
    /// `done`, `kept`, `failed`
    pub outcome: Option<String>,
    /// Why it failed
    pub error: Option<String>,
    /// Microseconds
    pub duration: Option<u64>,
    /// Bytes written or fetched
    pub bytes: Option<u64>,
    /// Attempts that it took to fetch
    pub attempts: Option<u64>,
    /// Why the stage failed
    pub failure: Option<Failure>,
}

/// The digest of a failure.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Failure {
    /// What was being done
    pub operation: Option<String>,
    /// The place in the config
    pub pointer: Option<String>,
    /// Which config that is
    pub config: Option<String>,
    /// The line there
    pub line: Option<u64>,
    /// The column there
    pub column: Option<u64>,
    /// What happened, and why
    pub causes: Vec<String>,
    /// Other errors of the same config
    pub also: Vec<String>,
    /// Errors beyond these
    pub further: u64,
    /// The program that failed
    pub tool: Option<Tool>,
    /// What to do about it
    pub advice: Option<String>,
    /// Of the config
    pub config_sha512: Option<String>,
}

/// A program that failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Tool {
    /// Its command line
    pub command: String,
    /// Its exit code
    pub exit_code: Option<i64>,
    /// The signal that ended it
    pub signal: Option<i64>,
    /// The last lines of its standard error
    pub stderr: Vec<String>,
}

impl Line {
    /// Whether it failed.
    pub fn failed(&self) -> bool {
        self.outcome.as_deref() == Some("failed")
    }
}

impl Report {
    /// Reads the bytes of a report. Nothing in them is an error: what cannot be read is counted.
    pub fn parse(bytes: &[u8]) -> Self {
        let mut report = Self::default();
        let mut skipping = false;
        let whole = bytes.ends_with(b"\n");
        let mut lines = bytes.split(|byte| *byte == b'\n').peekable();
        while let Some(text) = lines.next() {
            if text.trim_ascii().is_empty() {
                continue;
            }
            let is_last = lines.peek().is_none();
            let line = match serde_json::from_slice::<Line>(text) {
                Ok(line) if !line.event.is_empty() => line,
                Ok(_) | Err(_) if is_last && !whole => {
                    report.cut = true;
                    continue;
                }
                Ok(_) | Err(_) => {
                    report.malformed = report.malformed.saturating_add(1);
                    continue;
                }
            };
            if line.event == "stage-begins" {
                let ours = line.format.as_deref() == Some(FORMAT);
                skipping = line.version != Some(u64::from(VERSION)) || !ours;
                match line.version {
                    Some(version) if ours && version > u64::from(VERSION) => report.newer = Some(version),
                    _ if skipping => report.malformed = report.malformed.saturating_add(1),
                    _ => report.runs.push(Run {
                        begin: line,
                        ..Run::default()
                    }),
                }
                continue;
            }
            if skipping {
                continue;
            }
            match report.runs.last_mut() {
                Some(run) if run.end.is_none() => run.take(line),
                // Nothing belongs to a stage that has not begun, or is over.
                _ => report.malformed = report.malformed.saturating_add(1),
            }
        }
        report
    }

    /// The beginning of the first stage of a boot, in microseconds since the kernel started.
    pub fn first_begin(&self, boot_id: &str) -> Option<u64> {
        let mut runs = self.runs.iter();
        let first = runs.find(|run| run.begin.boot_id.as_deref() == Some(boot_id))?;
        Some(first.begin.at)
    }
}

impl Run {
    fn take(&mut self, line: Line) {
        match line.event.as_str() {
            "fetch-begins" | "step-begins" => self.open = Some(line),
            "fetch" => {
                self.open = None;
                self.fetches.push(line);
            }
            "step" => {
                self.open = None;
                self.steps.push(line);
            }
            "stage-ends" => {
                self.open = None;
                self.end = Some(line);
            }
            // Added later, within this version.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BEGIN: &str = r#"{"event":"stage-begins","format":"ignition-rs report","version":1,"stage":"files","bootId":"b","at":7}"#;
    const STEP: &str = r#"{"event":"step","stage":"files","phase":"nodes","outcome":"done"}"#;
    const END: &str = r#"{"event":"stage-ends","stage":"files","outcome":"done","duration":5}"#;

    /// Runs, steps, fetches, malformed lines, whether something is open, whether the last line is cut.
    fn counts(text: &str) -> (usize, usize, usize, usize, bool, bool) {
        let report = Report::parse(text.as_bytes());
        let sum = |count: fn(&Run) -> usize| report.runs.iter().map(count).sum();
        (
            report.runs.len(),
            sum(|run| run.steps.len()),
            sum(|run| run.fetches.len()),
            report.malformed,
            report.runs.iter().any(|run| run.open.is_some()),
            report.cut,
        )
    }

    #[test]
    fn whatever_stands_there() {
        let begun = STEP.replace("\"step\"", "\"step-begins\"");
        let fetch = r#"{"event":"fetch","kind":"provider","source":"platform qemu","attempts":2}"#;
        let deep = "[".repeat(100_000);
        let lines = |lines: &[&str]| format!("{}\n", lines.join("\n"));
        for (text, want) in [
            (String::new(), (0, 0, 0, 0, false, false)),
            ("\n \n\r\n".to_owned(), (0, 0, 0, 0, false, false)),
            (lines(&[BEGIN, STEP, END]), (1, 1, 0, 0, false, false)),
            (lines(&[BEGIN, fetch, STEP, STEP]), (1, 2, 1, 0, false, false)),
            (lines(&[BEGIN, &begun]), (1, 0, 0, 0, true, false)),
            (lines(&[BEGIN, &begun, STEP]), (1, 1, 0, 0, false, false)),
            (
                lines(&[BEGIN, &begun, BEGIN, STEP, END]),
                (2, 1, 0, 0, true, false),
            ),
            // A step without a stage, and one after the end.
            (lines(&[STEP, BEGIN, END, STEP]), (1, 0, 0, 2, false, false)),
            (
                lines(&[BEGIN, r#"{"event":"new-kind","stage":"files","x":[]}"#, END]),
                (1, 0, 0, 0, false, false),
            ),
            (
                lines(&[BEGIN, "no", "{}", "[]", "null", "{\"event\":7}", &deep, END]),
                (1, 0, 0, 6, false, false),
            ),
            (
                lines(&[
                    BEGIN,
                    r#"{"event":"step","bytes":-1}"#,
                    r#"{"event":"step","at":1e99}"#,
                ]),
                (1, 0, 0, 2, false, false),
            ),
            (format!("{BEGIN}\n{STEP}"), (1, 1, 0, 0, false, false)),
            (format!("{BEGIN}\n{{\"event\":\"st"), (1, 0, 0, 0, false, true)),
            (
                format!("{BEGIN}\n{{\"event\":\"st\n{END}\n"),
                (1, 0, 0, 1, false, false),
            ),
            // Another file's lines.
            (
                lines(&[&BEGIN.replace("ignition-rs report", "other"), STEP, END]),
                (0, 0, 0, 1, false, false),
            ),
        ] {
            assert_eq!(counts(&text), want, "{}", text.get(..200).unwrap_or(&text));
        }
    }

    #[test]
    fn later_versions_are_left_out_and_said() {
        let later = BEGIN.replace("\"version\":1", "\"version\":3");
        let report = Report::parse(format!("{later}\n{STEP}\n{END}\n{BEGIN}\n{STEP}\n").as_bytes());
        assert_eq!(
            (report.newer, report.runs.len(), report.malformed),
            (Some(3), 1, 0)
        );
        assert_eq!(report.runs[0].steps.len(), 1);
        assert_eq!(report.first_begin("b"), Some(7));
        assert_eq!(report.first_begin("c"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in any::<Vec<u8>>()) {
            let report = Report::parse(&bytes);
            prop_assert!(report.runs.is_empty());
        }

        /// However a report is cut and spoilt, it is read, and what was whole before stays.
        #[test]
        fn any_cut_and_any_byte(cut in 0..600_usize, place in 0..600_usize, byte in any::<u8>()) {
            let text = format!("{BEGIN}\n{STEP}\n{STEP}\n{END}\n{BEGIN}\n{STEP}\n");
            let cut = cut.min(text.len());
            let report = Report::parse(&text.as_bytes()[..cut]);
            prop_assert_eq!(report.malformed, 0);
            let mut bytes = text.into_bytes();
            if let Some(spoilt) = bytes.get_mut(place) {
                *spoilt = byte;
            }
            let report = Report::parse(&bytes);
            prop_assert!(report.runs.len() <= 2);
            let mut out = String::new();
            crate::events::table::write(&mut out, &report, true);
        }
    }
}
