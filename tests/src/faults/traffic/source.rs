//! Sending one after the other at a bounded rate, and hearing what comes back.

use std::{
    os::fd::BorrowedFd,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, ppoll},
    sys::time::TimeSpec,
};

use super::log::Log;

/// Who has heard nothing for so long hears nothing more.
const DRAIN: Duration = Duration::from_millis(300);

/// Something that sends numbered packets or questions.
pub(super) trait Source: Send + 'static {
    /// The time between two of them.
    fn interval(&self) -> Duration;

    /// Where answers come in.
    fn descriptors(&self) -> Vec<BorrowedFd<'_>>;

    /// Sends the next one and notes it. What the network refuses is lost, and no error.
    fn send(&mut self, log: &Log) -> Result<()>;

    /// Takes what has come in, without waiting, and notes the answers.
    fn receive(&self, log: &Log) -> Result<()>;
}

/// Sends until `stop` is set, then hears what is still on its way.
pub(super) fn run(mut source: impl Source, log: &Log, stop: &AtomicBool) -> Result<()> {
    let interval = source.interval();
    let mut next = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        let now = Instant::now();
        if now >= next {
            source.send(log)?;
            // One that could not be sent in time is not sent in a burst with the others.
            next = (next + interval).max(now);
        }
        hear(&source, log, next.saturating_duration_since(Instant::now()))?;
    }
    while hear(&source, log, DRAIN)? {}
    Ok(())
}

/// Waits for at most `patience`; has anything come in?
fn hear(source: &impl Source, log: &Log, patience: Duration) -> Result<bool> {
    let mut waits: Vec<_> = source
        .descriptors()
        .into_iter()
        .map(|descriptor| PollFd::new(descriptor, PollFlags::POLLIN))
        .collect();
    match ppoll(&mut waits, Some(TimeSpec::from_duration(patience)), None) {
        Ok(0) | Err(Errno::EINTR) => return Ok(false),
        Ok(_) => {}
        Err(errno) => return Err(errno).context("cannot wait for answers"),
    }
    source.receive(log)?;
    Ok(true)
}
