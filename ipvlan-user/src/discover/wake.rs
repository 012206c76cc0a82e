//! What the events of a datagram say: which netns changed, and how. Pure.
//!
//! Only the type of a message is looked at, and of a route what it is, so that the churn of a routing
//! daemon does not wake. Where it happened is not in the message: the kernel tells it beside the
//! datagram, as the nsid that our netns has for the other.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    attribute::{self, aligned},
    nexthop::{self, decode_next_hop},
    number::decode_nsid,
    route::decode_route,
    snapshot::{Gateway, Host},
};

const MESSAGE_HEADER: usize = 16;

/// What changed since the last wake.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wake {
    /// By nsid. The kernel tells none for a netns without one, which can only be our own.
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

    /// Adds what another wake says.
    pub fn add(&mut self, other: Self) {
        for (nsid, change) in other.netnses {
            self.note(nsid, change);
        }
        self.nsids.extend(other.nsids);
        self.overrun |= other.overrun;
    }

    fn note(&mut self, nsid: Option<i32>, change: Change) {
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
        self.note(nsid, change);
        complete
    }
}

/// What is known of the routes of our own netns, so that the churn of a routing daemon does not wake.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownRoutes {
    own: Option<i32>,
    gateways: BTreeSet<Gateway>,
    next_hops: BTreeSet<u32>,
}

