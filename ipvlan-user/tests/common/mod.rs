//! What tests of more than one binary need.

#![allow(
    clippy::expect_used,
    reason = "a test panics when its surroundings fail it"
)]

use aya::EbpfLoader;
use ipvlan_common::maps;
use ipvlan_user::{
    OBJECT,
    maps::{Maps, apply::Installed},
};

/// The maps of a parent that no agent has served, with room for so many addresses of each family.
pub(crate) fn installed(max_addresses: u32) -> Installed {
    Installed::new(empty_maps(max_addresses), 16)
}

/// These maps.
pub(crate) fn empty_maps(max_addresses: u32) -> Maps {
    assert!(!OBJECT.is_empty(), "built without the eBPF object");
    let mut object = EbpfLoader::new()
        .map_max_entries(maps::ADDRESSES_V4, max_addresses)
        .map_max_entries(maps::ADDRESSES_V6, max_addresses)
        .load(OBJECT)
        .expect("load the maps");
    Maps::take(&mut object).expect("all maps")
}
