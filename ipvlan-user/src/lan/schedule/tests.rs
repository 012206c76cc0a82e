use std::{
    os::{fd::OwnedFd, unix::net::UnixDatagram},
    time::{Duration, SystemTime},
};

use ipvlan_common::{Event, EventKind, Hook, Reason};

use super::*;
use crate::{
    facts::Link,
    lan::dad::{DadMode, control::Neighbourhood},
    model::{ChildKey, Prefix},
    protocol::QuotaKind,
};

mod claims;
mod fairness;
mod first;

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

/// A schedule, a socket that takes its frames, and a clock.
struct World {
    start: Instant,
    now: Instant,
    schedule: Schedule,
    wire: UnixDatagram,
    announced: BTreeMap<IpAddr, i32>,
    suppressed: u64,
    carrier: bool,
}

impl World {
    fn new(policy: LanPolicy, quotas: &Quotas) -> Self {
        let mut world = Self::unstarted(policy, quotas);
        world.update(BTreeMap::new());
        world
    }

    /// Returns one before the first update.
    fn unstarted(policy: LanPolicy, quotas: &Quotas) -> Self {
        let start = Instant::now();
        let (socket, wire) = UnixDatagram::pair().unwrap();
        wire.set_nonblocking(true).unwrap();
        let socket = PacketSocket::to_test(OwnedFd::from(socket));
        Self {
            start,
            now: start,
            schedule: Schedule::new(start, 0, policy, quotas, socket),
            wire,
            announced: BTreeMap::new(),
            suppressed: 0,
            carrier: true,
        }
    }

    /// These are all addresses.
    fn update(&mut self, candidates: BTreeMap<IpAddr, Candidate>) {
        let link = Link {
            mac: Some(PARENT),
            up: true,
            carrier: self.carrier,
            ..Link::default()
        };
        self.schedule.update(self.now, &link, candidates);
    }

    /// An address comes to a netns, or goes.
    fn set(&mut self, address: IpAddr, nsid: Option<i32>) {
        self.set_in(address, nsid, false);
    }

    /// As above, in mode l2 or in another one.
    fn set_in(&mut self, address: IpAddr, nsid: Option<i32>, l2: bool) {
        let candidate = nsid.map(|nsid| Candidate { l2, ..of(nsid) });
        self.schedule.revise(self.now, address, candidate);
        match nsid {
            Some(nsid) => self.announced.insert(address, nsid),
            None => self.announced.remove(&address),
        };
    }

    fn event(&mut self, kind: EventKind, address: IpAddr, mac: Mac) {
        let event = match address {
            IpAddr::V4(v4) => Event::ipv4(kind, Hook::Ingress, mac, v4.octets(), 2),
            IpAddr::V6(v6) => Event::ipv6(kind, Hook::Ingress, mac, v6.octets(), 2),
        };
        let announced = &self.announced;
        let around = Neighbourhood {
            on_link: &["10.0.0.0/8".parse::<Prefix>().unwrap()],
            is_owned: &|address| announced.contains_key(&address),
        };
        let moment = Moment {
            now: self.now,
            at: SystemTime::UNIX_EPOCH,
            name: &|_| "eth0".to_owned(),
        };
        self.schedule.on_event(moment, &event, &around);
    }

