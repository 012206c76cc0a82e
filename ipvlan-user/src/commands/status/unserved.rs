//! Parents that answer without an agent.

use std::path::Path;

use nix::net::if_::if_indextoname;
use tracing::warn;

use crate::{
    pins::{PinError, PinRoot},
    protocol::{Agent, Unserved},
    runtime,
    text::chain,
};

/// Returns the parents that have pins in `dir` and no agent, neither one of these nor another; none if this user may
/// not read the directory.
pub(in crate::commands) fn find(dir: &Path, agents: &[Agent]) -> Option<Vec<Unserved>> {
    match look(dir, agents) {
        Ok(unserved) => Some(unserved),
        // Nothing is pinned where nothing can be.
        Err(failure) if failure.is_for_want_of_a_filesystem() => Some(Vec::new()),
        Err(failure) if failure.os_error() == Some(libc::EACCES) => None,
        Err(failure) => {
            warn!("look for pins: {}", chain(&failure));
            None
        }
    }
}

fn look(dir: &Path, agents: &[Agent]) -> Result<Vec<Unserved>, PinError> {
    let Some(root) = PinRoot::find(dir)? else {
        return Ok(Vec::new());
    };
    let own = runtime::own_netns().ok();
    let mut unserved = Vec::new();
    for name in root.names()? {
        let pinned = root.path(&name).display().to_string();
        if serves(agents, &pinned) || root.is_held(&name) {
            continue;
        }
        let is_here = own == Some(name.netns);
        let now = is_here.then(|| if_indextoname(name.ifindex).ok()).flatten();
        unserved.push(Unserved {
            name: now.map_or(name.parent, |now| now.to_string_lossy().into_owned()),
            netns: name.netns,
            ifindex: name.ifindex,
            pinned,
        });
    }
    Ok(unserved)
}

fn serves(agents: &[Agent], pinned: &str) -> bool {
    let mut parents = agents.iter().flat_map(|agent| &agent.parents);
    parents.any(|parent| parent.pinned.as_deref() == Some(pinned))
}

/// Returns one line about it.
pub(super) fn line(unserved: &Unserved) -> String {
    let Unserved {
        name,
        netns,
        ifindex,
        pinned,
    } = unserved;
    format!(
        "{name} (ifindex {ifindex} in netns {netns}): no agent; what is pinned in {pinned} answers until it is \
         stale. `ipvlan run` takes it over, `ipvlan cleanup` removes it"
    )
}
