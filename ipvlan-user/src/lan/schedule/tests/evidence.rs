//! Claims and probes by stations of addresses that are being probed for.

use super::*;

/// Row S4 of the attack table: a child takes the address of a station.
#[test]
fn an_address_that_a_station_owns_is_withheld_until_the_station_is_gone() {
    let duplicate = Some(Reason::Duplicate);
    for (mode, latest) in [(DadMode::Optimistic, 0.5), (DadMode::Strict, 1.5)] {
        for address in [v4(1), v6(1)] {
            let mut segment = Segment::unpaced(in_mode(mode));
            segment.owners.insert(address, vec![STATION]);
            segment.add(address, A);
            let trace = segment.run(9.0);
            assert_eq!(trace.times(Step::Control).len(), 2, "{trace:?}");
            let withheld = trace.times(Step::Withheld(address, Reason::Duplicate));
            assert!(
                withheld.len() == 1 && withheld[0] < latest,
                "{mode:?} {trace:?}"
            );
            assert_eq!(segment.refusal(address), duplicate);
            assert!(!segment.is_free(address));
            assert_eq!(segment.duplicates(), [(address, STATION)]);
            // As long as it is there: each time one probe, and no other control address.
            let trace = segment.run(51.0);
            let probes = trace.times(Step::Probe(address));
            assert!((3..=6).contains(&probes.len()), "{trace:?}");
            assert_eq!(trace.0.len(), probes.len(), "{trace:?}");
            assert!(!segment.announced.contains_key(&address));
            assert_eq!(segment.refusal(address), duplicate);
            // It comes back by itself.
            segment.owners.clear();
            let trace = segment.run(20.0);
            assert_eq!(trace.times(Step::Answered(address)).len(), 1, "{trace:?}");
            assert_eq!(trace.times(Step::Announcement(address)).len(), 3);
            assert_eq!(segment.refusal(address), None);
            assert!(segment.is_free(address) && segment.is_idle());
            assert_eq!(segment.duplicates(), []);
        }
    }
}

/// Azure, local proxy ARP: a claim is no evidence by a MAC that answers for everything. The log has that one finding
/// and no claim of the address.
#[test]
fn a_station_that_answers_for_every_address_is_one_incident_and_nothing_is_withheld() {
    for (mode, announced) in [(DadMode::Optimistic, 2.0), (DadMode::Strict, 8.0)] {
        for [first, second, later] in [[1, 2, 3].map(v4), [1, 2, 3].map(v6)] {
            let mut segment = Segment::unpaced(in_mode(mode));
            segment.fabric = Some(FABRIC);
            segment.add(first, A);
            segment.add(second, A);
            let trace = segment.run(30.0);
            assert_eq!(trace.times(Step::Control).len(), 2, "{trace:?}");
            let is_withheld = |step| matches!(step, Step::Withheld(..));
            assert_eq!(trace.count(is_withheld), 0, "{trace:?}");
            // The next one costs no control address.
            segment.add(later, A);
            let trace = segment.run(30.0);
            assert_eq!(trace.times(Step::Control).len(), 0);
            assert_eq!(trace.times(Step::Probe(later)).len(), 3);
            for (address, since) in [(first, 0.0), (second, 0.0), (later, 30.0)] {
                assert_eq!(segment.refusal(address), None, "{mode:?}");
                assert!(segment.is_free(address), "{mode:?}");
                segment.assert_in_time(address, since, (1.0, announced));
            }
            let entries = segment.schedule.incidents().entries();
            let kinds: Vec<_> = entries
                .map(|of| (of.incident.kind, of.incident.mac))
                .collect();
            assert_eq!(kinds, [(Kind::NoOwner, Some(FABRIC))], "{mode:?}");
            assert!(segment.schedule.take_no_owner());
            assert_eq!(segment.duplicates(), []);
            assert!(segment.is_idle());
        }
    }
}

