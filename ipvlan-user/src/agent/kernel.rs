//! What is known of the kernel: the snapshot, and how it is kept up to date.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use tracing::debug;

use super::{
    Settings,
    schedule::{CHUNK, Refresh},
    unreadable::Unreadable,
};
use crate::{
    discover::{Changed, Dirty, Discover, DiscoverError, Part, Renewed, Scope, Wake, Watch},
    facts::{NetnsId, Snapshot},
};

/// How often the first snapshot is tried.
const FIRST_ATTEMPTS: u32 = 100;
/// How long netns that keep changing are tried for it.
const FIRST_TIME: Duration = Duration::from_secs(1);
/// How long after a start adopted entries that no child claims are kept, while some netns was never read: its
/// children may be behind them, and no netns can keep stale entries of others for longer.
const UNREAD_TIME: Duration = Duration::from_mins(1);

/// Discovery and the snapshot.
pub(super) struct Kernel {
    discover: Discover,
    watch: Watch,
    snapshot: Snapshot,
    unreadable: Unreadable,
    /// When adopted entries that no child claims are removed, though some netns were never read.
    gives_up: Instant,
}

/// The outcome of reading.
pub(super) enum Read {
    /// A full scan has begun.
    Begun {
        /// The netns that are new, and have no children until they are read.
        new: BTreeMap<NetnsId, Part>,
        /// Rules may match other netns than before.
        renamed: bool,
    },
    /// The full scan goes on.
    InPart,
    /// The snapshot is renewed.
    Renewed(Renewed),
}

impl Kernel {
    /// Takes the first snapshot. While the agent's own netns keeps changing it is taken again; another netns that
    /// cannot be read is left unread, and does not keep the agent from starting.
    pub(super) fn open(settings: &Settings) -> Result<(Self, Renewed), DiscoverError> {
        // Before the first snapshot: whatever changes from here on wakes the agent.
        let mut watch = Watch::new()?;
        let mut discover = Discover::new()?;
        discover.set_quota(settings.addresses_of());
        let (snapshot, first) = first_snapshot(&mut discover)?;
        discover.update_watch(&mut watch, &snapshot);
        let mut unreadable = Unreadable::default();
        unreadable.update(&first, &snapshot);
        let kernel = Self {
            discover,
            watch,
            snapshot,
            unreadable,
            gives_up: Instant::now() + UNREAD_TIME,
        };
        Ok((kernel, first))
    }

    /// Returns the current snapshot.
    pub(super) const fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Returns a line for each netns that cannot be read.
    pub(super) fn unreadable(&self) -> Vec<String> {
        self.unreadable.notes(&self.snapshot)
    }

    /// Takes over the quotas of addresses.
    pub(super) fn set_quota(&mut self, settings: &Settings) {
        self.discover.set_quota(settings.addresses_of());
    }

    /// Waits for a wake. Cancelling loses nothing.
    pub(super) async fn wake(&mut self) -> Result<Wake, DiscoverError> {
        self.watch.wake().await
    }

    /// Returns what a wake makes dirty.
    pub(super) fn dirty(&mut self, wake: &Wake) -> Dirty {
        self.discover.dirty(&self.snapshot, wake)
    }

    /// Returns when to call [`Self::give_up_unread`]; none if there is no need to.
    pub(super) fn gives_up(&self) -> Option<Instant> {
        (!self.snapshot.unread.is_empty()).then_some(self.gives_up)
    }

    /// Stops waiting for the netns that were never read.
    pub(super) fn give_up_unread(&mut self) {
        self.snapshot.give_up_unread();
    }

    /// Reads what is asked for. An error leaves the snapshot as it was.
    pub(super) fn read(
        &mut self,
        refresh: &Refresh,
        settings: &Settings,
    ) -> Result<Read, DiscoverError> {
        let was_unread = !self.snapshot.unread.is_empty();
        let were_outdated = self.snapshot.outdated.clone();
        let mut renewed = match refresh {
            Refresh::Model => Renewed {
                changed: Changed::Anything,
                ..Renewed::default()
            },
            Refresh::Parts(parts) => self.discover.renew(&mut self.snapshot, parts, None)?,
            Refresh::FullScan(scope) => return self.begin(*scope, settings),
            Refresh::Chunk => match self.discover.read_chunk(&mut self.snapshot, CHUNK, None)? {
                Some(renewed) => renewed,
                None => return Ok(Read::InPart),
            },
        };
        // Adopted entries that no child claims by now are removed, and requests for unknown addresses may be dropped.
        if was_unread && self.snapshot.unread.is_empty() || were_outdated != self.snapshot.outdated
        {
            renewed.changed = Changed::Anything;
        }
        if renewed.changed == Changed::Anything {
            self.discover.update_watch(&mut self.watch, &self.snapshot);
        }
        self.unreadable.update(&renewed, &self.snapshot);
        Ok(Read::Renewed(renewed))
    }

    fn begin(&mut self, scope: Scope, settings: &Settings) -> Result<Read, DiscoverError> {
        let before = self.files_of_netnses(settings);
        let new = self.discover.begin(&mut self.snapshot, scope)?;
        // No event reports a new name of a netns, and rules match by it.
        let renamed = before != self.files_of_netnses(settings);
        Ok(Read::Begun { new, renamed })
    }

    /// Returns what rules match netns by; nothing if there are no rules.
    fn files_of_netnses(&self, settings: &Settings) -> Vec<(NetnsId, Vec<String>)> {
        let netnses = self.snapshot.netnses.iter();
        netnses
            .filter(|netns| !netns.files.is_empty() && !settings.policy.rules.is_empty())
            .map(|netns| (netns.id, netns.files.clone()))
            .collect()
    }
}

fn first_snapshot(discover: &mut Discover) -> Result<(Snapshot, Renewed), DiscoverError> {
    for _ in 1..FIRST_ATTEMPTS {
        match discover.first(Scope::Everything, FIRST_TIME) {
            Err(failure) if failure.is_transient() => debug!("once more: {failure}"),
            first => return first,
        }
    }
    discover.first(Scope::Everything, FIRST_TIME)
}
