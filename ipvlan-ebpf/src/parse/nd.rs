//! Neighbour solicitations and advertisements (RFC 4861 §4.3, §4.4).
//!
//! In three steps: [`classify_nd`] finds them among other IPv6, [`parse_nd_header`] checks what is at
//! fixed places, and the third the checksum and the options: [`parse_short_nd`] in place, if there is at
//! most one of eight bytes, as in nearly every message, or else [`parse_nd`], for which the hook copies
//! the whole message out of the frame.

mod message;
mod options;
use core::mem::offset_of;

use ipvlan_common::Reason;
use network_types::ip::Ipv6Hdr;

use self::options::FOUND;
pub use self::{
    message::{parse_nd, parse_short_nd, short_message},
    options::{BAD, Loaded, OPTION_TARGET_LINK_LAYER, link_layer},
};
use super::{ETH_P_IPV6, IPV6_FRAME_LEN, check_ethertype};
use crate::wire::{ETH_LEN, Frame, Ip6, Mac, message::ND_MAX};

/// Where the `ICMPv6` message starts in a frame without extension headers.
pub const ND_START: usize = IPV6_FRAME_LEN;
/// Length of a solicitation or advertisement without options.
const ND_LEN: usize = 24;
/// Length of a frame with one.
pub const ND_FRAME_LEN: usize = ND_START + ND_LEN;
/// Length of the part of a frame by which it is recognised.
pub const CLASSIFY_LEN: usize = ND_START + 1;
/// The same, behind an extension header of 8 bytes.
const BEHIND_EXTENSION_LEN: usize = CLASSIFY_LEN + 8;

const SRC: usize = ETH_LEN + offset_of!(Ipv6Hdr, src_addr);
const TARGET: usize = ND_START + 8;

/// Next header of `ICMPv6`.
const IPPROTO_ICMPV6: u8 = 58;
/// `ICMPv6` types.
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;

/// What an IPv6 frame looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NdClass {
    /// A neighbour solicitation or advertisement.
    Nd(NdKind),
    /// A solicitation behind an extension header, or in a fragment.
    BehindExtension,
    /// Anything else.
    Other,
}

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NdKind {
    /// Who has the target?
    Solicitation,
    /// The target is here.
    Advertisement,
}

/// Recognises neighbour discovery among other IPv6, by types alone.
#[must_use]
#[inline(always)]
pub fn classify_nd(frame: Frame<'_>) -> NdClass {
    const NEXT_HDR: usize = ETH_LEN + offset_of!(Ipv6Hdr, next_hdr);
    const HOP_BY_HOP: u8 = 0;
    const ROUTING: u8 = 43;
    const FRAGMENT: u8 = 44;
    const DESTINATION: u8 = 60;

    let Some(header) = frame.header::<CLASSIFY_LEN>() else {
        return NdClass::Other;
    };
    let next = header.u8::<NEXT_HDR>();
    if next == IPPROTO_ICMPV6 {
        return match header.u8::<ND_START>() {
            SOLICITATION => NdClass::Nd(NdKind::Solicitation),
            ADVERTISEMENT => NdClass::Nd(NdKind::Advertisement),
            _ => NdClass::Other,
        };
    }
    if !matches!(next, HOP_BY_HOP | ROUTING | FRAGMENT | DESTINATION) {
        return NdClass::Other;
    }
    match frame.header::<BEHIND_EXTENSION_LEN>() {
        Some(header)
            if header.u8::<ND_START>() == IPPROTO_ICMPV6
                // In a fragment header this byte is reserved.
                && (next == FRAGMENT || header.u8::<{ ND_START + 1 }>() == 0)
                && header.u8::<{ ND_START + 8 }>() == SOLICITATION =>
        {
            NdClass::BehindExtension
        }
        _ => NdClass::Other,
    }
}

