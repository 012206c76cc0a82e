use super::*;

const STATION: Mac = [2, 0, 0, 0, 0, 9];
const V4: &str = "192.0.2.7";
const V6: &str = "2001:db8::7";

/// Checks and a clock, in seconds since the start.
struct World {
    start: Instant,
    dad: Dad,
    known: BTreeSet<IpAddr>,
    pace: Pace,
    random: Random,
}

/// What happened when.
#[derive(Debug, Default)]
struct Seen {
    probes: Vec<f64>,
    freed: Vec<f64>,
}

impl World {
    fn new(mode: DadMode) -> Self {
        let start = Instant::now();
        Self {
            start,
            dad: Dad::new(mode),
            known: BTreeSet::new(),
            pace: Pace::new(start, 1000, 100),
            random: Random::seeded(5),
        }
    }

    fn at(&self, seconds: f64) -> Instant {
        self.start + Duration::from_secs_f64(seconds)
    }

    fn follow(&mut self, seconds: f64, addresses: &[&str]) -> bool {
        let now = self.at(seconds);
        let addresses: BTreeSet<IpAddr> = addresses
            .iter()
            .map(|address| address.parse().unwrap())
            .collect();
        for &gone in self.known.difference(&addresses) {
            self.dad.remove(gone);
        }
        let mut new = false;
        for &address in addresses.difference(&self.known) {
            new |= self.dad.add(now, address, &mut self.random);
        }
        self.known = addresses;
        new
    }

    fn change(&mut self, seconds: f64, mode: DadMode, answered: &[&str]) {
        let now = self.at(seconds);
        let answered = answered
            .iter()
            .map(|address| (address.parse().unwrap(), true));
        self.dad.set_mode(now, mode, answered, &mut self.random);
    }

    fn other(&mut self, seconds: f64, address: &str, kind: EventKind) -> Verdict {
        let now = self.at(seconds);
        let address = address.parse().unwrap();
        self.dad
            .claim(now, address, STATION, kind, &mut self.random)
    }

    /// Runs from one time to another, waking only when told to.
    fn run(&mut self, from: f64, to: f64) -> Seen {
        let (mut now, end) = (self.at(from), self.at(to));
        let mut seen = Seen::default();
        while let Some(due) = self.dad.next_due() {
            now = now.max(due).max(self.pace.ready_at(now, 10));
            if now > end {
                break;
            }
            let due = self.dad.due(now, &mut self.pace, &mut self.random);
            let at = (now - self.start).as_secs_f64();
            seen.probes.extend(due.probes.iter().map(|_| at));
            seen.freed.extend(due.freed.iter().map(|_| at));
        }
        seen
    }

    fn held(&self, address: &str) -> Option<Reason> {
        let address: IpAddr = address.parse().unwrap();
        self.dad.held_back().get(&address).copied()
    }

    fn is_free(&self, address: &str) -> bool {
        self.dad.is_free(address.parse().unwrap())
    }
}

#[track_caller]
fn assert_probes(probes: &[f64], from: f64, wait: f64) {
    assert_eq!(probes.len(), usize::from(PROBES), "{probes:?}");
    assert!((from..=from + wait).contains(&probes[0]), "{probes:?}");
    for pair in probes.windows(2) {
        assert!((0.999..=2.001).contains(&(pair[1] - pair[0])), "{probes:?}");
    }
}

#[test]
fn enforce_holds_a_new_address_back_until_nobody_answered_three_probes() {
    for address in [V4, V6] {
        let mut world = World::new(DadMode::Strict);
        assert!(world.follow(0.0, &[address]));
        assert_eq!(world.held(address), Some(Reason::Probing));
        let seen = world.run(0.0, 60.0);
        assert_probes(&seen.probes, 0.0, 1.0);
        let [clean] = seen.freed[..] else {
            panic!("{seen:?}");
        };
        assert!((clean - seen.probes[2] - 2.0).abs() < 0.001, "{seen:?}");
        assert!((4.0..=7.0).contains(&clean), "{seen:?}");
        assert_eq!(world.held(address), None);
        assert!(world.is_free(address));
        assert_eq!(world.dad.next_due(), None);
        // Seen again, it is what it was.
        assert!(!world.follow(61.0, &[address]));
        assert_eq!(world.held(address), None);
    }
}

