//! Plays the rows of a suite and reports each.

use std::{fs, path::PathBuf, time::Instant};

use anyhow::{Result, ensure};

use super::row::{Row, Verdict};
use crate::{
    faults::stage::Plan,
    results::{Line, Results},
};

/// Fails on a machine that is not one of the lab's own.
pub(crate) fn only_in_a_machine(what: &str) -> Result<()> {
    let first = fs::read_to_string("/proc/1/comm").unwrap_or_default();
    ensure!(
        matches!(first.trim(), "init" | "lab"),
        "{what} are for a virtual machine: they fill directories and processors of their machine"
    );
    Ok(())
}

/// What to play, and where the outcomes go.
#[derive(Debug)]
pub struct Suite {
    /// The agent.
    pub ipvlan: PathBuf,
    /// The long form: more of everything.
    pub long: bool,
    /// Rows whose number is one of these, or whose input contains one of them; all if there is none.
    pub only: Vec<String>,
    /// Where results go.
    pub results: Results,
}

impl Suite {
    /// Plays the chosen of these rows; returns whether all had the required outcome. A row that fails does not stop
    /// the others.
    pub(crate) fn play<'a>(&self, rows: impl IntoIterator<Item = &'a Row>) -> Result<bool> {
        let plan = Plan::of(&self.ipvlan, self.long);
        let mut good = true;
        for row in rows.into_iter().filter(|row| is_chosen(row, &self.only)) {
            let begun = Instant::now();
            let verdict = (row.run)(&plan).unwrap_or_else(|error| Verdict::failed(&error));
            good &= report(row, &verdict, begun, &self.results)?;
        }
        Ok(good)
    }
}

fn is_chosen(row: &Row, only: &[String]) -> bool {
    let chosen = |only: &String| row.number == only.as_str() || row.input.contains(only.as_str());
    only.is_empty() || only.iter().any(chosen)
}

fn report(row: &Row, verdict: &Verdict, begun: Instant, results: &Results) -> Result<bool> {
    let met = verdict.is_met();
    let Row {
        number,
        kind,
        input,
        expected,
        ..
    } = *row;
    let Verdict {
        alone,
        agent,
        problems,
    } = verdict;
    println!(
        "{number} {kind}: {input} -> kernel alone: {alone}; with the agent: {agent} ({}; {:.1} s){}",
        if met { "met" } else { "FAILED" },
        begun.elapsed().as_secs_f32(),
        problems
            .iter()
            .fold(String::new(), |text, problem| text + "; " + problem)
    );
    results.write(&Line::Case {
        row: number,
        kind,
        input,
        alone,
        agent,
        expected,
        met,
        problem: &problems.join("; "),
    })?;
    Ok(met)
}
