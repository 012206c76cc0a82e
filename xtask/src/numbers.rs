//! `cargo xtask numbers`: what was promised of the agent, measured on real ipvlan devices.

use std::time::Duration;

use anyhow::{Result, bail};

use crate::{build, lab, vm::kernels::Kernel};

const LIMIT: Duration = Duration::from_mins(5);

/// Where to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The kernel to boot; without it all three, one after the other
    #[arg(long, value_enum)]
    kernel: Option<Kernel>,
}

/// Builds and measures; fails if something is far beyond its limit.
pub(crate) fn numbers(args: &Args) -> Result<()> {
    build::release()?;
    let failures = match args.kernel {
        Some(kernel) => failures(&[kernel]),
        None => failures(&Kernel::ALL),
    };
    if failures.is_empty() {
        return Ok(());
    }
    bail!("{}", failures.join("\n"))
}

/// Measures on each of `kernels`, and says where and why that failed.
pub(crate) fn failures(kernels: &[Kernel]) -> Vec<String> {
    let measure =
        |kernel: &Kernel| on(*kernel).unwrap_or_else(|error| vec![format!("{kernel}: {error:#}")]);
    kernels.iter().flat_map(measure).collect()
}

fn on(kernel: Kernel) -> Result<Vec<String>> {
    let findings = lab::in_machine(kernel, &["numbers"], LIMIT)?;
    for number in &findings.numbers {
        println!(
            "Linux {}: {} {:.1} {} (at most {} {}){}",
            findings.kernel,
            number.name,
            number.value,
            number.unit,
            number.limit,
            number.unit,
            if number.met { "" } else { "  TOO MUCH" },
        );
    }
    let mut failures = Vec::from_iter(findings.failure);
    if findings.numbers.is_empty() {
        failures.push(format!("Linux {}: nothing was measured", findings.kernel));
    }
    Ok(failures)
}
