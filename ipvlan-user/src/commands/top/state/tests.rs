use super::*;
use crate::commands::top::{
    rates::measure,
    samples::{CHILDREN, agent, agent_times},
};

const SECOND: Duration = Duration::from_secs(1);

/// The state after two measurements.
fn state() -> State {
    let mut state = State::new(FamilyArgs::default(), LinkCounters::Kept);
    let (measured, counted) = measure(
        vec![(944, agent_times(1))],
        SECOND,
        None,
        LinkCounters::Kept,
    );
    state.update(measured, Notes::default(), SECOND);
    let answers = vec![(944, agent_times(2))];
    let (measured, _) = measure(answers, SECOND * 2, Some(&counted), LinkCounters::Kept);
    state.update(measured, Notes::default(), SECOND * 2);
    state
}

/// The first three letters of the netns of the rows.
fn names(state: &State) -> Vec<String> {
    let names = state.shown().map(|of| of.child.netns.names[0].clone());
    names.map(|name| name.chars().take(3).collect()).collect()
}

fn selected(state: &State) -> String {
    state.selected().unwrap().child.netns.names[0].clone()
}

#[test]
fn rows_are_sorted_by_every_column_in_both_directions() {
    for (column, expected) in [
        (Column::Answered, ["web", "db", "cni", "new"]),
        (Column::Refused, ["cni", "web", "db", "new"]),
        (Column::Netns, ["cni", "db", "new", "web"]),
        (Column::Child, ["db", "new", "web", "cni"]),
        // By bytes of the address, not by its text: 192.0.2.9 is before 192.0.2.10.
        (Column::Address, ["db", "web", "cni", "new"]),
        (Column::State, ["db", "web", "new", "cni"]),
        (Column::Mode, ["cni", "db", "new", "web"]),
        // No rate is known.
        (Column::Bytes, ["cni", "db", "new", "web"]),
    ] {
        let mut state = state();
        if column != Column::Answered {
            state.apply(Action::Sort(column), 9);
        }
        assert_eq!(names(&state), expected, "{column:?}");
        let values = |state: &State| {
            let cells = state
                .shown()
                .map(|of| column.cell(of, FamilyArgs::default()));
            cells.collect::<Vec<_>>()
        };
        let mut reversed = values(&state);
        reversed.reverse();
        state.apply(Action::Sort(column), 9);
        assert!(state.is_reversed);
        assert_eq!(values(&state), reversed, "{column:?}");
        state.apply(Action::Reverse, 9);
        assert_eq!(names(&state), expected, "{column:?}");
    }
}

#[test]
fn filter_keeps_rows_with_its_text_in_a_name_an_address_or_the_state() {
    for (filter, expected) in [
        ("", &["web", "db", "cni", "new"][..]),
        ("WEB", &["web"]),
        ("db8", &["web"]),
        ("192.0.2.9", &["db"]),
        ("dupl", &["cni"]),
        ("no-addr", &["new"]),
        ("ens34", &["web", "db", "cni", "new"]),
        ("ipvl-", &["cni"]),
        ("\u{1b}", &[]),
        ("nothing like it", &[]),
    ] {
        let mut state = state();
        state.apply(Action::BeginFilter, 9);
        for character in filter.chars() {
            state.apply(Action::Type(character), 9);
        }
        assert_eq!(names(&state), expected, "{filter}");
        state.apply(Action::Keep, 9);
        assert_eq!((state.page, &*state.filter), (Page::Table, filter));
        state.apply(Action::Back, 9);
        assert_eq!(names(&state).len(), 4);
    }
    let mut state = state();
    for _ in 0..200 {
        state.apply(Action::Type('x'), 9);
    }
    assert_eq!(state.filter.len(), LONGEST_FILTER);
    state.apply(Action::Erase, 9);
    assert_eq!(state.filter.len(), LONGEST_FILTER - 1);
}

