//! Claims by stations of addresses that are answered.

use super::*;

/// Stations can claim the addresses of one netns as often as they like.
#[test]
fn claims_of_the_addresses_of_one_netns_use_up_neither_the_log_nor_the_pace_of_others() {
    let mut world = World::new(LanPolicy::default(), &Quotas::default());
    for number in 0..500 {
        world.set(v4(number), Some(A));
    }
    world.set(v4(100_000), Some(B));
    world.run(Duration::from_mins(10));
    assert_eq!(
        world.schedule.next_due(world.now),
        None,
        "all are established"
    );
    world.event(EventKind::Claim, v4(100_000), STATION);
    let mut sent = Vec::new();
    for number in 0..20_000_u32 {
        let [_, a, b, c] = number.to_be_bytes();
        world.event(EventKind::Claim, v4(number % 500), [2, 0, 1, a, b, c]);
        if number % 64 == 0 {
            sent.extend(world.run(Duration::from_secs(1)));
        }
    }
    // The other netns: its entry is there, and its new address has its turn.
    let entries = world.schedule.incidents().entries();
    let of_b = entries.filter(|entry| entry.incident.address == Some(v4(100_000)));
    assert_eq!(of_b.count(), 1);
    let now = (world.now - world.start).as_secs_f64();
    world.set(v4(100_001), Some(B));
    sent.extend(world.run(Duration::from_secs(3)));
    let announced = first(&sent, Said::Announcement(v4(100_001))).unwrap() - now;
    assert!(announced < 2.0, "{announced}");
    assert!(most_in_a_second(&sent) <= 13);
    // Events beyond the quota were counted, for the netns that they are about.
    let exceeded = world.schedule.exceeded();
    let events = exceeded[&(NetnsId::Nsid(A), QuotaKind::Events)];
    assert!((14_000..16_000).contains(&events), "{events}");
    assert!(!exceeded.contains_key(&(NetnsId::Nsid(B), QuotaKind::Events)));
    // No address was withheld.
    assert!(world.schedule.withheld().is_empty());
}

/// The answer to a probe is evidence, however many events there are about the same netns.
#[test]
fn an_answer_to_a_probe_counts_beyond_the_quota_of_events() {
    let mut world = World::new(LanPolicy::default(), &Quotas::default());
    for number in 0..100 {
        world.set(v4(number), Some(A));
    }
    world.run(Duration::from_mins(2));
    world.set(v4(1_000), Some(A));
    let sent = world.run(Duration::from_millis(300));
    assert!(first(&sent, Said::Probe(v4(1_000))).is_some());
    for number in 0..100 {
        world.event(EventKind::Claim, v4(number), STATION);
    }
    let owner = [2, 0, 0, 0, 0, 7];
    world.event(EventKind::Claim, v4(1_000), owner);
    let sent = world.run(Duration::from_secs(5));
    assert_eq!(
        world.schedule.dad.refusal(v4(1_000)),
        Some(Reason::Duplicate)
    );
    assert_eq!(first(&sent, Said::Announcement(v4(1_000))), None);
    let taken: Vec<_> = world.schedule.duplicates().collect();
    assert_eq!(taken.len(), 1);
    assert_eq!((taken[0].0, taken[0].2), (v4(1_000), owner));
}

/// Azure, local proxy ARP: the log has the one finding, in both modes, and no claim of the address.
#[test]
fn a_station_that_answers_for_every_address_is_one_incident() {
    for dad in [DadMode::Optimistic, DadMode::Strict] {
        let policy = LanPolicy {
            dad,
            ..LanPolicy::default()
        };
        let mut world = World::new(policy, &Quotas::default());
        for number in 1..=3 {
            world.set(v4(number), Some(B));
        }
        for _ in 0..300 {
            for (_, said) in world.run(Duration::from_millis(100)) {
                if let Said::Probe(address) = said {
                    world.event(EventKind::Claim, address, STATION);
                }
            }
        }
        let entries = world.schedule.incidents().entries();
        let kinds: Vec<_> = entries
            .map(|entry| (entry.incident.kind, entry.incident.mac))
            .collect();
        assert_eq!(kinds, [(Kind::NoOwner, Some(STATION))], "{dad:?}");
        assert!(world.schedule.withheld().is_empty(), "{dad:?}");
        assert_eq!(world.schedule.duplicates().count(), 0);
        for number in 1..=3 {
            assert!(world.schedule.dad.is_free(v4(number)));
        }
    }
}

/// An address of each mode and family that is established, claimed, and given up or kept.
#[test]
fn an_address_is_defended_in_l3_if_the_child_keeps_it() {
    for (l2, given_up, defends) in [
        (false, false, Defending::On),
        (false, true, Defending::On),
        (false, false, Defending::Off),
        (true, false, Defending::On),
        (true, true, Defending::On),
    ] {
        for address in [v4(1), v6(1)] {
            let policy = LanPolicy {
                defend: defends,
                ..LanPolicy::default()
            };
            let mut world = World::new(policy, &Quotas::default());
            world.set_in(address, Some(B), l2);
            world.run(Duration::from_secs(20));
            world.event(EventKind::Claim, address, STATION);
            let mut sent = world.run(Duration::from_millis(100));
            if given_up {
                world.set_in(address, None, l2);
            }
            sent.extend(world.run(Duration::from_mins(1)));
            let right = !l2 && !given_up && defends == Defending::On;
            let case = format!("{address}, l2: {l2}, given up: {given_up}, {defends:?}");
            assert_eq!(sent.len(), usize::from(right), "{case}: {sent:?}");
            let entries = world.schedule.incidents().entries();
            let actions: Vec<Action> = entries.map(|entry| entry.incident.action).collect();
            let action = if right {
                Action::Defended
            } else {
                Action::None
            };
            assert_eq!(actions, [action], "{case}");
            assert_eq!(world.schedule.next_due(world.now), None, "{case}");
        }
    }
}

#[test]
fn a_claim_ends_the_announcements_and_refreshes_of_an_address_that_is_not_defended() {
    for (l2, refresh) in [(true, None), (true, Some(60)), (false, Some(60))] {
        let policy = LanPolicy {
            dad: DadMode::Off,
            refresh: refresh.map(Duration::from_secs),
            ..LanPolicy::default()
        };
        let mut world = World::new(policy, &Quotas::default());
        world.set_in(v4(1), Some(B), l2);
        assert_eq!(world.run(Duration::from_millis(500)).len(), 1);
        // In l3 by a station that defends it, too.
        for _ in 0..2 {
            world.event(EventKind::Claim, v4(1), STATION);
            let sent = world.run(Duration::from_secs(5));
            // The refresh may follow the defence at once.
            assert!(sent.len() <= if l2 { 0 } else { 2 }, "{sent:?}");
        }
        let sent = world.run(Duration::from_secs(500));
        assert!(sent.is_empty(), "l2: {l2}, {refresh:?}: {sent:?}");
        let notes = world.schedule.notes(world.now);
        let named = notes
            .iter()
            .any(|note| note.contains("10.0.0.1 by 02:00:00:00:00:09"));
        assert_eq!(named, !l2, "{notes:?}");
        // When no station has claimed it for ten minutes, it is refreshed again.
        let sent = world.run(Duration::from_mins(10));
        assert_eq!(!sent.is_empty(), refresh.is_some(), "{sent:?}");
        assert_eq!(world.schedule.notes(world.now), [""; 0]);
    }
}
