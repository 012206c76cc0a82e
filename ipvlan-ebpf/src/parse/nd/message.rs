//! The `ICMPv6` message: its checksum, and what its options say.

use ipvlan_common::Reason;

use super::{
    ND_FRAME_LEN, ND_LEN, ND_START, Nd, NdHeader, NdKind,
    options::{BAD, FOUND, Loaded, wanted},
};
use crate::{
    opaque::is_zero,
    wire::{Frame, Mac, checksum},
};

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
    let sum = [a, b, c, option].map(checksum::add_u64);
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
pub fn parse_nd(header: NdHeader, kind: NdKind, message: &impl Loaded) -> Result<Nd, Reason> {
    if !checksum::is_valid(header.src, header.dst, message.message(), header.len) {
        return Err(Reason::Checksum);
    }
    if !header.len.is_multiple_of(8) {
        return Err(Reason::BadOption);
    }
    let found = message.link_layer(header.len as u64 / 8, wanted(kind));
    if found & BAD != 0 {
        return Err(Reason::BadOption);
    }
    Ok(Nd::new(header, found))
}
