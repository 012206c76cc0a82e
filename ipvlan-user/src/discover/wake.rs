//! What the events of a datagram say: which netns changed, and how. Pure.
//!
//! Only the type of a message is looked at, and of a route what it is, so that the churn of a routing
//! daemon does not wake. Where it happened is not in the message but in the control
//! message of the datagram, as the nsid that our netns has for the other.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::{
    nexthop::{self, decode_next_hop},
    nsid_row::decode_nsid,
    route::{decode_route, lies_in},
};
use crate::{
    facts::{Gateway, Host},
    netlink::attribute::{self, aligned},
};

const MESSAGE_HEADER: usize = 16;

/// What changed since the last wake.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wake {
    /// By nsid. The kernel sends none for a netns without one, which can only be our own.
    pub netnses: BTreeMap<Option<i32>, Change>,
    /// Nsids that were given or taken: there may be another netns behind each.
    pub nsids: BTreeSet<i32>,
    /// Events were lost: everything may have changed.
    pub overrun: bool,
}

/// What changed in one netns.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, each read by name"
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Links were made or changed. A netns without an nsid shows only as this, of the parent of its
    /// child.
    pub links: bool,
    /// Links were deleted, or left for another netns.
    pub gone: bool,
    /// Addresses.
    pub addresses: bool,
    /// Next hops, on-link or local routes, or IPv4 settings of links.
    pub routes: bool,
    /// IPv6 settings of links.
    pub settings: bool,
    /// Nsids that it gives to others.
    pub nsids: bool,
}

impl Change {
    /// Adds what another one says.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self {
            links: self.links || other.links,
            gone: self.gone || other.gone,
            addresses: self.addresses || other.addresses,
            routes: self.routes || other.routes,
            settings: self.settings || other.settings,
            nsids: self.nsids || other.nsids,
        }
    }
}

impl Wake {
    /// Whether there is any reason to wake.
    #[must_use]
    pub fn any(&self) -> bool {
        self.overrun || !self.netnses.is_empty()
    }

    /// What changed, wherever that was.
    #[must_use]
    pub fn anywhere(&self) -> Change {
        let all = self.netnses.values();
        all.fold(Change::default(), |all, &change| all.or(change))
    }

    /// Adds the changes of another wake.
    pub fn add(&mut self, other: Self) {
        for (nsid, change) in other.netnses {
            self.record(nsid, change);
        }
        self.nsids.extend(other.nsids);
        self.overrun |= other.overrun;
    }

    fn record(&mut self, nsid: Option<i32>, change: Change) {
        if change != Change::default() {
            let entry = self.netnses.entry(nsid).or_default();
            *entry = entry.or(change);
        }
    }

    /// Adds the events of one datagram from the netns with this nsid; false if it does not read to
    /// its end.
    pub(super) fn add_events(
        &mut self,
        nsid: Option<i32>,
        mut datagram: &[u8],
        known: &KnownRoutes,
    ) -> bool {
        let mut change = Change::default();
        let complete = loop {
            if datagram.is_empty() {
                break true;
            }
            let (Some(length), Some(kind)) = (
                attribute::u32_at(datagram, 0),
                attribute::u16_at(datagram, 4),
            ) else {
                break false;
            };
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            let payload = datagram.get(MESSAGE_HEADER..length);
            match kind {
                libc::RTM_NEWLINK => change.links = true,
                libc::RTM_DELLINK => change.gone = true,
                libc::RTM_NEWADDR | libc::RTM_DELADDR => change.addresses = true,
                libc::RTM_NEWROUTE | libc::RTM_DELROUTE => {
                    let is_new = kind == libc::RTM_NEWROUTE;
                    change.routes |= known.are_of(nsid)
                        && payload.is_none_or(|payload| known.is_changed_by(payload, is_new));
                }
                nexthop::NEW => {
                    change.routes |= known.are_of(nsid)
                        && payload.is_none_or(|payload| known.is_changed_by_next_hop(payload));
                }
                // `struct netconfmsg` is the family alone.
                RTM_NEWNETCONF | RTM_DELNETCONF => match payload.and_then(<[u8]>::first) {
                    Some(&AF_INET6) => change.settings = true,
                    _ => change.routes = true,
                },
                libc::RTM_NEWNSID | libc::RTM_DELNSID => {
                    change.nsids = true;
                    let nsid = payload.and_then(|payload| decode_nsid(payload).ok().flatten());
                    self.nsids.extend(nsid);
                }
                _ => {}
            }
            if payload.is_none() {
                break false;
            }
            datagram = datagram.get(aligned(length)..).unwrap_or_default();
        };
        self.record(nsid, change);
        complete
    }
}

/// What is known of the routes of our own netns, so that the churn of a routing daemon does not wake.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownRoutes {
    own: Option<i32>,
    gateways: BTreeSet<Gateway>,
    next_hops: BTreeSet<u32>,
    /// Prefixes that are reached by a parent without a gateway.
    on_link: BTreeSet<(IpAddr, u8)>,
}

impl KnownRoutes {
    /// Makes it what a snapshot shows of our own netns, which has this nsid. These links have children.
    pub fn update(&mut self, own: i32, host: &Host, parents: &BTreeSet<u32>) {
        self.own = Some(own);
        let on_link = host.routes_on_link.iter();
        self.on_link = on_link
            .filter(|route| parents.contains(&route.oif))
            .map(|route| (route.prefix, route.prefix_len))
            .collect();
        if self.gateways != host.gateways {
            self.gateways.clone_from(&host.gateways);
        }
        if self.next_hops != host.next_hops {
            self.next_hops.clone_from(&host.next_hops);
        }
    }

    /// Returns whether the routes of the netns with this nsid are of interest: those of our own are.
    fn are_of(&self, nsid: Option<i32>) -> bool {
        nsid.is_none() || self.own.is_none() || nsid == self.own
    }

    /// Returns whether a route that came or went changes what a snapshot shows, or may.
    ///
    /// The last route through a next hop is not known to be the last. The audit finds that the next hop has gone;
    /// only a default route that goes wakes.
    fn is_changed_by(&self, payload: &[u8], is_new: bool) -> bool {
        match decode_route(payload) {
            Ok(None) => false,
            Ok(Some(route)) if route.is_through_gateways() => {
                let prefix = (route.prefix, route.prefix_len);
                if self.on_link.iter().any(|&outer| lies_in(prefix, outer)) {
                    true
                } else if is_new {
                    let mut gateways = route.gateways.iter();
                    let mut next_hop = route.next_hop.iter();
                    gateways.any(|gateway| !self.gateways.contains(gateway))
                        || next_hop.any(|id| !self.next_hops.contains(id))
                } else {
                    route.prefix_len == 0
                }
            }
            // One that cannot be read may be one that matters.
            Ok(Some(_)) | Err(_) => true,
        }
    }

    fn is_changed_by_next_hop(&self, payload: &[u8]) -> bool {
        match decode_next_hop(payload) {
            Ok(None) => false,
            Ok(Some(row)) => {
                let is_known = |gateway| self.gateways.contains(&gateway);
                let is_gateway_known = row.gateway().is_none_or(is_known);
                !is_gateway_known || !self.next_hops.contains(&row.id)
            }
            Err(_) => true,
        }
    }
}

const RTM_NEWNETCONF: u16 = 80;
const RTM_DELNETCONF: u16 = 81;
const AF_INET6: u8 = 10;

#[cfg(test)]
mod tests;
