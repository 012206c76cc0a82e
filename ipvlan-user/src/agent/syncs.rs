//! Counters of the syncs, and the time of the last one.

use std::{
    error::Error,
    time::{Duration, Instant, SystemTime},
};

use tracing::{error, warn};

use super::{schedule::Refresh, status_view::milliseconds};
use crate::{discover::Wake, protocol::SyncStats, text::chain};

/// How many syncs move the liveness deadline within `--stale-after`: one or two may fail.
const SYNCS_PER_DEADLINE: u32 = 3;

/// The outcome of a sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Synced {
    /// Everything that was read is in effect.
    Done,
    /// There is more to read before anything is.
    InPart,
    /// Something failed.
    Failed,
}

/// The syncs since the start.
#[derive(Debug)]
pub(super) struct Syncs {
    stats: SyncStats,
    /// End of the last sync that read the kernel and succeeded.
    last: Instant,
    /// Beginning of the current or last sync.
    begun: Instant,
    /// What clients have not been notified of.
    notes: Vec<Note>,
    /// Time that the chunks of the full scan took which is not complete.
    scanning: Duration,
}

/// Something that clients are notified of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Note {
    /// A sync is complete.
    Synced {
        refresh: Refresh,
        /// Time since its first dump.
        took: Duration,
    },
    /// A sync failed.
    Failed(String),
    /// Netlink events were lost.
    Overrun,
    /// An audit found so many entries changed.
    Repaired(usize),
}

impl Syncs {
    /// Counts the first sync, which took this long.
    pub(super) fn new(took: Duration) -> Self {
        let took = microseconds(took);
        Self {
            stats: SyncStats {
                syncs: 1,
                whole: 1,
                first_us: took,
                last_us: took,
                longest_us: took,
                last_ms: milliseconds(SystemTime::now()),
                ..SyncStats::default()
            },
            last: Instant::now(),
            begun: Instant::now(),
            notes: Vec::new(),
            scanning: Duration::ZERO,
        }
    }

    /// Returns the counters.
    pub(super) const fn stats(&self) -> &SyncStats {
        &self.stats
    }

    /// Returns the failure of the last sync; none if it succeeded.
    pub(super) fn error(&self) -> Option<&str> {
        self.stats.error.as_deref()
    }

    /// Counts a wake.
    pub(super) fn wake(&mut self, wake: &Wake) {
        self.stats.wakes += 1;
        if wake.overrun {
            self.stats.overruns += 1;
            self.notes.push(Note::Overrun);
            warn!("netlink events were lost: syncing everything");
        }
    }

    /// Counts a sync that begins.
    pub(super) fn begin(&mut self, refresh: &Refresh) {
        if *refresh != Refresh::Chunk {
            self.begun = Instant::now();
        }
        self.stats.syncs += u64::from(*refresh != Refresh::Chunk);
        self.stats.whole += u64::from(matches!(refresh, Refresh::FullScan(_)));
    }

    /// Records a success. What is known of the kernel is as old as before if only the model was renewed.
    pub(super) fn succeed(&mut self, refresh: &Refresh) {
        self.stats.error = None;
        if *refresh != Refresh::Model {
            self.last = Instant::now();
            self.stats.last_ms = milliseconds(SystemTime::now());
        }
        self.notes.push(Note::Synced {
            refresh: refresh.clone(),
            took: self.begun.elapsed(),
        });
    }

    /// Records how long a sync took, or a chunk of one.
    pub(super) fn took(&mut self, refresh: &Refresh, synced: Synced, took: Duration) {
        let is_scan = matches!(refresh, Refresh::FullScan(_) | Refresh::Chunk);
        let before = if is_scan {
            std::mem::take(&mut self.scanning)
        } else {
            Duration::ZERO
        };
        if synced == Synced::InPart {
            self.scanning = before + took;
            return;
        }
        let took = microseconds(before + took);
        self.stats.last_us = took;
        self.stats.longest_us = self.stats.longest_us.max(took);
    }

    /// Records a failure.
    pub(super) fn fail(&mut self, failure: &dyn Error) {
        self.stats.failed += 1;
        let failure = chain(failure);
        error!("sync failed, what is installed stays: {failure}");
        self.notes.push(Note::Failed(failure.clone()));
        self.stats.error = Some(failure);
    }

    /// Counts map entries that an audit found changed and that the next sync repairs.
    pub(super) fn count_repaired(&mut self, entries: usize) {
        self.stats.mended += entries as u64;
        if entries > 0 {
            self.notes.push(Note::Repaired(entries));
        }
    }

    /// Takes what has happened since the last call.
    pub(super) fn take_notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }

    /// Returns when the next sync has to begin, so that the programs keep answering.
    pub(super) fn liveness_due(&self, stale_after: Option<Duration>) -> Option<Instant> {
        Some(self.last + stale_after? / SYNCS_PER_DEADLINE)
    }
}

fn microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
