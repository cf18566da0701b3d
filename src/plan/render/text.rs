//! Plans for people.

use std::collections::BTreeMap;
use std::fmt;

use super::super::{Change, Plan, Step};
use super::describe::describe;
use super::escape::words;
use super::kind::{Kind, kinds_of};
use super::{Origin, Summary, destroyed, subject};
use crate::report::Pointer;

/// How a plan is laid out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// With the colours of a terminal
    pub colour: bool,
    /// Columns of the terminal: cells that do not fit go to the next line, whole. `None`: each step is one line.
    pub width: Option<usize>,
    /// Show more than three neighbours that are kept for the same reason as one line
    pub fold: bool,
}

/// Writes some plans: their steps by stage and kind, what they destroy, and the [`Summary`] as the last line. Plans of
/// one stage must stand together. Fails only if `out` does.
pub fn text(out: &mut dyn fmt::Write, plans: &[Plan], style: Style, origin: Origin<'_>) -> fmt::Result {
    for plans in plans.chunk_by(|one, next| one.stage == next.stage) {
        let mut kinds: BTreeMap<Kind, Vec<Row>> = BTreeMap::new();
        for plan in plans {
            for (step, kind) in plan.steps.iter().zip(kinds_of(plan)) {
                kinds.entry(kind).or_default().push(Row::new(step, origin));
            }
        }
        let (Some(plan), false) = (plans.first(), kinds.is_empty()) else {
            continue;
        };
        paint(out, style, Tone::Bold, &format!("stage {}", plan.stage))?;
        writeln!(out)?;
        for (kind, rows) in kinds {
            writeln!(out, "  {}", kind.title())?;
            write_rows(out, style, &if style.fold { fold(rows) } else { rows })?;
        }
        writeln!(out)?;
    }
    warn(out, plans, style, origin)?;
    let summary = Summary::of(plans);
    if !summary.changes() {
        writeln!(out, "nothing to do")?;
    }
    writeln!(out, "{summary}")
}

/// One line of the plan.
struct Row {
    head: &'static str,
    head_tone: Tone,
    /// What, owner and mode, contents, place, and why or what goes; in this order
    cells: [String; 5],
    note_tone: Tone,
    keeps: bool,
}

/// Cells that are longer do not push the next column of all other lines to the right.
const WIDEST: [usize; 5] = [48, 24, 32, 44, 0];
const INDENT: usize = 4;
const GAP: usize = 2;
/// Where a step goes on that does not fit in its line.
const CONTINUE: usize = INDENT + "+ create ".len() + GAP + 2;

impl Row {
    fn new(step: &Step, origin: Origin<'_>) -> Self {
        let described = describe(&step.action);
        let (head, note) = match &step.change {
            Change::Create => ("+ create ", String::new()),
            Change::Keep { reason } => ("= keep   ", words(reason)),
            Change::Modify { what } => ("~ modify ", words(what)),
            Change::Replace { lost } if lost.trivial => {
                ("! replace", format!("instead of: {}", words(&lost.what)))
            }
            Change::Replace { lost } => ("! replace", format!("DESTROYS: {}", words(&lost.what))),
            Change::Delete { lost } if lost.trivial => ("- delete ", format!("was: {}", words(&lost.what))),
            Change::Delete { lost } => ("- delete ", format!("DESTROYS: {}", words(&lost.what))),
            Change::Unknown { why } => ("? unknown", words(why)),
        };
        let destroys = step.change.destroys();
        Self {
            head,
            head_tone: match &step.change {
                Change::Create => Tone::Green,
                Change::Keep { .. } => Tone::Dim,
                Change::Replace { .. } | Change::Delete { .. } if destroys => Tone::Red,
                Change::Modify { .. } | Change::Replace { .. } | Change::Delete { .. } => Tone::Yellow,
                Change::Unknown { .. } => Tone::Cyan,
            },
            cells: [
                described.what,
                described.access,
                described.content,
                place(&step.cause, origin),
                note,
            ],
            note_tone: if destroys { Tone::Red } else { Tone::Plain },
            keeps: step.change.keeps(),
        }
    }
}

/// `storage.files[3] (my.ign:12:7)`
fn place(cause: &Pointer, origin: Origin<'_>) -> String {
    let pointer = words(&cause.to_string());
    match origin(cause) {
        Some(origin) if pointer.is_empty() => words(&origin),
        Some(origin) => format!("{pointer} ({})", words(&origin)),
        None => pointer,
    }
}

