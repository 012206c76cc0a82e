//! What a process costs, from `/proc`.

use std::{fs, path::Path};

use anyhow::{Context, Result};

use super::as_float;

/// What `pid` keeps in memory.
pub(crate) fn resident_megabytes(pid: u32) -> Result<f64> {
    let kibibytes = field(Path::new(&format!("/proc/{pid}/status")), "VmRSS:")?;
    Ok(as_float(kibibytes)? * 1024.0 / 1e6)
}

/// Returns the peak of what `pid` kept in memory, since it started or since the peak was reset.
pub(crate) fn peak_megabytes(pid: u32) -> Result<f64> {
    let kibibytes = field(Path::new(&format!("/proc/{pid}/status")), "VmHWM:")?;
    Ok(as_float(kibibytes)? * 1024.0 / 1e6)
}

/// How often the threads of `pid` went to sleep so far, and so how often they woke up.
pub(super) fn wakes(pid: u32) -> Result<u64> {
    let tasks = format!("/proc/{pid}/task");
    let mut wakes = 0;
    for task in fs::read_dir(&tasks).with_context(|| format!("cannot list {tasks}"))? {
        wakes += field(&task?.path().join("status"), "voluntary_ctxt_switches:")?;
    }
    Ok(wakes)
}

fn field(path: &Path, name: &str) -> Result<u64> {
    let shown =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    shown
        .lines()
        .find_map(|line| {
            line.strip_prefix(name)?
                .split_whitespace()
                .next()?
                .parse()
                .ok()
        })
        .with_context(|| format!("no {name} in {}", path.display()))
}
