//! DHCP messages that an l2 child broadcasts, and the offsets of their fields.

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
