//! Tables for people: who reached whom, before and after.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, Table, presets};

use crate::results::{Cell, Kernel, Mode};

/// Returns an empty table as documents have it, with these columns aligned to the right.
pub(crate) fn markdown<const N: usize>(header: [&str; N], right: &[usize]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(header);
    for &column in right {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// Renders one table per mode, and what changed.
pub(crate) fn render(kernel: &Kernel) -> String {
    let mut text = String::new();
    for mode in &kernel.modes {
        text += &render_mode(&kernel.kernel, mode);
    }
    text
}

const FAMILIES: [&str; 2] = ["v4", "v6"];

/// Cells that differ in nothing but the family of their addresses, in the order of [`FAMILIES`]: one line of the table.
type Row<'a> = [Option<&'a Cell>; FAMILIES.len()];

fn rows(cells: &[Cell]) -> Vec<Row<'_>> {
    let key = |cell: &Cell| (cell.from.clone(), cell.to.clone(), cell.probe.clone());
    let mut rows: Vec<Row<'_>> = Vec::new();
    for cell in cells {
        // A cell without a family is about all of them.
        let own = FAMILIES.map(|family| cell.family.as_deref().is_none_or(|own| own == family));
        let takes = |row: &Row<'_>| {
            let is_free = row
                .iter()
                .zip(own)
                .all(|(place, own)| !own || place.is_none());
            is_free && row.iter().flatten().all(|known| key(known) == key(cell))
        };
        let row = rows.iter().position(takes).unwrap_or_else(|| {
            rows.push([None; FAMILIES.len()]);
            rows.len() - 1
        });
        for (place, own) in rows[row].iter_mut().zip(own) {
            *place = if own { Some(cell) } else { *place };
        }
    }
    rows
}

fn words(row: &Row<'_>) -> Vec<String> {
    let Some(first) = row.iter().flatten().next() else {
        return Vec::new();
    };
    let names = [&first.from, &first.to, &first.probe].map(String::clone);
    let before = row.map(|cell| mark(cell.and_then(|cell| cell.before)).to_owned());
    let after = row.map(|cell| cell.map_or_else(|| mark(None).to_owned(), after));
    let seed = first.seed.clone().unwrap_or_default();
    names
        .into_iter()
        .chain([seed])
        .chain(before)
        .chain(after)
        .collect()
}

fn render_mode(kernel: &str, mode: &Mode) -> String {
    let heading = [
        "from",
        "to",
        "probe",
        "seed",
        "before v4",
        "v6",
        "after v4",
        "v6",
    ];
    let mut table = markdown(heading, &[]);
    table.add_rows(rows(&mode.cells).iter().map(words));
    let mut text = format!("\n{} on Linux {kernel}\n{table}\n", mode.mode);
    for family in FAMILIES {
        text += &summary(mode, family);
    }
    text
}

fn summary(mode: &Mode, family: &str) -> String {
    let own = |cell: &&Cell| cell.family.as_deref().is_none_or(|own| own == family);
    let cells = || mode.cells.iter().filter(own);
    let count = |meets: fn(&&Cell) -> bool| cells().filter(meets).count();
    let mended = count(|cell| cell.before == Some(false) && cell.after == Some(true));
    let broken = count(|cell| cell.before == Some(true) && cell.after == Some(false));
    let mut text = format!(
        "{} {family}: {} of {} worked before, {} after; {mended} now work",
        mode.mode,
        count(|cell| cell.before == Some(true)),
        cells().count(),
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
pub(crate) fn unmet(kernel: &Kernel) -> Vec<String> {
    let lines = kernel.modes.iter().flat_map(|mode| {
        let unmet = mode.cells.iter().filter(|cell| !cell.met());
        unmet.map(|cell| {
            format!(
                "Linux {}, {}{}: {} → {}, {}: {}, expected {}",
                kernel.kernel,
                mode.mode,
                cell.family
                    .as_ref()
                    .map(|family| format!(" {family}"))
                    .unwrap_or_default(),
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
        let cell = |to: &str, family: Option<&str>, before, after| Cell {
            from: "vm01".to_owned(),
            to: to.to_owned(),
            probe: "ping".to_owned(),
            family: family.map(str::to_owned),
            seed: Some("003".to_owned()),
            before: Some(before),
            after: Some(after),
            expected: true,
        };
        Kernel {
            kernel: "6.12".to_owned(),
            modes: vec![Mode {
                mode: "l3".to_owned(),
                cells: vec![
                    cell("ns01", Some("v4"), false, true),
                    cell("ns02", Some("v4"), true, false),
                    cell("ns01", Some("v6"), true, true),
                    cell("host", None, true, true),
                    cell("fe80::1", Some("v6"), false, false),
                ],
            }],
        }
    }

    #[test]
    fn the_table_shows_both_halves_of_both_families_and_what_changed() {
        let expected = "
l3 on Linux 6.12
| from | to      | probe | seed | before v4 | v6 | after v4      | v6            |
|------|---------|-------|------|-----------|----|---------------|---------------|
| vm01 | ns01    | ping  | 003  | ✗         | ✓  | ✓             | ✓             |
| vm01 | ns02    | ping  | 003  | ✓         | -  | ✗  UNEXPECTED | -             |
| vm01 | host    | ping  | 003  | ✓         | ✓  | ✓             | ✓             |
| vm01 | fe80::1 | ping  | 003  | -         | ✗  | -             | ✗  UNEXPECTED |
l3 v4: 2 of 3 worked before, 2 after; 1 now work, 1 no longer do
l3 v6: 2 of 3 worked before, 2 after; 0 now work
";
        assert_eq!(render(&kernel()), expected);
    }

    #[test]
    fn unexpected_cells_are_listed() {
        let expected = [
            "Linux 6.12, l3 v4: vm01 → ns02, ping: ✗, expected ✓",
            "Linux 6.12, l3 v6: vm01 → fe80::1, ping: ✗, expected ✓",
        ];
        assert_eq!(unmet(&kernel()), expected);
    }
}
