//! New addresses whose first probe waits for the pace of their netns or of the parent.

use super::*;

const STEP: f64 = 0.05;
/// After what time an address is withheld, its netns having used up its pace, and the time of a step.
const OWN_PACE: f64 = 1.06;
/// The same where only the pace of the parent delays its probe.
const SHARED_PACE: f64 = 5.06;

fn has_note(segment: &Segment) -> bool {
    let notes = segment.notes();
    notes
        .iter()
        .any(|note| note.contains("before their first probe"))
}

#[test]
fn an_address_is_answered_for_a_second_at_most_while_its_netns_exceeds_its_pace() {
    let mut segment = Segment::new(LanPolicy::default());
    segment.add_many(0..250, A);
    let well_behaved = [v4(100_000), v6(1)];
    let (mut was_withheld, mut added) = (0, None);
    for _ in 0..4_000 {
        segment.run(STEP);
        let now = segment.at();
        if now > 7.0 && added.is_none() {
            added = Some(now);
            for address in well_behaved {
                segment.add(address, B);
            }
        }
        for address in (0..250).map(v4) {
            let Some(probed) = segment.probed.get(&address) else {
                let is_answered = segment.refusal(address).is_none();
                assert!(!is_answered || now < OWN_PACE, "{address}: {now}");
                was_withheld += usize::from(!is_answered);
                continue;
            };
            // From then on it is as any other.
            let expected = (now < probed + 0.5 && *probed > 1.0).then_some(Reason::Probing);
            let is_sharp = (now - probed - 0.5).abs() > 0.06 && (probed - 1.0).abs() > 0.06;
            let is_expected = segment.refusal(address) == expected;
            assert!(!is_sharp || is_expected, "{address}: {now}");
        }
        for address in well_behaved {
            assert_eq!(segment.refusal(address), None, "{address}");
        }
        let withheld = segment.schedule.withheld();
        assert_eq!(has_note(&segment), !withheld.is_empty());
    }
    assert!(was_withheld > 0);
    let added = added.unwrap();
    for address in well_behaved {
        segment.assert_in_time(address, added, (0.5, 2.0));
    }
    assert!(segment.schedule.withheld().is_empty());
    for address in (0..250).map(v4) {
        let (probed, announced) = (segment.probed[&address], segment.announced[&address]);
        assert!(announced > probed + 0.49, "{address}");
    }
}

#[test]
fn an_address_that_waits_for_others_is_answered_for_five_seconds() {
    let mut segment = Segment::new(LanPolicy::default());
    // As many netns as the parent has probes in eight seconds.
    for (number, nsid) in (0..80).zip(100..) {
        segment.add(v4(number), nsid);
    }
    let mut withheld = BTreeSet::new();
    for _ in 0..1_000 {
        segment.run(STEP);
        let now = segment.at();
        withheld.extend(segment.schedule.withheld().keys().copied());
        assert!(now > 4.9 || withheld.is_empty(), "{now}");
        for address in (0..80).map(v4) {
            let is_probed = segment.probed.contains_key(&address);
            let is_held = segment.refusal(address).is_some();
            assert!(
                is_probed || is_held || now < SHARED_PACE,
                "{address}: {now}"
            );
        }
    }
    assert!((10..40).contains(&withheld.len()), "{}", withheld.len());
    assert!(segment.schedule.withheld().is_empty());
    assert_eq!(segment.announced.len(), 80);
}

#[test]
fn an_address_that_is_given_up_and_taken_again_is_answered_once() {
    let [first, new, of_other] = [0, 100_000, 100_001].map(v4);
    // How many addresses come and go: one, and more than are remembered.
    for count in [1, 300] {
        let mut segment = Segment::new(LanPolicy::default());
        let mut answered = 0.0;
        for round in 0..50 {
            segment.add_many(0..count, A);
            for _ in 0..8 {
                segment.run(STEP);
                let is_answered = segment.refusal(first).is_none();
                answered += if is_answered { STEP } else { 0.0 };
            }
            let is_new = segment.refusal(first).is_none();
            assert_eq!(is_new, round == 0, "{count}: {round}");
            segment.remove_many(0..count);
            segment.run(STEP);
        }
        assert!(answered < 0.5, "{count}: {answered}");
        // Of a netns that gave up so many no new address is trusted; those of others are.
        segment.add(new, A);
        assert_eq!(segment.refusal(new).is_some(), count > 256, "{count}");
        segment.add(of_other, B);
        assert_eq!(segment.refusal(of_other), None);
        // In another netns the address itself is not new either.
        segment.add(first, B);
        assert_eq!(segment.refusal(first), Some(Reason::Probing));
        segment.remove(first);
        segment.remove(new);
        segment.run(12.0);
        for address in [first, new] {
            segment.add(address, A);
            assert_eq!(segment.refusal(address), None, "{count}: all is forgotten");
        }
        // One that was clean is as new as any other.
        segment.run(120.0);
        segment.remove(first);
        segment.add(first, A);
        assert_eq!(segment.refusal(first), None);
    }
}

#[test]
fn the_time_of_an_address_does_not_begin_anew_in_another_netns() {
    let mut segment = Segment::new(LanPolicy::default());
    for (number, nsid) in (0..500).zip([A, B].into_iter().cycle()) {
        segment.add(v4(number), nsid);
    }
    let last = v4(499);
    for nsid in [A, B].into_iter().cycle().take(18) {
        segment.add(last, nsid);
        segment.run(0.3);
    }
    assert!(!segment.probed.contains_key(&last));
    assert_eq!(segment.refusal(last), Some(Reason::Probing));
}

#[test]
fn without_a_carrier_no_time_passes_and_what_is_withheld_stays_so() {
    let mut segment = Segment::new(LanPolicy::default());
    let withheld = |segment: &Segment| segment.schedule.withheld().len();
    segment.add_many(0..50, A);
    segment.run(0.8);
    segment.set_carrier(false);
    segment.run(60.0);
    assert_eq!(withheld(&segment), 0);
    segment.set_carrier(true);
    segment.run(0.9);
    assert_eq!(withheld(&segment), 0);
    segment.run(0.4);
    let count = withheld(&segment);
    assert!(count > 30, "{count}");
    segment.set_carrier(false);
    segment.run(60.0);
    segment.set_carrier(true);
    segment.run(0.1);
    assert_eq!(withheld(&segment), count);
    segment.run(120.0);
    assert_eq!(withheld(&segment), 0);
    assert_eq!(segment.announced.len(), 50);
}
