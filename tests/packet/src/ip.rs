//! IP packets of both families, extension headers, and the offsets of their fields in a frame.

use std::net::{IpAddr, Ipv6Addr};

use etherparse::{IpNumber, Ipv4Header, Ipv4Options, Ipv6FlowLabel, Ipv6Header};

use crate::{IPV4, IPV6, Mac, checksum, ethernet, patched};

/// Offsets of fields of an IPv4 header.
pub mod v4 {
    /// Length of a frame with a header without options.
    pub const LEN: usize = 34;
    /// Offset of the version and the length of the header.
    pub const VERSION_IHL: usize = 14;
    /// Offset of the total length.
    pub const TOTAL_LEN: usize = 16;
    /// Offset of the flags and the fragment offset.
    pub const FRAGMENT: usize = 20;
    /// Offset of the header's checksum.
    pub const CHECKSUM: usize = 24;
    /// Offset of the source address.
    pub const SRC: usize = 26;
    /// Offset of the destination address.
    pub const DST: usize = 30;
}

/// Offsets of fields of an IPv6 header.
pub mod v6 {
    /// Length of a frame with a header.
    pub const LEN: usize = 54;
    /// Offset of the version.
    pub const VERSION: usize = 14;
    /// Offset of the length of what is behind the header.
    pub const PAYLOAD_LEN: usize = 18;
    /// Offset of the next header.
    pub const NEXT_HEADER: usize = 20;
    /// Offset of the hop limit.
    pub const HOP_LIMIT: usize = 21;
    /// Offset of the source address.
    pub const SRC: usize = 22;
    /// Offset of the destination address.
    pub const DST: usize = 38;
}

/// Numbers of protocols and extension headers (RFC 8200 §4).
pub mod number {
    /// Hop-by-hop options.
    pub const HOP_BY_HOP: u8 = 0;
    /// UDP.
    pub const UDP: u8 = 17;
    /// A routing header.
    pub const ROUTING: u8 = 43;
    /// A fragment header.
    pub const FRAGMENT: u8 = 44;
    /// An authentication header.
    pub const AUTHENTICATION: u8 = 51;
    /// `ICMPv6`.
    pub const ICMPV6: u8 = 58;
    /// No next header.
    pub const NOTHING: u8 = 59;
    /// Destination options.
    pub const DESTINATION: u8 = 60;
}

/// A packet of the family of its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IpPacket {
    /// Destination of the frame.
    pub eth_dst: Mac,
    /// Source of the frame.
    pub eth_src: Mac,
    /// Source address.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// Hop limit, or time to live.
    pub hop_limit: u8,
    /// What the payload is.
    pub protocol: u8,
    /// Flags and fragment offset of an IPv4 packet, as they are on the wire.
    pub fragment: u16,
    /// Words of options of an IPv4 packet, all of them for padding.
    pub option_words: usize,
    /// Everything behind the header.
    pub payload: Vec<u8>,
}

impl IpPacket {
    /// Returns a UDP packet with 16 bytes behind its header, sent to the MAC `eth_dst`.
    pub fn udp(
        [eth_dst, eth_src]: [Mac; 2],
        src: impl Into<IpAddr>,
        dst: impl Into<IpAddr>,
    ) -> Self {
        let mut payload = vec![0x5a; 24];
        payload[4..8].copy_from_slice(&[0, 24, 0, 0]);
        Self {
            eth_dst,
            eth_src,
            src: src.into(),
            dst: dst.into(),
            hop_limit: 64,
            protocol: number::UDP,
            fragment: 0,
            option_words: 0,
            payload,
        }
    }

    /// Returns a packet with an `ICMPv6` message that crosses no router. Writes its checksum.
    pub fn icmpv6(
        [eth_dst, eth_src]: [Mac; 2],
        src: Ipv6Addr,
        dst: Ipv6Addr,
        message: Vec<u8>,
    ) -> Self {
        let sum = checksum::icmpv6(src, dst, &message);
        Self {
            hop_limit: 255,
            protocol: number::ICMPV6,
            payload: patched(message, 2, &sum),
            ..Self::udp([eth_dst, eth_src], src, dst)
        }
    }

    /// Returns the same packet from this address.
    pub fn with_src(self, src: impl Into<IpAddr>) -> Self {
        let src = src.into();
        Self { src, ..self }
    }

    /// Returns the same packet in a frame to this MAC.
    pub fn to(self, eth_dst: Mac) -> Self {
        Self { eth_dst, ..self }
    }

