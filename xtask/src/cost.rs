//! `cargo xtask cost`: guest instructions per answer, ours beside the kernel's.

use std::time::Duration;

use anyhow::{Result, bail};

use crate::{
    build, lab,
    vm::{kernels::Kernel, qemu::Clock},
};

const LIMIT: Duration = Duration::from_mins(5);

/// Kernels to measure on: the lab's own programs take TCX, which 6.1 has not.
pub(crate) const KERNELS: [Kernel; 2] = [Kernel::V6_12, Kernel::Latest];

/// Where to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The kernel to boot, 6.12 or newer; without it all of those
    #[arg(long, value_enum)]
    kernel: Option<Kernel>,
}

/// Builds and measures; fails if an answer costs too much.
pub(crate) fn cost(args: &Args) -> Result<()> {
    build::release()?;
    let failures = match args.kernel {
        Some(kernel) => failures(&[kernel]),
        None => failures(&KERNELS),
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
    let findings = lab::in_machine_by(Clock::Instructions, kernel, &["cost"], LIMIT)?;
    let release = &findings.kernel;
    let mut failures: Vec<_> = findings
        .numbers
        .iter()
        .filter(|number| !number.met)
        .map(|number| {
            let (name, value, limit) = (&number.name, number.value, number.limit);
            format!("Linux {release}: {name} {value:.3}, at most {limit:.3}")
        })
        .collect();
    if findings.numbers.is_empty() {
        failures.push(format!("Linux {release}: nothing was measured"));
    }
    failures.extend(findings.failure);
    Ok(failures)
}
