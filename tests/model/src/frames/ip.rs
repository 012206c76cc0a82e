//! Packets of both families, and the offsets of their fields.

use std::net::IpAddr;

pub use ipvlan_packet::ip::*;

use crate::world::{HOST_IP, HOST_IP6, LAN, LAN_IP, LAN_IP6, PARENT};

/// What the host sends to a child: its neighbour entry for the child is the parent's own MAC.
pub fn from_host(dst: impl Into<IpAddr>) -> IpPacket {
    let dst = dst.into();
    let src = match dst {
        IpAddr::V4(_) => HOST_IP.into(),
        IpAddr::V6(_) => IpAddr::from(HOST_IP6),
    };
    IpPacket::udp([PARENT, PARENT], src, dst)
}

/// What a LAN host sends to a child.
pub fn from_lan(dst: impl Into<IpAddr>) -> IpPacket {
    let dst = dst.into();
    let src = match dst {
        IpAddr::V4(_) => LAN_IP.into(),
        IpAddr::V6(_) => IpAddr::from(LAN_IP6),
    };
    IpPacket::udp([PARENT, LAN], src, dst)
}
