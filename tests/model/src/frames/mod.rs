//! The frames of [`ipvlan_packet`], sent by the stations of [`world`](super::world).

pub mod arp;
pub mod corpus;
pub mod dhcp;
pub mod ip;
pub mod ndp;

pub use ipvlan_packet::{Arp, Dhcp, ETH_LEN, IpPacket, JUNK, Nd, padded, patched, tagged};

pub use self::corpus::valid;
