//! What was sent, and what came back.

use std::{
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

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
