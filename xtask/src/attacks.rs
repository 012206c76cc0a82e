//! `cargo xtask attacks`: attacks on a node whose children the agent serves, without and with the agent.

use std::time::Duration;

use crate::{
    cases,
    instrument::{self, Instrument},
    vm::machine::Machine,
};
use anyhow::Result;

/// What to play, and where.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Args {
    #[command(flatten)]
    rows: instrument::RowArgs,
    /// More of everything: a million frames of the generator
    #[arg(long)]
    long: bool,
}

/// Every attack once.
pub(crate) const SHORT: Instrument = Instrument {
    judge: |findings| cases::judge(findings, "Attacker"),
    ..cases::suite("attacks")
};

/// More of everything.
pub(crate) const LONG: Instrument = Instrument {
    options: |_| &["--long"],
    limit: Duration::from_hours(1),
    machine: Machine::SHIPPED,
    ..SHORT
};

/// Plays them.
pub(crate) fn attacks(args: &Args) -> Result<()> {
    let instrument = if args.long { LONG } else { SHORT };
    instrument.run_only(&args.rows)
}
