//! Our own netns: links, addresses, routes, proxies.

use std::{collections::BTreeSet, fs};

use ipvlan_user::{
    discover::{Scope, Watch},
    facts::{AnycastAddress, NetnsId, OnLinkRoute, ProxyArp, RouteInside},
};

use super::lab::{
    PARENT, address, child_kind, child_names, discover, everything, gateway, ifindex,
    in_fresh_netns, ip, ip_batch, known, settle, wake_until,
};

/// What the host of the test below holds, and its routes.
const HELD_AND_ROUTED: [&str; 26] = [
    "addr add 198.51.100.1/24 dev parent0",
    "addr add 2001:db8:1::1/64 dev parent0 nodad",
    "route add default via 198.51.100.254",
    "route add default via 198.51.100.253 table 100",
    "route add default table 101 nexthop via 198.51.100.252 nexthop via 198.51.100.251",
    "route add 203.0.113.0/25 via 198.51.100.250",
    "route add 203.0.113.128/25 dev parent0",
    "route add local 192.0.2.0/24 dev lo",
    "route add local 192.0.3.1/32 dev lo",
    "route add default via inet6 2001:db8:1::fd dev parent0 table 102",
    "-6 route add default via 2001:db8:1::fe",
    "-6 route add default via fe80::fe dev parent0 metric 7",
    "route add 203.0.114.0/24 nexthop via 198.51.100.249 nexthop via 198.51.100.248",
    "route add 203.0.115.0/24 via 100.64.0.77 dev parent0 onlink",
    "route add 203.0.116.0/24 via inet6 2001:db8:1::fc dev parent0 table 103",
    "-6 route add 2001:db8:7::/48 via 2001:db8:1::fb",
    "-6 route add 2001:db8:8::/48 via fe80::fd dev parent0",
    "-6 route add 2001:db8:9::/48 nexthop via 2001:db8:1::fa nexthop via 2001:db8:1::f9",
    "nexthop add id 7 via 198.51.100.247 dev parent0",
    "nexthop add id 8 via 2001:db8:1::f8 dev parent0",
    "nexthop add id 9 via 198.51.100.246 dev parent0",
    "nexthop add id 10 group 7/9",
    "nexthop add id 11 dev parent0",
    "route add 203.0.117.0/24 nhid 10",
    "route add 203.0.118.0/24 nhid 11",
    "-6 route add 2001:db8:a::/48 nhid 8",
];

#[test]
fn reads_what_the_host_holds_and_where_it_sends_the_rest() {
    in_fresh_netns(async || {
        let mut discover = discover();
        for command in HELD_AND_ROUTED {
            ip(command);
        }
        let snapshot = everything(&mut discover);
        let host = &snapshot.host;
        let parent = ifindex(&snapshot, PARENT);
        let held: BTreeSet<_> = host
            .addresses
            .iter()
            .map(|it| (it.address, it.ifindex))
            .collect();
        assert!(
            held.contains(&(address("198.51.100.1"), parent)),
            "{held:?}"
        );
        assert!(
            held.contains(&(address("2001:db8:1::1"), parent)),
            "{held:?}"
        );
        let gateways = [
            "198.51.100.254",
            "198.51.100.253",
            "198.51.100.252",
            "198.51.100.251",
            "2001:db8:1::fe",
            "2001:db8:1::fd",
            "fe80::fe",
            "198.51.100.250",
            "198.51.100.249",
            "198.51.100.248",
            "100.64.0.77",
            "2001:db8:1::fc",
            "2001:db8:1::fb",
            "fe80::fd",
            "2001:db8:1::fa",
            "2001:db8:1::f9",
            "198.51.100.247",
            "2001:db8:1::f8",
            "198.51.100.246",
        ];
        assert_eq!(
            host.gateways,
            gateways.map(|text| gateway(text, parent)).into()
        );
        assert_eq!(host.next_hops, BTreeSet::from([7, 8, 9, 10]));
        // Then routes show the id of their next hop and nothing else of it.
        fs::write("/proc/sys/net/ipv4/nexthop_compat_mode", "0").expect("nexthop_compat_mode");
        assert_eq!(everything(&mut discover).host, *host);
        let on_link = |prefix, prefix_len| OnLinkRoute {
            prefix: address(prefix),
            prefix_len,
            oif: parent,
            table: 254,
        };
        for route in [
            on_link("198.51.100.0", 24),
            on_link("203.0.113.128", 25),
            on_link("203.0.118.0", 24),
            on_link("2001:db8:1::", 64),
        ] {
            assert!(
                host.routes_on_link.contains(&route),
                "{route:?} not in {host:?}"
            );
        }
        let via = address("203.0.113.0");
        assert!(
            !host
                .routes_on_link
                .iter()
                .any(|it| it.prefix == via && it.prefix_len == 25)
        );
        let local = [(address("192.0.2.0"), 24), (address("192.0.3.1"), 32)];
        assert_eq!(host.local_prefixes, local);
    });
}

