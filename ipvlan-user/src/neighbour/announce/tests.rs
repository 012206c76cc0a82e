use super::{super::frame::Mac, *};
use crate::discover::snapshot::NetnsId;

const MAC: Mac = [2, 0, 0, 0, 0, 1];
const OTHER_MAC: Mac = [2, 0, 0, 0, 0, 2];
const V4: &str = "192.0.2.7";
const V6: &str = "2001:db8::7";
const LINK_LOCAL: &str = "fe80::7";

fn child(ifindex: u32) -> Live {
    Live {
        child: ChildKey {
            netns: NetnsId::Nsid(1),
            ifindex,
        },
        router: false,
        optimistic: false,
    }
}

fn live(addresses: &[(&str, Live)]) -> BTreeMap<IpAddr, Live> {
    addresses
        .iter()
        .map(|&(address, live)| (address.parse().unwrap(), live))
        .collect()
}

/// A schedule and a clock that is told what time it is, in seconds since the start.
struct World {
    start: Instant,
    now: Instant,
    announce: Announce,
    live: BTreeMap<IpAddr, Live>,
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
            announce: Announce::default(),
            live: BTreeMap::new(),
            mac: None,
            turns: Turns::new(start, 1000, 1000),
            random: Random::seeded(7),
        }
    }

    fn at(&self, seconds: f64) -> Instant {
        self.start + Duration::from_secs_f64(seconds)
    }

    fn follow(&mut self, addresses: &[(&str, Live)], mac: Mac) {
        self.follow_all(live(addresses), mac);
    }

    fn follow_all(&mut self, live: BTreeMap<IpAddr, Live>, mac: Mac) {
        let now = self.now;
        for &address in self
            .live
            .keys()
            .filter(|address| !live.contains_key(address))
        {
            self.announce.remove(address);
            self.turns.remove(address);
        }
        for (&address, &live) in &live {
            let told = self.live.get(&address).copied();
            let netns = live.child.netns;
            if Announce::is_news(address, told, live) {
                let new = told.is_none_or(|told| told.child != live.child);
                self.announce
                    .start(now, &mut self.turns, address, netns, new);
            }
            if self.mac.is_some_and(|before| before != mac) {
                self.announce
                    .start(now, &mut self.turns, address, netns, false);
            }
        }
        self.live = live;
        self.mac = Some(mac);
    }

    /// When something is due next.
    fn next_due(&self) -> Option<Instant> {
        let due = [self.announce.next_due(), self.turns.next_due(self.now)];
        due.into_iter().flatten().min()
    }

    /// What is sent until `seconds`, waking only when told to, and when.
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
                let live = self.live[&address];
                let announcement = if kind == Kind::Defence {
                    Some(Announcement {
                        address,
                        live,
                        to_routers: false,
                    })
                } else {
                    self.announce.turn(now, &mut self.random, address, live)
                };
                let at = (now - self.start).as_secs_f64();
                sent.push((at, announcement.expect("it has its turn")));
            }
        }
        self.now = end;
        sent
    }

    fn claim(&mut self, address: IpAddr) -> bool {
        let netns = self.live[&address].child.netns;
        self.announce
            .claim(self.now, &mut self.turns, address, netns)
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
    world.follow(&[(V4, child(1))], MAC);
    assert_train(&world.times(0.0, 60.0), 0.0);
    assert_eq!(world.next_due(), None);
    // Seen again, it is what it was.
    world.follow(&[(V4, child(1))], MAC);
    assert_eq!(world.next_due(), None);
}

#[test]
fn whatever_neighbours_must_know_starts_a_train() {
    let router = Live {
        router: true,
        ..child(1)
    };
    let optimistic = Live {
        optimistic: true,
        ..child(1)
    };
    // What changes: address, before, after, MAC after, a train follows, routers are told first.
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
        world.follow(&[(address, before)], MAC);
        world.sent(0.0, 10.0);
        world.follow(&[(address, after)], mac);
        let sent = world.sent(10.0, 20.0);
        assert_eq!(sent.len(), if train { 3 } else { 0 }, "{what}");
        for (_, announcement) in sent {
            assert_eq!(announcement.live, after, "{what}");
            assert_eq!(announcement.to_routers, to_routers, "{what}");
        }
    }
}

#[test]
fn routers_are_told_of_new_addresses_that_can_be_routed_to() {
    for (address, to_routers) in [(V4, false), (V6, true), (LINK_LOCAL, false)] {
        let mut world = World::new();
        world.follow(&[(address, child(1))], MAC);
        // That the MAC changes as well does not make the address older.
        world.follow(&[(address, child(1))], OTHER_MAC);
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
    world.follow(&[(V4, child(1))], MAC);
    assert_eq!(world.times(0.0, 1.5).len(), 2);
    world.follow(&[(V4, child(1))], OTHER_MAC);
    assert_train(&world.times(1.5, 10.0), 1.5);

    world.follow(&[(V4, child(1))], MAC);
    assert_eq!(world.times(10.0, 10.5).len(), 1);
    world.follow(&[], MAC);
    assert_eq!(world.next_due(), None);
    // Back again, it is new.
    world.follow(&[(V4, child(1))], MAC);
    assert_train(&world.times(11.0, 20.0), 11.0);
}

#[test]
fn an_address_is_defended_at_most_once_in_ten_seconds() {
    let mut world = World::new();
    let address: IpAddr = V4.parse().unwrap();
    let other: IpAddr = V6.parse().unwrap();
    world.follow(&[(V4, child(1)), (V6, child(1))], MAC);
    world.sent(0.0, 20.0);
    let rows = [
        (20.0, address, true),
        (20.1, address, false),
        (20.1, other, true),
        (29.9, address, false),
        (30.0, address, true),
        (35.0, other, true),
    ];
    for (seconds, claimed, defended) in rows {
        world.now = world.at(seconds);
        assert_eq!(world.claim(claimed), defended, "{seconds}");
        let sent = world.sent(seconds, seconds);
        assert_eq!(sent.len(), usize::from(defended), "{seconds}");
        assert!(
            sent.iter()
                .all(|(_, sent)| sent.address == claimed && !sent.to_routers)
        );
    }
    assert_eq!(world.next_due(), None);
}

#[test]
fn an_address_that_goes_is_not_defended_any_more() {
    let mut world = World::new();
    world.follow(&[(V4, child(1))], MAC);
    world.sent(0.0, 10.0);
    assert!(world.claim(V4.parse().unwrap()));
    world.follow(&[], MAC);
    assert_eq!(world.next_due(), None);
}

#[test]
fn ten_thousand_addresses_are_paced_and_all_announced_in_turn() {
    let mut world = World::new();
    let addresses: BTreeMap<IpAddr, Live> = (0..10_000_u32)
        .map(|index| (IpAddr::from((0x0a00_0000 + index).to_be_bytes()), child(1)))
        .collect();
    world.follow_all(addresses, MAC);
    let sent = world.sent(0.0, 100.0);
    assert_eq!(sent.len(), 30_000);
    // Everybody once before anybody twice.
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
    world.follow_all(addresses, MAC);
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
