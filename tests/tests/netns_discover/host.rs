//! The host: links, addresses, routes, proxies.

use std::{collections::BTreeSet, fs};

use ipvlan_user::{
    discover::Scope,
    facts::{AnycastAddress, Gateway, NetnsId, OnLinkRoute, ProxyArp, RouteInside},
};

use super::lab::{
    PARENT, address, child_kind, child_names, create_child, ifindex, ip, ip_batch, on_host,
};

/// What the host of the test below holds, and its routes.
const HELD_AND_ROUTED: &str = "addr add 198.51.100.1/24 dev ens34
addr add 2001:db8:1::1/64 dev ens34 nodad
route add default via 198.51.100.254
route add default via 198.51.100.253 table 100
route add default table 101 nexthop via 198.51.100.252 nexthop via 198.51.100.251
route add 203.0.113.0/25 via 198.51.100.250
route add 203.0.113.128/25 dev ens34
route add local 192.0.2.0/24 dev lo
route add local 192.0.3.1/32 dev lo
route add default via inet6 2001:db8:1::fd dev ens34 table 102
-6 route add default via 2001:db8:1::fe
-6 route add default via fe80::fe dev ens34 metric 7
route add 203.0.114.0/24 nexthop via 198.51.100.249 nexthop via 198.51.100.248
route add 203.0.115.0/24 via 100.64.0.77 dev ens34 onlink
route add 203.0.116.0/24 via inet6 2001:db8:1::fc dev ens34 table 103
-6 route add 2001:db8:7::/48 via 2001:db8:1::fb
-6 route add 2001:db8:8::/48 via fe80::fd dev ens34
-6 route add 2001:db8:9::/48 nexthop via 2001:db8:1::fa nexthop via 2001:db8:1::f9
nexthop add id 7 via 198.51.100.247 dev ens34
nexthop add id 8 via 2001:db8:1::f8 dev ens34
nexthop add id 9 via 198.51.100.246 dev ens34
nexthop add id 10 group 7/9
nexthop add id 11 dev ens34
nexthop add id 12 blackhole
nexthop add id 13 via 198.51.100.245 fdb
route add 203.0.117.0/24 nhid 10
route add 203.0.118.0/24 nhid 11
route add 203.0.120.0/24 nexthop via 198.51.100.244 nexthop via inet6 2001:db8:1::f7 dev ens34 nexthop dev ens34
-6 route add 2001:db8:a::/48 nhid 8";
/// The gateways of these routes.
const GATEWAYS: &str = "198.51.100.254 198.51.100.253 198.51.100.252 198.51.100.251 198.51.100.250 198.51.100.249
198.51.100.248 198.51.100.247 198.51.100.246 198.51.100.244 100.64.0.77 2001:db8:1::f7 2001:db8:1::fe 2001:db8:1::fd 2001:db8:1::fc
2001:db8:1::fb 2001:db8:1::fa 2001:db8:1::f9 2001:db8:1::f8 fe80::fe fe80::fd";

/// Addresses and routes of the host of the test after it.
const ROUTED_INSIDE: &str = "addr add 198.51.100.1/24 dev ens34
addr add 2001:db8:1::1/64 dev ens34 nodad
nexthop add id 7 via 198.51.100.253 dev ens34
nexthop add id 11 dev ens34
nexthop add id 14 group 7/11
route add 10.0.0.0/8 dev ens34
route add 10.4.0.0/24 nhid 14
route add 10.5.0.0/24 nhid 11
route add 10.1.0.0/24 via 198.51.100.254
route add 10.2.0.0/24 nhid 7
route add 11.0.0.0/24 via 198.51.100.254
route add 10.3.0.0/24 via 198.51.100.254 table 1000
route add 2001:db8:7::/48 dev ens34
route add 2001:db8:7:1::/64 via 2001:db8:1::fe
route add 2001:db8:8::/64 via 2001:db8:1::fe";

