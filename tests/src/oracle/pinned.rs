//! Staying on one processor.

use anyhow::{Context, Result};
use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};

/// This thread, as the kernel calls it.
const MYSELF: Pid = Pid::from_raw(0);

/// Keeps this thread on the machine's first processor until it is dropped. What it sends is then
/// received, answered and received again there, in order.
#[derive(Debug)]
pub(super) struct Pinned(CpuSet);

impl Pinned {
    /// Pins this thread.
    pub(super) fn new() -> Result<Self> {
        let before = sched_getaffinity(MYSELF).context("cannot tell the processors allowed")?;
        let mut first = CpuSet::new();
        first.set(0)?;
        sched_setaffinity(MYSELF, &first).context("cannot stay on the first processor")?;
        Ok(Self(before))
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // Fails only if those processors are gone.
        let _back = sched_setaffinity(MYSELF, &self.0);
    }
}
