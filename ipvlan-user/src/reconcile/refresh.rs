//! How much of the truth is taken anew, and how soon.
//!
//! What woke is done at once; what wakes while that is done, and for as long after it as it took, is
//! done together. So unending churn takes half of a processor, and a quiet host does not wait. Reading
//! everything is done at most once in [`WHOLE_GAP`]; parts of it do not wait for that. Netns with many
//! addresses are read one at a time, each in its turn, and rest by themselves: a small one waits for no
//! more than one of them.

use std::{
    collections::BTreeMap,
    ops::Bound,
    time::{Duration, Instant},
};

use crate::discover::{Part, Stale, snapshot::NetnsId};

/// Shortest time from the end of a sync to the next: what changes meanwhile is one wake.
const MIN_GAP: Duration = Duration::from_millis(1);
/// Longest such time, also while a long sync runs again and again.
pub(super) const MAX_GAP: Duration = Duration::from_millis(100);
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
    /// Everything in the netns there were.
    KnownNetns,
    /// Netns too.
    Everything,
}

impl Refresh {
    /// Whether everything is dumped.
    pub(super) const fn is_whole(&self) -> bool {
        matches!(self, Self::KnownNetns | Self::Everything)
    }
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
    /// Everything is not read before.
    whole_due: Instant,
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

    /// Whether everything is to be read anew.
    pub(super) const fn is_whole(&self) -> bool {
        self.stale.everything
    }

    /// Whether the last sync failed, and was not made good yet.
    pub(super) const fn has_failed(&self) -> bool {
        self.failures > 0
    }

    /// When to call [`Self::take`]; `None` if there is nothing to do.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let everything = self.stale.everything.then(|| self.due.max(self.whole_due));
        if self.failures > 0 {
            // Only that will do.
            return everything;
        }
        let small = (self.model || !self.stale.parts.is_empty()).then_some(self.due);
        let large = (!self.large.is_empty()).then(|| self.due.max(self.large_due));
        [small, large, everything].into_iter().flatten().min()
    }

    /// Takes what is due. `addresses` is how many a netns is known to have.
    pub(super) fn take(
        &mut self,
        now: Instant,
        addresses: impl Fn(NetnsId) -> usize,
    ) -> Option<Refresh> {
        if self.next_due().is_none_or(|due| due > now) {
            return None;
        }
        if self.stale.everything && self.whole_due <= now {
            self.model = false;
            self.stale = Stale::default();
            self.large.clear();
            return Some(Refresh::Everything);
        }
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

    /// A sync went well.
    pub(super) fn done(&mut self, started: Instant, ended: Instant, is_whole: bool) {
        self.failures = 0;
        let took = ended.saturating_duration_since(started);
        let rested = ended + took.clamp(MIN_GAP, MAX_GAP);
        if std::mem::take(&mut self.took_large) {
            self.large_due = rested;
            self.due = ended + MIN_GAP;
        } else {
            self.due = rested;
        }
        if is_whole {
            self.whole_due = self.due.max(started + WHOLE_GAP);
        }
    }

    /// A sync failed: everything is read anew, later and later.
    pub(super) fn failed(&mut self, now: Instant) {
        self.failures += 1;
        self.took_large = false;
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