    /// Returns the frame.
    pub fn frame(&self) -> Vec<u8> {
        let len = u16::try_from(self.payload.len()).expect("a payload that fits a packet");
        let (ether_type, header) = match (self.src, self.dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                let protocol = IpNumber(self.protocol);
                let mut header =
                    Ipv4Header::new(len, self.hop_limit, protocol, src.octets(), dst.octets())
                        .expect("a payload that fits a packet");
                header.dont_fragment = false;
                header.options = Ipv4Options::try_from(&vec![1; self.option_words * 4][..])
                    .expect("at most 40 bytes of options");
                header
                    .set_payload_len(self.payload.len())
                    .expect("a payload that fits a packet");
                (IPV4, header.to_bytes().to_vec())
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                let header = Ipv6Header {
                    traffic_class: 0,
                    flow_label: Ipv6FlowLabel::ZERO,
                    payload_length: len,
                    next_header: IpNumber(self.protocol),
                    hop_limit: self.hop_limit,
                    source: src.octets(),
                    destination: dst.octets(),
                };
                (IPV6, header.to_bytes().to_vec())
            }
            (src, dst) => panic!("{src} and {dst} are of two families"),
        };
        let ethernet = ethernet(self.eth_dst, self.eth_src, ether_type);
        let frame = [&ethernet[..], &header, &self.payload].concat();
        if ether_type == IPV6 {
            return frame;
        }
        checksummed(patched(frame, v4::FRAGMENT, &self.fragment.to_be_bytes()))
    }
}

/// Returns the frame of an IPv4 packet with the right checksum in its header.
fn checksummed(frame: Vec<u8>) -> Vec<u8> {
    let header = v4::VERSION_IHL..v4::VERSION_IHL + usize::from(frame[v4::VERSION_IHL] & 15) * 4;
    let frame = patched(frame, v4::CHECKSUM, &[0; 2]);
    let sum = checksum::internet(&frame[header]);
    patched(frame, v4::CHECKSUM, &sum)
}

/// Returns the frame of an IPv6 packet with an extension header of 8 bytes behind its header.
///
/// Options are filled with `PadN`, a routing header has no segments left, a fragment is the first and not the last.
pub fn extended(frame: &[u8], number: u8) -> Vec<u8> {
    let tail = match number {
        number::ROUTING => [0; 6],
        number::FRAGMENT => [0, 1, 0, 0, 0, 9],
        _ => [1, 4, 0, 0, 0, 0],
    };
    let len = u16::from_be_bytes([frame[v6::PAYLOAD_LEN], frame[v6::PAYLOAD_LEN + 1]]);
    let (header, behind) = frame.split_at(v6::LEN);
    let extension = [&[header[v6::NEXT_HEADER], 0][..], &tail].concat();
    let frame = [header, &extension, behind].concat();
    let frame = patched(frame, v6::PAYLOAD_LEN, &len.wrapping_add(8).to_be_bytes());
    patched(frame, v6::NEXT_HEADER, &[number])
}

#[cfg(test)]
mod tests {
    use etherparse::{NetSlice, SlicedPacket};

    use super::*;

    #[test]
    fn packets_of_both_families_are_valid() {
        let macs = [[2; 6], [4; 6]];
        let v4 = IpPacket {
            option_words: 2,
            fragment: 0x4000,
            ..IpPacket::udp(macs, [10, 0, 0, 1], [10, 0, 0, 2])
        };
        let v6 = IpPacket::udp(macs, Ipv6Addr::LOCALHOST, Ipv6Addr::UNSPECIFIED);
        for packet in [v4, v6.clone()] {
            let frame = packet.frame();
            let sliced = SlicedPacket::from_ethernet(&frame).unwrap();
            match sliced.net.unwrap() {
                NetSlice::Ipv4(slice) => {
                    let header = slice.header();
                    assert_eq!((header.ihl(), header.dont_fragment()), (7, true));
                    let header = header.to_header();
                    assert_eq!(header.header_checksum, header.calc_header_checksum());
                }
                NetSlice::Ipv6(slice) => assert_eq!(slice.header().payload_length(), 24),
                NetSlice::Arp(slice) => panic!("{slice:?}"),
            }
        }
        let extended = extended(&v6.frame(), number::HOP_BY_HOP);
        let sliced = SlicedPacket::from_ethernet(&extended).unwrap();
        assert!(sliced.transport.is_some());
    }
}
