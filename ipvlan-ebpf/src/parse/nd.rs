//! Neighbour solicitations and advertisements (RFC 4861 §4.3, §4.4).
//!
//! In three steps: [`recognise_nd`] tells them from other IPv6, [`parse_nd_header`] checks what is at
//! fixed places, and the third the checksum and the options: [`parse_short_nd`] in place, if there is at
//! most one of eight bytes, as in nearly every message, or else [`parse_nd`], for which the hook copies
//! the whole message out of the frame.

use core::mem::offset_of;

use ipvlan_common::Reason;
use network_types::ip::Ipv6Hdr;

use super::IPV6_FRAME_LEN;
use crate::{
    checksum, forget,
    frame::{ETH_LEN, Frame, Ip6, Mac},
};

/// Where the `ICMPv6` message starts in a frame without extension headers.
pub const ND_START: usize = IPV6_FRAME_LEN;
/// Length of a solicitation or advertisement without options.
const ND_LEN: usize = 24;
/// Length of a frame with one.
pub const ND_FRAME_LEN: usize = ND_START + ND_LEN;
/// The longest message that is read, in bytes. The kernel has no such limit, but nothing that is seen
/// on a LAN comes near: link-layer address and nonce (RFC 7527) make 40, and the longest, a signed one
/// (SEND, RFC 3971), stays unanswered.
pub const ND_MAX: usize = 128;
/// Length of the part of a frame by which it is recognised.
pub const RECOGNISE_LEN: usize = ND_START + 1;
/// The same, behind an extension header of 8 bytes.
const BEHIND_EXTENSION_LEN: usize = RECOGNISE_LEN + 8;

/// Next header of `ICMPv6`.
const IPPROTO_ICMPV6: u8 = 58;
/// `ICMPv6` types.
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;

/// Option types (RFC 4861 §4.6).
const OPTION_SOURCE_LINK_LAYER: u8 = 1;
/// Type of the target link-layer address option.
pub const OPTION_TARGET_LINK_LAYER: u8 = 2;

/// What an IPv6 frame looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recognised {
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

