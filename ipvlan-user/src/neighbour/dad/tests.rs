use super::*;

const STATION: Mac = [2, 0, 0, 0, 0, 9];
const V4: &str = "192.0.2.7";
const V6: &str = "2001:db8::7";

const NETNS: NetnsId = NetnsId::Nsid(1);
/// A station that answers for every address.
const FABRIC: Mac = [0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc];

/// Checks and a clock, in seconds since the start.
struct World {
    start: Instant,
    dad: Dad,
    known: BTreeSet<IpAddr>,
    turns: Turns,
    random: Random,
    /// The MACs that answer a probe for each address.
    owners: BTreeMap<IpAddr, Vec<Mac>>,
    /// The MAC that answers each probe.
    fabric: Option<Mac>,
    /// How many events about probed addresses were suppressed.
    suppressed: u64,
}

/// What happened when.
#[derive(Debug, Default)]
struct Seen {
    probes: Vec<f64>,
    /// When an address could be announced, after it was withheld or not.
    freed: Vec<f64>,
    controls: Vec<f64>,
    withheld: Vec<f64>,
    disputed: Vec<f64>,
    no_owner: Vec<Mac>,
}

impl World {
    fn new(mode: DadMode) -> Self {
        let start = Instant::now();
        Self {
            start,
            dad: Dad::new(mode),
            known: BTreeSet::new(),
            turns: Turns::new(start, 1000, 1000),
            random: Random::seeded(5),
            owners: BTreeMap::new(),
            fabric: None,
            suppressed: 0,
        }
    }

    fn at(&self, seconds: f64) -> Instant {
        self.start + Duration::from_secs_f64(seconds)
    }

    /// Returns whether something is withheld that was not known before.
    fn follow(&mut self, seconds: f64, addresses: &[&str]) -> bool {
        self.follow_as(seconds, addresses, Origin::New)
    }

    fn follow_as(&mut self, seconds: f64, addresses: &[&str], origin: Origin) -> bool {
        let now = self.at(seconds);
        let addresses: BTreeSet<IpAddr> = addresses
            .iter()
            .map(|address| address.parse().unwrap())
            .collect();
        for &gone in self.known.difference(&addresses) {
            self.dad.remove(gone);
            self.turns.remove(gone);
        }
        let mut withheld = false;
        for &address in addresses.difference(&self.known) {
            let (turns, random) = (&mut self.turns, &mut self.random);
            self.dad
                .add(now, turns, (address, NETNS), (origin, false), random);
            withheld |= self.dad.refusal(address).is_some();
        }
        self.known = addresses;
        withheld
    }

    /// Returns the addresses that can be announced now.
    fn change(&mut self, seconds: f64, mode: DadMode, answered: &[&str]) -> Vec<IpAddr> {
        let now = self.at(seconds);
        let answered = answered
            .iter()
            .map(|address| (address.parse().unwrap(), NETNS));
        self.dad.set_mode(now, &mut self.turns, mode, answered)
    }

    fn other(&mut self, seconds: f64, address: &str, kind: EventKind) -> Verdict {
        self.claim(self.at(seconds), address.parse().unwrap(), STATION, kind)
    }

    fn claim(&mut self, now: Instant, address: IpAddr, mac: Mac, kind: EventKind) -> Verdict {
        let known = &self.known;
        let around = Neighbourhood {
            on_link: &[],
            is_held: &|address| known.contains(&address),
        };
        let event = (address, mac, kind);
        self.dad
            .claim(now, &mut self.turns, event, &mut self.random, &around)
    }

    /// When something is due next.
    fn next_due(&self, now: Instant) -> Option<Instant> {
        let due = [self.dad.next_due(), self.turns.next_due(now)];
        due.into_iter().flatten().min()
    }

