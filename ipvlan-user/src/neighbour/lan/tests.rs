use std::{
    os::{fd::OwnedFd, unix::net::UnixDatagram},
    time::Duration,
};

use ipvlan_common::Hook;

use super::*;
use crate::{
    discover::snapshot::{Link, NetnsId},
    model::Prefix,
};

const PARENT: Mac = [2, 0, 0, 0, 0, 1];
const STATION: Mac = [2, 0, 0, 0, 0, 9];
/// Busy, or hostile.
const A: i32 = 1;
/// Well-behaved.
const B: i32 = 2;

/// What was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Probe(IpAddr),
    Announcement(IpAddr),
    ToRouters(IpAddr),
}

/// A parent's share of the LAN, a socket that takes its frames, and a clock.
struct World {
    start: Instant,
    now: Instant,
    neighbours: Neighbours,
    wire: UnixDatagram,
    live: BTreeMap<IpAddr, i32>,
    suppressed: u64,
}

impl World {
    fn new(manners: Manners, quotas: &Quotas) -> Self {
        let start = Instant::now();
        let (socket, wire) = UnixDatagram::pair().unwrap();
        wire.set_nonblocking(true).unwrap();
        let socket = PacketSocket::to_test(OwnedFd::from(socket));
        let mut neighbours = Neighbours::new(start, 0, manners, quotas, socket);
        let link = Link {
            mac: Some(PARENT),
            up: true,
            carrier: true,
            ..Link::default()
        };
        neighbours.follow(start, &link, BTreeMap::new());
        Self {
            start,
            now: start,
            neighbours,
            wire,
            live: BTreeMap::new(),
            suppressed: 0,
        }
    }

    /// An address comes to a netns, or goes.
    fn set(&mut self, address: IpAddr, nsid: Option<i32>) {
        let candidate = nsid.map(|nsid| Candidate {
            live: Live {
                child: ChildKey {
                    netns: NetnsId::Nsid(nsid),
                    ifindex: 2,
                },
                router: false,
                optimistic: false,
            },
            mute: address.is_ipv6(),
        });
        self.neighbours.revise(self.now, address, candidate);
        match nsid {
            Some(nsid) => self.live.insert(address, nsid),
            None => self.live.remove(&address),
        };
    }

    fn event(&mut self, kind: EventKind, address: IpAddr, mac: Mac) {
        let event = match address {
            IpAddr::V4(v4) => Event::ipv4(kind, Hook::Ingress, mac, v4.octets(), 2),
            IpAddr::V6(v6) => Event::ipv6(kind, Hook::Ingress, mac, v6.octets(), 2),
        };
        let live = &self.live;
        let around = Neighbourhood {
            on_link: &["10.0.0.0/8".parse::<Prefix>().unwrap()],
            is_held: &|address| live.contains_key(&address),
        };
        let moment = Moment {
            now: self.now,
            at: SystemTime::UNIX_EPOCH,
            name: &|_| "eth0".to_owned(),
        };
        self.neighbours.event(moment, &event, &around);
    }

    /// Runs for some time, waking only when told to. Returns what was sent when, in seconds since the start.
    fn run(&mut self, time: Duration) -> Vec<(f64, Said)> {
        let end = self.now + time;
        let mut said = Vec::new();
        while let Some(due) = self.neighbours.next_due(self.now) {
            let now = self.now.max(due);
            if now > end {
                break;
            }
            self.now = now;
            let moment = Moment {
                now,
                at: SystemTime::UNIX_EPOCH,
                name: &|_| "eth0".to_owned(),
            };
            self.neighbours.advance(moment, self.suppressed);
            self.neighbours.send(now);
            let at = (now - self.start).as_secs_f64();
            said.extend(self.received().into_iter().map(|said| (at, said)));
        }
        self.now = end;
        said
    }

