//! What wakes, and what does not.

use std::{fs, time::Duration};

use ipvlan_user::{discover::Watch, facts::Dad};

use super::lab::{
    PARENT, Unnamed, address, child_kind, discover, everything, in_fresh_netns, ip, ip_batch,
    known, settle, wake_until,
};

#[test]
fn wakes_for_an_address_in_a_netns_with_an_nsid_and_reads_it() {
    in_fresh_netns(async || {
        let mut watch = Watch::new().expect("watch");
        let mut discover = discover();
        let netns = Unnamed::new();
        netns.create_child("child0");
        netns.ip("link set child0 up");
        everything(&mut discover);
        settle(&mut watch).await;

        netns.ip("addr add 192.0.2.7 peer 192.0.2.8/31 dev child0");
        wake_until(&mut watch, "an IPv4 address", |wake| {
            wake.anywhere().addresses
        })
        .await;
        netns.ip("addr add 2001:db8::7/64 dev child0 nodad");
        wake_until(&mut watch, "an IPv6 address", |wake| {
            wake.anywhere().addresses
        })
        .await;
        let snapshot = known(&mut discover);
        let child = &snapshot.children[0];
        assert!(child.up);
        let by_local = |local| {
            let mut all = child.addresses.iter();
            all.find(|it| it.local == address(local))
                .unwrap_or_else(|| panic!("no {local} in {child:?}"))
        };
        let v4 = by_local("192.0.2.7");
        assert_eq!(v4.peer, Some(address("192.0.2.8")));
        assert_eq!(v4.registered(), address("192.0.2.8"));
        assert_eq!(v4.prefix_len, 31);
        let v6 = by_local("2001:db8::7");
        assert_eq!((v6.peer, v6.prefix_len), (None, 64));
        assert_eq!(v6.dad(), Dad::Done, "{v6:?}");

        netns.ip("addr del 192.0.2.7 peer 192.0.2.8/31 dev child0");
        wake_until(&mut watch, "a deleted address", |wake| {
            wake.anywhere().addresses
        })
        .await;
        let snapshot = known(&mut discover);
        let mut left = snapshot.children[0].addresses.iter();
        assert!(left.all(|it| it.local != address("192.0.2.7")));
    });
}

#[test]
fn wakes_for_ipv6_forwarding_of_parent_and_child_and_reads_it() {
    in_fresh_netns(async || {
        let mut watch = Watch::new().expect("watch");
        let mut discover = discover();
        let netns = Unnamed::new();
        netns.create_child("child0");
        netns.create_child("child1");
        let snapshot = everything(&mut discover);
        assert!(!snapshot.link_named(PARENT).expect(PARENT).forwarding);
        assert!(snapshot.children.iter().all(|child| !child.forwarding));
        settle(&mut watch).await;

        netns.set("net/ipv6/conf/child1/forwarding", 1);
        wake_until(&mut watch, "forwarding of a child", |wake| {
            wake.anywhere().settings
        })
        .await;
        let forwarding: Vec<bool> = known(&mut discover)
            .children
            .iter()
            .map(|child| child.forwarding)
            .collect();
        assert_eq!(forwarding, [false, true]);

        // That of all links is each link's.
        fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").expect("forwarding");
        wake_until(&mut watch, "forwarding of all", |wake| {
            wake.anywhere().settings
        })
        .await;
        let snapshot = known(&mut discover);
        assert!(snapshot.link_named(PARENT).expect(PARENT).forwarding);
        assert!(!snapshot.children[0].forwarding, "another netns");
    });
}

#[test]
fn reports_an_overrun_and_goes_on() {
    in_fresh_netns(async || {
        let mut watch = Watch::with_receive_buffer(1).expect("watch");
        let mut discover = discover();
        let add = |n| format!("addr add 10.1.{}.{}/32 dev {PARENT}", n / 200, n % 200 + 1);
        ip_batch(None, (0..400).map(add));
        wake_until(&mut watch, "the overrun", |wake| wake.overrun).await;
        let held = everything(&mut discover).host.addresses;
        let held = held
            .iter()
            .filter(|it| it.prefix_len == 32 && it.address.is_ipv4());
        assert_eq!(held.count(), 400);
        settle(&mut watch).await;
        ip(&format!("addr del 10.1.0.1/32 dev {PARENT}"));
        wake_until(&mut watch, "an event after the overrun", |wake| {
            wake.anywhere().addresses
        })
        .await;
        assert_eq!(watch.malformed(), 0);
    });
}

#[test]
fn does_not_wake_while_nothing_happens() {
    in_fresh_netns(async || {
        let mut watch = Watch::new().expect("watch");
        let mut discover = discover();
        let netns = Unnamed::new();
        // The move gives this netns, and no other of the machine, an nsid.
        ip(&format!(
            "link add child0 link {PARENT} type {}",
            child_kind()
        ));
        ip(&format!("link set child0 netns {}", netns.pid()));
        // Duplicate address detection of the links just made takes up to two seconds.
        tokio::time::sleep(Duration::from_secs(3)).await;
        settle(&mut watch).await;
        assert_eq!(known(&mut discover).children.len(), 1);
        let wake = tokio::time::timeout(Duration::from_secs(1), watch.wake()).await;
        assert!(wake.is_err(), "woke for {wake:?}");
    });
}

#[test]
fn a_routing_daemon_does_not_wake() {
    in_fresh_netns(async || {
        ip(&format!("addr add 198.51.100.1/24 dev {PARENT}"));
        tokio::time::sleep(Duration::from_secs(3)).await;
        let mut watch = Watch::new().expect("watch");
        let mut discover = discover();
        // What the daemon announces at first is a new next hop, which counts.
        ip("route add 203.0.113.0/24 via 198.51.100.254");
        wake_until(&mut watch, "a next hop", |wake| wake.anywhere().routes).await;
        // Without an nsid for every netns there is: other tests have theirs.
        let snapshot = known(&mut discover);
        discover.update_watch(&mut watch, &snapshot);
        settle(&mut watch).await;
        ip("route add 203.0.114.0/24 via 198.51.100.254");
        ip("route del 203.0.113.0/24 via 198.51.100.254");
        ip("route add 203.0.113.0/24 via 198.51.100.254 table 100");
        let wake = tokio::time::timeout(Duration::from_millis(300), watch.wake()).await;
        assert!(wake.is_err(), "woke for {wake:?}");
        ip("route add 203.0.115.0/24 via 198.51.100.253");
        wake_until(&mut watch, "another next hop", |wake| {
            wake.anywhere().routes
        })
        .await;
        ip("nexthop add id 7 via 198.51.100.252 dev parent0");
        wake_until(&mut watch, "a next hop object", |wake| {
            wake.anywhere().routes
        })
        .await;
        ip("route add default via 198.51.100.250");
        wake_until(&mut watch, "a default route", |wake| wake.anywhere().routes).await;
    });
}
