//! A table for people: who made a mistake sees what is there, and what is in the way.

use std::fmt::Write as _;

use super::place::free_blocks;
use super::{Table, type_name};

/// Lines of a table, partitions and free blocks in the order of the disk; `notes` are put beside the partitions of these numbers.
/// Free blocks of less than 1 MiB are left out: the gaps of alignment.
pub fn render(table: &Table, note: &dyn Fn(u32) -> Option<String>) -> String {
    let mib = table.geometry.sectors_per_mib();
    let mut rows: Vec<(u64, [String; 6])> = Vec::new();
    for (number, entry) in &table.entries {
        let kind = type_name(entry.type_guid).map_or_else(|| entry.type_guid.to_string(), str::to_owned);
        let row = [
            number.to_string(),
            plain(&entry.name.text()),
            entry.first.to_string(),
            entry.last.to_string(),
            amount(entry.size(), mib, table.geometry.sector_size),
            format!(
                "{kind}{}",
                note(*number).map_or_else(String::new, |note| format!("  <- {note}"))
            ),
        ];
        rows.push((entry.first, row));
    }
    for block in free_blocks(table) {
        if block.size() >= mib {
            let size = amount(block.size(), mib, table.geometry.sector_size);
            let (first, last) = (block.first.to_string(), block.last.to_string());
            rows.push((
                block.first,
                ["-".into(), String::new(), first, last, size, "free".into()],
            ));
        }
    }
    rows.sort_by_key(|(first, _)| *first);
    let head = ["number", "label", "first sector", "last sector", "size", "type"].map(str::to_owned);
    let mut widths = head.clone().map(|cell| cell.chars().count());
    for (_, row) in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in std::iter::once(&head).chain(rows.iter().map(|(_, row)| row)) {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            // Numbers stand at the right; writing to a string cannot fail.
            let _ = match column {
                0 => write!(line, "{cell:>width$}"),
                1 => write!(line, "  {cell:<width$}"),
                5 => write!(line, "  {cell}"),
                _ => write!(line, "  {cell:>width$}"),
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Sectors as people count them: whole MiB or GiB if they are that, else rounded down, with a sign that says so.
pub(crate) fn amount(sectors: u64, per_mib: u64, sector_size: u32) -> String {
    let mib = sectors / per_mib;
    let exact = if sectors.is_multiple_of(per_mib) { "" } else { "~" };
    match mib {
        0 if sectors > 0 => format!("{} B", u128::from(sectors) * u128::from(sector_size)),
        _ if mib >= 1024 && mib.is_multiple_of(1024) => format!("{exact}{} GiB", mib / 1024),
        _ => format!("{exact}{mib} MiB"),
    }
}

/// A label without what could drive a terminal.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    for sign in text.chars() {
        if sign.is_control() {
            plain.extend(sign.escape_default());
        } else {
            plain.push(sign);
        }
    }
    plain
}
