//! When addresses are announced to stations on the LAN.
//!
//! In: changes of the answered addresses. Out: announcements, each of which waits for its turn ([`Turns`]). Pure: time
//! is an argument. An address is announced [`TRAIN`] times when it becomes answered, when it moves to another child,
//! when its [`Announced`] changes, and when the MAC of the parent changes. After that no announcement is due until the
//! next change, and no state is kept, unless addresses are refreshed.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::{Duration, Instant},
};

use super::{
    random::Random,
    turns::{Class, Kind, Turns},
};
use crate::{facts::NetnsId, model::ChildKey};

/// How often an address is announced: `MAX_NEIGHBOR_ADVERTISEMENT` (RFC 4861 §10), and one more than
/// `ANNOUNCE_NUM` (RFC 5227 §1.1), since broadcast is lost more easily than it is harmful.
pub const TRAIN: u8 = 3;
/// Shortest time from one to the next: `RetransTimer` (RFC 4861 §7.2.6).
pub const INTERVAL: Duration = Duration::from_secs(1);
/// How much longer than that it may be, so that hosts that started together do not stay in step.
pub const JITTER: Duration = Duration::from_millis(100);

/// The content of the announcements of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announced {
    /// The child that owns the address.
    pub child: ChildKey,
    /// The child forwards IPv6.
    pub router: bool,
    /// The IPv6 address is optimistic.
    pub optimistic: bool,
}

/// An announcement to be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// The announced address.
    pub address: IpAddr,
    /// The content.
    pub announced: Announced,
    /// The address is new here: routers are notified first (RFC 9131). Never set for IPv4, nor for link-local
    /// addresses, to which no router forwards.
    pub to_routers: bool,
}

/// How a train starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// The address is new here: routers are notified as well.
    pub new: bool,
    /// It is one of many that start at the same time: it does not go before others.
    pub late: bool,
}

/// The schedule of one parent.
#[derive(Debug)]
pub struct Announce {
    /// Time between two announcements of an address after its train.
    refresh: Option<Duration>,
    /// Addresses that are being announced or refreshed.
    trains: BTreeMap<IpAddr, Train>,
    /// Those that are not waiting for their turn, by when their next announcement is due.
    queue: BTreeSet<(Instant, IpAddr)>,
}

#[derive(Debug)]
struct Train {
    netns: NetnsId,
    /// How many are left; 0 while the address is refreshed.
    left: u8,
    /// When the next is due; none while it waits for its turn.
    due: Option<Instant>,
    /// The address is new here.
    new: bool,
}

impl Train {
    /// Returns the number of frames of an announcement.
    fn cost(&self, address: IpAddr) -> u8 {
        1 + u8::from(notifies_routers(address, self.new))
    }
}

/// Returns whether routers are notified of an address before all nodes are.
fn notifies_routers(address: IpAddr, new: bool) -> bool {
    new && matches!(address, IpAddr::V6(v6) if !v6.is_unicast_link_local())
}

impl Announce {
    /// Returns a schedule of no address. Each is announced again after `refresh`, if that is given.
    #[must_use]
    pub const fn new(refresh: Option<Duration>) -> Self {
        Self {
            refresh,
            trains: BTreeMap::new(),
            queue: BTreeSet::new(),
        }
    }

    /// Returns whether an announcement would change what stations know of an address. `before` is the content of the
    /// last announcement; `None` if the address was not announced.
    #[must_use]
    pub fn is_news(address: IpAddr, before: Option<Announced>, announced: Announced) -> bool {
        let new = before.is_none_or(|before| before.child != announced.child);
        new || address.is_ipv6() && before != Some(announced)
    }

    /// Returns the addresses that are being announced or refreshed.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.trains.keys().copied()
    }

    /// Starts a train, in place of one that is under way.
    pub fn start(
        &mut self,
        now: Instant,
        turns: &mut Turns,
        (address, netns): (IpAddr, NetnsId),
        Start { new, late }: Start,
    ) {
        let cost = self.restart(turns, address, netns, new);
        let frame = (address, Kind::Announcement);
        if late {
            turns.push_later(now, netns, frame, Class::First, cost);
        } else {
            turns.push(now, netns, frame, Class::First, cost);
        }
    }

    /// Adds an address that stations know already: it is announced when it is refreshed.
    pub fn rest(&mut self, now: Instant, random: &mut Random, address: IpAddr, netns: NetnsId) {
        if let Some(refresh) = self.refresh
            && !self.trains.contains_key(&address)
        {
            // All of them at once are spread over the whole time.
            let due = now + random.between(Duration::ZERO, refresh);
            let train = Train {
                netns,
                left: 0,
                due: Some(due),
                new: false,
            };
            self.trains.insert(address, train);
            self.queue.insert((due, address));
        }
    }

    /// Ends the train of an address, but not its refreshes. The caller withdraws what waits for its turn.
    pub fn interrupt(&mut self, now: Instant, random: &mut Random, address: IpAddr) {
        if let Some(train) = self.take(address) {
            self.rest(now, random, address, train.netns);
        }
    }

    /// Changes the time between two announcements. The caller lets every address [`Self::rest`] then.
    pub fn set_refresh(&mut self, turns: &mut Turns, refresh: Option<Duration>) {
        if self.refresh == refresh {
            return;
        }
        self.refresh = refresh;
        let trains = self.trains.iter();
        let resting: Vec<IpAddr> = trains
            .filter(|(_, train)| train.left == 0)
            .map(|(&address, _)| address)
            .collect();
        for address in resting {
            self.take(address);
            turns.remove_frame((address, Kind::Announcement));
        }
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

    /// Ends the announcements of an address. The caller withdraws what waits for its turn.
    pub fn remove(&mut self, address: IpAddr) {
        self.take(address);
    }

    /// Ends all announcements. The caller withdraws what waits for its turn.
    pub fn clear(&mut self) {
        *self = Self::new(self.refresh);
    }

    fn take(&mut self, address: IpAddr) -> Option<Train> {
        let train = self.trains.remove(&address)?;
        if let Some(due) = train.due {
            self.queue.remove(&(due, address));
        }
        Some(train)
    }

    /// Returns when the next announcement is due, of those that do not wait for their turn.
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

    /// Returns the announcement of an address that has its turn, with this content.
    pub fn turn(
        &mut self,
        now: Instant,
        random: &mut Random,
        address: IpAddr,
        announced: Announced,
    ) -> Option<Announcement> {
        let train = self.trains.get_mut(&address)?;
        let new = train.new;
        train.left = train.left.saturating_sub(1);
        // A tenth is chosen at random, so that refreshes do not stay in step.
        let next = match (train.left, self.refresh) {
            (1.., _) => Some((INTERVAL, INTERVAL + JITTER)),
            (0, Some(refresh)) => Some((refresh / 10 * 9, refresh)),
            (0, None) => None,
        };
        if let Some((least, most)) = next {
            let due = now + random.between(least, most);
            train.due = Some(due);
            train.new &= train.left > 0;
            self.queue.insert((due, address));
        } else {
            self.trains.remove(&address);
        }
        Some(Announcement {
            address,
            announced,
            to_routers: notifies_routers(address, new),
        })
    }
}
