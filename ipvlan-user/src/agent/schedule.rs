//! How much of the kernel's state is read again, and how soon.
//!
//! A wake is followed at once, and syncs of up to [`MAX_GAP`] each take at most half of a processor: each adds the time
//! that it took to a debt, which time without a sync pays. A chunk of a full scan waits until the debt is paid, but at
//! most [`CHUNK_WAITS`] longer than everything else, which waits until the debt is at most [`CHUNK`]. Only the start of a
//! scan that `status` asks for does not wait. So a quiet host does not wait, what wakes during a chunk is followed right
//! after it, and what wakes under unending churn is followed together.
//!
//! **Each netns has a share.** After a netns was read it rests until the reading is no more than its share of the time
//! that passed (`--netns-time`, a tenth by default); no other netns waits for that. Of those that are dirty, the
//! ones that took the least lately and have waited the longest are read first, those with a child of ours before those
//! without, and at most about [`CHUNK`] of them at a time. A netns that cannot be read is tried again later and later.
//!
//! Everything is read at most once in [`WHOLE_GAP`], or when `status` asks, and in chunks: what wakes
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
    protocol::QuotaKind,
    quota::Exceeded,
};

/// Shortest time from the end of a sync to the next: what changes meanwhile is one wake.
const MIN_GAP: Duration = Duration::from_millis(1);
/// Longest such time, also while a long sync runs again and again, and the longest debt.
pub(super) const MAX_GAP: Duration = Duration::from_millis(100);
/// How long a chunk of a full scan takes; the netns that is read at its end comes on top. Also the debt with which
/// parts are read.
pub(super) const CHUNK: Duration = Duration::from_millis(5);
/// Longest time that a chunk waits for parts.
const CHUNK_WAITS: Duration = Duration::from_millis(5);
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
    /// Nothing: events of the LAN changed what is made of it.
    Model,
    /// Parts, and no more.
    Parts(BTreeMap<NetnsId, Part>),
    /// The beginning of a full scan.
    FullScan(Scope),
    /// The next chunk of it.
    Chunk,
}

/// A full scan.
#[derive(Debug)]
struct Scan {
    started: Instant,
    /// When the next chunk is due.
    due: Instant,
    /// How long its chunks took so far.
    took: Duration,
}

/// A part of a netns that is dirty, and since when.
#[derive(Debug)]
struct DirtyPart {
    part: Part,
    since: Instant,
}

/// What is due, and when.
#[derive(Debug)]
pub(super) struct Schedule {
    model: bool,
    dirty: BTreeMap<NetnsId, DirtyPart>,
    everything: bool,
    /// Everything, when there is time for it.
    later: bool,
    /// Nothing is done before.
    due: Instant,
    /// When the debt is paid, if nothing is done before.
    paid: Instant,
    /// Everything is not read before, unless `status` asks.
    whole_due: Instant,
    /// Nor is it when it can be put off.
    later_due: Instant,
    /// Since when a client waits for a full scan.
    asked: Option<Instant>,
    scan: Option<Scan>,
    failures: u32,
    costs: Costs,
    exceeded: Exceeded,
}

