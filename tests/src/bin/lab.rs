//! The lab's command: first process of the virtual machine, suites and measurements.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::{Args, Parser, Subcommand};
use ipvlan_tests::{
    attacks,
    bench::Bench,
    demo::{Demo, mode::Modes, variant::Variants},
    differential::Differential,
    faults, init, nics, nodes,
    oracle::Oracle,
    results::Results,
    rows::suite::{Plan, Share, Suite},
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
        #[command(flatten)]
        run: Run,
        /// The mode of the parents: l2, l3, l3s or all
        #[arg(long, default_value = "all")]
        mode: Modes,
        /// What to vary; anything but the default gets a shorter table
        #[arg(long, default_value = "default")]
        variant: Variants,
    },
    /// Measure what frames and events cost
    Bench {
        #[command(flatten)]
        run: Run,
        /// Less of everything
        #[arg(long)]
        quick: bool,
        /// Only this part; can be given several times
        #[arg(long)]
        only: Vec<String>,
    },
    /// Inject faults while traffic runs, and count what that costs
    Faults {
        #[command(flatten)]
        rows: SuiteArgs,
        /// Another build of the agent, with another layout of its maps
        #[arg(long, default_value = "/usr/bin/ipvlan-next")]
        next: PathBuf,
        /// More of everything, rather than every fault once
        #[arg(long)]
        long: bool,
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
        #[command(flatten)]
        run: Run,
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
    Oracle(Run),
}

/// What every suite needs.
#[derive(Debug, Args)]
#[group(skip)]
struct Run {
    /// The agent
    #[arg(long)]
    ipvlan: PathBuf,
    /// Where to write the results, one JSON object per line
    #[arg(long)]
    results: PathBuf,
}

impl Run {
    fn results(&self) -> Result<Results> {
        Results::open(&self.results)
    }
}

/// Which rows of a suite to play.
#[derive(Debug, Args)]
struct SuiteArgs {
    #[command(flatten)]
    run: Run,
    /// Only the rows of this number, or whose name contains this; can be given several times
    #[arg(long)]
    only: Vec<String>,
    /// Of the rows that one kernel is enough for, only this part, as 1/3: the second of three
    #[arg(long)]
    share: Option<Share>,
    /// Leave out the rows that the oldest and the newest kernel are enough for
    #[arg(long)]
    between: bool,
}

impl SuiteArgs {
    fn suite(self, long: bool) -> Result<Suite> {
        Ok(Suite {
            results: self.run.results()?,
            plan: Plan::of(&self.run.ipvlan, long),
            only: self.only,
            share: self.share,
            between: self.between,
        })
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

fn run() -> Result<bool> {
    match Cli::parse().verb {
        Verb::Init => init::boot().map(|()| true),
        Verb::Demo { run, mode, variant } => Demo {
            results: run.results()?,
            ipvlan: run.ipvlan,
            modes: mode.0,
            variants: variant.0,
        }
        .run(),
        Verb::Bench { run, quick, only } => {
            Bench::new(run.results()?, run.ipvlan, quick, only).run()
        }
        Verb::Faults { rows, next, long } => {
            let mut suite = rows.suite(long)?;
            suite.plan.next = next;
            faults::run(&suite)
        }
        Verb::Attacks { rows, long } => attacks::run(&rows.suite(long)?),
        Verb::Nodes(args) => nodes::run(&args.suite(false)?),
        Verb::Nics(args) => nics::run(&args.suite(false)?),
        Verb::Differential {
            run,
            seed,
            first,
            nodes,
        } => Differential {
            results: run.results()?,
            ipvlan: run.ipvlan,
            seed,
            first,
            nodes,
        }
        .run(),
        Verb::Oracle(run) => Oracle {
            results: run.results()?,
            ipvlan: run.ipvlan,
        }
        .run(),
    }
}
