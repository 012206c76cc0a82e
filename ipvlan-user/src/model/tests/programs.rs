//! Which programs a parent needs, and how each child is served by them.

use super::*;

fn allowing(prefixes: &[&str]) -> Policy {
    Policy {
        allow: prefixes.iter().map(|text| text.parse().unwrap()).collect(),
        ..Policy::default()
    }
}

/// Returns the egress program, and whether the entry of this address attracts routed packets.
fn routed(snapshot: &Snapshot, policy: &Policy, of: &str) -> (EgressProgram, bool) {
    let desired = decide(snapshot, policy);
    let wanted = desired.addresses.get(&cidr(of).local);
    let entry = wanted.map(|wanted| wanted.entry(|_| 0));
    (desired.egress, entry.is_some_and(|entry| entry.routed()))
}

#[test]
fn off_link_address_attracts_routed_packets_only_where_its_prefix_is_allowed() {
    const ALL: &[&str] = &["0.0.0.0/0", "::/0"];
    let rows: [(&str, &[&str], bool); 19] = [
        // Row S2 of the attack table: an address of the world, and no operator who allowed it.
        ("8.8.8.8/32", &[], false),
        ("2001:4860:4860::8888/128", &[], false),
        ("10.0.1.10/24", &[], false),
        ("2001:db8:7::101/64", &[], false),
        ("10.0.1.10/24", &["10.0.1.0/24"], true),
        ("10.0.1.10/24", ALL, true),
        ("2001:db8:7::101/64", &["2001:db8:7::/64"], true),
        ("2001:db8:7::101/64", ALL, true),
        // A prefix of one family says nothing about the other.
        ("10.0.1.10/24", &["2001:db8:7::/64", "::/0"], false),
        ("2001:db8:7::101/64", &["10.0.1.0/24", "0.0.0.0/0"], false),
        ("10.0.1.10/24", &["10.0.2.0/24"], false),
        ("2001:db8:7::101/64", &["2001:db8:8::/64"], false),
        // The host is on-link with them.
        ("172.16.91.101/24", ALL, false),
        ("2001:db8:91::101/64", ALL, false),
        // Link-local packets are never routed.
        ("169.254.169.254/32", &["169.254.0.0/16"], false),
        ("fe80:1::101/64", &["fe80::/10"], false),
        // Refused for another reason.
        ("::ffff:10.0.1.10/128", ALL, false),
        ("172.16.91.2/32", ALL, false),
        ("fe80::2/64", ALL, false),
    ];
    for (address, allow, expected) in rows {
        for answer_link_local in [false, true] {
            let policy = Policy {
                answer_link_local,
                ..allowing(allow)
            };
            let snapshot = snapshot(vec![child(7, &[address])]);
            let program = if expected {
                EgressProgram::Routed
            } else {
                EgressProgram::OwnMac
            };
            let found = routed(&snapshot, &policy, address);
            assert_eq!(found, (program, expected), "{address} {allow:?}");
        }
    }
}

#[test]
fn off_link_address_is_answered_on_the_lan_without_being_allowed() {
    for text in ["8.8.8.8/32", "2001:4860:4860::8888/128"] {
        let desired = usual(&snapshot(vec![child(7, &[text])]));
        let entry = desired.addresses[&cidr(text).local].entry(|_| 0);
        assert!(entry.is_live_child() && !entry.routed(), "{text}");
    }
}

/// Whether the entry of this address attracts no packet of the host at all.
fn is_off_link(snapshot: &Snapshot, policy: &Policy, of: &str) -> bool {
    let desired = decide(snapshot, policy);
    desired.addresses[&cidr(of).local]
        .entry(|_| 0)
        .is_off_link()
}

