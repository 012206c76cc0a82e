//! Which entries of the host's neighbour table are changed, and when: a pure schedule.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::{Duration, Instant},
};

use crate::lan::frame::Mac;

/// Time in which the owner of the former MAC can answer the kernel's unicast probe. A neighbour on a LAN answers
/// within milliseconds, and the entry is right within a second.
pub(super) const GRACE: Duration = Duration::from_millis(500);
/// Entries that are probed at a time: each is one frame on the LAN.
pub(super) const PROBES: usize = 10;

/// State of a neighbour entry (`NUD_*`), as far as the plan depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The kernel waits for the first answer: `NUD_INCOMPLETE`.
    Incomplete,
    /// The kernel probes the MAC that it knows: `NUD_PROBE`.
    Probe,
    /// The kernel uses the MAC that it knows: `NUD_REACHABLE`, `NUD_STALE`, `NUD_DELAY`.
    Valid,
    /// The kernel knows no MAC and asks when it has a packet to send: `NUD_FAILED`, `NUD_NONE`.
    Unresolved,
}

/// An entry that the kernel learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) address: IpAddr,
    pub(super) state: State,
    /// The MAC that the kernel sends to; none in states without one.
    pub(super) mac: Option<Mac>,
    /// Whether it is a router's (`NTF_ROUTER`).
    pub(super) router: bool,
}

/// A change of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// The address has the MAC of the parent from now on; whether it is a router's.
    Resolve(IpAddr, bool),
    /// The kernel probes the MAC that it knows, by unicast; whether the entry is a router's.
    Probe(IpAddr, bool),
    /// The entry is removed, so that the host asks again.
    Remove(IpAddr),
}

/// What decides about entries.
pub(super) struct Facts<'a> {
    /// The MAC of the parent.
    pub(super) mac: Mac,
    /// Returns whether an address is a router's; none if it is no answered address of a child.
    pub(super) answered: &'a dyn Fn(IpAddr) -> Option<bool>,
    /// Returns whether a MAC is known to answer for every address: its answers are no evidence.
    pub(super) answers_for_all: &'a dyn Fn(Mac) -> bool,
}

/// The entries whose former MAC is being probed.
#[derive(Debug, Default)]
pub(super) struct Plan {
    probed: BTreeMap<IpAddr, Probed>,
    /// Entries whose MAC answered: they are not probed again.
    kept: BTreeMap<IpAddr, Mac>,
}

#[derive(Clone, Copy, Debug)]
struct Probed {
    mac: Mac,
    until: Instant,
}

impl Plan {
    /// Returns when to read the entries again; none if nothing is being probed. Entries beyond [`PROBES`] have
    /// their turn then, too.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.probed.values().map(|of| of.until).min()
    }

    /// Returns what is to be changed in `entries`, all those of the parent that the kernel learned.
    pub(super) fn changes(
        &mut self,
        now: Instant,
        entries: &[Entry],
        facts: &Facts<'_>,
    ) -> Vec<Change> {
        let known: BTreeSet<IpAddr> = entries
            .iter()
            .filter(|entry| (facts.answered)(entry.address).is_some())
            .map(|entry| entry.address)
            .collect();
        self.probed.retain(|address, _| known.contains(address));
        self.kept.retain(|address, _| known.contains(address));
        // Those that are due make room for others.
        let decided: Vec<Option<Change>> = entries
            .iter()
            .map(|entry| self.decided(now, entry, facts))
            .collect();
        let changes = entries.iter().zip(decided);
        changes
            .filter_map(|(entry, change)| change.or_else(|| self.begun(now, entry, facts)))
            .collect()
    }

    /// Returns the change of an entry that needs no probe, or whose probe has ended.
    fn decided(&mut self, now: Instant, entry: &Entry, facts: &Facts<'_>) -> Option<Change> {
        let address = entry.address;
        let Some(router) = (facts.answered)(address) else {
            return (entry.mac == Some(facts.mac)).then_some(Change::Remove(address));
        };
        let resolve = Some(Change::Resolve(address, router));
        match (entry.state, entry.mac) {
            (State::Incomplete, _) => resolve,
            (_, mac) if mac.is_none_or(|mac| mac == facts.mac) => {
                self.probed.remove(&address);
                self.kept.remove(&address);
                None
            }
            (_, None) => None,
            (_, Some(mac)) if (facts.answers_for_all)(mac) => {
                self.probed.remove(&address);
                resolve
            }
            (state, Some(mac)) => {
                let probed = *self.probed.get(&address)?;
                if state == State::Probe && probed.mac == mac {
                    if now < probed.until {
                        return None;
                    }
                    self.probed.remove(&address);
                    return resolve;
                }
                // A station answered or sent something: it is there.
                self.probed.remove(&address);
                self.kept.insert(address, mac);
                None
            }
        }
    }

    /// Returns the probe of an entry that has the MAC of another station.
    fn begun(&mut self, now: Instant, entry: &Entry, facts: &Facts<'_>) -> Option<Change> {
        let address = entry.address;
        (facts.answered)(address)?;
        let mac = entry.mac.filter(|&mac| mac != facts.mac)?;
        if (facts.answers_for_all)(mac)
            || self.probed.contains_key(&address)
            || self.kept.get(&address) == Some(&mac)
        {
            return None;
        }
        if self.probed.len() >= PROBES {
            return None;
        }
        self.kept.remove(&address);
        let until = now + GRACE;
        self.probed.insert(address, Probed { mac, until });
        Some(Change::Probe(address, entry.router))
    }
}

#[cfg(test)]
mod tests;
