//! Plays the rows of a suite and reports each.

use std::{fs, path::PathBuf, str::FromStr, time::Instant};

use anyhow::{Context as _, Result, ensure};

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
    /// The part of the rows that one kernel is enough for; all of them without.
    pub share: Option<Share>,
    /// Where results go.
    pub results: Results,
}

/// One of several parts of equal size, as `1/3`: the second of three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    number: usize,
    of: usize,
}

impl Share {
    /// Returns every row that needs every kernel, and of those that one is enough for the rows of this share; all rows
    /// without a share.
    pub(crate) fn select<'a, R: 'a>(
        share: Option<Self>,
        rows: impl IntoIterator<Item = &'a R>,
        is_for_any_kernel: fn(&R) -> bool,
    ) -> impl Iterator<Item = &'a R> {
        let mut index = 0;
        rows.into_iter().filter(move |row| {
            let (true, Some(share)) = (is_for_any_kernel(row), share) else {
                return true;
            };
            index += 1;
            share.has(index - 1)
        })
    }

    fn has(self, index: usize) -> bool {
        index % self.of == self.number
    }
}

impl FromStr for Share {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (number, of) = text.split_once('/').context("it is no share, as 1/3 is")?;
        let share = Self {
            number: number.parse().context("a share has a number")?,
            of: of.parse().context("a share is of a number of shares")?,
        };
        ensure!(
            share.number < share.of,
            "shares are counted from 0: there is no {text}"
        );
        Ok(share)
    }
}

impl Suite {
    /// Plays the chosen of these rows; returns whether all had the required outcome. A row that fails does not stop
    /// the others.
    pub(crate) fn play<'a>(&self, rows: impl IntoIterator<Item = &'a Row>) -> Result<bool> {
        let plan = Plan::of(&self.ipvlan, self.long);
        let mut good = true;
        let rows = Share::select(self.share, rows, |row| row.any_kernel)
            .filter(|row| is_chosen(row, &self.only));
        for row in rows {
            let begun = Instant::now();
            let verdict = row.play(&plan);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::row::{Kind, Run};

    const fn row(number: &'static str) -> Row {
        let run = Run::Own(|_| Ok(()));
        Row::new(number, Kind::Held, "input", "outcome", run)
    }

    #[test]
    fn shares_have_every_row_once_and_rows_for_every_kernel_always() {
        let rows = [
            row("a"),
            row("b").on_any_kernel(),
            row("c").on_any_kernel(),
            row("d").on_any_kernel(),
            row("e"),
        ];
        let played = |share: Option<&str>| -> String {
            let share = share.map(|share| share.parse().unwrap());
            Share::select(share, &rows, |row| row.any_kernel)
                .map(|row| row.number)
                .collect()
        };
        assert_eq!(played(None), "abcde");
        assert_eq!(played(Some("0/2")), "abde");
        assert_eq!(played(Some("1/2")), "ace");
    }

    #[test]
    fn what_is_no_share_is_refused() {
        for text in ["", "1", "1/", "/2", "2/2", "0/0", "-1/2"] {
            assert!(text.parse::<Share>().is_err(), "{text}");
        }
    }
}
