//! Duplicate address detection for children, seen from the LAN.

use std::time::Instant;

use ipvlan_common::Reason;
use ipvlan_user::lan::incidents::{Action, Kind};

use crate::common::{LAN, Topology};

use super::{
    FOREIGN, OPTIMISTIC, OTHER_V4, OTHER_V6, SECOND, STRICT, V4, V6, ip,
    rig::Rig,
    stations::{Sender, announcement, answers_for_all, capture},
};

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

#[test]
fn strict_gives_way_to_a_station_that_probes_at_the_same_time() {
    let net = Topology::new();
    let mut rig = Rig::new(&net, STRICT);
    rig.update(&[V4, V6]);
    let station = Sender::new(&net);
    station.probes(FOREIGN, V4);
    station.probes(FOREIGN, V6);
    // Before the checks could have ended.
    rig.run_until(SECOND * 2, "both gave way", |rig| {
        [V4, V6].map(|address| rig.refusal(address)) == [Some(Reason::Duplicate); 2]
    });
    for entry in rig.incidents() {
        assert_eq!(entry.incident.kind, Kind::Probe);
        assert_eq!(entry.incident.mac, Some(FOREIGN));
        assert_eq!(entry.incident.action, Action::Withheld);
    }
    assert!(!rig.answers(V4) && !rig.answers(V6));
}

/// Row S4 of the attack table: a child takes the address of a station.
#[test]
fn optimistic_withdraws_what_a_station_owns_and_answers_what_is_free_at_once() {
    for (address, other) in [(V4, OTHER_V4), (V6, OTHER_V6)] {
        let net = Topology::new();
        on_lan(&net, "add", address);
        let mut rig = Rig::new(&net, OPTIMISTIC);
        let station = net.lan.hardware_address(LAN).unwrap();
        let [of_address, of_other] = [address, other].map(|it| announcement(net.mac(), it));
        let (first, start) = (capture(&net), Instant::now());
        rig.update(&[address, other]);
        assert!(rig.answers(address) && rig.answers(other));
        rig.run_until(SECOND, "withdrawn", |rig| {
            rig.refusal(address) == Some(Reason::Duplicate)
        });
        rig.run(SECOND * 3);
        assert!(!rig.answers(address) && rig.answers(other));
        let found = first.stop_and_find(&[&of_other, &of_address], start);
        assert!((0.5..1.0).contains(&found[0][0]), "{found:?}");
        assert!(found[1].is_empty(), "{found:?}");
        assert_eq!(rig.duplicates(), [(ip(address), station)]);
        let entries: Vec<_> = rig.incidents().collect();
        let [entry] = entries[..] else {
            panic!("{entries:?}");
        };
        assert_eq!(entry.incident.kind, Kind::Claim);
        assert_eq!(entry.incident.action, Action::Withheld);

        // The station goes: the address comes back by itself, and is announced.
        on_lan(&net, "del", address);
        let second = capture(&net);
        rig.run_until(SECOND * 20, "back", |rig| rig.answers(address));
        rig.run(SECOND);
        let found = second.stop_and_find(&[&of_address], start);
        assert!(!found[0].is_empty());
        assert_eq!(rig.duplicates(), []);
    }
}

/// Azure and local proxy ARP: such a station answers each request, whatever its target.
#[test]
fn nothing_is_withheld_because_of_a_station_that_answers_for_every_address() {
    for policy in [OPTIMISTIC, STRICT] {
        for address in [V4, V6] {
            let net = Topology::new();
            let fabric = [0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc];
            let station = answers_for_all(&net, fabric);
            let mut rig = Rig::new(&net, policy);
            rig.update(&[address]);
            rig.run_until(SECOND * 12, "it is answered and announced", |rig| {
                rig.next_due().is_none()
            });
            assert!(rig.answers(address), "{policy:?} {address}");
            assert_eq!(rig.duplicates(), []);
            let entries: Vec<_> = rig.incidents().map(|entry| &entry.incident).collect();
            let [finding] = entries[..] else {
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
        let net = Topology::new();
        let mut rig = Rig::new(&net, policy);
        rig.adopt(&[V4, V6]);
        rig.update(&[V4, V6]);
        let (capture, station) = (capture(&net), Sender::new(&net));
        for _ in 0..60 {
            // A MAC for each: the programs report what one station does once a second.
            station.claims(FOREIGN, V4);
            station.claims([0x02, 0, 0, 0, 0, 0x67], V6);
            rig.run(SECOND / 10);
            assert!(rig.answers(V4) && rig.answers(V6), "{policy:?}");
        }
        // The restart itself announces nothing.
        let defence = announcement(net.mac(), V4);
        let found = capture.stop_and_find(&[&defence], Instant::now());
        assert_eq!(found[0].len(), 1, "{policy:?}");
        let incidents = rig.incidents();
        let yielded = incidents.filter(|entry| entry.incident.action == Action::Yielded);
        assert_eq!(yielded.count(), 2, "{policy:?}");
    }
}
