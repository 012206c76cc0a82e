use super::{super::frame::Mac, *};
use crate::facts::NetnsId;

const MAC: Mac = [2, 0, 0, 0, 0, 1];
const OTHER_MAC: Mac = [2, 0, 0, 0, 0, 2];
const V4: &str = "192.0.2.7";
const V6: &str = "2001:db8::7";
const LINK_LOCAL: &str = "fe80::7";

fn child(ifindex: u32) -> Announced {
    Announced {
        child: ChildKey {
            netns: NetnsId::Nsid(1),
            ifindex,
        },
        router: false,
        optimistic: false,
    }
}

fn announced(addresses: &[(&str, Announced)]) -> BTreeMap<IpAddr, Announced> {
    addresses
        .iter()
        .map(|&(address, announced)| (address.parse().unwrap(), announced))
        .collect()
}

/// A schedule and a clock that tests set, in seconds since the start.
struct World {
    start: Instant,
    now: Instant,
    announce: Announce,
    announced: BTreeMap<IpAddr, Announced>,
    mac: Option<Mac>,
    turns: Turns,
    random: Random,
}

impl World {
    fn new() -> Self {
        let start = Instant::now();
        Self {
            start,
            now: start,
            announce: Announce::new(None),
            announced: BTreeMap::new(),
            mac: None,
            turns: Turns::new(start, 1000, 1000),
            random: Random::seeded(7),
        }
    }

    fn at(&self, seconds: f64) -> Instant {
        self.start + Duration::from_secs_f64(seconds)
    }

    fn update(&mut self, addresses: &[(&str, Announced)], mac: Mac) {
        self.update_all(announced(addresses), mac);
    }

    fn update_all(&mut self, announced: BTreeMap<IpAddr, Announced>, mac: Mac) {
        let now = self.now;
        for &address in self
            .announced
            .keys()
            .filter(|address| !announced.contains_key(address))
        {
            self.announce.remove(address);
            self.turns.remove(address);
        }
        for (&address, &announced) in &announced {
            let before = self.announced.get(&address).copied();
            let netns = announced.child.netns;
            if Announce::is_news(address, before, announced) {
                let new = before.is_none_or(|before| before.child != announced.child);
                let start = Start { new, late: false };
                self.announce
                    .start(now, &mut self.turns, (address, netns), start);
            }
            if self.mac.is_some_and(|before| before != mac) {
                let start = Start {
                    new: false,
                    late: false,
                };
                self.announce
                    .start(now, &mut self.turns, (address, netns), start);
            }
        }
        self.announced = announced;
        self.mac = Some(mac);
    }

    /// When something is due next.
    fn next_due(&self) -> Option<Instant> {
        let due = [self.announce.next_due(), self.turns.next_due(self.now)];
        due.into_iter().flatten().min()
    }

    /// What is sent until `seconds`, waking only when something is due, and when.
    fn sent(&mut self, from: f64, seconds: f64) -> Vec<(f64, Announcement)> {
        let end = self.at(seconds);
        self.now = self.now.max(self.at(from));
        let mut sent = Vec::new();
        while let Some(due) = self.next_due() {
            let now = self.now.max(due);
            if now > end {
                break;
            }
            self.now = now;
            self.announce.due(now, &mut self.turns);
            while let Some((address, kind)) = self.turns.next(now) {
                let announced = self.announced[&address];
                assert_eq!(kind, Kind::Announcement);
                let announcement = self
                    .announce
                    .turn(now, &mut self.random, address, announced);
                let at = (now - self.start).as_secs_f64();
                sent.push((at, announcement.expect("it has its turn")));
            }
        }
        self.now = end;
        sent
    }

    fn times(&mut self, from: f64, to: f64) -> Vec<f64> {
        self.sent(from, to).into_iter().map(|(at, _)| at).collect()
    }
}

