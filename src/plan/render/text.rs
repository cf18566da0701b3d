//! Plans for people.

use std::collections::BTreeMap;
use std::fmt;

use super::super::{Change, Plan, Step};
use super::describe::describe;
use super::disks::{DiskTable, Fate, Part, asks};
use super::escape::{name, words};
use super::kind::{Kind, kinds_of};
use super::{Origin, Summary, destroyed, subject};
use crate::report::Pointer;
use crate::stages::Stage;
use crate::view::size_text;

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

/// Writes some plans: their steps by stage and kind, each with the programs that it starts, the disks before and after,
/// what is destroyed, and the [`Summary`] as the last line. Plans of one stage must stand together. Fails only if `out`
/// does.
pub fn text(
    out: &mut dyn fmt::Write,
    plans: &[Plan],
    disks: &[DiskTable],
    style: Style,
    origin: Origin<'_>,
) -> fmt::Result {
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
            write_rows(out, style, &if style.fold { fold(rows) } else { rows }, &WIDEST)?;
        }
        if plan.stage == Stage::Disks {
            disks
                .iter()
                .try_for_each(|disk| write_disk(out, style, disk, origin))?;
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
    /// Of a step: what, owner and mode, contents, place, and why or what goes; of a partition: number, label, start, size,
    /// type, what stands on it, and on whose word it goes
    cells: Vec<String>,
    /// Of the last cell
    note_tone: Tone,
    keeps: bool,
    /// The programs that are started
    commands: Vec<String>,
}

/// Cells that are longer do not push the next column of all other lines to the right.
const WIDEST: [usize; 5] = [48, 24, 32, 44, 0];
/// Labels have up to 36 letters, and a line 100.
const WIDEST_OF_PARTITIONS: [usize; 7] = [3, 20, 10, 10, 20, 24, 0];
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
            cells: vec![
                described.what,
                described.access,
                described.content,
                place(&step.cause, origin),
                note,
            ],
            note_tone: if destroys { Tone::Red } else { Tone::Plain },
            keeps: step.change.keeps(),
            commands: if step.change.keeps() {
                Vec::new()
            } else {
                let commands = step.action.commands();
                commands.iter().map(ToString::to_string).collect()
            },
        }
    }

    fn partition(part: &Part, after: bool, origin: Origin<'_>) -> Self {
        let row = &part.row;
        let (head, head_tone) = match part.change {
            Fate::Keep => ("= keep   ", Tone::Dim),
            Fate::Modify => ("~ modify ", Tone::Yellow),
            Fate::Create => ("+ create ", Tone::Green),
            Fate::Replace => ("! replace", Tone::Yellow),
            Fate::Lost => ("- LOST   ", Tone::Red),
        };
        let none = String::new;
        let whole = row.number == 0;
        Self {
            head: if after || part.change == Fate::Lost {
                head
            } else {
                "         "
            },
            head_tone,
            cells: vec![
                if whole { none() } else { row.number.to_string() },
                if whole {
                    String::from("(the disk)")
                } else {
                    name_or(&row.label, "-")
                },
                if whole { none() } else { size_text(row.start) },
                size_text(row.size),
                part.kind.map_or_else(|| row.type_guid.clone(), str::to_owned),
                part.holds.as_ref().map_or_else(
                    || String::from("-"),
                    |held| match held.label.as_str() {
                        "" => words(&held.kind),
                        label => format!("{} {}", words(&held.kind), words(&format!("{label:?}"))),
                    },
                ),
                match &part.asks {
                    Some(pointer) => format!("for {}", place(pointer, origin)),
                    None => none(),
                },
            ],
            note_tone: Tone::Red,
            keeps: false,
            commands: Vec::new(),
        }
    }

    fn note(&self) -> &str {
        self.cells.last().map_or("", String::as_str)
    }
}

fn name_or(label: &str, none: &str) -> String {
    if label.is_empty() {
        none.to_owned()
    } else {
        name(label.as_bytes())
    }
}

