//! What rows read in the status of an agent.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use serde::Deserialize;
use serde_json::Value;

/// A parent in the status of an agent.
#[derive(Debug, Deserialize)]
pub(crate) struct Parent {
    pub(crate) name: String,
    pub(crate) state: String,
    pub(crate) reason: Option<String>,
    pub(crate) mode: Option<String>,
    pub(crate) flag: Option<String>,
    pub(crate) hooks: Vec<Attached>,
    counters: BTreeMap<String, BTreeMap<String, u64>>,
    pub(crate) notes: Vec<String>,
    pub(crate) conflicts: Vec<Conflict>,
    pub(crate) events: Vec<Event>,
    pub(crate) children: Vec<Child>,
}

/// An attached program.
#[derive(Debug, PartialEq, Eq, PartialOrd, Deserialize)]
pub(crate) struct Attached {
    pub(crate) hook: String,
    pub(crate) attach: String,
    program_id: u32,
}

/// A child.
#[derive(Debug, Deserialize)]
pub(crate) struct Child {
    pub(crate) name: String,
    pub(crate) netns: Netns,
    pub(crate) addresses: Vec<ChildAddress>,
}

/// An address of a child.
#[derive(Debug, Deserialize)]
pub(crate) struct ChildAddress {
    /// With the length of its prefix.
    pub(crate) address: String,
    pub(crate) state: String,
    reason: Option<String>,
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
    /// None where it has no name, and the agent may not be allowed to know.
    pub(crate) inode: Option<u64>,
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

    /// Returns which of `addresses` are refused, and why.
    pub(crate) fn refusals(&self, addresses: &[IpAddr]) -> BTreeSet<(IpAddr, String)> {
        let known = self.children.iter().flat_map(|child| &child.addresses);
        let refused = known.filter_map(|known| Some((known.ip()?, known.reason.clone()?)));
        refused
            .filter(|(address, _)| addresses.contains(address))
            .collect()
    }
}

impl ChildAddress {
    fn ip(&self) -> Option<IpAddr> {
        self.address.split_once('/')?.0.parse().ok()
    }
}