fn fold(rows: Vec<Row>) -> Vec<Row> {
    const LONGEST: usize = 3;
    let mut folded: Vec<Row> = Vec::with_capacity(rows.len());
    // Rows of a run whose end is not seen yet
    let mut run: Vec<Row> = Vec::new();
    let mut close = |run: &mut Vec<Row>| {
        if run.len() <= LONGEST {
            folded.append(run);
            return;
        }
        let what = format!("{} kept", run.len());
        let ends = [run.first(), run.last()].map(|row| row.map_or("", |row| row.cells[0].as_str()));
        let between = format!("{} to {}", ends[0], ends[1]);
        if let Some(last) = run.pop() {
            let [_, _, _, _, note] = last.cells;
            let cells = [
                format!("{what}: {between}"),
                String::new(),
                String::new(),
                String::new(),
                note,
            ];
            folded.push(Row { cells, ..last });
        }
        run.clear();
    };
    for row in rows {
        let goes_on = run
            .last()
            .is_some_and(|last| last.keeps && row.keeps && last.cells[4] == row.cells[4]);
        if !goes_on {
            close(&mut run);
        }
        run.push(row);
    }
    close(&mut run);
    folded
}

fn write_rows(out: &mut dyn fmt::Write, style: Style, rows: &[Row]) -> fmt::Result {
    let mut widths = [0; 5];
    for row in rows {
        for ((width, cell), widest) in widths.iter_mut().zip(&row.cells).zip(WIDEST) {
            *width = cell.chars().count().min(widest).max(*width);
        }
    }
    rows.iter().try_for_each(|row| write_row(out, style, row, widths))
}

fn write_row(out: &mut dyn fmt::Write, style: Style, row: &Row, widths: [usize; 5]) -> fmt::Result {
    write!(out, "{:INDENT$}", "")?;
    paint(out, style, row.head_tone, row.head)?;
    let mut at = INDENT + row.head.len();
    let mut start = at + GAP;
    let mut continued = false;
    let tones = [Tone::Plain, Tone::Plain, Tone::Plain, Tone::Plain, row.note_tone];
    for ((cell, width), tone) in row.cells.iter().zip(widths).zip(tones) {
        if !cell.is_empty() {
            let length = cell.chars().count();
            let mut pad = if continued {
                GAP
            } else {
                start.saturating_sub(at).max(GAP)
            };
            if at > CONTINUE && style.width.is_some_and(|limit| at + pad + length > limit) {
                writeln!(out)?;
                continued = true;
                at = 0;
                pad = CONTINUE;
            }
            write!(out, "{:pad$}", "")?;
            paint(out, style, if row.keeps { Tone::Dim } else { tone }, cell)?;
            at += pad + length;
        }
        if width > 0 {
            start += width + GAP;
        }
    }
    writeln!(out)
}

/// Names everything that is gone afterwards, once more and together.
fn warn(out: &mut dyn fmt::Write, plans: &[Plan], style: Style, origin: Origin<'_>) -> fmt::Result {
    let count = destroyed(plans).count();
    if count == 0 {
        return Ok(());
    }
    let title = match count {
        1 => String::from("WARNING: this plan destroys what is there now:"),
        _ => format!("WARNING: this plan destroys what is there now, in {count} places:"),
    };
    paint(out, style, Tone::Red, &title)?;
    writeln!(out)?;
    for (_, step, lost) in destroyed(plans) {
        let place = match place(&step.cause, origin) {
            place if place.is_empty() => place,
            place => format!(", for {place}"),
        };
        let line = format!("  {}: {}{place}", subject(&step.action), words(&lost.what));
        paint(out, style, Tone::Red, &line)?;
        writeln!(out)?;
    }
    writeln!(out)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Tone {
    Plain,
    Bold,
    Dim,
    Green,
    Yellow,
    Red,
    Cyan,
}

fn paint(out: &mut dyn fmt::Write, style: Style, tone: Tone, text: &str) -> fmt::Result {
    let code = match tone {
        Tone::Plain => "",
        Tone::Bold => "1",
        Tone::Dim => "2",
        Tone::Green => "32",
        Tone::Yellow => "33",
        Tone::Red => "31",
        Tone::Cyan => "36",
    };
    if !style.colour || code.is_empty() {
        return out.write_str(text);
    }
    write!(out, "\x1b[{code}m{text}\x1b[0m")
}
