//! A row of the suite: an attack, what it does to the kernel alone, and what it does with the agent.

use std::fmt;

use anyhow::Result;
use serde::Serialize;

use crate::faults::stage::Plan;

/// The attacker of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Attacker {
    /// Root inside a container that owns a child, with `CAP_NET_ADMIN` and `CAP_NET_RAW` there.
    Container,
    /// A local user without privileges, who can make user and network namespaces.
    User,
    /// A station on the LAN.
    Station,
    /// A compromised service user `ipvlan`.
    Service,
}

impl fmt::Display for Attacker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Container => "container",
            Self::User => "local user",
            Self::Station => "LAN station",
            Self::Service => "service user",
        })
    }
}

/// An attack.
pub(super) struct Row {
    /// The row of the attack table that it belongs to.
    pub(super) number: &'static str,
    /// The attacker.
    pub(super) attacker: Attacker,
    /// The input.
    pub(super) attack: &'static str,
    /// The required outcome with the agent.
    pub(super) expected: &'static str,
    /// Plays it on topologies of its own.
    pub(super) run: fn(&Plan) -> Result<Verdict>,
}

impl Row {
    /// Returns a row.
    pub(super) const fn new(
        number: &'static str,
        attacker: Attacker,
        attack: &'static str,
        expected: &'static str,
        run: fn(&Plan) -> Result<Verdict>,
    ) -> Self {
        Self {
            number,
            attacker,
            attack,
            expected,
            run,
        }
    }
}

/// The outcome of a row.
#[derive(Clone, Debug, Default)]
pub(super) struct Verdict {
    /// What the attack did to the kernel alone.
    pub(super) alone: String,
    /// What it did with the agent.
    pub(super) agent: String,
    /// Everything that differs from the required outcome.
    pub(super) problems: Vec<String>,
}

impl Verdict {
    /// Returns the verdict of a row that could not be played to its end.
    pub(super) fn failed(error: &anyhow::Error) -> Self {
        Self {
            problems: vec![format!("{error:#}")],
            ..Self::default()
        }
    }

    /// Adds to what the attack did to the kernel alone.
    pub(super) fn alone(&mut self, text: impl AsRef<str>) {
        append(&mut self.alone, text.as_ref());
    }

    /// Adds to what it did with the agent.
    pub(super) fn agent(&mut self, text: impl AsRef<str>) {
        append(&mut self.agent, text.as_ref());
    }

    /// Records a problem unless `is_so`.
    pub(super) fn expect(&mut self, is_so: bool, otherwise: impl FnOnce() -> String) {
        if !is_so {
            self.problems.push(otherwise());
        }
    }

    /// Returns whether the outcome is the required one.
    pub(super) fn is_met(&self) -> bool {
        self.problems.is_empty()
    }
}

fn append(text: &mut String, more: &str) {
    if !text.is_empty() {
        text.push_str("; ");
    }
    text.push_str(more);
}
