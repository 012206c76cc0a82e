//! Bytes of a frame → its fields. Touches no map and writes nothing.

mod arp;
pub mod dhcp;
mod ip;
mod nd;

use ipvlan_common::Reason;

pub use self::{
    arp::{ARP_FRAME_LEN, ARP_LENGTHS, ARPHRD_ETHER, ARPOP_REPLY, ARPOP_REQUEST, Arp, parse_arp},
    ip::{IPV4_FRAME_LEN, IPV6_FRAME_LEN, Ip, parse_ipv4, parse_ipv6},
    nd::{
        Asked, BAD, CLASSIFY_LEN, Loaded, ND_FRAME_LEN, ND_START, Nd, NdClass, NdHeader, NdKind,
        OPTION_TARGET_LINK_LAYER, classify_nd, link_layer, parse_asked, parse_nd, parse_nd_header,
        parse_short_nd, short_message,
    },
};
use crate::wire::{ETH_LEN, Frame, Header};

/// Where the `EtherType` of a frame without a tag is.
pub(crate) const ETHERTYPE: usize = 12;

/// Ethertype of ARP.
pub const ETH_P_ARP: u16 = 0x0806;
/// Ethertype of IPv4.
pub const ETH_P_IP: u16 = 0x0800;
/// Ethertype of IPv6.
pub const ETH_P_IPV6: u16 = 0x86dd;

/// Checks that a frame has the `EtherType` that the kernel keeps beside it.
///
/// A packet socket names any protocol for what it sends, and the receiving side reads the one in the frame again
/// (`eth_type_trans`): it may see another message there.
#[inline(always)]
fn check_ethertype<const LEN: usize>(
    header: Header<'_, LEN>,
    ethertype: u16,
) -> Result<(), Reason> {
    if header.u16::<ETHERTYPE>() == ethertype {
        Ok(())
    } else {
        Err(Reason::EtherType)
    }
}

/// Whether a frame goes to the MAC it comes from: what the host sends to a child, since its
/// neighbour entry for a child is the parent's own MAC. Nothing else on the parent's egress does.
#[must_use]
#[inline(always)]
pub fn is_to_own_mac(frame: Frame<'_>) -> bool {
    // The last four bytes first: they differ where anything does, and the verdict on most frames is made.
    frame.header::<ETH_LEN>().is_some_and(|header| {
        header.u32::<2>() == header.u32::<8>() && header.u16::<0>() == header.u16::<6>()
    })
}

/// Whether a frame goes to every station.
#[must_use]
#[inline(always)]
pub fn is_broadcast(frame: Frame<'_>) -> bool {
    // The last four bytes first, which `is_to_own_mac` has loaded.
    frame
        .header::<ETH_LEN>()
        .is_some_and(|header| header.u32::<2>() == u32::MAX && header.u16::<0>() == u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

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

    /// A frame of zeros with this `EtherType`, and this first byte and length behind it.
    fn packet(ethertype: u16, version: u8, length_at: usize, length: u16) -> [u8; 100] {
        let mut bytes = [0; 100];
        bytes[12..14].copy_from_slice(&ethertype.to_be_bytes());
        bytes[14] = version;
        bytes[length_at..][..2].copy_from_slice(&length.to_be_bytes());
        bytes
    }

    /// A packet socket names any protocol for what it sends; the reference model has no such frame.
    #[test]
    fn a_message_is_of_its_frames_ethertype() {
        type Parse = fn(&[u8]) -> Option<Reason>;
        let rows: [(u16, Parse); 4] = [
            (ETH_P_ARP, |bytes| parse_arp(Frame::from(bytes)).err()),
            (ETH_P_IP, |bytes| parse_ipv4(Frame::from(bytes), 100).err()),
            (ETH_P_IPV6, |bytes| {
                parse_ipv6(Frame::from(bytes), 100).err()
            }),
            (ETH_P_IPV6, |bytes| {
                parse_nd_header(Frame::from(bytes), 100).err()
            }),
        ];
        for (own, parse) in rows {
            for ethertype in 0..=u16::MAX {
                let reason = parse(&packet(ethertype, 0, 16, 0));
                let is_other = reason == Some(Reason::EtherType);
                assert_eq!(is_other, ethertype != own, "{ethertype:#06x} as {own:#06x}");
            }
        }
    }

    /// A frame in one piece has all its bytes, which is why the reference model does not have these.
    #[test]
    fn the_length_of_a_packet_is_compared_with_all_of_its_frame() {
        let v4 = |total_len, frame_len| {
            let bytes = packet(ETH_P_IP, 0x45, 16, total_len);
            parse_ipv4(Frame::from(&bytes[..]), frame_len).is_ok()
        };
        let v6 = |payload_len, frame_len| {
            let bytes = packet(ETH_P_IPV6, 0x60, 18, payload_len);
            parse_ipv6(Frame::from(&bytes[..]), frame_len).is_ok()
        };
        // A total length of zero is that of a segment too long for the field.
        for (total_len, behind_ethernet, expected) in [
            (1500, 1500, true),
            (1500, 1499, false),
            (0, 65_536, true),
            (0, 180_000, true),
            (0, 65_535, false),
            (0, 20, false),
            (10, 65_536, false),
        ] {
            let found = v4(total_len, ETH_LEN + behind_ethernet);
            assert_eq!(found, expected, "{total_len} of {behind_ethernet}");
        }
        for (payload_len, behind_header, expected) in [
            (1460, 1460, true),
            (1460, 1459, false),
            (u16::MAX, 65_535, true),
            (0, 180_000, true),
        ] {
            let found = v6(payload_len, IPV6_FRAME_LEN + behind_header);
            assert_eq!(found, expected, "{payload_len} of {behind_header}");
        }
    }
}
