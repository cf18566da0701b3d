//! The verdicts of the reference over the corpus in `../shared` (third-party configs; none of it is in this repository).
//!
//! For every config of spec 3 or of no usable version: the exit code, the entries `severity at $path` in their order,
//! their lines and columns, and the parsed config. For those of spec 1 and 2: that they are recognised.
//! There are no exceptions; should one be needed, it is to be named here with its reason.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use ignition_rs::config::{self, ParseError, Parsed, canonical};
use ignition_rs::report::Report;

fn corpus() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    [beside, PathBuf::from("/work/shared")]
        .into_iter()
        .map(|shared| shared.join("corpus"))
        .find(|corpus| corpus.is_dir())
}

/// One entry of a report, without its message: upstream's wording is not kept.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    /// `error at $.storage`
    place: String,
    /// `line 3 col 4`
    position: String,
    unused_key: bool,
}

/// What the patched reference said.
#[derive(Debug)]
struct Verdict {
    exit: i32,
    order_varies: bool,
    lines: Vec<Line>,
}

const SEVERITIES: [&str; 3] = ["error", "warning", "info"];

fn read_verdict(text: &str) -> Option<Verdict> {
    let mut lines = text
        .lines()
        .skip_while(|line| !line.contains("the 19 patches of flatcar"))
        .skip(1);
    let exit = lines.next()?.strip_prefix("exit: ")?;
    let order_varies = exit.contains("line order varies");
    let exit = exit.split(' ').next()?.parse().ok()?;
    let report: Vec<&str> = lines
        .skip_while(|line| *line != "-- stdout")
        .skip(1)
        .take_while(|line| *line != "-- stderr")
        .filter(|line| SEVERITIES.iter().any(|severity| line.starts_with(severity)))
        .collect();
    let lines = report
        .into_iter()
        .map(|line| read_line(line).ok_or(line))
        .collect::<Result<_, _>>();
    Some(Verdict {
        exit,
        order_varies,
        lines: lines.unwrap_or_else(|line| panic!("not a report line: {line}")),
    })
}

/// `SEVERITY[ at PATH][, line N col N| at line N col N]: MESSAGE`
fn read_line(line: &str) -> Option<Line> {
    let (head, message) = line.split_once(": ")?;
    let (place, position) = match head.split_once(", line ") {
        Some((place, position)) => (place, format!("line {position}")),
        None => match head.split_once(" at line ") {
            Some((severity, position)) => (severity, format!("line {position}")),
            None => (head, String::new()),
        },
    };
    let unused_key = message.starts_with("unused key ");
    Some(Line {
        place: place.to_owned(),
        position,
        unused_key,
    })
}

fn lines_of(report: &Report) -> Vec<Line> {
    let lines = report.entries.iter().map(|entry| {
        let mut line = read_line(&entry.to_string().replace('\n', " ")).expect("an entry has this form");
        line.unused_key = config::is_unused_key(entry);
        line
    });
    lines.collect()
}

/// The version that a file declares, by a reader that is not ours: `None` if it has no usable one.
fn declares_old_spec(text: &[u8]) -> bool {
    let Ok(value) = serde_json::from_slice::<serde_json::Value>(text) else {
        return false;
    };
    match value.get("ignition").and_then(|ignition| ignition.get("version")) {
        Some(serde_json::Value::String(version)) if !version.is_empty() => {
            let numbers: Vec<&str> = version
                .split(['-', '+'])
                .next()
                .unwrap_or_default()
                .split('.')
                .collect();
            matches!(numbers.as_slice(), ["1" | "2", minor, patch] if minor.parse::<u32>().is_ok() && patch.parse::<u32>().is_ok())
        }
        None | Some(serde_json::Value::Null | serde_json::Value::String(_)) => {
            let ignition = value.get("ignition");
            ignition.is_none_or(|ignition| ignition.is_object() || ignition.is_null())
                && matches!(
                    value.get("ignitionVersion").and_then(serde_json::Value::as_i64),
                    Some(1 | 2)
                )
        }
        Some(_) => false,
    }
}

