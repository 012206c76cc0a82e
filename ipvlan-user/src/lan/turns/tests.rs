use std::{net::Ipv4Addr, time::Duration};

use proptest::prelude::*;

use super::*;

const A: NetnsId = NetnsId::Nsid(1);
const B: NetnsId = NetnsId::Nsid(2);

fn address(number: u32) -> IpAddr {
    Ipv4Addr::from_bits(0x0a00_0000 + number).into()
}

fn probe(number: u32) -> Frame {
    (address(number), Kind::Probe)
}

/// Takes everything that can be sent until a time, waking only when something is due. Returns it, and when.
fn run(turns: &mut Turns, from: Instant, to: Instant) -> Vec<(Instant, Frame)> {
    let mut now = from;
    let mut sent = Vec::new();
    while let Some(due) = turns.next_due(now) {
        now = now.max(due);
        if now > to {
            break;
        }
        while let Some(frame) = turns.next(now) {
            sent.push((now, frame));
        }
        assert!(turns.next_due(now) != Some(now), "woken for nothing");
    }
    sent
}

/// The most frames in any second.
fn most_in_a_second(times: &[Instant]) -> usize {
    let second = Duration::from_secs(1);
    let within = |(index, &at): (usize, &Instant)| {
        let later = times[index..].iter();
        later.take_while(|&&later| later < at + second).count()
    };
    times.iter().enumerate().map(within).max().unwrap_or(0)
}

#[test]
fn a_netns_takes_its_own_pace_and_others_the_rest() {
    let start = Instant::now();
    let end = start + Duration::from_secs(10);
    let mut turns = Turns::new(start, 10, 5);
    for number in 0..100 {
        turns.push(start, A, probe(number), Class::First, 1);
        turns.push(start, B, probe(1_000 + number), Class::First, 1);
        let own = probe(2_000 + number);
        turns.push(start, NetnsId::Own, own, Class::First, 1);
    }
    let sent = run(&mut turns, start, end);
    assert!((100..=104).contains(&sent.len()), "{}", sent.len());
    let of = |base: u32| {
        let frames: BTreeSet<Frame> = (base..base + 100).map(probe).collect();
        let sent = sent.iter();
        sent.filter(|(_, frame)| frames.contains(frame)).count()
    };
    let shares = [of(0), of(1_000), of(2_000)];
    assert!(
        shares.iter().all(|share| (32..=37).contains(share)),
        "{shares:?}"
    );
    // Alone, each netns has its own pace, and the agent's own that of the parent.
    for (netns, expected) in [(A, 50..=56), (NetnsId::Own, 100..=104)] {
        let mut turns = Turns::new(start, 10, 5);
        for number in 0..200 {
            turns.push(start, netns, probe(number), Class::First, 1);
        }
        let sent = run(&mut turns, start, end);
        assert!(expected.contains(&sent.len()), "{netns:?} {}", sent.len());
        let waited = turns.exceeded().map(|(netns, _)| netns);
        let limited: Vec<NetnsId> = (netns == A).then_some(A).into_iter().collect();
        assert_eq!(waited.collect::<Vec<_>>(), limited);
    }
}

#[test]
fn within_a_netns_first_frames_go_before_defences_and_repeats_which_alternate() {
    let start = Instant::now();
    let mut turns = Turns::new(start, 1_000, 1_000);
    let rows = [
        (Class::Repeat, 1),
        (Class::Repeat, 2),
        (Class::Defence, 3),
        (Class::Defence, 4),
        (Class::First, 5),
        (Class::Urgent, 6),
        (Class::First, 7),
    ];
    for (class, number) in rows {
        turns.push(start, A, probe(number), class, 1);
    }
    let sent: Vec<Frame> = std::iter::from_fn(|| turns.next(start)).collect();
    assert_eq!(sent, [6, 5, 7, 3, 1, 4, 2].map(probe));
}

