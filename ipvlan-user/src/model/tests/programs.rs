//! Which programs a parent needs, and how each child is served by them.

use super::*;

/// Returns the egress program, and whether the entry of this address attracts routed packets.
fn routed(snapshot: &Snapshot, policy: &Policy, of: &str) -> (EgressProgram, bool) {
    let desired = decide(snapshot, policy);
    let wanted = desired.addresses.get(&cidr(of).local);
    let entry = wanted.map(|wanted| wanted.entry(|_| 0));
    (desired.egress, entry.is_some_and(|entry| entry.routed()))
}

/// Whether the entry of this address attracts no packet of the host at all.
fn is_off_link(snapshot: &Snapshot, policy: &Policy, of: &str) -> bool {
    let desired = decide(snapshot, policy);
    let wanted = desired.addresses.get(&cidr(of).local);
    wanted.is_some_and(|wanted| wanted.entry(|_| 0).is_off_link())
}

const ALL: &[&str] = &["0.0.0.0/0", "::/0"];

#[test]
fn off_link_address_attracts_packets_only_where_its_prefix_is_allowed() {
    // An address, allowed prefixes; whether it attracts routed packets, and whether none at all.
    let rows: [(&str, &[&str], bool, bool); 22] = [
        // Row S2 of the attack table: an address of the world, and no operator who allowed it.
        ("8.8.8.8/32", &[], false, true),
        ("2001:4860:4860::8888/128", &[], false, true),
        ("8.8.8.8/32", ALL, true, false),
        ("2001:4860:4860::8888/128", ALL, true, false),
        ("10.0.1.10/24", &["10.0.1.0/24"], true, false),
        ("2001:db8:7::101/64", &["2001:db8:7::/64"], true, false),
        // A prefix of one family says nothing about the other.
        ("10.0.1.10/24", &["2001:db8:7::/64", "::/0"], false, false),
        (
            "2001:db8:7::101/64",
            &["10.0.1.0/24", "0.0.0.0/0"],
            false,
            false,
        ),
        ("10.0.1.10/24", &["10.0.2.0/24"], false, false),
        ("2001:db8:7::101/64", &["2001:db8:8::/64"], false, false),
        // The host is on-link with them.
        (CHILD, &[], false, false),
        (CHILD_V6, &[], false, false),
        (CHILD, ALL, false, false),
        (CHILD_V6, ALL, false, false),
        // Every link has those of IPv6. Those of IPv4 are off-link if the host has none, and never routed.
        ("fe80:1::101/64", &[], false, false),
        ("fe80:1::101/64", &["fe80::/10"], false, false),
        ("169.254.169.254/32", &[], false, true),
        ("169.254.169.254/32", &["169.254.0.0/16"], false, true),
        // Refused for another reason.
        ("::ffff:10.0.1.10/128", ALL, false, false),
        ("172.16.91.2/32", ALL, false, false),
        ("172.16.91.2/32", &[], false, false),
        ("fe80::2/64", ALL, false, false),
    ];
    for (text, allow, expected, off_link) in rows {
        let snapshot = snapshot(vec![child(7, &[text])]);
        for answer_link_local in [false, true] {
            let policy = Policy {
                answer_link_local,
                ..allowing(allow)
            };
            let program = if expected {
                EgressProgram::Routed
            } else {
                EgressProgram::OwnMac
            };
            let found = routed(&snapshot, &policy, text);
            assert_eq!(found, (program, expected), "{text} {allow:?}");
            if answer_link_local {
                let found = is_off_link(&snapshot, &policy, text);
                assert_eq!(found, off_link, "{text} {allow:?}");
            }
        }
    }
    // On the LAN it is answered without being allowed.
    for text in ["8.8.8.8", "2001:4860:4860::8888"] {
        let desired = usual(&snapshot(vec![child(7, &[&format!("{text}/32")])]));
        assert!(entry(&desired, text).is_live_child(), "{text}");
    }
}

