//! The share of each netns, and what can be put off.

use super::*;

/// What came of reading these netns, each in this time.
fn read(netnses: impl IntoIterator<Item = (i32, Duration)>) -> Renewed {
    let took = netnses.into_iter();
    Renewed {
        took: took
            .map(|(nsid, took)| (NetnsId::Nsid(nsid), took))
            .collect(),
        ..Renewed::default()
    }
}

fn taken(schedule: &mut Schedule, now: Instant) -> Vec<i32> {
    let Some(Refresh::Parts(parts)) = schedule.take(now, |id| id != NetnsId::Nsid(99)) else {
        return Vec::new();
    };
    let nsid = |id| match id {
        NetnsId::Nsid(nsid) => nsid,
        NetnsId::Own => -1,
    };
    parts.into_keys().map(nsid).collect()
}

#[test]
fn a_netns_rests_until_reading_it_took_its_share_and_no_other_waits_for_that() {
    let start = Instant::now();
    for (share, rest) in [(10, 90 * MS), (50, 10 * MS), (100, Duration::ZERO)] {
        let mut schedule = Schedule::new(start);
        schedule.set_share(share);
        schedule.add(start, parts(1));
        assert_eq!(taken(&mut schedule, start), [1]);
        let now = start + 10 * MS;
        schedule.charge(now, &read([(1, 10 * MS)]), Some(10 * MS));
        schedule.add(now, parts(1));
        if rest > MIN_GAP {
            schedule.add(now, parts(2));
            assert_eq!(taken(&mut schedule, now), [2]);
            assert_eq!(schedule.next_due(), Some(now + rest));
            let exceeded = [((NetnsId::Nsid(1), QuotaKind::Time), 1)].into();
            assert_eq!(*schedule.exceeded(), exceeded);
        }
        assert!(taken(&mut schedule, now + rest).contains(&1));
    }
}

#[test]
fn all_that_a_sync_of_parts_took_is_charged_to_their_netns() {
    let start = Instant::now();
    let mut schedule = Schedule::new(start);
    let renewed = read([(1, MS), (2, 3 * MS)]);
    schedule.charge(start, &renewed, Some(8 * MS));
    assert_eq!(schedule.costs.expected(NetnsId::Nsid(1)), 2 * MS);
    assert_eq!(schedule.costs.expected(NetnsId::Nsid(2)), 6 * MS);
    schedule.charge(start, &renewed, None);
    assert_eq!(schedule.costs.expected(NetnsId::Nsid(2)), 3 * MS);
}

#[test]
fn cheap_netns_come_first_and_expensive_ones_in_the_end() {
    let start = Instant::now();
    let mut schedule = Schedule::new(start);
    let costs = read([(1, MS / 10), (2, 4 * MS), (3, 4 * MS), (99, MS / 10)]);
    schedule.charge(start, &costs, None);
    let now = start + 100 * MS;
    for nsid in [99, 3, 2, 1] {
        schedule.add(now, parts(nsid));
    }
    // 3 would exceed the chunk.
    assert_eq!(taken(&mut schedule, now), [1, 2, 99]);
    assert_eq!(taken(&mut schedule, now), [3]);
    // However often the cheap one changes.
    schedule.add(now, parts(2));
    for millisecond in 0..=80 {
        let now = now + millisecond * MS;
        schedule.add(now, parts(1));
        let first = schedule.take(now, with_child);
        let Some(Refresh::Parts(parts)) = first else {
            panic!("{first:?}");
        };
        assert!(parts.contains_key(&NetnsId::Nsid(1)) || millisecond == 80);
    }
    assert!(!schedule.dirty.contains_key(&NetnsId::Nsid(2)));
}

#[test]
fn a_netns_without_a_child_of_ours_comes_after_those_with_one_for_a_quarter_of_a_second() {
    for (waited, first) in [(CHILDLESS / 2, 1), (CHILDLESS * 2, 99)] {
        let start = Instant::now();
        let mut schedule = Schedule::new(start);
        // One of them fills a chunk.
        schedule.charge(start, &read([(1, CHUNK), (99, CHUNK)]), None);
        // Long enough that neither cost counts any more.
        let dirty = start + 100_000 * MS;
        schedule.add(dirty, parts(99));
        let now = dirty + waited;
        schedule.add(now, parts(1));
        assert_eq!(taken(&mut schedule, now), [first], "after {waited:?}");
    }
}

