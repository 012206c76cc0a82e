//! The first try at every parent: one that cannot be served waits, if another one can.

use tracing::error;

use super::{AgentError, Settings, chain, parent::Parent};
use crate::{discover::Snapshot, runtime::ClaimError};

impl AgentError {
    /// Whether it ends a start whatever becomes of the other parents: to wait would help nobody.
    fn is_fatal(&self) -> bool {
        matches!(self, Self::Claim(ClaimError::Taken { .. })) || self.is_denied()
    }
}

/// Attaches to all of them, and tells whether that was all there was to do: what failed is told and
/// tried again by the first sync. After an error nothing is attached.
pub(super) fn start(
    netns: u64,
    snapshot: &Snapshot,
    settings: &Settings,
) -> Result<(Vec<Parent>, bool), AgentError> {
    let mut parents = Vec::new();
    let mut failures = Vec::new();
    for name in &settings.parents {
        let mut parent = Parent::new(name.clone(), netns);
        let result = parent.start(snapshot, settings);
        parents.push(parent);
        match result {
            Ok(()) => {}
            Err(failure) if failure.is_fatal() => {
                release(parents);
                return Err(failure);
            }
            Err(failure) => failures.push(failure),
        }
    }
    let complete = failures.is_empty();
    if failures.len() == parents.len()
        && let Some(first) = failures.into_iter().next()
    {
        release(parents);
        return Err(first);
    }
    Ok((parents, complete))
}

fn release(parents: Vec<Parent>) {
    for failure in parents.into_iter().flat_map(Parent::detach) {
        error!("{}", chain(&failure));
    }
}
