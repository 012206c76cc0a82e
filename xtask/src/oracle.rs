//! `cargo xtask oracle`: the agent's answers beside the kernel's, frame by frame.

use std::time::Duration;

use anyhow::{Result, bail};

use crate::{build, lab, vm::kernels::Kernel};

const LIMIT: Duration = Duration::from_mins(6);

/// Where to compare.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The kernel to boot; without it all three, one after the other
    #[arg(long, value_enum)]
    kernel: Option<Kernel>,
}

/// Builds and compares; fails if an answer differs that may not.
pub(crate) fn oracle(args: &Args) -> Result<()> {
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

/// Compares on each of `kernels`, and says where and why that failed.
pub(crate) fn failures(kernels: &[Kernel]) -> Vec<String> {
    kernels
        .iter()
        .filter_map(
            |kernel| match lab::in_machine(*kernel, &["oracle"], LIMIT) {
                Ok(findings) => findings.failure,
                Err(error) => Some(format!("{kernel}: {error:#}")),
            },
        )
        .collect()
}
