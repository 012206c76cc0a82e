//! How many events about the addresses of one netns are handled.

use std::{collections::BTreeMap, time::Instant};

use crate::{facts::NetnsId, lan::pace::Pace};

/// How many netns are remembered before those that are within their quota are forgotten.
const NETNS: usize = 64;

/// A bucket for each netns. Claims of its addresses, which a station on the LAN can make at any rate, use up its
/// own share of the log and of the agent's time.
#[derive(Debug)]
pub(super) struct EventQuota {
    /// Events per second of each netns.
    rate: u32,
    paces: BTreeMap<NetnsId, Pace>,
    exceeded: BTreeMap<NetnsId, u64>,
}

impl EventQuota {
    pub(super) const fn new(rate: u32) -> Self {
        Self {
            rate,
            paces: BTreeMap::new(),
            exceeded: BTreeMap::new(),
        }
    }

    /// Changes the rate.
    pub(super) fn set_rate(&mut self, rate: u32) {
        if self.rate != rate {
            self.rate = rate;
            self.paces.clear();
        }
    }

    /// Returns whether one more event of this netns is handled.
    pub(super) fn take(&mut self, now: Instant, netns: NetnsId) -> bool {
        if netns == NetnsId::Own {
            return true;
        }
        if self.paces.len() >= NETNS && !self.paces.contains_key(&netns) {
            self.paces.retain(|_, pace| !pace.is_full(now));
        }
        let rate = self.rate;
        let pace = self
            .paces
            .entry(netns)
            .or_insert_with(|| Pace::new(now, rate, rate));
        let taken = pace.take(now);
        if !taken {
            *self.exceeded.entry(netns).or_default() += 1;
        }
        taken
    }

    /// Forgets netns that are gone.
    pub(super) fn retain(&mut self, is_there: impl Fn(NetnsId) -> bool) {
        self.paces.retain(|&netns, _| is_there(netns));
        self.exceeded.retain(|&netns, _| is_there(netns));
    }

    /// Returns how many events of each netns were not handled.
    pub(super) fn exceeded(&self) -> impl Iterator<Item = (NetnsId, u64)> {
        self.exceeded.iter().map(|(&netns, &times)| (netns, times))
    }
}
