use super::*;

const STATION: Mac = [2, 0, 0, 0, 0, 9];
const NETNS: NetnsId = NetnsId::Nsid(1);

/// The conflicts of a parent, and a clock.
struct World {
    start: Instant,
    now: Instant,
    defence: Defence,
    turns: Turns,
    random: Random,
    held: BTreeSet<IpAddr>,
}

impl World {
    fn new(held: &[IpAddr]) -> Self {
        let start = Instant::now();
        Self {
            start,
            now: start,
            defence: Defence::default(),
            turns: Turns::new(start, 1000, 1000),
            random: Random::seeded(7),
            held: held.iter().copied().collect(),
        }
    }

    fn claim(&mut self, address: IpAddr) -> bool {
        let defends = self.held.contains(&address);
        let claim = (address, STATION);
        self.defence
            .claim(self.now, &mut self.random, claim, defends)
    }

    /// Runs until so many seconds after the start. Returns when each address was defended.
    fn run(&mut self, seconds: f64) -> Vec<(f64, IpAddr)> {
        let end = self.start + Duration::from_secs_f64(seconds);
        let mut defended = Vec::new();
        loop {
            let due = [self.defence.next_due(), self.turns.next_due(self.now)];
            let Some(due) = due.into_iter().flatten().min().filter(|&due| due <= end) else {
                self.now = end;
                return defended;
            };
            self.now = self.now.max(due);
            let held = &self.held;
            self.defence.due(self.now, &mut self.turns, |address| {
                held.contains(&address).then_some(NETNS)
            });
            while let Some((address, kind)) = self.turns.next(self.now) {
                assert_eq!(kind, Kind::Defence);
                if self.defence.turn(self.now, address) == Some(STATION) {
                    defended.push(((self.now - self.start).as_secs_f64(), address));
                }
            }
        }
    }
}

fn address(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, last])
}

#[test]
fn a_claim_is_answered_once_after_the_grace() {
    let mut world = World::new(&[address(1), address(2)]);
    assert!(!world.claim(address(1)));
    assert!(!world.defence.is_settled(world.now, address(1)));
    let defended = world.run(60.0);
    let [(at, of)] = defended[..] else {
        panic!("{defended:?}");
    };
    assert_eq!(of, address(1));
    assert!((2.5..=2.9).contains(&at), "{at}");
    assert_eq!(world.defence.next_due(), None);
    assert!(world.defence.is_settled(world.now, address(1)));
    // The next one, a minute later, is another conflict.
    assert!(!world.claim(address(1)));
    assert_eq!(world.run(120.0).len(), 1);
}

#[test]
fn what_a_station_announces_within_the_grace_is_one_claim() {
    for train in [&[0.0, 2.0][..], &[0.0, 1.1, 2.2], &[0.0; 5]] {
        let mut world = World::new(&[address(1)]);
        for &at in train {
            world.run(at);
            assert!(!world.claim(address(1)), "{train:?}");
        }
        assert_eq!(world.run(60.0).len(), 1, "{train:?}");
        assert_eq!(world.defence.yielded(world.now).count(), 0, "{train:?}");
    }
}

#[test]
fn an_address_that_is_given_up_within_the_grace_is_not_defended() {
    // The agent has noticed that it is gone, or notices when the defence is due.
    for noticed in [true, false] {
        let mut world = World::new(&[address(1)]);
        world.claim(address(1));
        world.run(0.1);
        world.held.clear();
        if noticed {
            world.defence.remove(address(1));
            assert_eq!(world.defence.next_due(), None);
        }
        assert_eq!(world.run(60.0), []);
    }
}

#[test]
fn a_lasting_conflict_is_yielded_until_the_claims_end() {
    let mut world = World::new(&[address(1)]);
    world.claim(address(1));
    world.run(5.0);
    assert!(world.claim(address(1)), "the station defends it, too");
    // As often as it claims the address from now on.
    for minute in 1..30 {
        assert_eq!(world.run(f64::from(minute) * 60.0), []);
        assert!(world.claim(address(1)), "{minute}");
        assert!(!world.defence.is_settled(world.now, address(1)));
    }
    let yielded: Vec<_> = world.defence.yielded(world.now).collect();
    assert_eq!(yielded, [(address(1), STATION)]);
    world.now += CALM;
    assert_eq!(world.defence.yielded(world.now).count(), 0);
    assert!(world.defence.is_settled(world.now, address(1)));
    assert!(!world.claim(address(1)));
    assert!(matches!(
        world.defence.conflicts[&address(1)].stage,
        Stage::Grace(_)
    ));
}

#[test]
fn an_address_that_is_not_to_be_defended_is_not_announced_after_a_claim_either() {
    let mut world = World::new(&[]);
    assert!(!world.claim(address(1)));
    assert!(!world.defence.is_settled(world.now, address(1)));
    assert_eq!(world.run(60.0), []);
    assert_eq!(world.defence.yielded(world.now).count(), 0);
}

/// Each receives the frames of the other after a moment, and both own the address.
#[test]
fn two_agents_send_one_defence_each_at_most() {
    for seed in 0..200 {
        let start = Instant::now();
        let agent = |seed| {
            let mut world = World::new(&[address(1)]);
            (world.start, world.now) = (start, start);
            world.random = Random::seeded(seed);
            world
        };
        let mut agents = [agent(seed), agent(1_000 + seed)];
        agents[0].claim(address(1));
        let mut sent = [0, 0];
        for step in 1..20_000 {
            for me in 0..2 {
                let defended = agents[me].run(f64::from(step) / 100.0).len();
                sent[me] += defended;
                if defended > 0 {
                    let now = agents[me].now;
                    agents[1 - me].now = now;
                    agents[1 - me].claim(address(1));
                }
            }
        }
        assert!(
            sent[0] <= 1 && sent[1] <= 1 && sent[0] + sent[1] >= 1,
            "{seed}: {sent:?}"
        );
    }
}

#[test]
fn conflicts_that_are_over_are_forgotten() {
    let held: Vec<IpAddr> = (0..200).map(address).collect();
    let mut world = World::new(&held);
    for &address in &held {
        world.claim(address);
    }
    world.run(30.0);
    world.claim(address(1));
    assert_eq!(world.defence.conflicts.len(), 1);
    world.defence.clear();
    assert_eq!(world.defence.next_due(), None);
}
