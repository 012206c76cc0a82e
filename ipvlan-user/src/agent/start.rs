//! The first try at every parent: one that cannot be served waits, if another one can.

use std::time::Duration;

use tracing::{debug, info, warn};

use super::{AgentError, PinSettings, Settings, chain, parent::Parent};
use crate::{facts::Snapshot, pins::PinRoot, runtime::ClaimError};

impl AgentError {
    /// Whether it ends a start whatever becomes of the other parents: to wait would help nobody.
    fn is_fatal(&self) -> bool {
        matches!(self, Self::Claim(ClaimError::Taken { .. })) || self.is_denied()
    }
}

/// What came of the first try.
pub(super) struct Started {
    pub(super) parents: Vec<Parent>,
    /// Whether that was all there was to do.
    pub(super) complete: bool,
    /// How long it took to fill their maps.
    pub(super) filled: Duration,
}

/// Attaches to all of them. What failed is told and tried again by the first sync. After an error nothing
/// is attached that was not before.
pub(super) fn start(
    netns: u64,
    snapshot: &Snapshot,
    settings: &Settings,
) -> Result<Started, AgentError> {
    remove_orphans(&settings.pins, netns, snapshot);
    let mut parents = Vec::new();
    let mut failures = Vec::new();
    let mut filled = Duration::ZERO;
    for name in &settings.parents {
        let mut parent = Parent::new(name.clone(), netns);
        let result = parent.start(snapshot, settings);
        parents.push(parent);
        match result {
            Ok(took) => filled += took,
            Err(failure) if failure.is_fatal() => {
                parents.into_iter().for_each(Parent::undo);
                return Err(failure);
            }
            Err(failure) => failures.push(failure),
        }
    }
    let complete = failures.is_empty();
    if failures.len() == parents.len()
        && let Some(first) = failures.into_iter().next()
    {
        parents.into_iter().for_each(Parent::undo);
        return Err(first);
    }
    Ok(Started {
        parents,
        complete,
        filled,
    })
}

/// Removes what is pinned for parents of this netns that are gone: they were deleted, or moved to another
/// netns, while no agent looked after them.
fn remove_orphans(settings: &PinSettings, netns: u64, snapshot: &Snapshot) {
    let Ok(Some(root)) = PinRoot::find(&settings.dir) else {
        return;
    };
    for name in root.names().unwrap_or_default() {
        if name.netns != netns || snapshot.link(name.ifindex).is_some() {
            continue;
        }
        match root.open(&name) {
            Ok(Some(pins)) => match pins.remove() {
                Ok(objects) => info!(
                    objects,
                    "removed what was pinned for {}: it is gone", name.parent
                ),
                Err(failure) => warn!("{}", chain(&failure)),
            },
            Ok(None) => {}
            // Its agent will find out itself.
            Err(failure) => debug!("{}", chain(&failure)),
        }
    }
}
