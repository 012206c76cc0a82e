//! Ids of the processes of a netns.

use std::fmt;

/// How many are kept.
const MOST: usize = 4;

/// The lowest ids of the processes that live in a netns, at most four, in ascending order.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Pids([i32; MOST]);

impl Pids {
    /// Adds a process. Ids that are not positive are no processes.
    pub fn insert(&mut self, pid: i32) {
        let len = self.iter().count();
        let at = self.iter().take_while(|&known| known < pid).count();
        if pid <= 0 || at == MOST || self.0[at] == pid {
            return;
        }
        self.0[at..(len + 1).min(MOST)].rotate_right(1);
        self.0[at] = pid;
    }

    /// Adds those of another.
    pub fn extend(&mut self, other: Self) {
        for pid in other.iter() {
            self.insert(pid);
        }
    }

    /// Returns the lowest.
    #[must_use]
    pub fn lowest(self) -> Option<i32> {
        self.iter().next()
    }

    /// Returns them in ascending order.
    pub fn iter(self) -> impl Iterator<Item = i32> {
        self.0.into_iter().take_while(|&pid| pid != 0)
    }
}

impl From<i32> for Pids {
    fn from(pid: i32) -> Self {
        Self::from_iter([pid])
    }
}

impl FromIterator<i32> for Pids {
    fn from_iter<I: IntoIterator<Item = i32>>(pids: I) -> Self {
        let mut all = Self::default();
        for pid in pids {
            all.insert(pid);
        }
        all
    }
}

impl fmt::Debug for Pids {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_lowest_are_kept_in_order(pids in prop::collection::vec(-2..12_i32, 0..12)) {
            let kept: Vec<i32> = pids.iter().copied().collect::<Pids>().iter().collect();
            let mut expected: Vec<i32> = pids.into_iter().filter(|&pid| pid > 0).collect();
            expected.sort_unstable();
            expected.dedup();
            expected.truncate(MOST);
            prop_assert_eq!(kept, expected);
        }
    }
}
