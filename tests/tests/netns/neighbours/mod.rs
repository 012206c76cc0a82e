//! What is sent on the LAN for children, seen from the LAN: announcements, probes, groups, defence.
//!
//! This kernel need not have ipvlan: the addresses of a child are put where the agent would put
//! them. Programs, sockets and the stations on the LAN are real.

mod dad;
mod groups;
mod rig;
mod stations;

use std::{
    net::{IpAddr, Ipv6Addr},
    time::{Duration, Instant},
};

use ipvlan_packet::{Arp, Mac, Nd, nd};
use ipvlan_tests::netns::colons;
use ipvlan_user::lan::{
    Announcing, DadMode, Defending, LanPolicy,
    incidents::{Action, Kind},
};

use crate::common::{LAN, PARENT, Topology};

use self::{
    rig::Rig,
    stations::{Sender, announcement, capture},
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
const OPTIMISTIC: LanPolicy = LanPolicy {
    dad: DadMode::Optimistic,
    ..ANNOUNCING
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
fn silence_is_kept_and_broken_while_the_agent_runs() {
    let net = Topology::new();
    let mut rig = Rig::new(&net, SILENT);
    let gratuitous = announcement(net.mac(), V4);
    rig.update(&[V4]);
    let start = Instant::now();
    // What is switched on, and how often the address is announced then.
    for (policy, expected) in [(SILENT, 0), (ANNOUNCING, 3), (ANNOUNCING, 0), (SILENT, 0)] {
        let capture = capture(&net);
        rig.set_policy(policy);
        rig.run(SECOND * 3);
        let found = capture.stop_and_find(&[&gratuitous], start);
        assert_eq!(found[0].len(), expected, "{policy:?}: {found:?}");
        assert_eq!(rig.next_due(), None);
    }
}

#[test]
fn neighbours_learn_a_new_mac_within_a_second() {
    let net = Topology::new();
    let mut rig = Rig::new(&net, ANNOUNCING);
    rig.update(&[V4, V6]);
    rig.run(SECOND * 3);
    let old = colons(net.mac());
    for address in [V4, V6] {
        net.on_lan(&format!(
            "neigh replace {address} lladdr {old} dev {LAN} nud reachable"
        ));
    }
    let new = "02:00:00:00:34:56";
    net.on_host(&format!("link set {PARENT} address {new}"));
    let changed = Instant::now();
    rig.update(&[V4, V6]);
    rig.run_until(SECOND, "both learned", |_| {
        let knows = |address| {
            net.lan
                .neighbour_entry(LAN, ip(address))
                .unwrap()
                .contains(new)
        };
        knows(V4) && knows(V6)
    });
    println!("neighbours know the new MAC after {:?}", changed.elapsed());
}

#[test]
fn a_claimed_address_is_defended_once_after_a_moment_unless_silent() {
    for (policy, defended, action) in [(ANNOUNCING, 1, Action::Defended), (SILENT, 0, Action::None)]
    {
        let net = Topology::new();
        let mut rig = Rig::new(&net, policy);
        rig.update(&[V4, V6]);
        rig.run(SECOND * 3);
        let (capture, station) = (capture(&net), Sender::new(&net));
        for _ in 0..20 {
            for address in [V4, V6] {
                station.claims(FOREIGN, address);
            }
            rig.run(SECOND / 10);
        }
        rig.run(SECOND * 3 / 2);
        let [v4, v6] = [V4, V6].map(|address| announcement(net.mac(), address));
        for times in capture.stop_and_find(&[&v4, &v6], Instant::now()) {
            assert_eq!(times.len(), defended);
        }
        for address in [V4, V6] {
            let mut entries: Vec<_> = rig.incidents().collect();
            entries.retain(|entry| entry.incident.address == Some(ip(address)));
            let [entry] = &entries[..] else {
                panic!("{entries:?}");
            };
            assert_eq!(entry.incident.kind, Kind::Claim);
            assert_eq!(entry.incident.mac, Some(FOREIGN));
            assert_eq!(entry.incident.action, action);
            // The programs report eight of a station at once, then one a second; two addresses share.
            assert!((3..=10).contains(&entry.times), "{entry:?}");
        }
        assert_eq!(rig.next_due(), None);
    }
}

#[test]
fn a_station_that_probes_for_a_childs_address_is_answered_and_told() {
    let net = Topology::new();
    let mut rig = Rig::new(&net, SILENT);
    rig.update(&[V4, V6]);
    let capture = capture(&net);
    Sender::new(&net).probes(FOREIGN, V4);
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
