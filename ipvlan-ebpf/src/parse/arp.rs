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
