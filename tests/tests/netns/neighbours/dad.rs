//! Duplicate address detection for children, seen from the LAN.

use std::{net::IpAddr, time::Instant};

use ipvlan_common::Reason;
use ipvlan_tests::probe::packet::PacketSocket;
use ipvlan_user::lan::{
    Announcing, DadMode, Defending, LanPolicy, frame,
    incidents::{Action, Kind},
};

use crate::common::{
    World,
    world::{LAN, PARENT},
};

use super::{
    OTHER_V4, OTHER_V6, SECOND, V4, V6,
    capture::{Capture, ETH_P_ARP, ETH_P_IPV6, Said},
    ip,
    rig::Rig,
    station::AnswersForAll,
    times,
};

#[test]
fn strict_answers_what_is_free_and_what_becomes_free_later() {
    let world = World::new();
    // A station has two of the addresses.
    for (address, length) in [(V4, 24), (V6, 64)] {
        world.on_lan(&format!("address add {address}/{length} dev {LAN} nodad"));
    }
    let mut rig = Rig::new(
        &world,
        LanPolicy {
            announce: Announcing::On,
            defend: Defending::On,
            refresh: None,
            dad: DadMode::Strict,
            rate: 1000,
        },
    );
    let mac = world.host.hardware_address(PARENT).unwrap();
    let station = world.lan.hardware_address(LAN).unwrap();
    let capture = Capture::start(&world.lan, LAN, ETH_P_ARP);
    rig.update(&[V4, V6, OTHER_V4, OTHER_V6]);
    for address in [V4, V6, OTHER_V4, OTHER_V6] {
        assert_eq!(rig.refusal(address), Some(Reason::Probing));
        assert!(!rig.answers(address));
    }
    rig.run(SECOND * 8);
    for address in [V4, V6] {
        assert_eq!(rig.refusal(address), Some(Reason::Duplicate), "{address}");
        assert!(rig.duplicates().any(|of| of == (ip(address), station)));
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
        .incidents()
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
    assert_eq!(rig.duplicates().count(), 0);
}

#[test]
fn strict_gives_way_to_a_station_that_probes_at_the_same_time() {
    let world = World::new();
    let policy = LanPolicy {
        announce: Announcing::On,
        defend: Defending::On,
        refresh: None,
        dad: DadMode::Strict,
        rate: 1000,
    };
    let mut rig = Rig::new(&world, policy);
    rig.update(&[V4, V6]);
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
    for entry in rig.incidents() {
        assert_eq!(entry.incident.kind, Kind::Probe);
        assert_eq!(entry.incident.mac, Some(foreign));
        assert_eq!(entry.incident.action, Action::Withheld);
    }
    assert!(!rig.answers(V4) && !rig.answers(V6));
}

const OPTIMISTIC: LanPolicy = LanPolicy {
    announce: Announcing::On,
    defend: Defending::On,
    refresh: None,
    dad: DadMode::Optimistic,
    rate: 1000,
};

const STRICT: LanPolicy = LanPolicy {
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
        rig.update(&[address, other]);
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
        let taken: Vec<_> = rig.duplicates().collect();
        assert_eq!(taken, [(ip(address), station)]);
        let entries: Vec<_> = rig.incidents().collect();
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
        assert_eq!(rig.duplicates().count(), 0);
    }
}

/// Azure and local proxy ARP: such a station answers each request, whatever its target.
#[test]
fn nothing_is_withheld_because_of_a_station_that_answers_for_every_address() {
    for policy in [OPTIMISTIC, STRICT] {
        for address in [V4, V6] {
            let world = World::new();
            let fabric = [0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc];
            let station = AnswersForAll::start(&world.lan, LAN, fabric);
            let mut rig = Rig::new(&world, policy);
            rig.update(&[address]);
            rig.run_until(SECOND * 12, "it is answered and announced", |rig| {
                rig.next_due().is_none()
            });
            assert!(rig.answers(address), "{policy:?} {address}");
            assert_eq!(rig.duplicates().count(), 0);
            let entries: Vec<_> = rig
                .incidents()
                .map(|entry| entry.incident.clone())
                .collect();
            let [finding] = &entries[..] else {
                panic!("{policy:?} {entries:?}");
            };
            assert_eq!((finding.kind, finding.mac), (Kind::NoOwner, Some(fabric)));
            // Three probes, and one for each control address; a control that was answered late is probed once
            // more.
            let targets = station.stop();
            let of_address = targets.iter().filter(|&&target| target == ip(address));
            assert_eq!(of_address.count(), 3, "{policy:?} {targets:?}");
            assert!((5..=7).contains(&targets.len()), "{targets:?}");
        }
    }
}

/// Row S12 of the attack table: one false reply to each probe, after a restart.
#[test]
fn an_address_in_adopted_maps_is_answered_whatever_is_claimed_and_defended_once() {
    for policy in [OPTIMISTIC, STRICT] {
        let world = World::new();
        let mut rig = Rig::new(&world, policy);
        let mac = world.host.hardware_address(PARENT).unwrap();
        rig.adopt(&[V4, V6]);
        rig.update(&[V4, V6]);
        let station = world.lan.run(|| PacketSocket::open(LAN, 0)).unwrap();
        let capture = Capture::start(&world.lan, LAN, ETH_P_ARP);
        for _ in 0..60 {
            // A MAC for each: the programs report what one station does once a second.
            for (address, foreign) in [
                (V4, [0x02, 0, 0, 0, 0, 0x66]),
                (V6, [0x02, 0, 0, 0, 0, 0x67]),
            ] {
                let claim = frame::announcement(foreign, ip(address), false, false);
                station.send(&claim).unwrap();
            }
            rig.run(SECOND / 10);
            assert!(rig.answers(V4) && rig.answers(V6), "{policy:?}");
        }
        let gratuitous = Said::Gratuitous {
            mac,
            address: ip(V4),
        };
        let heard = capture.stop();
        // The restart itself announces nothing.
        let defences = heard.iter().filter(|(_, said)| *said == gratuitous);
        assert_eq!(defences.count(), 1, "{policy:?}");
        let yielded = rig
            .incidents()
            .filter(|entry| entry.incident.action == Action::Yielded);
        assert_eq!(yielded.count(), 2, "{policy:?}");
    }
}
