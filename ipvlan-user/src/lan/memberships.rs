//! Which solicited-node groups the addresses of children want, and that the parent joins them.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    net::Ipv6Addr,
    time::{Duration, Instant},
};

use super::groups::Groups;
use crate::facts::NetnsId;

/// Time to the next try to join groups that could not be joined.
const RETRY: Duration = Duration::from_secs(10);

/// The groups that are wanted, and those that are joined.
#[derive(Debug)]
pub struct Memberships {
    groups: Groups,
    wanted: Wanted,
    /// The wanted groups differ from the joined ones.
    unjoined: bool,
    mtu: u32,
    retry: Option<Instant>,
}

/// The groups that addresses want, as far as their netns may.
#[derive(Debug, Default)]
struct Wanted {
    /// How many groups each netns has at most.
    quota: u32,
    shares: BTreeMap<NetnsId, Share>,
    /// How many netns want each group.
    groups: BTreeMap<Ipv6Addr, usize>,
}

/// The groups of one netns, each with how many addresses want it.
#[derive(Debug, Default)]
struct Share {
    joined: BTreeMap<Ipv6Addr, usize>,
    /// Groups beyond the quota.
    refused: BTreeMap<Ipv6Addr, usize>,
    /// How often a group was refused.
    exceeded: u64,
}

impl Memberships {
    /// None, on the interface with this ifindex in the netns of the calling thread. Each netns has at most
    /// `quota` groups.
    #[must_use]
    pub fn new(ifindex: u32, quota: u32) -> Self {
        Self {
            groups: Groups::new(ifindex),
            wanted: Wanted {
                quota,
                ..Wanted::default()
            },
            unjoined: false,
            mtu: 0,
            retry: None,
        }
    }

    /// Sets the MTU of the parent: IPv6 depends on it.
    pub const fn set_mtu(&mut self, mtu: u32) {
        self.unjoined |= self.mtu != mtu;
        self.mtu = mtu;
    }

    /// Changes how many groups each netns has at most.
    pub fn set_quota(&mut self, quota: u32) {
        self.unjoined |= self.wanted.set_quota(quota);
    }

    /// Records that an address wants another group than before, or none.
    pub fn want(&mut self, before: Option<(NetnsId, Ipv6Addr)>, now: Option<(NetnsId, Ipv6Addr)>) {
        if before == now {
            return;
        }
        if let Some((netns, group)) = before {
            self.unjoined |= self.wanted.remove(netns, group);
        }
        if let Some((netns, group)) = now {
            self.unjoined |= self.wanted.add(netns, group);
        }
    }

    /// Joins the groups that are wanted, and leaves all others.
    pub fn join(&mut self, now: Instant) {
        if self.unjoined || self.groups.is_degraded() {
            let wanted = self.wanted.groups.keys().copied().collect();
            self.groups.update(&wanted, self.mtu);
            self.unjoined = false;
        }
        self.retry = self.groups.has_failed().then(|| now + RETRY);
    }

    /// Returns when to call [`Self::join`] although nothing has changed.
    #[must_use]
    pub const fn retry(&self) -> Option<Instant> {
        self.retry
    }

    /// Returns how many groups the parent is a member of.
    #[must_use]
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// Returns whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Returns how often a group of each netns was refused because the netns had its quota.
    pub fn exceeded(&self) -> impl Iterator<Item = (NetnsId, u64)> {
        let shares = self.wanted.shares.iter();
        shares
            .filter(|(_, share)| share.exceeded > 0)
            .map(|(&netns, share)| (netns, share.exceeded))
    }

    /// Returns the notes for `status`.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let refused: usize = self.wanted.shares.values().map(|of| of.refused.len()).sum();
        let quota = (refused > 0).then(|| {
            format!(
                "{refused} solicited-node groups are not joined: their netns has its quota \
                 (--netns-groups {})",
                self.wanted.quota
            )
        });
        self.groups.note().into_iter().chain(quota).collect()
    }
}

impl Wanted {
    fn set_quota(&mut self, quota: u32) -> bool {
        if std::mem::replace(&mut self.quota, quota) == quota {
            return false;
        }
        let mut changed = false;
        let all: Vec<NetnsId> = self.shares.keys().copied().collect();
        for netns in all {
            while self.is_over(netns)
                && let Some(share) = self.shares.get_mut(&netns)
                && let Some((group, count)) = share.joined.pop_last()
            {
                share.refused.insert(group, count);
                share.exceeded += 1;
                changed |= self.leave(group);
            }
            changed |= self.promote(netns);
        }
        changed
    }

    fn has_room(&self, netns: NetnsId) -> bool {
        let joined = self
            .shares
            .get(&netns)
            .map_or(0, |share| share.joined.len());
        netns == NetnsId::Own || joined < self.quota as usize
    }

    fn is_over(&self, netns: NetnsId) -> bool {
        let joined = self
            .shares
            .get(&netns)
            .map_or(0, |share| share.joined.len());
        netns != NetnsId::Own && joined > self.quota as usize
    }

