//! Netlink events of all netns with an nsid, coalesced to "something of this sort changed".
//!
//! Only the type of a message is looked at (and what a route is, so that the churn of a routing
//! daemon does not wake). Lost events are never hidden: `NETLINK_NO_ENOBUFS` stays off.

use std::io;

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use nix::sys::socket::{
    setsockopt,
    sockopt::{RcvBuf, RcvBufForce},
};
use tokio::io::{Interest, unix::AsyncFd};

use super::{
    DiscoverError,
    attribute::{self, aligned},
    route::decode_route,
};

/// Holds about 70 000 address events.
const RECEIVE_BUFFER: usize = 16 * 1024 * 1024;
/// An event is a few kilobytes at most; of a longer one the type is enough.
const EVENT: usize = 16 * 1024;
/// Most events taken by one wake, so that unending churn cannot keep it from returning.
const BATCH: u32 = 8192;
const MESSAGE_HEADER: usize = 16;

const GROUPS: [u32; 8] = [
    libc::RTNLGRP_LINK,
    libc::RTNLGRP_IPV4_IFADDR,
    libc::RTNLGRP_IPV6_IFADDR,
    libc::RTNLGRP_IPV4_ROUTE,
    libc::RTNLGRP_IPV6_ROUTE,
    libc::RTNLGRP_IPV4_NETCONF,
    libc::RTNLGRP_IPV6_NETCONF,
    libc::RTNLGRP_NSID,
];

/// What changed since the last wake.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, each read by name"
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wake {
    /// Links, anywhere; a netns without an nsid shows only as this.
    pub links: bool,
    /// Addresses, anywhere.
    pub addresses: bool,
    /// Default, on-link or local routes, or IPv4 settings of links, of any netns with an nsid.
    pub routes: bool,
    /// IPv6 settings of links, of any netns with an nsid.
    pub settings: bool,
    /// An nsid was given or taken.
    pub netns: bool,
    /// Events were lost: everything may have changed.
    pub overrun: bool,
}

impl Wake {
    /// Whether netns may have appeared or vanished, so that the next snapshot has to look for them.
    #[must_use]
    pub const fn may_change_netnses(self) -> bool {
        self.links || self.netns || self.overrun
    }

    /// Whether links have to be dumped again, be it for their settings only.
    #[must_use]
    pub const fn changes_links(self) -> bool {
        self.settings || self.may_change_netnses()
    }

    /// Whether there is any reason to wake.
    #[must_use]
    pub const fn any(self) -> bool {
        self.addresses || self.routes || self.changes_links()
    }

    /// Adds what another wake says.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self {
            links: self.links || other.links,
            addresses: self.addresses || other.addresses,
            routes: self.routes || other.routes,
            settings: self.settings || other.settings,
            netns: self.netns || other.netns,
            overrun: self.overrun || other.overrun,
        }
    }
}

/// Waits for changes.
#[derive(Debug)]
pub struct Watch {
    socket: AsyncFd<Socket>,
    buffer: Vec<u8>,
    malformed: u64,
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
            malformed: 0,
        })
    }

    /// Waits until something changed, then takes all that is queued. Cancelling loses nothing.
    pub async fn wake(&mut self) -> Result<Wake, DiscoverError> {
        loop {
            let mut ready = self
                .socket
                .readable()
                .await
                .map_err(|source| DiscoverError::Watch { source })?;
            let mut wake = Wake::default();
            for _ in 0..BATCH {
                match ready
                    .get_inner()
                    .recv_from(&mut &mut self.buffer[..], libc::MSG_TRUNC)
                {
                    // Events come from the kernel; anybody else may have an axe to grind.
                    Ok((_, sender)) if sender.port_number() != 0 => {}
                    Ok((length, _)) => {
                        let read = self.buffer.get(..length).unwrap_or(&self.buffer);
                        self.malformed += u64::from(!add_events(read, &mut wake));
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        ready.clear_ready();
                        break;
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                        wake.overrun = true;
                    }
                    Err(source) => return Err(DiscoverError::Watch { source }),
                }
            }
            if wake.any() {
                return Ok(wake);
            }
        }
    }

    /// Events so far that could not be read to their end.
    #[must_use]
    pub const fn malformed(&self) -> u64 {
        self.malformed
    }
}

