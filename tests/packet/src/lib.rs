//! Frames of tests, valid or not: Ethernet, VLAN tags, ARP, IP of both families, neighbour discovery, DHCP.
//!
//! `etherparse` writes headers. What no valid frame has is a field of a builder, or is [`patched`] into the bytes.

#![allow(
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    clippy::return_self_not_must_use,
    reason = "tests are written with valid lengths; a frame that cannot be built, or that is not used, is an error in a \
              test"
)]

pub mod arp;
pub mod checksum;
pub mod dhcp;
pub mod ip;
pub mod nd;

pub use self::{arp::Arp, dhcp::Dhcp, ip::IpPacket, nd::Nd};

/// A MAC address.
pub type Mac = [u8; 6];

/// The broadcast MAC.
pub const BROADCAST: Mac = [0xff; 6];
/// The MAC of no station.
pub const ZERO: Mac = [0; 6];
/// The length of an Ethernet header.
pub const ETH_LEN: usize = 14;
/// The byte that [`padded`] appends; no reply contains it by itself.
pub const JUNK: u8 = 0xa5;
/// The `EtherType` of a frame that carries IPv4.
pub const IPV4: u16 = 0x0800;
/// The `EtherType` of ARP.
pub const ARP: u16 = 0x0806;
/// The `EtherType` of IPv6.
pub const IPV6: u16 = 0x86dd;

/// Returns an Ethernet header.
pub fn ethernet(dst: Mac, src: Mac, ether_type: u16) -> Vec<u8> {
    [&dst[..], &src, &ether_type.to_be_bytes()].concat()
}

/// Returns the `EtherType` of a frame that is long enough to have one.
pub fn ether_type(frame: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(array(frame, 12)?))
}

/// Returns the frame with these bytes at `at`.
pub fn patched(mut frame: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    frame[at..at + bytes.len()].copy_from_slice(bytes);
    frame
}

/// Returns the frame, filled up with [`JUNK`] to `len` bytes.
pub fn padded(mut frame: Vec<u8>, len: usize) -> Vec<u8> {
    frame.resize(len, JUNK);
    frame
}

/// Returns the frame with VLAN tags in front of its `EtherType`, outermost first: TPID and TCI of each.
pub fn tagged(frame: &[u8], tags: &[(u16, u16)]) -> Vec<u8> {
    let (addresses, rest) = frame.split_at(12);
    let tags = tags.iter().flat_map(|&(tpid, tci)| [tpid, tci]);
    let tags: Vec<u8> = tags.flat_map(u16::to_be_bytes).collect();
    [addresses, &tags, rest].concat()
}

/// Returns the `N` bytes at `at`, if the frame is long enough.
pub fn array<const N: usize>(frame: &[u8], at: usize) -> Option<[u8; N]> {
    frame.get(at..at + N)?.try_into().ok()
}
