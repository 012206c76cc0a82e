//! The events of the programs, as they arrive.

use std::{
    io,
    task::{Context, Poll, ready},
};

use ipvlan_common::Event;
use tokio::io::{Interest, unix::AsyncFd};

use crate::maps;

/// Most events taken at once.
const BATCH: usize = 256;

/// Reads the `EVENTS` ring buffer of one parent.
pub struct Events {
    ring: AsyncFd<maps::Events>,
}

impl Events {
    /// Reads from `ring`. Must be called within a tokio runtime.
    pub fn new(ring: maps::Events) -> io::Result<Self> {
        // SAFETY: the ring buffer owns the descriptor of its map, never changes it, and closes it
        // when dropped.
        let ring = unsafe { AsyncFd::register_with_interest(ring, Interest::READABLE) }?;
        Ok(Self { ring })
    }

    /// Takes the events that are there, at least one; wakes the task when some come. Records of
    /// another size, from a newer object, are left out.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Vec<Event>>> {
        loop {
            let mut ready = ready!(self.ring.poll_read_ready_mut(context))?;
            let ring = ready.get_inner_mut();
            let mut events = Vec::new();
            let mut taken = 0;
            while taken < BATCH
                && let Some(record) = ring.next()
            {
                taken += 1;
                events.extend(Event::from_record(&record));
            }
            if taken < BATCH {
                ready.clear_ready();
            }
            if !events.is_empty() {
                return Poll::Ready(Ok(events));
            }
        }
    }
}
