//! Claims and probes by other stations.

use super::*;

/// Row S4 of the attack table: a child takes the address of a station.
#[test]
fn an_address_that_a_station_owns_is_withheld_until_the_station_is_gone() {
    for mode in [DadMode::Optimistic, DadMode::Strict] {
        for address in [V4, V6] {
            let mut world = World::new(mode);
            world.owners.insert(address.parse().unwrap(), vec![STATION]);
            world.update(0.0, &[address]);
            let seen = world.run(0.0, 9.0);
            let [withheld] = seen.withheld[..] else {
                panic!("{mode:?} {seen:?}");
            };
            assert_eq!(seen.controls.len(), control::CONTROLS, "{seen:?}");
            assert!(withheld < 1.5, "{seen:?}");
            assert!(mode == DadMode::Strict || withheld < 0.5, "{seen:?}");
            assert_eq!(world.withheld(address), Some(Reason::Duplicate));
            assert!(!world.is_free(address) && seen.released.is_empty());
            let taken: Vec<_> = world.dad.duplicates().collect();
            assert_eq!(taken, [(address.parse().unwrap(), STATION)]);
            // As long as it is there: each time one probe, and no other control address.
            let seen = world.run(9.0, 60.0);
            assert!((3..=6).contains(&seen.probes.len()), "{seen:?}");
            assert_eq!(seen.released, [0.0; 0]);
            assert_eq!(world.withheld(address), Some(Reason::Duplicate));
            // It comes back by itself.
            world.owners.clear();
            let seen = world.run(60.0, 80.0);
            assert_eq!(seen.released.len(), 1, "{mode:?} {seen:?}");
            assert_eq!(world.withheld(address), None);
            assert!(world.is_free(address));
            assert!(world.is_idle());
            assert_eq!(world.dad.duplicates().count(), 0);
        }
    }
}

/// Azure, local proxy ARP: a claim is no evidence by a MAC that answers for everything.
#[test]
fn nothing_is_withheld_because_of_a_station_that_answers_for_every_address() {
    for mode in [DadMode::Optimistic, DadMode::Strict] {
        for address in [V4, V6] {
            let mut world = World::new(mode);
            world.fabric = Some(FABRIC);
            world.update(0.0, &[address]);
            let seen = world.run(0.0, 30.0);
            assert_eq!(seen.no_owner, [FABRIC], "one finding");
            assert_eq!(seen.controls.len(), control::CONTROLS);
            assert_eq!(seen.withheld, [0.0; 0]);
            assert_eq!(world.withheld(address), None);
            let announced = if mode == DadMode::Strict { 8.0 } else { 2.0 };
            assert!(
                seen.released.len() == 1 && seen.released[0] < announced,
                "{seen:?}"
            );
            assert_eq!(world.dad.duplicates().count(), 0);
            assert!(world.is_idle());
            // The next one costs no control address.
            world.update(30.0, &[address, "198.51.100.9"]);
            let seen = world.run(30.0, 60.0);
            assert_eq!((seen.controls.len(), seen.no_owner.len()), (0, 0));
            assert_eq!((seen.probes.len(), seen.released.len()), (3, 1));
        }
    }
}

#[test]
fn a_real_owner_counts_beside_a_station_that_answers_for_every_address() {
    for owner_first in [false, true] {
        let mut world = World::new(DadMode::Optimistic);
        let answers = if owner_first {
            vec![STATION, FABRIC]
        } else {
            vec![FABRIC, STATION]
        };
        world.owners.insert(V4.parse().unwrap(), answers);
        world.fabric = Some(FABRIC);
        world.update(0.0, &[V4]);
        let seen = world.run(0.0, 5.0);
        assert_eq!(seen.withheld.len(), 1, "{seen:?}");
        assert_eq!(world.withheld(V4), Some(Reason::Duplicate));
        let taken: Vec<_> = world.dad.duplicates().collect();
        assert_eq!(taken, [(V4.parse().unwrap(), STATION)]);
    }
}