/// Three, the first at `from`, each a second and up to a tenth after the one before.
#[track_caller]
fn assert_train(times: &[f64], from: f64) {
    assert_eq!(times.len(), usize::from(TRAIN), "{times:?}");
    assert!((times[0] - from).abs() < 0.001, "{times:?}");
    for pair in times.windows(2) {
        let gap = pair[1] - pair[0];
        assert!((0.999..=1.101).contains(&gap), "{times:?}");
    }
}

#[test]
fn an_address_that_appears_is_announced_three_times_and_then_nothing_is_due() {
    let mut world = World::new();
    world.update(&[(V4, child(1))], MAC);
    assert_train(&world.times(0.0, 60.0), 0.0);
    assert_eq!(world.next_due(), None);
    // Seen again, it is what it was.
    world.update(&[(V4, child(1))], MAC);
    assert_eq!(world.next_due(), None);
}

#[test]
fn whatever_neighbours_must_know_starts_a_train() {
    let router = Announced {
        router: true,
        ..child(1)
    };
    let optimistic = Announced {
        optimistic: true,
        ..child(1)
    };
    // What changes: address, before, after, MAC after, a train follows, routers are notified first.
    let rows = [
        ("nothing", V6, child(1), child(1), MAC, false, false),
        ("MAC", V6, child(1), child(1), OTHER_MAC, true, false),
        ("MAC, IPv4", V4, child(1), child(1), OTHER_MAC, true, false),
        ("child", V6, child(1), child(2), MAC, true, true),
        ("child, IPv4", V4, child(1), child(2), MAC, true, false),
        ("forwarding", V6, child(1), router, MAC, true, false),
        ("forwarding, IPv4", V4, child(1), router, MAC, false, false),
        (
            "no longer optimistic",
            V6,
            optimistic,
            child(1),
            MAC,
            true,
            false,
        ),
    ];
    for (what, address, before, after, mac, train, to_routers) in rows {
        let mut world = World::new();
        world.update(&[(address, before)], MAC);
        world.sent(0.0, 10.0);
        world.update(&[(address, after)], mac);
        let sent = world.sent(10.0, 20.0);
        assert_eq!(sent.len(), if train { 3 } else { 0 }, "{what}");
        for (_, announcement) in sent {
            assert_eq!(announcement.announced, after, "{what}");
            assert_eq!(announcement.to_routers, to_routers, "{what}");
        }
    }
}

#[test]
fn routers_are_notified_of_new_addresses_that_can_be_routed_to() {
    for (address, to_routers) in [(V4, false), (V6, true), (LINK_LOCAL, false)] {
        let mut world = World::new();
        world.update(&[(address, child(1))], MAC);
        // That the MAC changes as well does not make the address older.
        world.update(&[(address, child(1))], OTHER_MAC);
        let sent = world.sent(0.5, 10.0);
        assert_eq!(sent.len(), 3);
        for (_, announcement) in sent {
            assert_eq!(announcement.to_routers, to_routers, "{address}");
        }
    }
}

#[test]
fn a_train_is_replaced_by_a_new_one_and_cancelled_with_its_address() {
    let mut world = World::new();
    world.update(&[(V4, child(1))], MAC);
    assert_eq!(world.times(0.0, 1.5).len(), 2);
    world.update(&[(V4, child(1))], OTHER_MAC);
    assert_train(&world.times(1.5, 10.0), 1.5);

    world.update(&[(V4, child(1))], MAC);
    assert_eq!(world.times(10.0, 10.5).len(), 1);
    world.update(&[], MAC);
    assert_eq!(world.next_due(), None);
    // Back again, it is new.
    world.update(&[(V4, child(1))], MAC);
    assert_train(&world.times(11.0, 20.0), 11.0);
}

