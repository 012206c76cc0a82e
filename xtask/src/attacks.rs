//! `cargo xtask attacks`: attacks on a node whose children the agent serves, without and with the agent.

use std::time::Duration;

use anyhow::Result;
use comfy_table::{Table, presets};

use crate::{
    instrument::{self, Instrument},
    lab::Findings,
    results::Attack,
    vm::{kernels::Kernel, qemu::Clock},
};

/// What to play, and where.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Args {
    #[command(flatten)]
    at: instrument::Args,
    /// More of everything: a million frames of the generator
    #[arg(long)]
    long: bool,
    /// Only the rows of this number, or whose attack contains this; can be given several times
    #[arg(long, value_name = "TEXT")]
    only: Vec<String>,
}

/// Every attack once.
pub(crate) const SHORT: Instrument = Instrument {
    verb: "attacks",
    options: |_| &[],
    limit: Duration::from_mins(20),
    prepare: instrument::NOTHING,
    clock: Clock::Any,
    kernels: &Kernel::ALL,
    judge,
};

/// More of everything.
pub(crate) const LONG: Instrument = Instrument {
    options: |_| &["--long"],
    limit: Duration::from_hours(1),
    ..SHORT
};

/// Plays them.
pub(crate) fn attacks(args: &Args) -> Result<()> {
    let instrument = if args.long { LONG } else { SHORT };
    instrument.run_only(&args.at, &args.only)
}

fn judge(findings: &Findings) -> Vec<String> {
    println!("Linux {}\n{}", findings.kernel, table(&findings.attacks));
    let release = &findings.kernel;
    let failed = findings.attacks.iter().filter(|attack| !attack.met);
    let mut failures: Vec<_> = failed
        .map(|attack| {
            let Attack {
                row, name, problem, ..
            } = attack;
            format!("Linux {release}: {row}, {name}: {problem}")
        })
        .collect();
    if findings.attacks.is_empty() {
        failures.push(format!("Linux {release}: no attack was played"));
    }
    failures
}

/// The table of docs/security-tests.md.
fn table(attacks: &[Attack]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header([
        "Row",
        "Attacker",
        "Attack",
        "Kernel alone",
        "With the agent",
        "Required",
        "",
    ]);
    for attack in attacks {
        table.add_row([
            attack.row.as_str(),
            attack.attacker.as_str(),
            attack.name.as_str(),
            attack.alone.as_str(),
            attack.agent.as_str(),
            attack.expected.as_str(),
            if attack.met { "" } else { "FAILED" },
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attack() -> Attack {
        Attack {
            row: "S3".to_owned(),
            attacker: "container".to_owned(),
            name: "a spoofed source".to_owned(),
            alone: "0 arrive".to_owned(),
            agent: "3 arrive".to_owned(),
            expected: "0 frames at a sibling".to_owned(),
            met: false,
            problem: "3 frames arrive".to_owned(),
        }
    }

    #[test]
    fn a_failure_names_row_and_problem() {
        let findings = Findings {
            kernel: "6.12".to_owned(),
            attacks: vec![
                attack(),
                Attack {
                    met: true,
                    ..attack()
                },
            ],
            ..Findings::default()
        };
        assert_eq!(
            judge(&findings),
            ["Linux 6.12: S3, a spoofed source: 3 frames arrive"]
        );
        assert_eq!(judge(&Findings::default()).len(), 1);
        let shown = table(&findings.attacks).to_string();
        assert!(
            shown.contains("| S3  | container | a spoofed source |"),
            "{shown}"
        );
    }
}
