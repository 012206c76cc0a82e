//! Hooks of a parent, and their counters.

use core::ops::{Add, Sub};

/// Where a program is attached to the parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Hook {
    /// TC ingress.
    Ingress = 0,
    /// TC egress.
    Egress = 1,
    /// XDP.
    Xdp = 2,
}

impl Hook {
    /// Every hook, in order of its number.
    pub const ALL: [Self; 3] = [Self::Ingress, Self::Egress, Self::Xdp];

    /// The word for it in `status`, metrics and docs.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
            Self::Xdp => "xdp",
        }
    }
}

/// Counters of one hook: one for every possible number of a reason below it.
const COUNTERS_PER_HOOK: u32 = 128;

/// Entries of the `COUNTERS` map.
pub const COUNTERS: u32 = COUNTERS_PER_HOOK * 3;

/// Index into the `COUNTERS` map, for the number of a [`Reason`](crate::Reason).
#[must_use]
#[inline]
pub const fn counter_index(hook: Hook, number: u8) -> u32 {
    hook as u32 * COUNTERS_PER_HOOK + number as u32
}

/// Frames of a child, 32 bytes, no padding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct ChildCounters {
    /// Neighbour requests answered for the child.
    pub answered: u64,
    /// Packets hairpinned from the host to the child.
    pub hairpinned: u64,
    /// Packets redirected to the child.
    pub redirected: u64,
    /// Requests and packets for the child that were refused.
    pub refused: u64,
}

impl ChildCounters {
    fn zip(self, other: Self, with: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            answered: with(self.answered, other.answered),
            hairpinned: with(self.hairpinned, other.hairpinned),
            redirected: with(self.redirected, other.redirected),
            refused: with(self.refused, other.refused),
        }
    }
}

impl Add for ChildCounters {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        self.zip(other, |left, right| left + right)
    }
}

impl Sub for ChildCounters {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self.zip(other, |left, right| left - right)
    }
}

const _: () = assert!(size_of::<ChildCounters>() == 32 && align_of::<ChildCounters>() == 8);

/// Value of the `CHILD_COUNTERS` map, per CPU, 40 bytes, no padding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct ChildRecord {
    /// Frames.
    pub counters: ChildCounters,
    /// Tick (`jiffies_64`) at which a neighbour request was last answered for the child; 0: never.
    pub asked: u64,
}

impl ChildRecord {
    /// Returns what two CPUs have recorded.
    #[must_use]
    pub fn merged(self, other: Self) -> Self {
        Self {
            counters: self.counters + other.counters,
            asked: self.asked.max(other.asked),
        }
    }
}

const _: () = assert!(size_of::<ChildRecord>() == 40 && align_of::<ChildRecord>() == 8);

// SAFETY: `#[repr(C)]`, integers only, no padding (asserted above): every bit pattern is valid.
#[cfg(feature = "user")]
unsafe impl aya::Pod for ChildRecord {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::REASONS;

    #[test]
    fn every_hook_and_reason_has_its_own_counter() {
        for hook in Hook::ALL {
            for &reason in REASONS {
                assert!((reason as u32) < COUNTERS_PER_HOOK);
                assert!(counter_index(hook, reason as u8) < COUNTERS);
            }
        }
    }
}
