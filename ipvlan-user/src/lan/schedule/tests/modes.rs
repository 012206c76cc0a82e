//! The modes of duplicate address detection, and changes from one to another.

use DadMode::{Off, Optimistic, Strict};

use super::*;

#[test]
fn each_mode_answers_and_announces_a_new_address_in_its_time() {
    let probing = Some(Reason::Probing);
    // Mode; how long the first probe may wait, if there is one; whether the address is withheld; when it is announced.
    let rows = [
        (Off, None, None, 0.0..=0.0),
        (Optimistic, Some(0.001), None, 0.5..=0.501),
        (Strict, Some(1.0), probing, 4.0..=7.0),
    ];
    for (mode, wait, withheld, announced) in rows {
        for address in [v4(1), v6(1)] {
            let mut segment = Segment::unpaced(in_mode(mode));
            segment.add(address, A);
            assert_eq!(segment.refusal(address), withheld, "{mode:?}");
            assert_eq!(segment.schedule.is_probed(address), wait.is_some());
            assert_eq!(segment.is_free(address), wait.is_none(), "{mode:?}");
            let trace = segment.run(60.0);
            let probes = trace.times(Step::Probe(address));
            let sent = trace.times(Step::Announcement(address));
            assert_eq!(sent.len(), 3, "{mode:?}");
            assert!(announced.contains(&sent[0]), "{mode:?}: {trace:?}");
            match wait {
                Some(wait) => assert_probes(&probes, 0.0, wait),
                None => assert_eq!(probes, [0.0; 0]),
            }
            let answered = trace.times(Step::Answered(address));
            if mode == Strict {
                assert_eq!(answered, sent[..1]);
                assert!((answered[0] - probes[2] - 2.0).abs() < 0.001, "{trace:?}");
            } else {
                assert_eq!(answered, [0.0; 0]);
            }
            assert_eq!(segment.refusal(address), None, "{mode:?}");
            assert!(segment.is_free(address) && !segment.schedule.is_probed(address));
            let changed = segment.schedule.take_changed().len();
            assert_eq!(changed, usize::from(wait.is_some()), "{mode:?}");
            // Seen again, it is what it was.
            segment.update_again();
            assert_eq!(segment.refusal(address), None, "{mode:?}");
            assert!(segment.is_idle());
        }
    }
}

#[test]
fn another_mode_cuts_nothing_off_and_counts_for_what_is_new() {
    // From and to; how often what is answered is probed for once more, and what is new; whether that is withheld
    // meanwhile.
    let rows = [
        (Off, Optimistic, 3, 3, None),
        (Off, Strict, 0, 3, Some(Reason::Probing)),
        (Optimistic, Strict, 0, 3, Some(Reason::Probing)),
        (Strict, Optimistic, 0, 3, None),
        (Optimistic, Off, 0, 0, None),
        (Strict, Off, 0, 0, None),
        (Optimistic, Optimistic, 0, 3, None),
    ];
    let [answered, new] = [v4(1), v4(2)];
    for (from, to, again, probed, withheld) in rows {
        let shown = format!("{from:?} → {to:?}");
        let mut segment = Segment::unpaced(in_mode(from));
        segment.add(answered, A);
        segment.run(20.0);
        assert!(segment.is_free(answered), "{shown}");

        segment.set_policy(in_mode(to));
        assert_eq!(segment.refusal(answered), None, "{shown}");
        let trace = segment.run(20.0);
        // It is not announced once more.
        assert_eq!(trace.0.len(), again, "{shown}: {trace:?}");
        let probes = trace.times(Step::Probe(answered));
        assert_eq!(probes.len(), again, "{shown}");

        segment.add(new, A);
        assert_eq!(segment.refusal(new), withheld, "{shown}");
        let probes = segment.run(20.0).times(Step::Probe(new));
        assert_eq!(probes.len(), probed, "{shown}");
        assert!(segment.is_free(new) && segment.is_free(answered), "{shown}");
        assert_eq!(segment.refusal(new), None, "{shown}");
    }
}

#[test]
fn an_address_that_is_being_probed_for_is_answered_when_strict_comes_or_goes() {
    // From and to, and whether the address is announced at once.
    let rows = [
        (Optimistic, Strict, true),
        (Strict, Optimistic, false),
        (Strict, Off, true),
        (Optimistic, Off, true),
    ];
    for (from, to, at_once) in rows {
        let mut segment = Segment::unpaced(in_mode(from));
        segment.add(v4(1), A);
        segment.run(0.2);
        segment.set_policy(in_mode(to));
        assert_eq!(segment.refusal(v4(1)), None, "{from:?} → {to:?}");
        let sent = segment.run(20.0).times(Step::Announcement(v4(1)));
        assert_eq!(sent.len(), 3, "{from:?} → {to:?}");
        assert_eq!(sent[0] < 0.21, at_once, "{from:?} → {to:?}");
        assert!(segment.is_free(v4(1)) && segment.is_idle());
    }
}

#[test]
fn a_duplicate_stays_withheld_unless_nothing_is_probed_for_any_more() {
    let duplicate = Some(Reason::Duplicate);
    for (mode, withheld) in [(Optimistic, duplicate), (Off, None)] {
        let mut segment = Segment::unpaced(in_mode(Strict));
        segment.add(v4(1), A);
        segment.event(EventKind::Probe, v4(1), STATION);
        assert_eq!(segment.refusal(v4(1)), duplicate);
        segment.run(1.0);
        segment.set_policy(in_mode(mode));
        assert_eq!(segment.refusal(v4(1)), withheld, "{mode:?}");
        let duplicates = segment.duplicates();
        assert_eq!(duplicates.is_empty(), withheld.is_none(), "{mode:?}");
        assert_eq!(segment.run(5.0).is_silent(), withheld.is_some(), "{mode:?}");
    }
}

#[test]
fn another_mode_releases_no_address_before_its_probe_but_off() {
    let start = |dad| {
        let mut segment = Segment::new(in_mode(dad));
        segment.add_many(0..50, A);
        segment.run(1.5);
        segment
    };
    let probing = Some(Reason::Probing);
    let last = v4(49);
    let mut segment = start(Optimistic);
    assert_eq!(segment.refusal(last), probing);
    segment.set_policy(in_mode(Strict));
    assert_eq!(segment.refusal(last), probing);
    while !segment.probed.contains_key(&last) {
        segment.run(0.05);
    }
    segment.run(2.0);
    assert_eq!(segment.refusal(last), probing, "three probes");
    segment.run(60.0);
    assert_eq!(segment.refusal(last), None);

    let mut segment = start(Optimistic);
    segment.set_policy(in_mode(Off));
    assert_eq!(segment.refusal(last), None);

    let mut segment = start(Strict);
    segment.set_policy(in_mode(Optimistic));
    assert_eq!(segment.refusal(last), None);
    segment.run(1.1);
    // The order of first probes is random.
    let late = (0..50).map(v4).find(|it| !segment.probed.contains_key(it));
    let late = late.expect("not all have had their turn");
    assert_eq!(segment.refusal(late), probing);
    segment.run(120.0);
    assert!(segment.schedule.withheld().is_empty());
}
