//! Bytes → what they say. Looks nothing up, writes nothing.

use core::mem::offset_of;

use ipvlan_common::Reason;
use network_types::{arp::ArpHdr, ip::Ipv4Hdr};

use crate::frame::{ETH_LEN, Frame, Mac};

/// Length of an ARP message for IPv4 over Ethernet with its Ethernet header (RFC 826).
pub const ARP_FRAME_LEN: usize = ETH_LEN + ArpHdr::LEN;
/// Length of an IPv4 header without options, with its Ethernet header.
pub const IPV4_FRAME_LEN: usize = ETH_LEN + Ipv4Hdr::LEN;

/// Ethertype of ARP.
pub const ETH_P_ARP: u16 = 0x0806;
/// Ethertype of IPv4.
pub const ETH_P_IP: u16 = 0x0800;

/// `ar$hrd` of Ethernet.
pub const ARPHRD_ETHER: u16 = 1;
const ARPHRD_IEEE802: u16 = 6;

/// `ar$hln` and `ar$pln`: 6 and 4.
pub const ARP_LENGTHS: u16 = 0x0604;

/// `ar$op` of a request.
pub const ARPOP_REQUEST: u16 = 1;
/// `ar$op` of a reply.
pub const ARPOP_REPLY: u16 = 2;

/// An ARP message for IPv4 over Ethernet, and the MACs it travels between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arp {
    /// Destination of the frame.
    pub eth_dst: Mac,
    /// Source of the frame.
    pub eth_src: Mac,
    /// `ar$op`.
    pub oper: u16,
    /// Sender hardware address.
    pub sha: Mac,
    /// Sender protocol address.
    pub spa: [u8; 4],
    /// Target protocol address.
    pub tpa: [u8; 4],
}

/// Parses a frame whose ethertype is ARP.
///
/// Accepts what `arp_rcv` and `arp_process` of the kernel accept on Ethernet: hardware type 1 or 6,
/// protocol type IPv4, lengths 6 and 4.
///
/// # Errors
///
/// [`Reason::Malformed`] for everything else.
#[inline(always)]
pub fn parse_arp(frame: Frame<'_>) -> Result<Arp, Reason> {
    const HTYPE: usize = ETH_LEN + offset_of!(ArpHdr, htype);
    const PTYPE: usize = ETH_LEN + offset_of!(ArpHdr, ptype);
    const HLEN: usize = ETH_LEN + offset_of!(ArpHdr, hlen);
    const OPER: usize = ETH_LEN + offset_of!(ArpHdr, oper);
    const SHA: usize = ETH_LEN + offset_of!(ArpHdr, sha);
    const SPA: usize = ETH_LEN + offset_of!(ArpHdr, spa);
    const TPA: usize = ETH_LEN + offset_of!(ArpHdr, tpa);

    let Some(header) = frame.header::<ARP_FRAME_LEN>() else {
        return Err(Reason::Malformed);
    };
    let htype = header.u16::<HTYPE>();
    if (htype != ARPHRD_ETHER && htype != ARPHRD_IEEE802)
        || header.u16::<PTYPE>() != ETH_P_IP
        || header.u16::<HLEN>() != ARP_LENGTHS
    {
        return Err(Reason::Malformed);
    }
    Ok(Arp {
        eth_dst: header.mac::<0>(),
        eth_src: header.mac::<6>(),
        oper: header.u16::<OPER>(),
        sha: header.mac::<SHA>(),
        spa: header.ipv4::<SPA>(),
        tpa: header.ipv4::<TPA>(),
    })
}

/// An IPv4 packet, and where its frame goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv4 {
    /// Destination of the frame.
    pub eth_dst: Mac,
    /// Source address.
    pub src: [u8; 4],
    /// Destination address.
    pub dst: [u8; 4],
}

/// Parses a frame whose ethertype is IPv4 and whose length, with the part that is not linear, is
/// `frame_len`.
///
/// Accepts what `ipvlan_get_L3_hdr` of the driver accepts, so that we never deliver what it would
/// not. Fragments and options make no difference: delivery is by destination alone.
///
/// # Errors
///
/// [`Reason::Malformed`] for everything else.
#[inline(always)]
pub fn parse_ipv4(frame: Frame<'_>, frame_len: usize) -> Result<Ipv4, Reason> {
    const VIHL: usize = ETH_LEN + offset_of!(Ipv4Hdr, vihl);
    const TOT_LEN: usize = ETH_LEN + offset_of!(Ipv4Hdr, tot_len);
    const SRC: usize = ETH_LEN + offset_of!(Ipv4Hdr, src_addr);
    const DST: usize = ETH_LEN + offset_of!(Ipv4Hdr, dst_addr);

    let Some(header) = frame.header::<IPV4_FRAME_LEN>() else {
        return Err(Reason::Malformed);
    };
    let vihl = header.u8::<VIHL>();
    let header_len = usize::from(vihl & 0x0f) * 4;
    let mut total_len = usize::from(header.u16::<TOT_LEN>());
    // A segment to be cut up (GSO) that is longer than the field can say (`iph_totlen`, BIG TCP).
    if total_len == 0 && frame_len > ETH_LEN + usize::from(u16::MAX) {
        total_len = frame_len - ETH_LEN;
    }
    if vihl >> 4 != 4
        || header_len < Ipv4Hdr::LEN
        || total_len < header_len
        || frame_len < ETH_LEN + total_len
    {
        return Err(Reason::Malformed);
    }
    Ok(Ipv4 {
        eth_dst: header.mac::<0>(),
        src: header.ipv4::<SRC>(),
        dst: header.ipv4::<DST>(),
    })
}