/// Gateways of routes through a link.
fn gateways(texts: &str, oif: u32) -> BTreeSet<Gateway> {
    let gateway = |text| Gateway {
        address: address(text),
        oif: Some(oif),
    };
    texts.split_whitespace().map(gateway).collect()
}

#[test]
fn reads_what_the_host_holds_and_where_it_sends_the_rest() {
    on_host(async |mut lab| {
        HELD_AND_ROUTED.lines().for_each(ip);
        let snapshot = lab.everything();
        let host = &snapshot.host;
        let parent = ifindex(&snapshot, PARENT);
        let held = |text| {
            let mut all = host.addresses.iter();
            all.any(|it| it.address == address(text) && it.ifindex == parent)
        };
        assert!(held("198.51.100.1") && held("2001:db8:1::1"), "{host:?}");
        assert_eq!(host.gateways, gateways(GATEWAYS, parent));
        assert_eq!(host.next_hops, BTreeSet::from([7, 8, 9, 10, 12]));
        // Then routes show the id of their next hop and nothing else of it.
        fs::write("/proc/sys/net/ipv4/nexthop_compat_mode", "0").unwrap();
        assert_eq!(lab.everything().host, *host);
        // A group of which one member leads through no gateway.
        ip("nexthop add id 14 group 7/11");
        ip("route add 203.0.119.0/24 nhid 14");
        let on_link = lab.everything().host.routes_on_link;
        let mut prefixes = on_link.iter().map(|route| route.prefix);
        assert!(
            prefixes.any(|it| it == address("203.0.119.0")),
            "{on_link:?}"
        );
        for (prefix, prefix_len) in [
            ("198.51.100.0", 24),
            ("203.0.113.128", 25),
            ("203.0.118.0", 24),
            ("203.0.120.0", 24),
            ("2001:db8:1::", 64),
        ] {
            let route = OnLinkRoute {
                prefix: address(prefix),
                prefix_len,
                oif: parent,
                table: 254,
            };
            assert!(host.routes_on_link.contains(&route), "{route:?}: {host:?}");
        }
        let via = |it: &OnLinkRoute| it.prefix == address("203.0.113.0") && it.prefix_len == 25;
        assert!(!host.routes_on_link.iter().any(via));
        let local = [(address("192.0.2.0"), 24), (address("192.0.3.1"), 32)];
        assert_eq!(host.local_prefixes, local);
    });
}

#[test]
fn routes_through_gateways_inside_an_on_link_prefix_are_seen() {
    on_host(async |mut lab| {
        ROUTED_INSIDE.lines().for_each(ip);
        let inside = |(prefix, prefix_len, table)| RouteInside {
            prefix: address(prefix),
            prefix_len,
            table,
        };
        let expected = [
            ("10.1.0.0", 24, 254),
            ("10.2.0.0", 24, 254),
            ("10.3.0.0", 24, 1000),
            // Some flows to it leave for the gateway.
            ("10.4.0.0", 24, 254),
            ("2001:db8:7:1::", 64, 254),
        ];
        // Routes show the members of a group that they name, or its id alone.
        for compatible in ["1", "0"] {
            fs::write("/proc/sys/net/ipv4/nexthop_compat_mode", compatible).unwrap();
            let found = lab.everything().host.routes_inside;
            let expected = expected.map(inside).into();
            assert_eq!(found, expected, "nexthop_compat_mode={compatible}");
        }
        ip("route del 10.1.0.0/24");
        let found = lab.everything().host.routes_inside;
        assert!(!found.contains(&inside(expected[0])), "{found:?}");
    });
}

