//! What the programs have counted.

use std::ops::Add;

use ipvlan_common::{COUNTERS, ChildCounters, Hook, Reason, counter_index};

use super::{Counts, Datapath, SLOTS};

impl Datapath {
    /// One counter, over all CPUs.
    pub fn count(&self, hook: Hook, reason: Reason) -> u64 {
        self.counters
            .get(&counter_index(hook, reason as u8), 0)
            .expect("read a counter")
            .iter()
            .sum()
    }

    /// All counters, over all CPUs.
    pub fn counts(&self) -> Counts {
        let reasons = (0..COUNTERS)
            .map(|index| {
                let values = self.counters.get(&index, 0).expect("read a counter");
                values.iter().sum()
            })
            .collect();
        let children = (0..SLOTS)
            .map(|slot| {
                let values = self.children.get(&slot, 0).expect("read child counters");
                values
                    .iter()
                    .copied()
                    .fold(ChildCounters::default(), Add::add)
            })
            .collect();
        Counts { reasons, children }
    }
}
