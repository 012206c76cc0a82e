//! Which solicited-node groups the addresses of children want, and that the parent joins them.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    net::Ipv6Addr,
    time::{Duration, Instant},
};

use super::groups::Groups;

/// Time to the next try to join groups that could not be joined.
const RETRY: Duration = Duration::from_secs(10);

/// What is wanted, and what is joined.
#[derive(Debug)]
pub struct Memberships {
    groups: Groups,
    /// How many addresses want each group.
    wanted: BTreeMap<Ipv6Addr, usize>,
    /// What is wanted is not what is joined.
    unjoined: bool,
    mtu: u32,
    retry: Option<Instant>,
}

impl Memberships {
    /// None, on the interface with this ifindex in the netns of the calling thread.
    #[must_use]
    pub const fn new(ifindex: u32) -> Self {
        Self {
            groups: Groups::new(ifindex),
            wanted: BTreeMap::new(),
            unjoined: false,
            mtu: 0,
            retry: None,
        }
    }

    /// The MTU of the parent: with it IPv6 comes and goes.
    pub const fn set_mtu(&mut self, mtu: u32) {
        self.unjoined |= self.mtu != mtu;
        self.mtu = mtu;
    }

    /// An address wants another group than before, or one no more.
    pub fn want(&mut self, before: Option<Ipv6Addr>, now: Option<Ipv6Addr>) {
        if before == now {
            return;
        }
        if let Some(group) = before
            && let Entry::Occupied(mut entry) = self.wanted.entry(group)
        {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
                self.unjoined = true;
            }
        }
        if let Some(group) = now {
            let count = self.wanted.entry(group).or_default();
            *count += 1;
            self.unjoined |= *count == 1;
        }
    }

    /// Joins the groups that are wanted, and leaves all others.
    pub fn join(&mut self, now: Instant) {
        if self.unjoined || self.groups.is_degraded() {
            let wanted = self.wanted.keys().copied().collect();
            self.groups.follow(&wanted, self.mtu);
            self.unjoined = false;
        }
        self.retry = self.groups.has_failed().then(|| now + RETRY);
    }

    /// When to call [`Self::join`] though nothing changed.
    #[must_use]
    pub const fn retry(&self) -> Option<Instant> {
        self.retry
    }

    /// How many groups the parent is a member of.
    #[must_use]
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// What the user should know.
    #[must_use]
    pub fn note(&self) -> Option<String> {
        self.groups.note()
    }
}
