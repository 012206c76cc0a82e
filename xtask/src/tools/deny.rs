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
    exec::progress(&mut super::cargo_install("cargo-deny", VERSION))?;
    Ok(wanted)
}

/// Where cargo-deny is.
pub(crate) fn binary() -> PathBuf {
    paths::tools().join("bin/cargo-deny")
}