#[test]
fn warn_holds_nothing_back_and_announces_after_a_grace() {
    let mut world = World::new(DadMode::Optimistic);
    assert!(world.follow(0.0, &[V4]));
    assert_eq!((world.held(V4), world.is_free(V4)), (None, false));
    let seen = world.run(0.0, 60.0);
    assert_probes(&seen.probes, 0.0, 0.001);
    assert!((seen.freed[0] - 0.5).abs() < 0.001, "{seen:?}");
    assert_eq!(seen.freed.len(), 1);
    assert!(world.is_free(V4));
    assert_eq!(world.dad.next_due(), None);
}

#[test]
fn off_probes_for_nothing_and_disputes_nothing() {
    let mut world = World::new(DadMode::Off);
    assert!(!world.follow(0.0, &[V4, V6]));
    assert_eq!(world.dad.next_due(), None);
    assert!(world.is_free(V4));
    assert_eq!(world.other(1.0, V4, EventKind::Claim), Verdict::Undisputed);
}

#[test]
fn of_many_more_than_are_probed_for_at_once_each_is_probed_for_and_freed() {
    let mut world = World::new(DadMode::Optimistic);
    let count = AT_ONCE + 100;
    for index in (0..).take(count) {
        let address = IpAddr::from(std::net::Ipv4Addr::from_bits(0x0a00_0000 + index));
        assert!(world.dad.add(world.start, address, &mut world.random));
        assert!(!world.dad.is_free(address));
    }
    let seen = world.run(0.0, 1000.0);
    assert_eq!(seen.probes.len(), usize::from(PROBES) * count);
    assert_eq!(seen.freed.len(), count);
    assert_eq!(world.dad.next_due(), None);
}

#[test]
fn a_claim_before_the_first_probe_is_noted() {
    let mut world = World::new(DadMode::Optimistic);
    world.follow(0.0, &[V4]);
    assert_eq!(world.other(0.0, V4, EventKind::Claim), Verdict::Noted);
    assert!(!world.is_free(V4));
    assert_eq!(world.dad.taken().count(), 1);
    // It is asked for again when the other may have gone.
    let seen = world.run(0.0, 30.0);
    assert!((10.0..=11.0).contains(&seen.probes[0]), "{seen:?}");
    assert!(world.is_free(V4));
}

#[test]
fn what_others_do_means_what_the_mode_makes_of_it() {
    use EventKind::{Claim, Probe, UnicastProbe};
    use Verdict::{Disputed, HeldBack, Noted, Undisputed};
    // DadMode, when, by what: verdict, held back.
    let rows = [
        (
            DadMode::Strict,
            0.0,
            Claim,
            HeldBack,
            Some(Reason::Duplicate),
        ),
        (
            DadMode::Strict,
            2.0,
            Claim,
            HeldBack,
            Some(Reason::Duplicate),
        ),
        (
            DadMode::Strict,
            2.0,
            Probe,
            HeldBack,
            Some(Reason::Duplicate),
        ),
        // Cisco IP Device Tracking.
        (
            DadMode::Strict,
            2.0,
            UnicastProbe,
            Undisputed,
            Some(Reason::Probing),
        ),
        (DadMode::Optimistic, 0.1, UnicastProbe, Undisputed, None),
        (DadMode::Strict, 30.0, Claim, Undisputed, None),
        (DadMode::Strict, 30.0, Probe, Undisputed, None),
        (DadMode::Optimistic, 0.1, Claim, Noted, None),
        (DadMode::Optimistic, 0.6, Claim, Disputed, None),
        (DadMode::Optimistic, 2.0, Claim, Disputed, None),
        (DadMode::Optimistic, 2.0, Probe, Undisputed, None),
        (DadMode::Optimistic, 30.0, Claim, Undisputed, None),
    ];
    for (mode, at, kind, verdict, held) in rows {
        let row = (mode, at, kind);
        let mut world = World::new(mode);
        world.follow(0.0, &[V4]);
        world.run(0.0, at);
        assert_eq!(world.other(at, V4, kind), verdict, "{row:?}");
        assert_eq!(world.held(V4), held, "{row:?}");
        let taken: Vec<_> = world.dad.taken().collect();
        if verdict == Undisputed {
            assert_eq!(taken, [], "{row:?}");
        } else {
            assert_eq!(world.is_free(V4), verdict == Disputed, "{row:?}");
            assert_eq!(taken, [(V4.parse().unwrap(), STATION)], "{row:?}");
        }
    }
}

