//! What is said on the LAN for children, seen from the LAN: announcements, probes, groups, defence.
//!
//! This kernel need not have ipvlan: the addresses of a child are put where the agent would put
//! them. Programs, sockets and the stations on the LAN are real.

mod capture;
mod dad;
mod groups;
mod rig;
mod station;

use std::{
    net::IpAddr,
    process::Command,
    time::{Duration, Instant},
};

use ipvlan_tests::probe::packet::PacketSocket;
use ipvlan_user::lan::{
    Announcing, DadMode, Defending, LanPolicy, frame,
    incidents::{Action, Kind},
};

use crate::common::{
    World,
    world::{LAN, PARENT},
};

use self::{
    capture::{Capture, ETH_P_ARP, ETH_P_IPV6, Said},
    rig::Rig,
};

const V4: &str = "192.0.2.7";
const OTHER_V4: &str = "192.0.2.8";
const V6: &str = "2001:db8::7";
const OTHER_V6: &str = "2001:db8::8";
const SECOND: Duration = Duration::from_secs(1);

const SILENT: LanPolicy = LanPolicy {
    announce: Announcing::Off,
    defend: Defending::On,
    refresh: None,
    dad: DadMode::Off,
    rate: 1000,
};
const ANNOUNCING: LanPolicy = LanPolicy {
    announce: Announcing::On,
    defend: Defending::On,
    refresh: None,
    dad: DadMode::Off,
    rate: 1000,
};

fn ip(address: &str) -> IpAddr {
    address.parse().unwrap()
}

/// When `said` was heard, in seconds since `start`.
fn times(heard: &[(Instant, Said)], said: &Said, start: Instant) -> Vec<f64> {
    heard
        .iter()
        .filter(|(_, heard)| heard == said)
        .map(|(at, _)| at.duration_since(start).as_secs_f64())
        .collect()
}

#[test]
fn new_addresses_are_announced_three_times_on_the_wire() {
    let world = World::new();
    let mut rig = Rig::new(&world, ANNOUNCING);
    let mac = world.host.hardware_address(PARENT).unwrap();
    let arp = Capture::start(&world.lan, LAN, ETH_P_ARP);
    let nd = Capture::start(&world.lan, LAN, ETH_P_IPV6);
    let start = Instant::now();
    rig.update(&[V4, V6, "fe80::7"]);
    rig.run(SECOND * 3);
    assert_eq!(rig.next_due(), None, "idle after the last");
    let mut heard = arp.stop();
    heard.extend(nd.stop());
    let nodes = |address| Said::Advertisement {
        mac,
        target: ip(address),
        to: ip("ff02::1"),
        overrides: true,
    };
    let routers = Said::Advertisement {
        mac,
        target: ip(V6),
        to: ip("ff02::2"),
        overrides: false,
    };
    let gratuitous = Said::Gratuitous {
        mac,
        address: ip(V4),
    };
    for said in [gratuitous, nodes(V6), nodes("fe80::7"), routers] {
        let times = times(&heard, &said, start);
        assert_eq!(times.len(), 3, "{said:?}: {times:?}");
        assert!(times[0] < 0.5, "{said:?}: {times:?}");
        for pair in times.windows(2) {
            let gap = pair[1] - pair[0];
            assert!((0.95..1.5).contains(&gap), "{said:?}: {times:?}");
        }
    }
}

#[test]
fn silence_is_kept_and_broken_while_the_agent_runs() {
    let world = World::new();
    let mut rig = Rig::new(&world, SILENT);
    let mac = world.host.hardware_address(PARENT).unwrap();
    let gratuitous = Said::Gratuitous {
        mac,
        address: ip(V4),
    };
    rig.update(&[V4]);
    let start = Instant::now();
    // What is switched on, and how often the address is announced then.
    for (policy, expected) in [(SILENT, 0), (ANNOUNCING, 3), (ANNOUNCING, 0), (SILENT, 0)] {
        let capture = Capture::start(&world.lan, LAN, ETH_P_ARP);
        rig.set_policy(policy);
        rig.run(SECOND * 3);
        let heard = times(&capture.stop(), &gratuitous, start);
        assert_eq!(heard.len(), expected, "{policy:?}: {heard:?}");
        assert_eq!(rig.next_due(), None);
    }
}

