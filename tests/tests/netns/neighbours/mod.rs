//! What is said on the LAN for children, seen from the LAN: announcements, probes, groups, defence.
//!
//! This kernel need not have ipvlan: the addresses of a child are put where the agent would put
//! them. Programs, sockets and the stations on the LAN are real.

mod capture;
mod groups;
mod rig;
mod station;

use std::{
    net::IpAddr,
    process::Command,
    time::{Duration, Instant},
};

use ipvlan_common::Reason;
use ipvlan_tests::probe::packet::PacketSocket;
use ipvlan_user::neighbour::{
    Announcing, DadMode, Manners, frame,
    log::{Action, Kind},
};

use crate::common::{
    World,
    world::{LAN, PARENT},
};

use self::{
    capture::{Capture, ETH_P_ARP, ETH_P_IPV6, Said},
    rig::Rig,
    station::AnswersForAll,
};

const V4: &str = "192.0.2.7";
const OTHER_V4: &str = "192.0.2.8";
const V6: &str = "2001:db8::7";
const OTHER_V6: &str = "2001:db8::8";
const SECOND: Duration = Duration::from_secs(1);

const SILENT: Manners = Manners {
    announce: Announcing::Off,
    dad: DadMode::Off,
    rate: 1000,
};
const ANNOUNCING: Manners = Manners {
    announce: Announcing::On,
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
    rig.follow(&[V4, V6, "fe80::7"]);
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
    rig.follow(&[V4]);
    let start = Instant::now();
    // What is switched on, and how often the address is announced then.
    for (manners, expected) in [(SILENT, 0), (ANNOUNCING, 3), (ANNOUNCING, 0), (SILENT, 0)] {
        let capture = Capture::start(&world.lan, LAN, ETH_P_ARP);
        rig.behave(manners);
        rig.run(SECOND * 3);
        let heard = times(&capture.stop(), &gratuitous, start);
        assert_eq!(heard.len(), expected, "{manners:?}: {heard:?}");
        assert_eq!(rig.next_due(), None);
    }
}

