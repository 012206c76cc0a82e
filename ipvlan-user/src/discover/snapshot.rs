//! What the kernel was seen to hold: pure data, no behaviour that needs the kernel.
//!
//! [`Discover::snapshot`](super::Discover::snapshot) is the only producer; tests build the same
//! types by hand (everything is public and has a default). Of each netns a snapshot has all children as they
//! were at one moment, or none; it is never part of a netns.

mod arp;
mod host;
mod name;

use std::{collections::BTreeSet, net::IpAddr, ops::Range};

use crate::text::netns_label;

pub use self::{
    arp::Arp,
    host::{
        AnycastAddress, ArpSettings, Gateway, Host, HostAddress, OnLinkRoute, ProxyArp, RouteInside,
    },
    name::LinkName,
};

/// A network namespace, seen from ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NetnsId {
    /// The netns this process runs in.
    #[default]
    Own,
    /// Another one, by the number that our netns has given it.
    Nsid(i32),
}

/// Everything discovery knows at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Addresses, routes and settings of our own netns.
    pub host: Host,
    /// All links of our own netns, ordered by ifindex.
    pub links: Vec<Link>,
    /// The ipvlan links whose parent is in our own netns, ordered by netns and ifindex.
    pub children: Vec<Child>,
    /// Our own netns and every other one that has an nsid, ordered by id.
    pub netnses: Vec<Netns>,
    /// The netns that could not be read since the agent started: what they hold is not known.
    pub unread: BTreeSet<NetnsId>,
    /// The netns with children that could not be read when they were tried last, and not because they kept changing;
    /// and those that were not read for so long that they are no longer in [`Self::unread`]. They may hold more than
    /// is known.
    pub outdated: BTreeSet<NetnsId>,
}

impl Snapshot {
    /// The link of our own netns with this ifindex.
    #[must_use]
    pub fn link(&self, ifindex: u32) -> Option<&Link> {
        self.links.iter().find(|link| link.ifindex == ifindex)
    }

    /// The link of our own netns with this name.
    #[must_use]
    pub fn link_named(&self, name: &str) -> Option<&Link> {
        self.links.iter().find(|link| link.name == name)
    }

    /// The children in a netns.
    #[must_use]
    pub fn children_of(&self, id: NetnsId) -> &[Child] {
        &self.children[self.place_of(id)]
    }

    /// How many addresses they have.
    #[must_use]
    pub fn addresses_of(&self, id: NetnsId) -> usize {
        let children = self.children_of(id).iter();
        children.map(|child| child.addresses.len()).sum()
    }

    /// Waits no longer for the netns that were never read.
    pub fn give_up_unread(&mut self) {
        self.outdated.append(&mut self.unread);
    }

    /// Returns whether children of this parent may have addresses that are not known: in a netns that was not read
    /// yet, or in one that cannot be read again. Addresses beyond a quota do not count.
    #[must_use]
    pub fn may_hold_more(&self, parent: u32) -> bool {
        let may_hold = |&id: &NetnsId| {
            let children = self.children_of(id);
            children.is_empty() || children.iter().any(|child| child.parent_ifindex == parent)
        };
        !self.unread.is_empty() || self.outdated.iter().any(may_hold)
    }

    /// Where they are among all children.
    pub(super) fn place_of(&self, id: NetnsId) -> Range<usize> {
        let start = self.children.partition_point(|child| child.netns < id);
        let end = self.children.partition_point(|child| child.netns <= id);
        start..end
    }

    /// Returns the short name of a netns, as `status` shows it ([`netns_label`]).
    #[must_use]
    pub fn netns_label(&self, id: NetnsId) -> String {
        let nsid = match id {
            NetnsId::Own => None,
            NetnsId::Nsid(nsid) => Some(nsid),
        };
        let known = self.netns(id);
        let names = known.map_or(&[][..], |netns| &netns.names);
        netns_label(names, known.and_then(|netns| netns.pid), nsid)
    }

    /// What is known about a netns.
    #[must_use]
    pub fn netns(&self, id: NetnsId) -> Option<&Netns> {
        self.netnses.iter().find(|netns| netns.id == id)
    }
}

