//! How long a first sync takes; run with `--nocapture` to see.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use aya::EbpfLoader;
use ipvlan_common::maps;
use ipvlan_user::{
    OBJECT,
    maps::{Maps, apply::Installed},
    model::{Policy, desired},
};

use super::lab::{Container, PARENT, on_host};

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
