//! Claims by stations of addresses that are answered and announced.

use super::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Child {
    Keeps,
    GivesUp,
    /// It keeps the address, and defending is switched off.
    IsAbandoned,
}

/// An address of each mode and family that is established, and claimed.
#[test]
fn an_address_is_defended_in_l3_after_a_grace_if_the_child_keeps_it() {
    use Child::{GivesUp, IsAbandoned, Keeps};
    use Defending::{Off, On};
    // In l2, whether addresses are defended, what happens within the grace; how often it is defended.
    let rows = [
        (false, On, Keeps, 1),
        (false, On, GivesUp, 0),
        (false, On, IsAbandoned, 0),
        (false, Off, Keeps, 0),
        (true, On, Keeps, 0),
        (true, On, GivesUp, 0),
    ];
    for (l2, defend, child, expected) in rows {
        for address in [v4(1), v6(1)] {
            let case = format!("{address}, l2: {l2}, {defend:?}, {child:?}");
            let policy = |defend| LanPolicy {
                defend,
                ..LanPolicy::default()
            };
            let mut segment = Segment::new(policy(defend));
            segment.add_as(address, Candidate { l2, ..of(B) });
            segment.run(20.0);
            segment.claim(address, STATION);
            let claimed = segment.at();
            assert!(segment.run(0.1).is_silent(), "{case}");
            match child {
                Keeps => {}
                GivesUp => segment.remove(address),
                IsAbandoned => segment.set_policy(policy(Off)),
            }
            let sent = segment.run(60.0).times(Step::Announcement(address));
            assert_eq!(sent.len(), expected, "{case}: {sent:?}");
            let is_in_time = |at: &f64| (2.5..=2.9).contains(&(at - claimed));
            assert!(sent.iter().all(is_in_time), "{case}: {sent:?}");
            let action = if expected == 1 {
                Action::Defended
            } else {
                Action::None
            };
            assert_eq!(segment.actions(), [action], "{case}");
            assert!(segment.is_idle(), "{case}");
            // The next one, a minute later, is another conflict.
            segment.claim(address, STATION);
            let sent = segment.run(60.0).times(Step::Announcement(address));
            assert_eq!(sent.len(), expected, "{case}: {sent:?}");
        }
    }
}

#[test]
fn what_a_station_announces_within_the_grace_is_one_claim() {
    for gaps in [&[0.0, 2.0][..], &[0.0, 1.1, 1.1], &[0.0; 5]] {
        let mut segment = Segment::new(LanPolicy::default());
        segment.add(v4(1), B);
        segment.run(20.0);
        for &gap in gaps {
            assert!(segment.run(gap).is_silent());
            segment.claim(v4(1), STATION);
        }
        assert_eq!(segment.run(60.0).frames().count(), 1, "{gaps:?}");
        assert_eq!(segment.actions(), [Action::Defended], "{gaps:?}");
        assert_eq!(segment.notes(), [""; 0], "{gaps:?}");
    }
}

#[test]
fn an_address_that_a_station_keeps_claiming_is_neither_announced_nor_refreshed() {
    for (l2, refresh) in [
        (true, None),
        (true, Some(60)),
        (false, None),
        (false, Some(60)),
    ] {
        let case = format!("l2: {l2}, {refresh:?}");
        let mut segment = Segment::unpaced(LanPolicy {
            refresh: refresh.map(Duration::from_secs),
            ..in_mode(DadMode::Off)
        });
        segment.add_as(v4(1), Candidate { l2, ..of(B) });
        assert_eq!(segment.run(0.5).frames().count(), 1, "{case}");
        // In l3 by a station that defends it, too.
        for _ in 0..2 {
            segment.claim(v4(1), STATION);
            let sent = segment.run(5.0).frames().count();
            // The refresh may follow the defence at once.
            assert!(sent <= if l2 { 0 } else { 2 }, "{case}: {sent}");
        }
        for minute in 0..15 {
            let trace = segment.run(60.0);
            assert!(trace.is_silent(), "{case}, {minute}: {trace:?}");
            segment.claim(v4(1), STATION);
        }
        let action = if l2 { Action::None } else { Action::Yielded };
        assert_eq!(segment.actions(), [action], "{case}");
        let trace = segment.run(500.0);
        assert!(trace.is_silent(), "{case}: {trace:?}");
        let notes = segment.notes();
        let is_named = |note: &String| note.contains("10.0.0.1 by 02:00:00:00:00:09");
        assert_eq!(notes.iter().any(is_named), !l2, "{case}: {notes:?}");
        // When no station has claimed it for ten minutes, it is refreshed again, and defended.
        let trace = segment.run(600.0);
        assert_eq!(trace.is_silent(), refresh.is_none(), "{case}: {trace:?}");
        assert_eq!(segment.notes(), [""; 0], "{case}");
        segment.claim(v4(1), STATION);
        assert_eq!(segment.run(5.0).is_silent(), l2, "{case}");
    }
}

/// Each receives the frames of the other after a moment, and both own the address.
#[test]
fn two_agents_send_one_defence_each_at_most() {
    for seed in 0..200 {
        let mut agents = [seed, 1_000 + seed].map(|seed| {
            let mut segment = Segment::unpaced(in_mode(DadMode::Off));
            segment.schedule.random = Random::seeded(seed);
            segment.add(v4(1), B);
            segment.run(20.0);
            segment
        });
        agents[0].claim(v4(1), STATION);
        let mut sent = [0, 0];
        let next = |agents: &[Segment; 2]| {
            let due = |me: usize| Some((agents[me].schedule.next_due(agents[me].now)?, me));
            (0..2).filter_map(due).min()
        };
        while let Some((due, me)) = next(&agents) {
            let frames = agents[me].run_to(due).frames().count();
            sent[me] += frames;
            if frames > 0 {
                agents[1 - me].run_to(due);
                agents[1 - me].claim(v4(1), STATION);
            }
            assert!(sent[0] <= 1 && sent[1] <= 1, "{seed}: {sent:?}");
        }
        assert!(sent[0] + sent[1] >= 1, "{seed}: {sent:?}");
    }
}
