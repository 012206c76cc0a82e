use super::*;

const OWNER: Mac = [2, 0, 0, 0, 0, 9];
const FABRIC: Mac = [0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc];

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn on_link() -> Vec<Prefix> {
    [
        "192.0.2.0/24",
        "198.51.100.0/30",
        "10.0.0.0/8",
        "2001:db8::/64",
    ]
    .map(|text| text.parse().unwrap())
    .into()
}

struct World {
    start: Instant,
    controls: Controls,
    random: Random,
    held: BTreeSet<IpAddr>,
}

impl World {
    fn new() -> Self {
        Self {
            start: Instant::now(),
            controls: Controls::default(),
            random: Random::seeded(3),
            held: BTreeSet::new(),
        }
    }

    fn at(&self, millis: u64) -> Instant {
        self.start + Duration::from_millis(millis)
    }

    fn examine(&mut self, address: &str, mac: Mac) -> Option<Vec<IpAddr>> {
        let held = &self.held;
        let on_link = on_link();
        let around = Neighbourhood {
            on_link: &on_link,
            is_owned: &|address| held.contains(&address),
        };
        self.controls
            .examine(ip(address), mac, &mut self.random, &around)
    }

    /// Sends the probes at a time; these are answered by MACs.
    fn probe(&mut self, millis: u64, controls: &[IpAddr], answers: &[(usize, Mac)]) {
        for &control in controls {
            assert!(self.controls.contains(control));
            self.controls.sent(self.at(millis), control);
        }
        for &(index, mac) in answers {
            self.controls.answer(controls[index], mac);
        }
    }
}

#[test]
fn controls_are_unowned_hosts_of_the_prefix() {
    // The address, and the prefix that its controls are in.
    let rows = [
        ("192.0.2.7", "192.0.2.0/24"),
        // Too short for two; and nothing on the link.
        ("198.51.100.1", "198.51.100.0/24"),
        ("203.0.113.9", "203.0.113.0/24"),
        ("10.1.2.3", "10.0.0.0/8"),
        ("2001:db8::7", "2001:db8::/64"),
        ("2001:db8:9::7", "2001:db8:9::/64"),
        ("fe80::7", "fe80::/64"),
    ];
    for (address, prefix) in rows {
        let prefix: Prefix = prefix.parse().unwrap();
        let mut world = World::new();
        world.held = (1..=200_u8).map(|host| [192, 0, 2, host].into()).collect();
        let controls = world.examine(address, OWNER).unwrap();
        assert_eq!(controls.len(), CONTROLS, "{address}");
        for control in controls {
            assert!(prefix.contains(control), "{address}: {control}");
            assert!(!world.held.contains(&control));
            assert_ne!(control, prefix.first());
            assert!(!control.to_string().ends_with(".255.255"), "{control}");
        }
    }
}

#[test]
fn without_a_free_address_nothing_is_examined() {
    let mut world = World::new();
    world.held = (0..=255_u8).map(|host| [192, 0, 2, host].into()).collect();
    assert_eq!(world.examine("192.0.2.7", OWNER), None);
}