/// Whether a frame goes to the MAC it comes from: what the host sends to a child, since its
/// neighbour entry for a child is the parent's own MAC. Nothing else on the parent's egress does.
#[must_use]
#[inline(always)]
pub fn is_to_own_mac(frame: Frame<'_>) -> bool {
    frame
        .header::<ETH_LEN>()
        .is_some_and(|header| header.mac::<0>() == header.mac::<6>())
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: [u8; ARP_FRAME_LEN] = [
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 8, 6, // Ethernet
        0, 1, 8, 0, 6, 4, 0, 1, // Ethernet, IPv4, request
        2, 0, 0, 0, 0, 2, 10, 0, 0, 1, // sender
        0, 0, 0, 0, 0, 0, 10, 0, 0, 2, // target
    ];

    #[test]
    fn arp_fields_come_from_where_rfc_826_puts_them() {
        let arp = parse_arp(Frame::from(&REQUEST[..])).unwrap();
        assert_eq!(arp.eth_dst, Mac::BROADCAST);
        assert_eq!(arp.eth_src, Mac::new([2, 0, 0, 0, 0, 1]));
        assert_eq!(arp.oper, ARPOP_REQUEST);
        assert_eq!(arp.sha, Mac::new([2, 0, 0, 0, 0, 2]));
        assert_eq!((arp.spa, arp.tpa), ([10, 0, 0, 1], [10, 0, 0, 2]));
    }

    #[test]
    fn no_prefix_of_an_arp_frame_is_one() {
        for len in 0..ARP_FRAME_LEN {
            let frame = Frame::from(&REQUEST[..len]);
            assert_eq!(parse_arp(frame), Err(Reason::Malformed), "{len} bytes");
        }
    }

    #[test]
    fn arp_is_for_ipv4_over_ethernet_whatever_else_the_header_says() {
        for (at, good) in [
            (14, &[0][..]),
            (15, &[1, 6]),
            (16, &[8]),
            (17, &[0]),
            (18, &[6]),
            (19, &[4]),
        ] {
            for value in 0..=255 {
                let mut bytes = REQUEST;
                bytes[at] = value;
                let parsed = parse_arp(Frame::from(&bytes[..]));
                assert_eq!(parsed.is_ok(), good.contains(&value), "{value} at {at}");
            }
        }
    }

    #[test]
    fn ipv4_is_what_the_driver_accepts() {
        let payload = 60;
        for vihl in 0..=255_u8 {
            for total in 0..=payload + 2 {
                let mut bytes = vec![0; ETH_LEN + payload];
                bytes[14] = vihl;
                let total_len = u16::try_from(total).unwrap();
                bytes[16..18].copy_from_slice(&total_len.to_be_bytes());
                let header = usize::from(vihl & 15) * 4;
                // `ipvlan_get_L3_hdr`: version 4, ihl >= 5, ihl * 4 <= total length <= packet.
                let valid = vihl >> 4 == 4 && header >= 20 && header <= total && total <= payload;
                let parsed = parse_ipv4(Frame::from(&bytes[..]), bytes.len());
                assert_eq!(
                    parsed.is_ok(),
                    valid,
                    "vihl {vihl:#x}, total length {total}"
                );
            }
        }
    }

    #[test]
    fn ipv4_counts_what_is_not_linear() {
        let mut bytes = [0; IPV4_FRAME_LEN];
        bytes[14] = 0x45;
        bytes[16..18].copy_from_slice(&1500_u16.to_be_bytes());
        let frame = Frame::from(&bytes[..]);
        assert!(parse_ipv4(frame, ETH_LEN + 1500).is_ok());
        assert_eq!(parse_ipv4(frame, ETH_LEN + 1499), Err(Reason::Malformed));
    }

    #[test]
    fn total_length_of_zero_is_that_of_a_segment_too_long_for_the_field() {
        let mut bytes = [0; IPV4_FRAME_LEN];
        bytes[ETH_LEN] = 0x45;
        let parse = |frame_len| parse_ipv4(Frame::from(&bytes[..]), frame_len).is_ok();
        assert!(parse(ETH_LEN + 65_536));
        assert!(parse(ETH_LEN + 180_000));
        assert!(!parse(ETH_LEN + 65_535));
        assert!(!parse(IPV4_FRAME_LEN));
    }

    #[test]
    fn to_own_mac_needs_both_macs_alike_in_full() {
        let mut bytes = [7_u8; ETH_LEN];
        assert!(is_to_own_mac(Frame::from(&bytes[..])));
        for at in 0..12 {
            bytes[at] ^= 1;
            assert!(!is_to_own_mac(Frame::from(&bytes[..])), "byte {at}");
            bytes[at] ^= 1;
        }
        assert!(!is_to_own_mac(Frame::from(&bytes[..13])));
    }
}
