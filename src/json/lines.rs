//! From byte offsets to lines and columns.

use crate::report::Position;

/// Where the lines of a text begin.
#[derive(Debug)]
pub struct LineIndex {
    /// Offsets of the line feeds
    feeds: Vec<usize>,
}

impl LineIndex {
    /// Reads a text once.
    pub fn new(text: &[u8]) -> Self {
        Self {
            feeds: memchr::memchr_iter(b'\n', text).collect(),
        }
    }

    /// Line and column of the byte at `offset`; a line feed belongs to the line that it ends.
    pub fn position(&self, offset: usize) -> Position {
        let before = self.feeds.partition_point(|feed| *feed < offset);
        let line_start = before
            .checked_sub(1)
            .and_then(|last| self.feeds.get(last))
            .map_or(0, |feed| feed.saturating_add(1));
        Position {
            line: before.saturating_add(1),
            column: offset.saturating_sub(line_start).saturating_add(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_bytes_since_the_line_feed() {
        let lines = LineIndex::new("ab\nü\n\nx".as_bytes());
        let table = [
            (0, 1, 1),
            (1, 1, 2),
            (2, 1, 3),
            (3, 2, 1),
            (5, 2, 3),
            (6, 3, 1),
            (7, 4, 1),
            (8, 4, 2),
        ];
        for (offset, line, column) in table {
            assert_eq!(
                lines.position(offset),
                Position { line, column },
                "offset {offset}"
            );
        }
    }
}
