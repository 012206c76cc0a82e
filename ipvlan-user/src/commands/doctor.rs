//! `ipvlan doctor`

use super::{Outcome, find_places, json, screen, status::unserved};
use crate::{
    cli::{DoctorArgs, Format},
    config::Places,
    directory::Directory,
    doctor::{
        Question, examine,
        report::{Check, Report, Status},
    },
    exit::Failure,
    protocol::Line,
    runtime::{Answers, ask_all},
    text::{chain, counted},
};

/// Examines the node and prints what was found.
pub fn doctor(args: DoctorArgs) -> Result<Outcome, Failure> {
    let DoctorArgs {
        output,
        iface,
        find,
    } = args;
    let Places {
        pin_dir,
        runtime_dir,
    } = find_places(find)?;
    // A directory that cannot be read is a line of the report.
    let answers = match Directory::find(&runtime_dir) {
        Ok(Some(directory)) => {
            ask_all(
                &directory,
                |mut client| async move { client.status(true).await },
            )
        }
        Ok(None) => Ok(Answers::default()),
        Err(error) => Err(error),
    };
    let (agents, unanswered): (Vec<_>, Vec<_>) = match answers {
        Ok(answers) => {
            let failures = answers.unanswered.iter();
            let failures = failures.map(|of| format!("{}: {}", of.socket, of.error));
            let agents = answers.answers.into_iter().map(|(_, agent)| agent);
            (agents.collect(), failures.collect())
        }
        Err(error) => (Vec::new(), vec![chain(&error)]),
    };
    let interfaces: Vec<String> = iface.into_iter().map(String::from).collect();
    let unserved = unserved::find(&pin_dir, &agents).unwrap_or_default();
    let report = examine(Question {
        interfaces: &interfaces,
        agents,
        unanswered: &unanswered,
        unserved: &unserved,
        pin_dir: &pin_dir,
    })?;
    let outcome = if report.is_healthy() {
        Outcome::Well
    } else {
        Outcome::Degraded
    };
    match output.format() {
        Format::Json => json::print(&report)?,
        Format::Jsonl => {
            json::print_lines(
                &report
                    .checks
                    .into_iter()
                    .map(Line::from)
                    .collect::<Vec<_>>(),
            )?;
        }
        Format::Table => screen::print(&render(&report), output.color)?,
    }
    Ok(outcome)
}

/// Renders a report for people: a line for each check, and below it why it hurts and what mends it.
fn render(report: &Report) -> String {
    let name = |check: &Check| {
        format!("{} {}", check.id, check.subject)
            .trim_end()
            .to_owned()
    };
    let widths = report
        .checks
        .iter()
        .map(|check| name(check).chars().count());
    let width = widths
        .filter(|width| *width <= WIDEST)
        .max()
        .unwrap_or_default();
    let mut lines = Vec::new();
    for check in &report.checks {
        let status = check.status.to_string();
        lines.push(format!(
            "{status:<4}  {:<width$}  {}\n",
            name(check),
            check.found
        ));
        let details = [("why", &check.why), ("mend", &check.mend)];
        let details = details
            .into_iter()
            .filter_map(|(word, detail)| Some((word, detail.as_ref()?)));
        lines.extend(details.map(|(word, detail)| format!("      {word}: {detail}\n")));
    }
    let count = |status| report.count(status);
    lines.push(format!(
        "{}: {} failed, {}, {} skipped, {} ok\n",
        report.worst,
        count(Status::Fail),
        counted(count(Status::Warn), "warning", "warnings"),
        count(Status::Skip),
        count(Status::Ok)
    ));
    lines.concat()
}

/// The widest name that others are aligned with, in characters.
const WIDEST: usize = 48;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: Status, id: &str, subject: &str) -> Check {
        let bad = status >= Status::Warn;
        Check {
            id: id.to_owned(),
            subject: subject.to_owned(),
            status,
            found: "what was found".to_owned(),
            why: bad.then(|| "a reason".to_owned()),
            mend: bad.then(|| "a command".to_owned()),
        }
    }

    #[test]
    fn each_check_has_a_line_and_what_is_wrong_a_reason_and_a_command() {
        let report = Report {
            schema: 1,
            checks: vec![
                check(Status::Ok, "kernel.version", ""),
                check(Status::Fail, "link.up", "ens34"),
                check(Status::Skip, "kernel.jit", ""),
            ],
            worst: Status::Fail,
        };
        assert_eq!(
            render(&report),
            "ok    kernel.version  what was found\n\
             fail  link.up ens34   what was found\n      why: a reason\n      mend: a command\n\
             skip  kernel.jit      what was found\n\
             fail: 1 failed, 0 warnings, 1 skipped, 1 ok\n"
        );
    }
}
