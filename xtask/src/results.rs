//! What the lab wrote: one JSON object per line. `tests/src/results.rs` and `tests/src/bench/row.rs` describe the fields.

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

/// One line.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(crate) enum Line {
    Cell(Found),
    Fault(Fault),
    Case(Case),
    Row(Row),
    Note { text: String },
}

/// A cell, and where it belongs.
#[derive(Debug, Deserialize)]
pub(crate) struct Found {
    pub mode: String,
    pub variant: Option<String>,
    #[serde(flatten)]
    pub cell: Cell,
}

/// Who asked whom, how, and what came of it: without the agent, unless that was not asked, and with it.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Cell {
    pub from: String,
    pub to: String,
    pub probe: String,
    pub family: Option<String>,
    pub seed: Option<String>,
    pub before: Option<bool>,
    pub after: Option<bool>,
    pub expected: bool,
}

impl Cell {
    /// Is it as it must be?
    pub(crate) fn met(&self) -> bool {
        self.after == Some(self.expected)
    }
}

/// What a fault did.
#[derive(Debug, Deserialize)]
pub(crate) struct Fault {
    #[serde(rename = "fault")]
    pub name: String,
    pub sent: u64,
    pub lost: u64,
    pub wrong: u64,
    pub stale: u64,
    pub missing: u64,
    pub healed_ms: Option<f64>,
    pub limit_ms: f64,
    pub met: bool,
    pub problem: String,
}

/// The outcome of a row of the attacks or of the real nodes.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Case {
    pub row: String,
    pub kind: String,
    pub input: String,
    pub alone: String,
    pub agent: String,
    pub expected: String,
    pub met: bool,
    pub problem: String,
}

/// A row of a benchmark.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Row {
    pub path: String,
    pub variant: String,
    pub children: u32,
    pub value: f64,
    pub unit: String,
    pub ratio: Option<f64>,
    pub goal: Option<f64>,
    pub met: Option<bool>,
}

/// The cells of one mode.
#[derive(Debug, Serialize)]
pub(crate) struct Mode {
    pub mode: String,
    pub cells: Vec<Cell>,
}

/// Everything that was found on one kernel.
#[derive(Debug, Serialize)]
pub(crate) struct Kernel {
    pub kernel: String,
    pub modes: Vec<Mode>,
}

/// Reads every line of `text`.
pub(crate) fn parse(text: &str) -> Result<Vec<Line>> {
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| {
            serde_json::from_str(line).with_context(|| format!("the lab wrote no result: {line}"))
        })
        .collect()
}

/// Sorts cells into the modes they belong to, l2 first.
pub(crate) fn by_mode(cells: Vec<Found>) -> Vec<Mode> {
    let mut modes: Vec<Mode> = Vec::new();
    for Found {
        mode,
        variant,
        mut cell,
    } in cells
    {
        if let Some(variant) = variant {
            cell.probe = format!("{} ({variant})", cell.probe);
        }
        match modes.iter_mut().find(|known| known.mode == mode) {
            Some(known) => known.cells.push(cell),
            None => modes.push(Mode {
                mode,
                cells: vec![cell],
            }),
        }
    }
    modes.sort_by(|a, b| a.mode.cmp(&b.mode));
    modes
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{"type":"cell","mode":"l3","from":"vm01","to":"ns01","probe":"ping","family":"v4","seed":"003","before":false,"after":true,"expected":true}
{"type":"note","text":"rss 7 MiB"}

{"type":"cell","mode":"l2","from":"host","to":"ns01","probe":"ping","family":"v6","variant":"xdp","seed":null,"before":false,"after":false,"expected":true}
"#;

    #[test]
    fn cells_are_sorted_by_mode() {
        let cells = parse(TEXT)
            .unwrap()
            .into_iter()
            .filter_map(|line| match line {
                Line::Cell(found) => Some(found),
                Line::Fault(_) | Line::Case(_) | Line::Row(_) | Line::Note { .. } => None,
            })
            .collect();
        let modes = by_mode(cells);
        assert_eq!(modes[0].mode, "l2");
        assert_eq!(modes[0].cells[0].probe, "ping (xdp)");
        assert_eq!(modes[0].cells[0].family.as_deref(), Some("v6"));
        assert!(!modes[0].cells[0].met());
        assert_eq!(modes[1].mode, "l3");
        assert!(modes[1].cells[0].met());
    }

    #[test]
    fn a_broken_line_is_shown() {
        let error = parse("{\"type\":\"cell\"").unwrap_err().to_string();
        assert!(error.contains("{\"type\":\"cell\""), "{error}");
    }
}
