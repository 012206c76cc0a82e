//! Plays the rows of a suite and reports each.

use std::{
    fs,
    path::{Path, PathBuf},
    str::FromStr,
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};

use super::row::{Row, Verdict};
use crate::results::{Line, Results};

/// Fails on a machine that is not one of the lab's own.
pub(crate) fn only_in_a_machine(what: &str) -> Result<()> {
    let first = fs::read_to_string("/proc/1/comm").unwrap_or_default();
    ensure!(
        matches!(first.trim(), "init" | "lab"),
        "{what} are for a virtual machine: they fill directories and processors of their machine"
    );
    Ok(())
}

/// What does not change while a suite runs.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The agent.
    pub ipvlan: PathBuf,
    /// Another build of it, with another layout of its maps.
    pub next: PathBuf,
    /// The long form: more of everything.
    pub long: bool,
}

impl Plan {
    /// Returns the plan of a suite without another build.
    #[must_use]
    pub fn of(ipvlan: &Path, long: bool) -> Self {
        Self {
            ipvlan: ipvlan.to_owned(),
            next: ipvlan.to_owned(),
            long,
        }
    }

    /// Returns what is chosen in the short and in the long form.
    pub(crate) fn either<T>(&self, short: T, long: T) -> T {
        if self.long { long } else { short }
    }
}

/// The kernels that a row is for, in a run that is divided among kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kernels {
    /// One is enough: the outcome depends on what the agent does, not on the programs or on what a kernel offers to them.
    Any,
    /// The oldest, without TCX and the netns of sockets, and the newest, which has both, are enough.
    Ends,
    /// The outcome on one that has TCX alone is another.
    Every,
}

/// What to play, and where the outcomes go.
#[derive(Debug)]
pub struct Suite {
    /// What is played with.
    pub plan: Plan,
    /// Rows whose number is one of these, or whose input contains one of them; all if there is none.
    pub only: Vec<String>,
    /// The part of the rows that one kernel is enough for; all of them without.
    pub share: Option<Share>,
    /// Whether to leave out the rows that the oldest and the newest kernel are enough for.
    pub between: bool,
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
    /// Returns the chosen of these rows: of those that one kernel is enough for the rows of the share, and of the others
    /// those that this kernel is for; of these, those that are named.
    pub(crate) fn chosen<'a, R: 'a>(
        &self,
        rows: impl IntoIterator<Item = &'a R>,
        kernels: fn(&R) -> Kernels,
        is_named: fn(&R, &str) -> bool,
    ) -> impl Iterator<Item = &'a R> {
        let mut index = 0;
        rows.into_iter().filter(move |row| {
            let is_for_this = match (kernels(row), self.share) {
                (Kernels::Any, Some(share)) => {
                    index += 1;
                    share.has(index - 1)
                }
                (Kernels::Ends, _) => !self.between,
                (Kernels::Any, None) | (Kernels::Every, _) => true,
            };
            is_for_this
                && (self.only.is_empty() || self.only.iter().any(|only| is_named(row, only)))
        })
    }

    /// Plays the chosen of these rows; returns whether all had the required outcome. A row that fails does not stop
    /// the others.
    pub(crate) fn play<'a>(&self, rows: impl IntoIterator<Item = &'a Row>) -> Result<bool> {
        let is_named = |row: &Row, only: &str| row.number == only || row.input.contains(only);
        let mut good = true;
        for row in self.chosen(rows, |row| row.kernels, is_named) {
            let begun = Instant::now();
            let verdict = row.play(&self.plan);
            good &= report(row, &verdict, begun, &self.results)?;
        }
        Ok(good)
    }
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
        word(met),
        begun.elapsed().as_secs_f32(),
        appended(problems)
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

/// Returns the word for whether a row has the required outcome.
pub(crate) fn word(met: bool) -> &'static str {
    if met { "met" } else { "FAILED" }
}

/// Returns what is appended to a line about these problems.
pub(crate) fn appended(problems: &[String]) -> String {
    let appended = problems.iter().map(|problem| format!("; {problem}"));
    appended.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_have_every_row_once_and_rows_for_every_kernel_always() {
        const ROWS: [(&str, Kernels); 5] = [
            ("a", Kernels::Ends),
            ("b", Kernels::Any),
            ("c", Kernels::Any),
            ("d", Kernels::Any),
            ("e", Kernels::Every),
        ];
        for (share, between, only, played) in [
            (None, false, "", "abcde"),
            (Some("0/2"), false, "", "abde"),
            (Some("1/2"), true, "", "ce"),
            (None, false, "c", "c"),
            (Some("0/2"), false, "c", ""),
        ] {
            let suite = Suite {
                plan: Plan::of(Path::new(""), false),
                only: vec![only.to_owned()],
                share: share.map(|share| share.parse().unwrap()),
                between,
                results: Results::open(Path::new("/dev/null")).unwrap(),
            };
            let rows = suite.chosen(&ROWS, |row| row.1, |row, only| row.0.contains(only));
            let rows: String = rows.map(|row| row.0).collect();
            assert_eq!(rows, played, "share {share:?}, only {only:?}");
        }
    }

    #[test]
    fn what_is_no_share_is_refused() {
        for text in ["", "1", "1/", "/2", "2/2", "0/0", "-1/2"] {
            assert!(text.parse::<Share>().is_err(), "{text}");
        }
    }
}