/// Row S12 of the attack table: a false reply to each probe, after a restart.
#[test]
fn an_address_in_adopted_maps_is_answered_and_defended_whatever_is_claimed() {
    for mode in [DadMode::Optimistic, DadMode::Strict] {
        for address in [V4, V6] {
            let mut world = World::new(mode);
            world.owners.insert(address.parse().unwrap(), vec![STATION]);
            assert!(!world.update_as(0.0, &[address], Origin::Established));
            assert!(world.is_free(address) && !world.is_probed(address));
            let seen = world.run(0.0, 900.0);
            assert!(seen.probes.len() > 10, "it is probed for: {seen:?}");
            assert!(seen.disputed.len() > 1, "each answer is disputed: {seen:?}");
            assert_eq!(seen.withheld, [0.0; 0]);
            assert_eq!(world.withheld(address), None);
            assert!(world.is_free(address));
            assert_eq!(world.dad.duplicates().count(), 1, "and reported");
            // Not so by a station that answers for everything.
            world.owners.clear();
            world.fabric = Some(FABRIC);
            let seen = world.run(900.0, 1_000.0);
            assert_eq!(
                (seen.disputed.len(), world.dad.duplicates().count()),
                (0, 0)
            );
            assert!(world.is_idle());
        }
    }
}

#[test]
fn a_claim_before_the_first_probe_is_evidence() {
    let mut world = World::new(DadMode::Optimistic);
    world.update(0.0, &[V4]);
    assert_eq!(world.other(0.0, V4, EventKind::Claim), Verdict::Examined);
    assert!(!world.is_free(V4));
    assert_eq!(world.withheld(V4), None, "answered while it is examined");
    let seen = world.run(0.0, 1.0);
    assert_eq!((seen.probes.len(), seen.withheld.len()), (0, 1));
    assert_eq!(world.withheld(V4), Some(Reason::Duplicate));
    // It is probed for again when the other station may be gone.
    let seen = world.run(1.0, 30.0);
    assert!((10.0..=11.5).contains(&seen.probes[0]), "{seen:?}");
    assert!(world.is_free(V4));
}

#[test]
fn what_others_do_means_what_the_mode_makes_of_it() {
    use EventKind::{Claim, Probe, UnicastProbe};
    use Verdict::{Examined, Undisputed, Withheld};
    let (probing, duplicate) = (Some(Reason::Probing), Some(Reason::Duplicate));
    // DadMode, when, by what: verdict, withheld then, and a second later.
    let rows = [
        (DadMode::Strict, 0.0, Claim, Examined, probing, duplicate),
        (DadMode::Strict, 2.0, Claim, Examined, probing, duplicate),
        (DadMode::Strict, 2.0, Probe, Withheld, duplicate, duplicate),
        (DadMode::Strict, 30.0, Claim, Undisputed, None, None),
        (DadMode::Strict, 30.0, Probe, Undisputed, None, None),
        (DadMode::Optimistic, 0.1, Claim, Examined, None, duplicate),
        (DadMode::Optimistic, 2.0, Claim, Examined, None, duplicate),
        (DadMode::Optimistic, 0.1, Probe, Undisputed, None, None),
        (DadMode::Optimistic, 2.0, Probe, Undisputed, None, None),
        (DadMode::Optimistic, 30.0, Claim, Undisputed, None, None),
        // Cisco IP Device Tracking.
        (
            DadMode::Strict,
            2.0,
            UnicastProbe,
            Undisputed,
            probing,
            probing,
        ),
        (
            DadMode::Optimistic,
            0.1,
            UnicastProbe,
            Undisputed,
            None,
            None,
        ),
    ];
    for (mode, at, kind, verdict, then, later) in rows {
        let row = (mode, at, kind);
        let mut world = World::new(mode);
        world.update(0.0, &[V4]);
        world.run(0.0, at);
        assert_eq!(world.other(at, V4, kind), verdict, "{row:?}");
        assert_eq!(world.withheld(V4), then, "{row:?}");
        world.run(at, at + 1.0);
        assert_eq!(world.withheld(V4), later, "{row:?}");
        let taken: Vec<_> = world.dad.duplicates().collect();
        if later == duplicate {
            assert!(!world.is_free(V4), "{row:?}");
            assert_eq!(taken, [(V4.parse().unwrap(), STATION)], "{row:?}");
        } else {
            assert_eq!(taken, [], "{row:?}");
        }
    }
}

