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
}
