//! What earlier decisions left, which the next one goes by. Pure.
//!
//! - A child that had an address before the operator made it a next hop keeps it; one that takes the address of
//!   a next hop does not. The order of both decides, also across a restart of the agent.
//! - Of a netns that exceeds its quota those addresses stay that were there before.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipvlan_common::{AddressEntry, Reason};

use super::{ChildKey, ChildView, Desired, DesiredEntry, Policy, Reach};
use crate::facts::{Child, Link, NetnsId, Snapshot};

/// Contents of the address maps of both families.
type Addresses = BTreeMap<IpAddr, AddressEntry>;

/// What earlier decisions about a parent left.
///
/// [`Self::update`] is to be called before each decision, with what the last one was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// Addresses of next hops that a child had before they were.
    established: BTreeMap<IpAddr, ChildKey>,
    /// Addresses of next hops that a child took. They stay refused if the route comes back: a route that is
    /// replaced is gone for a moment.
    late: BTreeSet<(IpAddr, ChildKey)>,
    /// What adopted maps say about addresses of children that were not found at the start: in netns that could not
    /// be read.
    awaited: Awaited,
    /// Addresses that the last decision kept of netns that exceed their quota, and how often: a child can have
    /// one with prefixes of several lengths.
    kept: BTreeMap<(ChildKey, IpAddr), usize>,
    /// How many addresses of a netns are kept, if no rule says otherwise.
    quota: usize,
}

/// Entries of adopted maps whose child is not known yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Awaited {
    /// The netns that could not be read at the start.
    netnses: BTreeSet<NetnsId>,
    /// The entries that say of an address whether a child had it before the route or took it afterwards.
    entries: Addresses,
}

impl Default for History {
    /// Returns that of a parent which was never served, without a quota.
    fn default() -> Self {
        Self {
            established: BTreeMap::new(),
            late: BTreeSet::new(),
            awaited: Awaited::default(),
            kept: BTreeMap::new(),
            quota: usize::MAX,
        }
    }
}

impl History {
    /// Goes by `last`, the last decision, and `installed`, what the maps hold, from now on.
    ///
    /// Before the first decision of an agent `last` is empty, and adopted maps alone say what was answered. They
    /// know a child by its ifindex.
    pub fn update(
        &mut self,
        snapshot: &Snapshot,
        parent: &Link,
        policy: &Policy,
        last: &Desired,
        installed: &Addresses,
    ) {
        self.update_children(snapshot, parent, policy, last, installed, None);
        let is_first = last.addresses.is_empty() && last.children.is_empty();
        if is_first {
            self.adopt(snapshot, parent, installed);
            self.await_unread(snapshot, parent, installed);
        }
        for gateway in &snapshot.host.gateways {
            let address = gateway.address;
            if self.established.contains_key(&address) {
                continue;
            }
            let entry = installed.get(&address).filter(|it| is_established(it));
            let before = match last.addresses.get(&address) {
                Some(DesiredEntry::Child { child, .. }) => Some(*child),
                None if is_first => None,
                _ => continue,
            };
            let child = entry.and_then(|entry| {
                let mut children = snapshot.children.iter();
                children.find(|child| {
                    child.ifindex == entry.child_ifindex()
                        && before.is_none_or(|before| before == ChildKey::from(*child))
                        && has(child, parent, address)
                })
            });
            if let Some(child) = child.map(ChildKey::from)
                && !self.late.contains(&(address, child))
            {
                self.established.insert(address, child);
            }
        }
    }

    /// Notes which addresses of next hops children had taken when the agent before ended.
    fn adopt(&mut self, snapshot: &Snapshot, parent: &Link, installed: &Addresses) {
        for (&address, entry) in installed.iter().filter(|(_, entry)| is_taken(entry)) {
            let mut children = snapshot.children.iter();
            let child = children.find(|child| {
                child.ifindex == entry.child_ifindex() && has(child, parent, address)
            });
            self.late
                .extend(child.map(|child| (address, ChildKey::from(child))));
        }
    }

    /// Notes what the agent before knew of children in netns that cannot be read yet.
    fn await_unread(&mut self, snapshot: &Snapshot, parent: &Link, installed: &Addresses) {
        if snapshot.unread.is_empty() {
            return;
        }
        let is_found = |address, entry: &AddressEntry| {
            let mut children = snapshot.children.iter();
            children
                .any(|child| child.ifindex == entry.child_ifindex() && has(child, parent, address))
        };
        let entries = installed
            .iter()
            .filter(|(_, entry)| is_established(entry) || is_taken(entry))
            .filter(|&(&address, entry)| !is_found(address, entry));
        self.awaited = Awaited {
            netnses: snapshot.unread.clone(),
            entries: entries.map(|(&address, &entry)| (address, entry)).collect(),
        };
    }

    /// Finds the children that were awaited.
    fn find_awaited(&mut self, snapshot: &Snapshot, parent: &Link) {
        let Awaited { netnses, entries } = &mut self.awaited;
        if entries.is_empty() {
            return;
        }
        let is_next_hop = |address| {
            let mut gateways = snapshot.host.gateways.iter();
            gateways.any(|gateway| gateway.address == address)
        };
        entries.retain(|&address, entry| {
            let mut children = netnses.iter().flat_map(|&id| snapshot.children_of(id));
            let child = children.find(|child| {
                child.ifindex == entry.child_ifindex() && has(child, parent, address)
            });
            let Some(key) = child.map(ChildKey::from) else {
                return true;
            };
            if is_taken(entry) {
                self.late.insert((address, key));
            } else if is_next_hop(address) && !self.late.contains(&(address, key)) {
                self.established.insert(address, key);
            }
            false
        });
        netnses.retain(|id| snapshot.unread.contains(id) || snapshot.outdated.contains(id));
        if netnses.is_empty() {
            entries.clear();
        }
    }

