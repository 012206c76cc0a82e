//! Which addresses an address map has room for, if it has not for all. Pure.
//!
//! The addresses of the host and of gateways come first: without them the host itself would be answered wrongly.
//! Then the addresses of children that are answered, or will be when a probe ends: those that are installed
//! before new ones, and new ones shared evenly by netns. What room is left goes to refused addresses, which are
//! only counted; they give way at once.
//!
//! One netns gets at most three quarters of a map, so that it cannot keep the addresses of all others out.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    net::IpAddr,
};

use ipvlan_common::Owner;

use super::diff::Addresses;
use crate::{
    facts::NetnsId,
    model::{ChildKey, DesiredEntry, may_be_answered},
};

/// Addresses that are not in the maps, because their family's has no room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Addresses that would be answered, or probed for, if there was room.
    pub waiting: BTreeSet<IpAddr>,
    /// Refused addresses of children, of which only a counter is missing.
    pub refused: BTreeSet<IpAddr>,
    /// Whether an address that is not in the maps may be a child's all the same, so that no request may be
    /// dropped as one for an unowned address. Addresses by which a netns exceeds its share do not count: it
    /// could take that from all others.
    pub is_uncertain: bool,
}

impl LeftOut {
    /// Returns whether every address is in its map.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.refused.is_empty()
    }

    /// Returns whether this address is left out.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.waiting.contains(&address) || self.refused.contains(&address)
    }
}

/// Returns the most addresses that one netns gets in a map with room for `capacity`.
#[must_use]
pub const fn most_of_netns(capacity: usize) -> usize {
    capacity - capacity / 4
}

/// Decides which of the desired addresses stay out of the maps, each of which has room for `capacity`.
#[must_use]
pub fn left_out(
    desired: &BTreeMap<IpAddr, DesiredEntry>,
    installed: &Addresses,
    capacity: usize,
) -> LeftOut {
    let mut left_out = LeftOut::default();
    let is_v4 = |(address, _): &(&IpAddr, &DesiredEntry)| address.is_ipv4();
    for family in [true, false] {
        let of_family = || desired.iter().filter(|it| is_v4(it) == family);
        if of_family().count() > most_of_netns(capacity) {
            Family::new(of_family(), installed, capacity).share(&mut left_out);
        }
    }
    left_out
}

/// Addresses of one netns that are alike.
type Queue = Vec<IpAddr>;

/// The addresses of one family.
struct Family {
    capacity: usize,
    /// The host's, then those of gateways and control addresses.
    first: Queue,
    /// Of children, by netns: answered or about to be, and installed so.
    installed: BTreeMap<NetnsId, Queue>,
    /// Answered or about to be, and new.
    new: BTreeMap<NetnsId, Queue>,
    /// Refused.
    refused: BTreeMap<NetnsId, Queue>,
}

impl Family {
    fn new<'a>(
        desired: impl Iterator<Item = (&'a IpAddr, &'a DesiredEntry)>,
        installed: &Addresses,
        capacity: usize,
    ) -> Self {
        let mut family = Self {
            capacity,
            first: Vec::new(),
            installed: BTreeMap::new(),
            new: BTreeMap::new(),
            refused: BTreeMap::new(),
        };
        let mut gateways = Vec::new();
        for (&address, &wanted) in desired {
            let queues = match wanted {
                DesiredEntry::Host { .. } => {
                    family.first.push(address);
                    continue;
                }
                DesiredEntry::Gateway | DesiredEntry::Control => {
                    gateways.push(address);
                    continue;
                }
                DesiredEntry::Child { child, .. } if !wanted.needs_room() => {
                    (&mut family.refused, child)
                }
                DesiredEntry::Child { child, .. } if is_installed(installed, address, child) => {
                    (&mut family.installed, child)
                }
                DesiredEntry::Child { child, .. } => (&mut family.new, child),
            };
            let (queues, child) = queues;
            queues.entry(child.netns).or_default().push(address);
        }
        family.first.append(&mut gateways);
        family
    }

    /// Notes what has no room.
    fn share(self, left_out: &mut LeftOut) {
        let Self {
            capacity,
            first,
            installed,
            new,
            refused,
        } = self;
        let mut wanted = BTreeMap::<NetnsId, usize>::new();
        for (&netns, queue) in installed.iter().chain(&new).chain(&refused) {
            *wanted.entry(netns).or_default() += queue.len();
        }
        let fair = capacity / wanted.len().max(1);
        let mut room = Room {
            left: capacity,
            most: usize::MAX,
            used: BTreeMap::new(),
        };
        let surplus = first.get(room.left..).unwrap_or_default();
        left_out.is_uncertain |= !surplus.is_empty();
        left_out.waiting.extend(surplus);
        room.left -= first.len() - surplus.len();

        let mut waiting = room.fill(installed);
        room.most = most_of_netns(capacity);
        waiting.extend(room.fill(new));
        // What a netns would have beyond its share is uncertain only if there is no other to be protected.
        left_out.is_uncertain |= waiting.iter().any(|(netns, _)| {
            wanted.len() == 1 || *netns == NetnsId::Own || room.used_by(*netns) < room.most
        });
        left_out
            .waiting
            .extend(waiting.into_iter().map(|(_, address)| address));

        room.most = usize::MAX;
        let refused = room.fill(refused);
        left_out.is_uncertain |= refused
            .iter()
            .any(|(netns, _)| *netns == NetnsId::Own || wanted[netns] <= fair);
        left_out
            .refused
            .extend(refused.into_iter().map(|(_, address)| address));
    }
}

/// The room in a map.
struct Room {
    left: usize,
    /// The most that one netns gets, our own aside.
    most: usize,
    used: BTreeMap<NetnsId, usize>,
}

impl Room {
    fn used_by(&self, netns: NetnsId) -> usize {
        self.used.get(&netns).copied().unwrap_or(0)
    }

    /// Gives room to one address after another, each of the netns that has the fewest by then. Returns the
    /// others.
    fn fill(&mut self, queues: BTreeMap<NetnsId, Queue>) -> Vec<(NetnsId, IpAddr)> {
        let mut queues: BTreeMap<NetnsId, _> = queues
            .into_iter()
            .map(|(netns, queue)| (netns, queue.into_iter()))
            .collect();
        let mut next: BinaryHeap<Reverse<(usize, NetnsId)>> = queues
            .keys()
            .map(|&netns| Reverse((self.used_by(netns), netns)))
            .collect();
        while self.left > 0
            && let Some(Reverse((used, netns))) = next.pop()
        {
            let is_limited = netns != NetnsId::Own && used >= self.most;
            if is_limited || queues.get_mut(&netns).and_then(Iterator::next).is_none() {
                continue;
            }
            self.left -= 1;
            self.used.insert(netns, used + 1);
            next.push(Reverse((used + 1, netns)));
        }
        let rest = queues.into_iter();
        rest.flat_map(|(netns, queue)| queue.map(move |address| (netns, address)))
            .collect()
    }
}

/// Returns whether the maps hold the address as this child's, answered or about to be.
fn is_installed(installed: &Addresses, address: IpAddr, child: ChildKey) -> bool {
    installed.get(&address).is_some_and(|entry| {
        entry.owner() == Some(Owner::Child)
            && entry.child_ifindex() == child.ifindex
            && may_be_answered(entry.refusal())
    })
}

#[cfg(test)]
mod tests;
