//! `cargo xtask bench`: what frames and events cost, beside what people use instead.

mod prog;
mod report;
mod vm;

use anyhow::{Result, bail};
use clap::Subcommand;

use self::report::Report;
use crate::vm::kernels::Kernel;

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
#[derive(Clone, Debug, Subcommand)]
enum Instrument {
    /// Native nanoseconds of each program for each class of frames, on this host's kernel; needs root
    Prog,
    /// Guest instructions of a packet, ours beside the kernel's and beside what people use instead
    Vm(Machines),
}

/// Where to measure, and what.
#[derive(Clone, Debug, Default, clap::Args)]
struct Machines {
    /// The kernel to boot; without it 6.12 and the latest
    #[arg(long, value_enum)]
    kernel: Option<Kernel>,
    /// Only this part (verifier, rx, tx, broadcast, answers, host, tcp, hooks, alternatives, scale); can be given several
    /// times
    #[arg(long, value_name = "PART")]
    only: Vec<String>,
}

/// Measures and tells.
pub(crate) fn bench(args: &Args) -> Result<()> {
    let mut failures = Vec::new();
    if matches!(args.instrument, None | Some(Instrument::Prog)) {
        tell(&prog::measure(args.quick)?, args.json)?;
    }
    let machines = match &args.instrument {
        None => Some(Machines::default()),
        Some(Instrument::Vm(machines)) => Some(machines.clone()),
        Some(Instrument::Prog) => None,
    };
    if let Some(machines) = machines {
        let kernels = machines
            .kernel
            .map_or_else(|| vm::KERNELS.to_vec(), |kernel| vec![kernel]);
        for kernel in kernels {
            let (report, failure) = vm::measure(kernel, args.quick, &machines.only)?;
            tell(&report, args.json)?;
            failures.extend(failure);
        }
    }
    if failures.is_empty() {
        return Ok(());
    }
    bail!("{}", failures.join("\n"))
}

fn tell(report: &Report, json: bool) -> Result<()> {
    if json {
        println!("{}", serde_json::to_string(report)?);
    } else {
        println!("{}", report.table());
    }
    Ok(())
}
