//! Results for programs: one JSON object per line.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    path::Path,
    sync::{Mutex, PoisonError},
};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::{bench::row::Row, demo::mode::Mode, family::Family, rows::row::Kind};

/// One line of the results.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Line<'a> {
    /// A cell of the connectivity table, both halves.
    Cell {
        /// The mode of the parent.
        mode: Mode,
        /// What was varied from the defaults of the agent, if anything.
        #[serde(skip_serializing_if = "Option::is_none")]
        variant: Option<&'a str>,
        /// Who asked.
        from: &'a str,
        /// Who was asked.
        to: &'a str,
        /// How.
        probe: &'a str,
        /// By addresses of which family, if it is about addresses.
        family: Option<Family>,
        /// The field note this answers.
        seed: Option<&'a str>,
        /// Did it work without an agent?
        before: bool,
        /// Does it work with one?
        after: bool,
        /// Must it?
        expected: bool,
    },
    /// What a fault did.
    Fault {
        /// What was done.
        fault: &'a str,
        /// Packets and questions meanwhile.
        sent: u64,
        /// Of these, how many should have been answered and were not.
        lost: u64,
        /// Of these, how many were answered otherwise than they should have been.
        wrong: u64,
        /// Addresses served after it that no child has.
        stale: usize,
        /// Addresses of children not served after it.
        missing: usize,
        /// Until everything was as it should be; none if nothing changed.
        healed_ms: Option<f64>,
        /// How long that may take.
        limit_ms: f64,
        /// Is all of it within its limits?
        met: bool,
        /// What else is wrong, or why; empty if nothing is.
        problem: &'a str,
    },
    /// The outcome of a row of the attacks or of the real nodes.
    Case {
        /// The row of its table.
        row: &'a str,
        /// What it is about.
        kind: Kind,
        /// The input.
        input: &'a str,
        /// The outcome with the kernel alone.
        alone: &'a str,
        /// The outcome with the agent.
        agent: &'a str,
        /// The required outcome with the agent.
        expected: &'a str,
        /// Whether that is the outcome.
        met: bool,
        /// Everything that differs from it; empty if nothing does.
        problem: &'a str,
    },
    /// A row of a benchmark.
    Row(&'a Row),
    /// Something to know about the run.
    Note {
        /// For people.
        text: &'a str,
    },
}

/// Where results go: a file, or a port of a virtual machine.
#[derive(Debug)]
pub struct Results(Mutex<File>);

impl Results {
    /// Opens `path`; a file is started anew.
    pub fn open(path: &Path) -> Result<Self> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        Ok(Self(Mutex::new(file)))
    }

    /// Writes one line at once.
    pub fn write(&self, line: &Line<'_>) -> Result<()> {
        let mut text = serde_json::to_string(line)?;
        text.push('\n');
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(text.as_bytes())
            .context("cannot write a result")
    }
}
