//! The host's own neighbour table.
//!
//! Whoever asks for a child just before it is answered for asks again after a second (`retrans_time`). The
//! LAN has been told by then; the host hears no announcement of its own, so what it waits for is told to its
//! neighbour table. That is so for addresses that are new, after the parent was down, and after it got another
//! MAC, with which the kernel forgets every neighbour on it.

use std::net::IpAddr;

use netlink_packet_core::NLM_F_REPLACE;
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    neighbour::{
        NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
    },
};

use super::frame::Mac;
use crate::discover::{
    DiscoverError,
    attribute::{Malformed, after, attributes, ip_value, u16_at, u32_at},
    rtnl::{Request, Rtnl},
};

/// Length of `struct ndmsg`.
const HEADER: usize = 12;
/// `NUD_INCOMPLETE`
const INCOMPLETE: u16 = 0x01;

/// The entries of one parent.
#[derive(Debug)]
pub struct HostNeighbours {
    rtnl: Rtnl,
    ifindex: u32,
}

impl HostNeighbours {
    /// Those of the interface with this ifindex in the netns of the calling thread.
    ///
    /// # Errors
    ///
    /// If there is no netlink socket to be had.
    pub fn open(ifindex: u32) -> Result<Self, DiscoverError> {
        Ok(Self {
            rtnl: Rtnl::new()?,
            ifindex,
        })
    }

    /// Tells every entry that waits for an answer (`NUD_INCOMPLETE`) that the address is at `mac`, if `is_router`
    /// knows the address: whether it is a router's. What waits for it is sent at once, and the kernel asks again
    /// when it wants to be sure (`NUD_STALE`). Entries in any other state stay as they are, also those that
    /// somebody made by hand. Returns how many were told.
    ///
    /// # Errors
    ///
    /// If the kernel refuses. An entry that has gone meanwhile is none.
    pub fn resolve(
        &mut self,
        mac: Mac,
        is_router: impl Fn(IpAddr) -> Option<bool>,
    ) -> Result<usize, DiscoverError> {
        let mut told = 0;
        for address in self.waiting()? {
            let Some(router) = is_router(address) else {
                continue;
            };
            let entry = entry(self.ifindex, address, mac, router);
            let changed = self.rtnl.change(
                Request::own("change of a neighbour (RTM_NEWNEIGH)"),
                &RouteNetlinkMessage::NewNeighbour(entry),
                NLM_F_REPLACE,
            );
            match changed {
                Ok(()) => told += 1,
                Err(error) if error.errno() == Some(libc::ENOENT) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(told)
    }

    /// The addresses that somebody waits for.
    fn waiting(&mut self) -> Result<Vec<IpAddr>, DiscoverError> {
        let mut message = NeighbourMessage::default();
        message
            .attributes
            .push(NeighbourAttribute::IfIndex(self.ifindex));
        let ifindex = self.ifindex;
        self.rtnl.dump(
            Request::own("dump of neighbours (RTM_GETNEIGH)"),
            &RouteNetlinkMessage::GetNeighbour(message),
            |payload| decode(payload, ifindex),
        )
    }
}

/// The address of an `RTM_NEWNEIGH` of this interface that waits for an answer.
fn decode(payload: &[u8], ifindex: u32) -> Result<Option<IpAddr>, Malformed> {
    let attribute_bytes = after(payload, HEADER)?;
    if u32_at(payload, 4) != Some(ifindex) || u16_at(payload, 8) != Some(INCOMPLETE) {
        return Ok(None);
    }
    for attribute in attributes(attribute_bytes) {
        let (kind, value) = attribute?;
        if kind == libc::NDA_DST {
            return ip_value(value).map(Some);
        }
    }
    Ok(None)
}

fn entry(ifindex: u32, address: IpAddr, mac: Mac, router: bool) -> NeighbourMessage {
    let mut entry = NeighbourMessage::default();
    let (family, destination) = match address {
        IpAddr::V4(address) => (AddressFamily::Inet, NeighbourAddress::Inet(address)),
        IpAddr::V6(address) => (AddressFamily::Inet6, NeighbourAddress::Inet6(address)),
    };
    entry.header.family = family;
    entry.header.ifindex = ifindex;
    entry.header.state = NeighbourState::Stale;
    if router && address.is_ipv6() {
        entry.header.flags = NeighbourFlags::Router;
    }
    entry
        .attributes
        .push(NeighbourAttribute::Destination(destination));
    entry
        .attributes
        .push(NeighbourAttribute::LinkLayerAddress(mac.to_vec()));
    entry
}
