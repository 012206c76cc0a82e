//! What rows read in the status of an agent.

use std::{collections::BTreeMap, net::IpAddr};

use serde::Deserialize;
use serde_json::Value;

/// A parent in the status of an agent.
#[derive(Debug, Deserialize)]
pub(crate) struct Parent {
    pub(crate) state: String,
    pub(crate) reason: Option<String>,
    pub(crate) flag: Option<String>,
    pub(crate) hooks: Vec<Hook>,
    counters: BTreeMap<String, BTreeMap<String, u64>>,
    pub(crate) notes: Vec<String>,
    pub(crate) conflicts: Vec<Conflict>,
    pub(crate) events: Vec<Event>,
}

/// An attached program.
#[derive(Debug, Deserialize)]
pub(crate) struct Hook {
    pub(crate) hook: String,
    pub(crate) attach: String,
}

/// A conflict about an address.
#[derive(Debug, Deserialize)]
pub(crate) struct Conflict {
    pub(crate) kind: String,
    pub(crate) address: IpAddr,
    pub(crate) netns: Netns,
}

/// The netns of a child.
#[derive(Debug, Deserialize)]
pub(crate) struct Netns {
    pub(crate) names: Vec<String>,
}

/// An event about an address.
#[derive(Debug, Deserialize)]
pub(crate) struct Event {
    pub(crate) kind: String,
    pub(crate) address: Option<IpAddr>,
    pub(crate) mac: Option<String>,
    pub(crate) action: String,
}

impl Parent {
    /// Returns the only parent of an agent, if the agent serves one.
    pub(crate) fn of(status: &Value) -> Option<Self> {
        serde_json::from_value(status["parents"][0].clone()).ok()
    }

    /// Returns how many frames had this outcome at this hook.
    pub(crate) fn counter(&self, hook: &str, reason: &str) -> u64 {
        let counters = self.counters.get(hook);
        let count = counters.and_then(|counters| counters.get(reason));
        count.copied().unwrap_or_default()
    }

    /// Returns whether a note contains `text`.
    pub(crate) fn notes(&self, text: &str) -> bool {
        self.notes.iter().any(|note| note.contains(text))
    }

    /// Returns whether there is a conflict of this kind about `address`.
    pub(crate) fn conflicts(&self, kind: &str, address: IpAddr) -> bool {
        let mut conflicts = self.conflicts.iter();
        conflicts.any(|it| it.kind == kind && it.address == address)
    }
}