    /// Runs from one time to another, waking only when told to. Stations answer at once.
    fn run(&mut self, from: f64, to: f64) -> Seen {
        let (mut now, end) = (self.at(from), self.at(to));
        let mut seen = Seen::default();
        while let Some(due) = self.next_due(now) {
            now = now.max(due);
            if now > end {
                break;
            }
            let at = (now - self.start).as_secs_f64();
            let due = self
                .dad
                .due(now, &mut self.turns, self.suppressed, &mut self.random);
            let freed = due.free.iter().chain(&due.released);
            seen.freed.extend(freed.map(|_| at));
            seen.withheld.extend(due.withheld.iter().map(|_| at));
            seen.disputed.extend(due.disputed.iter().map(|_| at));
            seen.no_owner.extend(due.no_owner);
            while let Some((address, kind)) = self.turns.next(now) {
                match kind {
                    Kind::Control => {
                        seen.controls.push(at);
                        self.dad.control_sent(now, address);
                        if let Some(mac) = self.fabric {
                            assert!(self.dad.answers_control(address, mac));
                        }
                    }
                    Kind::Probe => {
                        assert!(self.dad.turn(now, address, &mut self.random));
                        seen.probes.push(at);
                        let mut answers = self.owners.get(&address).cloned().unwrap_or_default();
                        answers.extend(self.fabric);
                        for mac in answers {
                            assert!(!self.dad.answers_control(address, mac));
                            let verdict = self.claim(now, address, mac, EventKind::Claim);
                            if verdict == Verdict::Disputed {
                                seen.disputed.push(at);
                            }
                        }
                    }
                    Kind::Announcement | Kind::Defence => unreachable!("{kind:?}"),
                }
            }
        }
        seen
    }

    fn held(&self, address: &str) -> Option<Reason> {
        let address: IpAddr = address.parse().unwrap();
        assert_eq!(
            self.dad.withheld().get(&address).copied(),
            self.dad.refusal(address)
        );
        self.dad.refusal(address)
    }

    fn is_free(&self, address: &str) -> bool {
        self.dad.is_free(address.parse().unwrap())
    }

    fn is_probed(&self, address: &str) -> bool {
        self.dad.is_probed(address.parse().unwrap())
    }