/// A link of our own netns.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, each read by name"
)]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Its ifindex.
    pub ifindex: u32,
    /// Its name.
    pub name: LinkName,
    /// Its hardware type, `ARPHRD_*` (1 is Ethernet, 772 loopback).
    pub hardware: u16,
    /// Its hardware address, if that has six bytes.
    pub mac: Option<[u8; 6]>,
    /// Its MTU.
    pub mtu: u32,
    /// Administratively up (`IFF_UP`).
    pub up: bool,
    /// Up and with carrier (`IFF_LOWER_UP`).
    pub carrier: bool,
    /// Forwards IPv4 (`forwarding` of `net.ipv4.conf`).
    pub forwarding_v4: bool,
    /// Forwards IPv6 (`forwarding` of `net.ipv6.conf`): its advertisements are a router's.
    pub forwarding: bool,
    /// Its kind (`veth`, `vlan`, `ipvlan`, …); none for hardware.
    pub kind: Option<String>,
    /// The bridge, bond, … it is a port of.
    pub master: Option<Master>,
    /// The link below or at the other end of it.
    pub lower: Option<Lower>,
    /// The XDP programs attached to it.
    pub xdp: Vec<Xdp>,
}

/// The link that another is a port of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Master {
    /// Its ifindex, in our own netns.
    pub ifindex: u32,
    /// The kind the port says it belongs to (`bridge`, `bond`, `vrf`, …).
    pub kind: Option<String>,
}

/// `IFLA_LINK`: parent of a VLAN or an ipvlan child, peer of a veth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lower {
    /// Its ifindex, in its own netns.
    pub ifindex: u32,
    /// Its netns.
    pub netns: NetnsId,
}

/// An attached XDP program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Xdp {
    /// Where it runs.
    pub mode: XdpMode,
    /// Its program id.
    pub program: u32,
}

/// Where an XDP program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XdpMode {
    /// In the network stack, on an skb.
    Generic,
    /// In the driver.
    Native,
    /// In the NIC.
    Offload,
}

/// An ipvlan link whose parent is in our own netns.
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
    /// The netns it is in.
    pub netns: NetnsId,
    /// Its parent's ifindex, in our own netns.
    pub parent_ifindex: u32,
    /// Mode of the port it belongs to; the same for all children of a parent.
    pub mode: Mode,
    /// Flag of the port it belongs to; the same for all children of a parent.
    pub flag: PortFlag,
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

/// Mode of an ipvlan port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Switches by destination address; children do ARP themselves.
    L2,
    /// Routes in the parent's netns; children do no ARP. The kernel's default.
    #[default]
    L3,
    /// As l3, and received packets pass the host's INPUT hook.
    L3s,
}

impl Mode {
    /// What `ip link` calls it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::L2 => "l2",
            Self::L3 => "l3",
            Self::L3s => "l3s",
        }
    }
}

/// Isolation flag of an ipvlan port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PortFlag {
    /// Children reach each other.
    #[default]
    Bridge,
    /// Children do not reach each other.
    Private,
    /// Children reach each other through the switch outside.
    Vepa,
}

impl PortFlag {
    /// What `ip link` calls it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Private => "private",
            Self::Vepa => "vepa",
        }
    }
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

/// How far the kernel's duplicate address detection of an address is; always done for IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dad {
    /// Nobody else has it, or nobody asked.
    Done,
    /// Running, and the address may not be used before the end (RFC 4862 §5.4).
    Tentative,
    /// Running, and the address may be used already (RFC 4429).
    Optimistic,
    /// Somebody else has it.
    Failed,
}

impl Dad {
    const fn of(flags: u32) -> Self {
        if flags & libc::IFA_F_DADFAILED != 0 {
            Self::Failed
        } else if flags & libc::IFA_F_OPTIMISTIC != 0 {
            Self::Optimistic
        } else if flags & libc::IFA_F_TENTATIVE != 0 {
            Self::Tentative
        } else {
            Self::Done
        }
    }
}

/// The kernel's counters of a link (`IFLA_STATS64`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkStats {
    /// Packets received.
    pub rx_packets: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
}

/// What is known about a netns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Netns {
    /// How children name it.
    pub id: NetnsId,
    /// Its inode; none if only its nsid is known.
    pub inode: Option<u64>,
    /// Its names: files it is bound to under /run/netns, /run/docker/netns and elsewhere.
    pub names: Vec<String>,
    /// These files, as absolute paths.
    pub files: Vec<String>,
    /// The lowest id of the processes that live in it.
    pub pid: Option<i32>,
}

#[cfg(test)]
mod tests;