#[test]
fn a_route_out_of_the_parent_in_any_table_makes_an_address_on_link() {
    let own = snapshot(vec![own_child(7, &["8.8.8.8/32"])]);
    assert!(!is_off_link(&own, &Policy::default(), "8.8.8.8/32"));
    for (text, subnet) in [
        ("10.1.0.5/32", "10.1.0.0/24"),
        ("2001:db8:7::5/128", "2001:db8:7::/64"),
    ] {
        for (oif, table, expected) in [
            (PARENT, 254, false),
            (PARENT, 100, false),
            (9, 254, true),
            (9, 100, true),
        ] {
            let mut snapshot = snapshot(vec![child(7, &[text])]);
            let route = on_link(subnet, oif);
            snapshot
                .host
                .routes_on_link
                .push(OnLinkRoute { table, ..route });
            let found = is_off_link(&snapshot, &Policy::default(), text);
            assert_eq!(found, expected, "{text} {oif} {table}");
        }
    }
}

#[test]
fn host_is_on_link_by_routes_out_of_the_parent_in_tables_it_looks_up() {
    const WWAN: u32 = 9;
    // Each family alone: one would hide the other.
    let families = [
        ("10.1.0.5/32", "10.1.0.0/24", "0.0.0.0/0"),
        ("2001:db8:7::5/128", "2001:db8:7::/64", "::/0"),
    ];
    for (text, subnet, default) in families {
        let rows = [
            (subnet, PARENT, 254, false, false),
            (subnet, PARENT, 253, false, false),
            (default, PARENT, 254, false, false),
            // Another link's: packets leave by it, or by the gateway of another route.
            (default, WWAN, 254, false, true),
            (subnet, WWAN, 254, false, true),
            (default, WWAN, 100, false, true),
            // A table that a rule may name, or none.
            (subnet, PARENT, 100, false, true),
            // In a VRF the parent's table is another one.
            (subnet, PARENT, 100, true, false),
        ];
        for (prefix, oif, table, in_vrf, expected) in rows {
            let mut snapshot = snapshot(vec![child(7, &[text])]);
            let route = on_link(prefix, oif);
            snapshot
                .host
                .routes_on_link
                .push(OnLinkRoute { table, ..route });
            snapshot.links[0].master = in_vrf.then(|| crate::facts::Master {
                ifindex: 20,
                kind: Some("vrf".to_owned()),
            });
            let policy = allowing(&["10.0.0.0/8", "2001:db8::/32"]);
            let (_, found) = routed(&snapshot, &policy, text);
            assert_eq!(found, expected, "{prefix} {oif} {table} {in_vrf}");
        }
    }
}

#[test]
fn of_routes_out_of_the_parent_the_longest_decides() {
    // Each family alone: one would hide the other.
    let families = [
        ("10.1.0.5/32", "10.0.0.0/8", "10.1.0.0/24"),
        ("2001:db8:7::5/128", "2001:db8::/32", "2001:db8:7::/64"),
    ];
    for (text, wide, narrow) in families {
        // On-link, then through a gateway and in which table; then whether it attracts routed packets if it is
        // allowed, and none at all if it is not.
        let rows = [
            (wide, None, false, false),
            (wide, Some((narrow, 254)), true, true),
            // The metric decides.
            (narrow, Some((narrow, 254)), true, false),
            (narrow, Some((wide, 254)), false, false),
            // Another address, and a table that no rule may use.
            (wide, Some(("10.2.0.0/24", 254)), false, false),
            (wide, Some((narrow, 100)), false, false),
        ];
        for (prefix, inside, expected, off_link) in rows {
            let mut snapshot = snapshot(vec![child(7, &[text])]);
            let host = &mut snapshot.host;
            host.routes_on_link.push(on_link(prefix, PARENT));
            host.routes_inside.extend(inside.map(|(prefix, table)| {
                let ChildAddress {
                    local, prefix_len, ..
                } = cidr(prefix);
                RouteInside {
                    prefix: local,
                    prefix_len,
                    table,
                }
            }));
            let policy = allowing(&["10.0.0.0/8", "2001:db8::/32"]);
            let (_, found) = routed(&snapshot, &policy, text);
            assert_eq!(found, expected, "{prefix} {inside:?}");
            let found = is_off_link(&snapshot, &Policy::default(), text);
            assert_eq!(found, off_link, "{prefix} {inside:?}");
        }
    }
}

