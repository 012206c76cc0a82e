//! `cargo xtask bench`: what frames and events cost, beside what people use instead.

mod prog;
mod report;

use anyhow::Result;
use clap::Subcommand;

use self::report::Report;

/// What to measure, and how to tell it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    instrument: Option<Instrument>,
    /// Less of everything, in less than three minutes
    #[arg(long, global = true)]
    quick: bool,
    /// Tell it as JSON, one line for each instrument and kernel
    #[arg(long, global = true)]
    json: bool,
}

/// The instruments; without one, all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
enum Instrument {
    /// Native nanoseconds of each program for each class of frames, on this host's kernel; needs root
    Prog,
}

/// Measures and tells.
pub(crate) fn bench(args: &Args) -> Result<()> {
    let wanted = |instrument| args.instrument.is_none_or(|only| only == instrument);
    let mut reports = Vec::new();
    if wanted(Instrument::Prog) {
        reports.push(prog::measure(args.quick)?);
    }
    for report in &reports {
        tell(report, args.json)?;
    }
    Ok(())
}

fn tell(report: &Report, json: bool) -> Result<()> {
    if json {
        println!("{}", serde_json::to_string(report)?);
    } else {
        println!("{}", report.table());
    }
    Ok(())
}
