//! Memory that programs count in.

use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::{Context, Result};
use nix::time::{ClockId, clock_gettime};

use super::call::{
    Element, MAP_CREATE, MAP_LOOKUP_ELEM, MAP_UPDATE_ELEM, MapCreate, bpf, descriptor, word,
};

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
        let mut attributes = MapCreate {
            map_type: MAP_TYPE_ARRAY,
            key_size: 4,
            value_size: u32::try_from(size_of::<Count>())?,
            max_entries: 1,
            rest: [0; 14],
        };
        let map = bpf(MAP_CREATE, &mut attributes).context("cannot make a map")?;
        Ok(Self(descriptor(map)?))
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

    fn element(&self, command: libc::c_long, value: &mut Count) -> nix::Result<()> {
        let key = 0u32;
        let mut attributes = Element {
            map_fd: word(self.0.as_raw_fd()),
            padding: 0,
            key: (&raw const key) as u64,
            value: std::ptr::from_mut(value) as u64,
            flags: 0,
        };
        bpf(command, &mut attributes).map(drop)
    }
}
