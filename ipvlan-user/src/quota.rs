//! What one network namespace can use of the agent and of the LAN.
//!
//! A container's word is a claim: whatever it does, it uses at most its share, and what exceeds the share is
//! counted and shown in `status`. The agent's own netns is not limited.

use std::collections::BTreeMap;

use crate::{facts::NetnsId, protocol::QuotaKind};

/// Default of `--netns-addresses`.
pub const DEFAULT_ADDRESSES: u32 = 4_096;
/// Default of `--netns-events`, per second.
pub const DEFAULT_EVENTS: u32 = 16;
/// Default of `--netns-announcements`, per second.
pub const DEFAULT_ANNOUNCEMENTS: u32 = 5;
/// Default of `--netns-groups`.
pub const DEFAULT_GROUPS: u32 = 1_024;
/// Default of `--netns-time`, in percent of one processor.
pub const DEFAULT_TIME: u32 = 10;

/// The share of each network namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotas {
    /// Addresses of its children that are read and kept, both families together.
    pub addresses: u32,
    /// Events about its addresses (claims and probes of stations on the LAN) that are handled, per second.
    pub events: u32,
    /// Announcements and probes that are sent for its addresses, per second.
    pub announcements: u32,
    /// Solicited-node groups that the parent joins for it.
    pub groups: u32,
    /// Time of the agent that reading it takes, in percent of one processor.
    pub time: u32,
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            addresses: DEFAULT_ADDRESSES,
            events: DEFAULT_EVENTS,
            announcements: DEFAULT_ANNOUNCEMENTS,
            groups: DEFAULT_GROUPS,
            time: DEFAULT_TIME,
        }
    }
}

impl Quotas {
    /// Returns the limit of one kind.
    #[must_use]
    pub const fn of(&self, kind: QuotaKind) -> u32 {
        match kind {
            QuotaKind::Addresses => self.addresses,
            QuotaKind::Events => self.events,
            QuotaKind::Announcements => self.announcements,
            QuotaKind::Groups => self.groups,
            QuotaKind::Time => self.time,
        }
    }
}

/// Adds up what several parts of the agent counted.
pub fn merged<'a>(parts: impl IntoIterator<Item = &'a Exceeded>) -> Exceeded {
    let mut merged = Exceeded::new();
    for (&key, &count) in parts.into_iter().flatten() {
        let total = merged.entry(key).or_default();
        *total = total.saturating_add(count);
    }
    merged
}

/// How often each netns exceeded each of its quotas since it appeared; those that never did are not in it.
pub type Exceeded = BTreeMap<(NetnsId, QuotaKind), u64>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_several_parts_are_added_up() {
        let key = |nsid, quota| (NetnsId::Nsid(nsid), quota);
        let first = Exceeded::from([
            (key(1, QuotaKind::Events), 3),
            (key(2, QuotaKind::Time), u64::MAX),
        ]);
        let second = Exceeded::from([
            (key(1, QuotaKind::Events), 4),
            (key(1, QuotaKind::Groups), 1),
            (key(2, QuotaKind::Time), 1),
        ]);
        let expected = Exceeded::from([
            (key(1, QuotaKind::Events), 7),
            (key(1, QuotaKind::Groups), 1),
            (key(2, QuotaKind::Time), u64::MAX),
        ]);
        assert_eq!(merged([&first, &second]), expected);
        assert_eq!(merged([]), Exceeded::new());
    }
}
