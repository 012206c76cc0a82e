//! A parent's manners on the LAN, fed from what is desired and from what the programs tell.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::IpAddr,
    task::{Context, Poll},
    time::{Instant, SystemTime},
};

use ipvlan_common::{Event, Reason};
use tracing::{debug, warn};

use crate::{
    discover::{
        Snapshot,
        snapshot::{Link, Mode},
    },
    model::{ChildKey, Desired, Revision, Wanted},
    neighbour::{
        Candidate, Manners, Neighbours, announce::Live, events::Events, frame::Mac,
        host::HostNeighbours, log::Log, radar::Radar,
    },
    sync::maps,
};

/// The LAN behind one parent.
pub(super) struct Lan {
    manners: Manners,
    neighbours: Neighbours,
    radar: Radar,
    /// None before [`Self::hear`], and once it could not be read.
    events: Option<Events>,
    /// MACs of the host's own links.
    own: BTreeSet<Mac>,
    host: HostNeighbours,
}

impl Lan {
    /// Needs `CAP_NET_RAW`.
    pub(super) fn open(ifindex: u32, manners: Manners, host: HostNeighbours) -> io::Result<Self> {
        Ok(Self {
            manners,
            neighbours: Neighbours::open(Instant::now(), ifindex, manners)?,
            radar: Radar::default(),
            events: None,
            own: BTreeSet::new(),
            host,
        })
    }

    /// Behaves like this from now on.
    pub(super) fn behave(&mut self, manners: Manners) {
        if self.manners != manners {
            self.manners = manners;
            self.neighbours.set_manners(Instant::now(), manners);
        }
    }

    /// Reads what the programs tell from `ring`. Must be called within a tokio runtime.
    pub(super) fn hear(&mut self, ring: Option<maps::Events>) -> io::Result<()> {
        self.events = ring.map(Events::new).transpose()?;
        Ok(())
    }

    /// Follows what is desired, and tells what is new in it. Addresses that found no room in the map
    /// are left out: nobody would answer for them. Returns whether [`Self::held_back`] is another.
    pub(super) fn follow(
        &mut self,
        link: &Link,
        desired: &Desired,
        no_room: &BTreeSet<IpAddr>,
        snapshot: &Snapshot,
    ) -> bool {
        let now = Instant::now();
        let candidates = candidates(desired, no_room);
        self.own = snapshot.links.iter().filter_map(|link| link.mac).collect();
        let changed = self.neighbours.follow(now, link, candidates);
        self.watch(now, desired, snapshot);
        changed
    }

    /// Follows what was revised of what is desired, as [`Self::follow`] does.
    pub(super) fn revise(
        &mut self,
        desired: &Desired,
        revision: &Revision,
        no_room: &BTreeSet<IpAddr>,
        snapshot: &Snapshot,
    ) {
        let now = Instant::now();
        let l2 = is_l2(desired);
        for &address in &revision.addresses {
            let wanted = desired.addresses.get(&address);
            let candidate = wanted
                .filter(|_| !no_room.contains(&address))
                .and_then(|wanted| candidate(address, wanted, l2));
            self.neighbours.revise(now, address, candidate);
        }
        self.neighbours.join_groups(now);
        if revision.children || revision.conflicts {
            self.watch(now, desired, snapshot);
        }
    }

    /// What the programs answer for is another: the host is not to wait until it asks again.
    pub(super) fn tell_host(&mut self, link: &Link, desired: &Desired) {
        let Some(mac) = link.mac else {
            return;
        };
        let is_router = |address| match desired.addresses.get(&address) {
            Some(Wanted::Child {
                refusal: None,
                router,
                ..
            }) => Some(*router),
            _ => None,
        };
        match self.host.resolve(mac, is_router) {
            Ok(0) => {}
            Ok(told) => debug!(
                parent = link.name.as_str(),
                told, "the host waited for an answer"
            ),
            // It asks again after a second.
            Err(failure) => debug!(
                parent = link.name.as_str(),
                "the host was not told: {failure}"
            ),
        }
    }

    fn watch(&mut self, now: Instant, desired: &Desired, snapshot: &Snapshot) {
        for incident in self.radar.compare(now, desired, snapshot) {
            self.neighbours.found(now, SystemTime::now(), incident);
        }
    }

