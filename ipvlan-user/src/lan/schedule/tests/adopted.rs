//! The decisions of previous agents, which are found in adopted maps.

use super::*;

/// Row S12 of the attack table: a false reply to each probe, after a restart.
#[test]
fn an_established_address_is_answered_and_defended_whatever_is_claimed() {
    for mode in PROBING {
        for address in [v4(1), v6(1)] {
            let adopted = Adopted {
                established: [address].into(),
                mac: Some(PARENT),
                ..Adopted::default()
            };
            let mut segment =
                Segment::started(in_mode(mode), unpaced(), adopted, [(address, of(A))]);
            segment.owners.insert(address, vec![STATION]);
            assert!(segment.is_free(address) && !segment.schedule.is_probed(address));
            let trace = segment.run(900.0);
            let probes = trace.times(Step::Probe(address));
            assert!(probes.len() > 10, "it is probed for: {trace:?}");
            let withheld = trace.count(|step| matches!(step, Step::Withheld(..)));
            assert_eq!((withheld, segment.refusal(address)), (0, None));
            assert!(segment.is_free(address));
            // The answers are disputed and reported: defended once, then yielded.
            assert_eq!(trace.times(Step::Announcement(address)).len(), 1);
            assert_eq!(segment.actions(), [Action::Yielded]);
            assert_eq!(segment.duplicates(), [(address, STATION)]);
            // Not so by a station that answers for everything.
            segment.owners.clear();
            segment.fabric = Some(FABRIC);
            segment.run(100.0);
            assert_eq!(segment.actions(), [Action::Yielded, Action::None]);
            assert_eq!(segment.duplicates(), []);
            assert!(segment.is_idle());
        }
    }
}

#[test]
fn what_was_withheld_when_the_agent_ended_stays_so_until_its_probes() {
    let probing = Some(Reason::Probing);
    for (mode, new_held) in [(DadMode::Optimistic, None), (DadMode::Strict, probing)] {
        let addresses = [1, 2, 3, 4].map(v4);
        let [unprobed, withheld, established, new] = addresses;
        let adopted = Adopted {
            established: [established].into(),
            withheld: [withheld].into(),
            unprobed: [unprobed].into(),
            mac: Some(PARENT),
        };
        let quotas = Quotas::default();
        let all = addresses.map(|address| (address, of(A)));
        let mut segment = Segment::started(in_mode(mode), quotas, adopted, all);
        let held = |segment: &Segment| addresses.map(|address| segment.refusal(address));
        let expected = [probing, Some(Reason::Duplicate), None, new_held];
        assert_eq!(held(&segment), expected, "{mode:?}");
        segment.run(0.4);
        assert_eq!(held(&segment), expected, "{mode:?}");
        segment.run(20.0);
        assert_eq!(held(&segment), [None; 4], "{mode:?}");
        let announced: Vec<IpAddr> = segment.announced.keys().copied().collect();
        assert_eq!(announced, [unprobed, withheld, new], "{mode:?}");
    }
}

/// The netns of an address can become readable after the start.
#[test]
fn what_an_agent_before_decided_is_known_when_the_child_is_seen_later() {
    let [established, withheld, unprobed, other] = [1, 2, 3, 4].map(v4);
    let adopted = Adopted {
        established: [established, other].into(),
        withheld: [withheld].into(),
        unprobed: [unprobed].into(),
        mac: Some(PARENT),
    };
    let mut segment = Segment::started(LanPolicy::default(), Quotas::default(), adopted, []);
    segment.run(5.0);
    for address in [established, withheld, unprobed] {
        segment.add(address, A);
    }
    assert_eq!(segment.refusal(withheld), Some(Reason::Duplicate));
    assert_eq!(segment.refusal(unprobed), Some(Reason::Probing));
    segment.run(0.1);
    segment.claim(established, STATION);
    segment.run(2.0);
    assert_eq!(segment.refusal(established), None);
    // Once only, and not when the agent has ceased to wait for netns.
    segment.remove(established);
    segment.schedule.forget_adopted();
    for address in [established, other] {
        segment.add(address, A);
        segment.claim(address, STATION);
    }
    segment.run(2.0);
    for address in [established, other] {
        assert_eq!(segment.refusal(address), Some(Reason::Duplicate));
    }
}
