//! Schedules on simulated LAN segments. The tests are in files by subject.

use std::{
    collections::BTreeSet,
    os::{fd::OwnedFd, unix::net::UnixStream},
    time::{Duration, SystemTime},
};

use ipvlan_common::{Event, EventKind, Hook, Reason};

use self::segment::Segment;
use super::*;
use crate::{
    facts::Link,
    lan::dad::{DadMode, control::Neighbourhood},
    model::{ChildKey, Prefix},
    protocol::QuotaKind,
};

mod adopted;
mod announcements;
mod defence;
mod evidence;
mod fairness;
mod first;
mod modes;
mod probes;
mod segment;

const PARENT: Mac = [2, 0, 0, 0, 0, 1];
const STATION: Mac = [2, 0, 0, 0, 0, 9];
/// A station that answers for every address.
const FABRIC: Mac = [0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc];
/// The netns of a child that is busy, or hostile.
const A: i32 = 1;
/// The netns of a well-behaved one.
const B: i32 = 2;
/// The modes in which addresses are probed for.
const PROBING: [DadMode; 2] = [DadMode::Optimistic, DadMode::Strict];

/// A frame that was sent, or a change of what is withheld.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Probe(IpAddr),
    /// A probe for a control address.
    Control,
    Announcement(IpAddr),
    ToRouters(IpAddr),
    Withheld(IpAddr, Reason),
    /// No longer withheld.
    Answered(IpAddr),
}

/// What happened when, in seconds since the start.
#[derive(Debug, Default)]
struct Trace(Vec<(f64, Step)>);

impl Trace {
    fn times(&self, step: Step) -> Vec<f64> {
        let same = self.0.iter().filter(|(_, other)| *other == step);
        same.map(|&(at, _)| at).collect()
    }

    fn count(&self, is_counted: impl Fn(Step) -> bool) -> usize {
        self.0.iter().filter(|(_, step)| is_counted(*step)).count()
    }

    /// The frames, those to control addresses included.
    fn frames(&self) -> impl Iterator<Item = &(f64, Step)> {
        let is_frame = |step| !matches!(step, Step::Withheld(..) | Step::Answered(_));
        self.0.iter().filter(move |(_, step)| is_frame(*step))
    }

    fn is_silent(&self) -> bool {
        self.frames().next().is_none()
    }

    /// The most frames in any second.
    fn most_in_a_second(&self) -> usize {
        let times: Vec<f64> = self.frames().map(|&(at, _)| at).collect();
        let within = |(index, &at): (usize, &f64)| {
            let later = times[index..].iter();
            later.take_while(|&&later| later < at + 1.0).count()
        };
        times.iter().enumerate().map(within).max().unwrap_or(0)
    }
}

/// Returns a socket, and the other end of it, which is read without waiting.
fn wire() -> (PacketSocket, UnixStream) {
    let (socket, wire) = UnixStream::pair().unwrap();
    wire.set_nonblocking(true).unwrap();
    (PacketSocket::to_test(OwnedFd::from(socket)), wire)
}

fn moment(now: Instant) -> Moment<'static> {
    Moment {
        now,
        at: SystemTime::UNIX_EPOCH,
        name: &|_| "eth0".to_owned(),
    }
}

fn unpaced() -> Quotas {
    Quotas {
        announcements: 1_000,
        events: 1_000,
        ..Quotas::default()
    }
}

fn in_mode(dad: DadMode) -> LanPolicy {
    LanPolicy {
        dad,
        ..LanPolicy::default()
    }
}

fn refreshing(dad: DadMode, seconds: u64) -> LanPolicy {
    LanPolicy {
        refresh: Some(Duration::from_secs(seconds)),
        ..in_mode(dad)
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

fn is_arp(frame: &[u8]) -> bool {
    frame[12..14] == [8, 6]
}

fn v4(number: u32) -> IpAddr {
    std::net::Ipv4Addr::from_bits(0x0a00_0000 + number).into()
}

fn v6(number: u16) -> IpAddr {
    std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, number).into()
}

/// Three probes, the first within `wait` of `from`.
#[track_caller]
fn assert_probes(probes: &[f64], from: f64, wait: f64) {
    assert_eq!(probes.len(), 3, "{probes:?}");
    assert!((from..=from + wait).contains(&probes[0]), "{probes:?}");
    for pair in probes.windows(2) {
        assert!((0.999..=2.001).contains(&(pair[1] - pair[0])), "{probes:?}");
    }
}
