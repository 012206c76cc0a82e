//! ARP messages, and the offsets of their fields.

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
