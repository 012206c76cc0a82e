//! Project tasks: `cargo xtask VERB`.

mod bench;
mod build;
mod cases;
mod demo;
mod exec;
mod fuzz;
mod instrument;
mod lab;
mod lint;
mod paths;
mod results;
mod run;
mod setup;
mod side_by_side;
mod stopwatch;
mod suites;
mod table;
mod test;
mod tools;
mod vm;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask", about = "Project tasks")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Find or install everything the other verbs need, and say what it is
    Setup,
    /// Build the eBPF object, the agent and the lab; print the size of the programs
    Build,
    /// Formatting, clippy, documentation, dependencies
    Lint,
    /// Everything that must pass before a commit
    Test(test::Args),
    /// Show who reaches whom before and after `ipvlan run`
    Demo(demo::Args),
    /// Measure what frames and events cost, beside what people use instead
    Bench(bench::Args),
    /// `bench numbers`
    #[command(hide = true)]
    Numbers(bench::At),
    /// `bench cost`
    #[command(hide = true)]
    Cost(bench::At),
    /// Compare the agent's answers with the kernel's, byte for byte
    Oracle(instrument::Args),
    /// Inject faults while traffic runs, in virtual machines, and count what that costs
    Faults(suites::LongArgs),
    /// Play attackers inside and outside of containers, in virtual machines, without and with the agent
    Attacks(suites::LongArgs),
    /// Build nodes as people have them, and ask without and with the agent, in virtual machines
    Nodes(instrument::RowArgs),
    /// Serve children behind emulated network cards, with the drivers that real ones have, in virtual machines
    Nics(instrument::RowArgs),
    /// Build nodes by chance, and ask the same without and with the agent, in virtual machines
    Differential(suites::NodeArgs),
    /// Frames that nobody thought of: the programs against their model, and libFuzzer
    Fuzz(fuzz::Args),
    /// Build, then run the agent as root with the arguments after `--`
    Run(run::Args),
}

fn main() -> ExitCode {
    let done = match Cli::parse().verb {
        Verb::Setup => setup::setup(),
        Verb::Build => build::build(),
        Verb::Lint => lint::lint(),
        Verb::Test(args) => test::test(&args),
        Verb::Demo(args) => demo::demo(&args),
        Verb::Bench(args) => bench::bench(&args),
        Verb::Numbers(at) => bench::bench(&bench::Args::of(bench::Suite::Numbers(at))),
        Verb::Cost(at) => bench::bench(&bench::Args::of(bench::Suite::Cost(at))),
        Verb::Oracle(args) => suites::ORACLE.run(&args),
        Verb::Faults(args) => suites::faults(&args),
        Verb::Attacks(args) => suites::attacks(&args),
        Verb::Nodes(args) => suites::NODES.run_only(&args),
        Verb::Nics(args) => suites::NICS.run_only(&args),
        Verb::Differential(args) => suites::differential(&args),
        Verb::Fuzz(args) => fuzz::fuzz(&args),
        Verb::Run(args) => run::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            exec::say(format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
