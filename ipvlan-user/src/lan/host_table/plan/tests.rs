use super::*;

const OWN: Mac = [2, 0, 0, 0, 0, 1];
const STATION: Mac = [2, 0, 0, 0, 0, 2];
const OTHER: Mac = [2, 0, 0, 0, 0, 3];

fn address(last: u8) -> IpAddr {
    [192, 0, 2, last].into()
}

fn entry(last: u8, state: State, mac: Option<Mac>) -> Entry {
    Entry {
        address: address(last),
        state,
        mac,
        router: false,
    }
}

/// Returns the changes if addresses up to 100 are answered, and [`OTHER`] answers for every address.
fn changes(plan: &mut Plan, now: Instant, entries: &[Entry]) -> Vec<Change> {
    let facts = Facts {
        mac: OWN,
        answered: &|of| (of <= address(100)).then_some(false),
        answers_for_all: &|mac| mac == OTHER,
    };
    plan.changes(now, entries, &facts)
}

#[test]
fn each_state_of_an_entry_has_its_change() {
    let resolve = |last| Some(Change::Resolve(address(last), false));
    let probe = |last| Some(Change::Probe(address(last), false));
    let remove = |last| Some(Change::Remove(address(last)));
    let rows = [
        (entry(1, State::Incomplete, None), resolve(1)),
        (entry(1, State::Unresolved, None), None),
        (entry(1, State::Valid, Some(OWN)), None),
        (entry(1, State::Probe, Some(OWN)), None),
        (entry(1, State::Valid, Some(STATION)), probe(1)),
        (entry(1, State::Probe, Some(STATION)), probe(1)),
        (entry(1, State::Valid, Some(OTHER)), resolve(1)),
        (entry(200, State::Incomplete, None), None),
        (entry(200, State::Unresolved, None), None),
        (entry(200, State::Valid, Some(STATION)), None),
        (entry(200, State::Valid, Some(OWN)), remove(200)),
        (entry(200, State::Probe, Some(OWN)), remove(200)),
    ];
    for (entry, change) in rows {
        let mut plan = Plan::default();
        let made = changes(&mut plan, Instant::now(), &[entry]);
        assert_eq!(made, Vec::from_iter(change), "{entry:?}");
        let is_probed = matches!(change, Some(Change::Probe(..)));
        assert_eq!(plan.next_due().is_some(), is_probed, "{entry:?}");
    }
}

#[test]
fn a_former_mac_that_is_silent_is_replaced_and_one_that_answers_is_kept() {
    // The entry at the end of the probe; its change, and whether it is probed again then.
    let rows = [
        (entry(1, State::Probe, Some(STATION)), true),
        (entry(1, State::Valid, Some(STATION)), false),
        (entry(1, State::Valid, Some([2, 0, 0, 0, 0, 4])), false),
        (entry(1, State::Unresolved, None), false),
    ];
    for (after, is_replaced) in rows {
        let mut plan = Plan::default();
        let begun = Instant::now();
        let before = entry(1, State::Valid, Some(STATION));
        let probe = [Change::Probe(address(1), false)];
        assert_eq!(changes(&mut plan, begun, &[before]), probe);
        let probing = entry(1, State::Probe, Some(STATION));
        let early = begun + GRACE / 2;
        assert_eq!(changes(&mut plan, early, &[probing]), [], "{after:?}");
        let due = plan.next_due().unwrap();
        assert_eq!(due, begun + GRACE);
        let made = changes(&mut plan, due, &[after]);
        let resolve = is_replaced.then_some(Change::Resolve(address(1), false));
        assert_eq!(made, Vec::from_iter(resolve), "{after:?}");
        if !is_replaced {
            assert_eq!(
                changes(&mut plan, due, &[after]),
                [],
                "{after:?}: asked once"
            );
            assert_eq!(plan.next_due(), None, "{after:?}");
        }
    }
}

#[test]
fn a_kept_entry_is_probed_again_for_another_mac_or_another_child() {
    let mut plan = Plan::default();
    let now = Instant::now();
    let known = entry(1, State::Valid, Some(STATION));
    changes(&mut plan, now, &[known]);
    assert_eq!(changes(&mut plan, now, &[known]), []);
    let moved = entry(1, State::Valid, Some([2, 0, 0, 0, 0, 4]));
    let probe = [Change::Probe(address(1), false)];
    assert_eq!(changes(&mut plan, now, &[moved]), probe);
    // Gone from the table, as from the addresses that are answered.
    assert_eq!(changes(&mut plan, now, &[]), []);
    assert_eq!(plan.next_due(), None);
    assert_eq!(changes(&mut plan, now, &[known]), probe);
}

#[test]
fn many_entries_are_probed_in_turns() {
    let mut plan = Plan::default();
    let mut now = Instant::now();
    let mut entries: Vec<Entry> = (0..25)
        .map(|last| entry(last, State::Valid, Some(STATION)))
        .collect();
    let mut rounds = 0;
    while entries.iter().any(|entry| entry.mac != Some(OWN)) {
        let made = changes(&mut plan, now, &entries);
        let is_probe = |change: &&Change| matches!(change, Change::Probe(..));
        assert!(made.iter().filter(is_probe).count() <= PROBES);
        for change in made {
            let (of, state, mac) = match change {
                Change::Probe(of, _) => (of, State::Probe, STATION),
                Change::Resolve(of, _) => (of, State::Valid, OWN),
                Change::Remove(_) => panic!("{change:?}"),
            };
            let entry = entries.iter_mut().find(|entry| entry.address == of);
            let entry = entry.unwrap();
            (entry.state, entry.mac) = (state, Some(mac));
        }
        now = plan.next_due().unwrap_or(now);
        rounds += 1;
    }
    assert_eq!(rounds, 4, "three groups, and the end of the last");
}
