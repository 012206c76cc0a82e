//! The pins of a parent: where they are, and which are left behind.

use tracing::{debug, info, warn};

use super::{AgentError, PinSettings, is_errno_of_denial};
use crate::{
    facts::{Link, Snapshot},
    pins::{PinError, PinRoot, Pins},
    runtime::ClaimError,
    text::chain,
};

/// Returns where the links and maps of a parent are pinned; without a filesystem for that, the reason why not.
pub(super) fn open(
    netns: u64,
    link: &Link,
    settings: &PinSettings,
) -> Result<(Pins, Option<String>), AgentError> {
    let result = if settings.keep {
        PinRoot::create(&settings.dir)
            .and_then(|root| root.claim(netns, link.name.as_str(), link.ifindex))
            .map(Pins::Keep)
    } else {
        previous(netns, link, settings)
    };
    match result {
        Ok(pins) => Ok((pins, None)),
        Err(PinError::Taken { owner, .. }) => Err(ClaimError::Taken {
            parent: link.name.to_string(),
            owner,
        }
        .into()),
        Err(failure) if failure.is_for_want_of_a_filesystem() => {
            let note = format!(
                "nothing is pinned, and answers end with the agent: {}",
                chain(&failure)
            );
            if settings.keep {
                warn!(parent = link.name.as_str(), "{note}");
            }
            Ok((Pins::None, settings.keep.then_some(note)))
        }
        // Without pins it needs no directory for them; what an earlier agent pinned there stays.
        Err(failure) if !settings.keep && is_errno_of_denial(failure.os_error()) => {
            let parent = link.name.as_str();
            let failure = chain(&failure);
            warn!(
                parent,
                "pins of an earlier agent are not looked for: {failure}"
            );
            Ok((Pins::None, None))
        }
        Err(failure) => Err(AgentError::attach(link.name.as_str(), failure.into())),
    }
}

/// Returns the pins of an earlier agent, which are to be removed.
fn previous(netns: u64, link: &Link, settings: &PinSettings) -> Result<Pins, PinError> {
    let Some(root) = PinRoot::find(&settings.dir)? else {
        return Ok(Pins::None);
    };
    let mut names = root.names()?.into_iter();
    let name = names.find(|name| (name.netns, name.ifindex) == (netns, link.ifindex));
    let dir = name.map(|name| root.open(&name)).transpose()?.flatten();
    Ok(dir.map_or(Pins::None, Pins::Release))
}

/// Removes the pins of parents of this netns that are gone: they were deleted, or moved to another netns, while no
/// agent ran.
pub(super) fn remove_orphans(netns: u64, snapshot: &Snapshot, settings: &PinSettings) {
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
                    "removed the pins of {}: the interface is gone", name.parent
                ),
                Err(failure) => warn!("{}", chain(&failure)),
            },
            Ok(None) => {}
            // An agent that holds them removes them itself.
            Err(failure) => debug!("{}", chain(&failure)),
        }
    }
}
