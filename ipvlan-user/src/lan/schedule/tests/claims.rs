//! Many claims: the log, the pace and the quota of events of each netns.

use super::*;

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
    assert!((14_000..16_000).contains(&events), "{events}");
    assert!(!exceeded.contains_key(&(NetnsId::Nsid(B), QuotaKind::Events)));
    // No address was withheld.
    assert!(segment.schedule.withheld().is_empty());
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