    fn received(&self) -> Vec<Said> {
        let mut buffer = [0; 128];
        std::iter::from_fn(|| {
            self.wire
                .recv(&mut buffer)
                .ok()
                .map(|len| said(&buffer[..len]))
        })
        .collect()
    }
}

/// What a frame of ours says.
fn said(frame: &[u8]) -> Said {
    assert_eq!(frame[6..12], PARENT);
    if frame[12..14] == [8, 6] {
        let [spa, tpa] = [28, 38].map(|from| {
            let bytes: [u8; 4] = frame[from..from + 4].try_into().unwrap();
            IpAddr::from(bytes)
        });
        return if spa.is_unspecified() {
            Said::Probe(tpa)
        } else {
            Said::Announcement(tpa)
        };
    }
    let target: [u8; 16] = frame[62..78].try_into().unwrap();
    match (frame[54], frame[53]) {
        (135, _) => Said::Probe(target.into()),
        (136, 1) => Said::Announcement(target.into()),
        (136, 2) => Said::ToRouters(target.into()),
        other => panic!("{other:?}"),
    }
}

fn v4(number: u32) -> IpAddr {
    std::net::Ipv4Addr::from_bits(0x0a00_0000 + number).into()
}

fn v6(number: u16) -> IpAddr {
    std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, number).into()
}

fn first(sent: &[(f64, Said)], what: Said) -> Option<f64> {
    sent.iter()
        .find(|(_, said)| *said == what)
        .map(|&(at, _)| at)
}

fn most_in_a_second(sent: &[(f64, Said)]) -> usize {
    let within = |(index, &(at, _)): (usize, &(f64, Said))| {
        let later = sent[index..].iter();
        later.take_while(|(later, _)| *later < at + 1.0).count()
    };
    sent.iter().enumerate().map(within).max().unwrap_or(0)
}

/// Row S9 of the attack table: 1 200 addresses given up in turn every 0.6 s, all of them lower than those of
/// the other child.
#[test]
fn a_new_address_is_probed_for_at_once_and_announced_while_another_netns_churns() {
    let mut world = World::new(Manners::default(), &Quotas::default());
    let mut sent = Vec::new();
    let mut new = Vec::new();
    for round in 0..50_u32 {
        for number in 0..1_200 {
            world.set(v4(number), None);
        }
        for number in 0..1_200 {
            world.set(v4(number), Some(A));
        }
        if round % 5 == 4 {
            let at = (world.now - world.start).as_secs_f64();
            let number = 100_000 + round;
            let addresses = [v4(number), v6(u16::try_from(round).unwrap())];
            for address in addresses {
                world.set(address, Some(B));
            }
            new.push((at, addresses));
        }
        sent.extend(world.run(Duration::from_millis(600)));
    }
    for (at, addresses) in new.iter().take(9) {
        for &address in addresses {
            let probed = first(&sent, Said::Probe(address)).unwrap() - at;
            let announced = first(&sent, Said::Announcement(address)).unwrap() - at;
            assert!(probed < 0.5, "{address}: {probed}");
            assert!(announced < 2.0, "{address}: {announced}");
        }
    }
    let most = most_in_a_second(&sent);
    assert!(most <= 13, "{most} frames in a second");
    // The other netns has had its share, and that is reported.
    let of_a = sent.iter().filter(|(_, said)| match said {
        Said::Probe(address) | Said::Announcement(address) => *address < v4(1_200),
        Said::ToRouters(_) => false,
    });
    let of_a = of_a.count();
    assert!((140..=158).contains(&of_a), "{of_a}");
    let exceeded = world.neighbours.exceeded();
    let netns: Vec<_> = exceeded.keys().copied().collect();
    assert!(
        netns.contains(&(NetnsId::Nsid(A), Quota::Announcements)),
        "{exceeded:?}"
    );
    // What was given up has left nothing behind.
    for number in 0..1_200 {
        world.set(v4(number), None);
    }
    world.run(Duration::from_mins(2));
    assert_eq!(world.neighbours.next_due(world.now), None);
}

