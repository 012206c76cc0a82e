//! How long a snapshot takes, and what one more address does; run with `--nocapture` to see.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use ipvlan_user::{
    discover::{Changed, Scope, Watch},
    model::{History, Policy, desired},
};

use super::{
    common::installed,
    lab::{PARENT, Unnamed, child_kind, discover, everything, in_fresh_netns, ip_batch, settle},
};

#[test]
fn snapshots_of_many_children_are_fast() {
    in_fresh_netns(async || {
        for (netnses, children) in [(20, 1), (100, 10)] {
            let mut discover = discover();
            let lab: Vec<_> = (0..netnses).map(|_| Unnamed::new()).collect();
            for (number, netns) in lab.iter().enumerate() {
                let add = |child| {
                    let pid = netns.pid();
                    format!(
                        "link add c{child} link {PARENT} netns {pid} type {}",
                        child_kind()
                    )
                };
                ip_batch(None, (0..children).map(add));
                let add = |child| format!("addr add 10.{number}.{child}.1/24 dev c{child}");
                ip_batch(Some(netns), (0..children).map(add));
            }
            assert_eq!(everything(&mut discover).children.len(), netnses * children);
            for scope in [Scope::Everything, Scope::KnownNetns] {
                let mut times: Vec<_> = (0..11)
                    .map(|_| {
                        let start = Instant::now();
                        discover.snapshot(scope, None).expect("snapshot");
                        start.elapsed()
                    })
                    .collect();
                times.sort();
                println!(
                    "{netnses} netns x {children} children, {scope:?}: min {:?}, median {:?}",
                    times[0], times[5]
                );
            }
        }
    });
}

#[test]
fn one_address_more_is_heard_of_read_and_decided_in_the_time_of_its_netns() {
    const NETNSES: usize = 100;
    const CHILDREN: usize = 10;
    in_fresh_netns(async || {
        let mut watch = Watch::new().expect("watch");
        let mut discover = discover();
        let lab: Vec<_> = (0..NETNSES).map(|_| Unnamed::new()).collect();
        for (number, netns) in lab.iter().enumerate() {
            let pid = netns.pid();
            let kind = child_kind();
            let add = |child| format!("link add c{child} link {PARENT} netns {pid} type {kind}");
            ip_batch(None, (0..CHILDREN).map(add));
            let add = |child| format!("addr add 10.{number}.{child}.1/24 dev c{child}");
            ip_batch(Some(netns), (0..CHILDREN).map(add));
        }
        let mut snapshot = everything(&mut discover);
        let link = snapshot.link_named(PARENT).expect(PARENT).clone();
        let policy = Policy::default();
        let mut decided = desired(&snapshot, &link, &policy, &BTreeMap::new());
        settle(&mut watch).await;
        let mut times = Vec::new();
        for (number, netns) in lab.iter().enumerate() {
            netns.ip(&format!("addr add 10.{number}.200.1/24 dev c1"));
            // Of what other tests do on this machine nothing else is waited for.
            let started = Instant::now();
            let wake = watch.wake().await.expect("wake");
            let dirty = discover.dirty(&snapshot, &wake);
            let renewed = discover
                .renew(&mut snapshot, &dirty.parts, None)
                .expect("renew");
            if let Changed::Children(netnses) = renewed.changed {
                let (history, none) = (History::default(), BTreeMap::new());
                decided.revise(&history, &snapshot, &link, &policy, &netnses, &none);
            }
            times.push(started.elapsed());
        }
        times.sort();
        println!(
            "{NETNSES} netns x {CHILDREN} children, one address more: median {:?}, slowest {:?}",
            times[times.len() / 2],
            times[times.len() - 1]
        );
        let expected = NETNSES * (CHILDREN + 1);
        let held = snapshot.children.iter().flat_map(|child| &child.addresses);
        assert_eq!(held.filter(|it| it.local.is_ipv4()).count(), expected);
    });
}

#[test]
fn a_cold_sync_of_65_536_addresses_takes_less_than_six_seconds() {
    const NETNSES: usize = 64;
    const EACH: usize = 1024;
    in_fresh_netns(async || {
        let mut discover = discover();
        let lab: Vec<_> = (0..NETNSES).map(|_| Unnamed::new()).collect();
        for (number, netns) in lab.iter().enumerate() {
            netns.create_child("c0");
            let add = |address: usize| {
                let (high, low) = (address / 256, address % 256);
                format!("addr add 10.{number}.{high}.{low}/32 dev c0")
            };
            ip_batch(Some(netns), (0..EACH).map(add));
        }
        let mut fastest = Duration::MAX;
        for _ in 0..5 {
            let mut installed = installed(u32::try_from(2 * NETNSES * EACH).expect("room"));
            let start = Instant::now();
            let snapshot = everything(&mut discover);
            let read = start.elapsed();
            let link = snapshot.link_named(PARENT).expect(PARENT).clone();
            let decided = desired(&snapshot, &link, &Policy::default(), &BTreeMap::new());
            let both = start.elapsed();
            let outcome = installed.update(&decided);
            let all = start.elapsed();
            println!(
                "{NETNSES} netns x {EACH} addresses: read {read:?}, decided {both:?}, written {all:?}"
            );
            assert!(outcome.errors.is_empty(), "{:?}", outcome.errors);
            let held = decided.children.iter().flat_map(|view| &view.addresses);
            assert_eq!(held.count(), NETNSES * EACH);
            assert_eq!(outcome.put, decided.addresses.len());
            fastest = fastest.min(all);
        }
        assert!(fastest < Duration::from_secs(6), "{fastest:?}");
    });
}
