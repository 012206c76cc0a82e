//! Packages of a Debian system: what is installed, what can be, and installing it.

use std::{process::Command, sync::OnceLock};

use anyhow::{Context as _, Result, bail};

use crate::exec;

/// The installed version of `package`, if it is installed.
pub(crate) fn installed(package: &str) -> Option<String> {
    let format = "${db:Status-Status} ${Version}";
    let line = exec::output(Command::new("dpkg-query").args(["-W", "-f", format, package])).ok()?;
    line.strip_prefix("installed ").map(str::to_owned)
}

/// Can `package` be installed from what this machine knows of the archive?
pub(crate) fn available(package: &str) -> bool {
    refresh().is_ok()
        && exec::output(Command::new("apt-cache").args(["policy", package])).is_ok_and(|policy| {
            policy
                .lines()
                .filter_map(|line| line.trim().strip_prefix("Candidate: "))
                .any(|candidate| candidate != "(none)")
        })
}

/// Installs those of `packages` that are not installed yet.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    let missing: Vec<_> = packages
        .iter()
        .filter(|package| installed(package).is_none())
        .copied()
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    if exec::which("apt-get").is_none() {
        bail!("no apt-get on this machine: install what these Debian packages hold: {list}");
    }
    refresh()?;
    exec::say(format!("installing {list}"));
    let mut command = as_root(&["install", "--yes", "-qq", "--no-install-recommends"])?;
    exec::progress(command.args(missing))
        .with_context(|| format!("cannot install the Debian packages {list}"))
}

/// Fetches the package lists, once per run.
fn refresh() -> Result<()> {
    static DONE: OnceLock<Result<(), String>> = OnceLock::new();
    DONE.get_or_init(|| {
        exec::say("fetching the package lists");
        as_root(&["update", "-qq"])
            .and_then(|mut command| exec::progress(&mut command))
            .map_err(|error| format!("{error:#}"))
    })
    .clone()
    .map_err(anyhow::Error::msg)
    .context("cannot fetch the package lists")
}

fn as_root(arguments: &[&str]) -> Result<Command> {
    let mut command = exec::as_root("apt-get")?;
    // Another apt may be at work on this machine: wait for its lock.
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(["-o", "DPkg::Lock::Timeout=300"])
        .args(arguments);
    Ok(command)
}
