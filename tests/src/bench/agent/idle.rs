//! What an agent needs that has nothing to do, with a thousand children.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;

use super::{super::Bench, CHILDREN, MEGABYTES, as_float, process};
use crate::agent::Agent;

/// Longer than from one probe or announcement of an address to the next (2 s, `PROBE_MAX` and `ANNOUNCE_WAIT` of the
/// agent): an agent that sleeps this long has sent the last of them.
const QUIET: Duration = Duration::from_secs(3);
/// Every address is probed for and announced three times within 7 s, but the agent sends at most a
/// thousand frames per second: 12 s for all addresses, longer where the machine is emulated.
const QUIET_WITHIN: Duration = Duration::from_secs(45);
const IDLE: Duration = Duration::from_secs(10);

pub(super) fn measure(bench: &Bench, agent: &Agent) -> Result<()> {
    let before = quiet(agent.pid())?;
    thread::sleep(IDLE);
    let wakes = as_float(process::wakes(agent.pid())?.saturating_sub(before))?;
    let resident = process::resident_megabytes(agent.pid())?;
    let path = "resident memory of the agent with 1000 children";
    bench.report_limited(path, CHILDREN, resident, MEGABYTES, 20.0)?;
    bench.report_limited(
        "wake-ups of the idle agent in 10 s",
        CHILDREN,
        wakes,
        "",
        2.0,
    )
}

/// Waits until the agent sleeps; returns how often it woke up so far. One that does not sleep is measured awake.
fn quiet(agent: u32) -> Result<u64> {
    let deadline = Instant::now() + QUIET_WITHIN;
    let mut wakes = process::wakes(agent)?;
    loop {
        thread::sleep(QUIET);
        let now = process::wakes(agent)?;
        if now == wakes || Instant::now() >= deadline {
            return Ok(now);
        }
        wakes = now;
    }
}
