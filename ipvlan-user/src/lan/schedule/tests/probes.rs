//! Probes that go unanswered, that cannot be sent, and whose answers may have been suppressed.

use super::*;

/// Row S15 of the attack table: the answer can be among the events that were suppressed.
#[test]
fn an_address_is_not_released_while_events_are_suppressed_but_is_at_last() {
    for (mode, latest, before) in [
        (DadMode::Optimistic, 2.0, 0.3),
        (DadMode::Strict, 14.0, 4.0),
    ] {
        // Suppressed all the time: two probes more than three.
        let mut segment = Segment::unpaced(in_mode(mode));
        segment.add(v4(1), A);
        let mut probes = 0;
        for _ in 0..600 {
            segment.suppressed += 1;
            probes += segment.run(0.05).times(Step::Probe(v4(1))).len();
        }
        assert_eq!(probes, 5, "{mode:?}");
        let announced = segment.announced[&v4(1)];
        assert!(announced < latest, "{mode:?} {announced}");
        assert!(segment.is_idle());
        // Suppressed once: the answer that was lost is received the next time.
        let mut segment = Segment::unpaced(in_mode(mode));
        segment.add(v4(1), A);
        segment.run(before);
        segment.suppressed += 1;
        segment.owners.insert(v4(1), vec![STATION]);
        segment.run(9.0 - before);
        assert_eq!(segment.announced.get(&v4(1)), None, "{mode:?}");
        assert_eq!(segment.refusal(v4(1)), Some(Reason::Duplicate));
    }
}

#[test]
fn without_a_carrier_nothing_is_probed_for_and_nothing_becomes_clean() {
    let mut segment = Segment::unpaced(in_mode(DadMode::Strict));
    segment.add(v4(1), A);
    segment.run(2.5);
    segment.set_carrier(false);
    assert!(segment.is_idle());
    assert_eq!(segment.refusal(v4(1)), Some(Reason::Probing));
    segment.run(97.5);
    segment.set_carrier(true);
    let trace = segment.run(20.0);
    assert_probes(&trace.times(Step::Probe(v4(1))), 100.0, 1.0);
    // Clean ones stay so.
    segment.set_carrier(false);
    segment.run(1.0);
    segment.set_carrier(true);
    assert_eq!(segment.refusal(v4(1)), None);
    assert_eq!(segment.run(20.0).times(Step::Probe(v4(1))), [0.0; 0]);
    assert!(segment.is_idle());
}

#[test]
fn a_carrier_that_goes_ends_an_examination_without_a_result() {
    let mut segment = Segment::unpaced(in_mode(DadMode::Optimistic));
    segment.add(v4(1), A);
    segment.claim(v4(1), STATION);
    assert_eq!(segment.schedule.controls().count(), 2);
    segment.run(0.1);
    segment.set_carrier(false);
    assert_eq!(segment.schedule.controls().count(), 0);
    segment.run(9.9);
    segment.set_carrier(true);
    let trace = segment.run(20.0);
    assert_probes(&trace.times(Step::Probe(v4(1))), 10.0, 0.001);
    assert!(segment.announced.contains_key(&v4(1)));
    assert_eq!(segment.refusal(v4(1)), None);
    assert_eq!(trace.count(|step| matches!(step, Step::Withheld(..))), 0);
}

#[test]
fn a_probe_that_cannot_be_sent_does_not_count_and_its_address_is_withheld_in_time() {
    let mut segment = Segment::new(LanPolicy::default());
    // The other end is closed.
    segment.schedule.socket = wire().0;
    segment.add(v4(1), A);
    segment.run(1.0);
    assert_eq!(segment.refusal(v4(1)), None);
    segment.run(5.0);
    assert_eq!(segment.refusal(v4(1)), Some(Reason::Probing));
    (segment.schedule.socket, segment.wire) = wire();
    let since = segment.at();
    let trace = segment.run(20.0);
    assert_probes(&trace.times(Step::Probe(v4(1))), since, 1.0);
    assert_eq!(segment.refusal(v4(1)), None);
}
