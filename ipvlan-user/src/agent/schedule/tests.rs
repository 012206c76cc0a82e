mod shares;

use super::*;

const MS: Duration = Duration::from_millis(1);

const fn with_child(_: NetnsId) -> bool {
    true
}

fn parts(nsid: i32) -> Dirty {
    Dirty {
        parts: BTreeMap::from([(NetnsId::Nsid(nsid), Part::Addresses)]),
        ..Dirty::default()
    }
}

fn everything() -> Dirty {
    Dirty {
        everything: true,
        ..Dirty::default()
    }
}

#[test]
fn the_first_wake_after_quiet_is_done_at_once() {
    let now = Instant::now();
    for dirty in [parts(1), everything()] {
        let mut schedule = Schedule::new(now);
        assert_eq!(schedule.next_due(), None);
        assert_eq!(schedule.take(now, with_child), None);
        let is_whole = dirty.everything;
        schedule.add(now, dirty);
        assert_eq!(schedule.next_due(), Some(now));
        assert!(schedule.take(now, with_child).is_some());
        if is_whole {
            schedule.scan_done(now, now);
        } else {
            schedule.done(now, now);
        }
        assert_eq!(schedule.next_due(), None);
    }
}

#[test]
fn wakes_during_a_long_sync_wait_until_little_debt_is_left_and_are_done_together() {
    let start = Instant::now();
    let mut schedule = Schedule::new(start);
    schedule.done(start, start + 20 * MS);
    schedule.add(start + 21 * MS, parts(1));
    schedule.add(start + 22 * MS, parts(2));
    assert_eq!(schedule.take(start + 34 * MS, with_child), None);
    let Some(Refresh::Parts(parts)) = schedule.take(start + 35 * MS, with_child) else {
        panic!("not done after 35 ms: {schedule:?}");
    };
    assert_eq!(parts.len(), 2);
}

#[test]
fn whatever_wakes_takes_at_most_half_of_a_processor() {
    for took in [MS / 2, 3 * MS, CHUNK, 40 * MS] {
        let start = Instant::now();
        let mut schedule = Schedule::new(start);
        let mut now = start;
        let (mut busy, mut chunks, mut syncs) = (Duration::ZERO, 0, 0);
        while now < start + 10_000 * MS {
            // In netns whose shares are not used up.
            schedule.add(now, everything());
            schedule.add_model();
            let ended = now + took;
            match schedule.take(now, with_child) {
                None => {
                    now += MS / 4;
                    continue;
                }
                Some(Refresh::FullScan(_) | Refresh::Chunk) => {
                    chunks += 1;
                    schedule.chunk_done(now, ended);
                }
                Some(Refresh::Model | Refresh::Parts(_)) => {
                    syncs += 1;
                    schedule.done(now, ended);
                }
            }
            busy += took;
            now = ended;
        }
        assert!(busy <= 5_000 * MS + CHUNK + took, "{took:?}: {busy:?}");
        assert!(chunks > 50 && syncs > 50, "{took:?}: {chunks} {syncs}");
    }
}

#[test]
fn everything_is_read_at_most_ten_times_a_second_however_much_wakes() {
    let start = Instant::now();
    let mut schedule = Schedule::new(start);
    let (mut whole, mut partial) = (0, 0);
    for millisecond in 0..1000 {
        let now = start + millisecond * MS;
        schedule.add(now, everything());
        schedule.add(now, parts(1));
        if let Some(refresh) = schedule.take(now, with_child) {
            match refresh {
                Refresh::FullScan(_) => {
                    whole += 1;
                    schedule.chunk_done(now, now + MS / 2);
                }
                Refresh::Chunk => schedule.scan_done(now, now + MS / 2),
                _ => {
                    partial += 1;
                    schedule.done(now, now + MS / 2);
                }
            }
        }
    }
    assert!((8..=10).contains(&whole), "{whole} {partial}");
    assert!(partial > 300, "{partial}");
}

#[test]
fn parts_do_not_wait_for_everything() {
    let start = Instant::now();
    let at = |ms| start + ms * MS;
    let whole = Some(Refresh::FullScan(Scope::Everything));
    let mut schedule = Schedule::new(start);
    schedule.add_everything();
    assert_eq!(schedule.take(start, with_child), whole);
    schedule.scan_done(start, at(2));
    schedule.add(at(5), everything());
    for (now, next) in [(5, 100), (100, 102)] {
        schedule.add(at(now), parts(1));
        let taken = schedule.take(at(now), with_child);
        assert!(matches!(taken, Some(Refresh::Parts(_))), "{taken:?}");
        schedule.done(at(now), at(now + 1));
        assert_eq!(schedule.next_due(), Some(at(next)));
    }
    let taken = schedule.take(at(102), with_child);
    assert_eq!(taken, whole, "not when parts have rested");
}

