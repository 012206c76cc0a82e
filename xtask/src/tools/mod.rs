//! What the verbs need from the machine, found or installed. Asking twice changes nothing.

pub(crate) mod apt;
pub(crate) mod clients;
pub(crate) mod deny;
pub(crate) mod linker;
pub(crate) mod toolchain;
pub(crate) mod unpacked;

use std::{ffi::OsString, path::Path, process::Command};

use anyhow::{Context as _, Result};

use self::toolchain::Toolchain;
use crate::paths;

/// The search path with this workspace's tools in front, then those of an installed toolchain.
pub(crate) fn search_path(toolchain: &Toolchain) -> Result<OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut directories = vec![paths::tools().join("bin")];
    // Without rustup the build takes the first compiler on the search path.
    if toolchain.name.starts_with('/') && crate::exec::which("rustup").is_none() {
        directories.push(Path::new(&toolchain.name).join("bin"));
    }
    std::env::join_paths(directories.into_iter().chain(std::env::split_paths(&path)))
        .context("the path of this workspace cannot stand in PATH (it contains a colon)")
}

/// Returns the command that builds a tool for this workspace, without its default features. Not optimised, and nothing to
/// debug it by: one runs for a second, the other spends its time in LLVM, and either would take minutes more.
fn cargo_install(tool: &str, version: &str) -> Command {
    let mut command = Command::new("cargo");
    command
        .env("CARGO_PROFILE_DEV_DEBUG", "false")
        .args(["install", tool, "--version", version])
        .args(["--locked", "--no-default-features", "--debug", "--root"])
        .arg(paths::tools());
    command
}