/// The partitions of a disk, before and after; once if they stay as they are.
fn write_disk(out: &mut dyn fmt::Write, style: Style, disk: &DiskTable, origin: Origin<'_>) -> fmt::Result {
    let mut title = format!("disk {}", name(disk.device.as_bytes()));
    let mut more = Vec::new();
    more.extend((disk.node != disk.device).then(|| name(disk.node.as_bytes())));
    more.extend(disk.size.map(size_text));
    if !more.is_empty() {
        title = format!("{title} ({})", more.join(", "));
    }
    let stays =
        disk.after.iter().all(|part| part.change == Fate::Keep) && disk.before.len() == disk.after.len();
    let blocks: [(&str, &[Part], bool); 2] = [
        (
            if stays { ", as it stays" } else { ", before" },
            &disk.before,
            false,
        ),
        (", after", &disk.after, true),
    ];
    for (when, parts, after) in blocks {
        if stays && after {
            continue;
        }
        writeln!(out, "  {title}{when}")?;
        if parts.is_empty() {
            writeln!(out, "{:INDENT$}no partitions", "")?;
            continue;
        }
        let head = ["#", "label", "start", "size", "type", "holds", ""];
        let head = Row {
            head: "         ",
            head_tone: Tone::Dim,
            cells: head.map(str::to_owned).into(),
            note_tone: Tone::Dim,
            keeps: true,
            commands: Vec::new(),
        };
        let rows = parts.iter().map(|part| Row::partition(part, after, origin));
        let rows: Vec<Row> = std::iter::once(head).chain(rows).collect();
        write_rows(out, style, &rows, &WIDEST_OF_PARTITIONS)?;
    }
    Ok(())
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
        let ends = [run.first(), run.last()]
            .map(|row| row.and_then(|row| row.cells.first()).map_or("", String::as_str));
        let between = format!("{} to {}", ends[0], ends[1]);
        if let Some(last) = run.pop() {
            let note = last.note().to_owned();
            let none = String::new;
            let cells = vec![format!("{what}: {between}"), none(), none(), none(), note];
            folded.push(Row { cells, ..last });
        }
        run.clear();
    };
    for row in rows {
        let goes_on = run
            .last()
            .is_some_and(|last| last.keeps && row.keeps && last.note() == row.note());
        if !goes_on {
            close(&mut run);
        }
        run.push(row);
    }
    close(&mut run);
    folded
}

fn write_rows(out: &mut dyn fmt::Write, style: Style, rows: &[Row], widest: &[usize]) -> fmt::Result {
    let mut widths = vec![0; widest.len()];
    for row in rows {
        for ((width, cell), widest) in widths.iter_mut().zip(&row.cells).zip(widest) {
            *width = cell.chars().count().min(*widest).max(*width);
        }
    }
    rows.iter()
        .try_for_each(|row| write_row(out, style, row, &widths))
}

fn write_row(out: &mut dyn fmt::Write, style: Style, row: &Row, widths: &[usize]) -> fmt::Result {
    write!(out, "{:INDENT$}", "")?;
    paint(out, style, row.head_tone, row.head)?;
    let mut at = INDENT + row.head.len();
    let mut start = at + GAP;
    let mut continued = false;
    let last = row.cells.len().saturating_sub(1);
    for (index, (cell, width)) in row.cells.iter().zip(widths).enumerate() {
        if !cell.is_empty() {
            let tone = if index == last { row.note_tone } else { Tone::Plain };
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
            let tone = if row.keeps { Tone::Dim } else { tone };
            let room = style.width.map_or(usize::MAX, |limit| limit.saturating_sub(pad));
            for (number, line) in wrap(cell, if at == 0 { room } else { usize::MAX })
                .into_iter()
                .enumerate()
            {
                if number > 0 {
                    writeln!(out)?;
                    at = 0;
                }
                write!(out, "{:pad$}", "")?;
                paint(out, style, tone, line)?;
                at += pad + line.chars().count();
            }
        }
        if *width > 0 {
            start += width + GAP;
        }
    }
    writeln!(out)?;
    for command in &row.commands {
        writeln!(out, "{:CONTINUE$}$ {}", "", words(command))?;
    }
    Ok(())
}

/// The lines of a text, broken at blanks; a word that is longer than a line stands alone.
fn wrap(text: &str, room: usize) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some((end, _)) = rest.char_indices().nth(room.max(1)) {
        let fits = rest.get(..end).and_then(|line| line.rfind(' '));
        let Some(at) = fits.or_else(|| rest.find(' ')).filter(|at| *at > 0) else {
            break;
        };
        let (line, after) = rest.split_at(at);
        lines.push(line);
        rest = after.trim_start_matches(' ');
    }
    lines.push(rest);
    lines
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
        let places: Vec<String> = asks(step).iter().map(|pointer| place(pointer, origin)).collect();
        let place = match places.join(", ") {
            place if place.is_empty() => place,
            place => format!(", for {place}"),
        };
        let line = format!("{}: {}{place}", subject(&step.action), words(&lost.what));
        let room = style
            .width
            .map_or(usize::MAX, |limit| limit.saturating_sub(INDENT));
        for (number, line) in wrap(&line, room).into_iter().enumerate() {
            write!(out, "{}", if number == 0 { "  " } else { "    " })?;
            paint(out, style, Tone::Red, line)?;
            writeln!(out)?;
        }
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