#[test]
fn routes_through_gateways_inside_an_on_link_prefix_are_seen() {
    in_fresh_netns(async || {
        let mut discover = discover();
        ip("addr add 198.51.100.1/24 dev parent0");
        ip("addr add 2001:db8:1::1/64 dev parent0 nodad");
        ip("nexthop add id 7 via 198.51.100.253 dev parent0");
        for route in [
            "10.0.0.0/8 dev parent0",
            "10.1.0.0/24 via 198.51.100.254",
            "10.2.0.0/24 nhid 7",
            "11.0.0.0/24 via 198.51.100.254",
            "10.3.0.0/24 via 198.51.100.254 table 100",
            "2001:db8:7::/48 dev parent0",
            "2001:db8:7:1::/64 via 2001:db8:1::fe",
            "2001:db8:8::/64 via 2001:db8:1::fe",
        ] {
            ip(&format!("route add {route}"));
        }
        let inside = |prefix, prefix_len, table| RouteInside {
            prefix: address(prefix),
            prefix_len,
            table,
        };
        assert_eq!(
            everything(&mut discover).host.routes_inside,
            [
                inside("10.1.0.0", 24, 254),
                inside("10.2.0.0", 24, 254),
                inside("10.3.0.0", 24, 100),
                inside("2001:db8:7:1::", 64, 254),
            ]
            .into()
        );
        ip("route del 10.1.0.0/24");
        let found = everything(&mut discover).host.routes_inside;
        assert!(!found.contains(&inside("10.1.0.0", 24, 254)), "{found:?}");
    });
}

#[test]
fn full_routing_table_leaves_nothing_but_its_next_hops() {
    in_fresh_netns(async || {
        let mut discover = discover();
        ip("addr add 198.51.100.1/24 dev parent0");
        ip("nexthop add id 7 via 198.51.100.253 dev parent0");
        let before = everything(&mut discover).host;
        let routes = (0..10_000).map(|number| {
            let (high, low) = (number / 250, number % 250);
            let via = ["via 198.51.100.254", "nhid 7"][number % 2];
            format!("route add 10.{high}.{low}.0/24 {via}")
        });
        ip_batch(None, routes);
        let host = everything(&mut discover).host;
        let parent = ifindex(&everything(&mut discover), PARENT);
        let next_hops = ["198.51.100.253", "198.51.100.254"];
        assert_eq!(
            host.gateways,
            next_hops.map(|text| gateway(text, parent)).into()
        );
        assert_eq!(host.routes_on_link, before.routes_on_link);
        assert_eq!(host.local_prefixes, before.local_prefixes);
    });
}