/// What is at fixed places of a solicitation or advertisement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NdHeader {
    /// Destination of the frame.
    pub eth_dst: Mac,
    /// Source of the frame.
    pub eth_src: Mac,
    /// Source of the packet; `::` for duplicate address detection.
    pub src: Ip6,
    /// Destination of the packet.
    pub dst: Ip6,
    /// Whom it is about.
    pub target: Ip6,
    /// Length of the `ICMPv6` message, 24 to [`ND_MAX`].
    pub len: usize,
}

/// A solicitation or advertisement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nd {
    /// What is at fixed places.
    pub header: NdHeader,
    /// The link-layer address option: source of a solicitation, target of an advertisement.
    /// [`Mac::ZERO`] without one, and for one that says so: see [`Self::has_link_layer`].
    pub link_layer: Mac,
    /// Whether there is that option.
    pub has_link_layer: bool,
}

impl Nd {
    /// With what [`link_layer`] found.
    #[inline(always)]
    const fn new(header: NdHeader, found: u64) -> Self {
        Self {
            header,
            link_layer: Mac::from_low_bits(found),
            has_link_layer: found & FOUND != 0,
        }
    }

    /// The MAC that it asks from or claims: that of the option, or else the source of the frame.
    #[must_use]
    #[inline(always)]
    pub const fn mac(&self) -> Mac {
        if self.has_link_layer {
            self.link_layer
        } else {
            self.header.eth_src
        }
    }

    /// Duplicate address detection: a solicitation from `::` (RFC 4862 §5.4.2).
    #[must_use]
    #[inline(always)]
    pub fn is_dad(&self) -> bool {
        self.header.src == Ip6::UNSPECIFIED
    }
}

/// Who asks for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Source of the packet; `::` for duplicate address detection.
    pub src: Ip6,
    /// Whom it is about.
    pub target: Ip6,
}

/// Reads from a frame that was parsed who asks for whom.
#[must_use]
#[inline(always)]
pub fn parse_asked(frame: Frame<'_>) -> Option<Asked> {
    let header = frame.header::<ND_FRAME_LEN>()?;
    Some(Asked {
        src: header.ipv6::<SRC>(),
        target: header.ipv6::<TARGET>(),
    })
}

/// Checks what is at fixed places of a frame that was recognised and whose length, with the part that
/// is not linear, is `frame_len`. What follows the packet in its frame is ignored.
///
/// # Errors
///
/// [`Reason::EtherType`] if the frame has another one. What `ndisc_rcv` of the kernel would drop it for (RFC 4861 §7.1.1): [`Reason::Malformed`] if the
/// packet is no IPv6, longer than its frame or too short, [`Reason::HopLimit`], [`Reason::Code`];
/// [`Reason::TooLong`] if it is longer than we read.
#[inline(always)]
pub fn parse_nd_header(frame: Frame<'_>, frame_len: usize) -> Result<NdHeader, Reason> {
    const VERSION: usize = ETH_LEN;
    const PAYLOAD_LEN: usize = ETH_LEN + offset_of!(Ipv6Hdr, payload_len);
    const HOP_LIMIT: usize = ETH_LEN + offset_of!(Ipv6Hdr, hop_limit);
    const DST: usize = ETH_LEN + offset_of!(Ipv6Hdr, dst_addr);
    const CODE: usize = ND_START + 1;

    let Some(header) = frame.header::<ND_FRAME_LEN>() else {
        return Err(Reason::Malformed);
    };
    check_ethertype(header, ETH_P_IPV6)?;
    let len = usize::from(header.u16::<PAYLOAD_LEN>());
    if header.u8::<VERSION>() >> 4 != 6 || len < ND_LEN || frame_len < ND_START + len {
        return Err(Reason::Malformed);
    }
    if header.u8::<HOP_LIMIT>() != 255 {
        return Err(Reason::HopLimit);
    }
    if header.u8::<CODE>() != 0 {
        return Err(Reason::Code);
    }
    if len > ND_MAX {
        return Err(Reason::TooLong);
    }
    Ok(NdHeader {
        eth_dst: header.mac::<0>(),
        eth_src: header.mac::<6>(),
        src: header.ipv6::<SRC>(),
        dst: header.ipv6::<DST>(),
        target: header.ipv6::<TARGET>(),
        len,
    })
}
