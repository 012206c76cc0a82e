//! When addresses are announced: trains, refreshes, and none where that is switched off.

use super::*;

/// Three, the first at `from`, each a second and up to a tenth after the one before.
#[track_caller]
fn assert_train(times: &[f64], from: f64) {
    assert_eq!(times.len(), 3, "{times:?}");
    assert!((times[0] - from).abs() < 0.001, "{times:?}");
    for pair in times.windows(2) {
        let gap = pair[1] - pair[0];
        assert!((0.999..=1.101).contains(&gap), "{times:?}");
    }
}

fn announcing() -> Segment {
    Segment::unpaced(in_mode(DadMode::Off))
}

#[test]
fn a_new_address_is_announced_three_times_and_to_routers_if_it_can_be_routed_to() {
    let link_local = "fe80::7".parse().unwrap();
    for (address, to_routers) in [(v4(1), 0), (v6(1), 3), (link_local, 0)] {
        let mut segment = announcing();
        segment.add(address, A);
        // That the MAC changes as well does not make the address older.
        segment.set_mac(STATION);
        let trace = segment.run(60.0);
        assert_train(&trace.times(Step::Announcement(address)), 0.0);
        let sent = trace.times(Step::ToRouters(address));
        assert_eq!(sent.len(), to_routers, "{address}");
        assert!(segment.is_idle());
        // Seen again, it is what it was.
        segment.add(address, A);
        segment.update_again();
        assert!(segment.is_idle());
    }
}

#[test]
fn whatever_stations_must_know_starts_a_train() {
    let with = |router, optimistic| {
        let mut candidate = of(A);
        candidate.announced.router = router;
        candidate.announced.optimistic = optimistic;
        candidate
    };
    let (router, optimistic) = (with(true, false), with(false, true));
    // What changes: address, before, after, MAC after; how many announcements follow, to nodes and to routers.
    let rows = [
        ("nothing", v6(1), of(A), of(A), PARENT, 0, 0),
        ("MAC", v6(1), of(A), of(A), STATION, 3, 0),
        ("MAC, IPv4", v4(1), of(A), of(A), STATION, 3, 0),
        ("child", v6(1), of(A), of(B), PARENT, 3, 3),
        ("child, IPv4", v4(1), of(A), of(B), PARENT, 3, 0),
        ("forwarding", v6(1), of(A), router, PARENT, 3, 0),
        ("forwarding, IPv4", v4(1), of(A), router, PARENT, 0, 0),
        ("optimistic", v6(1), optimistic, of(A), PARENT, 3, 0),
    ];
    for (what, address, before, after, mac, nodes, routers) in rows {
        let mut segment = announcing();
        let mut flags = Vec::new();
        for (candidate, mac, nodes) in [(before, PARENT, 3), (after, mac, nodes)] {
            segment.add_as(address, candidate);
            segment.set_mac(mac);
            let trace = segment.run(10.0);
            let sent = trace.times(Step::Announcement(address));
            assert_eq!(sent.len(), nodes, "{what}");
            let of = candidate.announced;
            let of = u8::from(of.router) << 7 | u8::from(!of.optimistic) << 5;
            flags.extend(vec![of; if address.is_ipv6() { nodes } else { 0 }]);
            if candidate == after && before != after {
                let sent = trace.times(Step::ToRouters(address));
                assert_eq!(sent.len(), routers, "{what}");
            }
        }
        assert_eq!(segment.flags, flags, "{what}");
    }
}

#[test]
fn a_train_is_replaced_by_a_new_one_and_cancelled_with_its_address() {
    let mut segment = announcing();
    let announcement = Step::Announcement(v4(1));
    segment.add(v4(1), A);
    assert_eq!(segment.run(1.5).times(announcement).len(), 2);
    segment.set_mac(STATION);
    assert_train(&segment.run(8.5).times(announcement), 1.5);

    segment.set_mac(PARENT);
    assert_eq!(segment.run(0.5).times(announcement).len(), 1);
    segment.remove(v4(1));
    assert!(segment.is_idle());
    segment.run(0.5);
    // Back again, it is new.
    segment.add(v4(1), A);
    assert_train(&segment.run(9.0).times(announcement), 11.0);
}

#[test]
fn ten_thousand_addresses_are_paced_and_each_is_announced_three_times_in_turn() {
    let mut segment = announcing();
    let count = 10_340;
    segment.add_many(0..count, A);
    let trace = segment.run(100.0);
    let sent: Vec<_> = trace.frames().map(|&(_, step)| step).collect();
    let all = (0..count).map(|number| Step::Announcement(v4(number)));
    let of_each = |sent: &[Step]| {
        let mut addresses: Vec<IpAddr> = sent
            .iter()
            .map(|step| match *step {
                Step::Announcement(address) => address,
                other => panic!("{other:?}"),
            })
            .collect();
        addresses.sort_unstable();
        addresses.into_iter().map(Step::Announcement)
    };
    // Each address once before any address twice.
    let (first, others) = sent.split_at(all.len());
    assert!(of_each(first).eq(all.clone()));
    assert!(of_each(others).eq(all.flat_map(|step| [step; 2])));
    // In no second more than a second's worth and a burst.
    assert!(trace.most_in_a_second() <= 1_101);
    let (last, _) = trace.0[trace.0.len() - 1];
    assert!((30.0..32.0).contains(&last), "{last}");
    assert!(segment.is_idle());
}