impl Schedule {
    /// Nothing is due.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            model: false,
            dirty: BTreeMap::new(),
            everything: false,
            later: false,
            due: now,
            paid: now,
            whole_due: now,
            later_due: now,
            asked: None,
            scan: None,
            failures: 0,
            costs: Costs::new(),
            exceeded: Exceeded::new(),
        }
    }

    /// Sets the share of a processor that reading one netns may take, in percent.
    pub(super) fn set_share(&mut self, percent: u32) {
        self.costs.set_share(percent);
    }

    /// Returns how often each netns was dirty and not read because its share was used up, and whether it has
    /// more addresses than its quota.
    pub(super) const fn exceeded(&self) -> &Exceeded {
        &self.exceeded
    }

    /// Adds a sync of what is known already.
    pub(super) const fn add_model(&mut self) {
        self.model = true;
    }

    /// Adds a full scan.
    pub(super) const fn add_everything(&mut self) {
        self.everything = true;
    }

    /// Adds a full scan for a client that waits for it.
    pub(super) fn ask(&mut self, now: Instant) {
        self.asked.get_or_insert(now);
    }

    /// Adds what is dirty. News does not wait for the end of a long pause after failures.
    pub(super) fn add(&mut self, now: Instant, dirty: Dirty) {
        let Dirty {
            parts,
            everything,
            later,
        } = dirty;
        for (id, part) in parts {
            let rests = self.costs.rests_until(id);
            if rests.is_some_and(|until| until > now + MIN_GAP) && !self.dirty.contains_key(&id) {
                *self.exceeded.entry((id, QuotaKind::Time)).or_default() += 1;
            }
            self.mark(now, id, part);
        }
        self.everything |= everything;
        self.later |= later;
        self.due = self.due.min(now + MAX_GAP);
        self.paid = self.paid.min(now + MAX_GAP);
        self.whole_due = self.whole_due.min(now + WHOLE_GAP);
    }

    /// Adds what could not be read; that is not news.
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

    /// Returns whether a full scan is due or goes on.
    pub(super) const fn is_whole(&self) -> bool {
        self.everything || self.scan.is_some()
    }

    /// Returns whether the last sync failed and no full scan has succeeded since.
    pub(super) const fn has_failed(&self) -> bool {
        self.failures > 0
    }

    /// Returns when to call [`Self::take`]; none if nothing is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let whole = self.next_of_whole();
        if self.failures > 0 {
            // Only a full scan makes a failure good.
            return whole;
        }
        [whole, self.next_of_parts()].into_iter().flatten().min()
    }

    fn next_of_whole(&self) -> Option<Instant> {
        let due = self.whole_waits_since()?;
        if self.scan.is_none() && self.asked.is_some_and(|asked| asked <= due) {
            return Some(due);
        }
        // Parts that are due again and again do not let the debt be paid.
        let paid = self.paid.min(due + CHUNK_WAITS);
        Some(due.max(paid).max(self.due))
    }

    /// Returns since when a full scan, or its next chunk, is due, but for the rest after what was done last.
    fn whole_waits_since(&self) -> Option<Instant> {
        if let Some(scan) = &self.scan {
            return Some(scan.due);
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

    /// Takes what is due. `has_child` returns whether a netns is known to hold a child of ours.
    pub(super) fn take(
        &mut self,
        now: Instant,
        has_child: impl Fn(NetnsId) -> bool,
    ) -> Option<Refresh> {
        let is_due = |due: Option<Instant>| due.is_some_and(|due| due <= now);
        // Everything does not wait for ever while parts are due again and again.
        let whole_waits = self
            .whole_waits_since()
            .is_none_or(|due| now < due + CHUNK_WAITS);
        if whole_waits && self.failures == 0 && is_due(self.next_of_parts()) {
            let parts = self.take_parts(now, has_child);
            if parts.is_some() {
                return parts;
            }
        }
        if !is_due(self.next_of_whole()) {
            return None;
        }
        if self.scan.is_some() {
            return Some(Refresh::Chunk);
        }
        Some(Refresh::FullScan(self.begin(now)))
    }

    fn begin(&mut self, now: Instant) -> Scope {
        self.scan = Some(Scan {
            started: now,
            due: now,
            took: Duration::ZERO,
        });
        self.asked = None;
        if self.failures > 0 {
            // They are part of the scan, and nothing is done before it.
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
            // At least one.
            if !parts.is_empty() && expected + self.costs.expected(id) > CHUNK {
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
            self.exceeded.insert((id, QuotaKind::Addresses), missing);
        }
        self.exceeded.retain(|_, count| *count > 0);
        self.costs.charge(ended, renewed, took);
        self.keep(ended, renewed.dirty.clone());
    }

    /// Records a sync of parts, or of what is known, that succeeded.
    pub(super) fn done(&mut self, started: Instant, ended: Instant) {
        self.rest(started, ended);
    }

    /// Records a chunk that succeeded; nothing has changed by it yet.
    pub(super) fn chunk_done(&mut self, started: Instant, ended: Instant) {
        self.rest(started, ended);
        if let Some(scan) = &mut self.scan {
            scan.took += ended.saturating_duration_since(started);
            scan.due = self.paid;
        }
    }

    /// Adds what was done to the debt, and rests.
    fn rest(&mut self, started: Instant, ended: Instant) {
        let took = ended.saturating_duration_since(started);
        let debt = self.paid.saturating_duration_since(started) + took;
        self.paid = ended + debt.clamp(MIN_GAP, MAX_GAP);
        let due = ended + MIN_GAP;
        self.due = self
            .paid
            .checked_sub(CHUNK)
            .map_or(due, |paid| paid.max(due));
    }

    /// Records the last chunk that succeeded, and with it the full scan.
    pub(super) fn scan_done(&mut self, started: Instant, ended: Instant) {
        self.chunk_done(started, ended);
        self.failures = 0;
        if let Some(Scan { started, took, .. }) = self.scan.take() {
            self.whole_due = self.paid.max(started + WHOLE_GAP);
            self.later_due = ended + (took * LATER).clamp(WHOLE_GAP, MAX_LATER);
        }
    }

    /// Records a failed sync: a full scan follows, later and later.
    pub(super) fn failed(&mut self, now: Instant) {
        self.failures += 1;
        self.scan = None;
        self.asked = None;
        self.everything = true;
        self.due = now + backoff(self.failures);
        self.paid = self.due;
        self.whole_due = self.due;
    }
}

/// Returns 100 ms, 200 ms, 400 ms, … up to [`MAX_BACKOFF`].
pub(super) fn backoff(failures: u32) -> Duration {
    (MAX_GAP * 2_u32.saturating_pow(failures.saturating_sub(1))).min(MAX_BACKOFF)
}

#[cfg(test)]
mod tests;
