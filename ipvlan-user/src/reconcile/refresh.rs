//! How much of the truth is taken anew, and how soon.
//!
//! What woke is done at once; what wakes while that is done, and for as long after it as it took, is
//! done together. So unending churn takes half of a processor, and a quiet host does not wait. Netns with
//! many addresses are read one at a time, each in its turn, and rest by themselves: a small one waits for
//! no more than one of them.
//!
//! Everything is read at most once in [`WHOLE_GAP`], or when somebody asks, and in slices: what wakes
//! meanwhile is done between two of them.

use std::{
    collections::BTreeMap,
    ops::Bound,
    time::{Duration, Instant},
};

use crate::discover::{Part, Scope, Stale, snapshot::NetnsId};

/// Shortest time from the end of a sync to the next: what changes meanwhile is one wake.
const MIN_GAP: Duration = Duration::from_millis(1);
/// Longest such time, also while a long sync runs again and again.
pub(super) const MAX_GAP: Duration = Duration::from_millis(100);
/// How long everything is read at a time; the netns that is read then comes on top.
pub(super) const SLICE: Duration = Duration::from_millis(5);
/// Shortest time from one sync of everything to the next.
const WHOLE_GAP: Duration = Duration::from_millis(100);
/// Longest time to the next try after a failed sync.
const MAX_BACKOFF: Duration = Duration::from_secs(5);

/// How much of the snapshot is taken anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refresh {
    /// Nothing: what the LAN says changed what is made of it.
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

/// A netns with more addresses takes milliseconds to read.
const LARGE: usize = 256;

/// What is to be done, and when.
#[derive(Debug)]
pub(super) struct Pending {
    model: bool,
    stale: Stale,
    /// Nothing is done before.
    due: Instant,
    /// Everything is not read before, unless somebody asks.
    whole_due: Instant,
    /// Since when somebody is waiting for everything to be read.
    asked: Option<Instant>,
    sweeping: Option<Sweeping>,
    failures: u32,
    /// What is stale of netns with many addresses, which are read one at a time.
    large: BTreeMap<NetnsId, Part>,
    /// None of them is read before.
    large_due: Instant,
    /// The one that was read last: others come first.
    last: NetnsId,
    took_large: bool,
}

impl Pending {
    /// Nothing is.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            model: false,
            stale: Stale::default(),
            due: now,
            whole_due: now,
            asked: None,
            sweeping: None,
            failures: 0,
            large: BTreeMap::new(),
            large_due: now,
            last: NetnsId::Own,
            took_large: false,
        }
    }

    /// Decides anew, of what is known.
    pub(super) const fn add_model(&mut self) {
        self.model = true;
    }

    /// Reads everything anew.
    pub(super) const fn add_everything(&mut self) {
        self.stale.everything = true;
    }

    /// Reads everything anew for somebody who waits for it.
    pub(super) fn ask(&mut self, now: Instant) {
        self.asked.get_or_insert(now);
    }

    /// Reads anew what is stale. News does not wait for the end of a long pause after failures.
    pub(super) fn add(&mut self, now: Instant, stale: Stale) {
        self.stale.add(stale);
        self.due = self.due.min(now + MAX_GAP);
        self.whole_due = self.whole_due.min(now + WHOLE_GAP);
    }

    /// Reads anew what was not read now; that is not news.
    pub(super) fn keep(&mut self, parts: BTreeMap<NetnsId, Part>) {
        self.stale.add(Stale {
            parts,
            everything: false,
        });
    }

    /// Whether everything is to be read anew, or is being read.
    pub(super) const fn is_whole(&self) -> bool {
        self.stale.everything || self.sweeping.is_some()
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
        if let Some(sweeping) = &self.sweeping {
            return Some(sweeping.due);
        }
        let everything = self.stale.everything.then_some(self.whole_due);
        [everything, self.asked].into_iter().flatten().min()
    }

    fn next_of_parts(&self) -> Option<Instant> {
        let small = (self.model || !self.stale.parts.is_empty()).then_some(self.due);
        let large = (!self.large.is_empty()).then(|| self.due.max(self.large_due));
        [small, large].into_iter().flatten().min()
    }

    /// Takes what is due. `addresses` is how many a netns is known to have.
    pub(super) fn take(
        &mut self,
        now: Instant,
        addresses: impl Fn(NetnsId) -> usize,
    ) -> Option<Refresh> {
        let is_due = |due: Option<Instant>| due.is_some_and(|due| due <= now);
        // Parts first: each rests when it is done, and everything goes on meanwhile.
        if self.failures == 0 && is_due(self.next_of_parts()) {
            let parts = self.take_parts(now, addresses);
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
            self.stale.parts.clear();
            self.large.clear();
        }
        if std::mem::take(&mut self.stale.everything) {
            Scope::Everything
        } else {
            Scope::KnownNetns
        }
    }

    fn take_parts(
        &mut self,
        now: Instant,
        addresses: impl Fn(NetnsId) -> usize,
    ) -> Option<Refresh> {
        if self.model {
            self.model = false;
            return Some(Refresh::Model);
        }
        let mut parts = std::mem::take(&mut self.stale.parts);
        for (id, part) in parts.extract_if(.., |&id, _| addresses(id) > LARGE) {
            let entry = self.large.entry(id).or_insert(part);
            *entry = part.max(*entry);
        }
        // Small ones first, but not for ever.
        let yields = if parts.is_empty() {
            Duration::ZERO
        } else {
            MAX_GAP
        };
        if self.large_due + yields <= now {
            let next = self
                .large
                .range((Bound::Excluded(self.last), Bound::Unbounded));
            if let Some((&id, &part)) = next.chain(&self.large).next() {
                self.large.remove(&id);
                self.last = id;
                self.took_large = true;
                parts.insert(id, part);
            }
        }
        (!parts.is_empty()).then_some(Refresh::Parts(parts))
    }

    /// A sync of parts, or of what is known, went well.
    pub(super) fn done(&mut self, started: Instant, ended: Instant) {
        let took = ended.saturating_duration_since(started);
        let rested = ended + took.clamp(MIN_GAP, MAX_GAP);
        if std::mem::take(&mut self.took_large) {
            self.large_due = rested;
            self.due = ended + MIN_GAP;
        } else {
            self.due = rested;
        }
    }

    /// A slice of everything went well; nothing has changed by it yet.
    pub(super) fn sliced(&mut self, started: Instant, ended: Instant) {
        if let Some(sweeping) = &mut self.sweeping {
            sweeping.took += ended.saturating_duration_since(started);
            sweeping.due = ended + MIN_GAP;
        }
    }

    /// The last slice did, and with it the sync of everything.
    pub(super) fn swept(&mut self, started: Instant, ended: Instant) {
        self.sliced(started, ended);
        self.failures = 0;
        if let Some(Sweeping { started, took, .. }) = self.sweeping.take() {
            let rested = ended + took.clamp(MIN_GAP, MAX_GAP);
            self.whole_due = rested.max(started + WHOLE_GAP);
        }
        // What was put off by failures is not any more.
        self.due = self.due.min(ended + MIN_GAP);
    }

    /// A sync failed: everything is read anew, later and later.
    pub(super) fn failed(&mut self, now: Instant) {
        self.failures += 1;
        self.took_large = false;
        self.sweeping = None;
        self.asked = None;
        self.stale.everything = true;
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