#[test]
fn a_frame_of_an_address_that_is_gone_costs_nothing_and_leaves_nothing() {
    let start = Instant::now();
    let mut turns = Turns::new(start, 10, 5);
    for number in 0..100_000 {
        turns.push(start, A, probe(number), Class::First, 1);
        turns.remove(address(number));
        assert!(turns.is_empty());
    }
    let held: usize = turns.shares[&A].lines.iter().map(VecDeque::len).sum();
    assert!(held <= 17, "{held} withdrawn frames are kept");
    turns.push(start, A, probe(7), Class::First, 1);
    assert_eq!(turns.next(start), Some(probe(7)));
    assert_eq!(turns.next_due(start), None);
    assert_eq!(turns.exceeded().count(), 0);
}

#[test]
fn an_address_that_moves_to_another_netns_uses_that_ones_share() {
    let start = Instant::now();
    let mut turns = Turns::new(start, 1_000, 1_000);
    turns.push(start, A, probe(1), Class::First, 1);
    turns.push(start, A, probe(2), Class::First, 1);
    turns.push(start, B, probe(1), Class::First, 1);
    assert_eq!(turns.len(), 2);
    let sent: Vec<Frame> = std::iter::from_fn(|| turns.next(start)).collect();
    assert_eq!(sent, [2, 1].map(probe));
}

#[test]
fn netns_that_are_idle_are_forgotten() {
    let start = Instant::now();
    let mut turns = Turns::new(start, 1_000, 1_000);
    for nsid in 0..10_000 {
        let now = start + Duration::from_millis(10) * u32::try_from(nsid).unwrap();
        turns.push(now, NetnsId::Nsid(nsid), probe(1), Class::First, 1);
        assert_eq!(turns.next(now), Some(probe(1)));
    }
    assert!(turns.shares.len() <= 2 * IDLE, "{}", turns.shares.len());
}

/// A frame that is pushed or withdrawn, after some milliseconds.
#[derive(Clone, Copy, Debug)]
struct Step {
    wait: u64,
    netns: i32,
    number: u32,
    class: Class,
    remove: bool,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let class = prop::sample::select(vec![
        Class::Urgent,
        Class::First,
        Class::Defence,
        Class::Repeat,
    ]);
    let step = (0..300_u64, 0..4_i32, 0..40_u32, class, any::<bool>()).prop_map(
        |(wait, netns, number, class, remove)| Step {
            wait,
            netns,
            number: 100 * u32::try_from(netns).unwrap() + number,
            class,
            remove,
        },
    );
    prop::collection::vec(step, 1..200)
}

proptest! {
    #[test]
    fn whatever_is_pushed_the_paces_hold_and_each_frame_has_its_turn(steps in steps()) {
        let start = Instant::now();
        let mut turns = Turns::new(start, 10, 5);
        let mut now = start;
        let mut expected = BTreeSet::new();
        let mut sent = Vec::new();
        for step in steps {
            let then = now + Duration::from_millis(step.wait);
            for (at, frame) in run(&mut turns, now, then) {
                prop_assert!(expected.remove(&frame), "{:?} was not in the queue", frame);
                sent.push((at, frame));
            }
            now = then;
            let frame = probe(step.number);
            if step.remove {
                turns.remove(frame.0);
                expected.remove(&frame);
            } else {
                turns.push(now, NetnsId::Nsid(step.netns), frame, step.class, 1);
                expected.insert(frame);
            }
            prop_assert_eq!(turns.len(), expected.len());
        }
        // Everything has its turn, within what the slowest netns takes.
        let end = now + Duration::from_mins(1);
        for (at, frame) in run(&mut turns, now, end) {
            prop_assert!(expected.remove(&frame), "{:?} was not in the queue", frame);
            sent.push((at, frame));
        }
        prop_assert!(expected.is_empty(), "never sent: {:?}", expected);
        prop_assert_eq!(turns.next_due(end), None);
        let times: Vec<Instant> = sent.iter().map(|&(at, _)| at).collect();
        prop_assert!(most_in_a_second(&times) <= 13);
        for netns in 0..4_u32 {
            let of_netns: BTreeSet<Frame> = (100 * netns..100 * netns + 40).map(probe).collect();
            let times: Vec<Instant> = sent
                .iter()
                .filter(|(_, frame)| of_netns.contains(frame))
                .map(|&(at, _)| at)
                .collect();
            prop_assert!(most_in_a_second(&times) <= 8);
        }
    }
}
