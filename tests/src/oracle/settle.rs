//! Waiting until it is known what the frames so far have changed: optimistic addresses that were probed
//! for are given up, and neither the kernel nor the agent does that before it goes on to the next
//! frame.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::{ndp::PROBED, setting::Setting, world::Side};
use crate::{
    agent::{Agent, addresses},
    demo::detection::{Detection, detections},
    probe::until,
};

/// The reason that the agent's status has for an address that was given up.
const GIVEN_UP: &str = "dad_failed";
const PATIENCE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);

/// Waits until the child's kernel has given up what was probed for.
pub(super) fn by_kernel(side: &Side, setting: &Setting) -> Result<()> {
    let lost = lost(setting);
    let is_settled = || Ok(side.child.run(given_up)? == lost);
    ensure!(
        until(PATIENCE, POLL, is_settled)?,
        "the child has not given up {lost} addresses after {PATIENCE:?}"
    );
    Ok(())
}

/// How many addresses in the current netns were given up.
fn given_up() -> Result<usize> {
    let found = detections()?.into_iter();
    Ok(found
        .filter(|(_, found)| *found == Detection::Failed)
        .count())
}

/// Waits until `agent` has noticed it.
pub(super) fn by_agent(agent: &mut Agent, setting: &Setting) -> Result<()> {
    agent.wait_until(PATIENCE, "aware of lost addresses", |status| {
        let given_up = addresses(status).filter(|(_, address)| address["reason"] == GIVEN_UP);
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
