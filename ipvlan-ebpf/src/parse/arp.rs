//! ARP (RFC 826).

use core::mem::offset_of;

use ipvlan_common::Reason;
use network_types::arp::ArpHdr;

use super::{ETH_P_ARP, ETH_P_IP, check_ethertype};
use crate::wire::{ETH_LEN, Frame, Mac};

/// Length of an ARP message for IPv4 over Ethernet with its Ethernet header (RFC 826).
pub const ARP_FRAME_LEN: usize = ETH_LEN + ArpHdr::LEN;

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
/// [`Reason::Malformed`] for a frame that is too short, [`Reason::EtherType`] if it has another one,
/// [`Reason::ArpHeader`] for everything else.
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
    check_ethertype(header, ETH_P_ARP)?;
    let htype = header.u16::<HTYPE>();
    if (htype != ARPHRD_ETHER && htype != ARPHRD_IEEE802)
        || header.u16::<PTYPE>() != ETH_P_IP
        || header.u16::<HLEN>() != ARP_LENGTHS
    {
        return Err(Reason::ArpHeader);
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
    fn a_message_is_of_its_frames_ethertype() {
        for ethertype in 0..=u16::MAX {
            let mut bytes = REQUEST;
            bytes[12..14].copy_from_slice(&ethertype.to_be_bytes());
            let reason = parse_arp(Frame::from(&bytes[..])).err();
            let expected = (ethertype != ETH_P_ARP).then_some(Reason::EtherType);
            assert_eq!(reason, expected, "{ethertype:#06x}");
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
                assert!(parsed.is_ok() || parsed == Err(Reason::ArpHeader));
            }
        }
    }
}
