//! `bench prog`: native nanoseconds of each program, on this host's kernel, as root.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};

use super::report::Report;
use crate::{
    exec,
    results::{self, Line},
    test,
};

pub(super) const NAME: &str = "prog";

/// Measures; the test binary behind it says what, and checks every run.
pub(super) fn measure(quick: bool) -> Result<Report> {
    exec::say("measuring: programs on this host's kernel");
    let file = tempfile::NamedTempFile::new().context("cannot make a file for the results")?;
    run(exec::progress, quick, Some(file.path()))?;
    let text = fs::read_to_string(file.path()).context("cannot read the results")?;
    let rows: Vec<_> = results::parse(&text)?
        .into_iter()
        .filter_map(|line| match line {
            Line::Row(row) => Some(row),
            _ => None,
        })
        .collect();
    ensure!(!rows.is_empty(), "nothing was measured");
    let kernel = exec::output(Command::new("uname").arg("-r"))?;
    Ok(Report::new(NAME, kernel.trim(), rows))
}

/// Has `how` run it; rows are printed where there is no file for them.
pub(crate) fn run(
    how: fn(&mut Command) -> Result<()>,
    quick: bool,
    rows: Option<&Path>,
) -> Result<()> {
    let path = rows.map(|path| ("IPVLAN_BENCH_RESULTS", path.display().to_string()));
    let quick = quick.then(|| ("IPVLAN_BENCH_QUICK", "1".to_owned()));
    let settings: Vec<_> = path.into_iter().chain(quick).collect();
    test::as_root_by(how, "bench_prog", &settings)
}
