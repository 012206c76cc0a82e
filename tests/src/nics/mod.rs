//! Network cards that QEMU emulates as parents: their drivers, multicast filters and offloads are those of real
//! machines, which a veth has not.

mod card;
mod held;

use anyhow::Result;

use crate::rows::suite::{Suite, only_in_a_machine};

/// Plays the rows of the suite; returns whether all had the required outcome.
///
/// # Errors
///
/// If this machine is not one of the lab's own, or an outcome cannot be written.
pub fn run(suite: &Suite) -> Result<bool> {
    only_in_a_machine("network cards")?;
    suite.play(held::ROWS)
}
