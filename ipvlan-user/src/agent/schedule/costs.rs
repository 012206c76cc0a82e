//! How long reading each netns takes, and how long each rests for it.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::{MAX_BACKOFF, backoff};
use crate::{discover::Renewed, facts::NetnsId, quota::DEFAULT_TIME};

/// How long it is expected to take to read a netns that was not read yet.
const UNKNOWN_COST: Duration = Duration::from_micros(100);
/// What reading a netns took counts half after this time.
const HALF_LIFE: Duration = Duration::from_secs(1);

/// What reading a netns takes.
#[derive(Debug)]
struct Cost {
    /// The last time.
    took: Duration,
    /// Lately, the last time included.
    lately: Duration,
    read: Instant,
    /// It is not read again before.
    rests_until: Instant,
    /// How often in a row it could not be read.
    failures: u32,
}

/// What reading takes, by netns.
#[derive(Debug)]
pub(super) struct Costs {
    of: BTreeMap<NetnsId, Cost>,
    /// Share of a processor that reading one netns may take, in percent.
    share: u32,
}

impl Costs {
    /// Nothing was read yet; each netns has the default share.
    pub(super) const fn new() -> Self {
        Self {
            of: BTreeMap::new(),
            share: DEFAULT_TIME,
        }
    }

    /// Sets the share of a processor that reading one netns may take, in percent.
    pub(super) fn set_share(&mut self, percent: u32) {
        self.share = percent.clamp(1, 100);
    }

    /// Returns the end of the rest of a netns that was read lately.
    pub(super) fn rests_until(&self, id: NetnsId) -> Option<Instant> {
        self.of.get(&id).map(|cost| cost.rests_until)
    }

    /// Returns what reading a netns took lately.
    pub(super) fn lately(&self, now: Instant, id: NetnsId) -> Duration {
        self.of.get(&id).map_or(Duration::ZERO, |cost| {
            let passed = now.saturating_duration_since(cost.read);
            let halvings = passed.div_duration_f32(HALF_LIFE);
            cost.lately.mul_f32(0.5_f32.powf(halvings))
        })
    }

    /// Returns what reading a netns will take.
    pub(super) fn expected(&self, id: NetnsId) -> Duration {
        self.of.get(&id).map_or(UNKNOWN_COST, |cost| cost.took)
    }

    /// Lets each netns that was read rest.
    pub(super) fn charge(&mut self, ended: Instant, renewed: &Renewed, took: Option<Duration>) {
        let reading: Duration = renewed.took.values().sum();
        for (&id, &read) in &renewed.took {
            let charged = match took {
                Some(took) if !reading.is_zero() => took
                    .max(reading)
                    .mul_f64(read.as_secs_f64() / reading.as_secs_f64()),
                _ => read,
            };
            let before = self.of.get(&id).map_or(0, |cost| cost.failures);
            let failure = renewed.failures.get(&id);
            let failures = match failure {
                None => 0,
                // It is its own churn that interrupts, and its share bounds that already.
                Some(failure) if failure.is_transient => before,
                Some(_) => before.saturating_add(1),
            };
            let lately = self.lately(ended, id) + charged;
            let share = charged * (100 - self.share) / self.share;
            let rest = match failures {
                0 => share,
                _ => share.max(backoff(failures)),
            };
            self.of.insert(
                id,
                Cost {
                    took: charged,
                    lately,
                    read: ended,
                    rests_until: ended + rest.min(MAX_BACKOFF),
                    failures,
                },
            );
        }
        self.of
            .retain(|_, cost| cost.failures > 0 || ended < cost.rests_until + MAX_BACKOFF);
    }
}
