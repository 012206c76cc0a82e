//! A row of a suite: an input, its outcome with the kernel alone, and its outcome with the agent.

use std::fmt;

use anyhow::Result;
use serde::Serialize;

use crate::faults::stage::Plan;

/// What a row is about: an attacker, or the kind of a finding on real nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Root inside a container that owns a child, with `CAP_NET_ADMIN` and `CAP_NET_RAW` there.
    Container,
    /// A local user without privileges, who can make user and network namespaces.
    User,
    /// A station on the LAN.
    Station,
    /// A compromised service user `ipvlan`.
    Service,
    /// Works without the agent and has to with it.
    Regression,
    /// The agent must not say that it is ready where nothing is answered.
    Silent,
    /// What people expect of the agent.
    Gap,
    /// What worked from the start and has to stay so.
    Held,
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Container => "container",
            Self::User => "local user",
            Self::Station => "LAN station",
            Self::Service => "service user",
            Self::Regression => "regression",
            Self::Silent => "silent failure",
            Self::Gap => "gap",
            Self::Held => "held",
        })
    }
}

/// A row.
pub(crate) struct Row {
    /// The row of the table of attacks or of real nodes that it belongs to.
    pub(crate) number: &'static str,
    /// What it is about.
    pub(crate) kind: Kind,
    /// The input.
    pub(crate) input: &'static str,
    /// The required outcome with the agent.
    pub(crate) expected: &'static str,
    /// Plays it on topologies of its own.
    pub(crate) run: fn(&Plan) -> Result<Verdict>,
    /// Whether one kernel is enough: the outcome depends on what the agent does, not on the programs or on what a kernel
    /// offers to them.
    pub(crate) any_kernel: bool,
}

impl Row {
    /// Returns a row.
    pub(crate) const fn new(
        number: &'static str,
        kind: Kind,
        input: &'static str,
        expected: &'static str,
        run: fn(&Plan) -> Result<Verdict>,
    ) -> Self {
        Self {
            number,
            kind,
            input,
            expected,
            run,
            any_kernel: false,
        }
    }

    /// Returns the row as one that one kernel is enough for.
    pub(crate) const fn on_any_kernel(self) -> Self {
        Self {
            any_kernel: true,
            ..self
        }
    }
}

/// The outcome of a row.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdict {
    /// The outcome with the kernel alone.
    pub(crate) alone: String,
    /// The outcome with the agent.
    pub(crate) agent: String,
    /// Everything that differs from the required outcome.
    pub(crate) problems: Vec<String>,
}

impl Verdict {
    /// Returns the verdict of a row that could not be played to its end.
    pub(crate) fn failed(error: &anyhow::Error) -> Self {
        Self {
            problems: vec![format!("{error:#}")],
            ..Self::default()
        }
    }

    /// Adds to the outcome with the kernel alone.
    pub(crate) fn alone(&mut self, text: impl AsRef<str>) {
        append(&mut self.alone, text.as_ref());
    }

    /// Adds to the outcome with the agent.
    pub(crate) fn agent(&mut self, text: impl AsRef<str>) {
        append(&mut self.agent, text.as_ref());
    }

    /// Records a problem unless `is_so`.
    pub(crate) fn expect(&mut self, is_so: bool, otherwise: impl FnOnce() -> String) {
        if !is_so {
            self.problems.push(otherwise());
        }
    }

    /// Returns whether the outcome is the required one.
    pub(crate) fn is_met(&self) -> bool {
        self.problems.is_empty()
    }
}

fn append(text: &mut String, more: &str) {
    if !text.is_empty() {
        text.push_str("; ");
    }
    text.push_str(more);
}
