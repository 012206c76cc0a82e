//! Whether the agent serves all of its parents.

use crate::{
    protocol::{Parent, ParentState},
    runtime::State,
};

/// Returns why the agent is not ready, one reason for each parent; none if it is.
///
/// A parent that is served has had its first sync: its maps are filled before its programs are attached. One that is
/// degraded is served.
pub(super) fn reasons(state: &State) -> Vec<String> {
    let parents = state.agent.parents.iter();
    parents
        .filter_map(|parent| Some(format!("{}: {}", parent.name, reason(parent)?)))
        .collect()
}

fn reason(parent: &Parent) -> Option<&str> {
    if parent.state == ParentState::Waiting {
        let reason = parent.reason.as_deref().filter(|of| !of.is_empty());
        return Some(reason.unwrap_or("no sync has looked for it yet"));
    }
    parent.hooks.is_empty().then_some("no program is attached")
}