#[test]
fn child_in_the_hosts_netns_never_attracts_routed_packets() {
    for text in ["10.0.1.10/24", "2001:db8:7::101/64"] {
        let snapshot = snapshot(vec![own_child(7, &[text])]);
        let policy = allowing(ALL);
        let expected = (EgressProgram::OwnMac, false);
        assert_eq!(routed(&snapshot, &policy, text), expected, "{text}");
    }
}

#[test]
fn only_children_in_the_hosts_netns_outside_l3s_are_redirected() {
    use IngressProgram::{Demux, Neighbour};
    let rows = [
        (Deliver::Auto, NetnsId::Own, Mode::L3, Neighbour),
        (Deliver::Pass, NetnsId::Own, Mode::L3, Neighbour),
        (Deliver::Redirect, NetnsId::Own, Mode::L2, Demux),
        (Deliver::Redirect, NetnsId::Own, Mode::L3, Demux),
        (Deliver::Redirect, NetnsId::Own, Mode::L3s, Neighbour),
        (Deliver::Redirect, NetnsId::Nsid(1), Mode::L3, Neighbour),
    ];
    for (deliver, netns, mode, program) in rows {
        let policy = Policy {
            deliver,
            ..Policy::default()
        };
        let child = Child {
            netns,
            ..child_in(mode)
        };
        let desired = decide(&snapshot(vec![child]), &policy);
        assert_eq!(desired.ingress, program, "{deliver:?} {netns:?} {mode:?}");
        let delivery = if program == Demux {
            Delivery::Redirect(7)
        } else {
            Delivery::Pass
        };
        for text in ["172.16.91.101", "2001:db8:91::101"] {
            assert_eq!(entry(&desired, text).delivery(), delivery, "{text}");
        }
    }
}

#[test]
fn arp_for_l2_children_in_the_hosts_netns_is_left_to_the_kernel_and_solicitations_are_not() {
    let rows = [
        (NetnsId::Own, Mode::L2, true),
        (NetnsId::Own, Mode::L3, false),
        (NetnsId::Nsid(1), Mode::L2, false),
    ];
    for (netns, mode, by_kernel) in rows {
        let child = Child {
            netns,
            ..child_in(mode)
        };
        let desired = usual(&snapshot(vec![child]));
        for (text, by_kernel) in [("172.16.91.101", by_kernel), ("2001:db8:91::101", false)] {
            let entry = entry(&desired, text);
            assert_eq!(entry.by_kernel(), by_kernel, "{netns:?} {mode:?} {text}");
            assert_eq!(entry.refusal(), None);
        }
    }
}

#[test]
fn advertisements_of_a_child_that_forwards_are_a_routers() {
    for forwarding in [false, true] {
        let mut child = child_in(Mode::L3);
        child.forwarding = forwarding;
        let mut snapshot = snapshot(vec![child]);
        // What the parent does says nothing about its children.
        snapshot.links[0].forwarding = !forwarding;
        let desired = usual(&snapshot);
        let router = |text| entry(&desired, text).router();
        assert_eq!(router("2001:db8:91::101"), forwarding);
        assert_eq!(router(HOST_V6), !forwarding);
        // ARP has no such flag: an entry that differed would be written for nothing.
        assert!(!router("172.16.91.101") && !router(HOST));
    }
}
