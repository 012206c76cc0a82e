//! Links of our own netns.

use super::{LinkName, NetnsId};

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
