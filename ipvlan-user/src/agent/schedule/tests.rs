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
        let mut pending = Pending::new(now);
        assert_eq!(pending.next_due(), None);
        assert_eq!(pending.take(now, with_child), None);
        let is_whole = dirty.everything;
        pending.add(now, dirty);
        assert_eq!(pending.next_due(), Some(now));
        assert!(pending.take(now, with_child).is_some());
        if is_whole {
            pending.swept(now, now);
        } else {
            pending.done(now, now);
        }
        assert_eq!(pending.next_due(), None);
    }
}

#[test]
fn wakes_during_a_sync_wait_as_long_as_it_took_and_are_done_together() {
    let start = Instant::now();
    let mut pending = Pending::new(start);
    pending.done(start, start + 20 * MS);
    pending.add(start + 21 * MS, parts(1));
    pending.add(start + 22 * MS, parts(2));
    assert_eq!(pending.take(start + 39 * MS, with_child), None);
    let Some(Refresh::Parts(parts)) = pending.take(start + 40 * MS, with_child) else {
        panic!("not done after 40 ms: {pending:?}");
    };
    assert_eq!(parts.len(), 2);
}

#[test]
fn everything_is_read_at_most_ten_times_a_second_however_much_wakes() {
    let start = Instant::now();
    let mut pending = Pending::new(start);
    let (mut whole, mut partial) = (0, 0);
    for millisecond in 0..1000 {
        let now = start + millisecond * MS;
        pending.add(now, everything());
        pending.add(now, parts(1));
        if let Some(refresh) = pending.take(now, with_child) {
            match refresh {
                Refresh::Sweep(_) => {
                    whole += 1;
                    pending.sliced(now, now + MS / 2);
                }
                Refresh::Slice => pending.swept(now, now + MS / 2),
                _ => {
                    partial += 1;
                    pending.done(now, now + MS / 2);
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
    let mut pending = Pending::new(start);
    sweep(&mut pending, start, 2 * MS);
    pending.add(start + 5 * MS, everything());
    pending.add(start + 5 * MS, parts(1));
    assert!(matches!(
        pending.take(start + 5 * MS, with_child),
        Some(Refresh::Parts(_))
    ));
    pending.done(start + 5 * MS, start + 6 * MS);
    assert_eq!(pending.next_due(), Some(start + 100 * MS));
    pending.add(start + 100 * MS, parts(1));
    assert!(matches!(
        pending.take(start + 100 * MS, with_child),
        Some(Refresh::Parts(_))
    ));
    pending.done(start + 100 * MS, start + 101 * MS);
    assert_eq!(
        pending.take(start + 102 * MS, with_child),
        Some(Refresh::Sweep(Scope::Everything)),
        "not when parts have rested"
    );
}

/// Reads everything, in one slice.
fn sweep(pending: &mut Pending, start: Instant, took: Duration) {
    pending.add_everything();
    assert!(matches!(
        pending.take(start, with_child),
        Some(Refresh::Sweep(_))
    ));
    pending.swept(start, start + took);
}

#[test]
fn what_wakes_while_everything_is_read_is_done_between_two_slices() {
    let start = Instant::now();
    let mut pending = Pending::new(start);
    pending.add(start, everything());
    let mut now = start;
    let (mut woke, mut waited) = (start, Duration::ZERO);
    let mut slices = 0;
    // A hundred slices, and something wakes in the middle of each.
    while pending.is_whole() {
        match pending.take(now, with_child) {
            Some(Refresh::Sweep(_) | Refresh::Slice) if slices < 100 => {
                pending.sliced(now, now + SLICE);
                woke = now + SLICE / 2;
                pending.add(woke, parts(1));
                slices += 1;
                now += SLICE;
            }
            Some(Refresh::Slice) => {
                pending.swept(now, now + SLICE);
                now += SLICE;
            }
            Some(Refresh::Parts(_)) => {
                waited = waited.max(now - woke);
                pending.done(now, now + MS);
                now += MS;
            }
            other => panic!("{other:?}"),
        }
        let due = pending.next_due();
        now = now.max(due.unwrap_or(now));
    }
    assert_eq!(slices, 100);
    // The rest of the slice, and as long as the slice took.
    assert!(waited <= SLICE / 2 + SLICE, "{waited:?}");
}

#[test]
fn who_asks_waits_for_all_of_what_is_read_after_that() {
    let start = Instant::now();
    let mut pending = Pending::new(start);
    pending.ask(start);
    let whole = Some(Refresh::Sweep(Scope::KnownNetns));
    assert_eq!(pending.take(start, with_child), whole);
    // Somebody else asks meanwhile.
    pending.ask(start + MS);
    pending.sliced(start, start + 5 * MS);
    let next = start + 10 * MS;
    assert_eq!(pending.take(next, with_child), Some(Refresh::Slice));
    pending.swept(next, next + 5 * MS);
    assert_eq!(pending.take(next + 5 * MS, with_child), whole);
    pending.swept(next + 5 * MS, next + 6 * MS);
    assert_eq!(pending.next_due(), None);

    // Everything is due, or something failed: then it is as well done at once.
    pending.add_everything();
    pending.failed(next + 7 * MS);
    pending.ask(next + 8 * MS);
    assert_eq!(
        pending.take(next + 8 * MS, with_child),
        Some(Refresh::Sweep(Scope::Everything))
    );
    pending.swept(next + 8 * MS, next + 9 * MS);
    assert!(!pending.has_failed());
    assert_eq!(pending.next_due(), None);
}

#[test]
fn what_fails_ends_a_sweep_and_everything_is_read_again_from_its_beginning() {
    let start = Instant::now();
    let mut pending = Pending::new(start);
    pending.add(start, everything());
    assert!(pending.take(start, with_child).is_some());
    pending.sliced(start, start + MS);
    pending.ask(start + MS);
    pending.failed(start + 2 * MS);
    assert_eq!(pending.next_due(), Some(start + 102 * MS));
    pending.add_model();
    let again = pending.take(start + 102 * MS, with_child);
    assert_eq!(again, Some(Refresh::Sweep(Scope::Everything)));
    pending.swept(start + 102 * MS, start + 103 * MS);
    assert_eq!(
        pending.take(start + 104 * MS, with_child),
        Some(Refresh::Model),
        "what is known was not decided anew"
    );
}

#[test]
fn after_a_failure_everything_is_read_later_and_later_and_sooner_with_news() {
    let start = Instant::now();
    let mut pending = Pending::new(start);
    pending.failed(start);
    pending.failed(start);
    pending.failed(start);
    assert_eq!(pending.next_due(), Some(start + 400 * MS));
    pending.add(start + 10 * MS, parts(1));
    assert_eq!(pending.take(start + 109 * MS, with_child), None);
    assert_eq!(
        pending.take(start + 110 * MS, with_child),
        Some(Refresh::Sweep(Scope::Everything))
    );
}

#[test]
fn backoff_doubles_up_to_its_limit() {
    assert_eq!(backoff(1), Duration::from_millis(100));
    assert_eq!(backoff(3), Duration::from_millis(400));
    assert_eq!(backoff(u32::MAX), MAX_BACKOFF);
}