    fn is_idle(&self) -> bool {
        self.next_due(self.start).is_none()
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
fn strict_withholds_a_new_address_until_three_probes_went_unanswered() {
    for address in [V4, V6] {
        let mut world = World::new(DadMode::Strict);
        assert!(world.follow(0.0, &[address]));
        assert_eq!(world.held(address), Some(Reason::Probing));
        assert!(world.is_probed(address));
        let seen = world.run(0.0, 60.0);
        assert_probes(&seen.probes, 0.0, 1.0);
        let [clean] = seen.freed[..] else {
            panic!("{seen:?}");
        };
        assert!((clean - seen.probes[2] - 2.0).abs() < 0.001, "{seen:?}");
        assert!((4.0..=7.0).contains(&clean), "{seen:?}");
        assert_eq!(world.held(address), None);
        assert!(world.is_free(address) && !world.is_probed(address));
        assert!(world.is_idle());
        assert_eq!(world.dad.take_changed().len(), 1);
        // Seen again, it is what it was.
        assert!(!world.follow(61.0, &[address]));
        assert_eq!(world.held(address), None);
    }
}

#[test]
fn optimistic_withholds_nothing_and_announces_after_a_grace() {
    let mut world = World::new(DadMode::Optimistic);
    assert!(!world.follow(0.0, &[V4]));
    assert_eq!((world.held(V4), world.is_free(V4)), (None, false));
    assert!(world.is_probed(V4));
    let seen = world.run(0.0, 60.0);
    assert_probes(&seen.probes, 0.0, 0.001);
    assert!((seen.freed[0] - 0.5).abs() < 0.001, "{seen:?}");
    assert_eq!(seen.freed.len(), 1);
    assert!(world.is_free(V4) && !world.is_probed(V4));
    assert!(world.is_idle());
}

#[test]
fn off_probes_for_nothing_and_disputes_nothing() {
    let mut world = World::new(DadMode::Off);
    assert!(!world.follow(0.0, &[V4, V6]));
    assert!(world.is_idle());
    assert!(world.is_free(V4) && !world.is_probed(V4));
    assert_eq!(world.other(1.0, V4, EventKind::Claim), Verdict::Undisputed);
}

#[test]
fn of_many_addresses_each_is_probed_for_and_released() {
    let mut world = World::new(DadMode::Optimistic);
    let count = 10_340;
    for index in (0..).take(count) {
        let address = IpAddr::from(std::net::Ipv4Addr::from_bits(0x0a00_0000 + index));
        let (turns, random) = (&mut world.turns, &mut world.random);
        let origin = (Origin::New, true);
        world
            .dad
            .add(world.start, turns, (address, NETNS), origin, random);
        assert!(!world.dad.is_free(address));
    }
    let seen = world.run(0.0, 1000.0);
    assert_eq!(seen.probes.len(), usize::from(PROBES) * count);
    assert_eq!(seen.freed.len(), count);
    assert!(world.is_idle());
    assert_eq!(world.dad.probed().count(), 0);
}

/// Row S4 of the attack table: a child takes the address of a station.
#[test]
fn an_address_that_a_station_owns_is_withheld_until_the_station_is_gone() {
    for mode in [DadMode::Optimistic, DadMode::Strict] {
        for address in [V4, V6] {
            let mut world = World::new(mode);
            world.owners.insert(address.parse().unwrap(), vec![STATION]);
            world.follow(0.0, &[address]);
            let seen = world.run(0.0, 9.0);
            let [withheld] = seen.withheld[..] else {
                panic!("{mode:?} {seen:?}");
            };
            assert_eq!(seen.controls.len(), control::CONTROLS, "{seen:?}");
            assert!(withheld < 1.5, "{seen:?}");
            assert!(mode == DadMode::Strict || withheld < 0.5, "{seen:?}");
            assert_eq!(world.held(address), Some(Reason::Duplicate));
            assert!(!world.is_free(address) && seen.freed.is_empty());
            let taken: Vec<_> = world.dad.taken().collect();
            assert_eq!(taken, [(address.parse().unwrap(), STATION)]);
            // As long as it is there: each time one probe, and no other control address.
            let seen = world.run(9.0, 60.0);
            assert!((3..=6).contains(&seen.probes.len()), "{seen:?}");
            assert_eq!(seen.freed, [0.0; 0]);
            assert_eq!(world.held(address), Some(Reason::Duplicate));
            // It comes back by itself.
            world.owners.clear();
            let seen = world.run(60.0, 80.0);
            assert_eq!(seen.freed.len(), 1, "{mode:?} {seen:?}");
            assert_eq!(world.held(address), None);
            assert!(world.is_free(address));
            assert!(world.is_idle());
            assert_eq!(world.dad.taken().count(), 0);
        }
    }
}

/// Azure, local proxy ARP: a claim is no evidence by a MAC that answers for everything.
#[test]
fn nothing_is_withheld_because_of_a_station_that_answers_for_every_address() {
    for mode in [DadMode::Optimistic, DadMode::Strict] {
        for address in [V4, V6] {
            let mut world = World::new(mode);
            world.fabric = Some(FABRIC);
            world.follow(0.0, &[address]);
            let seen = world.run(0.0, 30.0);
            assert_eq!(seen.no_owner, [FABRIC], "one finding");
            assert_eq!(seen.controls.len(), control::CONTROLS);
            assert_eq!(seen.withheld, [0.0; 0]);
            assert_eq!(world.held(address), None);
            let announced = if mode == DadMode::Strict { 8.0 } else { 2.0 };
            assert!(
                seen.freed.len() == 1 && seen.freed[0] < announced,
                "{seen:?}"
            );
            assert_eq!(world.dad.taken().count(), 0);
            assert!(world.is_idle());
            // The next one costs no control address.
            world.follow(30.0, &[address, "198.51.100.9"]);
            let seen = world.run(30.0, 60.0);
            assert_eq!((seen.controls.len(), seen.no_owner.len()), (0, 0));
            assert_eq!((seen.probes.len(), seen.freed.len()), (3, 1));
        }
    }
}

#[test]
fn a_real_owner_counts_beside_a_station_that_answers_for_every_address() {
    for owner_first in [false, true] {
        let mut world = World::new(DadMode::Optimistic);
        let answers = if owner_first {
            vec![STATION, FABRIC]
        } else {
            vec![FABRIC, STATION]
        };
        world.owners.insert(V4.parse().unwrap(), answers);
        world.fabric = Some(FABRIC);
        world.follow(0.0, &[V4]);
        let seen = world.run(0.0, 5.0);
        assert_eq!(seen.withheld.len(), 1, "{seen:?}");
        assert_eq!(world.held(V4), Some(Reason::Duplicate));
        let taken: Vec<_> = world.dad.taken().collect();
        assert_eq!(taken, [(V4.parse().unwrap(), STATION)]);
    }
}

/// Row S12 of the attack table: a false reply to each probe, after a restart.
#[test]
fn an_address_in_adopted_maps_is_answered_and_defended_whatever_is_claimed() {
    for mode in [DadMode::Optimistic, DadMode::Strict] {
        for address in [V4, V6] {
            let mut world = World::new(mode);
            world.owners.insert(address.parse().unwrap(), vec![STATION]);
            assert!(!world.follow_as(0.0, &[address], Origin::Established));
            assert!(world.is_free(address) && !world.is_probed(address));
            let seen = world.run(0.0, 900.0);
            assert!(seen.probes.len() > 10, "it is probed for: {seen:?}");
            assert!(seen.disputed.len() > 1, "each answer is disputed: {seen:?}");
            assert_eq!(seen.withheld, [0.0; 0]);
            assert_eq!(world.held(address), None);
            assert!(world.is_free(address));
            assert_eq!(world.dad.taken().count(), 1, "and reported");
            // Not so by a station that answers for everything.
            world.owners.clear();
            world.fabric = Some(FABRIC);
            let seen = world.run(900.0, 1_000.0);
            assert_eq!((seen.disputed.len(), world.dad.taken().count()), (0, 0));
            assert!(world.is_idle());
        }
    }
}

#[test]
fn an_address_that_was_withheld_before_a_restart_is_so_until_it_is_clean() {
    for mode in [DadMode::Optimistic, DadMode::Strict] {
        let mut world = World::new(mode);
        assert!(world.follow_as(0.0, &[V4], Origin::Withheld));
        assert_eq!(world.held(V4), Some(Reason::Duplicate));
        let seen = world.run(0.0, 10.0);
        assert_probes(&seen.probes, 0.0, 0.001);
        assert_eq!(seen.freed.len(), 1);
        assert_eq!(world.held(V4), None);
    }
}

/// Row S15 of the attack table: the answer can be among the events that were suppressed.
#[test]
fn an_address_is_not_released_while_events_are_suppressed_but_is_at_last() {
    for mode in [DadMode::Optimistic, DadMode::Strict] {
        let mut world = World::new(mode);
        world.follow(0.0, &[V4]);
        let mut seen = Seen::default();
        // Suppressed all the time.
        for step in 0..600 {
            world.suppressed += 1;
            let from = f64::from(step) / 20.0;
            let step = world.run(from, from + 0.05);
            seen.probes.extend(step.probes);
            seen.freed.extend(step.freed);
        }
        let probes = usize::from(PROBES + EXTENSIONS);
        assert_eq!(seen.probes.len(), probes, "{mode:?} {seen:?}");
        let latest = if mode == DadMode::Strict { 14.0 } else { 2.0 };
        assert!(
            seen.freed.len() == 1 && seen.freed[0] < latest,
            "{mode:?} {seen:?}"
        );
        assert!(world.is_idle());
        // Suppressed once: the answer that was lost is received the next time.
        let mut world = World::new(mode);
        world.follow(0.0, &[V4]);
        let before = if mode == DadMode::Strict { 4.0 } else { 0.3 };
        world.run(0.0, before);
        world.suppressed += 1;
        world.owners.insert(V4.parse().unwrap(), vec![STATION]);
        let seen = world.run(before, 9.0);
        assert_eq!(seen.freed, [0.0; 0], "{mode:?} {seen:?}");
        assert_eq!(world.held(V4), Some(Reason::Duplicate));
    }
}

#[test]
fn a_claim_before_the_first_probe_is_evidence() {
    let mut world = World::new(DadMode::Optimistic);
    world.follow(0.0, &[V4]);
    assert_eq!(world.other(0.0, V4, EventKind::Claim), Verdict::Examined);
    assert!(!world.is_free(V4));
    assert_eq!(world.held(V4), None, "answered while it is examined");
    let seen = world.run(0.0, 1.0);
    assert_eq!((seen.probes.len(), seen.withheld.len()), (0, 1));
    assert_eq!(world.held(V4), Some(Reason::Duplicate));
    // It is probed for again when the other station may be gone.
    let seen = world.run(1.0, 30.0);
    assert!((10.0..=11.5).contains(&seen.probes[0]), "{seen:?}");
    assert!(world.is_free(V4));
}

#[test]
fn what_others_do_means_what_the_mode_makes_of_it() {
    use EventKind::{Claim, Probe, UnicastProbe};
    use Verdict::{Examined, Undisputed, Withheld};
    let (probing, duplicate) = (Some(Reason::Probing), Some(Reason::Duplicate));
    // DadMode, when, by what: verdict, withheld then, and a second later.
    let rows = [
        (DadMode::Strict, 0.0, Claim, Examined, probing, duplicate),
        (DadMode::Strict, 2.0, Claim, Examined, probing, duplicate),
        (DadMode::Strict, 2.0, Probe, Withheld, duplicate, duplicate),
        (DadMode::Strict, 30.0, Claim, Undisputed, None, None),
        (DadMode::Strict, 30.0, Probe, Undisputed, None, None),
        (DadMode::Optimistic, 0.1, Claim, Examined, None, duplicate),
        (DadMode::Optimistic, 2.0, Claim, Examined, None, duplicate),
        (DadMode::Optimistic, 0.1, Probe, Undisputed, None, None),
        (DadMode::Optimistic, 2.0, Probe, Undisputed, None, None),
        (DadMode::Optimistic, 30.0, Claim, Undisputed, None, None),
        // Cisco IP Device Tracking.
        (
            DadMode::Strict,
            2.0,
            UnicastProbe,
            Undisputed,
            probing,
            probing,
        ),
        (
            DadMode::Optimistic,
            0.1,
            UnicastProbe,
            Undisputed,
            None,
            None,
        ),
    ];
    for (mode, at, kind, verdict, then, later) in rows {
        let row = (mode, at, kind);
        let mut world = World::new(mode);
        world.follow(0.0, &[V4]);
        world.run(0.0, at);
        assert_eq!(world.other(at, V4, kind), verdict, "{row:?}");
        assert_eq!(world.held(V4), then, "{row:?}");
        world.run(at, at + 1.0);
        assert_eq!(world.held(V4), later, "{row:?}");
        let taken: Vec<_> = world.dad.taken().collect();
        if later == duplicate {
            assert!(!world.is_free(V4), "{row:?}");
            assert_eq!(taken, [(V4.parse().unwrap(), STATION)], "{row:?}");
        } else {
            assert_eq!(taken, [], "{row:?}");
        }
    }
}

#[test]
fn many_conflicts_make_probes_rare() {
    for mode in [DadMode::Optimistic, DadMode::Strict] {
        let mut world = World::new(mode);
        world.owners.insert(V4.parse().unwrap(), vec![STATION]);
        world.follow(0.0, &[V4]);
        // The station answers the first of the probes each time.
        let probes = world.run(0.0, 500.0).probes;
        let gaps: Vec<f64> = probes.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let (few, many) = gaps.split_at(usize::from(MAX_CONFLICTS) - 1);
        assert!(few.iter().all(|gap| (9.9..=11.5).contains(gap)), "{gaps:?}");
        assert!(
            many.len() > 3 && many.iter().all(|gap| (59.9..=61.5).contains(gap)),
            "{gaps:?}"
        );
    }
}

#[test]
fn a_station_that_goes_on_claiming_is_one_conflict() {
    let mut world = World::new(DadMode::Strict);
    world.follow(0.0, &[V4]);
    world.run(0.0, 1.0);
    world.other(1.0, V4, EventKind::Claim);
    world.run(1.0, 2.0);
    for second in 2..100 {
        let verdict = world.other(f64::from(second), V4, EventKind::Claim);
        assert_eq!(verdict, Verdict::Withheld);
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
    world.follow(1.1, &[]);
    world.run(1.1, 2.0);
    assert!(world.is_idle());
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
    world.turns.clear();
    assert!(world.is_idle());
    assert_eq!(world.held(V4), Some(Reason::Probing));
    world.dad.set_carrier(up, true, &mut world.random);
    assert_probes(&world.run(100.0, 120.0).probes, 100.0, 1.0);
    // Clean ones stay so.
    let (down, up) = (world.at(120.0), world.at(121.0));
    world.dad.set_carrier(down, false, &mut world.random);
    world.dad.set_carrier(up, true, &mut world.random);
    assert_eq!(world.held(V4), None);
    assert!(world.is_idle());
}

#[test]
fn a_carrier_that_goes_ends_an_examination_without_a_result() {
    let mut world = World::new(DadMode::Optimistic);
    world.follow(0.0, &[V4]);
    assert_eq!(world.other(0.0, V4, EventKind::Claim), Verdict::Examined);
    let (down, up) = (world.at(0.1), world.at(10.0));
    world.dad.set_carrier(down, false, &mut world.random);
    world.turns.clear();
    assert_eq!(world.dad.controls().count(), 0);
    world.dad.set_carrier(up, true, &mut world.random);
    let seen = world.run(10.0, 30.0);
    assert_probes(&seen.probes, 10.0, 0.001);
    assert_eq!((seen.freed.len(), seen.withheld.len()), (1, 0));
}

#[test]
fn a_probe_that_could_not_be_sent_does_not_count() {
    let mut world = World::new(DadMode::Strict);
    world.follow(0.0, &[V4]);
    let (mut sent, mut now) = (0, world.start);
    // Every other one is lost.
    for round in 0.. {
        let Some(due) = world.next_due(now) else {
            break;
        };
        now = now.max(due);
        world.dad.due(now, &mut world.turns, 0, &mut world.random);
        while let Some((address, _)) = world.turns.next(now) {
            assert!(world.dad.turn(now, address, &mut world.random));
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
    for (from, to, again, probed, held) in rows {
        let shown = format!("{from:?} → {to:?}");
        let mut world = World::new(from);
        world.follow(0.0, &[V4]);
        world.run(0.0, 20.0);
        assert!(world.is_free(V4), "{shown}");

        assert!(world.change(20.0, to, &[V4]).is_empty(), "{shown}");
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
        world.follow(0.0, &[V4]);
        world.run(0.0, 0.2);
        assert_eq!(world.change(0.2, to, &[V4]), announced, "{from:?} → {to:?}");
        assert_eq!(world.held(V4), None, "{from:?} → {to:?}");
        let seen = world.run(0.2, 20.0);
        let later = usize::from(announced.is_empty());
        assert_eq!(seen.freed.len(), later, "{from:?} → {to:?}");
        assert!(world.is_free(V4) && world.is_idle(), "{from:?} → {to:?}");
    }
}

#[test]
fn a_duplicate_stays_withheld_unless_nothing_is_probed_for_any_more() {
    for (mode, held) in [
        (DadMode::Optimistic, Some(Reason::Duplicate)),
        (DadMode::Off, None),
    ] {
        let mut world = World::new(DadMode::Strict);
        world.follow(0.0, &[V4]);
        world.other(0.1, V4, EventKind::Probe);
        assert_eq!(world.held(V4), Some(Reason::Duplicate));
        let released = world.change(1.0, mode, &[]);
        assert_eq!(released.is_empty(), held.is_some(), "{mode:?}");
        assert_eq!(world.held(V4), held, "{mode:?}");
        let taken = world.dad.taken().count();
        assert_eq!(taken, usize::from(held.is_some()), "{mode:?}");
    }
}

proptest::proptest! {
    /// Whatever stations claim and whenever events are suppressed: an address that was clean is never withheld,
    /// and each address is answered and announced once the stations are silent.
    #[test]
    fn whatever_is_claimed_established_addresses_stay_and_all_others_come_back(
        strict: bool,
        fabric: bool,
        steps in proptest::collection::vec((0..4_000_u64, 0..3_usize, 0..5_u8, 0..3_u8), 1..80),
    ) {
        let mode = if strict { DadMode::Strict } else { DadMode::Optimistic };
        let addresses = [V4, V6, "192.0.2.8"];
        let mut world = World::new(mode);
        world.fabric = fabric.then_some(FABRIC);
        let mut seconds = 0.0;
        let mut established = BTreeSet::new();
        world.follow(0.0, &addresses);
        for (millis, index, action, mac) in steps {
            let next = seconds + Duration::from_millis(millis).as_secs_f64();
            world.run(seconds, next);
            seconds = next;
            for address in addresses {
                let is_clean = !world.is_probed(address);
                let held = world.held(address);
                if established.contains(address) {
                    proptest::prop_assert_eq!(held, None, "{} was clean", address);
                } else if is_clean {
                    established.insert(address);
                }
                proptest::prop_assert!(held.is_none() || !world.is_free(address));
            }
            let kind = match action {
                0 => EventKind::Probe,
                1 => EventKind::UnicastProbe,
                2 => {
                    world.suppressed += 1;
                    continue;
                }
                _ => EventKind::Claim,
            };
            let address = addresses[index].parse().unwrap();
            world.claim(world.at(seconds), address, [2, 0, 0, 0, 0, mac], kind);
        }
        // The longest retry, its probes and an examination.
        world.run(seconds, seconds + 80.0);
        for address in addresses {
            proptest::prop_assert_eq!(world.held(address), None, "{}", address);
            proptest::prop_assert!(world.is_free(address));
        }
        proptest::prop_assert!(world.is_idle());
    }
}