#[test]
fn off_link_address_attracts_nothing_unless_allowed_or_a_route_of_any_table_makes_it_on_link() {
    const ALL: &[&str] = &["0.0.0.0/0", "::/0"];
    let rows: [(&str, &[&str], bool); 12] = [
        ("8.8.8.8/32", &[], true),
        ("2001:4860:4860::8888/128", &[], true),
        ("8.8.8.8/32", ALL, false),
        ("2001:4860:4860::8888/128", ALL, false),
        ("172.16.91.101/24", &[], false),
        ("2001:db8:91::101/64", &[], false),
        // Every link has those of IPv6. Those of IPv4 are routed like any other if the host has none.
        ("fe80:1::101/64", &[], false),
        ("169.254.169.254/32", &[], true),
        ("169.254.169.254/32", ALL, true),
        // Refused for another reason.
        ("172.16.91.2/32", &[], false),
        ("fe80::2/64", &[], false),
        ("::ffff:10.0.1.10/128", &[], false),
    ];
    for (text, allow, expected) in rows {
        let policy = Policy {
            answer_link_local: true,
            ..allowing(allow)
        };
        let found = is_off_link(&snapshot(vec![child(7, &[text])]), &policy, text);
        assert_eq!(found, expected, "{text} {allow:?}");
    }
    let own = snapshot(vec![own_child(7, &["8.8.8.8/32"])]);
    assert!(!is_off_link(&own, &Policy::default(), "8.8.8.8/32"));
    for (text, subnet, length) in [
        ("10.1.0.5/32", "10.1.0.0", 24),
        ("2001:db8:7::5/128", "2001:db8:7::", 64),
    ] {
        for (oif, table, expected) in [
            (PARENT, 254, false),
            (PARENT, 100, false),
            (9, 254, true),
            (9, 100, true),
        ] {
            let mut snapshot = snapshot(vec![child(7, &[text])]);
            snapshot.host.routes_on_link.push(OnLinkRoute {
                prefix: address(subnet),
                prefix_len: length,
                oif,
                table,
            });
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
        ("10.1.0.5/32", "10.1.0.0", 24, "0.0.0.0"),
        ("2001:db8:7::5/128", "2001:db8:7::", 64, "::"),
    ];
    for (text, subnet, length, default) in families {
        let rows = [
            (subnet, length, PARENT, 254, false, false),
            (subnet, length, PARENT, 253, false, false),
            (default, 0, PARENT, 254, false, false),
            // Another link's: packets leave by it, or by the gateway of another route.
            (default, 0, WWAN, 254, false, true),
            (subnet, length, WWAN, 254, false, true),
            (default, 0, WWAN, 100, false, true),
            // A table that a rule may name, or none.
            (subnet, length, PARENT, 100, false, true),
            // In a VRF the parent's table is another one.
            (subnet, length, PARENT, 100, true, false),
        ];
        for (prefix, prefix_len, oif, table, in_vrf, expected) in rows {
            let mut snapshot = snapshot(vec![child(7, &[text])]);
            snapshot.host.routes_on_link.push(OnLinkRoute {
                prefix: address(prefix),
                prefix_len,
                oif,
                table,
            });
            snapshot.links[0].master = in_vrf.then(|| crate::facts::Master {
                ifindex: 20,
                kind: Some("vrf".to_owned()),
            });
            let policy = allowing(&["10.0.0.0/8", "2001:db8::/32"]);
            let (_, found) = routed(&snapshot, &policy, text);
            assert_eq!(
                found, expected,
                "{prefix}/{prefix_len} {oif} {table} {in_vrf}"
            );
        }
    }
}

#[test]
fn of_routes_out_of_the_parent_the_longest_decides() {
    // Each family alone: one would hide the other.
    let families = [
        ("10.1.0.5/32", "10.0.0.0", "10.1.0.0", 8, 24),
        ("2001:db8:7::5/128", "2001:db8::", "2001:db8:7::", 32, 64),
    ];
    for (text, wide, narrow, short, long) in families {
        // On-link, then through a gateway and in which table; then whether it attracts routed packets if it is
        // allowed, and none at all if it is not.
        let rows = [
            ((wide, short), None, false, false),
            ((wide, short), Some((narrow, long, 254)), true, true),
            // The metric decides.
            ((narrow, long), Some((narrow, long, 254)), true, false),
            ((narrow, long), Some((wide, short, 254)), false, false),
            // Another address, and a table that no rule may use.
            ((wide, short), Some(("10.2.0.0", 24, 254)), false, false),
            ((wide, short), Some((narrow, long, 100)), false, false),
        ];
        for ((prefix, prefix_len), inside, expected, off_link) in rows {
            let mut snapshot = snapshot(vec![child(7, &[text])]);
            snapshot.host.routes_on_link.push(OnLinkRoute {
                prefix: address(prefix),
                prefix_len,
                oif: PARENT,
                table: 254,
            });
            snapshot.host.routes_inside = inside
                .map(|(prefix, prefix_len, table)| RouteInside {
                    prefix: address(prefix),
                    prefix_len,
                    table,
                })
                .into_iter()
                .collect();
            let policy = allowing(&["10.0.0.0/8", "2001:db8::/32"]);
            let (_, found) = routed(&snapshot, &policy, text);
            assert_eq!(found, expected, "{prefix}/{prefix_len} {inside:?}");
            let found = is_off_link(&snapshot, &Policy::default(), text);
            assert_eq!(found, off_link, "{prefix}/{prefix_len} {inside:?}");
        }
    }
}

#[test]
fn child_in_the_hosts_netns_never_attracts_routed_packets() {
    for text in ["10.0.1.10/24", "2001:db8:7::101/64"] {
        let snapshot = snapshot(vec![own_child(7, &[text])]);
        let policy = allowing(&["0.0.0.0/0", "::/0"]);
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
        let mut child = child(7, &["172.16.91.101/24", "2001:db8:91::101/64"]);
        child.netns = netns;
        child.kind = ipvlan(mode);
        let child_ifindex = child.ifindex;
        let policy = Policy {
            deliver,
            ..Policy::default()
        };
        let desired = decide(&snapshot(vec![child]), &policy);
        assert_eq!(desired.ingress, program, "{deliver:?} {netns:?} {mode:?}");
        let delivery = if program == Demux {
            Delivery::Redirect(child_ifindex)
        } else {
            Delivery::Pass
        };
        for text in ["172.16.91.101", "2001:db8:91::101"] {
            let entry = desired.addresses[&address(text)].entry(|_| 0);
            assert_eq!(entry.delivery(), delivery, "{text}");
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
        let mut child = child(7, &["172.16.91.101/24", "2001:db8:91::101/64"]);
        child.netns = netns;
        child.kind = ipvlan(mode);
        let desired = usual(&snapshot(vec![child]));
        for (text, by_kernel) in [("172.16.91.101", by_kernel), ("2001:db8:91::101", false)] {
            let entry = desired.addresses[&address(text)].entry(|_| 0);
            assert_eq!(entry.by_kernel(), by_kernel, "{netns:?} {mode:?} {text}");
            assert_eq!(entry.refusal(), None);
        }
    }
}

#[test]
fn advertisements_of_a_child_that_forwards_are_a_routers() {
    for forwarding in [false, true] {
        let mut child = child(7, &["172.16.91.101/24", "2001:db8:91::101/64"]);
        child.forwarding = forwarding;
        let mut snapshot = snapshot(vec![child]);
        // What the parent does says nothing about its children.
        snapshot.links[0].forwarding = !forwarding;
        let desired = usual(&snapshot);
        let router = |text| desired.addresses[&address(text)].entry(|_| 0).router();
        assert_eq!(router("2001:db8:91::101"), forwarding);
        assert_eq!(router(HOST_V6), !forwarding);
        // ARP has no such flag: an entry that differed would be written for nothing.
        assert!(!router("172.16.91.101") && !router(HOST));
    }
}