#[test]
fn neighbours_learn_a_new_mac_within_a_second() {
    let world = World::new();
    let mut rig = Rig::new(&world, ANNOUNCING);
    rig.update(&[V4, V6]);
    rig.run(SECOND * 3);
    let old = world.host.hardware_address(PARENT).unwrap();
    let text = |mac: [u8; 6]| mac.map(|byte| format!("{byte:02x}")).join(":");
    for address in [V4, V6] {
        world.on_lan(&format!(
            "neigh replace {address} lladdr {} dev {LAN} nud reachable",
            text(old)
        ));
    }
    let new = [0x02, 0, 0, 0, 0x34, 0x56];
    world.on_host(&format!("link set {PARENT} address {}", text(new)));
    let changed = Instant::now();
    rig.update(&[V4, V6]);
    rig.run_until(SECOND, "both learned", |_| {
        let shown = world
            .lan
            .command(Command::new("ip").args(["neigh", "show", "dev", LAN]), "")
            .unwrap();
        [V4, V6].iter().all(|address| {
            shown
                .lines()
                .any(|line| line.starts_with(address) && line.contains(&text(new)))
        })
    });
    println!("neighbours know the new MAC after {:?}", changed.elapsed());
}

#[test]
fn a_claimed_address_is_defended_once_after_a_moment_unless_silent() {
    for (policy, defended) in [(ANNOUNCING, 1), (SILENT, 0)] {
        let world = World::new();
        let mut rig = Rig::new(&world, policy);
        let mac = world.host.hardware_address(PARENT).unwrap();
        rig.update(&[V4, V6]);
        rig.run(SECOND * 3);
        let arp = Capture::start(&world.lan, LAN, ETH_P_ARP);
        let nd = Capture::start(&world.lan, LAN, ETH_P_IPV6);
        let foreign = [0x02, 0, 0, 0, 0, 0x66];
        let station = world.lan.run(|| PacketSocket::open(LAN, 0)).unwrap();
        for _ in 0..20 {
            for address in [V4, V6] {
                let claim = frame::announcement(foreign, ip(address), false, false);
                station.send(&claim).unwrap();
            }
            rig.run(SECOND / 10);
        }
        rig.run(SECOND * 3 / 2);
        let mut heard = arp.stop();
        heard.extend(nd.stop());
        let gratuitous = Said::Gratuitous {
            mac,
            address: ip(V4),
        };
        let advertisement = Said::Advertisement {
            mac,
            target: ip(V6),
            to: ip("ff02::1"),
            overrides: true,
        };
        for said in [gratuitous, advertisement] {
            let count = heard.iter().filter(|(_, heard)| *heard == said).count();
            assert_eq!(count, defended, "{said:?}");
        }
        for address in [V4, V6] {
            let entries: Vec<_> = rig
                .incidents()
                .filter(|entry| entry.incident.address == Some(ip(address)))
                .collect();
            let [entry] = &entries[..] else {
                panic!("{entries:?}");
            };
            assert_eq!(entry.incident.kind, Kind::Claim);
            assert_eq!(entry.incident.mac, Some(foreign));
            let action = if defended > 0 {
                Action::Defended
            } else {
                Action::None
            };
            assert_eq!(entry.incident.action, action);
            // The programs tell eight of a station at once, then one a second; two addresses share.
            assert!((3..=10).contains(&entry.times), "{entry:?}");
        }
        assert_eq!(rig.next_due(), None);
    }
}

#[test]
fn a_station_that_probes_for_a_childs_address_is_answered_and_told() {
    let world = World::new();
    let mut rig = Rig::new(&world, SILENT);
    rig.update(&[V4, V6]);
    let mac = world.host.hardware_address(PARENT).unwrap();
    let arp = Capture::start(&world.lan, LAN, ETH_P_ARP);
    let station = world.lan.run(|| PacketSocket::open(LAN, 0)).unwrap();
    let foreign = [0x02, 0, 0, 0, 0, 0x66];
    station
        .send(&frame::probe(foreign, ip(V4), [0; 6]))
        .unwrap();
    // The station's own kernel, with its own duplicate address detection.
    world.on_lan(&format!("address add {V6}/64 dev {LAN}"));
    rig.run_until(SECOND * 5, "both reported", |rig| {
        rig.incidents().count() == 2
    });
    for entry in rig.incidents() {
        assert_eq!(entry.incident.kind, Kind::Probe);
        assert_eq!(entry.incident.action, Action::Answered);
    }
    let shown = world
        .lan
        .command(Command::new("ip").args(["address", "show", "dev", LAN]), "")
        .unwrap();
    let line = shown.lines().find(|line| line.contains(V6)).unwrap();
    assert!(line.contains("dadfailed"), "{shown}");
    let reply = Said::Reply {
        mac,
        address: ip(V4),
    };
    assert!(arp.stop().iter().any(|(_, said)| *said == reply));
}