#[derive(Default)]
struct Counts {
    files: usize,
    verdicts: usize,
    entries: usize,
    positions: usize,
    parsed: usize,
    old: usize,
    skipped: BTreeMap<String, usize>,
    mismatches: Vec<String>,
}

impl Counts {
    fn skip(&mut self, reason: impl Into<String>) {
        *self.skipped.entry(reason.into()).or_default() += 1;
    }
}

#[test]
fn verdicts_are_those_of_the_reference() {
    let Some(corpus) = corpus() else {
        eprintln!("skipped: there is no corpus beside this repository (../shared/corpus)");
        return;
    };
    let mut counts = Counts::default();
    for (cases, verdicts, parsed) in [
        ("open/ign", "open/verdicts", "open/normalized"),
        ("bad/cases", "bad/verdicts", "bad/parsed"),
    ] {
        let mut files: Vec<PathBuf> = std::fs::read_dir(corpus.join(cases))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        for file in files {
            counts.files += 1;
            let name = file.file_name().unwrap().to_str().unwrap().to_owned();
            // Verdicts of open/ are named after the stem, those of bad/ after the whole name.
            let stem = if cases == "open/ign" {
                name.trim_end_matches(".ign")
            } else {
                &name
            };
            let text = std::fs::read(&file).unwrap();
            let verdict = std::fs::read_to_string(corpus.join(verdicts).join(format!("{stem}.txt"))).unwrap();
            let verdict =
                read_verdict(&verdict).unwrap_or_else(|| panic!("{name}: the verdict cannot be read"));
            let parsed = [
                format!("{stem}.json"),
                format!("{stem}.flatcar.json"),
                format!("{stem}.upstream.json"),
            ]
            .into_iter()
            .map(|name| corpus.join(parsed).join(name))
            .find(|path| path.is_file());
            compare(&name, &text, &verdict, parsed.as_deref(), &mut counts);
        }
    }
    print(&counts);
    assert!(
        counts.files > 1000 && counts.verdicts > 1000,
        "the corpus is not complete"
    );
    assert!(
        counts.mismatches.is_empty(),
        "{} mismatches, listed above",
        counts.mismatches.len()
    );
}

fn compare(name: &str, text: &[u8], verdict: &Verdict, parsed: Option<&Path>, counts: &mut Counts) {
    let result = config::parse(text);
    if declares_old_spec(text) {
        counts.old += 1;
        if !matches!(result, Err(ParseError::OldSpec { .. })) {
            counts
                .mismatches
                .push(format!("{name}: spec 1 or 2, but found {result:?}"));
        }
        return;
    }
    counts.verdicts += 1;
    let (exit, report) = match &result {
        Ok(parsed) => (0, &parsed.report),
        Err(error) => (1, error.report()),
    };
    let found = lines_of(report);
    if exit != verdict.exit {
        let error = result.as_ref().err().map(ToString::to_string).unwrap_or_default();
        counts
            .mismatches
            .push(format!("{name}: exit {exit}, expected {} {error}", verdict.exit));
    }
    compare_lines(name, &found, verdict, counts);
    match (parsed, &result) {
        (Some(path), Ok(parsed)) => compare_parsed(name, path, parsed, counts),
        (None, Ok(_)) => counts.skip("parsed config: accepted, but the corpus has no parsed form"),
        (Some(_), Err(_)) => counts.skip("parsed config: not accepted here, as counted above"),
        (None, Err(_)) => {}
    }
}

