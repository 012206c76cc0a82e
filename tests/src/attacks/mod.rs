//! Attacks on a node whose children the agent serves, on real ipvlan devices.
//!
//! Every row plays one attack of a container, a local user, a LAN station or a compromised service user:
//! without an agent, where that can be measured, and with one. A row that fails does not stop the others.

mod choices;
mod claims;
mod disguise;
mod files;
mod frames;
mod hostile;
mod isolation;
mod loops;
mod messages;
mod names;
mod newcomer;
mod off_link;
mod quotas;
mod random;
mod vlan;
mod wire;

use anyhow::Result;

use crate::rows::{
    held,
    suite::{Suite, only_in_a_machine},
};

/// Plays the rows of the suite; returns whether all had the required outcome.
///
/// # Errors
///
/// If this machine is not one of the lab's own, or an outcome cannot be written.
pub fn run(suite: &Suite) -> Result<bool> {
    only_in_a_machine("attacks")?;
    let _held = held::Branches::hold()?;
    let rows = [
        names::ROWS,
        off_link::ROWS,
        isolation::ROWS,
        disguise::ROWS,
        random::ROWS,
        claims::ROWS,
        quotas::ROWS,
        files::ROWS,
        loops::ROWS,
        vlan::ROWS,
        hostile::ROWS,
    ];
    suite.play(rows.into_iter().flatten())
}
