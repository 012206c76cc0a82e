//! The agent dies, is stopped, is replaced by another build, stands still.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;

use super::{
    row::Row,
    site::{CHILD, Pair, Site},
    stage::{self, Stage},
    traffic::Expect,
};
use crate::probe::stream::Stream;

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

/// How many packets have to be sent meanwhile.
fn packets(stage: &Stage) -> usize {
    stage.plan.either(5_000, 100_000)
}

/// Waits until enough was sent since `before`.
fn enough(stage: &Stage, before: usize) -> Result<()> {
    let packets = packets(stage);
    stage.traffic.wait_sent(before + packets)
}

fn kill(stage: &mut Stage) -> Result<()> {
    let before = stage.traffic.sent();
    let mut random = Random::new();
    // Expected again, and to the letter, when all is over.
    stage.traffic.expect(&both(Expect::Either));
    for round in 0..stage.plan.either(5, 50) {
        let wait = Duration::from_millis(random.below(ANY_TIME));
        let until = Instant::now() + wait;
        churn(&stage.site, until)?;
        stage.kill().with_context(|| format!("round {round}"))?;
        // What happens meanwhile has to be seen by the next one.
        if round % 2 == 0 {
            stage.site.third.ip(&CHURNING.added(CHILD))?;
        }
        stage.start().with_context(|| format!("round {round}"))?;
        let found = stage.difference()?;
        stage.expect(found.is_none(), || format!("round {round}: {found:?}"));
        if round % 5 == 4 {
            println!("{} kills", round + 1);
        }
        if round % 2 == 0 {
            stage.site.third.ip(&CHURNING.deleted(CHILD))?;
        }
    }
    stage.traffic.expect(&both(Expect::Silent));
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

fn both(expect: Expect) -> [(std::net::IpAddr, Expect); 2] {
    CHURNING.both().map(|address| (address, expect))
}

fn stop(stage: &mut Stage) -> Result<()> {
    let before = stage.traffic.sent();
    for _ in 0..stage.plan.either(2, 10) {
        stage.stop()?;
        thread::sleep(Duration::from_millis(200));
        stage.start()?;
    }
    enough(stage, before)
}

fn upgrade(stage: &mut Stage) -> Result<()> {
    let before = stage.traffic.sent();
    let (this, next) = (stage.plan.ipvlan.clone(), stage.plan.next.clone());
    for round in 0..stage.plan.either(2, 10) {
        // Stopped or dead, the next one has to cope.
        let leave = if round % 2 == 0 {
            Stage::stop
        } else {
            Stage::kill
        };
        replace(stage, leave, &next)?;
        replace(stage, leave, &this)?;
    }
    enough(stage, before)
}

fn replace(stage: &mut Stage, leave: fn(&mut Stage) -> Result<()>, by: &Path) -> Result<()> {
    leave(stage)?;
    stage
        .start_build(by)
        .with_context(|| format!("{}", by.display()))?;
    let found = stage.difference()?;
    stage.expect(found.is_none(), || {
        format!("after the start of {}: {found:?}", by.display())
    });
    Ok(())
}

fn stand_still(stage: &mut Stage) -> Result<()> {
    let stopped = Instant::now();
    stage.agent()?.signal(Signal::SIGSTOP)?;
    stage.traffic.expect(&both(Expect::Either));
    // Behind its back.
    churn(&stage.site, stopped + Duration::from_secs(5))?;
    stage.site.third.ip(&CHURNING.added(CHILD))?;
    stage.wake(&both(Expect::Answered))?;
    stage.settle()?;
    stage.change(&both(Expect::Silent), |site| {
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
    stage.expect(still, || "it was deaf before its time".to_owned());
    let deaf = stage::wait_for("deaf", || Ok(stage.traffic.deaf()));
    let took = begun.elapsed();
    stage.expect(deaf.is_ok(), || "it goes on answering".to_owned());
    stage.expect(took < STALE_AFTER * 2, || {
        format!("deaf only after {took:?}")
    });
    let program = stage.plan.ipvlan.clone();
    stage.agent = Some(stage::start(&program, &stage.site, stage.options)?);
    stage.traffic.recovered(begun);
    stage.wait_parent("counting stale", |parent| {
        parent["counters"]["ingress"]["stale"].as_u64() > Some(0)
    })?;
    Ok(())
}

/// Numbers that nobody chose.
struct Random(Stream);

impl Random {
    fn new() -> Self {
        let seed = std::time::SystemTime::UNIX_EPOCH.elapsed();
        let seed = seed.map_or(1, |since| since.subsec_nanos());
        println!("seed {seed}");
        Self(Stream::new(u64::from(seed)))
    }

    fn below(&mut self, limit: u64) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_le_bytes(bytes) % limit
    }
}
