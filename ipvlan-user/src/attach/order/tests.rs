use super::*;

#[test]
fn an_agent_that_moves_too_often_rests() {
    let start = Instant::now();
    let mut moves = Moves::default();
    for _ in 1..MOVES {
        assert!(moves.take(start));
    }
    // Seconds since the start, and whether it may.
    let rows = [
        (120, true),
        (180, false),
        (599, false),
        (600, true),
        (601, false),
        (1_199, false),
        (2_000, true),
        (2_001, true),
        (2_002, false),
    ];
    for (seconds, allowed) in rows {
        let now = start + Duration::from_secs(seconds);
        assert_eq!(moves.take(now), allowed, "after {seconds} s");
    }
}

#[test]
fn the_place_among_filters_and_programs_is_found() {
    let ours = (17, 0x6970);
    let entries = chain::tests::around(ours);
    let place = Place::among(&[], &entries, ours, Hook::Ingress);
    let names: Vec<String> = place.before.iter().map(ToString::to_string).collect();
    // One for IP packets and one that passes on what it matches do not count.
    assert_eq!(names, ["filter flower of pref 4"]);
    assert_eq!((place.here, place.after), (true, 1));
    assert!(place.can_be_first && !place.is_right(Order::First));
    // TCX programs run before all filters.
    let place = Place::among(&[7], &entries, ours, Hook::Ingress);
    assert_eq!(place.before[0], Other::Tcx(7));
    assert!(!place.can_be_first && place.is_right(Order::First));
    let gone = Place::among(&[], &entries, (17, 1), Hook::Ingress);
    assert!(!gone.here);
    // A filter of the other hook is not it, though it has its numbers.
    assert!(!Place::among(&[], &entries, ours, Hook::Egress).here);
}
