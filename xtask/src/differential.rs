//! `cargo xtask differential`: nodes by chance, the same questions without and with the agent.

use std::time::Duration;

use anyhow::Result;

use crate::{
    cases,
    instrument::{self, Instrument},
    vm::kernels::Kernel,
};

/// How many nodes, which, and where.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Args {
    #[command(flatten)]
    at: instrument::Args,
    /// The sequence of nodes: the same seed gives the same nodes
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The first node of the sequence
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// The number of nodes
    #[arg(long, default_value_t = 6)]
    nodes: u64,
}

/// Six nodes of one sequence: part of every test.
pub(crate) const SHORT: Instrument = Instrument {
    options: |_| &["--seed", "2", "--nodes", "6"],
    ..cases::suite("differential")
};

/// As many as are asked for, which may take hours.
const DIFFERENTIAL: Instrument = Instrument {
    limit: Duration::from_hours(12),
    kernels: &[Kernel::V6_12],
    ..cases::suite("differential")
};

/// Builds them and asks.
pub(crate) fn differential(args: &Args) -> Result<()> {
    let options = [
        ("--seed", args.seed),
        ("--first", args.first),
        ("--nodes", args.nodes),
    ];
    let options: Vec<_> = options
        .into_iter()
        .flat_map(|(option, value)| [option.to_owned(), value.to_string()])
        .collect();
    DIFFERENTIAL.run_with(&args.at, &options)
}