    /// Runs for some time, waking only when something is due. Returns what was sent when, in seconds since the start.
    fn run(&mut self, time: Duration) -> Vec<(f64, Said)> {
        let end = self.now + time;
        let mut said = Vec::new();
        while let Some(due) = self.schedule.next_due(self.now) {
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
            if self.schedule.advance(moment, self.suppressed) {
                self.update(self.schedule.candidates.clone());
            }
            self.schedule.send(now);
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

/// An address of the l3 child in this netns.
fn of(nsid: i32) -> Candidate {
    Candidate {
        announced: Announced {
            child: ChildKey {
                netns: NetnsId::Nsid(nsid),
                ifindex: 2,
            },
            router: false,
            optimistic: false,
        },
        l2: false,
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

/// `--announce off`: probes alone.
#[test]
fn nothing_is_announced_or_defended_when_that_is_switched_off() {
    let policy = LanPolicy {
        announce: Announcing::Off,
        ..LanPolicy::default()
    };
    let mut world = World::new(policy, &Quotas::default());
    world.set(v4(1), Some(B));
    world.set(v6(1), Some(B));
    let sent = world.run(Duration::from_secs(20));
    world.event(EventKind::Claim, v4(1), STATION);
    let later = world.run(Duration::from_secs(20));
    assert_eq!(sent.len(), 6);
    assert!(sent.iter().all(|(_, said)| matches!(said, Said::Probe(_))));
    assert!(later.is_empty(), "{later:?}");
}

/// Row B11 of the table of real nodes.
#[test]
fn a_start_with_sixty_children_stays_within_the_rate_and_a_restart_is_silent() {
    let addresses: Vec<(IpAddr, Candidate)> = (0..60)
        .flat_map(|number| {
            let candidate = of(i32::from(number) + 1);
            [(v4(u32::from(number)), candidate), (v6(number), candidate)]
        })
        .collect();
    for (adopted, mac) in [
        (false, None),
        (true, Some(PARENT)),
        (true, Some(STATION)),
        (true, None),
    ] {
        let policy = LanPolicy::default();
        let mut world = World::unstarted(policy, &Quotas::default());
        if adopted {
            world.schedule.adopt(Adopted {
                established: addresses.iter().map(|&(address, _)| address).collect(),
                mac,
                ..Adopted::default()
            });
        }
        world.update(addresses.iter().copied().collect());
        let sent = world.run(Duration::from_mins(5));
        assert!(most_in_a_second(&sent) <= 13, "{}", most_in_a_second(&sent));
        let announced = sent
            .iter()
            .filter(|(_, said)| !matches!(said, Said::Probe(_)));
        // Those of IPv6 are announced to all routers, too.
        let expected = if mac == Some(PARENT) {
            0
        } else {
            60 * 3 + 60 * 6
        };
        assert_eq!(announced.count(), expected, "{adopted} {mac:?}");
    }
}

/// Row B20: a switch forgets the MAC of a silent child.
#[test]
fn every_address_is_refreshed_within_the_rate_also_after_a_restart_and_a_reload() {
    let policy = LanPolicy {
        refresh: Some(Duration::from_secs(30)),
        ..LanPolicy::default()
    };
    for reload in [false, true] {
        let first = if reload { LanPolicy::default() } else { policy };
        let mut world = World::unstarted(first, &Quotas::default());
        let addresses: BTreeMap<IpAddr, Candidate> = (1..=50)
            .map(|number| (v4(number), of(1 + i32::try_from(number).unwrap())))
            .collect();
        world.schedule.adopt(Adopted {
            established: addresses.keys().copied().collect(),
            mac: Some(PARENT),
            ..Adopted::default()
        });
        world.update(addresses);
        let before = world.run(Duration::from_mins(2));
        world
            .schedule
            .set_policy(world.now, policy, &Quotas::default());
        let sent = world.run(Duration::from_mins(2));
        let of_one = |sent: &[(f64, Said)]| {
            let is_it = |(_, said): &&(f64, Said)| *said == Said::Announcement(v4(7));
            sent.iter().filter(is_it).count()
        };
        assert_eq!(of_one(&before) == 0, reload, "{before:?}");
        assert!((3..=5).contains(&of_one(&sent)), "{}", of_one(&sent));
        assert!(most_in_a_second(&sent) <= 13);
        world
            .schedule
            .set_policy(world.now, LanPolicy::default(), &Quotas::default());
        assert_eq!(world.run(Duration::from_mins(2)).len(), 0);
    }
}
