//! Which child counts where.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::ChildKey;

/// Assigns each child an index into the child counters and takes it back when the child has gone.
#[derive(Debug)]
pub struct Slots {
    assigned: BTreeMap<ChildKey, u32>,
    free: BTreeSet<u32>,
    next: u32,
    capacity: u32,
    short: bool,
}

impl Slots {
    /// Slots `0..capacity`.
    #[must_use]
    pub const fn new(capacity: u32) -> Self {
        Self {
            assigned: BTreeMap::new(),
            free: BTreeSet::new(),
            next: 0,
            capacity,
            short: false,
        }
    }

    /// Whether no child has one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.assigned.is_empty()
    }

    /// Returns how many children have one.
    #[must_use]
    pub fn len(&self) -> usize {
        self.assigned.len()
    }

    /// Returns how many there are.
    #[must_use]
    pub const fn capacity(&self) -> u32 {
        self.capacity
    }

    /// Keeps the slots of `children`, frees all others, and assigns one to each child that has none: the
    /// one in `counted` if no other child has it. Returns the slots that were assigned to another child before: their
    /// counters are that child's.
    pub fn update(
        &mut self,
        children: impl IntoIterator<Item = ChildKey>,
        counted: &BTreeMap<ChildKey, u32>,
    ) -> Vec<u32> {
        let children: BTreeSet<ChildKey> = children.into_iter().collect();
        let free = &mut self.free;
        self.assigned.retain(|child, slot| {
            let stays = children.contains(child);
            if !stays {
                free.insert(*slot);
            }
            stays
        });
        for (&child, &slot) in counted {
            if children.contains(&child) && !self.assigned.contains_key(&child) && self.claim(slot)
            {
                self.assigned.insert(child, slot);
            }
        }
        self.short = false;
        let mut reused = Vec::new();
        for child in children {
            if self.assigned.contains_key(&child) {
                continue;
            }
            if let Some(slot) = self.free.pop_first() {
                reused.push(slot);
                self.assigned.insert(child, slot);
            } else if self.next < self.capacity {
                self.assigned.insert(child, self.next);
                self.next += 1;
            } else {
                self.short = true;
            }
        }
        reused
    }

    /// Whether some child has none.
    #[must_use]
    pub const fn is_short(&self) -> bool {
        self.short
    }

    /// Takes this slot, if no child has it. The ones before it are free, and may have been counted in.
    fn claim(&mut self, slot: u32) -> bool {
        if slot >= self.capacity {
            return false;
        }
        if slot >= self.next {
            self.free.extend(self.next..slot);
            self.next = slot + 1;
            return true;
        }
        self.free.remove(&slot)
    }

    /// The slot of a child. One without a slot gets an index past the map's end: it is served, and
    /// not counted.
    #[must_use]
    pub fn of(&self, child: ChildKey) -> u32 {
        self.assigned.get(&child).copied().unwrap_or(self.capacity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::NetnsId;

    fn child(ifindex: u32) -> ChildKey {
        ChildKey {
            netns: NetnsId::Nsid(1),
            ifindex,
        }
    }

    fn update<const N: usize>(slots: &mut Slots, children: [u32; N]) -> Vec<u32> {
        slots.update(children.map(child), &BTreeMap::new())
    }

    #[test]
    fn children_keep_their_slot_and_freed_ones_are_reused_and_reported() {
        let mut slots = Slots::new(3);
        assert!(update(&mut slots, [1, 2]).is_empty());
        assert_eq!((slots.of(child(1)), slots.of(child(2))), (0, 1));
        assert_eq!(update(&mut slots, [2, 3]), [0]);
        assert_eq!((slots.of(child(2)), slots.of(child(3))), (1, 0));
    }

    #[test]
    fn child_without_a_slot_counts_past_the_end() {
        let mut slots = Slots::new(1);
        update(&mut slots, [1, 2]);
        assert!(slots.is_short());
        assert_eq!(slots.of(child(1)), 0);
        assert_eq!(slots.of(child(2)), 1);
        update(&mut slots, [2]);
        assert!(!slots.is_short());
        assert_eq!(slots.of(child(2)), 0);
    }

    #[test]
    fn children_of_an_agent_before_go_on_counting_where_they_did() {
        let mut slots = Slots::new(8);
        let counted = [(1, 3), (2, 0), (4, 3), (5, 8), (6, 1)];
        let counted = counted.map(|(ifindex, slot)| (child(ifindex), slot));
        // 3 is new, 6 is gone, 4 says that it counted where 1 does, 5 past the end.
        let reset = slots.update([1, 2, 3, 4, 5].map(child), &counted.into());
        let of = [1, 2, 3, 4, 5].map(|ifindex| slots.of(child(ifindex)));
        assert_eq!(of, [3, 0, 1, 2, 4]);
        assert_eq!(reset, [1, 2], "another child counted there");
    }
}