#[test]
fn a_claim_after_the_third_probe_that_is_no_evidence_costs_no_fourth() {
    for mode in [DadMode::Optimistic, DadMode::Strict] {
        let mut segment = Segment::unpaced(in_mode(mode));
        segment.add(v4(1), A);
        let mut probes = 0;
        while probes < 3 {
            probes += segment.run(0.1).times(Step::Probe(v4(1))).len();
        }
        segment.fabric = Some(FABRIC);
        segment.claim(v4(1), FABRIC);
        let trace = segment.run(10.0);
        assert_eq!(trace.times(Step::Control).len(), 2, "{mode:?} {trace:?}");
        assert_eq!(trace.times(Step::Probe(v4(1))), [0.0; 0], "{mode:?}");
        assert!(segment.is_free(v4(1)), "{mode:?} {trace:?}");
    }
}

#[test]
fn a_real_owner_counts_beside_a_station_that_answers_for_every_address() {
    // The owner answers before it, and after it.
    for owners in [vec![STATION], vec![FABRIC, STATION]] {
        let mut segment = Segment::unpaced(in_mode(DadMode::Optimistic));
        segment.owners.insert(v4(1), owners);
        segment.fabric = Some(FABRIC);
        segment.add(v4(1), A);
        let trace = segment.run(5.0);
        let withheld = trace.times(Step::Withheld(v4(1), Reason::Duplicate));
        assert_eq!(withheld.len(), 1, "{trace:?}");
        assert_eq!(segment.refusal(v4(1)), Some(Reason::Duplicate));
        assert_eq!(segment.duplicates(), [(v4(1), STATION)]);
    }
}

#[test]
fn what_others_do_means_what_the_mode_makes_of_it() {
    use DadMode::{Optimistic, Strict};
    use EventKind::{Claim, Probe, UnicastProbe};
    let (probing, duplicate) = (Some(Reason::Probing), Some(Reason::Duplicate));
    // Mode, when, by what: withheld then, and a second later, when the MAC of a claim was examined.
    let rows = [
        (Strict, 0.0, Claim, probing, duplicate),
        (Strict, 2.0, Claim, probing, duplicate),
        (Strict, 2.0, Probe, duplicate, duplicate),
        (Strict, 30.0, Claim, None, None),
        (Strict, 30.0, Probe, None, None),
        // Before the first probe: answered while it is examined.
        (Optimistic, 0.0, Claim, None, duplicate),
        (Optimistic, 0.1, Claim, None, duplicate),
        (Optimistic, 2.0, Claim, None, duplicate),
        (Optimistic, 0.1, Probe, None, None),
        (Optimistic, 2.0, Probe, None, None),
        (Optimistic, 30.0, Claim, None, None),
        // Cisco IP Device Tracking.
        (Strict, 2.0, UnicastProbe, probing, probing),
        (Optimistic, 0.1, UnicastProbe, None, None),
    ];
    for (mode, at, kind, then, later) in rows {
        let row = (mode, at, kind);
        let mut segment = Segment::unpaced(in_mode(mode));
        segment.add(v4(1), A);
        if at > 0.0 {
            segment.run(at);
        }
        segment.event(kind, v4(1), STATION);
        assert_eq!(segment.refusal(v4(1)), then, "{row:?}");
        let trace = segment.run(1.0);
        assert_eq!(segment.refusal(v4(1)), later, "{row:?}");
        if later == duplicate {
            assert_eq!(trace.times(Step::Probe(v4(1))), [0.0; 0], "{row:?}");
            assert!(!segment.is_free(v4(1)), "{row:?}");
            assert_eq!(segment.duplicates(), [(v4(1), STATION)], "{row:?}");
            assert_eq!(segment.actions(), [Action::Withheld], "{row:?}");
            // It is probed for again when the other station may be gone.
            let probes = segment.run(30.0).times(Step::Probe(v4(1)));
            assert!((10.0..=11.5).contains(&(probes[0] - at)), "{probes:?}");
            assert!(segment.is_free(v4(1)), "{row:?}");
        } else {
            assert_eq!(segment.duplicates(), [], "{row:?}");
            let action = match kind {
                Claim => Some(Action::None),
                Probe => Some(Action::Answered),
                UnicastProbe => None,
            };
            assert_eq!(segment.actions(), Vec::from_iter(action), "{row:?}");
        }
    }
}

