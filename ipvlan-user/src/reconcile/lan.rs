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
    model::{ChildKey, Desired, Prefix, Revision, Wanted},
    neighbour::{
        Adopted, Candidate, Manners, Moment, Neighbours, announce::Live,
        dad::control::Neighbourhood, events::Events, frame::Mac, host::HostNeighbours, log::Log,
        radar::Radar,
    },
    quota::{Exceeded, Quotas},
    sync::maps,
};

/// The LAN behind one parent.
pub(super) struct Lan {
    manners: Manners,
    quotas: Quotas,
    neighbours: Neighbours,
    radar: Radar,
    /// None before [`Self::hear`], and once it could not be read.
    events: Option<Events>,
    /// MACs of the host's own links.
    own: BTreeSet<Mac>,
    /// Prefixes that are on-link for the host.
    on_link: Vec<Prefix>,
    host: HostNeighbours,
}

impl Lan {
    /// Needs `CAP_NET_RAW`.
    pub(super) fn open(
        ifindex: u32,
        manners: Manners,
        quotas: Quotas,
        host: HostNeighbours,
    ) -> io::Result<Self> {
        Ok(Self {
            manners,
            quotas,
            neighbours: Neighbours::open(Instant::now(), ifindex, manners, &quotas)?,
            radar: Radar::default(),
            events: None,
            own: BTreeSet::new(),
            on_link: Vec::new(),
            host,
        })
    }

    /// Goes by what previous agents decided. Called before addresses are followed for the first time.
    pub(super) fn adopt(&mut self, adopted: Adopted) {
        self.neighbours.adopt(adopted);
    }

    /// Behaves like this from now on.
    pub(super) fn behave(&mut self, manners: Manners, quotas: Quotas) {
        if self.manners != manners || self.quotas != quotas {
            self.manners = manners;
            self.quotas = quotas;
            self.neighbours
                .set_manners(Instant::now(), manners, &quotas);
        }
    }

    /// Reads what the programs tell from `ring`. Must be called within a tokio runtime.
    pub(super) fn hear(&mut self, ring: Option<maps::Events>) -> io::Result<()> {
        self.events = ring.map(Events::new).transpose()?;
        Ok(())
    }

    /// Follows what is desired. Addresses that found no room in the map are left out: they are not answered.
    /// [`Self::followed`] is to be called when the maps are written. Returns whether [`Self::withheld`] is
    /// another.
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
        let on_link = snapshot.host.routes_on_link.iter();
        self.on_link = on_link
            .map(|route| Prefix::of(route.prefix, route.prefix_len))
            .collect();
        self.neighbours.follow(now, link, candidates)
    }

    /// Follows what was revised of what is desired, as [`Self::follow`] does.
    pub(super) fn revise(
        &mut self,
        desired: &Desired,
        revision: &Revision,
        no_room: &BTreeSet<IpAddr>,
    ) -> bool {
        let now = Instant::now();
        let l2 = is_l2(desired);
        let mut changed = false;
        for &address in &revision.addresses {
            let wanted = desired.addresses.get(&address);
            let candidate = wanted
                .filter(|_| !no_room.contains(&address))
                .and_then(|wanted| candidate(address, wanted, l2));
            changed |= self.neighbours.revise(now, address, candidate);
        }
        changed
    }

    /// Does what answers do not wait for: joins groups, and reports what is new in what is desired.
    pub(super) fn followed(&mut self, desired: &Desired, snapshot: &Snapshot) {
        let now = Instant::now();
        self.neighbours.join_groups(now);
        for incident in self.radar.compare(now, desired, snapshot) {
            self.neighbours.found(now, SystemTime::now(), incident);
        }
    }

    /// As [`Self::followed`], after a revision.
    pub(super) fn revised(&mut self, desired: &Desired, revision: &Revision, snapshot: &Snapshot) {
        if revision.children || revision.conflicts {
            self.followed(desired, snapshot);
        } else {
            self.neighbours.join_groups(Instant::now());
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
        let name = name_in(desired);
        let moment = Moment {
            now: Instant::now(),
            at: SystemTime::now(),
            name: &name,
        };
        let around = Neighbourhood {
            on_link: &self.on_link,
            is_held: &|address| desired.addresses.contains_key(&address),
        };
        let mut changed = false;
        for event in events {
            // The host itself, by another of its links to the same LAN: no station, whatever it claims.
            if self.own.contains(&event.mac()) {
                debug!(?event, "a MAC of the host");
                continue;
            }
            changed |= self.neighbours.event(moment, event, &around);
        }
        changed
    }

    /// When to call [`Self::advance`] and [`Self::send`].
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.neighbours.next_due(Instant::now())
    }

    /// Does what is due but for sending, before which the entries of [`Self::mark_changed`] are written.
    /// Returns as [`Self::follow`] does.
    pub(super) fn advance(&mut self, desired: &Desired, suppressed: u64) -> bool {
        let name = name_in(desired);
        let moment = Moment {
            now: Instant::now(),
            at: SystemTime::now(),
            name: &name,
        };
        self.neighbours.advance(moment, suppressed)
    }

    /// Sends what has its turn.
    pub(super) fn send(&mut self) {
        self.neighbours.send(Instant::now());
    }

    /// The addresses that are not answered because of what was received from the LAN.
    pub(super) const fn withheld(&self) -> &BTreeMap<IpAddr, Reason> {
        self.neighbours.withheld()
    }

    /// Makes what is desired tell which addresses are being probed for, and hold the control addresses.
    pub(super) fn mark(&mut self, desired: &mut Desired) {
        self.neighbours.take_changed();
        desired.probed = self.neighbours.probed().collect();
        for control in self.neighbours.controls() {
            desired.set_control(control, true);
        }
    }

    /// As [`Self::mark`], where what is desired was marked before. Returns the addresses whose entry differs.
    pub(super) fn mark_changed(&mut self, desired: &mut Desired) -> BTreeSet<IpAddr> {
        let changed = self.neighbours.take_changed();
        if changed.is_empty() {
            return changed;
        }
        let controls: BTreeSet<IpAddr> = self.neighbours.controls().collect();
        for &address in &changed {
            if self.neighbours.is_probed(address) {
                desired.probed.insert(address);
            } else {
                desired.probed.remove(&address);
            }
            desired.set_control(address, controls.contains(&address));
        }
        changed
    }

    /// Whether [`Self::mark_changed`] has something to do.
    pub(super) fn has_changed(&self) -> bool {
        self.neighbours.has_changed()
    }

    /// How often each netns exceeded its quotas of events, announcements and groups.
    pub(super) fn exceeded(&self) -> Exceeded {
        self.neighbours.exceeded()
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

/// Names children as they are in what is desired.
fn name_in(desired: &Desired) -> impl Fn(ChildKey) -> String {
    move |key| {
        let child = desired.children.iter().find(|child| child.key == key);
        child.map_or_else(String::new, |child| child.name.to_string())
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
