//! When neighbours are told who has an address.
//!
//! In: what changes of the addresses that are answered for, claims of others. Out: announcements
//! that are due. Pure: time is an argument. An address is announced [`TRAIN`] times when it becomes
//! answered for, when it moves to another child or what is said of it changes, and when the MAC
//! changes; then nothing is due until something changes again, and nothing is kept of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::{Duration, Instant},
};

use super::{pace::Pace, random::Random};
use crate::model::ChildKey;

/// How often an address is announced: `MAX_NEIGHBOR_ADVERTISEMENT` (RFC 4861 §10), and one more than
/// `ANNOUNCE_NUM` (RFC 5227 §1.1), since broadcast is lost more easily than it is harmful.
pub const TRAIN: u8 = 3;
/// Shortest time from one to the next: `RetransTimer` (RFC 4861 §7.2.6).
pub const INTERVAL: Duration = Duration::from_secs(1);
/// How much longer than that it may be, so that hosts that started together do not stay in step.
pub const JITTER: Duration = Duration::from_millis(100);
/// Shortest time between two defences of an address: `DEFEND_INTERVAL` (RFC 5227 §1.1).
pub const DEFEND_INTERVAL: Duration = Duration::from_secs(10);

/// How many addresses are being announced at once; others stand in line, which takes less memory.
pub const AT_ONCE: usize = 10_240;

/// What neighbours are told about an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Live {
    /// Whose it is.
    pub child: ChildKey,
    /// The child forwards IPv6.
    pub router: bool,
    /// An optimistic IPv6 address.
    pub optimistic: bool,
}

/// An announcement to be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// Of this address.
    pub address: IpAddr,
    /// What is said.
    pub live: Live,
    /// The address is new here: routers are told first (RFC 9131). Never of IPv4, nor of link-local
    /// addresses, to which no router forwards.
    pub to_routers: bool,
}

/// The schedule of one parent.
#[derive(Debug, Default)]
pub struct Announce {
    /// Trains that did not start yet, and whether the address is new here, rather than its MAC.
    line: BTreeMap<IpAddr, bool>,
    /// Trains that are under way.
    trains: BTreeMap<IpAddr, Train>,
    /// The same by when they go on.
    queue: BTreeSet<(Instant, IpAddr)>,
    /// Addresses to be defended at once.
    defences: BTreeSet<IpAddr>,
    /// When addresses were last defended.
    defended: BTreeMap<IpAddr, Instant>,
}

#[derive(Debug)]
struct Train {
    /// How many are left.
    left: u8,
    due: Instant,
    new: bool,
}

impl Announce {
    /// Announces an address if neighbours do not know already what is to be said of it. `told` is what
    /// they were told; `None` if it was not announced.
    pub fn tell(&mut self, address: IpAddr, told: Option<Live>, live: Live) {
        let new = told.is_none_or(|told| told.child != live.child);
        let otherwise = address.is_ipv6() && told != Some(live);
        if new || otherwise {
            self.start(address, new);
        }
    }

    /// Starts a train, in place of one that is under way.
    pub fn start(&mut self, address: IpAddr, new: bool) {
        let was_new = self.take(address).unwrap_or(false);
        self.line.insert(address, new || was_new);
    }

    /// Announces this address no more.
    pub fn remove(&mut self, address: IpAddr) {
        self.take(address);
        self.defences.remove(&address);
        self.defended.remove(&address);
    }

    /// Announces nothing more.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Takes a train away. Returns whether it was to tell of an address that is new.
    fn take(&mut self, address: IpAddr) -> Option<bool> {
        let train = self.trains.remove(&address);
        if let Some(train) = &train {
            self.queue.remove(&(train.due, address));
        }
        let waiting = self.line.remove(&address);
        waiting.or(train.map(|train| train.new))
    }

    /// Somebody else claims an address that was announced. Returns whether that is answered: at most
    /// once in [`DEFEND_INTERVAL`], so that two who defend the same address do not flood the LAN (RFC
    /// 5227 §2.4(c)).
    pub fn claim(&mut self, now: Instant, address: IpAddr) -> bool {
        self.defended
            .retain(|_, at| now.saturating_duration_since(*at) < DEFEND_INTERVAL);
        if self.defended.contains_key(&address) {
            return false;
        }
        self.defended.insert(address, now);
        self.defences.insert(address);
        true
    }

    /// When the next announcement is due; in the past if one was held up by `pace`.
    #[must_use]
    pub fn next_due(&self, now: Instant) -> Option<Instant> {
        if self.defences.is_empty() && !self.can_start() {
            self.queue.first().map(|&(due, _)| due)
        } else {
            Some(now)
        }
    }

    fn can_start(&self) -> bool {
        !self.line.is_empty() && self.trains.len() < AT_ONCE
    }

    /// Takes what is due, as far as `pace` allows: defences, then those in line, then trains by age.
    /// `live` is what is to be said of an address.
    pub fn due(
        &mut self,
        now: Instant,
        pace: &mut Pace,
        random: &mut Random,
        live: impl Fn(IpAddr) -> Option<Live>,
    ) -> Vec<Announcement> {
        let mut due = Vec::new();
        let mut announce = |address, new, pace: &mut Pace| {
            let Some(live) = live(address) else {
                return;
            };
            let routed = matches!(address, IpAddr::V6(v6) if !v6.is_unicast_link_local());
            let to_routers = new && routed;
            if to_routers {
                // A frame of its own.
                pace.spend(now);
            }
            due.push(Announcement {
                address,
                live,
                to_routers,
            });
        };
        while let Some(&address) = self.defences.first() {
            if !pace.take(now) {
                return due;
            }
            self.defences.pop_first();
            announce(address, false, pace);
        }
        while self.can_start() && pace.take(now) {
            let Some((address, new)) = self.line.pop_first() else {
                break;
            };
            announce(address, new, pace);
            self.go_on(now, random, address, new, TRAIN - 1);
        }
        while let Some(&(at, address)) = self.queue.first() {
            if at > now || !pace.take(now) {
                break;
            }
            self.queue.pop_first();
            if let Some(Train { new, left, .. }) = self.trains.remove(&address) {
                announce(address, new, pace);
                self.go_on(now, random, address, new, left - 1);
            }
        }
        due
    }

    fn go_on(&mut self, now: Instant, random: &mut Random, address: IpAddr, new: bool, left: u8) {
        if left == 0 {
            return;
        }
        let due = now + random.between(INTERVAL, INTERVAL + JITTER);
        self.queue.insert((due, address));
        self.trains.insert(address, Train { left, due, new });
    }
}

#[cfg(test)]
mod tests;
