//! `cargo xtask faults`: what faults cost that are injected while traffic runs.

use std::time::Duration;

use anyhow::Result;
use comfy_table::Table;

use crate::{
    build, cases,
    instrument::{self, Instrument, NOTHING},
    lab::Findings,
    results::Fault,
    table::markdown,
    vm::{kernels::Kernel, machine::Machine},
};

/// What to inject, and where.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Args {
    #[command(flatten)]
    rows: instrument::RowArgs,
    /// More of everything: 100 000 packets for each kill, restart and upgrade
    #[arg(long)]
    long: bool,
}

/// Every fault once.
const EVERY: Instrument = Instrument {
    verb: "faults",
    options: |_| &[],
    limit: Duration::from_mins(20),
    prepare: build::next_layout,
    machine: Machine::SHIPPED,
    kernels: &Kernel::ALL,
    judge,
};

/// Every fault once, where starts are cheap; on every kernel if the kernel has a part in it.
pub(crate) const SHORT: Instrument = Instrument {
    options: cases::share,
    machine: Machine::LEAN,
    ..EVERY
};

/// What the verifier follows without `CAP_PERFMON`: a kernel without mitigations follows no speculative paths.
pub(crate) const VERIFIED: Instrument = Instrument {
    options: |_| &["--only", "only the four capabilities"],
    // That the other build is there is the business of all rows.
    prepare: NOTHING,
    ..EVERY
};

/// More of everything.
pub(crate) const LONG: Instrument = Instrument {
    options: |_| &["--long"],
    limit: Duration::from_hours(1),
    ..EVERY
};

/// Injects them.
pub(crate) fn faults(args: &Args) -> Result<()> {
    let instrument = if args.long { LONG } else { EVERY };
    instrument.run_only(&args.rows)
}

fn judge(findings: &Findings) -> Vec<String> {
    println!("Linux {}\n{}", findings.kernel, table(&findings.faults));
    let release = &findings.kernel;
    let failed = findings.faults.iter().filter(|fault| !fault.met);
    let mut failures: Vec<_> = failed
        .map(|fault| format!("Linux {release}: {}: {}", fault.name, fault.problem))
        .collect();
    if findings.faults.is_empty() {
        failures.push(format!("Linux {release}: no fault was injected"));
    }
    failures
}

/// As documents have it.
fn table(faults: &[Fault]) -> Table {
    let header = [
        "Fault",
        "Lost",
        "Sent",
        "Wrong",
        "Stale",
        "Missing",
        "Healed, ms",
        "Limit",
        "",
    ];
    let mut table = markdown(header, &[]);
    for fault in faults {
        let healed = fault.healed_ms.map(|healed| format!("{healed:.0}"));
        let verdict = if fault.met { "" } else { "FAILED" };
        table.add_row([
            fault.name.clone(),
            fault.lost.to_string(),
            fault.sent.to_string(),
            fault.wrong.to_string(),
            fault.stale.to_string(),
            fault.missing.to_string(),
            healed.unwrap_or_default(),
            format!("{:.0}", fault.limit_ms),
            verdict.to_owned(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault() -> Fault {
        Fault {
            name: "SIGKILL".to_owned(),
            sent: 5000,
            lost: 0,
            wrong: 0,
            stale: 0,
            missing: 0,
            healed_ms: Some(410.4),
            limit_ms: 1000.0,
            met: true,
            problem: String::new(),
        }
    }

    #[test]
    fn a_failure_is_told_with_its_problem() {
        let findings = Findings {
            kernel: "6.12".to_owned(),
            faults: vec![
                fault(),
                Fault {
                    met: false,
                    problem: "deaf".to_owned(),
                    ..fault()
                },
            ],
            ..Findings::default()
        };
        assert_eq!(judge(&findings), ["Linux 6.12: SIGKILL: deaf"]);
        assert_eq!(judge(&Findings::default()).len(), 1);
        let shown = table(&findings.faults).to_string();
        assert!(shown.contains("| SIGKILL | 0    | 5000 |"), "{shown}");
    }
}
