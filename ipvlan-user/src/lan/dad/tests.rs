use ipvlan_common::EventKind;

use super::{control::Neighbourhood, *};
use crate::lan::turns::Kind;

mod evidence;
mod mode;

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
    released: Vec<f64>,
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
    fn update(&mut self, seconds: f64, addresses: &[&str]) -> bool {
        self.update_as(seconds, addresses, Origin::New)
    }

    fn update_as(&mut self, seconds: f64, addresses: &[&str], origin: Origin) -> bool {
        let now = self.at(seconds);
        let addresses: BTreeSet<IpAddr> = addresses
            .iter()
            .map(|address| address.parse().unwrap())
            .collect();
        for &gone in self.known.difference(&addresses) {
            self.dad.remove(now, gone);
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
            is_owned: &|address| known.contains(&address),
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

    /// Runs from one time to another, waking only when something is due. Stations answer at once.
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
            let released = due.free.iter().chain(&due.released);
            seen.released.extend(released.map(|_| at));
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

    fn withheld(&self, address: &str) -> Option<Reason> {
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
    assert_eq!(seen.released.len(), count);
    assert!(world.is_idle());
    assert_eq!(world.dad.probed().count(), 0);
}

#[test]
fn an_address_that_was_withheld_before_a_restart_is_so_until_it_is_clean() {
    for mode in [DadMode::Optimistic, DadMode::Strict] {
        let mut world = World::new(mode);
        assert!(world.update_as(0.0, &[V4], Origin::Withheld));
        assert_eq!(world.withheld(V4), Some(Reason::Duplicate));
        let seen = world.run(0.0, 10.0);
        assert_probes(&seen.probes, 0.0, 0.001);
        assert_eq!(seen.released.len(), 1);
        assert_eq!(world.withheld(V4), None);
    }
}

/// Row S15 of the attack table: the answer can be among the events that were suppressed.
#[test]
fn an_address_is_not_released_while_events_are_suppressed_but_is_at_last() {
    for mode in [DadMode::Optimistic, DadMode::Strict] {
        let mut world = World::new(mode);
        world.update(0.0, &[V4]);
        let mut seen = Seen::default();
        // Suppressed all the time.
        for step in 0..600 {
            world.suppressed += 1;
            let from = f64::from(step) / 20.0;
            let step = world.run(from, from + 0.05);
            seen.probes.extend(step.probes);
            seen.released.extend(step.released);
        }
        let probes = usize::from(PROBES + EXTENSIONS);
        assert_eq!(seen.probes.len(), probes, "{mode:?} {seen:?}");
        let latest = if mode == DadMode::Strict { 14.0 } else { 2.0 };
        assert!(
            seen.released.len() == 1 && seen.released[0] < latest,
            "{mode:?} {seen:?}"
        );
        assert!(world.is_idle());
        // Suppressed once: the answer that was lost is received the next time.
        let mut world = World::new(mode);
        world.update(0.0, &[V4]);
        let before = if mode == DadMode::Strict { 4.0 } else { 0.3 };
        world.run(0.0, before);
        world.suppressed += 1;
        world.owners.insert(V4.parse().unwrap(), vec![STATION]);
        let seen = world.run(before, 9.0);
        assert_eq!(seen.released, [0.0; 0], "{mode:?} {seen:?}");
        assert_eq!(world.withheld(V4), Some(Reason::Duplicate));
    }
}

#[test]
fn what_is_gone_is_forgotten_and_new_when_it_comes_back() {
    let mut world = World::new(DadMode::Strict);
    world.update(0.0, &[V4]);
    world.run(0.0, 1.0);
    world.other(1.0, V4, EventKind::Claim);
    world.update(1.1, &[]);
    world.run(1.1, 2.0);
    assert!(world.is_idle());
    assert_eq!(world.withheld(V4), None);
    world.update(3.0, &[V4]);
    assert_eq!(world.withheld(V4), Some(Reason::Probing));
    assert_probes(&world.run(3.0, 30.0).probes, 3.0, 1.0);
}

#[test]
fn without_a_carrier_nothing_is_probed_for_and_nothing_becomes_clean() {
    let mut world = World::new(DadMode::Strict);
    world.update(0.0, &[V4]);
    world.run(0.0, 2.5);
    let (down, up) = (world.at(2.5), world.at(100.0));
    world.dad.set_carrier(down, false, &mut world.random);
    world.turns.clear();
    assert!(world.is_idle());
    assert_eq!(world.withheld(V4), Some(Reason::Probing));
    world.dad.set_carrier(up, true, &mut world.random);
    assert_probes(&world.run(100.0, 120.0).probes, 100.0, 1.0);
    // Clean ones stay so.
    let (down, up) = (world.at(120.0), world.at(121.0));
    world.dad.set_carrier(down, false, &mut world.random);
    world.dad.set_carrier(up, true, &mut world.random);
    assert_eq!(world.withheld(V4), None);
    assert!(world.is_idle());
}

#[test]
fn a_carrier_that_goes_ends_an_examination_without_a_result() {
    let mut world = World::new(DadMode::Optimistic);
    world.update(0.0, &[V4]);
    assert_eq!(world.other(0.0, V4, EventKind::Claim), Verdict::Examined);
    let (down, up) = (world.at(0.1), world.at(10.0));
    world.dad.set_carrier(down, false, &mut world.random);
    world.turns.clear();
    assert_eq!(world.dad.controls().count(), 0);
    world.dad.set_carrier(up, true, &mut world.random);
    let seen = world.run(10.0, 30.0);
    assert_probes(&seen.probes, 10.0, 0.001);
    assert_eq!((seen.released.len(), seen.withheld.len()), (1, 0));
}

#[test]
fn a_probe_that_could_not_be_sent_does_not_count() {
    let mut world = World::new(DadMode::Strict);
    world.update(0.0, &[V4]);
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
    assert_eq!(world.withheld(V4), None);
}
