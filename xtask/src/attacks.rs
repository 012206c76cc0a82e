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

/// Every attack once on every kernel.
const EACH: Instrument = Instrument {
    judge: |findings| cases::judge(findings, "Attacker"),
    ..cases::suite("attacks")
};

/// Every attack once; on every kernel if the kernel has a part in it.
pub(crate) const SHORT: Instrument = Instrument {
    options: cases::share,
    ..EACH
};

/// More of everything.
pub(crate) const LONG: Instrument = Instrument {
    options: |_| &["--long"],
    limit: Duration::from_hours(1),
    machine: Machine::SHIPPED,
    ..EACH
};

/// Plays them.
pub(crate) fn attacks(args: &Args) -> Result<()> {
    let instrument = if args.long { LONG } else { EACH };
    instrument.run_only(&args.rows)
}
