//! Lines and tables of text that an agent answered: escaped, and of bounded length.
//!
//! An agent can be compromised. Nothing that it answers controls the terminal, begins a line, or takes long
//! to lay out.

use comfy_table::{Table, presets::NOTHING};

use crate::text::printable_start;

/// Longest line, in characters.
const LINE: usize = 4096;
/// Longest cell of a table, in characters: every row is as wide as the widest.
const CELL: usize = 128;
/// Most rows of a table.
const ROWS: usize = 100_000;

/// Text for the terminal.
#[derive(Debug, Default)]
pub(super) struct Screen {
    text: String,
}

impl Screen {
    /// Adds a line.
    pub(super) fn line(&mut self, line: &str) {
        self.text.push_str(&printable_start(line, LINE));
        self.text.push('\n');
    }

    /// Adds a table, unless it has no rows.
    pub(super) fn table(&mut self, rows: &Rows) {
        if rows.is_empty() {
            return;
        }
        for line in rows.lines() {
            self.text.push_str("  ");
            self.text.push_str(line.trim_end());
            self.text.push('\n');
        }
        if rows.skipped > 0 {
            self.line(&format!("  {} more rows: see --json", rows.skipped));
        }
    }

    /// Returns the text.
    pub(super) fn into_text(self) -> String {
        self.text
    }
}

/// A table.
#[derive(Debug)]
pub(super) struct Rows {
    table: Table,
    skipped: usize,
}

impl Rows {
    pub(super) fn new<const COLUMNS: usize>(header: [&str; COLUMNS]) -> Self {
        let mut table = Table::new();
        table.load_style(NOTHING).set_header(header);
        Self { table, skipped: 0 }
    }

    pub(super) fn add<const COLUMNS: usize>(&mut self, row: &[String; COLUMNS]) {
        if self.table.row_count() < ROWS {
            self.table
                .add_row(row.iter().map(|cell| printable_start(cell, CELL)));
        } else {
            self.skipped += 1;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    pub(super) fn lines(&self) -> impl Iterator<Item = String> {
        self.table.lines()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_cells_are_escaped_and_printable_start() {
        let mut screen = Screen::default();
        screen.line("a\nb\x1b[31m\u{9b}\u{202e}");
        screen.line(&"x".repeat(LINE + 1));
        let mut rows = Rows::new(["NAME"]);
        rows.add(&["e\nth\x07".to_owned()]);
        rows.add(&["y".repeat(1 << 20)]);
        screen.table(&rows);
        let text = screen.into_text();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], r"a\u{a}b\u{1b}[31m\u{9b}\u{202e}");
        assert_eq!(lines[1], "x".repeat(LINE) + "…");
        assert_eq!(lines[2].trim(), "NAME");
        assert_eq!(lines[3].trim(), r"e\u{a}th\u{7}");
        assert_eq!(lines[4].trim(), "y".repeat(CELL) + "…");
        assert_eq!(lines.len(), 5);
    }

    #[test]
    fn rows_beyond_the_last_one_are_counted() {
        let mut rows = Rows::new(["N"]);
        for number in 0..ROWS + 2 {
            rows.add(&[number.to_string()]);
        }
        let mut screen = Screen::default();
        screen.table(&rows);
        assert!(
            screen
                .into_text()
                .ends_with("\n  2 more rows: see --json\n")
        );
    }
}
