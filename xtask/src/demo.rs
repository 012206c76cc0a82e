//! `cargo xtask demo`: the connectivity table of the field notes, before and after `ipvlan run`.

use std::{io::Write as _, str::FromStr, time::Duration};

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use serde::Serialize;

use crate::{
    build, exec,
    lab::{self, Findings},
    results::{self, Kernel},
    side_by_side::{self, Job},
    table,
    vm::{kernels, machine::Machine},
};

const LIMIT: Duration = Duration::from_mins(20);

/// Where and what to demonstrate.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The kernel to boot; without it this host's own if it has ipvlan and this is root, else 6.12
    #[arg(long, value_name = "6.1|6.12|latest|all")]
    kernel: Option<Kernels>,
    /// The mode of the parents
    #[arg(long, value_parser = ["l2", "l3", "l3s", "all"], default_value = "all")]
    mode: String,
    /// Show what the agent's other options do, in shorter tables, instead of its defaults
    #[arg(long)]
    options: bool,
    /// Print the cells as JSON and nothing else on standard output
    #[arg(long)]
    json: bool,
    /// Take this host's kernel, inside network namespaces of its own; needs root
    #[arg(long, conflicts_with = "kernel")]
    native: bool,
}

const MODES: [&str; 3] = ["l2", "l3", "l3s"];

/// Kernels to choose from: one, or `all`.
#[derive(Clone, Debug)]
struct Kernels(Vec<kernels::Kernel>);

impl FromStr for Kernels {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(Self(match text {
            "all" => kernels::Kernel::ALL.to_vec(),
            text => vec![ValueEnum::from_str(text, false)?],
        }))
    }
}

#[derive(Debug, Serialize)]
struct Report {
    schema: u32,
    kernels: Vec<Kernel>,
}

/// The agent's own defaults, or all its other options one after the other, as `lab` calls them.
const DEFAULTS: &str = "default";
const OTHERS: &str = "others";

/// Prints the tables; fails if a cell is not as expected.
pub(crate) fn demo(args: &Args) -> Result<()> {
    build::release()?;
    let native = args.native || (args.kernel.is_none() && lab::host_has_ipvlan());
    let variant = if args.options { OTHERS } else { DEFAULTS };
    let mut check = Check::new(!args.json);
    if native {
        check.add(lab::natively(&words(&args.mode, variant))?)?;
        return check.finish(args.json);
    }
    let modes = match args.mode.as_str() {
        "all" => MODES.to_vec(),
        mode => vec![mode],
    };
    let default = Kernels(vec![kernels::Kernel::V6_12]);
    let Kernels(kernels) = args.kernel.as_ref().unwrap_or(&default);
    let mut found = side_by_side::run(jobs(kernels, &modes, variant)).into_iter();
    for _ in kernels {
        let of_kernel = found.by_ref().take(modes.len());
        let of_kernel = of_kernel.collect::<Result<Vec<_>>>()?.into_iter();
        check.add(of_kernel.reduce(Findings::and).unwrap_or_default())?;
    }
    check.finish(args.json)
}

/// Every cell in every mode on one kernel, and in one mode on each other; shorter tables with the agent's other options
/// on the first. Each job returns what was wrong. On the oldest kernel the mode is the one that needs most of it, and on
/// the newest the one that is answered by the kernel as well. One machine goes through all modes.
pub(crate) fn everywhere() -> impl Iterator<Item = Job<'static, Vec<String>>> {
    use kernels::Kernel::{Latest, V6_1, V6_12};
    let all = [
        jobs(&[V6_12], &["all"], OTHERS),
        jobs(&[V6_12], &["all"], DEFAULTS),
        jobs(&[V6_1], &["l3s"], DEFAULTS),
        jobs(&[Latest], &["l2"], DEFAULTS),
    ];
    all.into_iter()
        .flatten()
        .map(|job| -> Job<'static, Vec<String>> {
            Box::new(|| {
                let mut check = Check::new(true);
                let checked = job().and_then(|findings| check.add(findings));
                let error = checked.err().map(|error| format!("demo: {error:#}"));
                check.failures.into_iter().chain(error).collect()
            })
        })
}

/// One for each mode on each kernel, kernel by kernel.
fn jobs<'a>(
    kernels: &[kernels::Kernel],
    modes: &[&'a str],
    variant: &'static str,
) -> Vec<Job<'a, Result<Findings>>> {
    let places = kernels
        .iter()
        .flat_map(|kernel| modes.iter().map(move |mode| (*kernel, *mode)));
    places
        .map(|(kernel, mode)| -> Job<'a, Result<Findings>> {
            Box::new(move || lab::in_machine(Machine::LEAN, kernel, &words(mode, variant), LIMIT))
        })
        .collect()
}

fn words<'a>(mode: &'a str, variant: &'a str) -> [&'a str; 5] {
    ["demo", "--mode", mode, "--variant", variant]
}

/// Collects what was found, and what of it is not as it must be.
struct Check {
    tables: bool,
    kernels: Vec<Kernel>,
    failures: Vec<String>,
}

impl Check {
    fn new(tables: bool) -> Self {
        Self {
            tables,
            kernels: Vec::new(),
            failures: Vec::new(),
        }
    }

    fn add(&mut self, findings: Findings) -> Result<()> {
        let Findings {
            kernel,
            cells,
            cases: _,
            faults: _,
            rows: _,
            failure,
        } = findings;
        let kernel = Kernel {
            kernel,
            modes: results::by_mode(cells),
        };
        if self.tables {
            print(&table::render(&kernel))?;
        }
        if kernel.modes.is_empty() {
            self.failures
                .push(format!("Linux {}: no cell was asked", kernel.kernel));
        }
        self.failures.extend(table::unmet(&kernel));
        self.failures.extend(failure);
        self.kernels.push(kernel);
        Ok(())
    }

    fn finish(self, json: bool) -> Result<()> {
        if json {
            let report = Report {
                schema: 1,
                kernels: self.kernels,
            };
            print(&(serde_json::to_string(&report)? + "\n"))?;
        }
        exec::fail_for("not as expected:", &self.failures)?;
        exec::say("every cell is as expected");
        Ok(())
    }
}

fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .context("cannot print the result")
}
