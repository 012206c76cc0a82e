//! When neighbours are told who has an address.
//!
//! In: what changes of the addresses that are answered, claims of others. Out: announcements, of which each
//! waits for its turn ([`Turns`]). Pure: time is an argument. An address is announced [`TRAIN`] times when it
//! becomes answered, when it moves to another child or what is said of it changes, and when the MAC changes;
//! then nothing is due until something changes again, and nothing is kept of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::{Duration, Instant},
};

use super::{
    random::Random,
    turns::{Class, Kind, Turns},
};
use crate::{discover::snapshot::NetnsId, model::ChildKey};

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
    /// Addresses that are being announced.
    trains: BTreeMap<IpAddr, Train>,
    /// Those that are not waiting for their turn, by when their next announcement is due.
    queue: BTreeSet<(Instant, IpAddr)>,
    /// When addresses were last defended.
    defended: BTreeMap<IpAddr, Instant>,
}

#[derive(Debug)]
struct Train {
    netns: NetnsId,
    /// How many are left.
    left: u8,
    /// When the next is due; none while it waits for its turn.
    due: Option<Instant>,
    /// The address is new here.
    new: bool,
}

impl Train {
    /// How many frames an announcement is.
    fn cost(&self, address: IpAddr) -> u8 {
        1 + u8::from(tells_routers(address, self.new))
    }
}

/// Whether routers are told of an address before all nodes are.
fn tells_routers(address: IpAddr, new: bool) -> bool {
    new && matches!(address, IpAddr::V6(v6) if !v6.is_unicast_link_local())
}

impl Announce {
    /// Returns whether neighbours do not know already what is to be said of an address. `told` is what
    /// they were told; `None` if it was not announced.
    #[must_use]
    pub fn is_news(address: IpAddr, told: Option<Live>, live: Live) -> bool {
        let new = told.is_none_or(|told| told.child != live.child);
        new || address.is_ipv6() && told != Some(live)
    }

    /// The addresses that are being announced.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.trains.keys().copied()
    }

    /// Starts a train, in place of one that is under way.
    pub fn start(
        &mut self,
        now: Instant,
        turns: &mut Turns,
        address: IpAddr,
        netns: NetnsId,
        new: bool,
    ) {
        let cost = self.restart(turns, address, netns, new);
        turns.push(
            now,
            netns,
            (address, Kind::Announcement),
            Class::First,
            cost,
        );
    }

    /// Starts a train as [`Self::start`] does, of one of many addresses at once: it does not go before others.
    pub fn start_later(
        &mut self,
        now: Instant,
        turns: &mut Turns,
        address: IpAddr,
        netns: NetnsId,
        new: bool,
    ) {
        let cost = self.restart(turns, address, netns, new);
        turns.push_later(
            now,
            netns,
            (address, Kind::Announcement),
            Class::First,
            cost,
        );
    }

    /// Makes a train start from its beginning. Returns how many frames an announcement is.
    fn restart(&mut self, turns: &mut Turns, address: IpAddr, netns: NetnsId, new: bool) -> u8 {
        let was_new = self.take(address).is_some_and(|train| train.new);
        turns.remove_frame((address, Kind::Announcement));
        let train = Train {
            netns,
            left: TRAIN,
            due: None,
            new: new || was_new,
        };
        let cost = train.cost(address);
        self.trains.insert(address, train);
        cost
    }

    /// Announces this address no more. The caller withdraws what waits for its turn.
    pub fn remove(&mut self, address: IpAddr) {
        self.take(address);
        self.defended.remove(&address);
    }

    /// Announces nothing more. The caller withdraws what waits for its turn.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    fn take(&mut self, address: IpAddr) -> Option<Train> {
        let train = self.trains.remove(&address)?;
        if let Some(due) = train.due {
            self.queue.remove(&(due, address));
        }
        Some(train)
    }

    /// Another station claims an address that was announced. Returns whether that is answered: at most
    /// once in [`DEFEND_INTERVAL`], so that two that defend the same address do not flood the LAN (RFC
    /// 5227 §2.4(c)).
    pub fn claim(
        &mut self,
        now: Instant,
        turns: &mut Turns,
        address: IpAddr,
        netns: NetnsId,
    ) -> bool {
        self.defended
            .retain(|_, at| now.saturating_duration_since(*at) < DEFEND_INTERVAL);
        if self.defended.contains_key(&address) {
            return false;
        }
        self.defended.insert(address, now);
        turns.push(now, netns, (address, Kind::Defence), Class::Defence, 1);
        true
    }

    /// When the next announcement is due, of those that do not wait for their turn.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        self.queue.first().map(|&(due, _)| due)
    }

    /// Lets what is due wait for its turn.
    pub fn due(&mut self, now: Instant, turns: &mut Turns) {
        while let Some(&(at, address)) = self.queue.first()
            && at <= now
        {
            self.queue.pop_first();
            if let Some(train) = self.trains.get_mut(&address) {
                train.due = None;
                let cost = train.cost(address);
                let frame = (address, Kind::Announcement);
                turns.push(now, train.netns, frame, Class::Repeat, cost);
            }
        }
    }

    /// It is the turn of an announcement of this address. `live` is what is to be said of it.
    pub fn turn(
        &mut self,
        now: Instant,
        random: &mut Random,
        address: IpAddr,
        live: Live,
    ) -> Option<Announcement> {
        let train = self.trains.get_mut(&address)?;
        let new = train.new;
        train.left -= 1;
        if train.left == 0 {
            self.trains.remove(&address);
        } else {
            let due = now + random.between(INTERVAL, INTERVAL + JITTER);
            train.due = Some(due);
            self.queue.insert((due, address));
        }
        Some(Announcement {
            address,
            live,
            to_routers: tells_routers(address, new),
        })
    }
}

#[cfg(test)]
mod tests;
