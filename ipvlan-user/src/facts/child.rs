//! Children of parents in our own netns.

use std::net::IpAddr;

use super::{Arp, Dad, LinkName, LinkStats, NetnsId};
pub use crate::protocol::{Flag as PortFlag, Mode};

/// A link whose parent is in our own netns.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, each read by name"
)]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Child {
    /// Its ifindex, in its own netns.
    pub ifindex: u32,
    /// Its name, in its own netns.
    pub name: LinkName,
    /// Its alias, escaped and capped: a label that the netns can set, and whoever created the link.
    pub alias: Option<Box<str>>,
    /// The netns it is in.
    pub netns: NetnsId,
    /// Its parent's ifindex, in our own netns.
    pub parent_ifindex: u32,
    /// What it is, and the settings that links of this kind alone have.
    pub kind: Kind,
    /// Administratively up (`IFF_UP`): the driver delivers to it only then.
    pub up: bool,
    /// The addresses that its own settings let it answer for.
    pub arp: Arp,
    /// Forwards IPv4 (`forwarding` of `net.ipv4.conf`).
    pub forwarding_v4: bool,
    /// Forwards IPv6 (`forwarding` of `net.ipv6.conf`): its advertisements are a router's.
    pub forwarding: bool,
    /// Its hardware address, the parent's.
    pub mac: Option<[u8; 6]>,
    /// Its addresses, both families.
    pub addresses: Vec<ChildAddress>,
    /// What the kernel counted on it.
    pub stats: LinkStats,
    /// Its netns has more children or addresses than its quota: some are missing here.
    pub over_quota: bool,
}

/// The kind of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An ipvlan link, with the settings of its port.
    Ipvlan(Port),
}

impl Kind {
    /// Returns the settings of the port that it shares with the other ipvlan links of its parent.
    #[must_use]
    pub const fn port(self) -> Option<Port> {
        match self {
            Self::Ipvlan(port) => Some(port),
        }
    }
}

impl Default for Kind {
    fn default() -> Self {
        Self::Ipvlan(Port::default())
    }
}

/// Settings of an ipvlan port: the same for all ipvlan links of a parent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Port {
    /// Its mode.
    pub mode: Mode,
    /// Its isolation flag.
    pub flag: PortFlag,
}

/// An address of a child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildAddress {
    /// `IFA_LOCAL`: the address the child itself uses.
    pub local: IpAddr,
    /// `IFA_ADDRESS` where it differs: the other end of a point-to-point address.
    pub peer: Option<IpAddr>,
    /// Length of the prefix it is configured with.
    pub prefix_len: u8,
    /// `RT_SCOPE_*`; 0 is global.
    pub scope: u8,
    /// `IFA_F_*`.
    pub flags: u32,
}

impl ChildAddress {
    /// The address the ipvlan driver delivers to this child: for IPv4 it registers `ifa_address`
    /// (the peer, if there is one), for IPv6 the local address.
    #[must_use]
    pub fn registered(&self) -> IpAddr {
        match (self.local, self.peer) {
            (IpAddr::V4(_), Some(peer)) => peer,
            (local, _) => local,
        }
    }

    /// How far duplicate address detection is.
    #[must_use]
    pub const fn dad(&self) -> Dad {
        Dad::of(self.flags)
    }
}
