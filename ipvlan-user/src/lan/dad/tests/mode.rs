//! Each mode, and changes from one to another.

use super::*;

#[test]
fn strict_withholds_a_new_address_until_three_probes_went_unanswered() {
    for address in [V4, V6] {
        let mut world = World::new(DadMode::Strict);
        assert!(world.update(0.0, &[address]));
        assert_eq!(world.withheld(address), Some(Reason::Probing));
        assert!(world.is_probed(address));
        let seen = world.run(0.0, 60.0);
        assert_probes(&seen.probes, 0.0, 1.0);
        let [clean] = seen.released[..] else {
            panic!("{seen:?}");
        };
        assert!((clean - seen.probes[2] - 2.0).abs() < 0.001, "{seen:?}");
        assert!((4.0..=7.0).contains(&clean), "{seen:?}");
        assert_eq!(world.withheld(address), None);
        assert!(world.is_free(address) && !world.is_probed(address));
        assert!(world.is_idle());
        assert_eq!(world.dad.take_changed().len(), 1);
        // Seen again, it is what it was.
        assert!(!world.update(61.0, &[address]));
        assert_eq!(world.withheld(address), None);
    }
}

#[test]
fn optimistic_withholds_nothing_and_announces_after_a_grace() {
    let mut world = World::new(DadMode::Optimistic);
    assert!(!world.update(0.0, &[V4]));
    assert_eq!((world.withheld(V4), world.is_free(V4)), (None, false));
    assert!(world.is_probed(V4));
    let seen = world.run(0.0, 60.0);
    assert_probes(&seen.probes, 0.0, 0.001);
    assert!((seen.released[0] - 0.5).abs() < 0.001, "{seen:?}");
    assert_eq!(seen.released.len(), 1);
    assert!(world.is_free(V4) && !world.is_probed(V4));
    assert!(world.is_idle());
}

#[test]
fn off_probes_for_nothing_and_disputes_nothing() {
    let mut world = World::new(DadMode::Off);
    assert!(!world.update(0.0, &[V4, V6]));
    assert!(world.is_idle());
    assert!(world.is_free(V4) && !world.is_probed(V4));
    assert_eq!(world.other(1.0, V4, EventKind::Claim), Verdict::Undisputed);
}

#[test]
fn another_mode_cuts_nothing_off_and_counts_for_what_is_new() {
    use DadMode::{Off, Optimistic, Strict};
    const NEW: &str = "192.0.2.8";
    // From and to; whether what is answered is probed for once more; whether what is new is
    // probed for, and withheld meanwhile.
    let rows = [
        (Off, Optimistic, true, true, None),
        (Off, Strict, false, true, Some(Reason::Probing)),
        (Optimistic, Strict, false, true, Some(Reason::Probing)),
        (Strict, Optimistic, false, true, None),
        (Optimistic, Off, false, false, None),
        (Strict, Off, false, false, None),
        (Optimistic, Optimistic, false, true, None),
    ];
    for (from, to, again, probed, withheld) in rows {
        let shown = format!("{from:?} → {to:?}");
        let mut world = World::new(from);
        world.update(0.0, &[V4]);
        world.run(0.0, 20.0);
        assert!(world.is_free(V4), "{shown}");

        assert!(world.change(20.0, to, &[V4]).is_empty(), "{shown}");
        world.update(20.0, &[V4]);
        assert!(
            world.is_free(V4),
            "{shown}: it would be announced once more"
        );
        assert_eq!(world.withheld(V4), None, "{shown}");
        let seen = world.run(20.0, 40.0);
        assert_eq!(seen.probes.len(), if again { 3 } else { 0 }, "{shown}");
        assert_eq!(seen.released, [0.0; 0], "{shown}");

        world.update(40.0, &[V4, NEW]);
        assert_eq!(world.withheld(NEW), withheld, "{shown}");
        let seen = world.run(40.0, 60.0);
        assert_eq!(seen.probes.len(), if probed { 3 } else { 0 }, "{shown}");
        assert!(world.is_free(NEW) && world.is_free(V4), "{shown}");
        assert_eq!(world.withheld(NEW), None, "{shown}");
    }
}

#[test]
fn an_address_that_is_being_probed_for_is_answered_when_strict_comes_or_goes() {
    use DadMode::{Off, Optimistic, Strict};
    let address: IpAddr = V4.parse().unwrap();
    // From and to, and which addresses can be announced at once.
    let rows: [(_, _, &[IpAddr]); 4] = [
        (Optimistic, Strict, &[address]),
        (Strict, Optimistic, &[]),
        (Strict, Off, &[address]),
        (Optimistic, Off, &[address]),
    ];
    for (from, to, announced) in rows {
        let mut world = World::new(from);
        world.update(0.0, &[V4]);
        world.run(0.0, 0.2);
        assert_eq!(world.change(0.2, to, &[V4]), announced, "{from:?} → {to:?}");
        assert_eq!(world.withheld(V4), None, "{from:?} → {to:?}");
        let seen = world.run(0.2, 20.0);
        let later = usize::from(announced.is_empty());
        assert_eq!(seen.released.len(), later, "{from:?} → {to:?}");
        assert!(world.is_free(V4) && world.is_idle(), "{from:?} → {to:?}");
    }
}

#[test]
fn a_duplicate_stays_withheld_unless_nothing_is_probed_for_any_more() {
    for (mode, withheld) in [
        (DadMode::Optimistic, Some(Reason::Duplicate)),
        (DadMode::Off, None),
    ] {
        let mut world = World::new(DadMode::Strict);
        world.update(0.0, &[V4]);
        world.other(0.1, V4, EventKind::Probe);
        assert_eq!(world.withheld(V4), Some(Reason::Duplicate));
        let released = world.change(1.0, mode, &[]);
        assert_eq!(released.is_empty(), withheld.is_some(), "{mode:?}");
        assert_eq!(world.withheld(V4), withheld, "{mode:?}");
        let taken = world.dad.duplicates().count();
        assert_eq!(taken, usize::from(withheld.is_some()), "{mode:?}");
    }
}
