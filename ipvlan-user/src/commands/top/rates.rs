//! Rates of children and parents from two answers of the agents.

use std::{collections::BTreeMap, time::Duration};

use ipvlan_common::{REASONS, ReasonClass};

use crate::protocol::{
    Agent, Child, ChildCounters, Conflict, Counters, LinkRates, LinkStats, Netns, Parent, Rates,
    TopAgent, TopChild, TopParent,
};

/// What identifies a parent: the netns of its agent, and its name. Another agent can serve it later.
type ParentKey = (u64, String);

/// What identifies a child, whichever agent serves it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ChildKey {
    parent: String,
    inode: Option<u64>,
    nsid: Option<i32>,
    ifindex: u32,
}

impl ChildKey {
    pub(super) fn of(parent: &str, child: &Child) -> Self {
        Self {
            parent: parent.to_owned(),
            inode: child.netns.inode,
            nsid: child.netns.nsid,
            ifindex: child.ifindex,
        }
    }
}

/// The counters at one moment.
#[derive(Debug)]
pub(super) struct Counted {
    /// Since any moment that is the same for all.
    at: Duration,
    parents: BTreeMap<ParentKey, u64>,
    children: BTreeMap<ChildKey, (ChildCounters, LinkStats)>,
}

/// The agents, parents and children, with their rates.
#[derive(Debug, Default)]
pub(super) struct Measured {
    /// Time between the two answers; none for the first.
    pub(super) interval: Option<Duration>,
    pub(super) agents: Vec<TopAgent>,
    pub(super) children: Vec<TopChild>,
}

/// Whether the kernel's counters of links were read for each answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkCounters {
    /// They were.
    Fresh,
    /// They are those of the last change or audit.
    Kept,
}

/// Returns the answers of agents at the moment `at` with the rates since `before`, and their counters.
pub(super) fn measure(
    answers: Vec<(u32, Agent)>,
    at: Duration,
    before: Option<&Counted>,
    links: LinkCounters,
) -> (Measured, Counted) {
    let mut counted = Counted {
        at,
        parents: BTreeMap::new(),
        children: BTreeMap::new(),
    };
    let mut measured = Measured {
        interval: before.map(|before| at.saturating_sub(before.at)),
        ..Measured::default()
    };
    // Two answers at the same moment have no rate.
    let since = measured.interval.filter(|it| !it.is_zero()).zip(before);
    for (pid, agent) in answers {
        let mut parents = Vec::new();
        for parent in agent.parents {
            let answered = answered(&parent.counters);
            let key = (agent.netns, parent.name.clone());
            let earlier = since.and_then(|(time, before)| Some((time, *before.parents.get(&key)?)));
            let rate =
                earlier.and_then(|(time, before)| Some(per(answered.checked_sub(before)?, time)));
            counted.parents.insert(key, answered);
            parents.push(summary(&parent, rate));
            for child in parent.children {
                let key = ChildKey::of(&parent.name, &child);
                let rates = since.and_then(|(time, before)| {
                    let (counters, link) = before.children.get(&key)?;
                    let mut rates = rates(counters, &child.counters, time)?;
                    if links == LinkCounters::Fresh {
                        rates.link = link_rates(link, &child.link, time);
                    }
                    Some(rates)
                });
                let now = (child.counters.clone(), child.link.clone());
                counted.children.insert(key, now);
                measured.children.push(TopChild {
                    agent: pid,
                    parent: parent.name.clone(),
                    conflicts: of_child(&parent.conflicts, &child),
                    child,
                    per_second: rates,
                });
            }
        }
        measured.agents.push(TopAgent {
            pid,
            sync: agent.sync,
            parents,
        });
    }
    (measured, counted)
}

/// Returns how many frames the programs of a parent answered, as the counters of all hooks have it.
fn answered(counters: &Counters) -> u64 {
    let is_answer = |word: &str| {
        let mut reasons = REASONS.iter();
        let reason = reasons.find(|reason| reason.word() == word);
        reason.is_some_and(|reason| reason.class() == ReasonClass::Answered)
    };
    let of_hooks = counters.0.values().flatten();
    of_hooks
        .filter(|(word, _)| is_answer(word))
        .fold(0, |sum, (_, frames)| sum.saturating_add(*frames))
}

fn summary(parent: &Parent, answered_per_second: Option<f64>) -> TopParent {
    TopParent {
        name: parent.name.clone(),
        state: parent.state.clone(),
        reason: parent.reason.clone(),
        children: parent.children.len() as u64,
        children_up: parent.children.iter().filter(|of| of.up).count() as u64,
        conflicts: parent.conflicts.len() as u64,
        answered_per_second,
    }
}

/// Returns the conflicts about a child.
fn of_child(conflicts: &[Conflict], child: &Child) -> Vec<Conflict> {
    let place = |of: &Netns| (of.nsid, of.inode);
    let is_its = |of: &&Conflict| of.child == child.name && place(&of.netns) == place(&child.netns);
    conflicts.iter().filter(is_its).cloned().collect()
}

/// Returns the rates of the counters of a child; none if one of them has become smaller.
fn rates(before: &ChildCounters, now: &ChildCounters, time: Duration) -> Option<Rates> {
    let rate = |now: u64, before: u64| Some(per(now.checked_sub(before)?, time));
    Some(Rates {
        answered: rate(now.answered, before.answered)?,
        hairpinned: rate(now.hairpinned, before.hairpinned)?,
        redirected: rate(now.redirected, before.redirected)?,
        refused: rate(now.refused, before.refused)?,
        link: None,
    })
}

fn link_rates(before: &LinkStats, now: &LinkStats, time: Duration) -> Option<LinkRates> {
    let rate = |now: u64, before: u64| Some(per(now.checked_sub(before)?, time));
    Some(LinkRates {
        rx_packets: rate(now.rx_packets, before.rx_packets)?,
        rx_bytes: rate(now.rx_bytes, before.rx_bytes)?,
        tx_packets: rate(now.tx_packets, before.tx_packets)?,
        tx_bytes: rate(now.tx_bytes, before.tx_bytes)?,
    })
}

/// Returns a number per second, with one decimal.
#[expect(
    clippy::cast_precision_loss,
    reason = "a rate is shown with few digits"
)]
fn per(number: u64, time: Duration) -> f64 {
    (number as f64 / time.as_secs_f64() * 10.0).round() / 10.0
}

/// Returns the digits that a person reads of a rate; `-` if it is not known.
pub(super) fn shown(rate: Option<f64>) -> String {
    let Some(rate) = rate else {
        return "-".to_owned();
    };
    let units = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")];
    match units.into_iter().find(|(least, _)| rate >= *least) {
        Some((1e4, unit)) => format!("{:.1}{unit}", rate / 1e3),
        Some((least, unit)) => format!("{:.1}{unit}", rate / least),
        None if rate.fract() > 0.0 && rate < 10.0 => format!("{rate:.1}"),
        None => format!("{rate:.0}"),
    }
}

#[cfg(test)]
mod tests;
