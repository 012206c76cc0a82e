//! The suites of the lab that run in virtual machines: what `lab` is told, the machine, the kernels, and the judgement.

use std::time::Duration;

use anyhow::Result;

use crate::{
    build, cases,
    instrument::{self, Instrument, NOTHING},
    tools::clients,
    vm::{
        kernels::{Flavour, Kernel},
        machine::{Hardware, Machine},
    },
};

/// A suite whose rows are played on every kernel.
const fn suite(verb: &'static str) -> Instrument {
    Instrument {
        verb,
        options: |_| &[],
        limit: Duration::from_mins(20),
        prepare: NOTHING,
        machine: Machine::LEAN,
        kernels: &Kernel::ALL,
        judge: |findings| cases::judge(findings, "Kind"),
    }
}

/// What `lab` is given for a short run on every kernel: rows that one kernel is enough for are played on one, and rows
/// that depend on what a kernel offers on the oldest, which offers least, and the newest, which offers everything. The
/// kernel between them has half of the other rows instead.
fn share(kernel: Kernel) -> &'static [&'static str] {
    match kernel {
        Kernel::V6_1 => &["--share", "0/4"],
        Kernel::V6_12 => &["--share", "1/2", "--between"],
        Kernel::Latest => &["--share", "2/4"],
    }
}

/// The agent's answers beside the kernel's, frame by frame. Judges itself: fails if an answer differs that may not.
pub(crate) const ORACLE: Instrument = Instrument {
    limit: Duration::from_mins(25),
    judge: |_| Vec::new(),
    ..suite("oracle")
};

/// Every fault once, while traffic runs.
pub(crate) const FAULTS: Instrument = Instrument {
    prepare: build::next_layout,
    machine: Machine::SHIPPED,
    judge: cases::judge_faults,
    ..suite("faults")
};

/// Every fault once, where starts are cheap; on every kernel if the kernel has a part in it.
pub(crate) const SHORT_FAULTS: Instrument = Instrument {
    options: share,
    machine: Machine::LEAN,
    ..FAULTS
};

/// What the verifier follows without `CAP_PERFMON`: a kernel without mitigations follows no speculative paths.
pub(crate) const VERIFIED: Instrument = Instrument {
    options: |_| &["--only", "only the four capabilities"],
    // That the other build is there is the business of all rows.
    prepare: NOTHING,
    ..FAULTS
};

/// More of every fault.
pub(crate) const LONG_FAULTS: Instrument = Instrument {
    options: |_| &["--long"],
    limit: Duration::from_hours(1),
    ..FAULTS
};

/// Every attack on a node once, without and with the agent.
const ATTACKS: Instrument = Instrument {
    judge: |findings| cases::judge(findings, "Attacker"),
    ..suite("attacks")
};

/// Every attack once; on every kernel if the kernel has a part in it.
pub(crate) const SHORT_ATTACKS: Instrument = Instrument {
    options: share,
    ..ATTACKS
};

/// More of every attack.
pub(crate) const LONG_ATTACKS: Instrument = Instrument {
    options: |_| &["--long"],
    limit: Duration::from_hours(1),
    machine: Machine::SHIPPED,
    ..ATTACKS
};

/// Nodes as people have them, without and with the agent.
pub(crate) const NODES: Instrument = Instrument {
    prepare: || clients::install_dhcp().map(drop),
    ..suite("nodes")
};

/// Every node once; on every kernel if the kernel has a part in it.
pub(crate) const SHORT_NODES: Instrument = Instrument {
    options: share,
    ..NODES
};

/// The cards, in the order of the table `CARDS` of the lab (`tests/src/nics/card.rs`). Debian's kernels for the
/// cloud have no driver of the first two.
static CARDS: Hardware = Hardware {
    flavour: Flavour::Generic,
    cards: &["e1000", "e1000e", "vmxnet3", "virtio-net-pci"],
    drivers: &["virtio_pci", "virtio_net", "e1000", "e1000e", "vmxnet3"],
};

/// Network cards that QEMU emulates as parents, with the drivers that real ones have; without being asked for, on one
/// kernel.
pub(crate) const NICS: Instrument = Instrument {
    limit: Duration::from_mins(10),
    machine: Machine {
        hardware: &CARDS,
        ..Machine::LEAN
    },
    kernels: &[Kernel::V6_12],
    ..suite("nics")
};

/// Six generated nodes of one sequence, without and with the agent, on the oldest and the newest kernel: part of every
/// test.
pub(crate) const SHORT_DIFFERENTIAL: Instrument = Instrument {
    options: |_| &["--seed", "2", "--nodes", "6"],
    kernels: &Kernel::ENDS,
    ..suite("differential")
};

/// As many generated nodes as are asked for, which may take hours.
const DIFFERENTIAL: Instrument = Instrument {
    limit: Duration::from_hours(12),
    kernels: &[Kernel::V6_12],
    ..suite("differential")
};

/// Which faults or attacks, and where.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct LongArgs {
    #[command(flatten)]
    rows: instrument::RowArgs,
    /// More of everything: 100 000 packets for each kill, restart and upgrade; a million frames of the generator of
    /// attacks
    #[arg(long)]
    long: bool,
}

/// How many generated nodes, which, and where.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct NodeArgs {
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

/// Injects faults.
pub(crate) fn faults(args: &LongArgs) -> Result<()> {
    let instrument = if args.long { LONG_FAULTS } else { FAULTS };
    instrument.run_only(&args.rows)
}

/// Plays attacks.
pub(crate) fn attacks(args: &LongArgs) -> Result<()> {
    let instrument = if args.long { LONG_ATTACKS } else { ATTACKS };
    instrument.run_only(&args.rows)
}

/// Builds generated nodes and asks.
pub(crate) fn differential(args: &NodeArgs) -> Result<()> {
    let options = [
        ("--seed", args.seed),
        ("--first", args.first),
        ("--nodes", args.nodes),
    ];
    let words = options.map(|(option, value)| [option.to_owned(), value.to_string()]);
    DIFFERENTIAL.run_with(&args.at, &words.concat())
}
