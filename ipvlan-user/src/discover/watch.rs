//! Netlink events of all netns with an nsid, coalesced to what changed where.
//!
//! Lost events are never hidden: `NETLINK_NO_ENOBUFS` stays off. Datagrams of other
//! senders than the kernel are dropped and counted.

use std::{
    io,
    time::{Duration, Instant},
};

use nix::errno::Errno;
use tokio::io::{Interest, unix::AsyncFd};

use super::{
    DiscoverError, nexthop,
    wake::{KnownRoutes, Wake},
};
use crate::netlink::{Datagram, EventBuffer, EventSocket};

/// Holds about 70 000 address events.
const RECEIVE_BUFFER: usize = 16 * 1024 * 1024;
/// An event is a few kilobytes at most; of a longer one the type is enough.
const EVENT: usize = 16 * 1024;
/// Most events taken by one wake, so that unending churn cannot keep it from returning.
const BATCH: u32 = 8192;

/// Reading events for no longer than this needs no rest.
const QUICK: Duration = Duration::from_micros(50);

const GROUPS: [u32; 9] = [
    libc::RTNLGRP_LINK,
    libc::RTNLGRP_IPV4_IFADDR,
    libc::RTNLGRP_IPV6_IFADDR,
    libc::RTNLGRP_IPV4_ROUTE,
    libc::RTNLGRP_IPV6_ROUTE,
    libc::RTNLGRP_IPV4_NETCONF,
    libc::RTNLGRP_IPV6_NETCONF,
    libc::RTNLGRP_NSID,
    nexthop::GROUP,
];

/// Waits for changes.
#[derive(Debug)]
pub struct Watch {
    socket: AsyncFd<EventSocket>,
    buffer: EventBuffer,
    known: KnownRoutes,
    malformed: u64,
    spoofed: u64,
    /// Events are not read before: reading them takes half of the time at most.
    rests_until: Option<Instant>,
}

impl Watch {
    /// Subscribes, in the netns of the calling thread. From here on every change wakes: take the
    /// first snapshot after this.
    ///
    /// Must be called within a tokio runtime.
    pub fn new() -> Result<Self, DiscoverError> {
        Self::with_receive_buffer(RECEIVE_BUFFER)
    }

    /// As [`Watch::new`], with room for about this many bytes of events.
    pub fn with_receive_buffer(bytes: usize) -> Result<Self, DiscoverError> {
        let socket = EventSocket::new(bytes, &GROUPS)?;
        // SAFETY: `EventSocket` owns its file descriptor, never changes it, and closes it when dropped.
        let socket = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) }
            .map_err(|error| DiscoverError::Watch {
                source: error.into(),
            })?;
        Ok(Self {
            socket,
            buffer: EventBuffer::new(EVENT),
            known: KnownRoutes::default(),
            malformed: 0,
            spoofed: 0,
            rests_until: None,
        })
    }

    /// Waits until something changed, then takes all that is queued. Cancelling loses nothing.
    pub async fn wake(&mut self) -> Result<Wake, DiscoverError> {
        loop {
            if let Some(until) = self.rests_until {
                tokio::time::sleep_until(until.into()).await;
                self.rests_until = None;
            }
            let mut ready = self
                .socket
                .readable()
                .await
                .map_err(|source| DiscoverError::Watch { source })?;
            let started = Instant::now();
            let mut wake = Wake::default();
            for _ in 0..BATCH {
                match ready.get_inner().receive(&mut self.buffer) {
                    // Any process can send to the socket.
                    Ok(Datagram {
                        by_kernel: false, ..
                    }) => self.spoofed += 1,
                    Ok(Datagram { length, nsid, .. }) => {
                        let bytes = &self.buffer.bytes;
                        let read = bytes.get(..length).unwrap_or(bytes);
                        self.malformed += u64::from(!wake.add_events(nsid, read, &self.known));
                    }
                    Err(Errno::EAGAIN) => {
                        ready.clear_ready();
                        break;
                    }
                    Err(Errno::EINTR) => {}
                    Err(Errno::ENOBUFS) => wake.overrun = true,
                    Err(errno) => {
                        let source = io::Error::from(errno);
                        return Err(DiscoverError::Watch { source });
                    }
                }
            }
            let took = started.elapsed();
            if took > QUICK {
                self.rests_until = Some(started + took * 2);
            }
            if wake.any() {
                return Ok(wake);
            }
        }
    }

    /// What is known of the routes, by which it is decided whether an event about a route wakes.
    pub const fn known_routes(&mut self) -> &mut KnownRoutes {
        &mut self.known
    }

    /// Events so far that could not be read to their end.
    #[must_use]
    pub const fn malformed(&self) -> u64 {
        self.malformed
    }

    /// Datagrams so far that did not come from the kernel, and were not looked at.
    #[must_use]
    pub const fn spoofed(&self) -> u64 {
        self.spoofed
    }
}
