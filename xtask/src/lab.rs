//! Jobs of the `lab` binary: on this host, or in a virtual machine; and what they found.

use std::{
    process::Command,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result};

use crate::{
    exec, paths,
    results::{self, Case, Fault, Found, Line, Row},
    stopwatch,
    tools::clients,
    vm::{
        console::Outcome,
        kernels::{self, Flavour, Kernel},
        machine::Machine,
        qemu::{self, Job},
    },
};

/// What a job found, and how it ended.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// The release of the kernel that it ran on.
    pub kernel: String,
    /// Cells of the connectivity table.
    pub cells: Vec<Found>,
    /// What faults did.
    pub faults: Vec<Fault>,
    /// Outcomes of attacks or of real nodes.
    pub cases: Vec<Case>,
    /// Rows of a benchmark.
    pub rows: Vec<Row>,
    /// Why it failed, if it did.
    pub failure: Option<String>,
}

impl Findings {
    /// What the lab wrote on this kernel.
    pub(crate) fn of(kernel: String, failure: Option<String>, written: &str) -> Result<Self> {
        let mut findings = Self {
            kernel,
            failure,
            ..Self::default()
        };
        for line in results::parse(written)? {
            match line {
                Line::Cell(cell) => findings.cells.push(cell),
                Line::Fault(fault) => findings.faults.push(fault),
                Line::Case(case) => findings.cases.push(case),
                Line::Row(row) => findings.rows.push(row),
                Line::Note { text } => exec::say(format!("{}: {text}", findings.kernel)),
            }
        }
        Ok(findings)
    }

    /// These and what another job found on the same kernel.
    pub(crate) fn and(mut self, other: Self) -> Self {
        let Self {
            kernel: _,
            cells,
            faults,
            cases,
            rows,
            failure,
        } = other;
        self.cells.extend(cells);
        self.faults.extend(faults);
        self.cases.extend(cases);
        self.rows.extend(rows);
        let failures: Vec<_> = self.failure.into_iter().chain(failure).collect();
        self.failure = (!failures.is_empty()).then(|| failures.join("\n"));
        self
    }
}

/// Runs `lab ARGUMENTS`, the first of which is a verb, on `kernel` in such a virtual machine.
pub(crate) fn in_machine(
    machine: Machine,
    kernel: Kernel,
    arguments: &[&str],
    limit: Duration,
) -> Result<Findings> {
    let installed = install(kernel, machine.hardware.flavour)?;
    let verb = arguments.first().copied().unwrap_or_default();
    let job = Job {
        name: format!("{kernel} {verb}"),
        kernel: &installed,
        command: command("/usr/bin", "/dev/ttyS1", arguments),
        limit,
        machine,
    };
    let what = format!("Linux {kernel}: {}", arguments.join(" "));
    let report = stopwatch::time_by(
        what,
        || qemu::run(&job),
        |report| Some(report.as_ref().ok()?.cpu),
    )?;
    exec::say(format!(
        "{}: {:.0} s of processor time",
        job.name,
        report.cpu.as_secs_f64()
    ));
    let failure = match &report.outcome {
        Outcome::Pass => None,
        outcome => Some(format!(
            "Linux {}: {outcome}; the last it said, more in {}:\n{}",
            installed.release,
            report.log.display(),
            report.tail.join("\n")
        )),
    };
    // A machine that was stopped may have been in the middle of a line.
    let complete = report.results.rsplit_once('\n');
    let complete = complete.map_or("", |(lines, _)| lines);
    Findings::of(installed.release, failure, complete)
}

/// What a machine takes; jobs side by side install it once.
fn install(kernel: Kernel, flavour: Flavour) -> Result<kernels::Installed> {
    static INSTALLING: Mutex<()> = Mutex::new(());
    let _alone = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    clients::install(&clients::LAB)?;
    clients::install(&clients::VM)?;
    kernels::install(kernel, flavour)
}

/// Runs `lab ARGUMENTS` on this host, as root.
pub(crate) fn natively(arguments: &[&str]) -> Result<Findings> {
    clients::install(&clients::LAB)?;
    let results = tempfile::NamedTempFile::new().context("cannot make a file for the results")?;
    let path = results
        .path()
        .to_str()
        .context("a path that is not UTF-8")?;
    let release = paths::target().join("release");
    let release = release.to_str().context("a path that is not UTF-8")?;
    let words = command(release, path, arguments);
    let mut lab = exec::as_root(&words[0])?;
    let ended = exec::progress(lab.args(&words[1..]));
    let failure = ended.err().map(|error| format!("{error:#}"));
    Findings::of(this_kernel()?, failure, &paths::read(results.path())?)
}

/// Returns the release of this host's kernel.
pub(crate) fn this_kernel() -> Result<String> {
    let release = exec::output(Command::new("uname").arg("-r"))?;
    Ok(release.trim().to_owned())
}

/// Has this host's kernel ipvlan? Tried in a network namespace of its own, as root.
pub(crate) fn host_has_ipvlan() -> bool {
    let script = "ip link add lab0 type dummy && ip link add lab1 link lab0 type ipvlan mode l3";
    exec::is_root() && exec::succeeds(Command::new("unshare").args(["--net", "sh", "-c", script]))
}

fn command(directory: &str, results: &str, arguments: &[&str]) -> Vec<String> {
    let ipvlan = format!("{directory}/ipvlan");
    let lab = format!("{directory}/lab");
    std::iter::once(lab.as_str())
        .chain(arguments.iter().copied())
        .chain(["--ipvlan", &ipvlan, "--results", results])
        .map(str::to_owned)
        .collect()
}
