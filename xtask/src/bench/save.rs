//! Where a run is kept: its rows, its pictures, and what it was made with.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use super::{csv, plot, report::Report};
use crate::{exec, paths, results::Row};

/// Writes reports to `bench/runs/DATE-KERNEL`, one directory for each kernel; says where.
pub(super) fn save(reports: &[Report]) -> Result<()> {
    let mut kernels: Vec<&str> = reports
        .iter()
        .map(|report| report.kernel.as_str())
        .collect();
    kernels.sort_unstable();
    kernels.dedup();
    let date = exec::output(Command::new("date").args(["-u", "+%F"]))?;
    for kernel in kernels {
        let of_kernel: Vec<_> = reports
            .iter()
            .filter(|report| report.kernel == kernel)
            .collect();
        let directory = paths::bench()
            .join("runs")
            .join(format!("{}-{kernel}", date.trim()));
        let directory = paths::directory(directory)?;
        let mut text = format!("# {}, Linux {kernel}\n\n{}", date.trim(), made_with()?);
        for report in of_kernel {
            csv::write(
                report,
                &directory.join(format!("{}.csv", report.instrument)),
            )?;
            let pictures = plot::draw(report, &directory)?;
            text += &section(report, &pictures);
        }
        let readme: PathBuf = directory.join("README.md");
        fs::write(&readme, text).with_context(|| format!("cannot write {}", readme.display()))?;
        exec::say(format!("kept in {}", shown(&directory)));
    }
    Ok(())
}

fn shown(path: &Path) -> String {
    let below = path.strip_prefix(paths::workspace()).unwrap_or(path);
    below.display().to_string()
}

/// Machine, versions, commit and command.
fn made_with() -> Result<String> {
    let cpus = fs::read_to_string("/proc/cpuinfo").context("cannot read /proc/cpuinfo")?;
    let models: Vec<&str> = cpus
        .lines()
        .filter_map(|line| line.strip_prefix("model name")?.split(": ").nth(1))
        .collect();
    let first = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.current_dir(paths::workspace()).args(arguments);
        let told = exec::output(&mut command).unwrap_or_else(|_| "not known".to_owned());
        told.lines().next().unwrap_or_default().to_owned()
    };
    let commit = first("git", &["rev-parse", "HEAD"]);
    let mut changed = Command::new("git");
    changed
        .current_dir(paths::workspace())
        .args(["status", "--porcelain", "--untracked-files=no"]);
    let changed = exec::output(&mut changed).is_ok_and(|files| !files.trim().is_empty());
    let command: Vec<_> = std::env::args().skip(1).collect();
    Ok(format!(
        "| | |\n|---|---|\n\
         | Machine | {} x {} |\n\
         | Its kernel | {} |\n\
         | Emulator, of `vm` and `converge` | {} |\n\
         | Compiler | {} |\n\
         | Commit | {commit}{} |\n\
         | Command | `cargo xtask {}` |\n\n",
        models.len(),
        models.first().unwrap_or(&"not known"),
        first("uname", &["-sr"]),
        first("qemu-system-x86_64", &["--version"]),
        first("rustc", &["--version"]),
        if changed { " and changes" } else { "" },
        command.join(" ")
    ))
}

fn section(report: &Report, pictures: &[String]) -> String {
    let (all, met) = report.goals();
    let goals = report.rows.iter().filter(|row| row.goal.is_some());
    let lines: Vec<_> = goals.map(goal).collect();
    let shown: Vec<_> = pictures
        .iter()
        .map(|picture| format!("![{picture}]({picture})\n"))
        .collect();
    format!(
        "## {0}\nAll rows: [{0}.csv]({0}.csv). {met} of {all} goals met.\n\n\
         | | | children | value | ratio | at most | |\n|---|---|---|---|---|---|---|\n{1}\n{2}\n",
        report.instrument,
        lines.concat(),
        shown.concat()
    )
}

fn goal(row: &Row) -> String {
    let ratio = row.ratio.map(|ratio| format!("{ratio:.3}"));
    let most = row.goal.map(|goal| format!("{goal:.3}"));
    let verdict = match row.met {
        Some(true) => "met",
        Some(false) => "**missed**",
        None => "",
    };
    format!(
        "| {} | {} | {} | {:.1} {} | {} | {} | {verdict} |\n",
        row.path,
        row.variant,
        row.children,
        row.value,
        row.unit,
        ratio.unwrap_or_default(),
        most.unwrap_or_default(),
    )
}