#[test]
fn an_address_heals_when_the_other_station_is_gone() {
    // Mode, when it is claimed, whether it may be announced meanwhile.
    let rows = [
        (DadMode::Strict, 2.0, false),
        (DadMode::Optimistic, 0.1, false),
        (DadMode::Optimistic, 2.0, true),
    ];
    for (mode, at, announced) in rows {
        let mut world = World::new(mode);
        world.follow(0.0, &[V4]);
        world.run(0.0, at);
        world.other(at, V4, EventKind::Claim);
        // Probed for again, and what it was until nobody answered all of the probes.
        let seen = world.run(at, at + 12.0);
        let after = seen.probes[0] - at;
        assert!((10.0..=11.0).contains(&after), "{mode:?}: {seen:?}");
        assert_eq!(world.is_free(V4), announced, "{mode:?}");
        assert_eq!(world.dad.taken().count(), 1, "{mode:?}");
        if mode == DadMode::Strict {
            assert_eq!(world.held(V4), Some(Reason::Duplicate));
        }
        let seen = world.run(at + 12.0, 60.0);
        assert_eq!(seen.freed.len(), usize::from(!announced), "{seen:?}");
        assert_eq!(world.held(V4), None);
        assert!(world.is_free(V4));
        assert_eq!(world.dad.taken().count(), 0);
        assert_eq!(world.dad.next_due(), None);
    }
}

#[test]
fn many_conflicts_make_probes_rare() {
    let mut world = World::new(DadMode::Strict);
    world.follow(0.0, &[V4]);
    let (mut at, mut gaps) = (1.5, Vec::new());
    world.run(0.0, at);
    for _ in 0..15 {
        world.other(at, V4, EventKind::Claim);
        let due = world.dad.next_due().unwrap();
        let gap = (due - world.at(at)).as_secs_f64();
        gaps.push(gap);
        at += gap;
        // The station answers the first of the probes.
        assert_eq!(world.run(at - 0.001, at + 0.001).probes.len(), 1);
        at += 0.001;
    }
    let (few, many) = gaps.split_at(usize::from(MAX_CONFLICTS) - 1);
    assert!(
        few.iter().all(|gap| (10.0..=11.0).contains(gap)),
        "{gaps:?}"
    );
    assert!(
        many.iter().all(|gap| (60.0..=61.0).contains(gap)),
        "{gaps:?}"
    );
}

#[test]
fn a_station_that_goes_on_claiming_is_one_conflict() {
    let mut world = World::new(DadMode::Strict);
    world.follow(0.0, &[V4]);
    world.run(0.0, 1.0);
    for second in 1..100 {
        let verdict = world.other(f64::from(second), V4, EventKind::Claim);
        assert_eq!(verdict, Verdict::HeldBack);
    }
    // Ten seconds after the last claim, not after the first; and not sixty.
    let seen = world.run(99.0, 111.0);
    assert!((109.0..=110.0).contains(&seen.probes[0]), "{seen:?}");
}

#[test]
fn what_is_gone_is_forgotten_and_new_when_it_comes_back() {
    let mut world = World::new(DadMode::Strict);
    world.follow(0.0, &[V4]);
    world.run(0.0, 1.0);
    world.other(1.0, V4, EventKind::Claim);
    world.follow(2.0, &[]);
    assert_eq!(world.dad.next_due(), None);
    assert_eq!(world.held(V4), None);
    world.follow(3.0, &[V4]);
    assert_eq!(world.held(V4), Some(Reason::Probing));
    assert_probes(&world.run(3.0, 30.0).probes, 3.0, 1.0);
}