    /// Returns whether other groups than before are to be joined.
    fn add(&mut self, netns: NetnsId, group: Ipv6Addr) -> bool {
        let has_room = self.has_room(netns);
        let share = self.shares.entry(netns).or_default();
        if let Some(count) = share
            .joined
            .get_mut(&group)
            .or_else(|| share.refused.get_mut(&group))
        {
            *count += 1;
            return false;
        }
        if !has_room {
            share.refused.insert(group, 1);
            share.exceeded += 1;
            return false;
        }
        share.joined.insert(group, 1);
        let count = self.groups.entry(group).or_default();
        *count += 1;
        *count == 1
    }

    /// Returns as [`Self::add`] does.
    fn remove(&mut self, netns: NetnsId, group: Ipv6Addr) -> bool {
        let Some(share) = self.shares.get_mut(&netns) else {
            return false;
        };
        let mut changed = false;
        if take_one(&mut share.joined, group) {
            changed |= self.leave(group);
            changed |= self.promote(netns);
        } else {
            take_one(&mut share.refused, group);
        }
        if let Entry::Occupied(share) = self.shares.entry(netns)
            && share.get().joined.is_empty()
            && share.get().refused.is_empty()
        {
            share.remove();
        }
        changed
    }

    /// Lets refused groups have what room there is.
    fn promote(&mut self, netns: NetnsId) -> bool {
        let mut changed = false;
        while self.has_room(netns)
            && let Some(share) = self.shares.get_mut(&netns)
            && let Some((group, count)) = share.refused.pop_first()
        {
            share.joined.insert(group, count);
            let count = self.groups.entry(group).or_default();
            *count += 1;
            changed |= *count == 1;
        }
        changed
    }

    /// One netns wants this group no more.
    fn leave(&mut self, group: Ipv6Addr) -> bool {
        take_one(&mut self.groups, group)
    }
}

/// Counts one less. Returns whether that was the last.
fn take_one(counts: &mut BTreeMap<Ipv6Addr, usize>, group: Ipv6Addr) -> bool {
    let Entry::Occupied(mut entry) = counts.entry(group) else {
        return false;
    };
    *entry.get_mut() -= 1;
    let is_last = *entry.get() == 0;
    if is_last {
        entry.remove();
    }
    is_last
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(number: u16) -> Ipv6Addr {
        Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, number)
    }

    fn joined(wanted: &Wanted) -> Vec<u16> {
        let groups = wanted.groups.keys();
        groups.map(|group| group.segments()[7]).collect()
    }

    #[test]
    fn a_netns_joins_as_many_groups_as_its_quota_and_others_are_joined_all_the_same() {
        let (a, b) = (NetnsId::Nsid(1), NetnsId::Nsid(2));
        let mut wanted = Wanted {
            quota: 2,
            ..Wanted::default()
        };
        assert!(wanted.add(a, group(1)));
        assert!(!wanted.add(a, group(1)), "a second address of the group");
        assert!(wanted.add(a, group(2)));
        for number in 3..100 {
            assert!(!wanted.add(a, group(number)));
        }
        assert_eq!(joined(&wanted), [1, 2]);
        assert_eq!(wanted.shares[&a].exceeded, 97);
        // Another netns, which wants one of the refused, and the agent's own.
        assert!(wanted.add(b, group(5)));
        assert!(!wanted.add(b, group(2)));
        for number in 200..210 {
            assert!(wanted.add(NetnsId::Own, group(number)));
        }
        assert_eq!(wanted.groups.len(), 13);
        assert_eq!(wanted.shares[&b].exceeded, 0);
        // Room that one leaves is the next one's; what others want stays.
        assert!(!wanted.remove(a, group(1)), "one of two addresses");
        assert!(wanted.remove(a, group(1)));
        assert!(joined(&wanted).starts_with(&[2, 3, 5, 200]));
        assert!(wanted.remove(a, group(2)), "4 comes");
        assert!(joined(&wanted).starts_with(&[2, 3, 4, 5, 200]));
        // A refused one that goes costs nothing.
        assert!(!wanted.remove(a, group(50)));
        for number in 3..100 {
            wanted.remove(a, group(number));
        }
        assert!(!wanted.shares.contains_key(&a), "nothing is kept");
        assert!(joined(&wanted).starts_with(&[2, 5, 200]));
    }

    #[test]
    fn another_quota_counts_at_once() {
        let netns = NetnsId::Nsid(1);
        let mut wanted = Wanted {
            quota: 3,
            ..Wanted::default()
        };
        for number in 1..=5 {
            wanted.add(netns, group(number));
        }
        assert_eq!(joined(&wanted), [1, 2, 3]);
        assert!(wanted.set_quota(1));
        assert_eq!(joined(&wanted), [1]);
        assert!(wanted.set_quota(4));
        assert_eq!(joined(&wanted), [1, 2, 3, 4]);
        assert!(!wanted.set_quota(4));
    }
}
