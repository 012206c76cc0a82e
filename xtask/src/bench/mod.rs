//! `cargo xtask bench`: what frames and events cost, beside what people use instead.

mod compare;
mod csv;
mod measure;
mod plot;
mod report;
mod save;

use std::path::PathBuf;

use anyhow::Result;
use clap::Subcommand;

pub(crate) use self::measure::run_programs;
use self::{
    measure::{Measured, PACKET_KERNELS},
    report::Report,
};
use crate::{
    build, exec, lab, paths,
    side_by_side::{self, Job},
    vm::{kernels::Kernel, machine::Machine},
};

/// What to measure, and how to tell it.
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the command line, and none excludes another"
)]
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    suite: Option<Suite>,
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

/// The suites; without one, all of them.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Suite {
    /// Native nanoseconds of each program for each class of frames, on this host's kernel; needs root
    Prog,
    /// Guest instructions of a packet, ours beside the kernel's and beside what people use instead
    Vm(Machines),
    /// Guest instructions of an answer, ours beside the kernel's: the part `answers` of `vm`
    Cost(At),
    /// How soon the agent has followed a change, what it needs at rest, and what a flood of requests does to it. Without
    /// a kernel on this host if it has ipvlan, else on all three
    #[command(alias = "converge")]
    Numbers(At),
}

/// Where to measure.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct At {
    /// The kernel to boot
    #[arg(long, value_enum)]
    kernel: Option<Kernel>,
}

/// Where to measure, and what.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Machines {
    /// The kernel to boot; without it 6.12 and the latest
    #[arg(long, value_enum)]
    kernel: Option<Kernel>,
    /// Only this part (verifier, rx, tx, broadcast, answers, host, tcp, hooks, alternatives, scale; agent and floods of
    /// `numbers`); can be given several times
    #[arg(long, value_name = "PART")]
    only: Vec<String>,
}

impl Args {
    /// Returns what is given for this suite alone.
    pub(crate) fn of(suite: Suite) -> Self {
        Self {
            suite: Some(suite),
            ..Self::default()
        }
    }
}

/// Measures, tells, keeps and judges.
pub(crate) fn bench(args: &Args) -> Result<()> {
    if let Some([old, new]) = args.compare.as_deref() {
        return compare::directories(old, new);
    }
    if !matches!(args.suite, Some(Suite::Prog)) {
        build::release()?;
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
        exec::fail_for("no baseline of a run that failed:", &failures)?;
        keep_baseline(&reports)?;
    } else {
        failures.extend(grown(&reports)?);
    }
    exec::fail_for("bench:", &failures)
}

/// What every test measures, in machines: packets beside the baseline, and all that has a limit. Each job returns what
/// is wrong.
pub(crate) fn everywhere() -> Vec<Job<'static, Vec<String>>> {
    let limited = |kernel, parts: &'static [&'static str]| -> Job<'static, Vec<String>> {
        Box::new(
            move || match measure::parts("limits", Machine::COUNTING, kernel, true, parts) {
                Ok((report, failure)) => {
                    println!("{}", report.table());
                    failure.into_iter().collect()
                }
                Err(error) => vec![format!("bench: {error:#}")],
            },
        )
    };
    vec![
        Box::new(growth),
        // Kernels differ in what an answer costs, and hardly in the rest; a flood is measured on the oldest and the newest.
        limited(Kernel::V6_12, &["agent"]),
        limited(Kernel::Latest, &["answers", "floods"]),
        limited(Kernel::V6_1, &["floods"]),
    ]
}

/// What a change must not make dearer: the quick part, compared with the baseline.
fn growth() -> Vec<String> {
    let measured = measure::packets(Kernel::V6_12, true, &[]);
    match measured.and_then(|(report, failure)| Ok((compared(&report)?, failure))) {
        Ok((Some((1.., growth)), failure)) => growth.into_iter().chain(failure).collect(),
        Ok((_, failure)) => {
            let nothing = "bench: nothing was compared with the baseline".to_owned();
            std::iter::once(nothing).chain(failure).collect()
        }
        Err(error) => vec![format!("bench: {error:#}")],
    }
}

/// What is asked for, in the order in which it is told: side by side only what no other work disturbs.
fn measurements(args: &Args) -> Vec<Vec<Job<'static, Measured>>> {
    let quick = args.quick;
    let prog =
        || -> Vec<Job<'static, Measured>> { vec![Box::new(move || measure::programs(quick))] };
    let packets = |kernel: Option<Kernel>, only: &[String]| {
        let kernels = match kernel {
            Some(kernel) => vec![kernel],
            None if quick => vec![Kernel::V6_12],
            None => PACKET_KERNELS.to_vec(),
        };
        let job = |kernel| -> Job<'static, Measured> {
            let only = only.to_vec();
            Box::new(move || {
                let only: Vec<_> = only.iter().map(String::as_str).collect();
                measure::packets(kernel, quick, &only)
            })
        };
        kernels.into_iter().map(job).collect::<Vec<_>>()
    };
    let numbers = |kernel: Option<Kernel>| {
        let kernels = match kernel {
            Some(kernel) => vec![Some(kernel)],
            None if lab::host_has_ipvlan() => vec![None],
            None => Kernel::ALL.map(Some).to_vec(),
        };
        let job = |kernel| -> Job<'static, Measured> {
            // Kernels do not differ in what 65 000 addresses take, and one takes long to add them.
            let quick = quick || matches!(kernel, Some(Kernel::V6_1 | Kernel::Latest));
            Box::new(move || measure::numbers(kernel, quick))
        };
        kernels.into_iter().map(job).collect::<Vec<_>>()
    };
    match &args.suite {
        Some(Suite::Prog) => vec![prog()],
        Some(Suite::Vm(Machines { kernel, only })) => vec![packets(*kernel, only)],
        Some(Suite::Cost(At { kernel })) => vec![packets(*kernel, &["answers".to_owned()])],
        Some(Suite::Numbers(At { kernel })) => vec![numbers(*kernel)],
        None => {
            let mut all = vec![prog(), packets(None, &[])];
            // It takes minutes, however little of it is measured.
            if !quick {
                all.push(numbers(None));
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
