//! Incidents between children and the LAN: the last ones for `status`, and their log lines, whose rate is limited for
//! each netns.

mod incident;

use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
    time::{Duration, Instant, SystemTime},
};

use self::incident::Group;
pub use self::incident::Incident;
use super::{frame::Mac, pace::Pace};
pub use crate::protocol::{Action, EventKind as Kind};

/// How many incidents are kept.
pub const KEPT: usize = 256;
/// Shortest time between two log lines about the same.
const LINE_INTERVAL: Duration = Duration::from_secs(10);
/// Most log lines per second in the long run, and at once: stations can have many MACs.
const LINES: (u32, u32) = (5, 50);
/// The same about children of one netns.
const LINES_OF_NETNS: (u32, u32) = (1, 10);
/// How many netns are remembered whose lines are counted.
const GROUPS: usize = 256;

/// An incident that was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What happened; `action` is the most that was done about it.
    pub incident: Incident,
    /// When it happened first.
    pub first: SystemTime,
    /// When it happened last.
    pub last: SystemTime,
    /// How often it happened.
    pub times: u64,
    /// Number of the last of these times, among all incidents.
    number: u64,
    /// How often since the last log line about it.
    unlogged: u64,
    logged: Option<Instant>,
}

/// The last [`KEPT`] incidents of a parent, each once however often it happens.
#[derive(Debug)]
pub struct Incidents {
    /// The one that happened last is at the back.
    entries: VecDeque<Entry>,
    /// How many were recorded.
    recorded: u64,
    lines: Pace,
    lines_of: BTreeMap<Group, Pace>,
    /// How many there were of each kind. There are few kinds.
    totals: Vec<(Kind, u64)>,
    /// How often an address was defended.
    defended: u64,
}

impl Incidents {
    /// Returns an empty record.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        let (rate, burst) = LINES;
        Self {
            entries: VecDeque::new(),
            recorded: 0,
            lines: Pace::new(now, rate, burst),
            lines_of: BTreeMap::new(),
            totals: Vec::new(),
            defended: 0,
        }
    }

    /// Records an incident. Returns how often it happened since its last log line, if it is to be logged now.
    pub fn record(&mut self, now: Instant, at: SystemTime, incident: Incident) -> Option<u64> {
        self.count(incident.kind);
        let known = self
            .entries
            .iter()
            .rposition(|entry| entry.incident.is_again(&incident))
            .and_then(|index| self.entries.remove(index));
        // That an address is yielded is logged at once.
        let yields = incident.action == Action::Yielded
            && known
                .as_ref()
                .is_none_or(|entry| entry.incident.action != Action::Yielded);
        let mut entry = match known {
            Some(mut entry) => {
                let action = entry.incident.action.max(incident.action);
                entry.incident = Incident { action, ..incident };
                entry
            }
            None => Entry {
                incident,
                first: at,
                last: at,
                times: 0,
                number: 0,
                unlogged: 0,
                logged: None,
            },
        };
        entry.last = at;
        entry.times += 1;
        self.recorded += 1;
        entry.number = self.recorded;
        entry.unlogged += 1;
        let recently = entry
            .logged
            .is_some_and(|logged| now.saturating_duration_since(logged) < LINE_INTERVAL);
        let logs =
            (!recently || yields) && take_line(&mut self.lines, &mut self.lines_of, now, &entry);
        let times = logs.then_some(entry.unlogged);
        if logs {
            entry.logged = Some(now);
            entry.unlogged = 0;
        }
        if self.entries.len() == KEPT {
            self.make_room();
        }
        self.entries.push_back(entry);
        times
    }

    /// Changes the action of the last recorded claim of an address by this MAC.
    pub fn raise(&mut self, address: IpAddr, mac: Mac, action: Action) {
        self.defended += u64::from(action == Action::Defended);
        let is_it = |of: &Incident| {
            (of.kind, of.address, of.mac) == (Kind::Claim, Some(address), Some(mac))
        };
        let mut entries = self.entries.iter_mut().rev();
        if let Some(entry) = entries.find(|entry| is_it(&entry.incident)) {
            entry.incident.action = entry.incident.action.max(action);
        }
    }

    /// Removes the oldest entry of the netns that has the most: one cannot push out those of others.
    fn make_room(&mut self) {
        let mut counts = BTreeMap::<Group, usize>::new();
        for entry in &self.entries {
            *counts.entry(entry.incident.group()).or_default() += 1;
        }
        let most = counts.values().copied().max().unwrap_or_default();
        let oldest = self
            .entries
            .iter()
            .position(|entry| counts.get(&entry.incident.group()) == Some(&most));
        if let Some(oldest) = oldest {
            self.entries.remove(oldest);
        }
    }

    /// Returns how many incidents were recorded, those that are not kept any more included.
    #[must_use]
    pub const fn recorded(&self) -> u64 {
        self.recorded
    }

    /// Returns the incidents that happened after this number of them was recorded, as far as they are kept, oldest first.
    pub fn since(&self, recorded: u64) -> impl Iterator<Item = &Entry> {
        let entries = self.entries.iter();
        entries.filter(move |entry| entry.number > recorded)
    }

    fn count(&mut self, kind: Kind) {
        match self.totals.iter_mut().find(|(of, _)| *of == kind) {
            Some((_, count)) => *count += 1,
            None => self.totals.push((kind, 1)),
        }
    }

    /// Returns how many there were of each kind, those that are not kept any more included.
    pub fn totals(&self) -> impl Iterator<Item = (Kind, u64)> {
        self.totals.iter().copied()
    }

    /// Returns how often an address was defended.
    #[must_use]
    pub const fn defended(&self) -> u64 {
        self.defended
    }

    /// Returns the incidents that are kept, oldest first.
    #[must_use]
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = &Entry> + ExactSizeIterator {
        self.entries.iter()
    }
}

/// Whether one more line may be logged, of all and of the netns that it is about.
fn take_line(
    all: &mut Pace,
    of_each: &mut BTreeMap<Group, Pace>,
    now: Instant,
    entry: &Entry,
) -> bool {
    if of_each.len() >= GROUPS {
        of_each.retain(|_, pace| !pace.is_full(now));
    }
    let group = entry.incident.group();
    let (rate, burst) = LINES_OF_NETNS;
    let mut pace = of_each
        .remove(&group)
        .unwrap_or_else(|| Pace::new(now, rate, burst));
    let may = (group.is_none() || pace.has(now, 1)) && all.take(now);
    if group.is_some() && of_each.len() < GROUPS {
        if may {
            pace.spend(now, 1);
        }
        of_each.insert(group, pace);
    }
    may
}

#[cfg(test)]
mod tests;
