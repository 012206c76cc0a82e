//! Faults, injected while traffic runs: what do they cost?
//!
//! Every row of `ROWS` injects one, and reports what was lost, what was answered otherwise than it
//! should have been, and how long it took until everything was as it should be. After each of them
//! what the agent reports is compared with what the kernel has. A row that fails does not stop the others.

mod child;
mod coexist;
mod load;
mod machine;
mod parent;
mod pins;
pub(crate) mod privilege;
mod process;
mod row;
mod stage;
pub(crate) mod traffic;

use std::{fs, time::Instant};

use anyhow::{Context as _, Result};

use self::{
    row::{Outcome, Row},
    stage::Stage,
    traffic::Traffic,
};
use crate::{
    demo::mode::Mode,
    results::{Line, Results},
    rows::{
        held,
        row::Play,
        scene::Scene,
        suite::{Plan, Suite, appended, only_in_a_machine, word},
        truth,
    },
};

/// What is there between two rows: the topology with an agent that has the options of the last one.
#[derive(Debug)]
struct Ground {
    scene: Scene,
    options: &'static [&'static str],
    attached: Vec<String>,
}

/// Injects every fault; returns whether none did harm.
///
/// # Errors
///
/// If this machine is not one of the lab's own, or an outcome cannot be written.
pub fn run(suite: &Suite) -> Result<bool> {
    only_in_a_machine("faults")?;
    let rows = [
        process::ROWS,
        parent::ROWS,
        child::ROWS,
        load::ROWS,
        pins::ROWS,
        coexist::ROWS,
        privilege::ROWS,
        machine::ROWS,
    ];
    let is_named = |row: &Row, only: &str| row.fault.contains(only);
    let rows = suite.chosen(rows.into_iter().flatten(), |row| row.kernels, is_named);
    // TCX is there since Linux 6.6.
    let has_tcx = is_at_least(6, 6)?;
    let mut rows: Vec<_> = rows.filter(|row| has_tcx || !row.needs_tcx).collect();
    // An agent is started anew for other options.
    rows.sort_by_key(|row| row.options);
    let _held = held::Branches::hold()?;
    let mut ground = None;
    let mut good = true;
    for row in rows {
        let begun = Instant::now();
        let mut outcome = Outcome::default();
        if let Err(error) = play(row, &suite.plan, &mut ground, &mut outcome) {
            outcome.problems.push(format!("{error:#}"));
        }
        good &= report(row, &outcome, begun, &suite.results)?;
    }
    Ok(good)
}

/// Plays `row`; what it leaves is good enough for the next one only if nothing went wrong.
fn play(row: &Row, plan: &Plan, ground: &mut Option<Ground>, outcome: &mut Outcome) -> Result<()> {
    let Ground {
        scene, attached, ..
    } = ready(row, plan, ground.take())?;
    let traffic = Traffic::start(&scene.site, row.heals_within).inspect_err(|_| show(&scene))?;
    scene.case("");
    let mut stage = Stage { scene, traffic };
    let done = (row.run)(&mut stage)
        .and_then(|()| stage.settle())
        .and_then(|()| check(&stage, &attached, outcome));
    let Stage { scene, traffic } = stage;
    if let Err(error) = done.and_then(|()| scene.agent().map(drop)) {
        scene.play.problem(format!("{error:#}"));
    }
    match traffic.end() {
        Ok(judged) => outcome.traffic = judged,
        Err(error) => scene.play.problem(format!("{error:#}")),
    }
    outcome.problems.extend(outcome.traffic.problems.clone());
    outcome.problems.extend(scene.play.end().problems);
    if outcome.problems.is_empty() {
        *ground = Some(Ground {
            scene,
            options: row.options,
            attached,
        });
    } else {
        show(&scene);
    }
    Ok(())
}

/// Returns the topology, with an agent with the options of `row`.
fn ready(row: &Row, plan: &Plan, ground: Option<Ground>) -> Result<Ground> {
    let mut scene = match ground {
        Some(ground) if ground.options == row.options => return Ok(ground),
        Some(mut ground) => {
            ground.scene.remove_agent();
            ground.scene
        }
        None => Play::of(plan).scene(Mode::L3)?,
    };
    scene.started = &["ready"];
    let begun = Instant::now();
    scene.start(row.options)?;
    println!("a start took {} ms", begun.elapsed().as_millis());
    Ok(Ground {
        attached: truth::attached(&scene)?,
        options: row.options,
        scene,
    })
}

/// Shows what an agent logged and counted, for people who look for what went wrong.
fn show(scene: &Scene) {
    let Ok(agent) = scene.agent() else { return };
    eprintln!("the agent logged:\n{}", agent.said());
    match agent.status() {
        Ok(status) => eprintln!("and counted: {}", status["parents"][0]["counters"]),
        Err(error) => eprintln!("and returns no status: {error:#}"),
    }
}

/// Compares agent and kernel, and what is attached with what was.
fn check(stage: &Stage, attached: &[String], outcome: &mut Outcome) -> Result<()> {
    let found = stage.difference()?;
    outcome.stale = found.stale.len();
    outcome.missing = found.missing.len();
    stage.expect(found.is_none(), || {
        format!("agent and kernel differ: {found:?}")
    });
    stage.expect_eq("attached", &truth::attached(stage)?[..], attached);
    Ok(())
}

fn report(row: &Row, outcome: &Outcome, begun: Instant, results: &Results) -> Result<bool> {
    let met = outcome.is_met(row.heals_within);
    let (fault, limit) = (row.fault, row.heals_within);
    println!(
        "{fault} -> {outcome} (at most {} ms: {}; {:.1} s){}",
        limit.as_millis(),
        word(met),
        begun.elapsed().as_secs_f32(),
        appended(&outcome.problems)
    );
    let tally = &outcome.traffic.tally;
    results.write(&Line::Fault {
        fault,
        sent: tally.sent,
        lost: tally.lost,
        wrong: tally.wrong,
        stale: outcome.stale,
        missing: outcome.missing,
        healed_ms: outcome.healed_ms(),
        limit_ms: limit.as_secs_f64() * 1000.0,
        met,
        problem: &outcome.problems.join("; "),
    })?;
    Ok(met)
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
