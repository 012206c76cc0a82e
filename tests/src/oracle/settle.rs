//! Waiting until it is known what the frames so far have changed: optimistic addresses that were probed
//! for are given up, and neither the kernel nor the agent does that before it goes on to the next
//! frame.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use super::{ndp::PROBED, setting::Setting, world::Side};
use crate::agent::Agent;

/// The reason that the agent's status has for an address that was given up.
const GIVEN_UP: &str = "dad_failed";
const PATIENCE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);

/// Waits until the child's kernel has given up what was probed for.
pub(super) fn by_kernel(side: &Side, setting: &Setting) -> Result<()> {
    let lost = lost(setting);
    let deadline = Instant::now() + PATIENCE;
    while side.child.run(given_up)? != lost {
        ensure!(
            Instant::now() < deadline,
            "the child has not given up {lost} addresses after {PATIENCE:?}"
        );
        thread::sleep(POLL);
    }
    Ok(())
}

/// How many addresses in the current netns were given up.
fn given_up() -> Result<usize> {
    const PATH: &str = "/proc/thread-self/net/if_inet6";
    const FLAGS: usize = 4;
    let addresses = fs::read_to_string(PATH).with_context(|| format!("cannot read {PATH}"))?;
    let flags = addresses
        .lines()
        .filter_map(|line| line.split_whitespace().nth(FLAGS))
        .filter_map(|flags| u32::from_str_radix(flags, 16).ok());
    Ok(flags
        .filter(|flags| flags & libc::IFA_F_DADFAILED != 0)
        .count())
}

/// Waits until `agent` has noticed it.
pub(super) fn by_agent(agent: &mut Agent, setting: &Setting) -> Result<()> {
    agent.wait_until(PATIENCE, "aware of lost addresses", |status| {
        let children = status["parents"][0]["children"].as_array();
        let addresses = children
            .into_iter()
            .flatten()
            .filter_map(|child| child["addresses"].as_array())
            .flatten();
        let given_up = addresses.filter(|address| address["reason"] == GIVEN_UP);
        given_up.count() == lost(setting)
    })
}

/// How many addresses are given up in the end.
fn lost(setting: &Setting) -> usize {
    if setting.traits.optimistic {
        PROBED.len()
    } else {
        0
    }
}