#[test]
fn what_wakes_while_everything_is_read_is_done_between_two_chunks() {
    let start = Instant::now();
    let mut schedule = Schedule::new(start);
    schedule.add(start, everything());
    let mut now = start;
    let (mut woke, mut waited) = (start, Duration::ZERO);
    let mut chunks = 0;
    // A hundred chunks, and something wakes in the middle of each.
    while schedule.is_whole() {
        match schedule.take(now, with_child) {
            Some(Refresh::FullScan(_) | Refresh::Chunk) if chunks < 100 => {
                schedule.chunk_done(now, now + CHUNK);
                woke = now + CHUNK / 2;
                schedule.add(woke, parts(1));
                chunks += 1;
                now += CHUNK;
            }
            Some(Refresh::Chunk) => {
                schedule.scan_done(now, now + CHUNK);
                now += CHUNK;
            }
            Some(Refresh::Parts(_)) => {
                waited = waited.max(now - woke);
                schedule.done(now, now + MS);
                now += MS;
            }
            other => panic!("{other:?}"),
        }
        let due = schedule.next_due();
        now = now.max(due.unwrap_or(now));
    }
    assert_eq!(chunks, 100);
    // The rest of the chunk, and hardly more.
    assert!(waited <= CHUNK / 2 + MIN_GAP, "{waited:?}");
}

#[test]
fn a_request_waits_for_all_that_is_read_after_it() {
    let start = Instant::now();
    let at = |ms| start + ms * MS;
    let mut schedule = Schedule::new(start);
    schedule.ask(start);
    let whole = Some(Refresh::FullScan(Scope::KnownNetns));
    assert_eq!(schedule.take(start, with_child), whole);
    // Another client asks meanwhile.
    schedule.ask(at(1));
    schedule.chunk_done(start, at(5));
    assert_eq!(schedule.take(at(10), with_child), Some(Refresh::Chunk));
    schedule.scan_done(at(10), at(15));
    assert_eq!(schedule.take(at(15), with_child), whole);
    schedule.scan_done(at(15), at(16));
    assert_eq!(schedule.next_due(), None);

    // Everything is due, or something failed: then it is as well done at once.
    schedule.add_everything();
    schedule.failed(at(17));
    schedule.ask(at(18));
    let whole = Some(Refresh::FullScan(Scope::Everything));
    assert_eq!(schedule.take(at(18), with_child), whole);
    schedule.scan_done(at(18), at(19));
    assert!(!schedule.has_failed());
    assert_eq!(schedule.next_due(), None);
}

#[test]
fn what_fails_ends_a_full_scan_and_everything_is_read_again_from_its_beginning() {
    let start = Instant::now();
    let mut schedule = Schedule::new(start);
    schedule.add(start, everything());
    assert!(schedule.take(start, with_child).is_some());
    schedule.chunk_done(start, start + MS);
    schedule.ask(start + MS);
    schedule.failed(start + 2 * MS);
    assert_eq!(schedule.next_due(), Some(start + 102 * MS));
    schedule.add_model();
    let again = schedule.take(start + 102 * MS, with_child);
    assert_eq!(again, Some(Refresh::FullScan(Scope::Everything)));
    schedule.scan_done(start + 102 * MS, start + 103 * MS);
    assert_eq!(
        schedule.take(start + 104 * MS, with_child),
        Some(Refresh::Model),
        "what is known was not decided anew"
    );
}

#[test]
fn after_a_failure_everything_is_read_later_and_later_and_sooner_with_news() {
    let start = Instant::now();
    let mut schedule = Schedule::new(start);
    schedule.failed(start);
    schedule.failed(start);
    schedule.failed(start);
    assert_eq!(schedule.next_due(), Some(start + 400 * MS));
    schedule.add(start + 10 * MS, parts(1));
    assert_eq!(schedule.take(start + 109 * MS, with_child), None);
    assert_eq!(
        schedule.take(start + 110 * MS, with_child),
        Some(Refresh::FullScan(Scope::Everything))
    );
    // What is dirty is part of it.
    schedule.scan_done(start + 110 * MS, start + 111 * MS);
    assert_eq!(schedule.next_due(), None);
}

#[test]
fn backoff_doubles_up_to_its_limit() {
    assert_eq!(backoff(1), Duration::from_millis(100));
    assert_eq!(backoff(3), Duration::from_millis(400));
    assert_eq!(backoff(u32::MAX), MAX_BACKOFF);
}