    /// The same where the snapshot differs from the last one in the children of these netns only; without them
    /// of all.
    pub fn update_children(
        &mut self,
        snapshot: &Snapshot,
        parent: &Link,
        policy: &Policy,
        last: &Desired,
        installed: &Addresses,
        netnses: Option<&BTreeSet<NetnsId>>,
    ) {
        self.find_awaited(snapshot, parent);
        let all: BTreeSet<NetnsId>;
        let netnses = if let Some(netnses) = netnses {
            netnses
        } else {
            let netnses = snapshot.children.iter().map(|it| it.netns);
            all = netnses
                .chain(last.children.iter().map(|view| view.key.netns))
                .collect();
            &all
        };
        for view in netnses.iter().flat_map(|&netns| last.children_of(netns)) {
            let took = view.addresses.iter();
            let took = took.filter(|it| it.refusal == Some(Reason::GatewayAddress));
            self.late.extend(took.map(|it| (it.address, view.key)));
        }
        let still_has = |key: ChildKey, address| {
            let mut children = snapshot.children_of(key.netns).iter();
            !netnses.contains(&key.netns)
                || children.any(|child| child.ifindex == key.ifindex && has(child, parent, address))
        };
        self.established
            .retain(|&address, &mut child| still_has(child, address));
        self.late
            .retain(|&(address, child)| still_has(child, address));
        self.kept.clear();
        for &netns in netnses {
            let children = snapshot.children_of(netns).iter();
            let children = children.filter(|child| child.parent_ifindex == parent.ifindex);
            let count: usize = children.clone().map(|child| child.addresses.len()).sum();
            if count > self.quota_of(snapshot, policy, netns) {
                let of_netns = children.flat_map(|child| {
                    let addresses = child.addresses.iter();
                    addresses.map(move |it| (ChildKey::from(child), it.local))
                });
                self.keep(netns, of_netns, last, installed);
            }
        }
    }

    /// Keeps which addresses of a netns the last decision kept.
    fn keep(
        &mut self,
        netns: NetnsId,
        addresses: impl Iterator<Item = (ChildKey, IpAddr)>,
        last: &Desired,
        installed: &Addresses,
    ) {
        let views = last.children_of(netns);
        if views.is_empty() {
            let is_installed = |&(key, address): &(ChildKey, IpAddr)| {
                installed
                    .get(&address)
                    .is_some_and(|it| it.is_live_child() && it.child_ifindex() == key.ifindex)
            };
            self.note_kept(addresses.filter(is_installed));
        } else {
            let kept = views.iter().flat_map(|view| {
                let kept = view.addresses.iter();
                kept.filter(|it| it.refusal != Some(Reason::OverQuota))
                    .map(|it| (view.key, it.address))
            });
            self.note_kept(kept);
        }
    }

    fn note_kept(&mut self, addresses: impl Iterator<Item = (ChildKey, IpAddr)>) {
        for address in addresses {
            *self.kept.entry(address).or_default() += 1;
        }
    }

    /// Sets how many addresses of a netns are kept.
    pub const fn set_quota(&mut self, quota: usize) {
        self.quota = quota;
    }

    /// Returns whether the child had this address before it was that of a next hop.
    pub(super) fn is_established(&self, address: IpAddr, child: ChildKey) -> bool {
        self.established.get(&address) == Some(&child)
    }

    /// Refuses the addresses by which a netns, which has these children, exceeds its quota.
    pub(super) fn limit(&self, snapshot: &Snapshot, policy: &Policy, children: &mut [ChildView]) {
        let Some(netns) = children.first().map(|view| view.key.netns) else {
            return;
        };
        let count: usize = children.iter().map(|view| view.addresses.len()).sum();
        let quota = self.quota_of(snapshot, policy, netns);
        if count <= quota {
            return;
        }
        let mut left = quota;
        for is_kept_before in [true, false] {
            let mut seen = BTreeMap::<(ChildKey, IpAddr), usize>::new();
            for view in children.iter_mut() {
                for it in &mut view.addresses {
                    let key = (view.key, it.address);
                    let seen = seen.entry(key).or_default();
                    let is_kept = *seen < self.kept.get(&key).copied().unwrap_or(0);
                    *seen += 1;
                    if is_kept != is_kept_before {
                        continue;
                    }
                    if left > 0 {
                        left -= 1;
                    } else {
                        it.refusal = Some(Reason::OverQuota);
                        it.reach = Reach::default();
                    }
                }
            }
        }
    }

    /// Returns how many addresses of a netns are kept; our own has no quota.
    fn quota_of(&self, snapshot: &Snapshot, policy: &Policy, netns: NetnsId) -> usize {
        if netns == NetnsId::Own {
            return usize::MAX;
        }
        let of_rule = || policy.quota_of(&snapshot.netns(netns)?.files);
        (!policy.rules.is_empty())
            .then(of_rule)
            .flatten()
            .map_or(self.quota, |quota| quota as usize)
    }
}

/// Returns whether an entry is answered for a child, and no probe for it is under way.
#[must_use]
pub const fn is_established(entry: &AddressEntry) -> bool {
    entry.is_live_child() && !entry.probed()
}

/// Returns whether an entry refuses a child the address of a next hop.
fn is_taken(entry: &AddressEntry) -> bool {
    entry.refusal() == Some(Reason::GatewayAddress)
}

/// Returns whether the driver delivers this address to the child, and the parent is its.
fn has(child: &Child, parent: &Link, address: IpAddr) -> bool {
    child.parent_ifindex == parent.ifindex
        && child.addresses.iter().any(|it| it.registered() == address)
}
