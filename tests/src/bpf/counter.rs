//! Memory that programs count in.

use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::{Context, Result};
use nix::time::{ClockId, clock_gettime};

use super::call::{MAP_LOOKUP_ELEM, MAP_UPDATE_ELEM, element, map};

const MAP_TYPE_ARRAY: u32 = 2;

/// What a program has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Count {
    /// How many frames.
    pub frames: u64,
    /// When the first one was sent, if that is known, or else arrived; nanoseconds since boot.
    pub first: u64,
    /// When the last one arrived.
    pub last: u64,
}

/// Memory that a program counts in.
#[derive(Debug)]
pub struct Counter(OwnedFd);

impl Counter {
    /// New memory; nothing is counted yet.
    pub fn new() -> Result<Self> {
        let map = map(MAP_TYPE_ARRAY, [4, size_of::<Count>()], 1)?;
        Ok(Self(map))
    }

    /// What was counted so far.
    pub fn get(&self) -> Result<Count> {
        let mut count = Count::default();
        self.element(MAP_LOOKUP_ELEM, &mut count)
            .context("cannot read a counter")?;
        Ok(count)
    }

    /// Begins anew.
    pub fn reset(&self) -> Result<()> {
        self.element(MAP_UPDATE_ELEM, &mut Count::default())
            .context("cannot reset a counter")
    }

    /// Begins anew, as if the first frame were sent now.
    pub fn start(&self) -> Result<()> {
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC).context("cannot read the clock")?;
        let seconds = u64::try_from(now.tv_sec())?;
        let mut count = Count {
            first: seconds * 1_000_000_000 + u64::try_from(now.tv_nsec())?,
            ..Count::default()
        };
        self.element(MAP_UPDATE_ELEM, &mut count)
            .context("cannot reset a counter")
    }

    /// For `BPF_PSEUDO_MAP_VALUE`.
    pub(super) fn descriptor(&self) -> i32 {
        self.0.as_raw_fd()
    }

    fn element(&self, command: libc::c_long, count: &mut Count) -> nix::Result<()> {
        element(command, &self.0, &0_u32, count)
    }
}