#[test]
fn many_conflicts_make_probes_rare() {
    for mode in PROBING {
        let mut segment = Segment::unpaced(in_mode(mode));
        segment.owners.insert(v4(1), vec![STATION]);
        segment.add(v4(1), A);
        // The station answers the first of the probes each time.
        let probes = segment.run(500.0).times(Step::Probe(v4(1)));
        let gaps: Vec<f64> = probes.windows(2).map(|pair| pair[1] - pair[0]).collect();
        // After ten conflicts.
        let (few, many) = gaps.split_at(9);
        assert!(few.iter().all(|gap| (9.9..=11.5).contains(gap)), "{gaps:?}");
        let are_rare = many.iter().all(|gap| (59.9..=61.5).contains(gap));
        assert!(many.len() > 3 && are_rare, "{gaps:?}");
    }
}

#[test]
fn a_station_that_keeps_claiming_is_one_conflict() {
    let mut segment = Segment::unpaced(in_mode(DadMode::Strict));
    segment.add(v4(1), A);
    let mut controls = 0;
    for second in 0..100 {
        controls += segment.run(1.0).times(Step::Control).len();
        // Its MAC may change: the address is in conflict already.
        segment.claim(v4(1), [2, 0, 0, 0, 0, 9 + second % 2]);
    }
    assert_eq!(controls, 2, "one examination");
    assert_eq!(segment.refusal(v4(1)), Some(Reason::Duplicate));
    // Ten seconds after the last claim, not after the first; and not sixty.
    let probes = segment.run(12.0).times(Step::Probe(v4(1)));
    assert!((110.0..=111.1).contains(&probes[0]), "{probes:?}");
}

/// A conflict is not forgotten either when the child gives the address up for a moment.
#[test]
fn an_address_in_conflict_that_is_taken_again_is_withheld_until_it_is_clean() {
    let mut segment = Segment::new(LanPolicy::default());
    segment.add(v4(1), A);
    segment.run(0.1);
    segment.claim(v4(1), STATION);
    segment.run(2.0);
    assert_eq!(segment.refusal(v4(1)), Some(Reason::Duplicate));
    segment.remove(v4(1));
    assert!(segment.is_idle());
    segment.add(v4(1), A);
    assert_eq!(segment.refusal(v4(1)), Some(Reason::Probing));
    segment.run(1.0);
    assert_eq!(segment.refusal(v4(1)), None, "no station answered");
}

proptest::proptest! {
    /// Whatever stations claim and whenever events are suppressed: an address that was clean is never withheld,
    /// and each address is answered and announced once the stations are silent.
    #[test]
    fn whatever_is_claimed_established_addresses_stay_and_all_others_come_back(
        strict: bool,
        fabric: bool,
        steps in proptest::collection::vec((0..4_000_u32, 0..3_usize, 0..5_u8, 0..3_u8), 1..80),
    ) {
        let addresses = [v4(1), v6(1), v4(2)];
        let mut segment = Segment::unpaced(in_mode(PROBING[usize::from(strict)]));
        segment.fabric = fabric.then_some(FABRIC);
        let mut established = BTreeSet::new();
        for address in addresses {
            segment.add(address, A);
        }
        for (millis, index, action, mac) in steps {
            segment.run(f64::from(millis) / 1_000.0);
            for address in addresses {
                let withheld = segment.refusal(address);
                if established.contains(&address) {
                    proptest::prop_assert_eq!(withheld, None, "{} was clean", address);
                } else if !segment.schedule.is_probed(address) {
                    established.insert(address);
                }
                proptest::prop_assert!(withheld.is_none() || !segment.is_free(address));
            }
            let kind = match action {
                0 => EventKind::Probe,
                1 => EventKind::UnicastProbe,
                2 => {
                    segment.suppressed += 1;
                    continue;
                }
                _ => EventKind::Claim,
            };
            segment.event(kind, addresses[index], [2, 0, 0, 0, 0, mac]);
        }
        // The longest retry, its probes and an examination.
        segment.run(80.0);
        for address in addresses {
            proptest::prop_assert_eq!(segment.refusal(address), None, "{}", address);
            proptest::prop_assert!(segment.is_free(address));
            proptest::prop_assert!(segment.announced.contains_key(&address));
        }
        proptest::prop_assert!(segment.is_idle());
    }
}