/// Tells neighbour discovery from other IPv6, by types alone.
#[must_use]
#[inline(always)]
pub fn recognise_nd(frame: Frame<'_>) -> Recognised {
    const NEXT_HDR: usize = ETH_LEN + offset_of!(Ipv6Hdr, next_hdr);
    const HOP_BY_HOP: u8 = 0;
    const ROUTING: u8 = 43;
    const FRAGMENT: u8 = 44;
    const DESTINATION: u8 = 60;

    let Some(header) = frame.header::<RECOGNISE_LEN>() else {
        return Recognised::Other;
    };
    let next = header.u8::<NEXT_HDR>();
    if next == IPPROTO_ICMPV6 {
        return match header.u8::<ND_START>() {
            SOLICITATION => Recognised::Nd(NdKind::Solicitation),
            ADVERTISEMENT => Recognised::Nd(NdKind::Advertisement),
            _ => Recognised::Other,
        };
    }
    if !matches!(next, HOP_BY_HOP | ROUTING | FRAGMENT | DESTINATION) {
        return Recognised::Other;
    }
    match frame.header::<BEHIND_EXTENSION_LEN>() {
        Some(header)
            if header.u8::<ND_START>() == IPPROTO_ICMPV6
                // In a fragment header this byte is reserved.
                && (next == FRAGMENT || header.u8::<{ ND_START + 1 }>() == 0)
                && header.u8::<{ ND_START + 8 }>() == SOLICITATION =>
        {
            Recognised::BehindExtension
        }
        _ => Recognised::Other,
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

/// Checks what is at fixed places of a frame that was recognised and whose length, with the part that
/// is not linear, is `frame_len`. What follows the packet in its frame is ignored.
///
/// # Errors
///
/// What `ndisc_rcv` of the kernel would drop it for (RFC 4861 §7.1.1): [`Reason::Malformed`] if the
/// packet is no IPv6, longer than its frame or too short, [`Reason::HopLimit`], [`Reason::Code`];
/// [`Reason::TooLong`] if it is longer than we read.
#[inline(always)]
pub fn parse_nd_header(frame: Frame<'_>, frame_len: usize) -> Result<NdHeader, Reason> {
    const VERSION: usize = ETH_LEN;
    const PAYLOAD_LEN: usize = ETH_LEN + offset_of!(Ipv6Hdr, payload_len);
    const HOP_LIMIT: usize = ETH_LEN + offset_of!(Ipv6Hdr, hop_limit);
    const SRC: usize = ETH_LEN + offset_of!(Ipv6Hdr, src_addr);
    const DST: usize = ETH_LEN + offset_of!(Ipv6Hdr, dst_addr);
    const CODE: usize = ND_START + 1;
    const TARGET: usize = ND_START + 8;

    let Some(header) = frame.header::<ND_FRAME_LEN>() else {
        return Err(Reason::Malformed);
    };
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

/// A whole `ICMPv6` message, in units of the length of options: eight bytes, as they are on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Message(pub [u64; ND_MAX / 8]);

const _: () = assert!(size_of::<Message>() == ND_MAX);

/// A message with at most one option, of eight bytes; without one the last unit is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShortMessage([u64; SHORT_LEN / 8]);

/// Length of a message with an option of eight bytes.
const SHORT_LEN: usize = ND_LEN + 8;

/// The message at [`ND_START`] of a frame, which is `len` bytes long; `None` if it has other options, or
/// if not all of it is linear.
#[must_use]
#[inline(always)]
pub fn short_message(frame: Frame<'_>, len: usize) -> Option<ShortMessage> {
    const U1: usize = ND_START + 8;
    const U2: usize = ND_START + 16;
    const U3: usize = ND_START + 24;

    if len == SHORT_LEN {
        let header = frame.header::<{ ND_START + SHORT_LEN }>()?;
        return Some(ShortMessage([
            header.u64::<ND_START>(),
            header.u64::<U1>(),
            header.u64::<U2>(),
            header.u64::<U3>(),
        ]));
    }
    if len == ND_LEN {
        let header = frame.header::<ND_FRAME_LEN>()?;
        return Some(ShortMessage([
            header.u64::<ND_START>(),
            header.u64::<U1>(),
            header.u64::<U2>(),
            0,
        ]));
    }
    None
}

/// Checks the checksum and the option of a short message.
///
/// # Errors
///
/// As [`parse_nd`], which would say the same of it.
#[inline(always)]
pub fn parse_short_nd(header: NdHeader, kind: NdKind, message: ShortMessage) -> Result<Nd, Reason> {
    let [a, b, c, option] = message.0;
    let sum = [a, b, c, option].map(checksum::halves);
    let sum = sum[0] + sum[1] + sum[2] + sum[3];
    if !checksum::is_right(header.src, header.dst, header.len, sum) {
        return Err(Reason::Checksum);
    }
    let [option_kind, len, address @ ..] = option.to_ne_bytes();
    if header.len == ND_LEN {
        return Ok(Nd::new(header, 0));
    }
    if len != 1 {
        return Err(Reason::BadOption);
    }
    let is_wanted = is_zero(u64::from(option_kind ^ wanted(kind)));
    let found = (FOUND | Mac::new(address).low_bits()) & is_wanted.wrapping_neg();
    Ok(Nd::new(header, found))
}

/// The type of the link-layer address that counts.
#[inline(always)]
const fn wanted(kind: NdKind) -> u8 {
    match kind {
        NdKind::Solicitation => OPTION_SOURCE_LINK_LAYER,
        NdKind::Advertisement => OPTION_TARGET_LINK_LAYER,
    }
}

/// Checks the checksum and the options of a message, of which `message` holds the first `header.len`
/// bytes.
///
/// # Errors
///
/// [`Reason::Checksum`] (RFC 4443 §2.3); [`Reason::BadOption`] as `ndisc_parse_options` and
/// `ndisc_opt_addr_data` of the kernel have it: an option of length 0, one that does not fit, or a
/// link-layer address that is not an Ethernet one. Of several link-layer addresses the first counts,
/// and options of other types are not looked at.
#[inline(always)]
pub fn parse_nd(header: NdHeader, kind: NdKind, message: &Message) -> Result<Nd, Reason> {
    if !checksum::is_valid(header.src, header.dst, message, header.len) {
        return Err(Reason::Checksum);
    }
    if !header.len.is_multiple_of(8) {
        return Err(Reason::BadOption);
    }
    let found = link_layer(message, header.len / 8, wanted(kind));
    if found & BAD != 0 {
        return Err(Reason::BadOption);
    }
    Ok(Nd::new(header, found))
}

/// Set beside the MAC in what [`link_layer`] returns.
const FOUND: u64 = 1 << 48;
/// The options are not well-formed.
const BAD: u64 = 1 << 49;

/// Walks the options of a message of `units` times eight bytes, for the first of type `wanted`: its MAC
/// in the low bits and [`FOUND`] if there is one, and [`BAD`].
///
/// Looks at every unit in turn, whether an option starts there or not, and without a branch but the one
/// that ends it: every branch would double the ways that the verifier follows, and this way it keeps
/// one state for all of them.
#[inline(never)]
#[allow(clippy::cast_possible_truncation, reason = "places in a message")]
fn link_layer(message: &Message, units: usize, wanted: u8) -> u64 {
    const FIRST: usize = ND_LEN / 8;

    let any = message.0[0] as u32;
    let mut found = 0;
    let mut bad = 0;
    // Where the next option starts.
    let mut next = FIRST as u64;
    for at in FIRST..ND_MAX / 8 {
        if at >= units {
            break;
        }
        // Never a constant to the verifier: without `CAP_PERFMON` it wants the same kind of access in
        // every round.
        let place = forget(at as u32, any) as usize % (ND_MAX / 8);
        let [kind, len, address @ ..] = message.0[place].to_ne_bytes();
        let starts = is_zero(next ^ at as u64);
        let is_wanted = starts & is_zero(u64::from(kind ^ wanted)) & is_zero(found >> 48);
        found |= (FOUND | Mac::new(address).low_bits()) & is_wanted.wrapping_neg();
        bad |= is_wanted & (is_zero(u64::from(len ^ 1)) ^ 1);
        bad |= starts & is_zero(u64::from(len));
        next += u64::from(len) & starts.wrapping_neg();
    }
    bad |= is_zero(next ^ units as u64) ^ 1;
    found | bad << 49
}

/// 1 if `value`, below 2⁶³, is 0, and else 0.
#[inline(always)]
const fn is_zero(value: u64) -> u64 {
    value.wrapping_sub(1) >> 63
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `fe80::2` asks `ff02::1:ff00:1` who has `fe80::1`, without options; checksum left out.
    fn solicitation(options: &[u8]) -> Vec<u8> {
        let mut frame = vec![0x33, 0x33, 0xff, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x86, 0xdd];
        let len = u8::try_from(ND_LEN + options.len()).unwrap_or(u8::MAX);
        frame.extend([0x60, 0, 0, 0, 0, len, 58, 255]);
        frame.extend([0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
        frame.extend([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0, 1]);
        frame.extend([135, 0, 0, 0, 0, 0, 0, 0]);
        frame.extend([0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        frame.extend(options);
        frame
    }

    fn message(bytes: &[u8]) -> Message {
        // What an earlier, longer message may have left there.
        let mut padded = [0xa5; ND_MAX];
        padded[..bytes.len()].copy_from_slice(bytes);
        let mut message = Message([0; ND_MAX / 8]);
        for (unit, bytes) in message.0.iter_mut().zip(padded.chunks_exact(8)) {
            *unit = u64::from_ne_bytes(bytes.try_into().unwrap());
        }
        message
    }

    /// With the right checksum for its length, so that only options decide.
    fn options(options: &[u8]) -> Result<Option<Mac>, Reason> {
        let mut frame = solicitation(options);
        let mut bytes = frame[ND_START..].to_vec();
        let header = NdHeader {
            len: bytes.len(),
            ..parse_nd_header(Frame::from(&solicitation(&[])[..]), 78).unwrap()
        };
        let sum = checksum::pseudo_header(header.src, header.dst, bytes.len())
            + bytes
                .chunks(2)
                .map(|pair| u64::from(u16::from_ne_bytes([pair[0], *pair.get(1).unwrap_or(&0)])))
                .sum::<u64>();
        bytes[2..4].copy_from_slice(&(!checksum::fold(sum)).to_ne_bytes());
        let parsed = parse_nd(header, NdKind::Solicitation, &message(&bytes));
        frame[ND_START..].copy_from_slice(&bytes);
        let short = short_message(Frame::from(&frame[..]), header.len);
        assert_eq!(short.is_some(), matches!(options.len(), 0 | 8));
        if let Some(short) = short {
            assert_eq!(parse_short_nd(header, NdKind::Solicitation, short), parsed);
        }
        let nd = parsed?;
        Ok(nd.has_link_layer.then_some(nd.link_layer))
    }

    #[test]
    fn fields_come_from_where_rfc_4861_puts_them() {
        let frame = solicitation(&[]);
        let header = parse_nd_header(Frame::from(&frame[..]), frame.len()).unwrap();
        assert_eq!(header.eth_dst.bytes(), [0x33, 0x33, 0xff, 0, 0, 1]);
        assert_eq!(header.eth_src.bytes(), [2, 0, 0, 0, 0, 2]);
        assert_eq!(header.target.solicited_node(), header.dst);
        assert_eq!(header.src.bytes()[15], 2);
        assert_eq!(header.len, ND_LEN);
        assert_eq!(
            recognise_nd(Frame::from(&frame[..])),
            Recognised::Nd(NdKind::Solicitation)
        );
        for len in 0..frame.len() {
            let prefix = Frame::from(&frame[..len]);
            assert_eq!(parse_nd_header(prefix, len), Err(Reason::Malformed));
            assert_eq!(
                recognise_nd(prefix) == Recognised::Other,
                len < RECOGNISE_LEN
            );
        }
    }

    #[test]
    fn every_value_of_every_checked_byte() {
        type Good = fn(u8) -> bool;
        let good: [(usize, Good, Reason); 5] = [
            (14, |version| version >> 4 == 6, Reason::Malformed),
            (18, |len| len == 0, Reason::Malformed),
            (19, |len| len == 24, Reason::Malformed),
            (21, |hop_limit| hop_limit == 255, Reason::HopLimit),
            (55, |code| code == 0, Reason::Code),
        ];
        for (at, good, reason) in good {
            for value in 0..=u8::MAX {
                let mut frame = solicitation(&[]);
                frame[at] = value;
                let parsed = parse_nd_header(Frame::from(&frame[..]), frame.len());
                let expected = if good(value) { Ok(()) } else { Err(reason) };
                assert_eq!(parsed.map(drop), expected, "{value} at {at}");
            }
        }
    }

    #[test]
    fn options_are_those_the_kernel_accepts() {
        const MAC: [u8; 8] = [1, 1, 2, 0, 0, 0, 0, 2];
        const OTHER: [u8; 8] = [1, 1, 2, 0, 0, 0, 0, 3];
        const NONCE: [u8; 8] = [14, 1, 1, 2, 3, 4, 5, 6];
        let mac = Ok(Some(Mac::new([2, 0, 0, 0, 0, 2])));
        let bad = Err(Reason::BadOption);
        let long = [&[14, 12][..], &[0; 94], &MAC].concat();
        let rows: [(&[u8], _); 16] = [
            (&[], Ok(None)),
            (&MAC, mac),
            (&NONCE, Ok(None)),
            (&[NONCE, MAC].concat(), mac),
            (&[MAC, NONCE].concat(), mac),
            (&[MAC, OTHER].concat(), mac),
            (&[MAC, [1, 2, 0, 0, 0, 0, 0, 0], OTHER].concat(), mac),
            (&[1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], bad),
            (&[NONCE, [0; 8]].concat(), bad),
            (&[14, 2, 0, 0, 0, 0, 0, 0], bad),
            (&[14, 255, 0, 0, 0, 0, 0, 0], bad),
            (&[1, 0, 2, 0, 0, 0, 0, 2], bad),
            (&[2, 1, 2, 0, 0, 0, 0, 2], Ok(None)),
            (&MAC[..4], bad),
            (&long, mac),
            (&[MAC; 13].concat(), mac),
        ];
        for (bytes, expected) in rows {
            assert_eq!(options(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn what_is_too_long_to_read_is_told_apart() {
        let frame = solicitation(&[0; ND_MAX]);
        let mut frame = frame[..ND_START + ND_MAX + 8].to_vec();
        for (len, expected) in [(ND_MAX, Ok(())), (ND_MAX + 8, Err(Reason::TooLong))] {
            let bytes = u16::try_from(len).unwrap().to_be_bytes();
            frame[18..20].copy_from_slice(&bytes);
            let parsed = parse_nd_header(Frame::from(&frame[..]), frame.len());
            assert_eq!(parsed.map(drop), expected);
        }
    }

    #[test]
    fn a_wrong_checksum_is_found_wherever_the_bit_is() {
        // Checksum of the frame of `solicitation(&[])`.
        let frame = solicitation(&[]);
        let header = parse_nd_header(Frame::from(&frame[..]), frame.len()).unwrap();
        let mut bytes = frame[ND_START..].to_vec();
        let sum = checksum::pseudo_header(header.src, header.dst, bytes.len())
            + bytes
                .chunks_exact(2)
                .map(|pair| u64::from(u16::from_ne_bytes([pair[0], pair[1]])))
                .sum::<u64>();
        bytes[2..4].copy_from_slice(&(!checksum::fold(sum)).to_ne_bytes());
        let parse = |bytes: &[u8]| parse_nd(header, NdKind::Solicitation, &message(bytes));
        assert!(parse(&bytes).is_ok());
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(parse(&flipped), Err(Reason::Checksum), "bit {bit}");
        }
    }

    #[test]
    fn behind_an_extension_header_only_a_solicitation_is_told() {
        let plain = solicitation(&[]);
        for next in 0..=u8::MAX {
            for (length, kind) in [(0, 135), (0, 136), (1, 135)] {
                let mut frame = plain.clone();
                frame[20] = next;
                frame.splice(ND_START..ND_START, [58, length, 0, 0, 0, 0, 0, 0]);
                frame[ND_START + 8] = kind;
                let expected = match (next, length, kind) {
                    (58, ..) => continue,
                    (0 | 43 | 60, 0, 135) | (44, _, 135) => Recognised::BehindExtension,
                    _ => Recognised::Other,
                };
                assert_eq!(
                    recognise_nd(Frame::from(&frame[..])),
                    expected,
                    "{next} {length}"
                );
            }
        }
    }
}
