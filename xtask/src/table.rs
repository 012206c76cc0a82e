//! Tables for people: who reached whom, before and after.

use std::fmt::Write as _;

use crate::results::{Cell, Kernel, Mode};

/// One table per mode, and what changed.
#[must_use]
pub(crate) fn render(kernel: &Kernel) -> String {
    let mut text = String::new();
    for mode in &kernel.modes {
        text += &render_mode(&kernel.kernel, mode);
    }
    text
}

fn render_mode(kernel: &str, mode: &Mode) -> String {
    let heading = ["from", "to", "probe", "seed", "before", "after"].map(str::to_owned);
    let rows = mode.cells.iter().map(|cell| {
        let seed = cell.seed.as_deref().unwrap_or_default();
        [
            cell.from.clone(),
            cell.to.clone(),
            cell.probe.clone(),
            seed.to_owned(),
            mark(cell.before).to_owned(),
            after(cell),
        ]
    });
    let rows: Vec<_> = std::iter::once(heading).chain(rows).collect();
    let mut widths = [0; 6];
    for row in &rows {
        for (width, word) in widths.iter_mut().zip(row) {
            *width = (*width).max(word.chars().count());
        }
    }
    let mut text = format!("\n{} on Linux {kernel}\n", mode.mode);
    for row in rows {
        let words = row.iter().zip(widths);
        let line = words.fold(String::new(), |line, (word, width)| {
            line + &format!("{word:<width$}  ")
        });
        text += line.trim_end();
        text.push('\n');
    }
    text + &summary(mode)
}

fn summary(mode: &Mode) -> String {
    let count = |meets: fn(&&Cell) -> bool| mode.cells.iter().filter(meets).count();
    let mended = count(|cell| cell.before == Some(false) && cell.after == Some(true));
    let broken = count(|cell| cell.before == Some(true) && cell.after == Some(false));
    let mut text = format!(
        "{}: {} of {} worked before, {} after; {mended} now work",
        mode.mode,
        count(|cell| cell.before == Some(true)),
        mode.cells.len(),
        count(|cell| cell.after == Some(true)),
    );
    if broken > 0 {
        // Writing to a string cannot fail.
        let _written = write!(text, ", {broken} no longer do");
    }
    text.push('\n');
    text
}

/// The cells that are not as expected, one line each.
#[must_use]
pub(crate) fn unmet(kernel: &Kernel) -> Vec<String> {
    let lines = kernel.modes.iter().flat_map(|mode| {
        let unmet = mode.cells.iter().filter(|cell| !cell.met());
        unmet.map(|cell| {
            format!(
                "Linux {}, {}: {} → {}, {}: {}, expected {}",
                kernel.kernel,
                mode.mode,
                cell.from,
                cell.to,
                cell.probe,
                mark(cell.after),
                mark(Some(cell.expected)),
            )
        })
    });
    lines.collect()
}

fn after(cell: &Cell) -> String {
    let verdict = if cell.met() { "" } else { "  UNEXPECTED" };
    format!("{}{verdict}", mark(cell.after))
}

fn mark(works: Option<bool>) -> &'static str {
    match works {
        Some(true) => "✓",
        Some(false) => "✗",
        None => "-",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel() -> Kernel {
        let cell = |to: &str, before, after| Cell {
            from: "vm01".to_owned(),
            to: to.to_owned(),
            probe: "ping".to_owned(),
            seed: Some("003".to_owned()),
            before: Some(before),
            after: Some(after),
            expected: true,
        };
        Kernel {
            kernel: "6.12".to_owned(),
            modes: vec![Mode {
                mode: "l3".to_owned(),
                cells: vec![cell("ns01", false, true), cell("ns02", true, false)],
            }],
        }
    }

    #[test]
    fn the_table_shows_both_halves_and_what_changed() {
        let expected = "\nl3 on Linux 6.12\n\
                        from  to    probe  seed  before  after\n\
                        vm01  ns01  ping   003   ✗       ✓\n\
                        vm01  ns02  ping   003   ✓       ✗  UNEXPECTED\n\
                        l3: 1 of 2 worked before, 1 after; 1 now work, 1 no longer do\n";
        assert_eq!(render(&kernel()), expected);
    }

    #[test]
    fn unexpected_cells_are_listed() {
        let expected = ["Linux 6.12, l3: vm01 → ns02, ping: ✗, expected ✓"];
        assert_eq!(unmet(&kernel()), expected);
    }
}
