//! The host's own neighbour entries follow what is answered, and no other entry changes.

use std::{
    net::IpAddr,
    thread,
    time::{Duration, Instant},
};

use ipvlan_tests::probe::ping::ping;
use ipvlan_user::lan::host_table::HostTable;
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
/// Ours, with the MAC of a station that is gone.
const MOVED: [&str; 2] = ["192.0.2.104", "2001:db8:2::104"];
const GONE: &str = "02:00:00:00:00:98";
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
fn entries_follow_what_is_answered_and_every_other_entry_stays() {
    let world = World::new();
    world.on_host(&format!(
        "neigh add {BY_HAND} lladdr 02:00:00:00:00:99 dev {PARENT} nud permanent"
    ));
    assert!(world.host.run(|| ping(None, LAN_IP, PATIENCE)).unwrap());
    let known = entry(&world, &LAN_IP.to_string());
    let mut host = world
        .host
        .run(|| Ok(HostTable::open(if_nametoindex(PARENT)?)?))
        .unwrap();
    for address in [OURS[0], OURS[1], FOREIGN] {
        let reached = world
            .host
            .run(|| ping(None, ip(address), Duration::from_millis(50)));
        assert!(!reached.unwrap(), "{address}");
        assert!(entry(&world, address).ends_with("INCOMPLETE"), "{address}");
    }

    for address in MOVED {
        world.on_host(&format!(
            "neigh add {address} lladdr {GONE} dev {PARENT} nud stale"
        ));
    }

    let lan_ip = LAN_IP.to_string();
    let ours = [OURS[0], OURS[1], MOVED[0], MOVED[1], BY_HAND, &lan_ip].map(ip);
    let is_router = |address: IpAddr| ours.contains(&address).then_some(address.is_ipv6());
    let mut update = |answered: &dyn Fn(IpAddr) -> Option<bool>| {
        let changed = host.update(Instant::now(), MAC, answered, &|_| false);
        (changed.unwrap(), host.next_due())
    };
    // Those that are waited for, and a probe of each former MAC and of the live station.
    let (changed, due) = update(&is_router);
    assert_eq!(changed, OURS.len() + MOVED.len() + 1);

    for address in OURS {
        let entry = entry(&world, address);
        assert!(entry.contains(&format!("lladdr {MAC_TEXT} ")), "{entry}");
        assert_eq!(entry.contains("router"), ip(address).is_ipv6(), "{entry}");
    }
    assert!(entry(&world, FOREIGN).ends_with("INCOMPLETE"));
    assert!(entry(&world, BY_HAND).contains("02:00:00:00:00:99 PERMANENT"));
    let lladdr = |line: &str| line.split(' ').nth(2).unwrap().to_owned();
    assert_eq!(lladdr(&entry(&world, &LAN_IP.to_string())), lladdr(&known));
    for address in MOVED {
        let entry = entry(&world, address);
        assert!(entry.contains(GONE) && entry.ends_with("PROBE"), "{entry}");
    }
    thread::sleep(due.unwrap().saturating_duration_since(Instant::now()));
    assert_eq!(
        update(&is_router),
        (MOVED.len(), None),
        "the station is alive"
    );
    for address in MOVED {
        let entry = entry(&world, address);
        assert!(entry.contains(&format!("lladdr {MAC_TEXT} ")), "{entry}");
    }
    assert_eq!(lladdr(&entry(&world, &lan_ip)), lladdr(&known));
    assert_eq!(update(&is_router), (0, None), "nothing changed");
    assert_eq!(
        update(&|_| None),
        (OURS.len() + MOVED.len(), None),
        "all moved away"
    );
    for address in OURS.iter().chain(&MOVED) {
        let entry = entry(&world, address);
        assert!(entry.is_empty() || entry.ends_with("FAILED"), "{entry}");
    }
    assert!(entry(&world, BY_HAND).contains("02:00:00:00:00:99 PERMANENT"));
    assert_eq!(lladdr(&entry(&world, &lan_ip)), lladdr(&known));
    wait_until(
        PATIENCE,
        "what was not told fails as ever",
        || entry(&world, FOREIGN),
        |entry| entry.ends_with("FAILED") || entry.is_empty(),
    );
}