/// Adds the events of one datagram; false if it does not read to its end.
fn add_events(mut datagram: &[u8], wake: &mut Wake) -> bool {
    while !datagram.is_empty() {
        let (Some(length), Some(kind)) = (
            attribute::u32_at(datagram, 0),
            attribute::u16_at(datagram, 4),
        ) else {
            return false;
        };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let payload = datagram.get(MESSAGE_HEADER..length);
        match kind {
            libc::RTM_NEWLINK | libc::RTM_DELLINK => wake.links = true,
            libc::RTM_NEWADDR | libc::RTM_DELADDR => wake.addresses = true,
            libc::RTM_NEWROUTE | libc::RTM_DELROUTE => {
                // In doubt it matters.
                wake.routes |= !matches!(payload.map(decode_route), Some(Ok(None)));
            }
            // `struct netconfmsg` is the family alone.
            RTM_NEWNETCONF | RTM_DELNETCONF => match payload.and_then(<[u8]>::first) {
                Some(&AF_INET6) => wake.settings = true,
                _ => wake.routes = true,
            },
            libc::RTM_NEWNSID | libc::RTM_DELNSID => wake.netns = true,
            _ => {}
        }
        if payload.is_none() {
            return false;
        }
        datagram = datagram.get(aligned(length)..).unwrap_or_default();
    }
    true
}

const RTM_NEWNETCONF: u16 = 80;
const RTM_DELNETCONF: u16 = 81;
const AF_INET6: u8 = 10;

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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event(kind: u16, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(MESSAGE_HEADER + payload.len()).unwrap();
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.resize(MESSAGE_HEADER, 0);
        bytes.extend(payload);
        bytes
    }

    fn wake(datagram: &[u8]) -> (Wake, bool) {
        let mut wake = Wake::default();
        let complete = add_events(datagram, &mut wake);
        (wake, complete)
    }

    #[test]
    fn each_type_wakes_for_its_sort() {
        let none = Wake::default();
        let links = Wake {
            links: true,
            ..none
        };
        let addresses = Wake {
            addresses: true,
            ..none
        };
        let routes = Wake {
            routes: true,
            ..none
        };
        let netns = Wake {
            netns: true,
            ..none
        };
        for (kind, expected) in [
            (libc::RTM_NEWLINK, links),
            (libc::RTM_DELLINK, links),
            (libc::RTM_NEWADDR, addresses),
            (libc::RTM_DELADDR, addresses),
            (RTM_NEWNETCONF, routes),
            (RTM_DELNETCONF, routes),
            (libc::RTM_NEWNSID, netns),
            (libc::RTM_DELNSID, netns),
            (libc::RTM_NEWNEIGH, none),
        ] {
            assert_eq!(wake(&event(kind, &[0; 16])), (expected, true), "{kind}");
        }
    }

    #[test]
    fn settings_wake_for_links_if_they_are_of_ipv6() {
        for (family, settings) in [(2, false), (10, true)] {
            let (wake, _) = wake(&event(RTM_NEWNETCONF, &[family, 0, 0, 0]));
            assert_eq!((wake.settings, wake.routes), (settings, !settings));
            assert_eq!(wake.changes_links(), settings);
            assert!(!wake.may_change_netnses());
        }
    }

    #[test]
    fn routes_wake_only_if_they_tell_who_is_where() {
        const BROADCAST: u8 = 3;
        const LOCAL: u8 = 2;
        let route = |kind| {
            event(
                libc::RTM_NEWROUTE,
                &[2, 32, 0, 0, 255, 0, 0, kind, 0, 0, 0, 0],
            )
        };
        assert!(!wake(&route(BROADCAST)).0.any());
        assert!(wake(&route(LOCAL)).0.routes);
        // One that cannot be read may be one that matters.
        assert!(wake(&event(libc::RTM_DELROUTE, &[2])).0.routes);
    }

    #[test]
    fn all_events_of_a_datagram_count() {
        let mut datagram = event(libc::RTM_NEWLINK, &[0; 17]);
        datagram.resize(aligned(datagram.len()), 0);
        datagram.extend(event(libc::RTM_NEWADDR, &[0; 8]));
        let (wake, complete) = wake(&datagram);
        assert!(wake.links && wake.addresses && complete);
    }

    #[test]
    fn of_a_cut_event_the_type_still_wakes_and_the_cut_is_told() {
        let datagram = event(libc::RTM_NEWLINK, &[0; 32]);
        for length in 1..datagram.len() {
            let (wake, complete) = wake(&datagram[..length]);
            assert!(!complete, "{length}");
            assert_eq!(wake.links, length >= 6, "{length}");
        }
    }

    #[test]
    fn a_length_below_the_header_ends_the_datagram() {
        let mut datagram = event(libc::RTM_NEWLINK, &[]);
        datagram[0] = 0;
        assert!(!wake(&datagram).1);
    }

    proptest! {
        #[test]
        fn any_datagram_is_read_or_counted(bytes: Vec<u8>) {
            let _ = wake(&bytes);
        }
    }
}
