//! The lab's command: first process of the virtual machine, demo and measurements.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::{Args, Parser, Subcommand, ValueEnum};
use ipvlan_tests::{
    attacks,
    bench::Bench,
    cost::Cost,
    demo::{self, Demo, mode::Mode, variant::Variant},
    differential::Differential,
    faults::Faults,
    init, nics, nodes,
    numbers::Numbers,
    oracle::Oracle,
    results::Results,
    rows::suite::{Share, Suite},
};

/// Builds topologies of network namespaces and asks who reaches whom.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Be the first process of a virtual machine: run /etc/job, report, power off
    Init,
    /// Show the connectivity table before and after `ipvlan run`
    Demo {
        /// The mode of the parents
        #[arg(long, default_value = "all")]
        mode: Modes,
        /// The agent
        #[arg(long, required_unless_present = "before_only")]
        ipvlan: Option<PathBuf>,
        /// Where to write the results, one JSON object per line
        #[arg(long, required_unless_present = "before_only")]
        results: Option<PathBuf>,
        /// What to vary; anything but the default gets a shorter table
        #[arg(long, default_value = "default")]
        variant: Variants,
        /// Show what the kernel alone does and start no agent
        #[arg(long)]
        before_only: bool,
    },
    /// Measure the time to the first answer and the cost of an idle agent
    Numbers {
        /// With 65 000 addresses, too
        #[arg(long)]
        many: bool,
        /// Nothing but what floods do
        #[arg(long, conflicts_with = "many")]
        floods: bool,
        /// The agent
        #[arg(long)]
        ipvlan: PathBuf,
        /// Where to write the results, one JSON object per line
        #[arg(long)]
        results: PathBuf,
    },
    /// Measure what an answer costs, in a machine whose clock counts instructions
    Cost {
        /// The agent
        #[arg(long)]
        ipvlan: PathBuf,
        /// Where to write the results, one JSON object per line
        #[arg(long)]
        results: PathBuf,
    },
    /// Measure what frames cost, in a machine whose clock counts instructions
    Bench {
        /// The agent
        #[arg(long)]
        ipvlan: PathBuf,
        /// Where to write the results, one JSON object per line
        #[arg(long)]
        results: PathBuf,
        /// Less of everything
        #[arg(long)]
        quick: bool,
        /// Only this part; can be given several times
        #[arg(long)]
        only: Vec<String>,
    },
    /// Inject faults while traffic runs, and count what that costs
    Faults {
        /// The agent
        #[arg(long)]
        ipvlan: PathBuf,
        /// Another build of the agent, with another layout of its maps
        #[arg(long, default_value = "/usr/bin/ipvlan-next")]
        next: PathBuf,
        /// Where to write the results, one JSON object per line
        #[arg(long)]
        results: PathBuf,
        /// More of everything, rather than every fault once
        #[arg(long)]
        long: bool,
        /// Only the faults whose names contain this; can be given several times
        #[arg(long)]
        only: Vec<String>,
        /// Of the rows that one kernel is enough for, only this part, as 1/3: the second of three
        #[arg(long)]
        share: Option<Share>,
    },
    /// Play attackers inside and outside of containers, without and with the agent
    Attacks {
        #[command(flatten)]
        rows: SuiteArgs,
        /// More of everything: a million frames of the generator
        #[arg(long)]
        long: bool,
    },
    /// Build nodes as people have them, and ask without and with the agent
    Nodes(SuiteArgs),
    /// Serve children behind the network cards of this machine
    Nics(SuiteArgs),
    /// Build nodes by chance, and ask the same without and with the agent
    Differential {
        /// The agent
        #[arg(long)]
        ipvlan: PathBuf,
        /// Where to write the results, one JSON object per line
        #[arg(long)]
        results: PathBuf,
        /// The sequence of nodes
        #[arg(long)]
        seed: u64,
        /// The first node of it
        #[arg(long, default_value_t = 0)]
        first: u64,
        /// How many nodes of it
        #[arg(long)]
        nodes: u64,
    },
    /// Compare the agent's answers with the kernel's, byte for byte
    Oracle {
        /// The agent
        #[arg(long)]
        ipvlan: PathBuf,
        /// Where to write the results, one JSON object per line
        #[arg(long)]
        results: PathBuf,
    },
}

