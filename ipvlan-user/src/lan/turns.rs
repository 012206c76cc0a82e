//! Which frame is sent next: a fair queue over network namespaces, below the pace of the parent.
//!
//! In: frames that are due, each for an address of a child. Out: one frame after the other, as fast as the
//! parent's [`Pace`] and that of the netns allow. Pure: time is an argument.
//!
//! The netns take turns (round robin), so a netns that has a long queue delays another one by a single frame.
//! A netns whose queue was empty goes before those that were waiting already (as sparse flows do in FQ-CoDel,
//! RFC 8290 §1.3). Within a netns frames leave by [`Class`] and then in the order of their arrival. A frame
//! that is withdrawn before its turn costs nothing.

mod share;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::IpAddr,
    time::Instant,
};

use self::share::{Place, Share};
use super::pace::Pace;
use crate::facts::NetnsId;

/// When a pace is what delays frames, this part of a burst is waited for.
const SHARE: u32 = 10;

/// Tokens of one second at once would exceed what ARP inspection tolerates in that second (15 packets): this
/// many parts of ten are.
const BURST_PARTS: u32 = 3;
/// A burst holds at least this many frames: an address that is new to routers takes two.
const MIN_BURST: u32 = 3;
/// A burst holds at most this many frames.
const MAX_BURST: u32 = 100;

/// How many idle netns are remembered before those without debt are forgotten.
const IDLE: usize = 64;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A probe for an address that no station should have.
    Control,
    /// A probe for the address.
    Probe,
    /// An announcement of the address.
    Announcement,
    /// An announcement in answer to a conflicting claim.
    Defence,
}

const KINDS: [Kind; 4] = [
    Kind::Control,
    Kind::Probe,
    Kind::Announcement,
    Kind::Defence,
];

/// Which frames of one netns go first. Defences and repeats alternate: a station causes defences at will.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Another decision waits for it.
    Urgent = 0,
    /// The first probe for or announcement of an address.
    First = 1,
    /// A defence.
    Defence = 2,
    /// Later probes and announcements.
    Repeat = 3,
}

const CLASSES: usize = 4;

/// A frame in the queue: what it is, and of which address.
pub type Frame = (IpAddr, Kind);

/// The queue of one parent.
#[derive(Debug)]
pub struct Turns {
    pace: Pace,
    /// Frames per second of each netns.
    rate: u32,
    shares: BTreeMap<NetnsId, Share>,
    /// Netns whose queue was empty, in the order in which it got a frame.
    sparse: VecDeque<NetnsId>,
    /// Netns that wait for their next turn.
    others: VecDeque<NetnsId>,
    /// Netns that exceed their pace, and until when they wait.
    delayed: BTreeSet<(Instant, NetnsId)>,
    /// Where each frame is: its netns and its number there.
    places: BTreeMap<Frame, (NetnsId, u32)>,
    number: u32,
    /// How often each netns had to wait because of its own pace.
    exceeded: BTreeMap<NetnsId, u64>,
    forget_at: usize,
    /// When the frame that has its turn can be sent, if the pace delayed it.
    blocked: Option<Instant>,
}

/// The bucket for a rate: what is sent at once is a fraction of what is sent in a second.
fn pace(now: Instant, rate: u32) -> Pace {
    let burst = rate.saturating_mul(BURST_PARTS) / 10;
    Pace::new(now, rate, burst.clamp(MIN_BURST, MAX_BURST))
}

impl Turns {
    /// Creates an empty queue with these rates in frames per second, of the parent and of each netns.
    #[must_use]
    pub fn new(now: Instant, rate: u32, of_netns: u32) -> Self {
        Self {
            pace: pace(now, rate),
            rate: of_netns,
            shares: BTreeMap::new(),
            sparse: VecDeque::new(),
            others: VecDeque::new(),
            delayed: BTreeSet::new(),
            places: BTreeMap::new(),
            number: 0,
            exceeded: BTreeMap::new(),
            forget_at: IDLE,
            blocked: None,
        }
    }

    /// Changes the rates.
    pub fn set_rates(&mut self, now: Instant, rate: u32, of_netns: u32) {
        self.pace = pace(now, rate);
        self.rate = of_netns;
        for share in self.shares.values_mut() {
            if let Some(of_share) = &mut share.pace {
                *of_share = pace(now, of_netns);
            }
        }
    }

    /// Adds a frame for an address of a netns, unless it is in the queue already. `cost` is how many frames
    /// are sent when it has its turn.
    pub fn push(&mut self, now: Instant, netns: NetnsId, frame: Frame, class: Class, cost: u8) {
        self.add(now, netns, frame, (class, cost), true);
    }

    /// Adds a frame as [`Self::push`] does, of a netns that was there when the agent started: it does not go
    /// before others. Many start at once then.
    pub fn push_later(
        &mut self,
        now: Instant,
        netns: NetnsId,
        frame: Frame,
        class: Class,
        cost: u8,
    ) {
        self.add(now, netns, frame, (class, cost), false);
    }

