//! The agent dies, is stopped, is replaced by another build, stands still.

use std::time::SystemTime;

use nix::sys::signal::Signal;

use super::{
    row::Row,
    stage::Stage,
    traffic::{Expect, expected},
};
use crate::{probe::stream::Stream, rows::prelude::*};

pub(super) const ROWS: &[Row] = &[
    Row::new("SIGKILL at random points under churn, restart", kill),
    Row::new("SIGKILL under churn, restart (clsact)", kill).by_clsact(),
    Row::new("stop, restart", stop),
    Row::new("stop, restart (clsact)", stop).by_clsact(),
    Row::new("upgrade, downgrade", upgrade),
    Row::new("upgrade, downgrade (clsact)", upgrade).by_clsact(),
    Row::new("SIGSTOP 5 s under churn", stand_still),
    Row::new("stale-after elapses", stale).with(&["--stale-after", "2"]),
];

/// The address that comes and goes.
const CHURNING: Pair = Pair::new(150);
/// At most so long after its start, or between two events, an agent is killed.
const ANY_TIME: u64 = 400;
const CHURN_PAUSE: Duration = Duration::from_millis(20);
const STALE_AFTER: Duration = Duration::from_secs(2);

/// Waits until enough was sent since `before`.
fn enough(stage: &Stage, before: usize) -> Result<()> {
    let packets = stage.play.plan.either(5_000, 100_000);
    stage.traffic.wait_sent(before + packets)
}

fn kill(stage: &mut Stage) -> Result<()> {
    let before = stage.traffic.sent();
    let seed = SystemTime::UNIX_EPOCH.elapsed()?.subsec_nanos();
    println!("seed {seed}");
    let mut random = Stream::new(seed.into());
    // Expected again, and to the letter, when all is over.
    stage.traffic.expect(&expected(CHURNING, Expect::Either));
    for round in 0..stage.play.plan.either(5, 50) {
        let wait = Duration::from_millis(random.below(ANY_TIME));
        churn(stage, Instant::now() + wait)?;
        stage.kill().with_context(|| format!("round {round}"))?;
        // What happens meanwhile has to be seen by the next one.
        if round % 2 == 0 {
            stage.third.ip(&CHURNING.added(CHILD))?;
        }
        let started = stage.start_again();
        started.with_context(|| format!("round {round}"))?;
        stage.expect_agreement(&format!("round {round}"))?;
        if round % 5 == 4 {
            println!("{} kills", round + 1);
        }
        if round % 2 == 0 {
            stage.third.ip(&CHURNING.deleted(CHILD))?;
        }
    }
    stage.traffic.expect(&expected(CHURNING, Expect::Silent));
    enough(stage, before)
}

/// Adds and deletes an address until then, with pauses: starting `ip` all the time is what an emulator would be busy with.
fn churn(site: &Site, until: Instant) -> Result<()> {
    while Instant::now() < until {
        site.third.ip(&CHURNING.added(CHILD))?;
        site.third.ip(&CHURNING.deleted(CHILD))?;
        thread::sleep(CHURN_PAUSE);
    }
    Ok(())
}

fn stop(stage: &mut Stage) -> Result<()> {
    let before = stage.traffic.sent();
    for _ in 0..stage.play.plan.either(2, 10) {
        stage.stop()?;
        thread::sleep(Duration::from_millis(200));
        stage.start_again()?;
    }
    enough(stage, before)
}

fn upgrade(stage: &mut Stage) -> Result<()> {
    let before = stage.traffic.sent();
    let plan = stage.play.plan.clone();
    for round in 0..stage.play.plan.either(2, 10) {
        for build in [&plan.next, &plan.ipvlan] {
            // Stopped or dead, the next one has to cope.
            if round % 2 == 0 {
                stage.stop()?;
            } else {
                stage.kill()?;
            }
            let case = format!("after the start of {}", build.display());
            stage.start_build(build).context(case.clone())?;
            stage.expect_agreement(&case)?;
        }
    }
    enough(stage, before)
}

fn stand_still(stage: &mut Stage) -> Result<()> {
    let stopped = Instant::now();
    stage.agent()?.signal(Signal::SIGSTOP)?;
    stage.traffic.expect(&expected(CHURNING, Expect::Either));
    // Behind its back.
    churn(stage, stopped + Duration::from_secs(5))?;
    stage.third.ip(&CHURNING.added(CHILD))?;
    stage.wake(&expected(CHURNING, Expect::Answered))?;
    stage.settle()?;
    stage.change(&expected(CHURNING, Expect::Silent), |site| {
        site.third.ip(&CHURNING.deleted(CHILD))
    })
}

/// Without a living agent nobody knows whether what is in the maps is still true.
fn stale(stage: &mut Stage) -> Result<()> {
    let begun = Instant::now();
    // Deaf from some moment on, and not before its time.
    stage.kill()?;
    thread::sleep(STALE_AFTER / 2);
    let still = stage.traffic.answering();
    stage.expect_eq("it answers before its time is over", still, true);
    wait_for("deaf", || Ok(stage.traffic.deaf()))?;
    stage.expect_most("deaf only after", begun.elapsed(), STALE_AFTER * 2);
    // The time of the start is not one of healing.
    stage.scene.start_again()?;
    stage.traffic.recovered(begun);
    stage.wait_parent("counting stale", |parent| {
        parent.counter("ingress", "stale") > 0
    })
}