/// As above, by ten netns of one container.
#[test]
fn a_new_address_is_announced_in_time_while_ten_netns_churn() {
    let mut world = World::new(Manners::default(), &Quotas::default());
    let mut sent = Vec::new();
    for round in 0..20 {
        for number in 0..1_200 {
            let netns = 100 + i32::try_from(number % 10).unwrap();
            world.set(v4(number), None);
            world.set(v4(number), Some(netns));
        }
        if round == 10 {
            world.set(v4(100_000), Some(B));
        }
        sent.extend(world.run(Duration::from_millis(600)));
    }
    let probed = first(&sent, Said::Probe(v4(100_000))).unwrap() - 6.0;
    let announced = first(&sent, Said::Announcement(v4(100_000))).unwrap() - 6.0;
    assert!(probed < 0.5 && announced < 2.0, "{probed} {announced}");
    assert!(most_in_a_second(&sent) <= 13);
}

/// A start with many children is slow, and a child that comes later does not wait for it.
#[test]
fn a_new_address_goes_before_the_thousand_that_were_there_at_start() {
    let mut world = World::new(Manners::default(), &Quotas::default());
    // Those of the first call are the ones that were there.
    let (socket, wire) = UnixDatagram::pair().unwrap();
    wire.set_nonblocking(true).unwrap();
    let socket = PacketSocket::to_test(OwnedFd::from(socket));
    let (manners, quotas) = (Manners::default(), Quotas::default());
    world.neighbours = Neighbours::new(world.start, 0, manners, &quotas, socket);
    world.wire = wire;
    let candidates = (0..1_000).map(|number| {
        let live = Live {
            child: ChildKey {
                netns: NetnsId::Nsid(100 + i32::try_from(number).unwrap()),
                ifindex: 2,
            },
            router: false,
            optimistic: false,
        };
        (v4(number), Candidate { live, mute: false })
    });
    let link = Link {
        mac: Some(PARENT),
        up: true,
        carrier: true,
        ..Link::default()
    };
    world
        .neighbours
        .follow(world.start, &link, candidates.collect());
    let mut sent = world.run(Duration::from_secs(20));
    world.set(v4(100_000), Some(B));
    sent.extend(world.run(Duration::from_mins(12)));
    let probed = first(&sent, Said::Probe(v4(100_000))).unwrap() - 20.0;
    let announced = first(&sent, Said::Announcement(v4(100_000))).unwrap() - 20.0;
    assert!(probed < 0.2 && announced < 1.0, "{probed} {announced}");
    assert!(most_in_a_second(&sent) <= 13);
    // All have their turn: three probes and three announcements each.
    assert_eq!(sent.len(), 6 * 1_001);
    for number in 0..1_000 {
        assert!(first(&sent, Said::Announcement(v4(number))).is_some());
    }
}

/// Stations can claim the addresses of one netns as often as they like.
#[test]
fn claims_of_the_addresses_of_one_netns_use_up_neither_the_log_nor_the_pace_of_others() {
    let mut world = World::new(Manners::default(), &Quotas::default());
    for number in 0..500 {
        world.set(v4(number), Some(A));
    }
    world.set(v4(100_000), Some(B));
    world.run(Duration::from_mins(10));
    assert_eq!(
        world.neighbours.next_due(world.now),
        None,
        "all are established"
    );
    world.event(EventKind::Claim, v4(100_000), STATION);
    let mut sent = Vec::new();
    for number in 0..20_000_u32 {
        let [_, a, b, c] = number.to_be_bytes();
        world.event(EventKind::Claim, v4(number % 500), [2, 0, 1, a, b, c]);
        if number % 64 == 0 {
            sent.extend(world.run(Duration::from_secs(1)));
        }
    }
    // The other netns: its entry is there, and its new address has its turn.
    let entries = world.neighbours.log().entries();
    let of_b = entries.filter(|entry| entry.incident.address == Some(v4(100_000)));
    assert_eq!(of_b.count(), 1);
    let now = (world.now - world.start).as_secs_f64();
    world.set(v4(100_001), Some(B));
    sent.extend(world.run(Duration::from_secs(3)));
    let announced = first(&sent, Said::Announcement(v4(100_001))).unwrap() - now;
    assert!(announced < 2.0, "{announced}");
    assert!(most_in_a_second(&sent) <= 13);
    // Events beyond the quota were counted, for the netns that they are about.
    let exceeded = world.neighbours.exceeded();
    let events = exceeded[&(NetnsId::Nsid(A), Quota::Events)];
    assert!((14_000..16_000).contains(&events), "{events}");
    assert!(!exceeded.contains_key(&(NetnsId::Nsid(B), Quota::Events)));
    // No address was withheld.
    assert!(world.neighbours.withheld().is_empty());
}

