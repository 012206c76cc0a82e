//! What there is to say about an address of a child.

use std::net::{IpAddr, Ipv6Addr};

use super::{announce::Live, frame::solicited_node};
use crate::discover::snapshot::NetnsId;

/// An address of a child that is answered for, or would be if no other station had it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Whose it is, and what is said of it.
    pub live: Live,
    /// Its child joins no groups and does no duplicate address detection for it: IPv6 of l3 and l3s.
    pub mute: bool,
}

impl Candidate {
    /// Whether the LAN is to be probed for it: no kernel does so for IPv4.
    pub(super) const fn is_probed(&self, address: IpAddr) -> bool {
        self.mute || address.is_ipv4()
    }

    /// The solicited-node group that the parent joins for it, and the netns that uses a share of them.
    pub(super) fn membership(&self, address: IpAddr) -> Option<(NetnsId, Ipv6Addr)> {
        match address {
            IpAddr::V6(address) if self.mute => {
                Some((self.live.child.netns, solicited_node(address)))
            }
            _ => None,
        }
    }
}
