//! What is sent on the LAN for children, seen from the LAN: announcements, probes, groups, defence.
//!
//! This kernel need not have ipvlan: the addresses of a child are put where the agent would put
//! them. Programs, sockets and the stations on the LAN are real.

mod groups;
mod rig;
mod stations;

use std::{
    net::{IpAddr, Ipv6Addr},
    time::{Duration, Instant},
};

use ipvlan_common::Reason;
use ipvlan_packet::{Arp, Mac, Nd, nd};
use ipvlan_user::lan::{
    Announcing, DadMode, Defending, LanPolicy,
    incidents::{Action, Kind},
};

use crate::common::{LAN, Topology};

use self::{
    rig::Rig,
    stations::{announcement, capture, send_probe},
};

const V4: &str = "192.0.2.7";
const OTHER_V4: &str = "192.0.2.8";
const V6: &str = "2001:db8::7";
const OTHER_V6: &str = "2001:db8::8";
const SECOND: Duration = Duration::from_secs(1);
/// The MAC of another station.
const FOREIGN: Mac = [0x02, 0, 0, 0, 0, 0x66];

const SILENT: LanPolicy = LanPolicy {
    announce: Announcing::Off,
    defend: Defending::On,
    refresh: None,
    dad: DadMode::Off,
    rate: 1000,
};
const ANNOUNCING: LanPolicy = LanPolicy {
    announce: Announcing::On,
    ..SILENT
};
const STRICT: LanPolicy = LanPolicy {
    dad: DadMode::Strict,
    ..ANNOUNCING
};

fn ip(address: &str) -> IpAddr {
    address.parse().unwrap()
}

#[test]
fn new_addresses_are_announced_three_times_on_the_wire() {
    let net = Topology::new();
    let mut rig = Rig::new(&net, ANNOUNCING);
    let mac = net.mac();
    let capture = capture(&net);
    let start = Instant::now();
    rig.update(&[V4, V6, "fe80::7"]);
    rig.run(SECOND * 3);
    assert_eq!(rig.next_due(), None, "idle after the last");
    let dst = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
    let to_routers = Nd {
        eth_dst: nd::group_mac(dst),
        dst,
        flags: [0; 4],
        ..Nd::announcement(mac, V6.parse().unwrap())
    }
    .frame();
    let to_all = [V4, V6, "fe80::7"].map(|address| announcement(mac, address));
    let [v4, v6, link_local] = to_all.each_ref().map(Vec::as_slice);
    let found = capture.stop_and_find(&[v4, v6, link_local, &to_routers], start);
    for times in &found {
        assert_eq!(times.len(), 3, "{found:?}");
        assert!(times[0] < 0.5, "{found:?}");
        for pair in times.windows(2) {
            let gap = pair[1] - pair[0];
            assert!((0.95..1.5).contains(&gap), "{found:?}");
        }
    }
}

#[test]
fn a_station_that_probes_for_a_childs_address_is_answered_and_reported() {
    let net = Topology::new();
    let mut rig = Rig::new(&net, SILENT);
    rig.update(&[V4, V6]);
    let capture = capture(&net);
    send_probe(&net, FOREIGN, V4.parse().unwrap());
    // The station's own kernel, with its own duplicate address detection.
    net.on_lan(&format!("address add {V6}/64 dev {LAN}"));
    rig.run_until(SECOND * 5, "both reported", |rig| {
        rig.incidents().count() == 2
    });
    for entry in rig.incidents() {
        assert_eq!(entry.incident.kind, Kind::Probe);
        assert_eq!(entry.incident.action, Action::Answered);
    }
    let mut show = std::process::Command::new("ip");
    let shown = net
        .lan
        .command(show.args(["address", "show", "dev", LAN]), "");
    let shown = shown.unwrap();
    let line = shown.lines().find(|line| line.contains(V6)).unwrap();
    assert!(line.contains("dadfailed"), "{shown}");
    let replies = capture.stop().into_iter().filter_map(|(_, frame)| {
        let reply = Arp::parse(&frame)?;
        Some((reply.oper, reply.sha, IpAddr::from(reply.spa)))
    });
    let reply = (2, net.mac(), ip(V4));
    assert!(replies.into_iter().any(|seen| seen == reply));
}

/// `ip address VERB` of an address on the LAN.
fn on_lan(net: &Topology, verb: &str, address: &str) {
    let length = if ip(address).is_ipv4() { 24 } else { 64 };
    net.on_lan(&format!(
        "address {verb} {address}/{length} dev {LAN} nodad"
    ));
}

#[test]
fn strict_answers_what_is_free_and_what_becomes_free_later() {
    let net = Topology::new();
    // A station has two of the addresses.
    let (held, free) = ([V4, V6], [OTHER_V4, OTHER_V6]);
    for address in held {
        on_lan(&net, "add", address);
    }
    let mut rig = Rig::new(&net, STRICT);
    let station = net.lan.hardware_address(LAN).unwrap();
    let (capture, start) = (capture(&net), Instant::now());
    rig.update(&[V4, V6, OTHER_V4, OTHER_V6]);
    for address in [V4, V6, OTHER_V4, OTHER_V6] {
        assert_eq!(rig.refusal(address), Some(Reason::Probing));
        assert!(!rig.answers(address));
    }
    rig.run(SECOND * 8);
    for address in held {
        assert_eq!(rig.refusal(address), Some(Reason::Duplicate), "{address}");
        assert!(rig.duplicates().contains(&(ip(address), station)));
    }
    for address in free {
        assert_eq!(rig.refusal(address), None, "{address}");
        assert!(rig.answers(address), "{address}");
    }
    // Announced only what is free.
    let [of_free, of_held] = [OTHER_V4, V4].map(|address| announcement(net.mac(), address));
    let found = capture.stop_and_find(&[&of_free, &of_held], start);
    assert!(!found[0].is_empty() && found[1].is_empty(), "{found:?}");
    let is_withheld = |address| {
        rig.incidents().any(|entry| {
            entry.incident.action == Action::Withheld && entry.incident.address == Some(ip(address))
        })
    };
    assert!(held.into_iter().all(is_withheld));

    // The station gives them up: within a retry and a check they are answered.
    for address in held {
        on_lan(&net, "del", address);
    }
    rig.run_until(SECOND * 20, "healed", |rig| {
        held.iter().all(|address| rig.refusal(address).is_none())
    });
    assert!(held.iter().all(|address| rig.answers(address)));
    assert_eq!(rig.duplicates(), []);
}