/// The answer to a probe is evidence, however many events there are about the same netns.
#[test]
fn an_answer_to_a_probe_counts_beyond_the_quota_of_events() {
    let mut world = World::new(Manners::default(), &Quotas::default());
    for number in 0..100 {
        world.set(v4(number), Some(A));
    }
    world.run(Duration::from_mins(2));
    world.set(v4(1_000), Some(A));
    let sent = world.run(Duration::from_millis(300));
    assert!(first(&sent, Said::Probe(v4(1_000))).is_some());
    for number in 0..100 {
        world.event(EventKind::Claim, v4(number), STATION);
    }
    let owner = [2, 0, 0, 0, 0, 7];
    world.event(EventKind::Claim, v4(1_000), owner);
    let sent = world.run(Duration::from_secs(5));
    assert_eq!(
        world.neighbours.dad.refusal(v4(1_000)),
        Some(Reason::Duplicate)
    );
    assert_eq!(first(&sent, Said::Announcement(v4(1_000))), None);
    let taken: Vec<_> = world.neighbours.taken().collect();
    assert_eq!(taken.len(), 1);
    assert_eq!((taken[0].0, taken[0].2), (v4(1_000), owner));
}

/// Azure, local proxy ARP: the log has the one finding, in both modes, and no claim of the address.
#[test]
fn a_station_that_answers_for_every_address_is_one_incident() {
    for dad in [DadMode::Optimistic, DadMode::Strict] {
        let manners = Manners {
            dad,
            ..Manners::default()
        };
        let mut world = World::new(manners, &Quotas::default());
        for number in 1..=3 {
            world.set(v4(number), Some(B));
        }
        for _ in 0..300 {
            for (_, said) in world.run(Duration::from_millis(100)) {
                if let Said::Probe(address) = said {
                    world.event(EventKind::Claim, address, STATION);
                }
            }
        }
        let entries = world.neighbours.log().entries();
        let kinds: Vec<_> = entries
            .map(|entry| (entry.incident.kind, entry.incident.mac))
            .collect();
        assert_eq!(kinds, [(Kind::NoOwner, Some(STATION))], "{dad:?}");
        assert!(world.neighbours.withheld().is_empty(), "{dad:?}");
        assert_eq!(world.neighbours.taken().count(), 0);
        for number in 1..=3 {
            assert!(world.neighbours.dad.is_free(v4(number)));
        }
    }
}

/// `--announce off`: probes alone.
#[test]
fn nothing_is_announced_or_defended_when_that_is_switched_off() {
    let manners = Manners {
        announce: Announcing::Off,
        ..Manners::default()
    };
    let mut world = World::new(manners, &Quotas::default());
    world.set(v4(1), Some(B));
    world.set(v6(1), Some(B));
    let sent = world.run(Duration::from_secs(20));
    world.event(EventKind::Claim, v4(1), STATION);
    let later = world.run(Duration::from_secs(20));
    assert_eq!(sent.len(), 6);
    assert!(sent.iter().all(|(_, said)| matches!(said, Said::Probe(_))));
    assert!(later.is_empty(), "{later:?}");
}
