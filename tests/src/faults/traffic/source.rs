//! Sending one after the other at a bounded rate, and a log of what was sent and what came back.

use std::{
    net::IpAddr,
    os::fd::BorrowedFd,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, ppoll},
    sys::time::TimeSpec,
};

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

/// A packet or question.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    /// When.
    pub(crate) at: Instant,
    /// To whom, or about whom.
    pub(crate) address: IpAddr,
    /// To everybody, rather than to the MAC that has it.
    pub(crate) everybody: bool,
    /// What came back, the first time.
    pub(crate) answer: Option<Answer>,
}

/// An answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    /// When.
    pub(crate) at: Instant,
    /// The MAC that it names, if it is about one.
    pub(crate) mac: Option<[u8; 6]>,
}

/// Everything that one source has sent; the number of each is its place.
#[derive(Debug)]
pub(crate) struct Log {
    /// For people.
    pub(crate) name: String,
    sent: Mutex<Vec<Sent>>,
}

impl Log {
    /// An empty one.
    pub(crate) fn new(name: String) -> Self {
        Self {
            name,
            sent: Mutex::default(),
        }
    }

    /// All of it so far.
    pub(crate) fn read(&self) -> MutexGuard<'_, Vec<Sent>> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Number of the next one.
    pub(super) fn next(&self) -> u32 {
        u32::try_from(self.read().len()).unwrap_or(u32::MAX)
    }

    /// Notes that the next one is about to be sent.
    pub(super) fn send(&self, address: IpAddr, everybody: bool) {
        self.read().push(Sent {
            at: Instant::now(),
            address,
            everybody,
            answer: None,
        });
    }

    /// What number `number` was about.
    pub(super) fn of(&self, number: u32) -> Option<Sent> {
        self.read().get(usize::try_from(number).ok()?).copied()
    }

    /// Notes the answer to number `number`.
    pub(super) fn answered(&self, number: u32, mac: Option<[u8; 6]>) {
        let at = Instant::now();
        let place = usize::try_from(number).unwrap_or(usize::MAX);
        if let Some(sent) = self.read().get_mut(place) {
            sent.answer.get_or_insert(Answer { at, mac });
        }
    }
}
