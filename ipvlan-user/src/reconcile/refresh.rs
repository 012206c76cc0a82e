//! How much of the truth is taken anew, and how soon.

use std::time::Duration;

use crate::discover::Wake;

/// Shortest time from the end of a sync to the next: what changes meanwhile is one wake.
pub(super) const MIN_GAP: Duration = Duration::from_millis(1);
/// Longest such time, also while a long sync runs again and again.
pub(super) const MAX_GAP: Duration = Duration::from_millis(100);
/// Longest time to the next try after a failed sync.
const MAX_BACKOFF: Duration = Duration::from_secs(5);

/// How much of the snapshot is taken anew. The later ones include the earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Refresh {
    /// Nothing: what the LAN says changed what is made of it.
    Model,
    /// Addresses, routes and settings, of the links there were.
    Addresses,
    /// Links too, in the netns there were.
    KnownNetns,
    /// Netns too.
    Everything,
}

impl Refresh {
    pub(super) fn after(wake: Wake) -> Self {
        if wake.may_change_netnses() {
            Self::Everything
        } else if wake.changes_links() {
            Self::KnownNetns
        } else {
            Self::Addresses
        }
    }
}

/// 100 ms, 200 ms, 400 ms, … up to [`MAX_BACKOFF`].
pub(super) fn backoff(failures: u32) -> Duration {
    (MAX_GAP * 2_u32.saturating_pow(failures.saturating_sub(1))).min(MAX_BACKOFF)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_its_limit() {
        assert_eq!(backoff(1), Duration::from_millis(100));
        assert_eq!(backoff(3), Duration::from_millis(400));
        assert_eq!(backoff(u32::MAX), MAX_BACKOFF);
    }

    #[test]
    fn pending_sync_only_widens() {
        let addresses = Wake {
            addresses: true,
            ..Wake::default()
        };
        let links = Wake {
            links: true,
            ..Wake::default()
        };
        assert_eq!(Refresh::after(addresses), Refresh::Addresses);
        assert_eq!(Refresh::after(links), Refresh::Everything);
        for wakes in [[addresses, links], [links, addresses]] {
            let pending = wakes.into_iter().fold(None, |pending, wake| {
                pending.max(Some(Refresh::after(wake)))
            });
            assert_eq!(pending, Some(Refresh::Everything));
        }
    }
}