#[test]
fn neighbours_learn_a_new_mac_within_a_second() {
    let world = World::new();
    let mut rig = Rig::new(&world, ANNOUNCING);
    rig.follow(&[V4, V6]);
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
    rig.follow(&[V4, V6]);
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
fn a_claimed_address_is_defended_once_in_ten_seconds_unless_silent() {
    for (manners, defended) in [(ANNOUNCING, 1), (SILENT, 0)] {
        let world = World::new();
        let mut rig = Rig::new(&world, manners);
        let mac = world.host.hardware_address(PARENT).unwrap();
        rig.follow(&[V4, V6]);
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
                .log()
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
fn strict_answers_what_is_free_and_what_becomes_free_later() {
    let world = World::new();
    // A station has two of the addresses.
    for (address, length) in [(V4, 24), (V6, 64)] {
        world.on_lan(&format!("address add {address}/{length} dev {LAN} nodad"));
    }
    let mut rig = Rig::new(
        &world,
        Manners {
            announce: Announcing::On,
            dad: DadMode::Strict,
            rate: 1000,
        },
    );
    let mac = world.host.hardware_address(PARENT).unwrap();
    let station = world.lan.hardware_address(LAN).unwrap();
    let capture = Capture::start(&world.lan, LAN, ETH_P_ARP);
    rig.follow(&[V4, V6, OTHER_V4, OTHER_V6]);
    for address in [V4, V6, OTHER_V4, OTHER_V6] {
        assert_eq!(rig.refusal(address), Some(Reason::Probing));
        assert!(!rig.answers(address));
    }
    rig.run(SECOND * 8);
    for address in [V4, V6] {
        assert_eq!(rig.refusal(address), Some(Reason::Duplicate), "{address}");
        assert!(rig.taken().any(|of| of == (ip(address), station)));
    }
    for address in [OTHER_V4, OTHER_V6] {
        assert_eq!(rig.refusal(address), None, "{address}");
        assert!(rig.answers(address), "{address}");
    }
    // Announced only what is free.
    let heard = capture.stop();
    let gratuitous = |address| Said::Gratuitous {
        mac,
        address: ip(address),
    };
    assert!(heard.iter().any(|(_, said)| *said == gratuitous(OTHER_V4)));
    assert!(!heard.iter().any(|(_, said)| *said == gratuitous(V4)));
    let held: Vec<_> = rig
        .log()
        .filter(|entry| entry.incident.action == Action::Withheld)
        .filter_map(|entry| entry.incident.address)
        .collect();
    assert!(held.contains(&ip(V4)) && held.contains(&ip(V6)), "{held:?}");

    // The station gives them up: within a retry and a check they are ours.
    for (address, length) in [(V4, 24), (V6, 64)] {
        world.on_lan(&format!("address del {address}/{length} dev {LAN}"));
    }
    rig.run_until(SECOND * 20, "healed", |rig| {
        [V4, V6]
            .iter()
            .all(|address| rig.refusal(address).is_none())
    });
    for address in [V4, V6] {
        assert!(rig.answers(address), "{address}");
    }
    assert_eq!(rig.taken().count(), 0);
}

#[test]
fn strict_gives_way_to_a_station_that_probes_at_the_same_time() {
    let world = World::new();
    let manners = Manners {
        announce: Announcing::On,
        dad: DadMode::Strict,
        rate: 1000,
    };
    let mut rig = Rig::new(&world, manners);
    rig.follow(&[V4, V6]);
    let station = world.lan.run(|| PacketSocket::open(LAN, 0)).unwrap();
    let foreign = [0x02, 0, 0, 0, 0, 0x66];
    for address in [V4, V6] {
        let probe = frame::probe(foreign, ip(address), [7; 6]);
        station.send(&probe).unwrap();
    }
    // Before the checks could have ended.
    rig.run_until(SECOND * 2, "both gave way", |rig| {
        [V4, V6]
            .iter()
            .all(|address| rig.refusal(address) == Some(Reason::Duplicate))
    });
    for entry in rig.log() {
        assert_eq!(entry.incident.kind, Kind::Probe);
        assert_eq!(entry.incident.mac, Some(foreign));
        assert_eq!(entry.incident.action, Action::Withheld);
    }
    assert!(!rig.answers(V4) && !rig.answers(V6));
}

const OPTIMISTIC: Manners = Manners {
    announce: Announcing::On,
    dad: DadMode::Optimistic,
    rate: 1000,
};
const STRICT: Manners = Manners {
    dad: DadMode::Strict,
    ..OPTIMISTIC
};

/// Row S4 of the attack table: a child takes the address of a station.
#[test]
fn optimistic_withdraws_what_a_station_owns_and_answers_what_is_free_at_once() {
    for (address, other, length) in [(V4, OTHER_V4, 24), (V6, OTHER_V6, 64)] {
        let world = World::new();
        world.on_lan(&format!("address add {address}/{length} dev {LAN} nodad"));
        let mut rig = Rig::new(&world, OPTIMISTIC);
        let mac = world.host.hardware_address(PARENT).unwrap();
        let station = world.lan.hardware_address(LAN).unwrap();
        let arp = Capture::start(&world.lan, LAN, ETH_P_ARP);
        let nd = Capture::start(&world.lan, LAN, ETH_P_IPV6);
        let start = Instant::now();
        rig.follow(&[address, other]);
        assert!(rig.answers(address) && rig.answers(other));
        rig.run_until(SECOND, "withdrawn", |rig| {
            rig.refusal(address) == Some(Reason::Duplicate)
        });
        rig.run(SECOND * 3);
        assert!(!rig.answers(address) && rig.answers(other));
        let mut heard = arp.stop();
        heard.extend(nd.stop());
        let announcement = |address: &str| match ip(address) {
            address @ IpAddr::V4(_) => Said::Gratuitous { mac, address },
            target @ IpAddr::V6(_) => Said::Advertisement {
                mac,
                target,
                to: ip("ff02::1"),
                overrides: true,
            },
        };
        let announced = times(&heard, &announcement(other), start);
        assert!((0.5..1.0).contains(&announced[0]), "{announced:?}");
        assert_eq!(times(&heard, &announcement(address), start), [0.0; 0]);
        let taken: Vec<_> = rig.taken().collect();
        assert_eq!(taken, [(ip(address), station)]);
        let entries: Vec<_> = rig.log().collect();
        let [entry] = entries[..] else {
            panic!("{entries:?}");
        };
        assert_eq!(entry.incident.kind, Kind::Claim);
        assert_eq!(entry.incident.action, Action::Withheld);

        // The station goes: the address comes back by itself, and is announced.
        world.on_lan(&format!("address del {address}/{length} dev {LAN}"));
        let arp = Capture::start(&world.lan, LAN, ETH_P_ARP);
        let nd = Capture::start(&world.lan, LAN, ETH_P_IPV6);
        rig.run_until(SECOND * 20, "back", |rig| rig.answers(address));
        rig.run(SECOND);
        let mut heard = arp.stop();
        heard.extend(nd.stop());
        assert!(!times(&heard, &announcement(address), start).is_empty());
        assert_eq!(rig.taken().count(), 0);
    }
}

/// Azure and local proxy ARP: such a station answers each request, whatever its target.
#[test]
fn nothing_is_withheld_because_of_a_station_that_answers_for_every_address() {
    for manners in [OPTIMISTIC, STRICT] {
        for address in [V4, V6] {
            let world = World::new();
            let fabric = [0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc];
            let station = AnswersForAll::start(&world.lan, LAN, fabric);
            let mut rig = Rig::new(&world, manners);
            rig.follow(&[address]);
            rig.run_until(SECOND * 12, "it is answered and announced", |rig| {
                rig.next_due().is_none()
            });
            assert!(rig.answers(address), "{manners:?} {address}");
            assert_eq!(rig.taken().count(), 0);
            let entries: Vec<_> = rig.log().map(|entry| entry.incident.clone()).collect();
            let [finding] = &entries[..] else {
                panic!("{manners:?} {entries:?}");
            };
            assert_eq!((finding.kind, finding.mac), (Kind::NoOwner, Some(fabric)));
            // Three probes, and one for each control address; a control that was answered late is probed once
            // more.
            let targets = station.stop();
            let of_address = targets.iter().filter(|&&target| target == ip(address));
            assert_eq!(of_address.count(), 3, "{manners:?} {targets:?}");
            assert!((5..=7).contains(&targets.len()), "{targets:?}");
        }
    }
}

/// Row S12 of the attack table: one false reply to each probe, after a restart.
#[test]
fn an_address_in_adopted_maps_is_answered_and_defended_whatever_is_claimed() {
    for manners in [OPTIMISTIC, STRICT] {
        let world = World::new();
        let mut rig = Rig::new(&world, manners);
        let mac = world.host.hardware_address(PARENT).unwrap();
        let foreign = [0x02, 0, 0, 0, 0, 0x66];
        rig.adopt(&[V4, V6]);
        rig.follow(&[V4, V6]);
        let station = world.lan.run(|| PacketSocket::open(LAN, 0)).unwrap();
        let capture = Capture::start(&world.lan, LAN, ETH_P_ARP);
        for _ in 0..40 {
            for address in [V4, V6] {
                let claim = frame::announcement(foreign, ip(address), false, false);
                station.send(&claim).unwrap();
            }
            rig.run(SECOND / 10);
            assert!(rig.answers(V4) && rig.answers(V6), "{manners:?}");
        }
        let gratuitous = Said::Gratuitous {
            mac,
            address: ip(V4),
        };
        let heard = capture.stop();
        assert!(heard.iter().any(|(_, said)| *said == gratuitous));
        let defended = rig
            .log()
            .filter(|entry| entry.incident.action == Action::Defended);
        assert_eq!(defended.count(), 2, "{manners:?}");
    }
}

#[test]
fn a_station_that_probes_for_a_childs_address_is_answered_and_told() {
    let world = World::new();
    let mut rig = Rig::new(&world, SILENT);
    rig.follow(&[V4, V6]);
    let mac = world.host.hardware_address(PARENT).unwrap();
    let arp = Capture::start(&world.lan, LAN, ETH_P_ARP);
    let station = world.lan.run(|| PacketSocket::open(LAN, 0)).unwrap();
    let foreign = [0x02, 0, 0, 0, 0, 0x66];
    station
        .send(&frame::probe(foreign, ip(V4), [0; 6]))
        .unwrap();
    // The station's own kernel, with its own duplicate address detection.
    world.on_lan(&format!("address add {V6}/64 dev {LAN}"));
    rig.run_until(SECOND * 5, "both told", |rig| rig.log().count() == 2);
    for entry in rig.log() {
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
