//! IPv4 and IPv6 headers: where a packet comes from and goes to.

use core::mem::offset_of;

use ipvlan_common::Reason;
use network_types::ip::{Ipv4Hdr, Ipv6Hdr};

use super::{ETH_P_IP, ETH_P_IPV6, check_ethertype};
use crate::wire::{ETH_LEN, Frame, Ip6, Mac};

/// Length of an IPv4 header without options, with its Ethernet header.
pub const IPV4_FRAME_LEN: usize = ETH_LEN + Ipv4Hdr::LEN;
/// Length of an IPv6 header with its Ethernet header.
pub const IPV6_FRAME_LEN: usize = ETH_LEN + Ipv6Hdr::LEN;

/// An IP packet, and where its frame goes. `A` is the address of its family, in network byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ip<A> {
    /// Destination of the frame.
    pub eth_dst: Mac,
    /// Source of the frame.
    pub eth_src: Mac,
    /// Source address.
    pub src: A,
    /// Destination address.
    pub dst: A,
}

/// Parses a frame whose ethertype is IPv4 and whose length, with the part that is not linear, is
/// `frame_len`.
///
/// Accepts what `ipvlan_get_L3_hdr` of the driver accepts, so that we never deliver what it would
/// not. Fragments and options make no difference: delivery is by destination alone.
///
/// # Errors
///
/// [`Reason::EtherType`] if the frame has another one, [`Reason::Malformed`] for everything else.
#[inline(always)]
pub fn parse_ipv4(frame: Frame<'_>, frame_len: usize) -> Result<Ip<[u8; 4]>, Reason> {
    const VIHL: usize = ETH_LEN + offset_of!(Ipv4Hdr, vihl);
    const TOT_LEN: usize = ETH_LEN + offset_of!(Ipv4Hdr, tot_len);
    const SRC: usize = ETH_LEN + offset_of!(Ipv4Hdr, src_addr);
    const DST: usize = ETH_LEN + offset_of!(Ipv4Hdr, dst_addr);

    let Some(header) = frame.header::<IPV4_FRAME_LEN>() else {
        return Err(Reason::Malformed);
    };
    check_ethertype(header, ETH_P_IP)?;
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
    Ok(Ip {
        eth_dst: header.mac::<0>(),
        eth_src: header.mac::<6>(),
        src: header.ipv4::<SRC>(),
        dst: header.ipv4::<DST>(),
    })
}

/// Parses a frame whose ethertype is IPv6 and whose length, with the part that is not linear, is
/// `frame_len`.
///
/// Accepts what `ipvlan_get_L3_hdr` of the driver and `ip6_rcv_core` of the kernel accept. A payload
/// length of 0 is that of a jumbogram, or of a segment to be cut up that is longer than the field can
/// say (BIG TCP). Extension headers and fragments make no difference.
///
/// # Errors
///
/// [`Reason::EtherType`] if the frame has another one, [`Reason::Malformed`] for everything else.
#[inline(always)]
pub fn parse_ipv6(frame: Frame<'_>, frame_len: usize) -> Result<Ip<Ip6>, Reason> {
    const VERSION: usize = ETH_LEN;
    const PAYLOAD_LEN: usize = ETH_LEN + offset_of!(Ipv6Hdr, payload_len);
    const SRC: usize = ETH_LEN + offset_of!(Ipv6Hdr, src_addr);
    const DST: usize = ETH_LEN + offset_of!(Ipv6Hdr, dst_addr);

    let Some(header) = frame.header::<IPV6_FRAME_LEN>() else {
        return Err(Reason::Malformed);
    };
    check_ethertype(header, ETH_P_IPV6)?;
    let payload_len = usize::from(header.u16::<PAYLOAD_LEN>());
    if header.u8::<VERSION>() >> 4 != 6 || frame_len < IPV6_FRAME_LEN + payload_len {
        return Err(Reason::Malformed);
    }
    Ok(Ip {
        eth_dst: header.mac::<0>(),
        eth_src: header.mac::<6>(),
        src: header.ipv6::<SRC>(),
        dst: header.ipv6::<DST>(),
    })
}