/// Which rows of a suite to play.
#[derive(Debug, Args)]
struct SuiteArgs {
    /// The agent
    #[arg(long)]
    ipvlan: PathBuf,
    /// Where to write the results, one JSON object per line
    #[arg(long)]
    results: PathBuf,
    /// Only the rows of this number, or whose name contains this; can be given several times
    #[arg(long)]
    only: Vec<String>,
    /// Of the rows that one kernel is enough for, only this part, as 1/3: the second of three
    #[arg(long)]
    share: Option<Share>,
}

impl SuiteArgs {
    fn suite(self, long: bool) -> Result<Suite> {
        Ok(Suite {
            ipvlan: self.ipvlan,
            long,
            only: self.only,
            share: self.share,
            results: Results::open(&self.results)?,
        })
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Variants {
    Default,
    /// --l2-broadcast flood
    Flood,
    /// --xdp generic
    Xdp,
    /// --deliver redirect
    Redirect,
    /// --dad enforce
    Enforce,
    /// --announce off
    Silent,
    /// --allow of every prefix
    Allowed,
    /// --allow and --deny
    Narrow,
    /// --config, and SIGHUP
    Reloaded,
    /// Every one but the default, one after the other
    Others,
}

impl Variants {
    fn list(self) -> Vec<Variant> {
        match self {
            Self::Default => vec![Variant::Default],
            Self::Flood => vec![Variant::Flood],
            Self::Xdp => vec![Variant::Xdp],
            Self::Redirect => vec![Variant::Redirect],
            Self::Enforce => vec![Variant::Enforce],
            Self::Silent => vec![Variant::Silent],
            Self::Allowed => vec![Variant::Allowed],
            Self::Narrow => vec![Variant::Narrow],
            Self::Reloaded => vec![Variant::Reloaded],
            Self::Others => Variant::OTHERS.to_vec(),
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Modes {
    L2,
    L3,
    L3s,
    All,
}

impl Modes {
    fn list(self) -> Vec<Mode> {
        match self {
            Self::L2 => vec![Mode::L2],
            Self::L3 => vec![Mode::L3],
            Self::L3s => vec![Mode::L3s],
            Self::All => Mode::ALL.to_vec(),
        }
    }
}

fn main() -> ExitCode {
    let done = if init::is_first_process() {
        init::boot().map(|()| true)
    } else {
        run()
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("lab: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[allow(clippy::too_many_lines, reason = "one arm for each verb")]
fn run() -> Result<bool> {
    match Cli::parse().verb {
        Verb::Init => init::boot().map(|()| true),
        Verb::Demo {
            mode,
            ipvlan: Some(ipvlan),
            results: Some(results),
            variant,
            before_only: false,
        } => Demo {
            ipvlan,
            modes: mode.list(),
            variants: variant.list(),
            results: Results::open(&results)?,
        }
        .run(),
        Verb::Numbers {
            many,
            floods,
            ipvlan,
            results,
        } => Numbers {
            ipvlan,
            many,
            floods,
            results: Results::open(&results)?,
        }
        .run(),
        Verb::Cost { ipvlan, results } => Cost {
            ipvlan,
            results: Results::open(&results)?,
        }
        .run(),
        Verb::Bench {
            ipvlan,
            results,
            quick,
            only,
        } => Bench {
            ipvlan,
            results: Results::open(&results)?,
            quick,
            only,
        }
        .run(),
        Verb::Faults {
            ipvlan,
            next,
            results,
            long,
            only,
            share,
        } => Faults {
            ipvlan,
            next,
            long,
            only,
            share,
            results: Results::open(&results)?,
        }
        .run(),
        Verb::Attacks { rows, long } => attacks::run(&rows.suite(long)?),
        Verb::Nodes(args) => nodes::run(&args.suite(false)?),
        Verb::Nics(args) => nics::run(&args.suite(false)?),
        Verb::Differential {
            ipvlan,
            results,
            seed,
            first,
            nodes,
        } => Differential {
            ipvlan,
            seed,
            first,
            nodes,
            results: Results::open(&results)?,
        }
        .run(),
        Verb::Oracle { ipvlan, results } => Oracle {
            ipvlan,
            results: Results::open(&results)?,
        }
        .run(),
        Verb::Demo { mode, .. } => demo::show_before(&mode.list()).map(|()| true),
    }
}
