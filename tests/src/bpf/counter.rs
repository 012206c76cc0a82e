//! Memory that programs count in.

use anyhow::{Context, Result, anyhow};
use aya::{
    maps::{MapData, PerCpuArray, PerCpuValues},
    util::nr_cpus,
};
use nix::time::{ClockId, clock_gettime};

/// What a program has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Frames.
    pub frames: u64,
    /// When the first one was sent, if that is known, or else arrived; nanoseconds since boot.
    pub first: u64,
    /// When the last one arrived.
    pub last: u64,
}

/// Memory that a program counts in.
pub struct Counter(pub(super) PerCpuArray<MapData, [u64; 3]>);

impl Counter {
    /// Returns what was counted so far.
    pub fn get(&self) -> Result<Count> {
        let counts = self.0.get(&0, 0).context("cannot read a counter")?;
        let started = counts.iter().map(|[_, first, _]| *first);
        Ok(Count {
            frames: counts.iter().map(|[frames, ..]| frames).sum(),
            first: started.filter(|&first| first > 0).min().unwrap_or(0),
            last: counts.iter().map(|[.., last]| *last).max().unwrap_or(0),
        })
    }

    /// Begins anew.
    pub fn reset(&mut self) -> Result<()> {
        self.set(0)
    }

    /// Begins anew, as if the first frame were sent now.
    pub fn start(&mut self) -> Result<()> {
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC).context("cannot read the clock")?;
        let seconds = u64::try_from(now.tv_sec())?;
        self.set(seconds * 1_000_000_000 + u64::try_from(now.tv_nsec())?)
    }

    fn set(&mut self, first: u64) -> Result<()> {
        let processors = nr_cpus().map_err(|(file, error)| anyhow!("{file}: {error}"))?;
        let reset = PerCpuValues::try_from(vec![[0, first, 0]; processors])?;
        self.0.set(0, reset, 0).context("cannot reset a counter")
    }
}
