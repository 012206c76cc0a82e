//! The host's own neighbour table is told what it waits for, and nothing else.

use std::{net::IpAddr, time::Duration};

use ipvlan_tests::probe::ping::ping;
use ipvlan_user::neighbour::host::HostNeighbours;
use nix::net::if_::if_nametoindex;

use crate::common::{
    PATIENCE, World, wait_until,
    world::{LAN_IP, PARENT},
};

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 7];
const MAC_TEXT: &str = "02:00:00:00:00:07";
/// Waited for, and ours.
const OURS: [&str; 2] = ["192.0.2.101", "2001:db8:2::101"];
/// Waited for, and nobody's.
const FOREIGN: &str = "192.0.2.102";
/// Ours, and entered by hand with another MAC.
const BY_HAND: &str = "192.0.2.103";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// The host's entry for `address`, as `ip neigh` shows it.
fn entry(world: &World, address: &str) -> String {
    let shown = world
        .host
        .command(
            std::process::Command::new("ip").args(["neigh", "show", "dev", PARENT]),
            "",
        )
        .unwrap();
    let mut lines = shown.lines();
    let line = lines.find(|line| line.split_whitespace().next() == Some(address));
    line.unwrap_or_default().trim().to_owned()
}

#[test]
fn who_is_waited_for_is_told_and_every_other_entry_stays() {
    let world = World::new();
    world.on_host(&format!(
        "neigh add {BY_HAND} lladdr 02:00:00:00:00:99 dev {PARENT} nud permanent"
    ));
    assert!(world.host.run(|| ping(None, LAN_IP, PATIENCE)).unwrap());
    let known = entry(&world, &LAN_IP.to_string());
    let mut host = world
        .host
        .run(|| Ok(HostNeighbours::open(if_nametoindex(PARENT)?)?))
        .unwrap();
    for address in [OURS[0], OURS[1], FOREIGN] {
        let reached = world
            .host
            .run(|| ping(None, ip(address), Duration::from_millis(50)));
        assert!(!reached.unwrap(), "{address}");
        assert!(entry(&world, address).ends_with("INCOMPLETE"), "{address}");
    }

    let ours = [OURS[0], OURS[1], BY_HAND, &LAN_IP.to_string()].map(ip);
    let is_router = |address: IpAddr| ours.contains(&address).then_some(address.is_ipv6());
    assert_eq!(host.resolve(MAC, is_router).unwrap(), OURS.len());

    for address in OURS {
        let entry = entry(&world, address);
        assert!(entry.contains(&format!("lladdr {MAC_TEXT} ")), "{entry}");
        assert_eq!(entry.contains("router"), ip(address).is_ipv6(), "{entry}");
    }
    assert!(entry(&world, FOREIGN).ends_with("INCOMPLETE"));
    assert!(entry(&world, BY_HAND).contains("02:00:00:00:00:99 PERMANENT"));
    let lladdr = |line: &str| line.split(' ').nth(2).unwrap().to_owned();
    assert_eq!(lladdr(&entry(&world, &LAN_IP.to_string())), lladdr(&known));
    assert_eq!(host.resolve(MAC, is_router).unwrap(), 0, "nobody waits");
    wait_until(
        PATIENCE,
        "what was not told fails as ever",
        || entry(&world, FOREIGN),
        |entry| entry.ends_with("FAILED") || entry.is_empty(),
    );
}
