//! What one netns does uses up neither the pace of others, nor their quota of events, nor their share of the log.

use super::*;

/// Row S9 of the attack table: 1 200 addresses given up in turn every 0.6 s, all of them lower than those of
/// the other child.
#[test]
fn a_new_address_is_probed_for_at_once_and_announced_while_another_netns_churns() {
    let mut segment = Segment::new(LanPolicy::default());
    let mut trace = Trace::default();
    let mut new = Vec::new();
    for round in 0..50_u16 {
        segment.remove_many(0..1_200);
        segment.add_many(0..1_200, A);
        if round % 5 == 4 {
            for address in [v4(100_000 + u32::from(round)), v6(round)] {
                new.push((address, segment.at()));
                segment.add(address, B);
            }
        }
        trace.0.extend(segment.run(0.6).0);
    }
    // The last ones have not had the time.
    for &(address, since) in &new[..new.len() - 2] {
        segment.assert_in_time(address, since, (0.5, 2.0));
    }
    let most = trace.most_in_a_second();
    assert!(most <= 13, "{most} frames in a second");
    // The other netns has had its share, and that is reported.
    let of_a = trace.count(|step| match step {
        Step::Probe(address) | Step::Announcement(address) => address < v4(1_200),
        _ => false,
    });
    assert!((140..=158).contains(&of_a), "{of_a}");
    let exceeded = segment.schedule.exceeded();
    let of_a = (NetnsId::Nsid(A), QuotaKind::Announcements);
    assert!(exceeded.contains_key(&of_a), "{exceeded:?}");
    // What was given up has left nothing behind.
    segment.remove_many(0..1_200);
    segment.run(120.0);
    assert!(segment.is_idle());
}

/// As above, by ten netns of one container.
#[test]
fn a_new_address_is_announced_in_time_while_ten_netns_churn() {
    let mut segment = Segment::new(LanPolicy::default());
    let mut trace = Trace::default();
    for round in 0..20 {
        for (number, nsid) in (0..1_200).zip((100..110).cycle()) {
            segment.remove(v4(number));
            segment.add(v4(number), nsid);
        }
        if round == 10 {
            segment.add(v4(100_000), B);
        }
        trace.0.extend(segment.run(0.6).0);
    }
    segment.assert_in_time(v4(100_000), 6.0, (0.5, 2.0));
    assert!(trace.most_in_a_second() <= 13);
}

/// A start with many children is slow, and a child that comes later does not wait for it.
#[test]
fn a_new_address_goes_before_the_thousand_that_were_there_at_start() {
    let candidates = (0..1_000)
        .zip(100..)
        .map(|(number, nsid)| (v4(number), of(nsid)));
    let (policy, quotas) = (LanPolicy::default(), Quotas::default());
    let mut segment = Segment::started(policy, quotas, Adopted::default(), candidates);
    let mut trace = segment.run(20.0);
    segment.add(v4(100_000), B);
    assert!(segment.schedule.withheld().is_empty());
    trace.0.extend(segment.run(720.0).0);
    segment.assert_in_time(v4(100_000), 20.0, (0.2, 1.0));
    assert!(trace.most_in_a_second() <= 13);
    // All have their turn: three probes and three announcements each.
    assert_eq!(trace.frames().count(), 6 * 1_001);
    assert_eq!(segment.announced.len(), 1_001);
    assert_eq!(segment.schedule.probed().count(), 0);
    assert!(segment.is_idle());
}

/// Stations can claim the addresses of one netns as often as they like.
#[test]
fn claims_of_the_addresses_of_one_netns_use_up_neither_the_log_nor_the_pace_of_others() {
    let mut segment = Segment::new(LanPolicy::default());
    segment.add_many(0..500, A);
    segment.add(v4(100_000), B);
    segment.run(600.0);
    assert!(segment.is_idle(), "all are established");
    segment.claim(v4(100_000), STATION);
    for number in 0..20_000_u32 {
        let [_, a, b, c] = number.to_be_bytes();
        segment.claim(v4(number % 500), [2, 0, 1, a, b, c]);
        if number % 64 == 0 {
            assert!(segment.run(1.0).most_in_a_second() <= 13);
        }
    }
    // The other netns: its entry is there, and its new address has its turn.
    let entries = segment.schedule.incidents().entries();
    let of_b = entries.filter(|entry| entry.incident.address == Some(v4(100_000)));
    assert_eq!(of_b.count(), 1);
    let since = segment.at();
    segment.add(v4(100_001), B);
    assert!(segment.run(3.0).most_in_a_second() <= 13);
    segment.assert_in_time(v4(100_001), since, (2.0, 2.0));
    // Events beyond the quota were counted, for the netns that they are about.
    let exceeded = segment.schedule.exceeded();
    let events = exceeded[&(NetnsId::Nsid(A), QuotaKind::Events)];
    assert!((14_970..15_000).contains(&events), "{events}");
    assert!(!exceeded.contains_key(&(NetnsId::Nsid(B), QuotaKind::Events)));
    // No address was withheld.
    assert!(segment.schedule.withheld().is_empty());
    // The agent's own netns has no quota, and one without addresses is forgotten.
    let mut own = of(A);
    own.announced.child.netns = NetnsId::Own;
    segment.add_as(v4(100_002), own);
    segment.run(10.0);
    for _ in 0..100 {
        segment.claim(v4(100_002), STATION);
    }
    let last = segment.schedule.incidents().entries().next_back().unwrap();
    assert_eq!(last.times, 100);
    segment.remove_many(0..500);
    segment.update_again();
    assert!(segment.schedule.exceeded().is_empty());
}

/// The answer to a probe is evidence, however many events there are about the same netns.
#[test]
fn an_answer_to_a_probe_counts_beyond_the_quota_of_events() {
    let mut segment = Segment::new(LanPolicy::default());
    segment.add_many(0..100, A);
    segment.run(120.0);
    segment.add(v4(1_000), A);
    segment.run(0.3);
    assert!(segment.probed.contains_key(&v4(1_000)));
    for number in 0..100 {
        segment.claim(v4(number), STATION);
    }
    let owner = [2, 0, 0, 0, 0, 7];
    segment.claim(v4(1_000), owner);
    segment.run(5.0);
    assert_eq!(segment.refusal(v4(1_000)), Some(Reason::Duplicate));
    assert!(!segment.announced.contains_key(&v4(1_000)));
    assert_eq!(segment.duplicates(), [(v4(1_000), owner)]);
}
