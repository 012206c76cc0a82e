//! Where a run is kept: its rows, its pictures, and what it was made with.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use super::{
    csv, plot,
    report::{Report, table},
};
use crate::{exec, paths, vm::arch::ARCH};

/// Writes reports to `bench/runs/DATE-KERNEL`, one directory for each kernel; says where. What other
/// instruments have left there stays.
pub(super) fn save(reports: &[Report]) -> Result<()> {
    let date = exec::output(Command::new("date").args(["-u", "+%F"]))?;
    let date = date.trim();
    for report in reports {
        let name = format!("{date}-{}", report.kernel);
        let directory = paths::directory(paths::bench().join("runs").join(name))?;
        csv::write(
            report,
            &directory.join(format!("{}.csv", report.instrument)),
        )?;
        let pictures = plot::draw(report, &directory)?;
        let readme: PathBuf = directory.join("README.md");
        let title = format!("# {date}, Linux {}\n", report.kernel);
        let before = fs::read_to_string(&readme).unwrap_or(title);
        let text = with_section(&before, &section(report, &pictures)?);
        fs::write(&readme, text).with_context(|| format!("cannot write {}", readme.display()))?;
        exec::say(format!("kept in {}", shown(&directory)));
    }
    Ok(())
}

/// The text with this section; an older one of the same name gives way to it.
fn with_section(text: &str, section: &str) -> String {
    const MARK: &str = "\n## ";
    let name = |section: &str| section.lines().next().unwrap_or_default().to_owned();
    let mut parts: Vec<&str> = text.trim_end().split(MARK).collect();
    let title = parts.remove(0);
    parts.retain(|part| name(part) != name(section));
    parts.push(section);
    parts.sort_unstable();
    let sections: Vec<_> = parts
        .iter()
        .map(|part| format!("{MARK}{}\n", part.trim_end()))
        .collect();
    format!("{}\n{}", title.trim_end(), sections.concat())
}

fn shown(path: &Path) -> String {
    let below = path.strip_prefix(paths::workspace()).unwrap_or(path);
    below.display().to_string()
}

/// Machine, versions, commit and command.
fn made_with() -> Result<String> {
    let cpus = paths::read(Path::new("/proc/cpuinfo"))?;
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
        .args(["status", "--porcelain", "--untracked-files=no"])
        // But for what is being written.
        .args(["--", ".", ":!bench"]);
    let changed = exec::output(&mut changed).is_ok_and(|files| !files.trim().is_empty());
    let command: Vec<_> = std::env::args().skip(1).collect();
    Ok(format!(
        "| | |\n|---|---|\n\
         | Machine | {} x {} |\n\
         | Its kernel | {} |\n\
         | Emulator, of `vm` and `numbers` | {} |\n\
         | Compiler | {} |\n\
         | Commit | {commit}{} |\n\
         | Command | `cargo xtask {}` |\n\n",
        models.len(),
        models.first().unwrap_or(&"not known"),
        first("uname", &["-sr"]),
        first(ARCH.emulator, &["--version"]),
        first("rustc", &["--version"]),
        if changed { " and changes" } else { "" },
        command.join(" ")
    ))
}

fn section(report: &Report, pictures: &[String]) -> Result<String> {
    let (all, met) = report.goals();
    let goals = report.rows.iter().filter(|row| row.goal.is_some());
    let shown = pictures
        .iter()
        .map(|picture| format!("![{picture}]({picture})\n"));
    Ok(format!(
        "{0}\nAll rows: [{0}.csv]({0}.csv). {met} of {all} goals met.\n\n{3}{1}\n\n{2}\n",
        report.instrument,
        table(goals),
        shown.collect::<String>(),
        made_with()?
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_takes_the_place_of_one_of_the_same_name() {
        let one = with_section("# today\n", "vm\nold\n");
        assert_eq!(one, "# today\n\n## vm\nold\n");
        let two = with_section(&one, "converge\nrows\n");
        assert_eq!(two, "# today\n\n## converge\nrows\n\n## vm\nold\n");
        let three = with_section(&two, "vm\nnew\n");
        assert_eq!(three, "# today\n\n## converge\nrows\n\n## vm\nnew\n");
    }
}
