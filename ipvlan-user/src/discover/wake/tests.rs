use super::*;
use crate::{facts::OnLinkRoute, netlink::attribute::tests::attribute};

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
    let changed = |set: fn(&mut Change)| {
        let mut change = Change::default();
        set(&mut change);
        change
    };
    let links = changed(|it| it.links = true);
    let gone = changed(|it| it.gone = true);
    let addresses = changed(|it| it.addresses = true);
    let routes = changed(|it| it.routes = true);
    let nsids = changed(|it| it.nsids = true);
    for (kind, expected) in [
        (libc::RTM_NEWLINK, links),
        (libc::RTM_DELLINK, gone),
        (libc::RTM_NEWADDR, addresses),
        (libc::RTM_DELADDR, addresses),
        (RTM_NEWNETCONF, routes),
        (RTM_DELNETCONF, routes),
        (libc::RTM_NEWNSID, nsids),
        (libc::RTM_DELNSID, nsids),
        (libc::RTM_NEWNEIGH, Change::default()),
    ] {
        assert_eq!(wake(&event(kind, &[0; 16])), (expected, true), "{kind}");
    }
}

#[test]
fn each_netns_has_its_own_changes() {
    let add = |wake: &mut Wake, nsid, event: &[u8]| {
        assert!(wake.add_events(nsid, event, &KnownRoutes::default()));
    };
    let mut wake = Wake::default();
    add(&mut wake, Some(3), &event(libc::RTM_NEWADDR, &[0; 8]));
    add(&mut wake, None, &event(libc::RTM_NEWLINK, &[0; 16]));
    add(&mut wake, Some(4), &event(libc::RTM_NEWNEIGH, &[0; 12]));
    assert_eq!(wake.netnses.keys().collect::<Vec<_>>(), [&None, &Some(3)]);
    assert!(wake.netnses[&Some(3)].addresses && !wake.netnses[&Some(3)].links);

    let mut later = Wake::default();
    add(&mut later, Some(3), &event(libc::RTM_DELLINK, &[0; 16]));
    wake.add(later);
    let both = wake.netnses[&Some(3)];
    assert!(both.addresses && both.gone && !both.links);
}

#[test]
fn the_nsid_that_was_assigned_or_removed_is_returned() {
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
fn routes_wake_only_if_they_are_not_for_broadcast() {
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
        routes_on_link: [(3, "10.0.0.0"), (4, "11.0.0.0")]
            .map(|(oif, prefix)| OnLinkRoute {
                prefix: prefix.parse().unwrap(),
                prefix_len: 8,
                oif,
                table: 254,
            })
            .to_vec(),
        ..Host::default()
    };
    known.update(OWN, &host, &[3].into());
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
    let to = |first| attribute(libc::RTA_DST, &[first, 0, 0, 0]);
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
        // Inside a prefix that is reached by a parent without a gateway, and by another link.
        (route(24, &[to(10), via(254), oif(3)]), true, true),
        (route(8, &[to(10), object(7)]), true, true),
        (route(24, &[to(11), via(254), oif(3)]), false, false),
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
fn a_truncated_event_wakes_by_its_type_and_its_truncation_is_reported() {
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