#[test]
fn a_netns_that_cannot_be_read_is_tried_later_and_later_and_holds_no_other_up() {
    let start = Instant::now();
    let mut schedule = Schedule::new(start);
    let failed = |is_transient| {
        let failure = crate::discover::Failure {
            text: String::new(),
            is_transient,
        };
        Renewed {
            dirty: [(NetnsId::Nsid(1), Part::Links)].into(),
            failures: [(NetnsId::Nsid(1), failure)].into(),
            ..read([(1, MS)])
        }
    };
    let mut now = start;
    for rest in [100, 200, 400, 800, 1600, 3200, 5000, 5000] {
        schedule.charge(now, &failed(false), Some(MS));
        assert!(!schedule.has_failed());
        assert_eq!(schedule.next_due(), Some(now + rest * MS));
        schedule.add(now, parts(1));
        schedule.add(now, parts(2));
        assert_eq!(taken(&mut schedule, now), [2]);
        now += rest * MS;
        assert_eq!(taken(&mut schedule, now), [1]);
    }
    schedule.charge(now, &read([(1, MS)]), Some(MS));
    schedule.charge(now, &failed(true), Some(MS));
    assert_eq!(schedule.next_due(), Some(now + 9 * MS));
}

#[test]
fn full_scans_that_can_be_put_off_take_a_twentieth_of_the_time() {
    let start = Instant::now();
    let mut schedule = Schedule::new(start);
    let later = || Dirty {
        later: true,
        ..Dirty::default()
    };
    let mut busy = Duration::ZERO;
    let mut now = start;
    while now < start + 20_000 * MS {
        schedule.add(now, later());
        match schedule.take(now, with_child) {
            Some(Refresh::FullScan(_)) => schedule.chunk_done(now, now + 5 * MS),
            Some(Refresh::Chunk) => schedule.scan_done(now, now + 5 * MS),
            _ => {
                now += MS;
                continue;
            }
        }
        busy += 5 * MS;
        now += 5 * MS;
    }
    assert!(busy <= 1_020 * MS, "{busy:?}");
    assert!(busy >= 900 * MS, "{busy:?}");
    // What cannot be put off is not.
    schedule.add(now, later());
    schedule.add(now, everything());
    let due = schedule.next_due().unwrap();
    assert!(due <= now + WHOLE_GAP, "{:?}", due - now);
}

/// Many netns that change all the time, one that changes now and then, full scans in between.
#[test]
fn under_a_flood_a_well_behaved_netns_is_read_in_time_and_half_of_the_processor_is_left() {
    const GOOD: i32 = 0;
    // How many, what reading each takes, and whether they hold children.
    for (hostile, cost, has_children) in [
        (10, 5 * MS, true),
        (1000, MS / 20, true),
        (100, MS, true),
        (1000, MS / 20, false),
    ] {
        let start = Instant::now();
        let mut schedule = Schedule::new(start);
        let cost_of = |nsid: i32| if nsid == GOOD { MS / 20 } else { cost };
        let mut now = start;
        let mut busy = Duration::ZERO;
        let mut per_netns = BTreeMap::<i32, Duration>::new();
        let (mut woke, mut waited) = (None, Vec::new());
        let mut next_change = start;
        let mut chunks = 0;
        while now < start + 3_000 * MS {
            for nsid in 1..=hostile {
                schedule.add(now, parts(nsid));
            }
            schedule.add(now, everything());
            if woke.is_none() && now >= next_change {
                woke = Some(now);
                next_change = now + 500 * MS;
                schedule.add(now, parts(GOOD));
            }
            let refresh = schedule.take(now, |id| has_children || id == NetnsId::Nsid(GOOD));
            let started = now;
            match refresh {
                Some(Refresh::Parts(parts)) => {
                    let nsids: Vec<i32> = (0..=hostile)
                        .filter(|&nsid| parts.contains_key(&NetnsId::Nsid(nsid)))
                        .collect();
                    let took: Duration = nsids.iter().map(|&nsid| cost_of(nsid)).sum();
                    now += took;
                    let of_each = nsids.iter().map(|&nsid| (nsid, cost_of(nsid)));
                    schedule.charge(now, &read(of_each), Some(took));
                    schedule.done(started, now);
                    for &nsid in &nsids {
                        *per_netns.entry(nsid).or_default() += cost_of(nsid);
                    }
                    if nsids.contains(&GOOD) {
                        waited.extend(woke.take().map(|woke| now - woke));
                    }
                }
                Some(Refresh::FullScan(_) | Refresh::Chunk) if chunks < 20 => {
                    chunks += 1;
                    now += CHUNK;
                    schedule.chunk_done(started, now);
                }
                Some(Refresh::FullScan(_) | Refresh::Chunk) => {
                    chunks = 0;
                    now += CHUNK;
                    schedule.scan_done(started, now);
                }
                _ => {
                    let due = schedule.next_due().unwrap_or(now + MS);
                    now = due.max(now + MIN_GAP / 10);
                    continue;
                }
            }
            busy += now - started;
        }
        waited.sort_unstable();
        let slowest = waited[waited.len() * 99 / 100];
        assert!(slowest < 250 * MS, "{hostile} x {cost:?}: {slowest:?}");
        let share = busy.as_secs_f64() / (now - start).as_secs_f64();
        assert!(share <= 0.51, "{hostile} x {cost:?}: {share}");
        for (nsid, took) in per_netns {
            assert!(took <= 310 * MS, "{nsid}: {took:?}");
        }
    }
}
