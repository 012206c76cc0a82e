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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_netns_uses_up_its_own_quota_and_what_exceeds_it_is_counted() {
        let start = Instant::now();
        let mut quota = EventQuota::new(16);
        let (a, b) = (NetnsId::Nsid(1), NetnsId::Nsid(2));
        let mut handled = 0;
        for step in 0..1_000 {
            let now = start + Duration::from_millis(10) * step;
            handled += u64::from(quota.take(now, a));
            handled += u64::from(quota.take(now, a));
            if step % 100 == 0 {
                assert!(quota.take(now, b), "{step}");
            }
            assert!(quota.take(now, NetnsId::Own));
        }
        // Ten seconds and one at once.
        assert!((175..=177).contains(&handled), "{handled}");
        assert_eq!(quota.exceeded().collect::<Vec<_>>(), [(a, 2_000 - handled)]);
        quota.retain(|netns| netns == b);
        assert_eq!(quota.exceeded().count(), 0);
    }
}