#[test]
fn a_mac_that_answers_for_all_controls_answers_for_everything_and_no_other() {
    use Station::{AnswersForAll, Owner};
    // Who answers for which control, the first time and the second; what the MACs are then.
    type Answers = &'static [(usize, Mac)];
    let rows: [(Answers, Option<Answers>, [Station; 2]); 5] = [
        (&[], None, [Owner, Owner]),
        (&[(0, FABRIC), (1, FABRIC)], None, [Owner, AnswersForAll]),
        // One answer is lost, or it happens to have one of the addresses.
        (&[(0, FABRIC)], Some(&[(1, FABRIC)]), [Owner, AnswersForAll]),
        (&[(0, FABRIC)], Some(&[(0, FABRIC)]), [Owner, Owner]),
        (
            &[(0, FABRIC), (1, FABRIC), (0, OWNER)],
            Some(&[]),
            [Owner, AnswersForAll],
        ),
    ];
    for (first, second, expected) in rows {
        let mut world = World::new();
        let controls = world.examine("192.0.2.7", OWNER).unwrap();
        assert_eq!(world.examine("192.0.2.8", FABRIC), Some(Vec::new()));
        assert_eq!(
            world.controls.take_changed(),
            controls.iter().copied().collect()
        );
        assert_eq!(world.controls.next_due(), None, "nothing was sent yet");
        world.probe(100, &controls, first);
        assert_eq!(world.controls.next_due(), Some(world.at(500)));
        assert!(world.controls.due(world.at(499)).addresses.is_empty());
        let mut ended = world.controls.due(world.at(500));
        if let Some(second) = second {
            assert!(ended.addresses.is_empty(), "once more");
            assert_eq!(ended.again.len(), CONTROLS);
            world.probe(600, &controls, second);
            ended = world.controls.due(world.at(1_000));
        }
        let addresses = BTreeSet::from([ip("192.0.2.7"), ip("192.0.2.8")]);
        assert_eq!(ended.addresses, addresses);
        let now = world.at(1_001);
        let found = [OWNER, FABRIC].map(|mac| world.controls.station(now, mac));
        assert_eq!(found, expected, "{first:?} {second:?}");
        let for_all = usize::from(expected[1] == AnswersForAll);
        assert_eq!(ended.found, vec![FABRIC; for_all]);
        // Nothing is watched any more, and nothing is due.
        assert_eq!(
            world.controls.take_changed(),
            controls.into_iter().collect()
        );
        assert_eq!(world.controls.addresses().count(), 0);
        assert_eq!(world.controls.next_due(), None);
        // Known for some time.
        let later = now + REMEMBER_OWNER;
        assert_eq!(world.controls.station(later, OWNER), Station::Unknown);
        assert_eq!(
            world.controls.station(later, FABRIC) == AnswersForAll,
            for_all == 1
        );
        assert_eq!(
            world.controls.station(now + REMEMBER, FABRIC),
            Station::Unknown
        );
    }
}

#[test]
fn controls_are_the_same_for_the_whole_run_unless_one_gets_an_owner() {
    let mut world = World::new();
    let round = |world: &mut World, answers: &[(usize, Mac)]| {
        let controls = world.examine("192.0.2.7", OWNER).unwrap();
        world.probe(0, &controls, answers);
        let mut millis = 400;
        while world.controls.due(world.at(millis)).addresses.is_empty() {
            world.probe(millis, &controls, answers);
            millis += 400;
        }
        controls
    };
    let first = round(&mut world, &[]);
    assert_eq!(round(&mut world, &[(0, FABRIC), (1, FABRIC)]), first);
    world.held.insert(first[0]);
    let second = round(&mut world, &[]);
    assert!(!second.contains(&first[0]));
    // Another station turns out to have one.
    assert_eq!(round(&mut world, &[(0, FABRIC)]), second);
    assert_ne!(round(&mut world, &[]), second);
}

#[test]
fn many_prefixes_and_macs_take_bounded_memory() {
    let mut world = World::new();
    let mut examined = 0;
    for number in 0..1_000_u16 {
        let [high, low] = number.to_be_bytes();
        let mac = [2, 0, 0, 0, high, low];
        let address = format!("172.{}.{low}.1", 16 + high);
        examined += usize::from(world.examine(&address, mac).is_some());
    }
    assert_eq!(examined, ROUNDS);
    assert_eq!(world.controls.addresses().count(), ROUNDS * CONTROLS);
    for number in 0..10_000_u32 {
        let [_, _, high, low] = number.to_be_bytes();
        let mac = [2, 0, 0, 1, high, low];
        world.examine("172.16.0.1", mac);
        let control = world.controls.addresses().next().unwrap();
        world.controls.answer(control, mac);
    }
    let round = world.controls.rounds.values().next().unwrap();
    assert!(round.claimants.len() <= MACS && round.answers.len() <= 2 * MACS);
    let all: Vec<IpAddr> = world.controls.addresses().collect();
    for control in all {
        world.controls.sent(world.start, control);
    }
    world.controls.due(world.at(400));
    assert!(world.controls.owners.len() <= MACS);
    assert!(world.controls.chosen.len() <= PREFIXES);
}