    /// Waits for events of the programs.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Vec<Event>> {
        let Some(events) = &mut self.events else {
            return Poll::Pending;
        };
        match events.poll(context) {
            Poll::Ready(Ok(events)) => Poll::Ready(events),
            Poll::Ready(Err(failure)) => {
                warn!("events of the programs are not read any more: {failure}");
                self.events = None;
                Poll::Pending
            }
            Poll::Pending => Poll::Pending,
        }
    }

    /// Judges events of the programs. Returns as [`Self::follow`] does.
    pub(super) fn told(&mut self, events: &[Event], desired: &Desired) -> bool {
        let now = Instant::now();
        let name = |key| {
            let child = desired.children.iter().find(|child| child.key == key);
            child.map_or_else(String::new, |child| child.name.to_string())
        };
        let mut changed = false;
        for event in events {
            // The host says so itself, through another of its links to the same LAN.
            if event.child() == 0 && self.own.contains(&event.mac()) {
                continue;
            }
            changed |= self.neighbours.event(now, SystemTime::now(), event, name);
        }
        changed
    }

    /// Whether addresses can be held back.
    pub(super) fn enforces(&self) -> bool {
        self.neighbours.enforces()
    }

    /// When to call [`Self::tick`].
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.neighbours.next_due(Instant::now())
    }

    /// Sends what is due. Returns as [`Self::follow`] does.
    pub(super) fn tick(&mut self) -> bool {
        self.neighbours.tick(Instant::now())
    }

    /// The addresses that are not answered for because of what the LAN was heard to say.
    pub(super) fn held_back(&self) -> BTreeMap<IpAddr, Reason> {
        self.neighbours.held_back()
    }

    /// The addresses of children that a station has.
    pub(super) fn taken(&self) -> impl Iterator<Item = (IpAddr, ChildKey, Mac)> {
        self.neighbours.taken()
    }

    pub(super) fn groups(&self) -> usize {
        self.neighbours.groups()
    }

    pub(super) fn notes(&self) -> Vec<String> {
        self.neighbours.notes()
    }

    pub(super) const fn log(&self) -> &Log {
        self.neighbours.log()
    }
}

/// The addresses that are answered for, or would be if no station had them.
fn candidates(desired: &Desired, no_room: &BTreeSet<IpAddr>) -> BTreeMap<IpAddr, Candidate> {
    let l2 = is_l2(desired);
    desired
        .addresses
        .iter()
        .filter_map(|(&address, wanted)| Some((address, candidate(address, wanted, l2)?)))
        .filter(|(address, _)| !no_room.contains(address))
        .collect()
}

fn is_l2(desired: &Desired) -> bool {
    desired.port.is_some_and(|(mode, _)| mode == Mode::L2)
}

fn candidate(address: IpAddr, wanted: &Wanted, l2: bool) -> Option<Candidate> {
    match *wanted {
        Wanted::Child {
            child,
            refusal: None | Some(Reason::Probing | Reason::Duplicate),
            router,
            optimistic,
            ..
        } => {
            let live = Live {
                child,
                router,
                optimistic,
            };
            let mute = address.is_ipv6() && !l2;
            Some(Candidate { live, mute })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        discover::snapshot::{Child, ChildAddress, NetnsId},
        model::{Policy, desired},
    };

    #[test]
    fn candidates_are_what_is_answered_for_or_held_back_and_mute_where_no_kernel_speaks() {
        let held: IpAddr = "192.0.2.9".parse().unwrap();
        let address = |text: &str| ChildAddress {
            local: text.parse().unwrap(),
            peer: None,
            prefix_len: 24,
            flags: 0,
        };
        // Mode, then which addresses are candidates, and whether they are mute.
        let rows = [(Mode::L2, false), (Mode::L3, true), (Mode::L3s, true)];
        for (mode, mute) in rows {
            let link = Link {
                ifindex: 2,
                up: true,
                ..Link::default()
            };
            let snapshot = Snapshot {
                children: vec![Child {
                    ifindex: 7,
                    netns: NetnsId::Nsid(1),
                    parent_ifindex: 2,
                    mode,
                    up: true,
                    addresses: [
                        "192.0.2.7",
                        "192.0.2.8",
                        "192.0.2.9",
                        "127.0.0.9",
                        "2001:db8::7",
                    ]
                    .map(address)
                    .into(),
                    ..Child::default()
                }],
                links: vec![link.clone()],
                ..Snapshot::default()
            };
            let held_back = BTreeMap::from([(held, Reason::Duplicate)]);
            let desired = desired(&snapshot, &link, &Policy::default(), &held_back);
            let no_room = BTreeSet::from(["192.0.2.8".parse().unwrap()]);
            let candidates: Vec<(String, bool)> = candidates(&desired, &no_room)
                .into_iter()
                .map(|(address, candidate)| (address.to_string(), candidate.mute))
                .collect();
            let expected = [
                ("192.0.2.7".to_owned(), false),
                ("192.0.2.9".to_owned(), false),
                ("2001:db8::7".to_owned(), mute),
            ];
            assert_eq!(candidates, expected, "{mode:?}");
        }
    }
}
