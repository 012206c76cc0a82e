//! Which of the host's addresses are answered to l2 children, and whose use is a conflict.

use super::*;
use crate::facts::ArpSettings;

const OTHER: u32 = 9;
const VIP: &str = "172.16.91.200/32";
const ASKER: &str = "172.16.91.101";

fn ethernet(ifindex: u32) -> Link {
    Link {
        ifindex,
        hardware: 1,
        ..Link::default()
    }
}

fn l2_child(ifindex: u32, text: &str) -> Child {
    Child {
        kind: ipvlan(Mode::L2),
        ..child(ifindex, &[text])
    }
}

/// The usual host, with an l2 child and these settings of the parent.
fn with(settings: ArpSettings) -> Snapshot {
    let mut snapshot = snapshot(vec![l2_child(7, CHILD)]);
    snapshot.links.push(ethernet(OTHER));
    snapshot.host.arp.insert(PARENT, settings);
    snapshot
}

/// The same with this `arp_ignore`.
fn ignoring(ignore: u8) -> Snapshot {
    with(ArpSettings {
        ignore,
        ..ArpSettings::default()
    })
}

/// An address of another link of the host.
fn on_other(text: &str, scope: u8) -> HostAddress {
    HostAddress {
        scope,
        ..host_address(text, OTHER)
    }
}

fn is_answered(snapshot: &Snapshot, target: &str, sender: &str) -> bool {
    let desired = usual(snapshot);
    entry(&desired, target).is_answered_to(&entry(&desired, sender))
}

fn is_watched(snapshot: &Snapshot, text: &str) -> bool {
    entry(&usual(snapshot), text).is_watched()
}

#[test]
fn arp_ignore_decides_which_addresses_are_answered() {
    const LINK: u8 = libc::RT_SCOPE_LINK;
    const HOST_SCOPE: u8 = libc::RT_SCOPE_HOST;
    // arp_ignore; then whether the parent's address, one of another link, and the same of scope host are
    // answered.
    for (ignore, own, elsewhere, of_scope_host) in [
        (0, true, true, true),
        (1, true, false, false),
        (2, true, false, false),
        (3, true, true, false),
        (4, true, true, true),
        (8, false, false, false),
        (255, true, true, true),
    ] {
        for (scope, expected) in [(LINK, elsewhere), (HOST_SCOPE, of_scope_host)] {
            let mut snapshot = ignoring(ignore);
            snapshot.host.addresses.push(on_other(VIP, scope));
            assert_eq!(is_answered(&snapshot, HOST, ASKER), own, "{ignore}");
            assert_eq!(
                is_answered(&snapshot, "172.16.91.200", ASKER),
                expected,
                "{ignore}"
            );
        }
    }
}

#[test]
fn arp_ignore_2_answers_the_parents_subnets_only() {
    let mut snapshot = ignoring(2);
    snapshot.children.push(l2_child(8, "10.1.0.5/16"));
    assert!(is_answered(&snapshot, HOST, ASKER));
    assert!(!is_answered(&snapshot, HOST, "10.1.0.5"));
}

#[test]
fn filters_decide_for_the_sender_of_a_request_for_an_address_of_another_link() {
    let lan = "172.16.91.0/24";
    // rp_filter, arp_filter, whether the parent has an address; the link of the route to the child; whether
    // it is answered.
    for (rp_filter, filter, has_address, oif, expected) in [
        (0, false, true, OTHER, true),
        (1, false, true, PARENT, true),
        (1, false, true, OTHER, false),
        (2, false, true, OTHER, true),
        (2, false, false, OTHER, false),
        (1, false, false, OTHER, false),
        (0, false, false, OTHER, true),
        (0, true, true, PARENT, true),
        (0, true, true, OTHER, false),
    ] {
        let mut snapshot = with(ArpSettings {
            ignore: 0,
            filter,
            rp_filter,
        });
        let host = &mut snapshot.host;
        if !has_address {
            host.addresses
                .retain(|it| it.ifindex != PARENT || it.address.is_ipv6());
        }
        host.routes_on_link.retain(|route| route.prefix.is_ipv6());
        host.routes_on_link.push(on_link(lan, oif));
        host.addresses.push(on_other("172.16.91.200/24", 0));
        let row = format!("rp_filter {rp_filter}, arp_filter {filter}, by link {oif}");
        assert_eq!(
            is_answered(&snapshot, "172.16.91.200", ASKER),
            expected,
            "{row}"
        );
        if has_address {
            assert!(is_answered(&snapshot, HOST, ASKER), "{row}");
        }
    }
}