#[test]
fn without_a_carrier_nothing_is_probed_for_and_nothing_becomes_clean() {
    let mut world = World::new(DadMode::Strict);
    world.follow(0.0, &[V4]);
    world.run(0.0, 2.5);
    let (down, up) = (world.at(2.5), world.at(100.0));
    world.dad.set_carrier(down, false, &mut world.random);
    assert_eq!(world.dad.next_due(), None);
    assert_eq!(world.held(V4), Some(Reason::Probing));
    world.dad.set_carrier(up, true, &mut world.random);
    assert_probes(&world.run(100.0, 120.0).probes, 100.0, 1.0);
    // Clean ones stay so.
    let (down, up) = (world.at(120.0), world.at(121.0));
    world.dad.set_carrier(down, false, &mut world.random);
    world.dad.set_carrier(up, true, &mut world.random);
    assert_eq!((world.held(V4), world.dad.next_due()), (None, None));
}

#[test]
fn a_probe_that_could_not_be_sent_does_not_count() {
    let mut world = World::new(DadMode::Strict);
    world.follow(0.0, &[V4]);
    let (mut sent, mut now) = (0, world.start);
    // Every other one is lost.
    for round in 0.. {
        let Some(due) = world.dad.next_due() else {
            break;
        };
        now = now.max(due);
        let due = world.dad.due(now, &mut world.pace, &mut world.random);
        for address in due.probes {
            if round % 2 == 0 {
                world.dad.unsent(now, address);
            } else {
                sent += 1;
            }
        }
    }
    assert_eq!(sent, PROBES);
    assert_eq!(world.held(V4), None);
}

#[test]
fn another_mode_cuts_nobody_off_and_counts_for_what_is_new() {
    use DadMode::{Off, Optimistic, Strict};
    const NEW: &str = "192.0.2.8";
    // From and to; whether what is answered for is probed for once more; whether what is new is
    // probed for, and held back meanwhile.
    let rows = [
        (Off, Optimistic, true, true, None),
        (Off, Strict, false, true, Some(Reason::Probing)),
        (Optimistic, Strict, false, true, Some(Reason::Probing)),
        (Strict, Optimistic, false, true, None),
        (Optimistic, Off, false, false, None),
        (Strict, Off, false, false, None),
        (Optimistic, Optimistic, false, true, None),
    ];
    for (from, to, again, probed, held) in rows {
        let shown = format!("{from:?} → {to:?}");
        let mut world = World::new(from);
        world.follow(0.0, &[V4]);
        world.run(0.0, 20.0);
        assert!(world.is_free(V4), "{shown}");

        world.change(20.0, to, &[V4]);
        world.follow(20.0, &[V4]);
        assert!(
            world.is_free(V4),
            "{shown}: it would be announced once more"
        );
        assert_eq!(world.held(V4), None, "{shown}");
        let seen = world.run(20.0, 40.0);
        assert_eq!(seen.probes.len(), if again { 3 } else { 0 }, "{shown}");
        assert_eq!(seen.freed, [0.0; 0], "{shown}");

        world.follow(40.0, &[V4, NEW]);
        assert_eq!(world.held(NEW), held, "{shown}");
        let seen = world.run(40.0, 60.0);
        assert_eq!(seen.probes.len(), if probed { 3 } else { 0 }, "{shown}");
        assert!(world.is_free(NEW) && world.is_free(V4), "{shown}");
        assert_eq!(world.held(NEW), None, "{shown}");
    }
}

#[test]
fn an_address_that_is_held_back_is_answered_for_when_that_is_not_wanted_any_more() {
    for mode in [DadMode::Optimistic, DadMode::Off] {
        let mut world = World::new(DadMode::Strict);
        world.follow(0.0, &[V4]);
        world.other(0.1, V4, EventKind::Claim);
        assert_eq!(world.held(V4), Some(Reason::Duplicate));
        world.change(1.0, mode, &[]);
        assert_eq!(world.held(V4), None, "{mode:?}");
        // The station is still told of, as long as somebody looks.
        let taken = world.dad.taken().count();
        assert_eq!(taken, usize::from(mode == DadMode::Optimistic), "{mode:?}");
    }
}
