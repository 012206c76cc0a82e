//! What the checks found.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::text::printable_start;

/// Version of these structures.
pub const SCHEMA: u32 = 1;

/// Longest text of a field, in characters: names and answers of agents are part of it.
const LONGEST: usize = 1024;

/// The outcome of a check. Later variants are worse.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// As it has to be.
    Ok,
    /// Not checked: a privilege or a program is missing.
    Skip,
    /// Hurts some children, or may hurt them.
    Warn,
    /// Makes children unreachable.
    Fail,
}

impl fmt::Display for Status {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Ok => "ok",
            Self::Skip => "skip",
            Self::Warn => "warn",
            Self::Fail => "fail",
        })
    }
}

/// One line of the report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// The check, as docs/doctor.md lists it.
    pub id: String,
    /// What was checked: a parent, a child, an agent; empty for the host.
    pub subject: String,
    /// The outcome.
    pub status: Status,
    /// What was found.
    pub found: String,
    /// Why it hurts children; none if it does not.
    pub why: Option<String>,
    /// The command that mends it; none if there is nothing to mend, or no command does.
    pub mend: Option<String>,
}

impl Check {
    fn new(status: Status, id: &str, subject: &str, found: &str) -> Self {
        Self {
            id: id.to_owned(),
            subject: shown(subject),
            status,
            found: shown(found),
            why: None,
            mend: None,
        }
    }

    /// Returns a line about something that is as it has to be.
    pub(super) fn ok(id: &str, subject: &str, found: impl AsRef<str>) -> Self {
        Self::new(Status::Ok, id, subject, found.as_ref())
    }

    /// Returns a line about something that could not be checked.
    pub(super) fn skip(id: &str, subject: &str, reason: impl AsRef<str>) -> Self {
        Self::new(Status::Skip, id, subject, reason.as_ref())
    }

    /// Returns a line about something that hurts some children, or may hurt them.
    pub(super) fn warn(
        id: &str,
        subject: &str,
        found: impl AsRef<str>,
        why: impl AsRef<str>,
    ) -> Self {
        let check = Self::new(Status::Warn, id, subject, found.as_ref());
        Self {
            why: Some(shown(why.as_ref())),
            ..check
        }
    }

    /// Returns a line about something that makes children unreachable.
    pub(super) fn fail(
        id: &str,
        subject: &str,
        found: impl AsRef<str>,
        why: impl AsRef<str>,
    ) -> Self {
        Self {
            status: Status::Fail,
            ..Self::warn(id, subject, found, why)
        }
    }

    /// Returns the line with the command that mends it.
    pub(super) fn mend(self, command: impl AsRef<str>) -> Self {
        Self {
            mend: Some(shown(command.as_ref())),
            ..self
        }
    }
}

fn shown(text: &str) -> String {
    printable_start(text, LONGEST)
}

/// The output of `ipvlan doctor`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// The version of this structure.
    pub schema: u32,
    /// The lines, in the order of the checks.
    pub checks: Vec<Check>,
    /// The worst outcome of a line.
    pub worst: Status,
}

impl Report {
    /// Returns the report with these lines.
    pub(super) fn of(checks: Vec<Check>) -> Self {
        let worst = checks.iter().map(|check| check.status).max();
        Self {
            schema: SCHEMA,
            worst: worst.unwrap_or(Status::Ok),
            checks,
        }
    }

    /// Returns how many lines have this outcome.
    #[must_use]
    pub fn count(&self, status: Status) -> usize {
        let checks = self.checks.iter();
        checks.filter(|check| check.status == status).count()
    }

    /// Returns whether nothing is degraded or failed.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.worst < Status::Warn
    }
}

/// Returns a word as a shell takes it: the names of links are chosen by containers too.
pub(super) fn word(text: &str) -> String {
    let is_plain =
        |character: char| character.is_ascii_alphanumeric() || "._:@/%+,=-".contains(character);
    if !text.is_empty() && !text.starts_with('-') && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_line_is_that_of_the_report() {
        let ok = || Check::ok("a", "", "");
        let skip = || Check::skip("b", "", "");
        let warn = || Check::warn("c", "", "", "");
        let fail = || Check::fail("d", "", "", "");
        for (checks, worst, healthy) in [
            (vec![], Status::Ok, true),
            (vec![ok()], Status::Ok, true),
            (vec![skip(), ok()], Status::Skip, true),
            (vec![ok(), warn(), skip()], Status::Warn, false),
            (vec![fail(), warn(), ok()], Status::Fail, false),
        ] {
            let report = Report::of(checks);
            assert_eq!(report.worst, worst, "{report:?}");
            assert_eq!(report.is_healthy(), healthy, "{report:?}");
        }
    }

    #[test]
    fn what_a_container_chose_neither_controls_a_terminal_nor_a_shell() {
        let check = Check::fail("a", "e\n\x1b[31m", "x".repeat(5000), "why")
            .mend(format!("ip link set dev {} up", word("a;reboot'")));
        assert_eq!(check.subject, r"e\u{a}\u{1b}[31m");
        assert!(check.found.len() < 1100);
        assert_eq!(
            check.mend.as_deref(),
            Some(r"ip link set dev 'a;reboot'\''' up")
        );
        for (text, expected) in [
            ("eth0.5", "eth0.5"),
            ("", "''"),
            ("-x", "'-x'"),
            ("a b", "'a b'"),
            ("$(x)", "'$(x)'"),
        ] {
            assert_eq!(word(text), expected);
        }
    }
}
