//! What does an agent cost that has nothing to do, with a thousand children?

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;

use super::{as_float, process};
use crate::agent::Agent;

/// Longer than from one probe or announcement of an address to the next (2 s, `PROBE_MAX` and
/// `ANNOUNCE_WAIT` of the agent): who sleeps so long has sent the last of them.
const QUIET: Duration = Duration::from_secs(3);
/// Every address is probed for and announced three times within 7 s, but the agent sends at most a
/// thousand frames per second: 12 s for all addresses, longer where the machine is emulated.
const QUIET_WITHIN: Duration = Duration::from_secs(45);
const IDLE: Duration = Duration::from_secs(10);

pub(super) struct Idle {
    pub(super) resident_megabytes: f64,
    pub(super) wakes: f64,
}

pub(super) fn measure(agent: &Agent) -> Result<Idle> {
    let before = quiet(agent.pid())?;
    thread::sleep(IDLE);
    let after = process::wakes(agent.pid())?;
    Ok(Idle {
        resident_megabytes: process::resident_megabytes(agent.pid())?,
        wakes: as_float(after.saturating_sub(before))?,
    })
}

/// Waits until the agent sleeps; gives how often it woke up so far. One that does not sleep is measured
/// awake.
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