    fn add(
        &mut self,
        now: Instant,
        netns: NetnsId,
        frame: Frame,
        (class, cost): (Class, u8),
        is_sparse: bool,
    ) {
        if let Some(&(of, _)) = self.places.get(&frame) {
            if of == netns {
                return;
            }
            self.remove_frame(frame);
        }
        if !self.shares.contains_key(&netns) {
            self.forget_idle(now);
        }
        self.number = self.number.wrapping_add(1);
        self.places.insert(frame, (netns, self.number));
        let rate = self.rate;
        let share = self.shares.entry(netns).or_insert_with(|| Share {
            pace: (netns != NetnsId::Own).then(|| pace(now, rate)),
            lines: Default::default(),
            len: 0,
            repeats: false,
            place: Place::Idle,
        });
        share.lines[class as usize].push_back((self.number, frame, cost));
        share.len += 1;
        if share.place == Place::Idle {
            share.place = Place::Ready;
            if is_sparse {
                self.sparse.push_back(netns);
                self.blocked = None;
            } else {
                self.others.push_back(netns);
            }
        }
    }

    /// Forgets netns that have nothing to send and no debt.
    fn forget_idle(&mut self, now: Instant) {
        if self.shares.len() < self.forget_at {
            return;
        }
        self.shares.retain(|_, share| {
            share.place != Place::Idle || share.pace.as_ref().is_some_and(|of| !of.is_full(now))
        });
        self.forget_at = IDLE.max(2 * self.shares.len());
    }

    /// Returns whether a netns has used up most of its own pace: it would have to wait if it was alone.
    #[must_use]
    pub fn is_spent(&self, now: Instant, netns: NetnsId) -> bool {
        let share = self.shares.get(&netns);
        let pace = share.and_then(|share| share.pace.as_ref());
        pace.is_some_and(|pace| pace.is_low(now))
    }

    /// Withdraws all frames of an address.
    pub fn remove(&mut self, address: IpAddr) {
        for kind in KINDS {
            self.remove_frame((address, kind));
        }
    }

    /// Withdraws one frame.
    pub fn remove_frame(&mut self, frame: Frame) {
        let Some((netns, _)) = self.places.remove(&frame) else {
            return;
        };
        if let Some(share) = self.shares.get_mut(&netns) {
            share.len -= 1;
            share.compact(&self.places);
        }
    }

    /// Withdraws everything.
    pub fn clear(&mut self) {
        self.places.clear();
        self.sparse.clear();
        self.others.clear();
        self.delayed.clear();
        for share in self.shares.values_mut() {
            share.lines = Default::default();
            share.len = 0;
            share.place = Place::Idle;
        }
    }

    /// Forgets how often netns that are gone exceeded their pace.
    pub fn retain(&mut self, is_there: impl Fn(NetnsId) -> bool) {
        self.exceeded.retain(|&netns, _| is_there(netns));
    }

    /// Returns how often each netns had to wait because of its own pace.
    pub fn exceeded(&self) -> impl Iterator<Item = (NetnsId, u64)> {
        self.exceeded.iter().map(|(&netns, &times)| (netns, times))
    }

    /// Returns when the next frame can be sent; `None` if there is none.
    #[must_use]
    pub fn next_due(&self, now: Instant) -> Option<Instant> {
        if self.places.is_empty() {
            return None;
        }
        let ready = self.pace.ready_at(now, SHARE);
        let ready = self.blocked.map_or(ready, |at| at.max(ready));
        if !self.sparse.is_empty() || !self.others.is_empty() {
            return Some(ready);
        }
        self.delayed.first().map(|&(at, _)| at.max(ready))
    }

    /// Takes the frame whose turn it is, if one can be sent now.
    pub fn next(&mut self, now: Instant) -> Option<Frame> {
        self.blocked = None;
        while let Some(&(at, netns)) = self.delayed.first()
            && at <= now
        {
            self.delayed.pop_first();
            self.others.push_back(netns);
            if let Some(share) = self.shares.get_mut(&netns) {
                share.place = Place::Ready;
            }
        }
        loop {
            let is_sparse = !self.sparse.is_empty();
            let line = if is_sparse {
                &mut self.sparse
            } else {
                &mut self.others
            };
            let netns = line.pop_front()?;
            let Some(share) = self.shares.get_mut(&netns) else {
                continue;
            };
            let Some((frame, class, cost)) = share.first(&self.places) else {
                share.place = Place::Idle;
                continue;
            };
            let cost = u32::from(cost);
            if !self.pace.has(now, cost) {
                line.push_front(netns);
                self.blocked = Some(self.pace.at(now, cost));
                return None;
            }
            if let Some(pace) = &share.pace
                && !pace.has(now, cost)
            {
                let at = pace.ready_at(now, SHARE).max(pace.at(now, cost));
                share.place = Place::Delayed(at);
                self.delayed.insert((at, netns));
                *self.exceeded.entry(netns).or_default() += 1;
                continue;
            }
            self.pace.spend(now, cost);
            if let Some(pace) = &mut share.pace {
                pace.spend(now, cost);
            }
            share.take(class);
            self.places.remove(&frame);
            if share.len > 0 {
                self.others.push_back(netns);
            } else {
                share.lines = Default::default();
                share.place = Place::Idle;
            }
            return Some(frame);
        }
    }

    /// Returns how many frames are in the queue.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Returns whether no frame is in the queue.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }
}

#[cfg(test)]
mod tests;