#[test]
fn ten_thousand_addresses_are_paced_and_all_announced_in_turn() {
    let mut world = World::new();
    let addresses: BTreeMap<IpAddr, Announced> = (0..10_000_u32)
        .map(|index| (IpAddr::from((0x0a00_0000 + index).to_be_bytes()), child(1)))
        .collect();
    world.update_all(addresses, MAC);
    let sent = world.sent(0.0, 100.0);
    assert_eq!(sent.len(), 30_000);
    // Each address once before any address twice.
    let first: BTreeSet<IpAddr> = sent[..10_000]
        .iter()
        .map(|(_, sent)| sent.address)
        .collect();
    assert_eq!(first.len(), 10_000);
    // In no second more than a second's worth and a burst.
    let times: Vec<f64> = sent.iter().map(|&(at, _)| at).collect();
    for (index, &at) in times.iter().enumerate() {
        let within = times[index..].iter().take_while(|&&later| later < at + 1.0);
        assert!(within.count() <= 1_101, "at {at}");
    }
    assert!((29.0..31.0).contains(&times[29_999]), "{}", times[29_999]);
}

#[test]
fn many_addresses_are_all_announced_three_times() {
    let mut world = World::new();
    let count = 10_340;
    let address = |index: u32| IpAddr::from((0x0a00_0000 + index).to_be_bytes());
    let addresses = (0..count).map(|index| (address(index), child(1))).collect();
    world.update_all(addresses, MAC);
    let mut sent: Vec<IpAddr> = world
        .sent(0.0, 1000.0)
        .into_iter()
        .map(|(_, sent)| sent.address)
        .collect();
    sent.sort_unstable();
    let expected: Vec<IpAddr> = (0..3 * count).map(|index| address(index / 3)).collect();
    assert_eq!(sent, expected);
    assert_eq!(world.next_due(), None);
}

#[test]
fn an_address_is_refreshed_after_its_train_and_its_routers_are_not_notified_again() {
    let mut world = World::new();
    world.announce = Announce::new(Some(Duration::from_mins(1)));
    world.update(&[(V6, child(1))], MAC);
    let sent = world.sent(0.0, 602.0);
    // In ten minutes: three at once, then one after 54 to 60 seconds each.
    assert!((13..=14).contains(&sent.len()), "{sent:?}");
    for (index, pair) in sent.windows(2).enumerate() {
        let gap = pair[1].0 - pair[0].0;
        let expected = if index < 2 { 1.0..=1.11 } else { 54.0..=60.1 };
        assert!(expected.contains(&gap), "{sent:?}");
        assert_eq!(pair[1].1.to_routers, index < 2, "{index}");
    }
    // It goes, and is not refreshed any more.
    world.update(&[], MAC);
    assert_eq!(world.next_due(), None);
}

#[test]
fn an_address_that_neighbours_know_is_announced_when_it_is_refreshed() {
    let mut world = World::new();
    let netns = child(1).child.netns;
    let addresses: Vec<IpAddr> = (0..100).map(|last| [192, 0, 2, last].into()).collect();
    let refresh = Some(Duration::from_secs(100));
    for address in &addresses {
        world.announced.insert(*address, child(1));
        world
            .announce
            .rest(world.now, &mut world.random, *address, netns);
    }
    assert_eq!(world.next_due(), None, "nothing without --refresh");
    world.announce.set_refresh(&mut world.turns, refresh);
    for address in &addresses {
        world
            .announce
            .rest(world.now, &mut world.random, *address, netns);
    }
    let sent = world.sent(0.0, 100.1);
    let seen: BTreeSet<IpAddr> = sent.iter().map(|(_, sent)| sent.address).collect();
    assert_eq!(seen.len(), addresses.len(), "each once at least");
    assert!(sent.len() < 120, "{}", sent.len());
    // They are spread over the whole time.
    for part in 0..5 {
        let from = f64::from(part) * 20.0;
        let within = sent
            .iter()
            .filter(|(at, _)| (from..from + 20.0).contains(at));
        assert!((8..=40).contains(&within.count()), "{part}");
    }
    // One that is interrupted is refreshed later.
    let address = addresses[0];
    world
        .announce
        .interrupt(world.now, &mut world.random, address);
    let sent = world.sent(100.1, 200.3);
    assert!(sent.iter().any(|(_, sent)| sent.address == address));
    world.announce.set_refresh(&mut world.turns, None);
    assert_eq!(world.next_due(), None);
}
