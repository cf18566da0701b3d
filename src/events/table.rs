//! A report as a table with times, for people. Everything in it comes from a file that anybody may have written.

use std::fmt::Write as _;

use super::read::{Failure, Line, Report, Run};
use crate::plan::render::{thousands, words};

/// How many of the slowest steps are shown.
const SLOWEST: usize = 5;

/// Changes in the order in which they are counted up.
const CHANGES: [&str; 6] = ["create", "modify", "replace", "delete", "keep", "unknown"];

/// Writes a report: the last boot in it, or with `all` every boot and every step.
pub fn write(out: &mut String, report: &Report, all: bool) {
    let boots: Vec<&[Run]> = report
        .runs
        .chunk_by(|one, next| one.begin.boot_id == next.begin.boot_id)
        .collect();
    let shown = match boots.split_last() {
        Some((last, _)) if !all => std::slice::from_ref(last),
        _ => boots.as_slice(),
    };
    let earlier = boots.len().saturating_sub(shown.len());
    if earlier > 0 {
        let boots = if earlier == 1 { "boot is" } else { "boots are" };
        line(
            out,
            format_args!("{earlier} earlier {boots} left out; --all shows everything\n"),
        );
    }
    for runs in shown {
        boot(out, runs, all);
    }
    for run in shown.iter().flat_map(|runs| runs.iter()) {
        if let Some(failure) = run.end.as_ref().and_then(|end| end.failure.as_ref()) {
            digest(out, &run.begin.stage, failure);
        }
    }
    if let Some(version) = report.newer {
        line(
            out,
            format_args!(
                "Stages of version {version} of the format are left out: a newer ignition-rs reads them."
            ),
        );
    }
    if report.cut {
        line(
            out,
            format_args!("The last line is cut: the machine died while it was written."),
        );
    }
    match report.malformed {
        0 => {}
        1 => line(out, format_args!("1 line is malformed and left out.")),
        many => line(
            out,
            format_args!("{} lines are malformed and left out.", number(many)),
        ),
    }
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = writeln!(out, "{text}");
}

fn number(count: usize) -> String {
    thousands(u64::try_from(count).unwrap_or(u64::MAX))
}

fn boot(out: &mut String, runs: &[Run], all: bool) {
    let Some(first) = runs.first() else {
        return;
    };
    let mut title = match &first.begin.boot_id {
        Some(id) => format!("boot {}", words(id)),
        None => String::from("boot of unknown id"),
    };
    for (label, value) in [
        ("platform", &first.begin.platform),
        ("ignition-rs", &first.begin.engine),
    ] {
        if let Some(value) = value {
            let _ = write!(title, ", {label} {}", words(value));
        }
    }
    line(out, format_args!("{title}\n"));
    for run in runs {
        stage(out, run, all);
        out.push('\n');
    }
}

fn stage(out: &mut String, run: &Run, all: bool) {
    let outcome = match &run.end {
        Some(end) => format!(
            "{} in {}",
            words(end.outcome.as_deref().unwrap_or("over")),
            time(end.duration.unwrap_or(0))
        ),
        None => String::from("did not end: killed, or still running"),
    };
    line(
        out,
        format_args!(
            "{}  {outcome}, began {}",
            words(&run.begin.stage),
            words(&run.begin.time)
        ),
    );
    for fetch in &run.fetches {
        entry(out, "fetched", fetch);
    }
    for steps in run.steps.chunk_by(|one, next| one.phase == next.phase) {
        phase(out, steps);
        if all {
            for step in steps {
                entry(out, "", step);
            }
        }
    }
    if !all {
        let mut slowest: Vec<&Line> = run.steps.iter().filter(|step| step.duration > Some(0)).collect();
        slowest.sort_by_key(|step| std::cmp::Reverse(step.duration));
        slowest.truncate(SLOWEST);
        // Of one or two the phase says enough.
        if run.steps.len() > 2 {
            for (position, step) in slowest.iter().enumerate() {
                entry(out, if position == 0 { "slowest" } else { "" }, step);
            }
        }
        for step in run.steps.iter().filter(|step| step.failed()) {
            if !slowest.iter().any(|shown| std::ptr::eq(*shown, step)) {
                entry(out, "failed", step);
            }
        }
    }
    if let Some(open) = &run.open {
        let since = open.at.saturating_sub(run.begin.at);
        let mut text = format!("  {:<10} ", "not over");
        subject(&mut text, open);
        line(out, format_args!("{text}, begun {} after the stage", time(since)));
    }
}