#[test]
fn full_routing_table_leaves_nothing_but_its_next_hops() {
    on_host(async |mut lab| {
        ip("addr add 198.51.100.1/24 dev ens34");
        ip("nexthop add id 7 via 198.51.100.253 dev ens34");
        let before = lab.everything().host;
        let routes = (0..10_000).map(|number| {
            let (high, low) = (number / 250, number % 250);
            let via = ["via 198.51.100.254", "nhid 7"][number % 2];
            format!("route add 10.{high}.{low}.0/24 {via}")
        });
        ip_batch(routes);
        let snapshot = lab.everything();
        let next_hops = "198.51.100.253 198.51.100.254";
        let parent = ifindex(&snapshot, PARENT);
        assert_eq!(snapshot.host.gateways, gateways(next_hops, parent));
        assert_eq!(snapshot.host.routes_on_link, before.routes_on_link);
        assert_eq!(snapshot.host.local_prefixes, before.local_prefixes);
    });
}

#[test]
fn sees_the_anycast_addresses_of_a_router() {
    on_host(async |mut lab| {
        ip("addr add 2001:db8:1::7/120 dev ens34 nodad");
        assert_eq!(lab.everything().host.anycast, []);
        fs::write("/proc/sys/net/ipv6/conf/ens34/forwarding", "1").unwrap();
        let snapshot = lab.everything();
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
    on_host(async |mut lab| {
        create_child("child0");
        let snapshot = lab.everything();
        let parent = ifindex(&snapshot, PARENT);
        assert!(!snapshot.host.proxy_neighbours);
        assert_eq!(snapshot.host.proxy_arp[&parent], ProxyArp::default());
        lab.settle().await;

        let switch = |key| {
            let path = format!("/proc/sys/net/ipv4/conf/ens34/{key}");
            fs::write(path, "1").unwrap();
        };
        switch("proxy_arp");
        lab.wakes_for("proxy_arp", |wake| wake.anywhere().routes)
            .await;
        switch("proxy_arp_pvlan");
        ip("neigh add proxy 192.0.2.9 dev ens34");
        let snapshot = lab.known();
        assert!(snapshot.host.proxy_neighbours);
        let both = ProxyArp {
            proxy_arp: true,
            pvlan: true,
        };
        assert_eq!(snapshot.host.proxy_arp[&parent], both);
    });
}

#[test]
fn reads_what_a_link_is_part_of() {
    on_host(async |mut lab| {
        ip("link add bridge0 type bridge");
        ip("link set ens34 master bridge0 mtu 1400");
        ip("link add other0 type veth peer name other1");
        ip(&format!(
            "link add upper0 link other0 type {}",
            child_kind()
        ));
        let snapshot = lab.everything();
        let link = |name| snapshot.link_named(name).expect(name);
        let parent = link(PARENT);
        let master = parent.master.as_ref().unwrap();
        assert_eq!(master.ifindex, link("bridge0").ifindex);
        assert_eq!(master.kind.as_deref(), Some("bridge"));
        assert_eq!((parent.mtu, parent.kind.as_deref()), (1400, Some("veth")));
        assert!(parent.up && parent.carrier, "{parent:?}");
        assert!(parent.mac.is_some(), "{parent:?}");
        let upper = link("upper0");
        let lower = upper.lower.as_ref().unwrap();
        assert_eq!(lower.ifindex, link("other0").ifindex);
        assert_eq!(lower.netns, NetnsId::Own);
        assert!(!upper.up);
        assert_eq!(link("lo").hardware, libc::ARPHRD_LOOPBACK);
    });
}

#[test]
fn takes_only_the_children_of_the_parents_asked_for() {
    on_host(async |mut lab| {
        create_child("child0");
        ip("link add other0 type veth peer name other1");
        ip(&format!(
            "link add child1 link other0 type {}",
            child_kind()
        ));
        let snapshot = lab.everything();
        assert_eq!(child_names(&snapshot), BTreeSet::from(["child0", "child1"]));
        let other = BTreeSet::from([ifindex(&snapshot, "other0")]);
        let of_other = lab.discover.snapshot(Scope::KnownNetns, Some(&other));
        let snapshot = of_other.unwrap();
        assert_eq!(child_names(&snapshot), BTreeSet::from(["child1"]));
        assert!(snapshot.host.proxy_arp.keys().eq(&other));
    });
}
