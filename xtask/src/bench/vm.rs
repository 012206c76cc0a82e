//! Parts of `lab bench` in a virtual machine.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::{Measured, numbers, report::Report};
use crate::{
    lab::{self, Findings},
    vm::{kernels::Kernel, machine::Machine},
};

pub(super) const NAME: &str = "vm";
/// Not 6.1: the lab's own programs take TCX, which it does not have.
pub(super) const KERNELS: [Kernel; 2] = [Kernel::V6_12, Kernel::Latest];
/// An emulated kernel takes long to add 65 000 addresses.
const LIMIT: Duration = Duration::from_hours(1);

/// Measures packets on one kernel: these parts, or all of a run of this length. Rows that came before a failure are
/// reported too.
pub(super) fn measure(kernel: Kernel, quick: bool, only: &[&str]) -> Measured {
    let is_of_numbers = |part| numbers::PARTS.contains(part);
    ensure!(
        kernel != Kernel::V6_1 || (!only.is_empty() && only.iter().all(is_of_numbers)),
        "6.1 has no TCX, which the lab's own programs take"
    );
    parts(Machine::COUNTING, kernel, quick, only).map(|findings| report(NAME, findings))
}

/// Measures parts of any suite on one kernel.
pub(super) fn parts(
    machine: Machine,
    kernel: Kernel,
    quick: bool,
    only: &[&str],
) -> Result<Findings> {
    lab::in_machine(machine, kernel, &words(quick, only), LIMIT)
}

/// Returns what `lab` is given.
pub(super) fn words<'a>(quick: bool, only: &[&'a str]) -> Vec<&'a str> {
    let quick = quick.then_some("--quick");
    let only = only.iter().flat_map(|part| ["--only", part]);
    ["bench"].into_iter().chain(quick).chain(only).collect()
}

/// Returns the report of these rows, and what is wrong.
pub(super) fn report(instrument: &str, findings: Findings) -> (Report, Option<String>) {
    let nothing = findings.rows.is_empty();
    let nothing = nothing.then(|| format!("Linux {}: nothing was measured", findings.kernel));
    let report = Report::new(instrument, &findings.kernel, findings.rows);
    (report, findings.failure.or(nothing))
}