#[test]
fn many_conflicts_make_probes_rare() {
    for mode in [DadMode::Optimistic, DadMode::Strict] {
        let mut world = World::new(mode);
        world.owners.insert(V4.parse().unwrap(), vec![STATION]);
        world.update(0.0, &[V4]);
        // The station answers the first of the probes each time.
        let probes = world.run(0.0, 500.0).probes;
        let gaps: Vec<f64> = probes.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let (few, many) = gaps.split_at(usize::from(MAX_CONFLICTS) - 1);
        assert!(few.iter().all(|gap| (9.9..=11.5).contains(gap)), "{gaps:?}");
        assert!(
            many.len() > 3 && many.iter().all(|gap| (59.9..=61.5).contains(gap)),
            "{gaps:?}"
        );
    }
}

#[test]
fn a_station_that_keeps_claiming_is_one_conflict() {
    let mut world = World::new(DadMode::Strict);
    world.update(0.0, &[V4]);
    world.run(0.0, 1.0);
    world.other(1.0, V4, EventKind::Claim);
    world.run(1.0, 2.0);
    for second in 2..100 {
        let verdict = world.other(f64::from(second), V4, EventKind::Claim);
        assert_eq!(verdict, Verdict::Withheld);
    }
    // Ten seconds after the last claim, not after the first; and not sixty.
    let seen = world.run(99.0, 111.0);
    assert!((109.0..=110.0).contains(&seen.probes[0]), "{seen:?}");
}

proptest::proptest! {
    /// Whatever stations claim and whenever events are suppressed: an address that was clean is never withheld,
    /// and each address is answered and announced once the stations are silent.
    #[test]
    fn whatever_is_claimed_established_addresses_stay_and_all_others_come_back(
        strict: bool,
        fabric: bool,
        steps in proptest::collection::vec((0..4_000_u64, 0..3_usize, 0..5_u8, 0..3_u8), 1..80),
    ) {
        let mode = if strict { DadMode::Strict } else { DadMode::Optimistic };
        let addresses = [V4, V6, "192.0.2.8"];
        let mut world = World::new(mode);
        world.fabric = fabric.then_some(FABRIC);
        let mut seconds = 0.0;
        let mut established = BTreeSet::new();
        world.update(0.0, &addresses);
        for (millis, index, action, mac) in steps {
            let next = seconds + Duration::from_millis(millis).as_secs_f64();
            world.run(seconds, next);
            seconds = next;
            for address in addresses {
                let is_clean = !world.is_probed(address);
                let withheld = world.withheld(address);
                if established.contains(address) {
                    proptest::prop_assert_eq!(withheld, None, "{} was clean", address);
                } else if is_clean {
                    established.insert(address);
                }
                proptest::prop_assert!(withheld.is_none() || !world.is_free(address));
            }
            let kind = match action {
                0 => EventKind::Probe,
                1 => EventKind::UnicastProbe,
                2 => {
                    world.suppressed += 1;
                    continue;
                }
                _ => EventKind::Claim,
            };
            let address = addresses[index].parse().unwrap();
            world.claim(world.at(seconds), address, [2, 0, 0, 0, 0, mac], kind);
        }
        // The longest retry, its probes and an examination.
        world.run(seconds, seconds + 80.0);
        for address in addresses {
            proptest::prop_assert_eq!(world.withheld(address), None, "{}", address);
            proptest::prop_assert!(world.is_free(address));
        }
        proptest::prop_assert!(world.is_idle());
    }
}