#[test]
fn selection_moves_stays_at_its_child_and_within_the_rows() {
    let mut state = state();
    assert_eq!(selected(&state), "web");
    for (action, expected) in [
        (Action::Move(1), "db"),
        (Action::Move(-5), "web"),
        (Action::Last, "new"),
        (Action::Move(1), "new"),
        (Action::First, "web"),
        (Action::Turn(1), "cni-5f3a90d2-7c41-4d1b-9a55-0e12b8c6f00d"),
        (Action::Turn(-1), "web"),
        (Action::Move(1), "db"),
        // Another order, the same child.
        (Action::Sort(Column::Netns), "db"),
        (Action::Reverse, "db"),
    ] {
        state.apply(action, 2);
        assert_eq!(selected(&state), expected, "{action:?}");
    }
    // A child that is gone leaves the selection at its place.
    let (measured, _) = measure(
        vec![(944, agent(&CHILDREN[..1]))],
        SECOND * 3,
        None,
        LinkCounters::Kept,
    );
    state.update(measured, Notes::default(), SECOND * 3);
    assert_eq!(selected(&state), "web");
    state.update(Measured::default(), Notes::default(), SECOND * 4);
    assert!(state.selected().is_none());
    state.apply(Action::Move(1), 2);
    state.apply(Action::Details, 2);
    assert_eq!(state.page, Page::Table);
}

#[test]
fn pages_open_and_close() {
    let mut state = state();
    for (action, page) in [
        (Action::Help, Page::Help),
        (Action::Help, Page::Table),
        (Action::Details, Page::Details(0)),
        (Action::Move(3), Page::Details(3)),
        (Action::Turn(1), Page::Details(13)),
        (Action::First, Page::Details(0)),
        (Action::Move(-1), Page::Details(0)),
        (Action::Back, Page::Table),
        (Action::BeginFilter, Page::Filter),
        (Action::Back, Page::Table),
    ] {
        assert!(state.apply(action, 10));
        assert_eq!(state.page, page, "{action:?}");
    }
    state.apply(Action::Details, 10);
    state.apply(Action::Last, 10);
    state.limit_details(4);
    assert_eq!(state.page, Page::Details(4));
    // The details of a child that is gone are closed.
    state.update(Measured::default(), Notes::default(), SECOND * 3);
    assert_eq!(state.page, Page::Table);
    assert!(!state.is_paused);
    state.apply(Action::Pause, 10);
    assert!(state.is_paused);
    assert!(!state.apply(Action::Quit, 10));
}

#[test]
fn age_of_the_last_sync_is_known_once_one_was_seen() {
    let mut state = State::new(FamilyArgs::default(), LinkCounters::Kept);
    let mut age_at = |syncs: u64, failed: u64, at: Duration| {
        let mut agent = agent(&CHILDREN);
        agent.sync.syncs = syncs;
        agent.sync.failed = failed;
        let (measured, _) = measure(vec![(944, agent)], at, None, LinkCounters::Kept);
        state.update(measured, Notes::default(), at);
        let health = state.sync_health();
        assert_eq!((health.syncs, health.failed), (syncs, failed));
        health.age
    };
    assert_eq!(age_at(7, 0, SECOND), Some(Age::MoreThan(Duration::ZERO)));
    assert_eq!(age_at(7, 0, SECOND * 3), Some(Age::MoreThan(SECOND * 2)));
    assert_eq!(age_at(8, 1, SECOND * 4), Some(Age::Exactly(Duration::ZERO)));
    assert_eq!(age_at(8, 1, SECOND * 9), Some(Age::Exactly(SECOND * 5)));
}

#[test]
fn history_is_bounded() {
    let mut state = State::new(FamilyArgs::default(), LinkCounters::Kept);
    for second in (0..).take(HISTORY + 10) {
        let measured = Measured {
            interval: Some(SECOND),
            ..Measured::default()
        };
        state.update(measured, Notes::default(), SECOND * second);
    }
    assert_eq!(state.history().count(), HISTORY);
}