#[test]
fn the_longest_route_to_the_sender_decides_and_of_equals_the_first() {
    let strict = ArpSettings {
        rp_filter: 1,
        ..ArpSettings::default()
    };
    let table = |table, route| OnLinkRoute { table, ..route };
    let (by_parent, by_other) = (
        on_link("172.16.91.0/24", PARENT),
        on_link("172.16.91.0/24", OTHER),
    );
    let more_specific = on_link("172.16.91.96/28", OTHER);
    for (routes, expected) in [
        (vec![by_parent.clone(), by_other.clone()], true),
        (vec![by_other.clone(), by_parent.clone()], false),
        (vec![by_parent.clone(), more_specific], false),
        (vec![table(100, by_other), by_parent], true),
        // The gateway behind the parent.
        (vec![], true),
    ] {
        let mut snapshot = with(strict);
        snapshot.host.routes_on_link.clone_from(&routes);
        snapshot.host.addresses.push(on_other(VIP, 0));
        assert_eq!(
            is_answered(&snapshot, "172.16.91.200", ASKER),
            expected,
            "{routes:?}"
        );
    }
}

#[test]
fn of_ipv6_the_parents_own_addresses_alone_are_answered_and_watched() {
    const ELSEWHERE: &str = "2001:db8:91::200";
    let mut snapshot = with(ArpSettings::default());
    snapshot.children.push(l2_child(8, CHILD_V6));
    let held = host_address(&format!("{ELSEWHERE}/64"), OTHER);
    snapshot.host.addresses.push(held);
    let child = "2001:db8:91::101";
    assert!(is_answered(&snapshot, HOST_V6, child));
    assert!(!is_answered(&snapshot, ELSEWHERE, child));
    assert!(is_watched(&snapshot, HOST_V6));
    assert!(!is_watched(&snapshot, ELSEWHERE));
}

#[test]
fn of_an_address_on_two_other_links_the_one_that_is_answered_to_more_decides() {
    for scopes in [[libc::RT_SCOPE_HOST, 0], [0, libc::RT_SCOPE_HOST]] {
        let mut snapshot = ignoring(3);
        for (ifindex, scope) in (OTHER..).zip(scopes) {
            let held = HostAddress {
                ifindex,
                ..on_other(VIP, scope)
            };
            snapshot.host.addresses.push(held);
        }
        assert!(is_answered(&snapshot, "172.16.91.200", ASKER), "{scopes:?}");
    }
}

#[test]
fn an_address_that_another_link_of_the_host_can_use_on_the_lan_is_not_watched() {
    let other = |hardware, lower| Link {
        hardware,
        lower,
        ..ethernet(OTHER)
    };
    let above = Some(Lower {
        ifindex: PARENT,
        netns: NetnsId::Own,
    });
    // The other link, its route, whether the parent's address is watched.
    for (link, route, expected) in [
        (other(1, None), "172.16.91.0/24", false),
        (other(1, None), "172.16.91.101/32", false),
        (other(1, None), "172.16.0.0/16", false),
        (other(1, None), "172.17.0.0/16", true),
        // A default route that names no gateway says nothing about the LAN.
        (other(1, None), "0.0.0.0/0", true),
        // A macvlan on the parent: what it sends is not received by the parent.
        (other(1, above), "172.16.91.0/24", true),
        // A tunnel knows no ARP.
        (other(65_534, None), "172.16.91.0/24", true),
    ] {
        let mut snapshot = snapshot(Vec::new());
        snapshot.links.push(link);
        snapshot.host.routes_on_link.push(on_link(route, OTHER));
        assert_eq!(is_watched(&snapshot, HOST), expected, "{route}");
        assert!(is_watched(&snapshot, HOST_V6), "{route}");
    }
}
