//! One sync: read, and every parent follows.

use std::time::{Duration, Instant};

use tracing::{debug, error, warn};

use super::{
    Agent, chain,
    schedule::{Refresh, SLICE},
};
use crate::{
    discover::{Changed, Discover, DiscoverError, Renewed, Scope},
    facts::{NetnsId, Snapshot},
    runtime,
};

/// How often the first snapshot is tried.
const FIRST_ATTEMPTS: u32 = 100;
/// How long netns that keep changing are tried for it.
const FIRST_TIME: Duration = Duration::from_secs(1);

/// How far a sync came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Synced {
    /// Everything that was read is in effect.
    Done,
    /// There is more to read before anything is.
    InPart,
    /// Something failed.
    Failed,
}

impl Agent {
    /// Does what is due.
    pub(super) fn refresh(&mut self, refresh: &Refresh) {
        let started = Instant::now();
        match self.sync_and_tell(refresh) {
            Synced::Failed => {
                self.pending.failed(Instant::now());
                self.answer_all();
            }
            Synced::InPart => self.pending.sliced(started, Instant::now()),
            Synced::Done if matches!(refresh, Refresh::Sweep(_) | Refresh::Slice) => {
                self.pending.swept(started, Instant::now());
                for parent in &mut self.parents {
                    parent.check_order();
                }
                self.tell();
                self.answer_served();
            }
            Synced::Done => self.pending.done(started, Instant::now()),
        }
    }

    /// Reads what is asked for and makes every parent follow it.
    pub(super) fn sync(&mut self, refresh: &Refresh) -> Synced {
        let started = Instant::now();
        let is_sweep = matches!(refresh, Refresh::Sweep(_));
        self.stats.syncs += u64::from(*refresh != Refresh::Slice);
        self.stats.whole += u64::from(is_sweep);
        let was_unread = !self.snapshot.unread.is_empty();
        let were_outdated = self.snapshot.outdated.clone();
        let renewed = match self.read(refresh) {
            Ok(renewed) => renewed,
            Err(failure) => {
                self.fail(&failure);
                return Synced::Failed;
            }
        };
        let Some(mut renewed) = renewed else {
            return Synced::InPart;
        };
        // What was adopted and is not claimed by now goes, and requests for unknown addresses are dropped or not.
        if was_unread && self.snapshot.unread.is_empty() || were_outdated != self.snapshot.outdated
        {
            renewed.changed = Changed::Anything;
        }
        if renewed.changed == Changed::Anything {
            self.discover.update_watch(&mut self.watch, &self.snapshot);
        }
        // What is known of the kernel may be as old as before.
        let is_news = *refresh != Refresh::Model;
        let mut failure: Option<Box<dyn std::error::Error>> = None;
        for parent in &mut self.parents {
            let followed = parent.follow(&self.snapshot, &renewed.changed, &self.settings);
            let stamped = match followed {
                Ok(()) if is_news => parent.stamp(&self.settings).map_err(Box::from),
                Ok(()) => Ok(()),
                Err(error) => Err(Box::from(error)),
            };
            failure = stamped.err().or(failure);
        }
        // Of our own netns, and of everything, the rest is not for the sake of these netns.
        let is_for_them =
            matches!(refresh, Refresh::Parts(parts) if !parts.contains_key(&NetnsId::Own));
        let ended = Instant::now();
        let took = is_for_them.then(|| ended - started);
        self.pending.charge(ended, &renewed, took);
        self.unreadable.update(&renewed, &self.snapshot);
        if let Some(failure) = failure {
            self.fail(&*failure);
            return Synced::Failed;
        }
        if *refresh == Refresh::Slice {
            runtime::give_back();
        }
        self.stats.error = None;
        if is_news {
            self.synced = Instant::now();
        }
        debug!(?refresh, dirty = ?renewed.dirty, "synced");
        Synced::Done
    }

    /// Makes the snapshot one of now, as far as is asked for; none if there is more to read before it
    /// changes. An error leaves it as it was.
    fn read(&mut self, refresh: &Refresh) -> Result<Option<Renewed>, DiscoverError> {
        match refresh {
            Refresh::Model => Ok(Some(Renewed {
                changed: Changed::Anything,
                ..Renewed::default()
            })),
            Refresh::Parts(parts) => self
                .discover
                .renew(&mut self.snapshot, parts, None)
                .map(Some),
            Refresh::Sweep(scope) => {
                self.serve_asking();
                let before = self.files_of_netnses();
                let new = self.discover.begin(&mut self.snapshot, *scope)?;
                self.pending.keep(Instant::now(), new);
                // No event reports a new name of a netns, and rules match by it.
                if before != self.files_of_netnses() {
                    self.pending.add_model();
                }
                Ok(None)
            }
            Refresh::Slice => self.discover.read_chunk(&mut self.snapshot, SLICE, None),
        }
    }

    /// Returns what rules match netns by; nothing if there are no rules.
    fn files_of_netnses(&self) -> Vec<(NetnsId, Vec<String>)> {
        let netnses = self.snapshot.netnses.iter();
        netnses
            .filter(|netns| !netns.files.is_empty() && !self.settings.policy.rules.is_empty())
            .map(|netns| (netns.id, netns.files.clone()))
            .collect()
    }

    /// Sends what is due on every parent. Returns whether what is answered for changed.
    pub(super) fn tick(&mut self) -> bool {
        let mut changed = false;
        for parent in &mut self.parents {
            changed |= parent.tick();
        }
        changed
    }

    fn fail(&mut self, failure: &dyn std::error::Error) {
        self.stats.failed += 1;
        let failure = chain(failure);
        error!("sync failed, what is installed stays: {failure}");
        self.stats.error = Some(failure);
    }

    /// Reads the maps back. What others changed in them is mended by the decision that follows.
    pub(super) fn audit(&mut self) {
        let mut failure = None;
        for parent in &mut self.parents {
            parent.repin();
            parent.check_xdp();
            match parent.audit() {
                Ok(0) => {}
                Ok(differing) => {
                    self.stats.mended += differing as u64;
                    warn!(
                        parent = parent.name(),
                        differing, "somebody else changed the address map: mending it"
                    );
                }
                Err(error) => failure = Some(error),
            }
        }
        if let Some(failure) = failure {
            self.fail(&failure);
        }
    }
}

/// Takes the first snapshot. While our own netns keeps changing it is taken again; another netns that cannot be
/// read is left unread, and does not keep the agent from starting.
pub(super) fn first_snapshot(
    discover: &mut Discover,
) -> Result<(Snapshot, Renewed), DiscoverError> {
    for _ in 1..FIRST_ATTEMPTS {
        match discover.first(Scope::Everything, FIRST_TIME) {
            Err(failure) if failure.is_transient() => debug!("once more: {failure}"),
            first => return first,
        }
    }
    discover.first(Scope::Everything, FIRST_TIME)
}
