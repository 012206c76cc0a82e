//! One sync: read, and every parent follows.

use std::{collections::BTreeMap, time::Instant};

use tracing::{debug, error, warn};

use super::{Agent, chain, refresh::Refresh};
use crate::{
    discover::{
        Changed, Discover, DiscoverError, Part, Renewed, Scope, Snapshot, snapshot::NetnsId,
    },
    runtime,
};

/// How often the first snapshot is tried.
const FIRST_ATTEMPTS: u32 = 100;

impl Agent {
    /// Reads what is asked for and makes every parent follow it. Returns what is still stale; `None`
    /// if something failed.
    pub(super) fn sync(&mut self, refresh: &Refresh) -> Option<BTreeMap<NetnsId, Part>> {
        self.stats.syncs += 1;
        self.stats.whole += u64::from(refresh.is_whole());
        let Renewed { changed, stale } = match self.read(refresh) {
            Ok(renewed) => renewed,
            Err(failure) => {
                self.fail(&failure);
                return None;
            }
        };
        // What is known of the kernel may be as old as before.
        let is_news = *refresh != Refresh::Model;
        let mut failure: Option<Box<dyn std::error::Error>> = None;
        for parent in &mut self.parents {
            let followed = parent.follow(&self.snapshot, &changed, &self.settings);
            let stamped = match followed {
                Ok(()) if is_news => parent.stamp(&self.settings).map_err(Box::from),
                Ok(()) => Ok(()),
                Err(error) => Err(Box::from(error)),
            };
            failure = stamped.err().or(failure);
        }
        if let Some(failure) = failure {
            self.fail(&*failure);
            return None;
        }
        if refresh.is_whole() {
            runtime::give_back();
        }
        self.stats.error = None;
        if is_news {
            self.synced = Instant::now();
        }
        debug!(?refresh, ?stale, "synced");
        Some(stale)
    }

    /// Makes the snapshot one of now, as far as is asked for. An error leaves it as it was.
    fn read(&mut self, refresh: &Refresh) -> Result<Renewed, DiscoverError> {
        let scope = match refresh {
            Refresh::Model => {
                return Ok(Renewed {
                    changed: Changed::Anything,
                    stale: BTreeMap::new(),
                });
            }
            Refresh::Parts(parts) => return self.discover.renew(&mut self.snapshot, parts, None),
            Refresh::KnownNetns => Scope::KnownNetns,
            Refresh::Everything => Scope::Everything,
        };
        self.discover.renew_all(&mut self.snapshot, scope, None)
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

    /// Reads the maps back. What others changed in them is mended by the sync that follows.
    pub(super) fn audit(&mut self) {
        let mut failure = None;
        for parent in &mut self.parents {
            parent.repin();
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

/// The first snapshot, of which nothing may be missing: while something keeps changing it is taken again.
pub(super) fn first_snapshot(discover: &mut Discover) -> Result<Snapshot, DiscoverError> {
    for _ in 1..FIRST_ATTEMPTS {
        match discover.snapshot(Scope::Everything, None) {
            Err(failure) if failure.is_transient() => debug!("once more: {failure}"),
            snapshot => return snapshot,
        }
    }
    discover.snapshot(Scope::Everything, None)
}
