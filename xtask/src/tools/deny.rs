//! cargo-deny: licences, sources, duplicate and banned crates, known vulnerabilities.

use std::{path::PathBuf, process::Command};

use anyhow::Result;

use crate::{exec, paths};

const VERSION: &str = "0.20.2";

/// Installs cargo-deny; gives its version.
pub(crate) fn install() -> Result<String> {
    let wanted = format!("cargo-deny {VERSION}");
    let found = exec::output(Command::new(binary()).arg("--version"));
    if found.is_ok_and(|found| found.trim() == wanted) {
        return Ok(wanted);
    }
    exec::say(format!("building {wanted} (some minutes, once)"));
    let mut command = Command::new("cargo");
    command
        .args(["install", "cargo-deny", "--version", VERSION])
        // It runs for a second; optimising it, or being able to debug it, would take minutes.
        .env("CARGO_PROFILE_DEV_DEBUG", "false")
        .args(["--locked", "--no-default-features", "--debug", "--root"])
        .arg(paths::tools());
    exec::progress(&mut command)?;
    Ok(wanted)
}

/// Where cargo-deny is.
pub(crate) fn binary() -> PathBuf {
    paths::tools().join("bin/cargo-deny")
}
