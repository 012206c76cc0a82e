//! `cargo xtask bench`: what frames and events cost, beside what people use instead.

mod compare;
mod converge;
mod csv;
mod plot;
mod prog;
mod report;
mod save;
mod vm;

use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use clap::Subcommand;

use self::report::Report;
use crate::{
    exec, paths,
    side_by_side::{self, Job},
    vm::kernels::Kernel,
};

/// What to measure, and how to tell it.
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the command line, and none excludes another"
)]
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    instrument: Option<Instrument>,
    /// Less of everything, on 6.12 alone, in less than three minutes; fails if something of ours grew by
    /// more than a tenth since the baseline
    #[arg(long, global = true)]
    quick: bool,
    /// Tell it as JSON, one line for each instrument and kernel
    #[arg(long, global = true)]
    json: bool,
    /// Keep rows, pictures and what they were made with below bench/runs
    #[arg(long, global = true)]
    save: bool,
    /// Make this the baseline in bench/baseline
    #[arg(long, global = true)]
    baseline: bool,
    /// Measure nothing: show what changed between two directories of runs
    #[arg(long, num_args = 2, value_names = ["OLD", "NEW"], conflicts_with_all = ["save", "baseline", "json"])]
    compare: Option<Vec<PathBuf>>,
}

/// The instruments; without one, all of them.
#[derive(Clone, Debug, Subcommand)]
enum Instrument {
    /// Native nanoseconds of each program for each class of frames, on this host's kernel; needs root
    Prog,
    /// Guest instructions of a packet, ours beside the kernel's and beside what people use instead
    Vm(Machines),
    /// How long until the agent has followed, and what it needs
    Converge {
        /// The kernel to boot; without it this host if it has ipvlan, else 6.12
        #[arg(long, value_enum)]
        kernel: Option<Kernel>,
    },
}

/// Where to measure, and what.
#[derive(Clone, Debug, Default, clap::Args)]
struct Machines {
    /// The kernel to boot; without it 6.12 and the latest
    #[arg(long, value_enum)]
    kernel: Option<Kernel>,
    /// Only this part (verifier, rx, tx, broadcast, answers, host, tcp, hooks, alternatives, scale); can be
    /// given several times
    #[arg(long, value_name = "PART")]
    only: Vec<String>,
}

/// Measures, tells, keeps and judges.
pub(crate) fn bench(args: &Args) -> Result<()> {
    if let Some([old, new]) = args.compare.as_deref() {
        return compare::directories(old, new);
    }
    let mut failures = Vec::new();
    let mut reports = Vec::new();
    for group in measurements(args) {
        for measured in side_by_side::run(group) {
            let (report, failure) = measured?;
            tell(&report, args.json)?;
            failures.extend(failure);
            reports.push(report);
        }
    }
    if args.save {
        save::save(&reports)?;
    }
    if args.baseline {
        ensure!(
            failures.is_empty(),
            "no baseline of a run that failed:\n{}",
            failures.join("\n")
        );
        keep_baseline(&reports)?;
    } else {
        failures.extend(grown(&reports)?);
    }
    if failures.is_empty() {
        return Ok(());
    }
    bail!("{}", failures.join("\n"))
}

/// What a change must not make dearer, in a machine: the quick part, compared with the baseline.
pub(crate) fn growth() -> Vec<String> {
    let measured = vm::measure(Kernel::V6_12, true, &[]);
    match measured.and_then(|(report, failure)| Ok((compared(&report)?, failure))) {
        Ok((Some((1.., growth)), failure)) => growth.into_iter().chain(failure).collect(),
        Ok((_, failure)) => {
            let nothing = "bench: nothing was compared with the baseline".to_owned();
            std::iter::once(nothing).chain(failure).collect()
        }
        Err(error) => vec![format!("bench: {error:#}")],
    }
}

type Measured = Result<(Report, Option<String>)>;

/// What is asked for, in the order in which it is told: side by side only what no other work disturbs.
fn measurements(args: &Args) -> Vec<Vec<Job<'static, Measured>>> {
    let quick = args.quick;
    let prog = || -> Vec<Job<'static, Measured>> {
        vec![Box::new(move || Ok((prog::measure(quick)?, None)))]
    };
    let converge = |kernel| -> Vec<Job<'static, Measured>> {
        vec![Box::new(move || converge::measure(kernel, quick))]
    };
    let machines = |machines: &Machines| {
        let kernels = match machines.kernel {
            Some(kernel) => vec![kernel],
            None if quick => vec![Kernel::V6_12],
            None => vm::KERNELS.to_vec(),
        };
        let only = machines.only.clone();
        kernels
            .into_iter()
            .map(|kernel| -> Job<'static, Measured> {
                let only = only.clone();
                Box::new(move || vm::measure(kernel, quick, &only))
            })
            .collect::<Vec<_>>()
    };
    match &args.instrument {
        Some(Instrument::Prog) => vec![prog()],
        Some(Instrument::Vm(what)) => vec![machines(what)],
        Some(Instrument::Converge { kernel }) => vec![converge(*kernel)],
        None => {
            let mut all = vec![prog(), machines(&Machines::default())];
            // What it tells of an agent takes minutes, however little of it.
            if !quick {
                all.push(converge(None));
            }
            all
        }
    }
}

fn tell(report: &Report, json: bool) -> Result<()> {
    if json {
        println!("{}", serde_json::to_string(report)?);
    } else {
        println!("{}", report.table());
    }
    Ok(())
}

fn baseline() -> PathBuf {
    paths::bench().join("baseline")
}

fn keep_baseline(reports: &[Report]) -> Result<()> {
    let directory = paths::directory(baseline())?;
    for report in reports {
        let series = compare::series(&report.kernel);
        let file = directory.join(format!("{}-{series}.csv", report.instrument));
        csv::write(report, &file)?;
        exec::say(format!("the baseline is {}", file.display()));
    }
    Ok(())
}

/// What grew since the baseline, if there is one for that kernel.
fn grown(reports: &[Report]) -> Result<Vec<String>> {
    let mut grown = Vec::new();
    for report in reports {
        grown.extend(compared(report)?.into_iter().flat_map(|(_, growth)| growth));
    }
    Ok(grown)
}

/// How many rows of ours the baseline has too, and what grew; says so.
fn compared(report: &Report) -> Result<Option<(usize, Vec<String>)>> {
    let Report {
        instrument, kernel, ..
    } = report;
    let known = if baseline().exists() {
        csv::read(&baseline())?
    } else {
        Vec::new()
    };
    let compared = compare::growth(&known, report);
    exec::say(match &compared {
        Some((rows, growth)) => format!(
            "{instrument} on Linux {kernel}: {rows} rows of ours compared with the baseline, {} grew by \
             more than a tenth",
            growth.len()
        ),
        None => format!("{instrument} on Linux {kernel}: there is no baseline for this"),
    });
    Ok(compared)
}
