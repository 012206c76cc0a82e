//! The tables of docs/security-tests.md, docs/real-nodes.md and docs/reliability.md, and every row without the required
//! outcome.

use comfy_table::Table;

use crate::{
    lab::Findings,
    results::{Case, Fault},
    table::markdown,
};

/// Prints the outcomes of attacks, nodes or cards, with what a row is about below `kind`; returns every failure.
pub(crate) fn judge(findings: &Findings, kind: &str) -> Vec<String> {
    let failed = findings.cases.iter().filter(|case| !case.met);
    let failures = failed.map(|case| format!("{}, {}: {}", case.row, case.input, case.problem));
    judged(findings, &table(&findings.cases, kind), failures)
}

/// Prints what faults did; returns every failure.
pub(crate) fn judge_faults(findings: &Findings) -> Vec<String> {
    let failed = findings.faults.iter().filter(|fault| !fault.met);
    let failures = failed.map(|fault| format!("{}: {}", fault.name, fault.problem));
    judged(findings, &fault_table(&findings.faults), failures)
}

fn judged(
    findings: &Findings,
    table: &Table,
    failures: impl Iterator<Item = String>,
) -> Vec<String> {
    let release = &findings.kernel;
    println!("Linux {release}\n{table}");
    let nothing = table.row_count() == 0;
    let nothing = nothing.then(|| "no row was played".to_owned());
    let failures = failures.chain(nothing);
    failures
        .map(|failure| format!("Linux {release}: {failure}"))
        .collect()
}

const fn verdict(met: bool) -> &'static str {
    if met { "" } else { "FAILED" }
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
    table.add_rows(cases.iter().map(|case| {
        [
            &case.row,
            &case.kind,
            &case.input,
            &case.alone,
            &case.agent,
            &case.expected,
            verdict(case.met),
        ]
    }));
    table
}

fn fault_table(faults: &[Fault]) -> Table {
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
    table.add_rows(faults.iter().map(|fault| {
        let healed = fault.healed_ms.map(|healed| format!("{healed:.0}"));
        [
            fault.name.clone(),
            fault.lost.to_string(),
            fault.sent.to_string(),
            fault.wrong.to_string(),
            fault.stale.to_string(),
            fault.missing.to_string(),
            healed.unwrap_or_default(),
            format!("{:.0}", fault.limit_ms),
            verdict(fault.met).to_owned(),
        ]
    }));
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::{Line, parse};

    const CASE: &str = r#"{"type":"case","row":"S3","kind":"container","input":"a spoofed source","alone":"0 arrive","agent":"3 arrive","expected":"0 frames at a sibling","met":false,"problem":"3 frames arrive"}"#;
    const FAULT: &str = r#"{"type":"fault","fault":"SIGKILL","sent":5000,"lost":0,"wrong":0,"stale":0,"missing":0,"healed_ms":410.4,"limit_ms":1000,"met":false,"problem":"deaf"}"#;

    /// What the lab found that wrote this line, and the same once more as it has to be.
    fn findings(line: &str) -> Findings {
        let good = line.replace(r#""met":false"#, r#""met":true"#);
        let mut findings = Findings {
            kernel: "6.12".to_owned(),
            ..Findings::default()
        };
        for line in parse(&format!("{line}\n{good}\n")).unwrap() {
            match line {
                Line::Case(case) => findings.cases.push(case),
                Line::Fault(fault) => findings.faults.push(fault),
                _ => unreachable!("neither"),
            }
        }
        findings
    }

    #[test]
    fn a_failure_names_row_and_problem() {
        let findings = findings(CASE);
        let failure = "Linux 6.12: S3, a spoofed source: 3 frames arrive";
        assert_eq!(judge(&findings, "Attacker"), [failure]);
        assert_eq!(judge(&Findings::default(), "Attacker").len(), 1);
        let shown = table(&findings.cases, "Attacker").to_string();
        let row = "| S3  | container | a spoofed source |";
        assert!(shown.contains(row), "{shown}");
    }

    #[test]
    fn a_fault_that_is_not_mended_is_a_failure_with_its_problem() {
        let findings = findings(FAULT);
        assert_eq!(judge_faults(&findings), ["Linux 6.12: SIGKILL: deaf"]);
        assert_eq!(judge_faults(&Findings::default()).len(), 1);
        let shown = fault_table(&findings.faults).to_string();
        assert!(shown.contains("| SIGKILL | 0    | 5000 |"), "{shown}");
    }
}
