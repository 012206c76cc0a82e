//! Where things are: the workspace, and the places under its target directory that the verbs fill.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

/// The root of the workspace.
pub(crate) fn workspace() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// Cargo's target directory; everything that is built or downloaded goes below it.
pub(crate) fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(directory) => workspace().join(directory),
        None => workspace().join("target"),
    }
}

/// Tools that were built for this workspace: bpf-linker, cargo-deny.
pub(crate) fn tools() -> PathBuf {
    target().join("tools")
}

/// What the virtual machines need and leave behind.
pub(crate) fn vm() -> PathBuf {
    target().join("vm")
}

/// A binary of the release build.
pub(crate) fn release(name: &str) -> PathBuf {
    target().join("release").join(name)
}

/// The agent with another layout of its maps.
pub(crate) fn next() -> PathBuf {
    target().join("next").join("ipvlan")
}

/// Committed measurements: the baseline, and runs.
pub(crate) fn bench() -> PathBuf {
    workspace().join("bench")
}

/// Makes `path` a directory and gives it back.
pub(crate) fn directory(path: PathBuf) -> Result<PathBuf> {
    fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
    Ok(path)
}

/// Returns the text of a file.
pub(crate) fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Returns what is in a directory, in the order of names.
pub(crate) fn list(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries =
        fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))?;
    let mut paths = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}
