//! Netlink events of all netns with an nsid, coalesced to what changed where.
//!
//! Lost events are never hidden: `NETLINK_NO_ENOBUFS` stays off. What anybody but the kernel sends is
//! not looked at.

use std::{
    io::{self, IoSliceMut},
    os::fd::AsRawFd as _,
    time::{Duration, Instant},
};

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use nix::{
    cmsg_space,
    errno::Errno,
    sys::socket::{
        ControlMessageOwned, MsgFlags, NetlinkAddr, recvmsg, setsockopt,
        sockopt::{RcvBuf, RcvBufForce},
    },
};
use tokio::io::{Interest, unix::AsyncFd};

use super::{
    DiscoverError, nexthop,
    wake::{KnownRoutes, Wake},
};
use crate::netlink::attribute;

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
    socket: AsyncFd<Socket>,
    buffer: Vec<u8>,
    control: Vec<u8>,
    known: KnownRoutes,
    malformed: u64,
    spoofed: u64,
    /// Events are not read before: reading them takes half of the time at most.
    rests_until: Option<Instant>,
}

/// One datagram: how long it is, and where it happened.
struct Datagram {
    length: usize,
    nsid: Option<i32>,
    by_kernel: bool,
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
        let socket = subscribe(bytes)?;
        // SAFETY: `Socket` owns its file descriptor, never changes it, and closes it when dropped.
        let socket = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) }
            .map_err(|error| DiscoverError::Watch {
                source: error.into(),
            })?;
        Ok(Self {
            socket,
            buffer: vec![0; EVENT],
            control: cmsg_space!(i32),
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
                match receive(ready.get_inner(), &mut self.buffer, &mut self.control) {
                    // Anybody else may have an axe to grind.
                    Ok(Datagram {
                        by_kernel: false, ..
                    }) => self.spoofed += 1,
                    Ok(Datagram { length, nsid, .. }) => {
                        let read = self.buffer.get(..length).unwrap_or(&self.buffer);
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

/// Reads one datagram with what the kernel says beside it, which `recvfrom` loses.
fn receive(socket: &Socket, buffer: &mut [u8], control: &mut [u8]) -> Result<Datagram, Errno> {
    let mut parts = [IoSliceMut::new(buffer)];
    let message = recvmsg::<NetlinkAddr>(
        socket.as_raw_fd(),
        &mut parts,
        Some(control),
        MsgFlags::MSG_TRUNC,
    )?;
    let nsid = message.cmsgs()?.find_map(|control| match control {
        ControlMessageOwned::Unknown(control)
            if control.cmsg_header.cmsg_level == libc::SOL_NETLINK
                && control.cmsg_header.cmsg_type == libc::NETLINK_LISTEN_ALL_NSID =>
        {
            attribute::i32_at(&control.data_bytes, 0)
        }
        _ => None,
    });
    Ok(Datagram {
        length: message.bytes,
        nsid,
        by_kernel: message.address.is_some_and(|sender| sender.pid() == 0),
    })
}

fn subscribe(receive_buffer: usize) -> Result<Socket, DiscoverError> {
    let failed = |step| move |source| DiscoverError::Socket { step, source };
    let mut socket = Socket::new(NETLINK_ROUTE).map_err(failed("socket"))?;
    socket
        .set_non_blocking(true)
        .map_err(failed("O_NONBLOCK"))?;
    // Forcing needs CAP_NET_ADMIN; without it net.core.rmem_max is as good as it gets.
    if setsockopt(&socket, RcvBufForce, &receive_buffer).is_err() {
        setsockopt(&socket, RcvBuf, &receive_buffer)
            .map_err(|errno| failed("SO_RCVBUF")(errno.into()))?;
    }
    socket
        .set_listen_all_namespaces(true)
        .map_err(failed(ALL_NETNSES))?;
    socket
        .bind(&SocketAddr::new(0, 0))
        .map_err(failed("bind"))?;
    for group in GROUPS {
        socket
            .add_membership(group)
            .map_err(failed("NETLINK_ADD_MEMBERSHIP"))?;
    }
    Ok(socket)
}

/// The step that needs `CAP_NET_BROADCAST`.
pub(super) const ALL_NETNSES: &str = "NETLINK_LISTEN_ALL_NSID";
