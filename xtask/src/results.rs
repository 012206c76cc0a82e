//! What the lab wrote: one JSON object per line.

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

/// One line.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(crate) enum Line {
    /// A cell of the connectivity table.
    Cell(Found),
    /// What a fault did.
    Fault(Fault),
    /// The outcome of a row of the attacks or of the real nodes.
    Case(Case),
    /// A row of a benchmark.
    Row(Row),
    /// Something for people to know.
    Note {
        /// What.
        text: String,
    },
}

/// A cell, and where it belongs.
#[derive(Debug, Deserialize)]
pub(crate) struct Found {
    /// The mode of the parent.
    pub mode: String,
    /// What differs from the agent's defaults, if anything.
    pub variant: Option<String>,
    /// The cell itself.
    #[serde(flatten)]
    pub cell: Cell,
}

/// Who asked whom, how, and what came of it.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Cell {
    /// Who asked.
    pub from: String,
    /// Who was asked.
    pub to: String,
    /// How.
    pub probe: String,
    /// By addresses of which family, `v4` or `v6`; nothing if it is not about addresses.
    pub family: Option<String>,
    /// The field note this answers.
    pub seed: Option<String>,
    /// Did it work without the agent? Unknown where that was not asked.
    pub before: Option<bool>,
    /// Does it work with the agent?
    pub after: Option<bool>,
    /// Must it?
    pub expected: bool,
}

impl Cell {
    /// Is it as it must be?
    #[must_use]
    pub(crate) fn met(&self) -> bool {
        self.after == Some(self.expected)
    }
}

/// What a fault did.
#[derive(Debug, Deserialize)]
pub(crate) struct Fault {
    /// What was done.
    #[serde(rename = "fault")]
    pub name: String,
    /// Packets and questions meanwhile.
    pub sent: u64,
    /// Of these, how many should have been answered and were not.
    pub lost: u64,
    /// Of these, how many were answered otherwise than they should have been.
    pub wrong: u64,
    /// Addresses served after it that no child has.
    pub stale: u64,
    /// Addresses of children not served after it.
    pub missing: u64,
    /// Until everything was as it should be; none if nothing changed.
    pub healed_ms: Option<f64>,
    /// How long that may take.
    pub limit_ms: f64,
    /// Is all of it within its limits?
    pub met: bool,
    /// What else is wrong, or why; empty if nothing is.
    pub problem: String,
}

/// The outcome of a row of the attacks or of the real nodes.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Case {
    /// The row of its table.
    pub row: String,
    /// What it is about.
    pub kind: String,
    /// The input.
    pub input: String,
    /// The outcome with the kernel alone.
    pub alone: String,
    /// The outcome with the agent.
    pub agent: String,
    /// The required outcome with the agent.
    pub expected: String,
    /// Whether that is the outcome.
    pub met: bool,
    /// Everything that differs from it; empty if nothing does.
    pub problem: String,
}

/// A row of a benchmark.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Row {
    /// Which way a frame took, or what was waited for.
    pub path: String,
    /// Who carried it there.
    pub variant: String,
    /// With how many children, or addresses of children.
    pub children: u32,
    /// How much.
    pub value: f64,
    /// Of what.
    pub unit: String,
    /// The value as a part of that of the row it is compared with.
    pub ratio: Option<f64>,
    /// The most that the ratio may be; the value, if there is no ratio.
    pub goal: Option<f64>,
    /// Is it within the goal?
    pub met: Option<bool>,
}

/// The cells of one mode.
#[derive(Debug, Serialize)]
pub(crate) struct Mode {
    /// Its name.
    pub mode: String,
    /// The cells, in the order they were written.
    pub cells: Vec<Cell>,
}

/// Everything that was found on one kernel.
#[derive(Debug, Serialize)]
pub(crate) struct Kernel {
    /// Its release.
    pub kernel: String,
    /// The modes, in the order they were first written.
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
#[must_use]
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