fn compare_lines(name: &str, found: &[Line], verdict: &Verdict, counts: &mut Counts) {
    counts.entries += verdict.lines.len();
    let set = |lines: &[Line]| {
        lines
            .iter()
            .map(|line| line.place.clone())
            .collect::<BTreeSet<_>>()
    };
    let (ours, theirs) = (set(found), set(&verdict.lines));
    if ours != theirs {
        let missing: Vec<_> = theirs.difference(&ours).collect();
        let extra: Vec<_> = ours.difference(&theirs).collect();
        counts
            .mismatches
            .push(format!("{name}: missing {missing:?}, not expected {extra:?}"));
        return;
    }
    // Upstream lists unused keys of one object in random order, so they are compared sorted.
    let ordered = |lines: &[Line]| {
        let (mut unused, mut rest): (Vec<Line>, Vec<Line>) =
            lines.iter().cloned().partition(|line| line.unused_key);
        unused.sort();
        if verdict.order_varies {
            rest.sort();
        }
        rest.extend(unused);
        rest
    };
    let (ours, theirs) = (ordered(found), ordered(&verdict.lines));
    let places = |lines: &[Line]| lines.iter().map(|line| line.place.clone()).collect::<Vec<_>>();
    if places(&ours) != places(&theirs) {
        counts.mismatches.push(format!(
            "{name}: order or number of entries: {ours:#?}, expected {theirs:#?}"
        ));
        return;
    }
    for (ours, theirs) in ours.iter().zip(&theirs) {
        counts.positions += 1;
        if ours.position != theirs.position {
            let message = format!(
                "{name}: {}: {}, expected {}",
                ours.place, ours.position, theirs.position
            );
            counts.mismatches.push(message);
        }
    }
}

fn compare_parsed(name: &str, path: &Path, parsed: &Parsed, counts: &mut Counts) {
    counts.parsed += 1;
    let ours = canonical::to_json(&parsed.config).unwrap();
    let ours: serde_json::Value = serde_json::from_slice(&ours).unwrap();
    let theirs: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    if ours != theirs {
        counts.mismatches.push(format!(
            "{name}: parsed config: {}",
            difference("$", &ours, &theirs)
        ));
    }
}

/// Where two values differ first.
fn difference(at: &str, ours: &serde_json::Value, theirs: &serde_json::Value) -> String {
    use serde_json::Value::{Array, Object};
    match (ours, theirs) {
        (Object(a), Object(b)) => {
            let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            let null = serde_json::Value::Null;
            for key in keys {
                let (a, b) = (a.get(key).unwrap_or(&null), b.get(key).unwrap_or(&null));
                if a != b {
                    return difference(&format!("{at}.{key}"), a, b);
                }
            }
        }
        (Array(a), Array(b)) if a.len() == b.len() => {
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                if a != b {
                    return difference(&format!("{at}.{index}"), a, b);
                }
            }
        }
        _ => {}
    }
    let short = |value: &serde_json::Value| value.to_string().chars().take(120).collect::<String>();
    format!("{at} is {}, expected {}", short(ours), short(theirs))
}

fn print(counts: &Counts) {
    let mut text = String::new();
    writeln!(text, "corpus: {} files", counts.files).unwrap();
    writeln!(
        text,
        "  verdicts compared: {} ({} report entries)",
        counts.verdicts, counts.entries
    )
    .unwrap();
    writeln!(text, "  positions compared: {}", counts.positions).unwrap();
    writeln!(text, "  parsed configs compared: {}", counts.parsed).unwrap();
    writeln!(text, "  spec 1 and 2, only recognised: {}", counts.old).unwrap();
    writeln!(text, "  skipped: {}", counts.skipped.values().sum::<usize>()).unwrap();
    for (reason, count) in &counts.skipped {
        writeln!(text, "    {count} x {reason}").unwrap();
    }
    for mismatch in &counts.mismatches {
        writeln!(text, "  MISMATCH {mismatch}").unwrap();
    }
    eprint!("{text}");
}

#[test]
fn report_lines_are_read() {
    for (line, place, position, unused_key) in [
        (
            "error at $.storage.files.0.path, line 8 col 17: x: y",
            "error at $.storage.files.0.path",
            "line 8 col 17",
            false,
        ),
        ("error at line 1 col 3: invalid", "error", "line 1 col 3", false),
        ("warning at $.a: unused key x", "warning at $.a", "", true),
        ("info: x", "info", "", false),
    ] {
        let expected = Line {
            place: place.to_owned(),
            position: position.to_owned(),
            unused_key,
        };
        assert_eq!(read_line(line), Some(expected), "{line}");
    }
}
