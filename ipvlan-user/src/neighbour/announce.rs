//! When neighbours are told who has an address.
//!
//! In: the addresses that are answered for, the parent's MAC, claims of others. Out: announcements
//! that are due. Pure: time is an argument. An address is announced [`TRAIN`] times when it becomes
//! answered for, when it moves to another child or what is said of it changes, and when the MAC
//! changes; then nothing is due until something changes again.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::{Duration, Instant},
};

use super::{frame::Mac, pace::Pace, random::Random};
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
    mac: Option<Mac>,
    trains: BTreeMap<IpAddr, Train>,
    /// The trains that are not over, by when they go on.
    queue: BTreeSet<(Instant, IpAddr)>,
    /// Addresses to be defended at once.
    defences: BTreeSet<IpAddr>,
}

#[derive(Debug)]
struct Train {
    live: Live,
    /// How many are left.
    left: u8,
    /// When the next is due; `None` when none is left.
    due: Option<Instant>,
    /// The address is new here, rather than its MAC.
    new: bool,
    /// When it was last defended.
    defended: Option<Instant>,
}

impl Announce {
    /// Follows what is announced. A train that is under way goes on unless there is a reason for a
    /// new one, which replaces it. What is gone is not announced any more.
    pub fn follow(&mut self, now: Instant, live: &BTreeMap<IpAddr, Live>, mac: Mac) {
        let mac_changed = self.mac.is_some_and(|before| before != mac);
        self.mac = Some(mac);
        let gone: Vec<IpAddr> = self
            .trains
            .keys()
            .filter(|address| !live.contains_key(address))
            .copied()
            .collect();
        for address in gone {
            self.remove(address);
        }
        for (&address, &live) in live {
            self.put(now, address, live, mac_changed);
        }
    }

    /// Announces one more address.
    pub fn add(&mut self, now: Instant, address: IpAddr, live: Live) {
        self.put(now, address, live, false);
    }

    /// Announces this address no more.
    pub fn remove(&mut self, address: IpAddr) {
        self.defences.remove(&address);
        let item = self
            .trains
            .remove(&address)
            .and_then(|train| train.item(address));
        if let Some(item) = item {
            self.queue.remove(&item);
        }
    }

    fn put(&mut self, now: Instant, address: IpAddr, live: Live, mac_changed: bool) {
        let mut fresh = false;
        let train = self.trains.entry(address).or_insert_with(|| {
            fresh = true;
            Train::new(live)
        });
        let moved = train.live.child != live.child;
        let told_otherwise = address.is_ipv6() && train.live != live;
        train.live = live;
        if fresh || moved || told_otherwise || mac_changed {
            if let Some(item) = train.item(address) {
                self.queue.remove(&item);
            }
            train.new = fresh || moved || (train.new && train.left > 0);
            train.left = TRAIN;
            train.due = Some(now);
            self.queue.insert((now, address));
        }
    }

    /// Somebody else claims an address. Returns whether that is answered: at most once in
    /// [`DEFEND_INTERVAL`], so that two who defend the same address do not flood the LAN (RFC 5227
    /// §2.4(c)).
    pub fn claim(&mut self, now: Instant, address: IpAddr) -> bool {
        let Some(train) = self.trains.get_mut(&address) else {
            return false;
        };
        let recently = train
            .defended
            .is_some_and(|at| now.saturating_duration_since(at) < DEFEND_INTERVAL);
        if recently {
            return false;
        }
        train.defended = Some(now);
        self.defences.insert(address);
        true
    }

    /// When the next announcement is due; in the past if one was held up by `pace`.
    #[must_use]
    pub fn next_due(&self, now: Instant) -> Option<Instant> {
        if self.defences.is_empty() {
            self.queue.first().map(|&(due, _)| due)
        } else {
            Some(now)
        }
    }

    /// Takes what is due, as far as `pace` allows: defences, then trains by age.
    pub fn due(&mut self, now: Instant, pace: &mut Pace, random: &mut Random) -> Vec<Announcement> {
        let mut due = Vec::new();
        while let Some(&address) = self.defences.first() {
            if !pace.take(now) {
                return due;
            }
            self.defences.pop_first();
            due.extend(
                self.trains
                    .get(&address)
                    .map(|train| train.announcement(address, false)),
            );
        }
        while let Some(&(at, address)) = self.queue.first() {
            if at > now || !pace.take(now) {
                break;
            }
            self.queue.pop_first();
            let Some(train) = self.trains.get_mut(&address) else {
                continue;
            };
            let announcement = train.announcement(address, train.new);
            if announcement.to_routers {
                // A frame of its own.
                pace.spend(now);
            }
            due.push(announcement);
            train.left -= 1;
            train.due = (train.left > 0).then(|| now + random.between(INTERVAL, INTERVAL + JITTER));
            self.queue.extend(train.item(address));
        }
        due
    }
}

impl Train {
    /// One that did not start yet.
    const fn new(live: Live) -> Self {
        Self {
            live,
            left: TRAIN,
            due: None,
            new: true,
            defended: None,
        }
    }

    /// Its place in the queue.
    fn item(&self, address: IpAddr) -> Option<(Instant, IpAddr)> {
        self.due.map(|due| (due, address))
    }

    fn announcement(&self, address: IpAddr, new: bool) -> Announcement {
        let routed = matches!(address, IpAddr::V6(v6) if !v6.is_unicast_link_local());
        Announcement {
            address,
            live: self.live,
            to_routers: new && routed,
        }
    }
}

#[cfg(test)]
mod tests;
