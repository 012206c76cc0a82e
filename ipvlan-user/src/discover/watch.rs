//! Netlink events of all netns with an nsid, coalesced to "something of this sort changed".

use super::DiscoverError;

/// What changed since the last wake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wake {
    /// Links, anywhere; a netns without an nsid shows only as this.
    pub links: bool,
    /// Addresses, anywhere.
    pub addresses: bool,
    /// Routes or per-interface settings.
    pub routes: bool,
    /// An nsid was given or taken.
    pub netns: bool,
    /// Events were lost: everything may have changed.
    pub overrun: bool,
}

impl Wake {
    /// Whether netns may have appeared or vanished, so that the next snapshot has to look for them.
    #[must_use]
    pub const fn may_change_netnses(self) -> bool {
        self.links || self.netns || self.overrun
    }
}

/// Waits for changes.
#[derive(Debug)]
pub struct Watch {}

impl Watch {
    /// Subscribes. From here on every change wakes; take the first snapshot after this.
    ///
    /// Must be called within a tokio runtime.
    pub fn new() -> Result<Self, DiscoverError> {
        todo!()
    }

    /// Waits until something changed, then takes all that is queued. Cancelling loses nothing.
    pub async fn wake(&mut self) -> Result<Wake, DiscoverError> {
        std::future::pending().await
    }
}