#[test]
fn sees_the_anycast_addresses_of_a_router() {
    in_fresh_netns(async || {
        let mut discover = discover();
        ip("addr add 2001:db8:1::7/120 dev parent0 nodad");
        assert_eq!(everything(&mut discover).host.anycast, []);
        fs::write("/proc/sys/net/ipv6/conf/parent0/forwarding", "1").expect("forwarding");
        let snapshot = everything(&mut discover);
        let expected = AnycastAddress {
            address: address("2001:db8:1::"),
            ifindex: ifindex(&snapshot, PARENT),
        };
        let anycast = &snapshot.host.anycast;
        assert!(anycast.contains(&expected), "{anycast:?}");
        assert_eq!(snapshot.host.local_prefixes, [], "{anycast:?}");
    });
}

#[test]
fn sees_proxy_arp_and_proxy_neighbours() {
    in_fresh_netns(async || {
        let mut watch = Watch::new().expect("watch");
        let mut discover = discover();
        ip(&format!(
            "link add child0 link parent0 type {}",
            child_kind()
        ));
        let snapshot = everything(&mut discover);
        let parent = ifindex(&snapshot, PARENT);
        assert!(!snapshot.host.proxy_neighbours);
        assert_eq!(snapshot.host.proxy_arp[&parent], ProxyArp::default());
        settle(&mut watch).await;

        let conf = "/proc/sys/net/ipv4/conf/parent0";
        fs::write(format!("{conf}/proxy_arp"), "1").expect("proxy_arp");
        wake_until(&mut watch, "proxy_arp", |wake| wake.anywhere().routes).await;
        fs::write(format!("{conf}/proxy_arp_pvlan"), "1").expect("proxy_arp_pvlan");
        ip("neigh add proxy 192.0.2.9 dev parent0");
        let snapshot = known(&mut discover);
        assert!(snapshot.host.proxy_neighbours);
        let both = ProxyArp {
            proxy_arp: true,
            pvlan: true,
        };
        assert_eq!(snapshot.host.proxy_arp[&parent], both);
    });
}

#[test]
fn tells_what_a_link_is_part_of() {
    in_fresh_netns(async || {
        let mut discover = discover();
        ip("link add bridge0 type bridge");
        ip("link set parent0 master bridge0 mtu 1400");
        ip(&format!("link add upper0 link wire0 type {}", child_kind()));
        let snapshot = everything(&mut discover);
        let parent = snapshot.link_named(PARENT).expect(PARENT);
        let master = parent.master.as_ref().expect("master");
        assert_eq!(master.ifindex, ifindex(&snapshot, "bridge0"));
        assert_eq!(master.kind.as_deref(), Some("bridge"));
        assert_eq!((parent.mtu, parent.kind.as_deref()), (1400, Some("veth")));
        assert!(
            parent.up && parent.carrier && parent.mac.is_some(),
            "{parent:?}"
        );
        let upper = snapshot.link_named("upper0").expect("upper0");
        let lower = upper.lower.expect("lower");
        assert_eq!(
            (lower.ifindex, lower.netns),
            (ifindex(&snapshot, "wire0"), NetnsId::Own)
        );
        assert!(!upper.up);
        assert_eq!(
            snapshot.link_named("lo").expect("lo").hardware,
            libc::ARPHRD_LOOPBACK
        );
    });
}

#[test]
fn takes_only_the_children_of_the_parents_asked_for() {
    in_fresh_netns(async || {
        let mut discover = discover();
        ip(&format!(
            "link add child0 link parent0 type {}",
            child_kind()
        ));
        ip(&format!("link add child1 link wire0 type {}", child_kind()));
        let snapshot = everything(&mut discover);
        assert_eq!(child_names(&snapshot), BTreeSet::from(["child0", "child1"]));
        let wire = BTreeSet::from([ifindex(&snapshot, "wire0")]);
        let snapshot = discover
            .snapshot(Scope::KnownNetns, Some(&wire))
            .expect("snapshot");
        assert_eq!(child_names(&snapshot), BTreeSet::from(["child1"]));
        assert_eq!(
            snapshot
                .host
                .proxy_arp
                .keys()
                .copied()
                .collect::<BTreeSet<_>>(),
            wire
        );
    });
}
