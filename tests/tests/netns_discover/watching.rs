//! What wakes, and what does not.

use std::{fs, time::Duration};

use ipvlan_user::{
    discover::Watch,
    facts::{Child, ChildAddress, Dad},
};

use super::lab::{Container, PARENT, address, create_child, ip, ip_batch, on_host};

/// Duplicate address detection of links that were just made takes up to two seconds.
async fn wait_for_dad() {
    tokio::time::sleep(Duration::from_secs(3)).await;
}

fn held<'a>(child: &'a Child, text: &str) -> Option<&'a ChildAddress> {
    let mut all = child.addresses.iter();
    all.find(|it| it.local == address(text))
}

#[test]
fn wakes_for_an_address_in_a_netns_with_an_nsid_and_reads_it() {
    on_host(async |mut lab| {
        let container = Container::with_child();
        container.ip("link set child0 up");
        lab.everything();
        lab.settle().await;

        for address in [
            "192.0.2.7 peer 192.0.2.8/31 dev child0",
            "2001:db8::7/64 dev child0 nodad",
        ] {
            container.ip(&format!("addr add {address}"));
            lab.wakes_for(address, |wake| wake.anywhere().addresses)
                .await;
        }
        let snapshot = lab.known();
        let child = &snapshot.children[0];
        assert!(child.up);
        let v4 = held(child, "192.0.2.7").unwrap();
        assert_eq!(v4.peer, Some(address("192.0.2.8")));
        assert_eq!(v4.registered(), address("192.0.2.8"));
        assert_eq!(v4.prefix_len, 31);
        let v6 = held(child, "2001:db8::7").unwrap();
        assert_eq!((v6.peer, v6.prefix_len), (None, 64));
        assert_eq!(v6.dad(), Dad::Done, "{v6:?}");

        container.ip("addr del 192.0.2.7 peer 192.0.2.8/31 dev child0");
        lab.wakes_for("its end", |wake| wake.anywhere().addresses)
            .await;
        assert_eq!(held(&lab.known().children[0], "192.0.2.7"), None);
    });
}

#[test]
fn wakes_for_ipv6_forwarding_of_parent_and_child_and_reads_it() {
    on_host(async |mut lab| {
        let container = Container::with_child();
        container.create_child("child1");
        let snapshot = lab.everything();
        assert!(!snapshot.link_named(PARENT).unwrap().forwarding);
        assert!(snapshot.children.iter().all(|child| !child.forwarding));
        lab.settle().await;

        container.set("ipv6/conf/child1/forwarding", "1");
        lab.wakes_for("a child", |wake| wake.anywhere().settings)
            .await;
        let children = lab.known().children;
        assert!(!children[0].forwarding && children[1].forwarding);

        // That of all links is each link's.
        fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").unwrap();
        lab.wakes_for("all links", |wake| wake.anywhere().settings)
            .await;
        let snapshot = lab.known();
        assert!(snapshot.link_named(PARENT).unwrap().forwarding);
        assert!(!snapshot.children[0].forwarding, "another netns");
    });
}

#[test]
fn reports_an_overrun_and_goes_on() {
    on_host(async |mut lab| {
        lab.watch = Watch::with_receive_buffer(1).unwrap();
        let add = |n| format!("addr add 10.1.{}.{}/32 dev {PARENT}", n / 200, n % 200 + 1);
        ip_batch((0..400).map(add));
        lab.wakes_for("the overrun", |wake| wake.overrun).await;
        let held = lab.everything().host.addresses.into_iter();
        let held = held.filter(|it| it.prefix_len == 32 && it.address.is_ipv4());
        assert_eq!(held.count(), 400);
        lab.settle().await;
        ip(&format!("addr del 10.1.0.1/32 dev {PARENT}"));
        lab.wakes_for("a later event", |wake| wake.anywhere().addresses)
            .await;
        assert_eq!(lab.watch.malformed(), 0);
    });
}

#[test]
fn does_not_wake_while_nothing_happens() {
    on_host(async |mut lab| {
        let container = Container::new();
        // The move gives this netns, and no other of the machine, an nsid.
        create_child("child0");
        ip(&format!("link set child0 netns {}", container.pid()));
        wait_for_dad().await;
        lab.settle().await;
        assert_eq!(lab.known().children.len(), 1);
        lab.sleeps(Duration::from_secs(1)).await;
    });
}

#[test]
fn a_routing_daemon_does_not_wake() {
    on_host(async |mut lab| {
        ip(&format!("addr add 198.51.100.1/24 dev {PARENT}"));
        wait_for_dad().await;
        lab.watch = Watch::new().unwrap();
        // What the daemon announces at first is a new next hop, which is reported.
        ip("route add 203.0.113.0/24 via 198.51.100.254");
        lab.wakes_for("a next hop", |wake| wake.anywhere().routes)
            .await;
        // Without an nsid for every netns there is: other tests have theirs.
        let snapshot = lab.known();
        lab.discover.update_watch(&mut lab.watch, &snapshot);
        lab.settle().await;
        ip("route add 203.0.114.0/24 via 198.51.100.254");
        ip("route del 203.0.113.0/24 via 198.51.100.254");
        ip("route add 203.0.113.0/24 via 198.51.100.254 table 100");
        lab.sleeps(Duration::from_millis(300)).await;
        for change in [
            "route add 203.0.115.0/24 via 198.51.100.253",
            "nexthop add id 7 via 198.51.100.252 dev ens34",
            "route add default via 198.51.100.250",
        ] {
            ip(change);
            lab.wakes_for(change, |wake| wake.anywhere().routes).await;
        }
    });
}
