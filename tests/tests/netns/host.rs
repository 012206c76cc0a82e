//! The host's own neighbour entries follow what is answered, and no other entry changes.

use std::{
    net::IpAddr,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use ipvlan_tests::{netns::colons, probe::ping::ping};
use ipvlan_user::lan::host_table::HostTable;
use nix::net::if_::if_nametoindex;

use crate::common::{LAN_IP, PARENT, PATIENCE, Topology, wait_until};

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 7];
/// Waited for, and answered.
const OURS: [&str; 2] = ["192.0.2.101", "2001:db8:2::101"];
/// Waited for, and unowned.
const UNOWNED: &str = "192.0.2.102";
/// Answered, with the MAC of a station that is gone.
const MOVED: [&str; 2] = ["192.0.2.104", "2001:db8:2::104"];
const GONE: &str = "02:00:00:00:00:98";
/// Answered, and entered by hand with another MAC.
const BY_HAND: &str = "192.0.2.103";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn entries_follow_what_is_answered_and_every_other_entry_stays() {
    let net = Topology::new();
    let pings = |address: IpAddr, patience| {
        let ping = || ping(None, address, patience);
        net.host.run(ping).unwrap()
    };
    // The host's entry for an address, without the address itself.
    let entry = |address: &str| {
        let mut show = Command::new("ip");
        show.args(["neigh", "show", "to", address, "dev", PARENT]);
        let entry = net.host.command(&mut show, "").unwrap();
        let entry = entry.trim().strip_prefix(address).unwrap_or_default();
        entry.trim().to_owned()
    };
    net.on_host(&format!(
        "neigh add {BY_HAND} lladdr 02:00:00:00:00:99 dev {PARENT} nud permanent"
    ));
    assert!(pings(LAN_IP.into(), PATIENCE));
    let lan_ip = LAN_IP.to_string();
    let lladdr = || entry(&lan_ip).split(' ').nth(1).unwrap().to_owned();
    let known = lladdr();
    let open = || Ok(HostTable::open(if_nametoindex(PARENT)?)?);
    let mut host = net.host.run(open).unwrap();
    for address in [OURS[0], OURS[1], UNOWNED] {
        assert!(!pings(ip(address), Duration::from_millis(50)), "{address}");
        assert!(entry(address).ends_with("INCOMPLETE"), "{address}");
    }
    for address in MOVED {
        net.on_host(&format!(
            "neigh add {address} lladdr {GONE} dev {PARENT} nud stale"
        ));
    }
    let others_stay = || {
        assert!(entry(BY_HAND).contains("02:00:00:00:00:99 PERMANENT"));
        assert_eq!(lladdr(), known);
    };
    let is_answered = |address: &str| {
        let entry = entry(address);
        assert!(
            entry.contains(&format!("lladdr {} ", colons(MAC))),
            "{entry}"
        );
        entry
    };

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
        let entry = is_answered(address);
        assert_eq!(entry.contains("router"), ip(address).is_ipv6(), "{entry}");
    }
    assert!(entry(UNOWNED).ends_with("INCOMPLETE"));
    others_stay();
    for address in MOVED {
        let entry = entry(address);
        assert!(entry.contains(GONE) && entry.ends_with("PROBE"), "{entry}");
    }
    thread::sleep(due.unwrap().saturating_duration_since(Instant::now()));
    let replaced = update(&is_router);
    assert_eq!(replaced, (MOVED.len(), None), "the station is alive");
    for address in MOVED {
        is_answered(address);
    }
    others_stay();
    assert_eq!(update(&is_router), (0, None), "nothing changed");
    let all = OURS.len() + MOVED.len();
    assert_eq!(update(&|_| None), (all, None), "all moved away");
    for address in OURS.iter().chain(&MOVED) {
        let entry = entry(address);
        assert!(entry.is_empty() || entry.ends_with("FAILED"), "{entry}");
    }
    others_stay();
    let has_failed = |entry: &String| entry.ends_with("FAILED") || entry.is_empty();
    wait_until(
        PATIENCE,
        "an unowned one fails",
        || entry(UNOWNED),
        has_failed,
    );
}
