//! How long a snapshot takes, and what one more address does; run with `--nocapture` to see.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use aya::EbpfLoader;
use ipvlan_common::maps;
use ipvlan_user::{
    OBJECT,
    discover::Changed,
    maps::{Maps, apply::Installed},
    model::{History, Policy, desired},
};

use super::lab::{Container, PARENT, ip_batch, on_host};

#[test]
fn one_address_more_is_heard_of_read_and_decided_in_the_time_of_its_netns() {
    const NETNSES: usize = 100;
    const CHILDREN: usize = 10;
    on_host(async |mut lab| {
        let containers: Vec<_> = (0..NETNSES).map(|_| Container::new()).collect();
        for (number, container) in containers.iter().enumerate() {
            ip_batch((0..CHILDREN).map(|child| container.child(&format!("c{child}"))));
            let add = |child| format!("addr add 10.{number}.{child}.1/24 dev c{child}");
            container.ip_batch((0..CHILDREN).map(add));
        }
        let started = Instant::now();
        let mut snapshot = lab.everything();
        println!(
            "a snapshot of {NETNSES} x {CHILDREN} children: {:?}",
            started.elapsed()
        );
        assert_eq!(snapshot.children.len(), NETNSES * CHILDREN);
        let link = snapshot.link_named(PARENT).unwrap().clone();
        let (policy, none) = (Policy::default(), BTreeMap::new());
        let mut decided = desired(&snapshot, &link, &policy, &none);
        lab.settle().await;
        let mut times = Vec::new();
        for (number, container) in containers.iter().enumerate() {
            container.ip(&format!("addr add 10.{number}.200.1/24 dev c1"));
            // Of what other tests do on this machine nothing else is waited for.
            let started = Instant::now();
            let wake = lab.watch.wake().await.unwrap();
            let dirty = lab.discover.dirty(&snapshot, &wake);
            let renewed = lab.discover.renew(&mut snapshot, &dirty.parts, None);
            if let Changed::Children(netnses) = renewed.unwrap().changed {
                let (history, none) = (History::default(), BTreeMap::new());
                decided.revise(&history, &snapshot, &link, &policy, &netnses, &none);
            }
            times.push(started.elapsed());
        }
        times.sort();
        let (median, slowest) = (times[times.len() / 2], times[times.len() - 1]);
        println!(
            "{NETNSES} netns x {CHILDREN} children, one address more: median {median:?}, slowest {slowest:?}"
        );
        let held = snapshot.children.iter().flat_map(|child| &child.addresses);
        let v4 = held.filter(|it| it.local.is_ipv4()).count();
        assert_eq!(v4, NETNSES * (CHILDREN + 1));
    });
}

/// Empty maps for so many addresses of each family.
fn empty_maps(max_addresses: u32) -> Installed {
    assert!(!OBJECT.is_empty(), "built without the eBPF object");
    let mut loader = EbpfLoader::new();
    for name in [maps::ADDRESSES_V4, maps::ADDRESSES_V6] {
        loader.map_max_entries(name, max_addresses);
    }
    let mut object = loader.load(OBJECT).unwrap();
    Installed::new(Maps::take(&mut object).unwrap(), 16)
}

#[test]
fn a_cold_sync_of_65_536_addresses_takes_less_than_six_seconds() {
    const NETNSES: usize = 64;
    const EACH: usize = 1024;
    on_host(async |mut lab| {
        let containers = (0..NETNSES).map(|number| {
            let container = Container::new();
            container.create_child("c0");
            let add = |address| {
                let (high, low) = (address / 256, address % 256);
                format!("addr add 10.{number}.{high}.{low}/32 dev c0")
            };
            container.ip_batch((0..EACH).map(add));
            container
        });
        let _containers: Vec<_> = containers.collect();
        let mut fastest = Duration::MAX;
        for _ in 0..5 {
            let mut installed = empty_maps((2 * NETNSES * EACH).try_into().unwrap());
            let start = Instant::now();
            let snapshot = lab.everything();
            let read = start.elapsed();
            let link = snapshot.link_named(PARENT).unwrap();
            let decided = desired(&snapshot, link, &Policy::default(), &BTreeMap::new());
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
