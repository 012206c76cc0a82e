//! Attacks on a node whose children the agent serves, on real ipvlan devices.
//!
//! Every row plays one attack of a container, a local user, a LAN station or a compromised service user:
//! without an agent, where that can be measured, and with one. A row that fails does not stop the others.

mod claims;
mod files;
mod frames;
mod hostile;
mod isolation;
mod loops;
mod names;
mod newcomer;
mod off_link;
mod quotas;
pub mod row;
mod scene;
mod vlan;
mod wire;

use std::{fs, path::PathBuf, time::Instant};

use anyhow::{Result, ensure};

use self::row::{Row, Verdict};
use crate::{
    faults::{held, stage::Plan},
    results::{Line, Results},
};

/// What to run.
#[derive(Debug)]
pub struct Attacks {
    /// The agent.
    pub ipvlan: PathBuf,
    /// The long form: more of everything.
    pub long: bool,
    /// Rows whose number or attack contains one of these; all if there is none.
    pub only: Vec<String>,
    /// Where results go.
    pub results: Results,
}

impl Attacks {
    /// Plays every row; returns whether all had the required outcome.
    pub fn run(&self) -> Result<bool> {
        let first = fs::read_to_string("/proc/1/comm").unwrap_or_default();
        ensure!(
            matches!(first.trim(), "init" | "lab"),
            "attacks are for a virtual machine: they fill directories and processors of their machine"
        );
        let _held = held::Branches::hold()?;
        let plan = Plan {
            ipvlan: self.ipvlan.clone(),
            next: self.ipvlan.clone(),
            long: self.long,
        };
        let rows = [
            names::ROWS,
            off_link::ROWS,
            isolation::ROWS,
            claims::ROWS,
            quotas::ROWS,
            files::ROWS,
            loops::ROWS,
            vlan::ROWS,
            hostile::ROWS,
        ];
        let rows = rows.into_iter().flatten();
        let mut good = true;
        for row in rows.filter(|row| self.plays(row)) {
            let begun = Instant::now();
            let verdict = (row.run)(&plan).unwrap_or_else(|error| Verdict::failed(&error));
            good &= self.report(row, &verdict, begun)?;
        }
        Ok(good)
    }

    fn plays(&self, row: &Row) -> bool {
        let chosen =
            |only: &String| row.number == only.as_str() || row.attack.contains(only.as_str());
        let any = self.only.iter().any(chosen);
        any || self.only.is_empty()
    }

    fn report(&self, row: &Row, verdict: &Verdict, begun: Instant) -> Result<bool> {
        let met = verdict.is_met();
        let Row {
            number,
            attacker,
            attack,
            expected,
            ..
        } = *row;
        let Verdict {
            alone,
            agent,
            problems,
        } = verdict;
        println!(
            "{number} {attacker}: {attack} -> kernel alone: {alone}; with the agent: {agent} ({}; {:.1} s){}",
            if met { "met" } else { "FAILED" },
            begun.elapsed().as_secs_f32(),
            problems
                .iter()
                .fold(String::new(), |text, problem| text + "; " + problem)
        );
        self.results.write(&Line::Attack {
            row: number,
            attacker,
            attack,
            alone,
            agent,
            expected,
            met,
            problem: &problems.join("; "),
        })?;
        Ok(met)
    }
}