impl KnownRoutes {
    /// Makes it what a snapshot shows of our own netns, which has this nsid.
    pub fn update(&mut self, own: i32, host: &Host) {
        self.own = Some(own);
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
                if is_new {
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event(kind: u16, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(MESSAGE_HEADER + payload.len()).unwrap();
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.resize(MESSAGE_HEADER, 0);
        bytes.extend(payload);
        bytes
    }

    fn wake(datagram: &[u8]) -> (Change, bool) {
        let mut wake = Wake::default();
        let complete = wake.add_events(None, datagram, &KnownRoutes::default());
        (wake.anywhere(), complete)
    }

    #[test]
    fn each_type_wakes_for_its_sort() {
        let none = Change::default();
        let links = Change {
            links: true,
            ..none
        };
        let gone = Change { gone: true, ..none };
        let addresses = Change {
            addresses: true,
            ..none
        };
        let routes = Change {
            routes: true,
            ..none
        };
        let nsids = Change {
            nsids: true,
            ..none
        };
        for (kind, expected) in [
            (libc::RTM_NEWLINK, links),
            (libc::RTM_DELLINK, gone),
            (libc::RTM_NEWADDR, addresses),
            (libc::RTM_DELADDR, addresses),
            (RTM_NEWNETCONF, routes),
            (RTM_DELNETCONF, routes),
            (libc::RTM_NEWNSID, nsids),
            (libc::RTM_DELNSID, nsids),
            (libc::RTM_NEWNEIGH, none),
        ] {
            assert_eq!(wake(&event(kind, &[0; 16])), (expected, true), "{kind}");
        }
    }

    #[test]
    fn each_netns_has_its_own_changes() {
        let mut wake = Wake::default();
        assert!(wake.add_events(
            Some(3),
            &event(libc::RTM_NEWADDR, &[0; 8]),
            &KnownRoutes::default()
        ));
        assert!(wake.add_events(
            None,
            &event(libc::RTM_NEWLINK, &[0; 16]),
            &KnownRoutes::default()
        ));
        assert!(wake.add_events(
            Some(4),
            &event(libc::RTM_NEWNEIGH, &[0; 12]),
            &KnownRoutes::default()
        ));
        assert_eq!(wake.netnses.keys().collect::<Vec<_>>(), [&None, &Some(3)]);
        assert!(wake.netnses[&Some(3)].addresses && !wake.netnses[&Some(3)].links);

        let mut later = Wake::default();
        assert!(later.add_events(
            Some(3),
            &event(libc::RTM_DELLINK, &[0; 16]),
            &KnownRoutes::default()
        ));
        wake.add(later);
        let both = wake.netnses[&Some(3)];
        assert!(both.addresses && both.gone && !both.links);
    }

    #[test]
    fn the_nsid_that_was_given_or_taken_is_told() {
        let mut payload = vec![0; 4];
        payload.extend(8_u16.to_ne_bytes());
        payload.extend(1_u16.to_ne_bytes());
        payload.extend(7_i32.to_ne_bytes());
        for kind in [libc::RTM_NEWNSID, libc::RTM_DELNSID] {
            let mut wake = Wake::default();
            assert!(wake.add_events(None, &event(kind, &payload), &KnownRoutes::default()));
            assert_eq!(wake.nsids, BTreeSet::from([7]));
        }
    }

    #[test]
    fn netconf_is_a_setting_if_it_is_of_ipv6() {
        for (family, settings) in [(2, false), (10, true)] {
            let (wake, _) = wake(&event(RTM_NEWNETCONF, &[family, 0, 0, 0]));
            assert_eq!((wake.settings, wake.routes), (settings, !settings));
        }
    }

    #[test]
    fn routes_wake_only_if_they_tell_who_is_where() {
        const BROADCAST: u8 = 3;
        const LOCAL: u8 = 2;
        let route = |kind| {
            event(
                libc::RTM_NEWROUTE,
                &[2, 32, 0, 0, 255, 0, 0, kind, 0, 0, 0, 0],
            )
        };
        let mut nothing = Wake::default();
        assert!(nothing.add_events(Some(3), &route(BROADCAST), &KnownRoutes::default()));
        assert!(!nothing.any());
        assert!(wake(&route(LOCAL)).0.routes);
        // One that cannot be read may be one that matters.
        assert!(wake(&event(libc::RTM_DELROUTE, &[2])).0.routes);
    }

    /// An attribute.
    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(4 + value.len()).unwrap();
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(aligned(bytes.len()), 0);
        bytes
    }

    const OWN: i32 = 5;

    fn known() -> KnownRoutes {
        let mut known = KnownRoutes::default();
        let host = Host {
            gateways: [Gateway {
                address: "192.0.2.254".parse().unwrap(),
                oif: Some(3),
            }]
            .into(),
            next_hops: [7].into(),
            ..Host::default()
        };
        known.update(OWN, &host);
        known
    }

    fn wakes(nsid: Option<i32>, kind: u16, payload: &[u8]) -> bool {
        let mut wake = Wake::default();
        assert!(wake.add_events(nsid, &event(kind, payload), &known()));
        wake.anywhere().routes
    }

    #[test]
    fn churn_of_routes_through_known_next_hops_does_not_wake() {
        const NH_ID: u16 = 30;
        let route = |prefix_len: u8, attributes: &[Vec<u8>]| {
            let mut payload = vec![2, prefix_len, 0, 0, 254, 0, 0, 1, 0, 0, 0, 0];
            payload.extend(attributes.concat());
            payload
        };
        let oif = |link: u32| attribute(libc::RTA_OIF, &link.to_ne_bytes());
        let via = |last| attribute(libc::RTA_GATEWAY, &[192, 0, 2, last]);
        let object = |id: u32| attribute(NH_ID, &id.to_ne_bytes());
        // The route, then whether it wakes when it comes and when it goes.
        let rows = [
            (route(24, &[via(254), oif(3)]), false, false),
            (route(0, &[via(254), oif(3)]), false, true),
            (route(24, &[via(253), oif(3)]), true, false),
            // The same address behind another link is another next hop.
            (route(24, &[via(254), oif(4)]), true, false),
            (route(24, &[oif(3)]), true, true),
            (route(24, &[object(7)]), false, false),
            (route(24, &[object(8)]), true, false),
        ];
        for (payload, comes, goes) in rows {
            let found =
                [libc::RTM_NEWROUTE, libc::RTM_DELROUTE].map(|kind| wakes(None, kind, &payload));
            assert_eq!(found, [comes, goes], "{payload:?}");
            assert_eq!(wakes(Some(OWN), libc::RTM_NEWROUTE, &payload), comes);
            // Routes of another netns are its own business.
            assert!(!wakes(Some(OWN + 1), libc::RTM_NEWROUTE, &payload));
        }
    }

    #[test]
    fn next_hop_objects_wake_if_their_gateway_or_they_are_new() {
        let object = |id: u32, last: u8| {
            let mut payload = vec![0; 8];
            payload.extend(attribute(1, &id.to_ne_bytes()));
            payload.extend(attribute(5, &3_u32.to_ne_bytes()));
            payload.extend(attribute(6, &[192, 0, 2, last]));
            payload
        };
        for (payload, expected) in [
            (object(7, 254), false),
            (object(7, 253), true),
            (object(8, 254), true),
            (vec![0], true),
        ] {
            assert_eq!(wakes(None, nexthop::NEW, &payload), expected, "{payload:?}");
            assert!(!wakes(Some(OWN + 1), nexthop::NEW, &payload));
        }
    }

    #[test]
    fn all_events_of_a_datagram_count() {
        let mut datagram = event(libc::RTM_NEWLINK, &[0; 17]);
        datagram.resize(aligned(datagram.len()), 0);
        datagram.extend(event(libc::RTM_NEWADDR, &[0; 8]));
        let (wake, complete) = wake(&datagram);
        assert!(wake.links && wake.addresses && complete);
    }

    #[test]
    fn of_a_cut_event_the_type_still_wakes_and_the_cut_is_told() {
        let datagram = event(libc::RTM_NEWLINK, &[0; 32]);
        for length in 1..datagram.len() {
            let (wake, complete) = wake(&datagram[..length]);
            assert!(!complete, "{length}");
            assert_eq!(wake.links, length >= 6, "{length}");
        }
    }

    #[test]
    fn a_length_below_the_header_ends_the_datagram() {
        let mut datagram = event(libc::RTM_NEWLINK, &[]);
        datagram[0] = 0;
        assert!(!wake(&datagram).1);
    }

    proptest! {
        #[test]
        fn any_datagram_is_read_or_counted(bytes: Vec<u8>) {
            let _ = wake(&bytes);
        }
    }
}
