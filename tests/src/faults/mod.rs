//! Faults, injected while traffic runs: what do they cost?
//!
//! Every row of `ROWS` injects one, and tells what was lost, what was answered otherwise than it
//! should have been, and how long it took until everything was as it should be. After each of them
//! what the agent says is compared with what the kernel says. A row that fails does not stop the others.

mod child;
mod coexist;
pub(crate) mod held;
mod load;
mod machine;
mod parent;
mod pins;
pub(crate) mod privilege;
mod process;
mod receive_buffer;
mod row;
pub(crate) mod site;
pub(crate) mod stage;
pub(crate) mod traffic;
pub(crate) mod truth;

use std::{fs, path::PathBuf, time::Duration, time::Instant};

use anyhow::{Context as _, Result, ensure};

use self::{
    row::{Needs, Outcome, Row},
    site::Site,
    stage::{Plan, Stage},
    traffic::Traffic,
};
use crate::{
    agent::Agent,
    results::{Line, Results},
    rows::suite::Share,
};

/// What to run.
#[derive(Debug)]
pub struct Faults {
    /// The agent.
    pub ipvlan: PathBuf,
    /// Another build of it, with another layout of its maps.
    pub next: PathBuf,
    /// The long form: more of everything.
    pub long: bool,
    /// Rows whose names contain one of these; all if there is none.
    pub only: Vec<String>,
    /// The part of the rows that one kernel is enough for; all of them without.
    pub share: Option<Share>,
    /// Where results go.
    pub results: Results,
}

/// What is there between two rows.
#[derive(Debug)]
struct Ground {
    site: Site,
    agent: Agent,
    options: &'static [&'static str],
    attached: Vec<String>,
}

impl Faults {
    /// Injects every fault; `true` if none did harm.
    pub fn run(&self) -> Result<bool> {
        let first = fs::read_to_string("/proc/1/comm").unwrap_or_default();
        ensure!(
            matches!(first.trim(), "init" | "lab"),
            "faults are for a virtual machine: they set its clock and have processes killed"
        );
        let rows = [
            process::ROWS,
            parent::ROWS,
            child::ROWS,
            load::ROWS,
            pins::ROWS,
            coexist::ROWS,
            privilege::ROWS,
            machine::ROWS,
        ]
        .into_iter()
        .flatten();
        let mut rows: Vec<&Row> = Share::select(self.share, rows, |row| row.any_kernel).collect();
        // An agent is started anew for other options.
        rows.sort_by_key(|row| row.options);
        let tcx = has_tcx()?;
        let _held = held::Branches::hold()?;
        let mut ground = None;
        let mut good = true;
        for row in rows {
            let wanted =
                self.only.is_empty() || self.only.iter().any(|only| row.fault.contains(only));
            if !wanted || (row.needs == Needs::Tcx && !tcx) {
                continue;
            }
            let begun = Instant::now();
            let outcome = self
                .play(row, &mut ground)
                .unwrap_or_else(|error| Outcome::failed(&error));
            good &= self.tell(row, &outcome, begun.elapsed())?;
        }
        if let Some(Ground { site, agent, .. }) = ground {
            stage::clean(&self.plan(), &site, Some(agent));
        }
        Ok(good)
    }

    /// Plays `row`; what it leaves is good enough for the next one only if nothing went wrong.
    fn play(&self, row: &Row, ground: &mut Option<Ground>) -> Result<Outcome> {
        let Ground {
            site,
            agent,
            options,
            attached,
        } = self.ready(row, ground.take())?;
        let traffic = match Traffic::start(&site, row.heals_within) {
            Ok(traffic) => traffic,
            Err(error) => {
                show(&agent);
                stage::clean(&self.plan(), &site, Some(agent));
                return Err(error);
            }
        };
        let mut stage = Stage {
            plan: self.plan(),
            site,
            agent: Some(agent),
            options,
            traffic,
            problems: Vec::new(),
            refused: Vec::new(),
        };
        let mut outcome = Outcome::default();
        let done = (row.run)(&mut stage)
            .and_then(|()| stage.settle())
            .and_then(|()| check(&mut stage, &attached, &mut outcome));
        let Stage {
            site,
            agent,
            traffic,
            mut problems,
            ..
        } = stage;
        problems.extend(done.err().map(|error| format!("{error:#}")));
        match traffic.end() {
            Ok(judged) => outcome.judge(judged),
            Err(error) => problems.push(format!("{error:#}")),
        }
        outcome.problems.extend(problems);
        match agent {
            Some(agent) if outcome.problems.is_empty() => {
                *ground = Some(Ground {
                    site,
                    agent,
                    options,
                    attached,
                });
            }
            agent => {
                if let Some(agent) = &agent {
                    show(agent);
                }
                stage::clean(&self.plan(), &site, agent);
            }
        }
        Ok(outcome)
    }

