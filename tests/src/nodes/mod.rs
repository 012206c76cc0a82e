//! What real nodes do, with real ipvlan devices: settings in which the agent has to be no worse than the kernel
//! alone, and those in which it has to be better.
//!
//! Every row builds its node, asks without an agent where that is a measurement, and asks again with one.

mod announcing;
mod answers_all;
mod bond;
mod defence;
mod dhcp;
mod doctor;
mod explained;
mod host_entries;
mod limits;
mod log_lines;
mod names;
mod order;
mod own;
mod routes;
mod silent_child;
mod symptoms;

use anyhow::Result;

use crate::rows::suite::{Suite, only_in_a_machine};

/// Plays the rows of the suite; returns whether all had the required outcome.
///
/// # Errors
///
/// If this machine is not one of the lab's own, or an outcome cannot be written.
pub fn run(suite: &Suite) -> Result<bool> {
    only_in_a_machine("real nodes")?;
    let rows = [
        announcing::ROWS,
        answers_all::ROWS,
        bond::ROWS,
        defence::ROWS,
        dhcp::ROWS,
        doctor::ROWS,
        explained::ROWS,
        host_entries::ROWS,
        limits::ROWS,
        log_lines::ROWS,
        names::ROWS,
        order::ROWS,
        own::ROWS,
        routes::ROWS,
        silent_child::ROWS,
    ];
    suite.play(rows.into_iter().flatten())
}
