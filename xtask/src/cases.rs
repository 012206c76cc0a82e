//! Suites of rows and their outcomes: `attacks`, `nodes`, `nics`, `differential`.

use std::time::Duration;

use comfy_table::Table;

use crate::{
    instrument::{self, Instrument},
    lab::Findings,
    results::Case,
    table::markdown,
    vm::{kernels::Kernel, machine::Machine},
};

/// Returns the instrument of a suite that is played on every kernel.
pub(crate) const fn suite(verb: &'static str) -> Instrument {
    Instrument {
        verb,
        options: |_| &[],
        limit: Duration::from_mins(20),
        prepare: instrument::NOTHING,
        machine: Machine::LEAN,
        kernels: &Kernel::ALL,
        judge: |findings| judge(findings, "Kind"),
    }
}

/// Returns what `lab` is told for a short run on every kernel: rows that one kernel is enough for are played on one.
pub(crate) fn share(kernel: Kernel) -> &'static [&'static str] {
    match kernel {
        Kernel::V6_1 => &["--share", "0/3"],
        Kernel::V6_12 => &["--share", "1/3"],
        Kernel::Latest => &["--share", "2/3"],
    }
}

/// Prints the table of docs/security-tests.md or docs/real-nodes.md, with what a row is about below `kind`;
/// returns every row without the required outcome.
pub(crate) fn judge(findings: &Findings, kind: &str) -> Vec<String> {
    println!(
        "Linux {}\n{}",
        findings.kernel,
        table(&findings.cases, kind)
    );
    let release = &findings.kernel;
    let failed = findings.cases.iter().filter(|case| !case.met);
    let mut failures: Vec<_> = failed
        .map(|case| {
            let Case {
                row,
                input,
                problem,
                ..
            } = case;
            format!("Linux {release}: {row}, {input}: {problem}")
        })
        .collect();
    if findings.cases.is_empty() {
        failures.push(format!("Linux {release}: no row was played"));
    }
    failures
}

fn table(cases: &[Case], kind: &str) -> Table {
    let header = [
        "Row",
        kind,
        "Input",
        "Kernel alone",
        "With the agent",
        "Required",
        "",
    ];
    let mut table = markdown(header, &[]);
    for case in cases {
        table.add_row([
            case.row.as_str(),
            case.kind.as_str(),
            case.input.as_str(),
            case.alone.as_str(),
            case.agent.as_str(),
            case.expected.as_str(),
            if case.met { "" } else { "FAILED" },
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case() -> Case {
        Case {
            row: "S3".to_owned(),
            kind: "container".to_owned(),
            input: "a spoofed source".to_owned(),
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
            cases: vec![
                case(),
                Case {
                    met: true,
                    ..case()
                },
            ],
            ..Findings::default()
        };
        assert_eq!(
            judge(&findings, "Attacker"),
            ["Linux 6.12: S3, a spoofed source: 3 frames arrive"]
        );
        assert_eq!(judge(&Findings::default(), "Attacker").len(), 1);
        let shown = table(&findings.cases, "Attacker").to_string();
        assert!(
            shown.contains("| S3  | container | a spoofed source |"),
            "{shown}"
        );
    }
}