    /// The topology, with an agent with the options that `row` wants.
    fn ready(&self, row: &Row, ground: Option<Ground>) -> Result<Ground> {
        let site = match ground {
            Some(ground) if ground.options == row.options => return Ok(ground),
            Some(ground) => {
                stage::clean(&self.plan(), &ground.site, Some(ground.agent));
                ground.site
            }
            None => Site::build()?,
        };
        let begun = Instant::now();
        let agent = stage::start(&self.ipvlan, &site, row.options)?;
        println!("a start took {} ms", begun.elapsed().as_millis());
        Ok(Ground {
            attached: truth::attached(&site)?,
            site,
            agent,
            options: row.options,
        })
    }

    fn plan(&self) -> Plan {
        Plan {
            ipvlan: self.ipvlan.clone(),
            next: self.next.clone(),
            long: self.long,
        }
    }

    fn tell(&self, row: &Row, outcome: &Outcome, took: Duration) -> Result<bool> {
        let met = outcome.is_met(row.heals_within);
        let verdict = if met { "met" } else { "FAILED" };
        let (fault, limit) = (row.fault, row.heals_within.as_millis());
        println!(
            "{fault} -> {outcome} (at most {limit} ms: {verdict}; {:.1} s){}",
            took.as_secs_f32(),
            outcome
                .problems
                .iter()
                .fold(String::new(), |text, problem| text + "; " + problem)
        );
        self.results.write(&Line::Fault {
            fault,
            sent: outcome.sent,
            lost: outcome.lost,
            wrong: outcome.wrong,
            stale: outcome.stale,
            missing: outcome.missing,
            healed_ms: outcome.healed_ms(),
            limit_ms: row.heals_within.as_secs_f64() * 1000.0,
            met,
            problem: &outcome.problems.join("; "),
        })?;
        Ok(met)
    }
}

/// Shows what an agent said and counted, for people who look for what went wrong.
fn show(agent: &Agent) {
    eprintln!("the agent said:\n{}", agent.said());
    match agent.status() {
        Ok(status) => eprintln!("and counted: {}", status["parents"][0]["counters"]),
        Err(error) => eprintln!("and tells no status: {error:#}"),
    }
}

/// Compares agent and kernel, and what is attached with what was.
fn check(stage: &mut Stage, attached: &[String], outcome: &mut Outcome) -> Result<()> {
    let found = stage.difference()?;
    outcome.stale = found.stale.len();
    outcome.missing = found.missing.len();
    if !found.is_none() {
        outcome
            .problems
            .push(format!("agent and kernel differ: {found:?}"));
    }
    let now = truth::attached(&stage.site)?;
    if now != attached {
        outcome
            .problems
            .push(format!("attached is {now:?}, and was {attached:?}"));
    }
    Ok(())
}

/// Has this kernel TCX (Linux 6.6)?
fn has_tcx() -> Result<bool> {
    is_at_least(6, 6)
}

/// Returns whether the running kernel is Linux `major`.`minor` or newer.
pub(crate) fn is_at_least(major: u32, minor: u32) -> Result<bool> {
    let release =
        fs::read_to_string("/proc/sys/kernel/osrelease").context("which kernel is this?")?;
    let mut numbers = release
        .split('.')
        .map(|number| number.parse::<u32>().unwrap_or(0));
    let version = (numbers.next(), numbers.next());
    Ok(version >= (Some(major), Some(minor)))
}
