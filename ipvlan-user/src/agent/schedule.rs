//! How much of the kernel's state is read again, and how soon.
//!
//! A wake is followed at once. What wakes during a sync, and for as long after it as it took, is followed
//! together: under unending churn syncs take at most half of a processor, and a quiet host does not wait.
//!
//! **Each netns has a share.** After a netns was read it rests until the reading is no more than its share of the time
//! that passed (`--netns-time`, a tenth by default); no other netns waits for that. Of those that are dirty, the
//! ones that took the least lately and have waited the longest are read first, those with a child of ours before those
//! without, and at most about [`SLICE`] of them at a time. A netns that cannot be read is tried again later and later.
//!
//! Everything is read at most once in [`WHOLE_GAP`], or when `status` asks, and in slices: what wakes
//! meanwhile is followed between two of them. What any user can cause ([`Dirty::later`]) is followed by a full
//! scan as well, but full scans for no other reason take at most one twentieth of the time.

mod costs;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use self::costs::Costs;
use crate::{
    discover::{Dirty, Part, Renewed, Scope},
    facts::NetnsId,
    quota::{Exceeded, Quota},
};

/// Shortest time from the end of a sync to the next: what changes meanwhile is one wake.
const MIN_GAP: Duration = Duration::from_millis(1);
/// Longest such time, also while a long sync runs again and again.
pub(super) const MAX_GAP: Duration = Duration::from_millis(100);
/// How long everything is read at a time; the netns that is read then comes on top.
pub(super) const SLICE: Duration = Duration::from_millis(5);
/// Longest time that a slice waits for parts.
const SLICE_WAITS: Duration = Duration::from_millis(5);
/// Shortest time from one sync of everything to the next.
const WHOLE_GAP: Duration = Duration::from_millis(100);
/// Full scans that can be put off rest this many times as long as the last one took.
const LATER: u32 = 19;
/// Longest time that such a scan is put off.
const MAX_LATER: Duration = Duration::from_secs(10);
/// Longest time to the next try after a failed sync, and longest rest of a netns.
const MAX_BACKOFF: Duration = Duration::from_secs(5);
/// A netns waits this many times as long as reading it took lately before others no longer overtake it.
const PATIENCE: u32 = 500;
/// Longest time that it waits for that reason.
const MAX_PATIENCE: Duration = Duration::from_secs(1);
/// A netns without a child of ours waits so much longer.
const CHILDLESS: Duration = Duration::from_millis(250);

/// How much of the snapshot is taken anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refresh {
    /// Nothing: what the LAN reports changed what is made of it.
    Model,
    /// Parts, and no more.
    Parts(BTreeMap<NetnsId, Part>),
    /// Everything, of which this is the beginning.
    Sweep(Scope),
    /// More of it.
    Slice,
}

/// Everything is being read.
#[derive(Debug)]
struct Sweeping {
    started: Instant,
    /// When to go on.
    due: Instant,
    /// What its slices took so far.
    took: Duration,
}

/// A part of a netns that is dirty, and since when.
#[derive(Debug)]
struct DirtyPart {
    part: Part,
    since: Instant,
}

/// What is to be done, and when.
#[derive(Debug)]
pub(super) struct Pending {
    model: bool,
    dirty: BTreeMap<NetnsId, DirtyPart>,
    everything: bool,
    /// Everything, when there is time.
    later: bool,
    /// Nothing is done before.
    due: Instant,
    /// Everything is not read before, unless `status` asks.
    whole_due: Instant,
    /// Nor is it when it can be put off.
    later_due: Instant,
    /// Since when a client waits for everything to be read.
    asked: Option<Instant>,
    sweeping: Option<Sweeping>,
    failures: u32,
    costs: Costs,
    exceeded: Exceeded,
}

