//! Lines and tables of text that an agent answered: escaped, and of bounded length.
//!
//! An agent can be compromised. Nothing that it answers controls the terminal, begins a line, or takes long
//! to lay out.

use std::{
    io::{self, Write as _},
    time::SystemTime,
};

use anstream::AutoStream;
use anstyle::{AnsiColor, Style};
use clap::ColorChoice;
use comfy_table::{Table, presets::NOTHING};

use crate::{exit::Failure, text::printable_start};

/// Longest line, in characters.
const LINE: usize = 4096;
/// Longest cell of a table, in characters: every row is as wide as the widest.
const CELL: usize = 128;
/// Most rows of a table.
const ROWS: usize = 100_000;

/// Text for the terminal.
#[derive(Debug, Default)]
pub(crate) struct Screen {
    text: String,
}

impl Screen {
    /// Adds a line.
    pub(crate) fn line(&mut self, line: &str) {
        self.text.push_str(&printable_start(line, LINE));
        self.text.push('\n');
    }

    /// Adds an indented table, unless it has no rows.
    pub(crate) fn table(&mut self, rows: &Rows) {
        self.add(rows, "  ");
    }

    /// Adds a table, unless it has no rows.
    pub(crate) fn plain_table(&mut self, rows: &Rows) {
        self.add(rows, "");
    }

    fn add(&mut self, rows: &Rows, indent: &str) {
        if rows.is_empty() {
            return;
        }
        for line in rows.lines() {
            self.text.push_str(indent);
            let line = line
                .strip_prefix(' ')
                .filter(|_| indent.is_empty())
                .unwrap_or(&line);
            self.text.push_str(line.trim_end());
            self.text.push('\n');
        }
        if rows.skipped > 0 {
            self.line(&format!("  {} more rows: see --json", rows.skipped));
        }
    }

    /// Returns the text.
    pub(crate) fn into_text(self) -> String {
        self.text
    }
}

/// A table.
#[derive(Debug)]
pub(crate) struct Rows {
    table: Table,
    skipped: usize,
}

impl Rows {
    pub(crate) fn new<const COLUMNS: usize>(header: [&str; COLUMNS]) -> Self {
        let mut table = Table::new();
        table.load_style(NOTHING).set_header(header);
        Self { table, skipped: 0 }
    }

    pub(crate) fn add<const COLUMNS: usize>(&mut self, row: &[String; COLUMNS]) {
        if self.table.row_count() < ROWS {
            self.table
                .add_row(row.iter().map(|cell| printable_start(cell, CELL)));
        } else {
            self.skipped += 1;
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    pub(crate) fn lines(&self) -> impl Iterator<Item = String> {
        self.table.lines()
    }
}

/// Prints text to standard output, with colours for the words of states where there shall be colours.
pub(crate) fn print(text: &str, color: ColorChoice) -> Result<(), Failure> {
    let choice = match color {
        ColorChoice::Auto => anstream::ColorChoice::Auto,
        ColorChoice::Always => anstream::ColorChoice::Always,
        ColorChoice::Never => anstream::ColorChoice::Never,
    };
    let mut stdout = AutoStream::new(io::stdout().lock(), choice);
    let written = stdout.write_all(painted(text).as_bytes());
    match written.and_then(|()| stdout.flush()) {
        // The reader has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(Failure::system("write to standard output")),
    }
}

/// Adds colours: to cells that begin with the word of a state, and to lines in capitals, which are headers of tables.
fn painted(text: &str) -> String {
    let lines = text.split_inclusive('\n').map(|line| {
        let is_header = line.contains(|it: char| it.is_ascii_uppercase())
            && !line.contains(|it: char| it.is_lowercase() || it.is_ascii_digit());
        if is_header {
            return styled(line, Style::new().bold());
        }
        // Cells are two spaces apart; the first line of a parent has its state after its name.
        let ends = line.match_indices("  ").map(|(at, _)| at + 2);
        let name = line.find(": ").filter(|_| !line.starts_with(' '));
        let mut starts: Vec<_> = ends.chain(name.map(|at| at + 2)).chain([0]).collect();
        starts.sort_unstable_by(|one, other| other.cmp(one));
        let mut line = line.to_owned();
        for start in starts {
            let word = line[start..].split(|it: char| !it.is_ascii_alphanumeric() && it != '-');
            let word = word.map(str::to_owned).next().unwrap_or_default();
            if let Some(color) = color_of(&word) {
                let end = start + word.len();
                line.replace_range(start..end, &styled(&word, color.on_default()));
            }
        }
        line
    });
    lines.collect()
}

fn styled(text: &str, style: Style) -> String {
    let (text, end) = match text.strip_suffix('\n') {
        Some(text) => (text, "\n"),
        None => (text, ""),
    };
    format!("{style}{text}{style:#}{end}")
}

/// Returns the colour of the word of a state.
fn color_of(word: &str) -> Option<AnsiColor> {
    match word {
        "ready" | "answering" | "answered" | "ok" => Some(AnsiColor::Green),
        "waiting" | "probing" | "no-address" | "warn" => Some(AnsiColor::Yellow),
        "degraded" | "refused" | "fail" => Some(AnsiColor::Red),
        _ => None,
    }
}

/// Returns the milliseconds since 1970; 0 if the clock is before that.
pub(super) fn now_ms() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

/// Renders how long ago something was, in the largest unit of which it has at least two.
pub(super) fn ago(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0..120 => format!("{seconds} s ago"),
        120..7_200 => format!("{} min ago", seconds / 60),
        7_200..172_800 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} d ago", seconds / 86_400),
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
    fn colours_change_nothing_but_colours() {
        let text =
            "ens34: ready, mode l3\n  CHILD  STATE\n  ready  answered\n  \u{fc}  refused: down\n";
        let painted = painted(text);
        assert_eq!(anstream::adapter::strip_str(&painted).to_string(), text);
        let green = AnsiColor::Green.on_default();
        assert!(painted.contains(&format!("ens34: {green}ready{green:#}, ")));
        assert!(painted.contains(&format!("  {green}answered{green:#}\n")));
        let bold = Style::new().bold();
        assert!(painted.contains(&format!("{bold}  CHILD  STATE{bold:#}\n")));
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

    #[test]
    fn a_span_is_in_the_largest_unit_of_which_it_has_two() {
        for (ms, said) in [
            (0, "0 s ago"),
            (119_999, "119 s ago"),
            (120_000, "2 min ago"),
            (7_199_999, "119 min ago"),
            (7_200_000, "2 h ago"),
            (172_800_000, "2 d ago"),
            (u64::MAX, "213503982334 d ago"),
        ] {
            assert_eq!(ago(ms), said);
        }
    }
}
