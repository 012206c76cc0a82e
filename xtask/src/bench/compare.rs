//! What changed between two runs, and what grew beyond what is tolerated.

use std::path::Path;

use anyhow::{Result, ensure};

use super::{
    csv,
    report::{Report, short},
};
use crate::{paths, results::Row, table::markdown};

/// By how much what we are to blame for may grow: a tenth.
const GROWTH: f64 = 0.10;
/// Below this nothing is told: an instruction more or less is none.
const CHANGE: f64 = 0.005;
/// The unit of what does not depend on the load of a machine.
const INSTRUCTIONS: &str = "instructions";
/// How variants begin that are ours.
const OURS: &str = "agent";
/// And how others end that we are a part of.
const WITH_OURS: &str = " + agent";
/// How paths begin that are about the verifier's work.
const VERIFIER: &str = "verifier";

/// Shows what differs between the runs in two directories, by name if they are among the committed
/// ones.
pub(super) fn directories(old: &Path, new: &Path) -> Result<()> {
    let [old, new] = [old, new].map(found);
    let (old, new) = (csv::read(&old)?, csv::read(&new)?);
    ensure!(
        !old.is_empty() && !new.is_empty(),
        "nothing to compare there"
    );
    let mut compared = 0;
    for report in &new {
        for before in old.iter().filter(|old| old.instrument == report.instrument) {
            compared += 1;
            println!("{}", table(before, report));
        }
    }
    ensure!(compared > 0, "they have no instrument in common");
    Ok(())
}

fn found(path: &Path) -> std::path::PathBuf {
    let committed = paths::bench().join("runs").join(path);
    if !path.exists() && committed.exists() {
        return committed;
    }
    path.to_owned()
}

/// How many rows of ours in `new` have one in the baseline, and what of them grew too much; nothing if
/// there is no baseline for that kernel.
pub(super) fn growth(baseline: &[Report], new: &Report) -> Option<(usize, Vec<String>)> {
    let before = baseline.iter().find(|old| {
        old.instrument == new.instrument && series(&old.kernel) == series(&new.kernel)
    })?;
    let same = before.kernel == new.kernel;
    let mut compared = 0;
    let mut growth = Vec::new();
    for (old, row) in pairs(before, new).filter(|(_, row)| counts(row)) {
        compared += 1;
        let Some(change) = grown(old, row, same) else {
            continue;
        };
        let Row { path, variant, .. } = row;
        let (percent, children) = (change * 100.0, row.children);
        growth.push(format!(
            "Linux {}: {path}, {variant}, {children} children: {percent:.0} % more than the baseline",
            new.kernel
        ));
    }
    Some((compared, growth))
}

/// Ours, and repeatable.
fn counts(row: &Row) -> bool {
    let ours = row.variant.starts_with(OURS) || row.variant.ends_with(WITH_OURS);
    row.unit == INSTRUCTIONS && (ours || row.path.starts_with(VERIFIER))
}

/// On another release of a kernel its own part is another: there the ratio tells.
fn grown(old: &Row, new: &Row, same_release: bool) -> Option<f64> {
    let change = match (old.ratio, new.ratio) {
        (Some(old), Some(new)) if !same_release => relative(old, new),
        _ => relative(old.value, new.value),
    };
    (change > GROWTH).then_some(change)
}

fn relative(old: f64, new: f64) -> f64 {
    if old == 0.0 {
        return 0.0;
    }
    (new - old) / old.abs()
}

/// `6.12` of `6.12.95+deb12-cloud-amd64`.
pub(super) fn series(kernel: &str) -> String {
    kernel.split('.').take(2).collect::<Vec<_>>().join(".")
}

fn pairs<'a>(old: &'a Report, new: &'a Report) -> impl Iterator<Item = (&'a Row, &'a Row)> {
    let same = |old: &Row, new: &Row| {
        old.path == new.path && old.variant == new.variant && old.children == new.children
    };
    new.rows.iter().filter_map(move |row| {
        let before = old.rows.iter().find(|before| same(before, row));
        before.map(|before| (before, row))
    })
}

fn table(old: &Report, new: &Report) -> String {
    let header = ["path", "variant", "children", "before", "now", "", "change"];
    let mut table = markdown(header, &[2, 3, 4, 6]);
    let mut unchanged = 0;
    for (before, row) in pairs(old, new) {
        let change = relative(before.value, row.value);
        if change.abs() < CHANGE {
            unchanged += 1;
            continue;
        }
        table.add_row([
            row.path.clone(),
            row.variant.clone(),
            row.children.to_string(),
            short(before.value),
            short(row.value),
            row.unit.clone(),
            format!("{:+.1} %", change * 100.0),
        ]);
    }
    let Report { instrument, .. } = new;
    format!(
        "{instrument}: Linux {} before, {} now\n{table}\n{unchanged} rows differ by less than {} %\n",
        old.kernel,
        new.kernel,
        CHANGE * 100.0
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(kernel: &str, rows: &[(&str, f64, f64)]) -> Report {
        let rows = rows.iter().map(|(variant, value, ratio)| Row {
            path: "RX".to_owned(),
            variant: (*variant).to_owned(),
            children: 1,
            value: *value,
            unit: INSTRUCTIONS.to_owned(),
            ratio: Some(*ratio),
            goal: None,
            met: None,
        });
        Report::new("vm", kernel, rows.collect())
    }

    #[test]
    fn what_is_ours_may_grow_by_a_tenth() {
        let old = [report(
            "6.12.1",
            &[("no agent", 100.0, 1.0), ("agent", 200.0, 2.0)],
        )];
        let new = |ours| report("6.12.1", &[("no agent", 300.0, 1.0), ("agent", ours, 2.0)]);
        assert_eq!(growth(&old, &new(219.0)), Some((1, Vec::new())));
        let grown = "Linux 6.12.1: RX, agent, 1 children: 11 % more than the baseline";
        assert_eq!(growth(&old, &new(222.0)), Some((1, vec![grown.to_owned()])));
    }

    #[test]
    fn only_what_is_ours_is_compared() {
        let rows = [("no agent", 100.0, 1.0), ("ipvlan l3 + agent", 100.0, 1.0)];
        let grown = [("no agent", 900.0, 1.0), ("ipvlan l3 + agent", 900.0, 9.0)];
        let found = growth(&[report("6.12.1", &rows)], &report("6.12.1", &grown));
        assert_eq!(
            found.map(|(compared, grown)| (compared, grown.len())),
            Some((1, 1))
        );
    }

    #[test]
    fn on_another_release_the_ratio_decides() {
        let old = [report("6.12.1", &[("agent", 200.0, 2.0)])];
        let of = |kernel, value, ratio| {
            let found = growth(&old, &report(kernel, &[("agent", value, ratio)]));
            found.map(|(_, grown)| grown.len())
        };
        assert_eq!(of("6.12.2", 400.0, 2.1), Some(0));
        assert_eq!(of("6.12.2", 200.0, 2.3), Some(1));
        assert_eq!(of("7.2.13", 900.0, 9.0), None);
    }

    #[test]
    fn a_table_shows_what_changed() {
        let old = report("6.12.1", &[("no agent", 100.0, 1.0), ("agent", 200.0, 2.0)]);
        let new = report("6.12.1", &[("no agent", 100.0, 1.0), ("agent", 150.0, 1.5)]);
        let shown = table(&old, &new);
        assert!(shown.contains("-25.0 %"), "{shown}");
        assert!(shown.contains("1 rows differ by less"), "{shown}");
    }
}
