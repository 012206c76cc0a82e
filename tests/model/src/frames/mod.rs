//! Frames. `etherparse` writes what is valid, `bytes` what is not.

pub mod arp;
pub mod corpus;
pub mod dhcp;
pub mod ipv4;
pub mod ipv6;
pub mod ndp;

use bytes::BufMut as _;

pub use self::{arp::Arp, corpus::valid, ipv4::Ipv4, ipv6::Ipv6, ndp::Nd};
use super::world::Mac;

pub const ETH_LEN: usize = 14;
/// Byte of trailing junk, to find again.
pub const JUNK: u8 = 0xa5;

/// An Ethernet header.
pub fn ethernet(src: Mac, dst: Mac, ethertype: u16) -> Vec<u8> {
    let mut frame = Vec::with_capacity(128);
    frame.put_slice(&dst);
    frame.put_slice(&src);
    frame.put_u16(ethertype);
    frame
}

/// The frame with these bytes at `at`.
pub fn patched(mut frame: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    frame[at..at + bytes.len()].copy_from_slice(bytes);
    frame
}

/// The frame, filled up with [`JUNK`] to `len` bytes.
pub fn padded(mut frame: Vec<u8>, len: usize) -> Vec<u8> {
    frame.resize(len, JUNK);
    frame
}

/// The frame with 802.1Q tags in front of its ethertype, outermost first: `(TPID, TCI)`.
pub fn tagged(frame: &[u8], tags: &[(u16, u16)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(frame.len() + 4 * tags.len());
    out.put_slice(&frame[..12]);
    for (tpid, tci) in tags {
        out.put_u16(*tpid);
        out.put_u16(*tci);
    }
    out.put_slice(&frame[12..]);
    out
}
