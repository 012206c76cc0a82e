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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv4_is_what_the_driver_accepts() {
        let payload = 60;
        for vihl in 0..=255_u8 {
            for total in 0..=payload + 2 {
                let mut bytes = vec![0; ETH_LEN + payload];
                bytes[12] = 8;
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

    /// A frame with this `EtherType` whose first byte behind it, and lengths, are those of a version of IP.
    fn of_type(ethertype: u16, version: u8) -> [u8; IPV6_FRAME_LEN] {
        let mut bytes = [0; IPV6_FRAME_LEN];
        bytes[12..14].copy_from_slice(&ethertype.to_be_bytes());
        bytes[14] = version;
        if version == 0x45 {
            bytes[17] = 40;
        }
        bytes
    }

    #[test]
    fn a_packet_is_of_its_frames_ethertype() {
        for ethertype in 0..=u16::MAX {
            let bytes = of_type(ethertype, 0x45);
            let reason = parse_ipv4(Frame::from(&bytes[..]), bytes.len()).err();
            let expected = (ethertype != ETH_P_IP).then_some(Reason::EtherType);
            assert_eq!(reason, expected, "IPv4 in {ethertype:#06x}");
            let bytes = of_type(ethertype, 0x60);
            let reason = parse_ipv6(Frame::from(&bytes[..]), bytes.len()).err();
            let expected = (ethertype != ETH_P_IPV6).then_some(Reason::EtherType);
            assert_eq!(reason, expected, "IPv6 in {ethertype:#06x}");
        }
    }

    #[test]
    fn ipv4_counts_what_is_not_linear() {
        let mut bytes = [0; IPV4_FRAME_LEN];
        bytes[12] = 8;
        bytes[14] = 0x45;
        bytes[16..18].copy_from_slice(&1500_u16.to_be_bytes());
        let frame = Frame::from(&bytes[..]);
        assert!(parse_ipv4(frame, ETH_LEN + 1500).is_ok());
        assert_eq!(parse_ipv4(frame, ETH_LEN + 1499), Err(Reason::Malformed));
    }

    #[test]
    fn total_length_of_zero_is_that_of_a_segment_too_long_for_the_field() {
        let mut bytes = [0; IPV4_FRAME_LEN];
        bytes[12] = 8;
        bytes[ETH_LEN] = 0x45;
        let parse = |frame_len| parse_ipv4(Frame::from(&bytes[..]), frame_len).is_ok();
        assert!(parse(ETH_LEN + 65_536));
        assert!(parse(ETH_LEN + 180_000));
        assert!(!parse(ETH_LEN + 65_535));
        assert!(!parse(IPV4_FRAME_LEN));
    }

    #[test]
    fn ipv6_is_version_6_and_no_longer_than_its_frame() {
        let mut bytes = [0; IPV6_FRAME_LEN];
        bytes[12..14].copy_from_slice(&ETH_P_IPV6.to_be_bytes());
        bytes[22..38].copy_from_slice(&[1; 16]);
        bytes[38..54].copy_from_slice(&[2; 16]);
        for version in 0..=255 {
            bytes[14] = version;
            for payload_len in [0, 1, 8, 9, u16::MAX] {
                bytes[18..20].copy_from_slice(&payload_len.to_be_bytes());
                for behind in [0, 8, usize::from(u16::MAX)] {
                    let parsed = parse_ipv6(Frame::from(&bytes[..]), bytes.len() + behind);
                    let valid = version >> 4 == 6 && usize::from(payload_len) <= behind;
                    let expected = valid.then_some((Ip6::new([1; 16]), Ip6::new([2; 16])));
                    assert_eq!(parsed.ok().map(|ip| (ip.src, ip.dst)), expected);
                }
            }
        }
        bytes[14] = 0x60;
        for len in 0..bytes.len() {
            assert!(parse_ipv6(Frame::from(&bytes[..len]), 2_000).is_err());
        }
    }
}
