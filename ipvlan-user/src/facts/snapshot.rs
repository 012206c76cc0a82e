//! Everything that was read at one moment.

use std::{collections::BTreeSet, ops::Range};

use super::{Child, Host, Link, Netns, NetnsId};
use crate::text::netns_label;

/// Everything discovery knows at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Addresses, routes and settings of our own netns.
    pub host: Host,
    /// All links of our own netns, ordered by ifindex.
    pub links: Vec<Link>,
    /// The ipvlan links whose parent is in our own netns, ordered by netns and ifindex.
    pub children: Vec<Child>,
    /// Our own netns and every other one that has an nsid, ordered by id.
    pub netnses: Vec<Netns>,
    /// The netns that could not be read since the agent started: what they hold is not known.
    pub unread: BTreeSet<NetnsId>,
    /// The netns with children that could not be read when they were tried last, and not because they kept changing;
    /// and those that were not read for so long that they are no longer in [`Self::unread`]. They may hold more than
    /// is known.
    pub outdated: BTreeSet<NetnsId>,
}

impl Snapshot {
    /// The link of our own netns with this ifindex.
    #[must_use]
    pub fn link(&self, ifindex: u32) -> Option<&Link> {
        self.links.iter().find(|link| link.ifindex == ifindex)
    }

    /// The link of our own netns with this name.
    #[must_use]
    pub fn link_named(&self, name: &str) -> Option<&Link> {
        self.links.iter().find(|link| link.name == name)
    }

    /// The children in a netns.
    #[must_use]
    pub fn children_of(&self, id: NetnsId) -> &[Child] {
        &self.children[self.place_of(id)]
    }

    /// The child with this ifindex in a netns.
    #[must_use]
    pub fn child(&self, id: NetnsId, ifindex: u32) -> Option<&Child> {
        let children = self.children_of(id);
        let at = children.binary_search_by_key(&ifindex, |child| child.ifindex);
        Some(&children[at.ok()?])
    }

    /// How many addresses they have.
    #[must_use]
    pub fn addresses_of(&self, id: NetnsId) -> usize {
        let children = self.children_of(id).iter();
        children.map(|child| child.addresses.len()).sum()
    }

    /// Waits no longer for the netns that were never read.
    pub fn give_up_unread(&mut self) {
        self.outdated.append(&mut self.unread);
    }

    /// Returns whether children of this parent may have addresses that are not known: in a netns that was not read
    /// yet, or in one that cannot be read again. Addresses beyond a quota do not count.
    #[must_use]
    pub fn may_hold_more(&self, parent: u32) -> bool {
        let may_hold = |&id: &NetnsId| {
            let children = self.children_of(id);
            children.is_empty() || children.iter().any(|child| child.parent_ifindex == parent)
        };
        !self.unread.is_empty() || self.outdated.iter().any(may_hold)
    }

    /// Where they are among all children.
    pub(crate) fn place_of(&self, id: NetnsId) -> Range<usize> {
        let start = self.children.partition_point(|child| child.netns < id);
        let end = self.children.partition_point(|child| child.netns <= id);
        start..end
    }

    /// Returns the short name of a netns, as `status` shows it ([`netns_label`]).
    #[must_use]
    pub fn netns_label(&self, id: NetnsId) -> String {
        let nsid = match id {
            NetnsId::Own => None,
            NetnsId::Nsid(nsid) => Some(nsid),
        };
        let known = self.netns(id);
        let names = known.map_or(&[][..], |netns| &netns.names);
        netns_label(names, known.and_then(|netns| netns.pids.lowest()), nsid)
    }

    /// What is known about a netns.
    #[must_use]
    pub fn netns(&self, id: NetnsId) -> Option<&Netns> {
        self.netnses.iter().find(|netns| netns.id == id)
    }
}
