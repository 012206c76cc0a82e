//! IPv6 packets, extension headers, and the offsets of their fields.

use bytes::BufMut as _;
use etherparse::{IpNumber, Ipv6FlowLabel, Ipv6Header};

use super::{
    super::world::{HOST_IP6, Ip6, LAN, LAN_IP6, Mac, PARENT},
    ethernet, patched,
};

/// Length of a header with its Ethernet header.
pub const LEN: usize = 54;

pub const VERSION: usize = 14;
pub const PAYLOAD_LEN: usize = 18;
pub const NEXT_HEADER: usize = 20;
pub const HOP_LIMIT: usize = 21;
pub const SRC: usize = 22;
pub const DST: usize = 38;

/// Numbers of extension headers (RFC 8200 §4), and of what is none.
pub mod next_header {
    pub const HOP_BY_HOP: u8 = 0;
    pub const UDP: u8 = 17;
    pub const ROUTING: u8 = 43;
    pub const FRAGMENT: u8 = 44;
    pub const AUTHENTICATION: u8 = 51;
    pub const ICMPV6: u8 = 58;
    pub const DESTINATION: u8 = 60;
}

/// A packet that is not about neighbours.
#[derive(Clone, Debug)]
pub struct Ipv6 {
    pub eth_src: Mac,
    pub eth_dst: Mac,
    pub src: Ip6,
    pub dst: Ip6,
    pub next_header: u8,
    pub payload: Vec<u8>,
}

impl Ipv6 {
    /// What the host sends to a child: its neighbour entry for the child is the parent's own MAC.
    pub fn from_host(dst: Ip6) -> Self {
        Self {
            eth_src: PARENT,
            eth_dst: PARENT,
            src: HOST_IP6,
            dst,
            next_header: next_header::UDP,
            payload: vec![0x5a; 24],
        }
    }

    /// What a LAN host sends to a child.
    pub fn from_lan(dst: Ip6) -> Self {
        Self {
            eth_src: LAN,
            src: LAN_IP6,
            ..Self::from_host(dst)
        }
    }

    pub fn frame(&self) -> Vec<u8> {
        let header = Ipv6Header {
            traffic_class: 0,
            flow_label: Ipv6FlowLabel::ZERO,
            payload_length: u16::try_from(self.payload.len()).expect("short payload"),
            next_header: IpNumber(self.next_header),
            hop_limit: 64,
            source: self.src,
            destination: self.dst,
        };
        let mut frame = ethernet(self.eth_src, self.eth_dst, 0x86dd);
        frame.put_slice(&header.to_bytes());
        frame.put_slice(&self.payload);
        frame
    }
}

/// The packet with an extension header of 8 bytes behind its IPv6 header.
///
/// Options are filled with `PadN`, a routing header has no segments left, a fragment is the first
/// and not the last.
pub fn extended(frame: &[u8], number: u8) -> Vec<u8> {
    let tail = match number {
        next_header::ROUTING => [0; 6],
        next_header::FRAGMENT => [0, 1, 0, 0, 0, 9],
        _ => [1, 4, 0, 0, 0, 0],
    };
    let payload_len = u16::from_be_bytes([frame[PAYLOAD_LEN], frame[PAYLOAD_LEN + 1]]);
    let mut out = frame[..LEN].to_vec();
    out.put_slice(&[frame[NEXT_HEADER], 0]);
    out.put_slice(&tail);
    out.put_slice(&frame[LEN..]);
    let out = patched(out, PAYLOAD_LEN, &payload_len.wrapping_add(8).to_be_bytes());
    patched(out, NEXT_HEADER, &[number])
}
