//! Where a parent's links and maps are pinned, and that they stay so.

use tracing::warn;

use super::{Parent, State};
use crate::{
    agent::{AgentError, PinSettings, chain, is_errno_of_denial},
    facts::Link,
    pins::{PinError, PinRoot, Pins},
    runtime::ClaimError,
};

impl Parent {
    /// Attaches or detaches the XDP program where VLAN offload has changed.
    pub(in crate::agent) fn check_xdp(&mut self) {
        if let State::Serving(serving) = &mut self.state
            && let Err(failure) = serving.datapath.check_xdp()
        {
            let parent = serving.link.name.as_str();
            let failure = chain(&failure);
            warn!(
                parent,
                "XDP program not switched, the TC programs answer: {failure}"
            );
        }
    }

    /// Attaches the TC programs again where they are gone or do not run in the order that was asked for.
    pub(in crate::agent) fn check_order(&mut self) {
        if let State::Serving(serving) = &mut self.state {
            serving.datapath.check_order();
        }
    }

    /// Pins again what somebody else has unpinned. Returns whether to try again soon.
    pub(in crate::agent) fn repin(&mut self) -> bool {
        let State::Serving(serving) = &mut self.state else {
            return false;
        };
        let parent = serving.link.name.as_str();
        match serving.datapath.repin() {
            Ok(objects) => {
                if objects > 0 {
                    warn!(parent, objects, "somebody else removed pins: they are back");
                }
                if serving.datapath.pin_directory().is_some() {
                    serving.unpinned = None;
                }
                false
            }
            Err(failure) => {
                let failure = chain(&failure);
                let note = format!("not everything is pinned: {failure}");
                let again = serving.unpinned.as_ref() != Some(&note);
                warn!(parent, "{note}");
                serving.unpinned = Some(note);
                again
            }
        }
    }

    /// Where to pin what is attached; without a filesystem for that, the reason why not.
    pub(super) fn pins(
        &self,
        link: &Link,
        settings: &PinSettings,
    ) -> Result<(Pins, Option<String>), AgentError> {
        let result = if settings.keep {
            PinRoot::create(&settings.dir)
                .and_then(|root| root.claim(self.netns, link.name.as_str(), link.ifindex))
                .map(Pins::Keep)
        } else {
            self.pins_of_before(link, settings)
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
            Err(failure) => Err(AgentError::Attach {
                parent: link.name.to_string(),
                source: Box::new(failure.into()),
            }),
        }
    }

    /// What an agent that did pin has left.
    fn pins_of_before(&self, link: &Link, settings: &PinSettings) -> Result<Pins, PinError> {
        let Some(root) = PinRoot::find(&settings.dir)? else {
            return Ok(Pins::None);
        };
        let mut names = root.names()?.into_iter();
        let name = names.find(|name| (name.netns, name.ifindex) == (self.netns, link.ifindex));
        let dir = name.map(|name| root.open(&name)).transpose()?.flatten();
        Ok(dir.map_or(Pins::None, Pins::Release))
    }
}
