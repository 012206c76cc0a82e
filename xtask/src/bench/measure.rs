//! The instruments: programs on this host's kernel, packets in virtual machines, and the agent's numbers.

use std::{path::Path, process::Command, time::Duration};

use anyhow::{Context as _, Result, ensure};

use super::report::Report;
use crate::{
    exec,
    lab::{self, Findings},
    paths, test,
    vm::{kernels::Kernel, machine::Machine},
};

/// The rows of an instrument, and what is wrong.
pub(super) type Measured = Result<(Report, Option<String>)>;

/// Not 6.1: the lab's own programs take TCX, which it does not have.
pub(super) const PACKET_KERNELS: [Kernel; 2] = [Kernel::V6_12, Kernel::Latest];
/// The parts of `numbers`.
pub(super) const NUMBERS: [&str; 2] = ["agent", "floods"];
/// What the project wants of a processor of one's own; the limits are those of an emulated one.
const GOALS: [(&str, f64); 3] = [
    ("address added to first ARP reply, p50", 1.0),
    ("address added to first ARP reply, p99", 5.0),
    ("cold sync of 65000 addresses", 300.0),
];
/// An emulated kernel takes long to add 65 000 addresses.
const LIMIT: Duration = Duration::from_hours(1);

/// `bench prog`: native nanoseconds of each program, on this host's kernel, as root. The test binary behind it says
/// what, and checks every run.
pub(super) fn programs(quick: bool) -> Measured {
    exec::say("measuring: programs on this host's kernel");
    let file = tempfile::NamedTempFile::new().context("cannot make a file for the results")?;
    run_programs(exec::progress, quick, Some(file.path()))?;
    let findings = Findings::of(lab::this_kernel()?, None, &paths::read(file.path())?)?;
    Ok(report("prog", findings))
}

/// Has `how` run it; rows are printed where there is no file for them.
pub(crate) fn run_programs(
    how: fn(&mut Command) -> Result<()>,
    quick: bool,
    rows: Option<&Path>,
) -> Result<()> {
    let path = rows.map(|path| ("IPVLAN_BENCH_RESULTS", path.display().to_string()));
    let quick = quick.then(|| ("IPVLAN_BENCH_QUICK", "1".to_owned()));
    let settings: Vec<_> = path.into_iter().chain(quick).collect();
    test::as_root_by(how, "bench_prog", &settings)
}

/// `bench vm`: packets on one kernel: these parts, or all of a run of this length. Rows that came before a failure are
/// reported too.
pub(super) fn packets(kernel: Kernel, quick: bool, only: &[&str]) -> Measured {
    let is_of_numbers = |part| NUMBERS.contains(part);
    ensure!(
        kernel != Kernel::V6_1 || (!only.is_empty() && only.iter().all(is_of_numbers)),
        "6.1 has no TCX, which the lab's own programs take"
    );
    parts("vm", Machine::COUNTING, kernel, quick, only)
}

/// `bench numbers`: how soon an agent follows a change, and what it needs, beside the goals of this project. On this
/// host without a kernel, else in a machine. A quick run has no 65 000 addresses.
pub(super) fn numbers(kernel: Option<Kernel>, quick: bool) -> Measured {
    let (variant, (mut report, failure)) = match kernel {
        None => (
            "agent",
            report("numbers", lab::natively(&words(quick, &NUMBERS))?),
        ),
        Some(kernel) => (
            "agent, emulated",
            parts("numbers", Machine::SHIPPED, kernel, quick, &NUMBERS)?,
        ),
    };
    for row in &mut report.rows {
        variant.clone_into(&mut row.variant);
        if let Some((_, goal)) = GOALS.iter().find(|(path, _)| *path == row.path) {
            row.goal = Some(*goal);
            row.met = Some(row.value <= *goal);
        }
    }
    Ok((report, failure))
}

/// Measures parts of `lab bench` in a machine.
pub(super) fn parts(
    instrument: &str,
    machine: Machine,
    kernel: Kernel,
    quick: bool,
    only: &[&str],
) -> Measured {
    let findings = lab::in_machine(machine, kernel, &words(quick, only), LIMIT)?;
    Ok(report(instrument, findings))
}

/// Returns what `lab` is given.
fn words<'a>(quick: bool, only: &[&'a str]) -> Vec<&'a str> {
    let quick = quick.then_some("--quick");
    let only = only.iter().flat_map(|part| ["--only", part]);
    ["bench"].into_iter().chain(quick).chain(only).collect()
}

fn report(instrument: &str, findings: Findings) -> (Report, Option<String>) {
    let nothing = findings.rows.is_empty();
    let nothing = nothing.then(|| format!("Linux {}: nothing was measured", findings.kernel));
    let report = Report::new(instrument, &findings.kernel, findings.rows);
    (report, findings.failure.or(nothing))
}