impl Pending {
    /// Nothing is.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            model: false,
            dirty: BTreeMap::new(),
            everything: false,
            later: false,
            due: now,
            whole_due: now,
            later_due: now,
            asked: None,
            sweeping: None,
            failures: 0,
            costs: Costs::new(),
            exceeded: Exceeded::new(),
        }
    }

    /// Sets the share of a processor that reading one netns may take, in percent.
    pub(super) fn set_share(&mut self, percent: u32) {
        self.costs.set_share(percent);
    }

    /// How often each netns was dirty and not read because its share was used up, and whether it has
    /// more addresses than its quota.
    pub(super) const fn exceeded(&self) -> &Exceeded {
        &self.exceeded
    }

    /// Decides anew, of what is known.
    pub(super) const fn add_model(&mut self) {
        self.model = true;
    }

    /// Reads everything anew.
    pub(super) const fn add_everything(&mut self) {
        self.everything = true;
    }

    /// Reads everything anew for a client that waits for it.
    pub(super) fn ask(&mut self, now: Instant) {
        self.asked.get_or_insert(now);
    }

    /// Reads anew what is dirty. News does not wait for the end of a long pause after failures.
    pub(super) fn add(&mut self, now: Instant, dirty: Dirty) {
        let Dirty {
            parts,
            everything,
            later,
        } = dirty;
        for (id, part) in parts {
            let rests = self.costs.rests_until(id);
            if rests.is_some_and(|until| until > now + MIN_GAP) && !self.dirty.contains_key(&id) {
                *self.exceeded.entry((id, Quota::Time)).or_default() += 1;
            }
            self.mark(now, id, part);
        }
        self.everything |= everything;
        self.later |= later;
        self.due = self.due.min(now + MAX_GAP);
        self.whole_due = self.whole_due.min(now + WHOLE_GAP);
    }

    /// Reads anew what was not read now; that is not news.
    pub(super) fn keep(&mut self, now: Instant, parts: BTreeMap<NetnsId, Part>) {
        for (id, part) in parts {
            self.mark(now, id, part);
        }
    }

    fn mark(&mut self, now: Instant, id: NetnsId, part: Part) {
        let dirty = self
            .dirty
            .entry(id)
            .or_insert(DirtyPart { part, since: now });
        dirty.part = dirty.part.max(part);
    }

    /// Whether everything is to be read anew, or is being read.
    pub(super) const fn is_whole(&self) -> bool {
        self.everything || self.sweeping.is_some()
    }

    /// Whether the last sync failed, and was not made good yet.
    pub(super) const fn has_failed(&self) -> bool {
        self.failures > 0
    }

    /// When to call [`Self::take`]; `None` if there is nothing to do.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let whole = self.next_of_whole();
        if self.failures > 0 {
            // Only that will do.
            return whole;
        }
        [whole, self.next_of_parts()].into_iter().flatten().min()
    }

    fn next_of_whole(&self) -> Option<Instant> {
        let due = self.whole_waits_since()?;
        Some(
            if self.sweeping.is_none() && self.asked.is_some_and(|asked| asked <= due) {
                due
            } else {
                due.max(self.due)
            },
        )
    }

    /// Since when everything, or the next slice of it, is due, but for the rest after what was done last.
    fn whole_waits_since(&self) -> Option<Instant> {
        if let Some(sweeping) = &self.sweeping {
            return Some(sweeping.due);
        }
        let everything = self.everything.then_some(self.whole_due);
        let later = self.later.then(|| self.whole_due.max(self.later_due));
        [everything, later, self.asked].into_iter().flatten().min()
    }

    fn next_of_parts(&self) -> Option<Instant> {
        if self.model {
            return Some(self.due);
        }
        let ends = self.dirty.keys().map(|&id| self.rests_until(id));
        Some(ends.min()?.max(self.due))
    }

    fn rests_until(&self, id: NetnsId) -> Instant {
        self.costs.rests_until(id).unwrap_or(self.due)
    }

    /// Takes what is due. `has_child` tells whether a netns is known to hold a child of ours.
    pub(super) fn take(
        &mut self,
        now: Instant,
        has_child: impl Fn(NetnsId) -> bool,
    ) -> Option<Refresh> {
        let is_due = |due: Option<Instant>| due.is_some_and(|due| due <= now);
        // Everything does not wait for ever while parts are due again and again.
        let whole_waits = self
            .whole_waits_since()
            .is_none_or(|due| now < due + SLICE_WAITS);
        if whole_waits && self.failures == 0 && is_due(self.next_of_parts()) {
            let parts = self.take_parts(now, has_child);
            if parts.is_some() {
                return parts;
            }
        }
        if !is_due(self.next_of_whole()) {
            return None;
        }
        if self.sweeping.is_some() {
            return Some(Refresh::Slice);
        }
        Some(Refresh::Sweep(self.begin(now)))
    }

    fn begin(&mut self, now: Instant) -> Scope {
        self.sweeping = Some(Sweeping {
            started: now,
            due: now,
            took: Duration::ZERO,
        });
        self.asked = None;
        if self.failures > 0 {
            // They are part of it, and nothing is done before it.
            self.dirty.clear();
        }
        let everything = std::mem::take(&mut self.everything);
        let later = std::mem::take(&mut self.later);
        if everything || later {
            Scope::Everything
        } else {
            Scope::KnownNetns
        }
    }

    fn take_parts(&mut self, now: Instant, has_child: impl Fn(NetnsId) -> bool) -> Option<Refresh> {
        if self.model {
            self.model = false;
            return Some(Refresh::Model);
        }
        let mut ready: Vec<(Instant, NetnsId)> = self
            .dirty
            .iter()
            .filter(|&(&id, _)| self.rests_until(id) <= now)
            .map(|(&id, dirty)| {
                let patience = (self.costs.lately(now, id) * PATIENCE).min(MAX_PATIENCE);
                let patience = match id {
                    NetnsId::Own => Duration::ZERO,
                    _ if has_child(id) => patience,
                    NetnsId::Nsid(_) => patience + CHILDLESS,
                };
                (dirty.since + patience, id)
            })
            .collect();
        ready.sort_unstable();
        let mut parts = BTreeMap::new();
        let mut expected = Duration::ZERO;
        for (_, id) in ready {
            // One at least.
            if !parts.is_empty() && expected + self.costs.expected(id) > SLICE {
                continue;
            }
            expected += self.costs.expected(id);
            parts.extend(self.dirty.remove(&id).map(|dirty| (id, dirty.part)));
        }
        (!parts.is_empty()).then_some(Refresh::Parts(parts))
    }

    /// Lets each netns that was read rest, and keeps what could not be read. `took` is all that the sync took: what
    /// exceeds the reading itself is charged in proportion to it, unless something else was read with them.
    pub(super) fn charge(&mut self, ended: Instant, renewed: &Renewed, took: Option<Duration>) {
        for &id in renewed.took.keys() {
            // How many more there are is not known: the reading stops there.
            let missing = u64::from(renewed.over_quota.contains(&id));
            self.exceeded.insert((id, Quota::Addresses), missing);
        }
        self.exceeded.retain(|_, count| *count > 0);
        self.costs.charge(ended, renewed, took);
        self.keep(ended, renewed.dirty.clone());
    }

    /// A sync of parts, or of what is known, went well.
    pub(super) fn done(&mut self, started: Instant, ended: Instant) {
        self.rest(started, ended);
    }

    /// A slice of everything went well; nothing has changed by it yet.
    pub(super) fn sliced(&mut self, started: Instant, ended: Instant) {
        self.rest(started, ended);
        if let Some(sweeping) = &mut self.sweeping {
            sweeping.took += ended.saturating_duration_since(started);
            sweeping.due = self.due;
        }
    }

    /// Whatever was done, nothing is done for as long as it took.
    fn rest(&mut self, started: Instant, ended: Instant) {
        let took = ended.saturating_duration_since(started);
        self.due = ended + took.clamp(MIN_GAP, MAX_GAP);
    }

    /// The last slice did, and with it the sync of everything.
    pub(super) fn swept(&mut self, started: Instant, ended: Instant) {
        self.sliced(started, ended);
        self.failures = 0;
        if let Some(Sweeping { started, took, .. }) = self.sweeping.take() {
            self.whole_due = self.due.max(started + WHOLE_GAP);
            self.later_due = ended + (took * LATER).clamp(WHOLE_GAP, MAX_LATER);
        }
    }

    /// A sync failed: everything is read anew, later and later.
    pub(super) fn failed(&mut self, now: Instant) {
        self.failures += 1;
        self.sweeping = None;
        self.asked = None;
        self.everything = true;
        self.due = now + backoff(self.failures);
        self.whole_due = self.due;
    }
}

/// 100 ms, 200 ms, 400 ms, … up to [`MAX_BACKOFF`].
pub(super) fn backoff(failures: u32) -> Duration {
    (MAX_GAP * 2_u32.saturating_pow(failures.saturating_sub(1))).min(MAX_BACKOFF)
}

#[cfg(test)]
mod tests;
