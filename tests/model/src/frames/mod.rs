//! The frames of [`ipvlan_packet`], sent by the stations of [`world`](super::world).

pub mod corpus;

pub use ipvlan_packet::{Arp, Dhcp, ETH_LEN, IpPacket, JUNK, Nd, padded, patched, tagged};

pub use self::corpus::valid;

/// ARP messages, and the offsets of their fields.
pub mod arp {
    pub use ipvlan_packet::arp::*;

    use crate::world::{Ip, LAN, LAN_IP, PARENT};

    /// A LAN host asks everybody for `tpa`.
    pub const fn request(tpa: Ip) -> Arp {
        Arp::request(LAN, LAN_IP, tpa)
    }

    /// The host, or an l2 child, asks everybody for `tpa`.
    pub const fn from_parent(spa: Ip, tpa: Ip) -> Arp {
        Arp::request(PARENT, spa, tpa)
    }
}

/// DHCP messages that an l2 child broadcasts, and the offsets of their fields.
pub mod dhcp {
    pub use ipvlan_packet::dhcp::*;

    use crate::world::PARENT;

    /// A DHCPDISCOVER or DHCPREQUEST, of a client that is identified.
    pub fn new(message_type: u8) -> Dhcp {
        Dhcp::new(PARENT, message_type)
    }

    /// A message with these options.
    pub fn with(options: &[Vec<u8>]) -> Dhcp {
        Dhcp::with(PARENT, options)
    }
}

/// Packets of both families, and the offsets of their fields.
pub mod ip {
    use std::net::IpAddr;

    pub use ipvlan_packet::ip::*;

    use crate::world::{Addresses, LAN, PARENT};

    /// What the host sends to a child: its neighbour entry for the child is the parent's own MAC.
    pub fn from_host(dst: impl Into<IpAddr>) -> IpPacket {
        let dst = dst.into();
        IpPacket::udp([PARENT, PARENT], Addresses::of(dst).host, dst)
    }

    /// What a LAN host sends to a child.
    pub fn from_lan(dst: impl Into<IpAddr>) -> IpPacket {
        let dst = dst.into();
        IpPacket::udp([PARENT, LAN], Addresses::of(dst).lan, dst)
    }
}

/// Neighbour discovery messages, their options, and the offsets of their fields.
pub mod ndp {
    pub use ipvlan_packet::nd::*;

    use crate::world::{Ip6, LAN, LAN_IP6, PARENT, UNSPECIFIED6};

    /// A LAN host asks the solicited-node group of `target`.
    pub fn solicitation(target: Ip6) -> Nd {
        Nd::multicast(LAN, LAN_IP6, target)
    }

    /// A LAN host asks `target` itself, as its neighbour entry ages.
    pub fn unicast(target: Ip6) -> Nd {
        Nd::unicast(PARENT, LAN, LAN_IP6, target)
    }

    /// A LAN host wants to take `target` (duplicate address detection).
    pub fn probe(target: Ip6) -> Nd {
        Nd::multicast(LAN, UNSPECIFIED6, target).with(option(NONCE, &[1, 2, 3, 4, 5, 6]))
    }

    /// The host, or an l2 child, asks the solicited-node group of `target`.
    pub fn from_parent(src: Ip6, target: Ip6) -> Nd {
        Nd::multicast(PARENT, src, target).with(option(SOURCE_MAC, &PARENT))
    }

    /// A LAN host announces to all nodes that it has `target`.
    pub fn announcement(target: Ip6) -> Nd {
        Nd::announcement(LAN, target)
    }
}
