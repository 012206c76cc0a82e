//! Netns share the pace of the parent.

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
