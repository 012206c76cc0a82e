use super::*;

const MS: Duration = Duration::from_millis(1);

const fn small(_: NetnsId) -> usize {
    10
}

fn parts(nsid: i32) -> Stale {
    Stale {
        parts: BTreeMap::from([(NetnsId::Nsid(nsid), Part::Addresses)]),
        everything: false,
    }
}

fn everything() -> Stale {
    Stale {
        everything: true,
        ..Stale::default()
    }
}

#[test]
fn the_first_wake_after_quiet_is_done_at_once() {
    let now = Instant::now();
    let mut pending = Pending::new(now);
    assert_eq!(pending.next_due(), None);
    assert_eq!(pending.take(now, small), None);
    for stale in [parts(1), everything()] {
        pending.add(now, stale);
        assert_eq!(pending.next_due(), Some(now));
        assert!(pending.take(now, small).is_some());
        assert_eq!(pending.next_due(), None);
    }
}

#[test]
fn wakes_during_a_sync_wait_as_long_as_it_took_and_are_done_together() {
    let start = Instant::now();
    let mut pending = Pending::new(start);
    pending.done(start, start + 20 * MS, false);
    pending.add(start + 21 * MS, parts(1));
    pending.add(start + 22 * MS, parts(2));
    assert_eq!(pending.take(start + 39 * MS, small), None);
    let Some(Refresh::Parts(parts)) = pending.take(start + 40 * MS, small) else {
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
        if let Some(refresh) = pending.take(now, small) {
            whole += u32::from(refresh.is_whole());
            partial += u32::from(!refresh.is_whole());
            pending.done(now, now + MS / 2, refresh.is_whole());
        }
    }
    assert_eq!(whole, 10);
    assert!(partial > 300, "{partial}");
}

#[test]
fn parts_do_not_wait_for_everything_and_are_part_of_it() {
    let start = Instant::now();
    let mut pending = Pending::new(start);
    pending.done(start, start + 2 * MS, true);
    pending.add(start + 5 * MS, everything());
    pending.add(start + 5 * MS, parts(1));
    assert!(matches!(
        pending.take(start + 5 * MS, small),
        Some(Refresh::Parts(_))
    ));
    assert_eq!(pending.next_due(), Some(start + 100 * MS));
    pending.add(start + 100 * MS, parts(1));
    assert_eq!(
        pending.take(start + 100 * MS, small),
        Some(Refresh::Everything)
    );
    assert_eq!(pending.next_due(), None);
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
    assert_eq!(pending.take(start + 109 * MS, small), None);
    assert_eq!(
        pending.take(start + 110 * MS, small),
        Some(Refresh::Everything)
    );
}

#[test]
fn backoff_doubles_up_to_its_limit() {
    assert_eq!(backoff(1), Duration::from_millis(100));
    assert_eq!(backoff(3), Duration::from_millis(400));
    assert_eq!(backoff(u32::MAX), MAX_BACKOFF);
}

#[test]
fn of_large_netns_one_is_read_at_a_time_each_in_turn_and_after_small_ones() {
    let start = Instant::now();
    let mut pending = Pending::new(start);
    let addresses = |id| match id {
        NetnsId::Nsid(10..) => 1000,
        _ => 10,
    };
    let ids =
        |nsids: &[i32]| -> Vec<NetnsId> { nsids.iter().copied().map(NetnsId::Nsid).collect() };
    let read = |pending: &mut Pending, now| match pending.take(now, addresses) {
        Some(Refresh::Parts(parts)) => parts.into_keys().collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    for nsid in [1, 2, 10, 11, 12] {
        pending.add(start, parts(nsid));
    }
    assert_eq!(read(&mut pending, start), ids(&[1, 2]));
    assert_eq!(read(&mut pending, start), ids(&[10]));
    // It changes again and again, and the small ones do.
    pending.add(start, parts(10));
    pending.add(start, parts(1));
    assert_eq!(read(&mut pending, start), ids(&[1]));
    pending.add(start, parts(1));
    assert_eq!(read(&mut pending, start + MAX_GAP), ids(&[1, 11]));
    assert_eq!(read(&mut pending, start + MAX_GAP), ids(&[12]));
    assert_eq!(read(&mut pending, start + MAX_GAP), ids(&[10]));
    assert_eq!(pending.next_due(), None);
}

#[test]
fn a_small_netns_does_not_rest_for_a_large_one() {
    let start = Instant::now();
    let mut pending = Pending::new(start);
    let large = |id| if id == NetnsId::Nsid(10) { 1000 } else { 10 };
    pending.add(start, parts(10));
    assert!(pending.take(start, large).is_some());
    pending.done(start, start + 20 * MS, false);
    pending.add(start + 20 * MS, parts(10));
    pending.add(start + 20 * MS, parts(1));
    let Some(Refresh::Parts(parts)) = pending.take(start + 21 * MS, large) else {
        panic!("not done 1 ms later: {pending:?}");
    };
    assert_eq!(parts.into_keys().collect::<Vec<_>>(), [NetnsId::Nsid(1)]);
    pending.done(start + 21 * MS, start + 22 * MS, false);
    assert_eq!(pending.next_due(), Some(start + 40 * MS));
    assert!(pending.take(start + 40 * MS, large).is_some());
    assert_eq!(pending.next_due(), None);
}
