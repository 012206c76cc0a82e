//! `cargo xtask run`: the agent, built as the user, run as root.

use std::os::unix::process::CommandExt as _;

use anyhow::{Context as _, Result};

use crate::{build, exec, paths};

/// What to run.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Arguments of `ipvlan run`, for example `--iface eth0`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Builds the agent, then becomes it. Comes back only with an error.
pub(crate) fn run(args: &Args) -> Result<()> {
    build::release()?;
    let mut command = exec::as_root(paths::release("ipvlan"))?;
    command.arg("run").args(&args.arguments);
    let shown = exec::shown(&command);
    Err(command.exec()).with_context(|| format!("cannot start `{shown}`"))
}