/// What was done in a phase, in sum.
fn phase(out: &mut String, steps: &[Line]) {
    let name = steps
        .first()
        .and_then(|step| step.phase.as_deref())
        .unwrap_or("?");
    let took = sum(steps, |step| step.duration);
    let mut text = format!(
        "  {:<10} {:>10}  {} {}",
        words(name),
        time(took),
        number(steps.len()),
        if steps.len() == 1 { "step" } else { "steps" }
    );
    let mut parts = Vec::new();
    for change in CHANGES {
        let count = steps
            .iter()
            .filter(|step| !step.failed() && step.change.as_deref() == Some(change))
            .count();
        if count > 0 {
            parts.push(format!("{} {change}", number(count)));
        }
    }
    let failed = steps.iter().filter(|step| step.failed()).count();
    if failed > 0 {
        parts.push(format!("{} failed", number(failed)));
    }
    if !parts.is_empty() {
        let _ = write!(text, ": {}", parts.join(", "));
    }
    let bytes = sum(steps, |step| step.bytes);
    if bytes > 0 {
        let _ = write!(text, "; {} bytes", thousands(bytes));
    }
    line(out, format_args!("{text}"));
}

fn sum(steps: &[Line], figure: impl Fn(&Line) -> Option<u64>) -> u64 {
    steps.iter().filter_map(figure).fold(0, u64::saturating_add)
}

/// One step or fetch.
fn entry(out: &mut String, label: &str, given: &Line) {
    let mut text = format!("  {label:<10} {:>10}  ", time(given.duration.unwrap_or(0)));
    subject(&mut text, given);
    let mut figures = Vec::new();
    if let Some(bytes) = given.bytes {
        figures.push(format!("{} bytes", thousands(bytes)));
    }
    match given.attempts {
        None => {}
        Some(1) => figures.push(String::from("1 attempt")),
        Some(attempts) => figures.push(format!("{} attempts", thousands(attempts))),
    }
    if !figures.is_empty() {
        let _ = write!(text, ", {}", figures.join(", "));
    }
    if given.failed() {
        text.push_str(", failed");
        if let Some(error) = &given.error {
            let _ = write!(text, ": {}", words(error));
        }
    }
    line(out, format_args!("{text}"));
}

/// What a step or fetch is about.
fn subject(text: &mut String, given: &Line) {
    if given.event.starts_with("fetch") {
        let kind = given.kind.as_deref().unwrap_or("?");
        let _ = write!(
            text,
            "{} {}",
            words(kind),
            words(given.source.as_deref().unwrap_or("?"))
        );
        return;
    }
    let _ = write!(
        text,
        "{} {}",
        words(given.change.as_deref().unwrap_or("?")),
        words(given.what.as_deref().unwrap_or("?"))
    );
    if !given.sources.is_empty() {
        let _ = write!(text, " from {}", words(&given.sources.join(" + ")));
    }
    if let Some(cause) = given.cause.as_ref().filter(|cause| !cause.is_empty()) {
        let _ = write!(text, " ({})", words(cause));
    }
}

/// The digest of a failure.
fn digest(out: &mut String, stage: &str, failure: &Failure) {
    line(out, format_args!("{} failed", words(stage)));
    let mut row = |label: &str, value: &str| line(out, format_args!("  {label:<10} {}", words(value)));
    if let Some(operation) = &failure.operation {
        row("doing", operation);
    }
    if let Some(pointer) = &failure.pointer {
        row("place", pointer);
    }
    if let Some(config) = &failure.config {
        let at = match (failure.line, failure.column) {
            (Some(line), Some(column)) => format!("{config}:{line}:{column}"),
            _ => config.clone(),
        };
        row("in", &at);
    }
    for (position, cause) in failure.causes.iter().enumerate() {
        row(if position == 0 { "problem" } else { "because" }, cause);
    }
    for (position, other) in failure.also.iter().enumerate() {
        row(if position == 0 { "also" } else { "" }, other);
    }
    if failure.further > 0 {
        row("", &format!("and {} more", thousands(failure.further)));
    }
    if let Some(tool) = &failure.tool {
        let end = match (tool.exit_code, tool.signal) {
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => String::from("no exit code"),
        };
        row("program", &format!("{}: {end}", tool.command));
        for said in &tool.stderr {
            row("", said);
        }
    }
    if let Some(advice) = &failure.advice {
        row("to do", advice);
    }
    if let Some(sha512) = &failure.config_sha512 {
        row("SHA512", sha512);
    }
    out.push('\n');
}

/// Microseconds with three digits or so: `812 us`, `12.3 ms`, `4.56 s`.
fn time(micros: u64) -> String {
    let tenth = |whole: u64| (whole / 10, whole % 10);
    match micros {
        0..1_000 => format!("{micros} us"),
        1_000..1_000_000 => {
            let (whole, part) = tenth(micros / 100);
            format!("{}.{part} ms", thousands(whole))
        }
        _ => format!("{}.{:02} s", thousands(micros / 1_000_000), micros / 10_000 % 100),
    }
}

#[cfg(test)]
mod tests;
