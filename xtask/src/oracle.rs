//! `cargo xtask oracle`: the agent's answers beside the kernel's, frame by frame.

use std::time::Duration;

use anyhow::{Result, bail};

use crate::{build, lab, vm::kernels::Kernel};

const LIMIT: Duration = Duration::from_mins(8);

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
    match args.kernel {
        Some(kernel) => on(&[kernel]),
        None => on(&Kernel::ALL),
    }
}

/// Compares on each of `kernels`.
pub(crate) fn on(kernels: &[Kernel]) -> Result<()> {
    let mut failures = Vec::new();
    for kernel in kernels {
        failures.extend(lab::in_machine(*kernel, &["oracle"], LIMIT)?.failure);
    }
    if failures.is_empty() {
        return Ok(());
    }
    bail!("{}", failures.join("\n"))
}
