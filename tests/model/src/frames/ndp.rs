//! Neighbour discovery messages, their options, and the offsets of their fields.

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
