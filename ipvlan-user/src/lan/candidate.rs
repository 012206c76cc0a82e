//! The addresses of children that the agent announces and probes for.

use std::net::{IpAddr, Ipv6Addr};

use ipvlan_common::Reason;

use super::{announce::Announced, frame::solicited_node};
use crate::{facts::NetnsId, model::DesiredEntry};

/// An address of a child that is answered, or would be if no station owned it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The content of its announcements.
    pub announced: Announced,
    /// The child is in mode l2, so its own kernel sends on the LAN. In l3 and l3s that kernel joins no groups and does
    /// no duplicate address detection.
    pub l2: bool,
}

impl Candidate {
    /// Returns the candidate for an entry of the desired state, whose port is in mode l2 or not. There is none for an
    /// address that no station decides about.
    pub(super) fn of(wanted: &DesiredEntry, l2: bool) -> Option<Self> {
        match *wanted {
            DesiredEntry::Child {
                child,
                refusal: None | Some(Reason::Probing | Reason::Duplicate),
                router,
                optimistic,
                ..
            } => {
                let announced = Announced {
                    child,
                    router,
                    optimistic,
                };
                Some(Self { announced, l2 })
            }
            _ => None,
        }
    }

    /// Returns whether the agent does duplicate address detection for it: no kernel does so for IPv4.
    pub(super) const fn needs_proxy_dad(&self, address: IpAddr) -> bool {
        !self.l2 || address.is_ipv4()
    }

    /// Returns whether it is defended against another station. In l2 it is not: Linux defends no address of its own.
    pub(super) const fn is_defended(&self) -> bool {
        !self.l2
    }

    /// Returns the solicited-node group that the parent joins for it, and the netns whose quota it uses.
    pub(super) fn membership(&self, address: IpAddr) -> Option<(NetnsId, Ipv6Addr)> {
        match address {
            IpAddr::V6(address) if !self.l2 => {
                Some((self.announced.child.netns, solicited_node(address)))
            }
            _ => None,
        }
    }
}