#[test]
fn an_address_is_refreshed_after_its_train_and_its_routers_are_not_notified_again() {
    let mut segment = Segment::unpaced(refreshing(DadMode::Off, 60));
    segment.add(v6(1), A);
    let trace = segment.run(602.0);
    let sent = trace.times(Step::Announcement(v6(1)));
    // In ten minutes: three at once, then one after 54 to 60 seconds each.
    assert!((13..=14).contains(&sent.len()), "{sent:?}");
    assert_train(&sent[..3], 0.0);
    for pair in sent[2..].windows(2) {
        assert!((54.0..=60.1).contains(&(pair[1] - pair[0])), "{sent:?}");
    }
    assert_eq!(trace.times(Step::ToRouters(v6(1))), sent[..3]);
    // It goes, and is not refreshed any more.
    segment.remove(v6(1));
    assert!(segment.is_idle());
}

/// Row B20 of the table of real nodes: a switch forgets the MAC of a silent child.
#[test]
fn every_address_is_refreshed_within_the_rate_also_after_a_restart_and_a_reload() {
    let policy = refreshing(DadMode::default(), 30);
    for reload in [false, true] {
        let first = if reload { LanPolicy::default() } else { policy };
        let addresses: Vec<IpAddr> = (1..=50).map(v4).collect();
        let adopted = Adopted {
            established: addresses.iter().copied().collect(),
            mac: Some(PARENT),
            ..Adopted::default()
        };
        let candidates = addresses.iter().map(|&address| (address, of(A)));
        let mut segment = Segment::started(first, Quotas::default(), adopted, candidates);
        let before = segment.run(120.0).times(Step::Announcement(v4(7)));
        assert_eq!(before.is_empty(), reload, "{before:?}");
        segment.set_policy(policy);
        let since = segment.at();
        let trace = segment.run(120.0);
        for &address in &addresses {
            let sent = trace.times(Step::Announcement(address));
            assert!((3..=5).contains(&sent.len()), "{address}: {sent:?}");
        }
        // At first they are spread over the whole time.
        for part in (0..3).filter(|_| reload) {
            let from = since + f64::from(part) * 10.0;
            let times = trace.frames().map(|&(at, _)| at);
            let within = times.filter(|at| (from..from + 10.0).contains(at)).count();
            assert!((6..=33).contains(&within), "{part}: {trace:?}");
        }
        assert!(trace.most_in_a_second() <= 13);
        segment.set_policy(LanPolicy::default());
        assert!(segment.run(120.0).is_silent());
    }
}

/// `--announce off`: probes alone.
#[test]
fn nothing_is_announced_or_defended_while_that_is_switched_off() {
    let off = LanPolicy {
        announce: Announcing::Off,
        ..LanPolicy::default()
    };
    let mut segment = Segment::new(off);
    segment.add(v4(1), B);
    segment.add(v6(1), B);
    let trace = segment.run(20.0);
    assert_eq!(trace.count(|step| matches!(step, Step::Probe(_))), 6);
    assert_eq!(trace.frames().count(), 6);
    segment.claim(v4(1), STATION);
    assert!(segment.run(20.0).is_silent());
    // Switched on and off while the agent runs: everything once, and nothing of what has begun.
    for (policy, expected) in [
        (LanPolicy::default(), 3),
        (LanPolicy::default(), 0),
        (off, 0),
    ] {
        segment.set_policy(policy);
        let trace = segment.run(20.0);
        for address in [v4(1), v6(1)] {
            let sent = trace.times(Step::Announcement(address));
            assert_eq!(sent.len(), expected, "{address}: {policy:?}");
        }
    }
    segment.set_mac(STATION);
    segment.set_policy(LanPolicy::default());
    segment.run(0.5);
    segment.set_policy(off);
    assert!(segment.run(20.0).is_silent());
}

/// Row B11 of the table of real nodes, S9 of the attack table: switches close ports at 15 ARP packets in a second.
#[test]
fn a_start_with_sixty_children_stays_within_the_rate_and_a_restart_is_silent() {
    let pairs = (0..60).map(|number| (number, of(i32::from(number) + 1)));
    let addresses: BTreeMap<IpAddr, Candidate> = pairs
        .flat_map(|(number, of)| [(v4(number.into()), of), (v6(number), of)])
        .collect();
    // Those of IPv6 are announced to all routers, too.
    let all = 60 * 3 + 60 * 6;
    for (adopted, mac, announced) in [
        (false, None, all),
        (true, Some(PARENT), 0),
        (true, Some(STATION), all),
        (true, None, all),
    ] {
        let decided = Adopted {
            established: addresses.keys().copied().filter(|_| adopted).collect(),
            mac,
            ..Adopted::default()
        };
        let policy = LanPolicy::default();
        let mut segment = Segment::started(policy, Quotas::default(), decided, addresses.clone());
        let trace = segment.run(300.0);
        let most = trace.most_in_a_second();
        assert!((12..=13).contains(&most), "{adopted} {mac:?}: {most}");
        let is_announcement = |step| matches!(step, Step::Announcement(_) | Step::ToRouters(_));
        assert_eq!(trace.count(is_announcement), announced, "{adopted} {mac:?}");
    }
}
