//! The Internet checksum (RFC 1071) of `ICMPv6` (RFC 4443 §2.3).
//!
//! One's complement sums do not depend on the byte order in which words are read (RFC 1071 §2(B)), so
//! everything is summed in that of the machine.

use super::{Ip6, message::Message};

/// Next header of `ICMPv6`, as it stands in the pseudo header.
const NEXT_HEADER: u32 = 58;

/// Whether the checksum of the first `len` bytes of `message`, sent from `src` to `dst`, is right.
///
/// A `len` that is not a multiple of four is not: no message with well-formed options has one.
#[must_use]
#[inline(always)]
pub fn is_valid(src: Ip6, dst: Ip6, message: &Message, len: usize) -> bool {
    if !len.is_multiple_of(4) {
        return false;
    }
    match message_sum(message, len) {
        Some(sum) => is_right(src, dst, len, u64::from(sum)),
        None => false,
    }
}

/// Whether the checksum of a message of `len` bytes is right, whose words add up to `sum`.
#[must_use]
#[inline(always)]
pub const fn is_right(src: Ip6, dst: Ip6, len: usize, sum: u64) -> bool {
    fold(pseudo_header(src, dst, len) + sum) == 0xffff
}

/// Sum of the pseudo header of a message of `len` bytes (RFC 8200 §8.1), not folded.
#[must_use]
#[inline(always)]
#[allow(clippy::cast_possible_truncation, reason = "a length of 16 bits")]
pub const fn pseudo_header(src: Ip6, dst: Ip6, len: usize) -> u64 {
    address(src) + address(dst) + (len as u32).to_be() as u64 + NEXT_HEADER.to_be() as u64
}

/// Sum of an address, not folded.
#[must_use]
#[inline(always)]
pub const fn address(address: Ip6) -> u64 {
    let [first, last] = address.halves();
    add_u64(first) + add_u64(last)
}

/// Sum of eight bytes, not folded.
#[must_use]
#[inline(always)]
pub const fn add_u64(word: u64) -> u64 {
    (word >> 32) + (word & 0xffff_ffff)
}

/// Folds a sum to 16 bits. Not 0 unless `sum` is.
#[must_use]
#[inline(always)]
#[allow(clippy::cast_possible_truncation, reason = "that is what folding is")]
pub const fn fold(sum: u64) -> u16 {
    // At most 33 bits, then 18, 17 and 16.
    let sum = add_u64(sum);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    sum as u16
}

/// Sum of the first `len` bytes, a multiple of four.
#[inline(always)]
#[cfg(target_arch = "bpf")]
fn message_sum(message: &Message, len: usize) -> Option<u32> {
    use crate::opaque::positive_len;

    let from = core::ptr::from_ref(message).cast_mut().cast();
    let len = positive_len(len);
    // SAFETY: the helper reads `len` bytes, which the verifier checks against the message.
    let sum = unsafe { aya_ebpf::helpers::bpf_csum_diff(core::ptr::null_mut(), 0, from, len, 0) };
    u32::try_from(sum).ok()
}

/// As in the kernel.
#[cfg(not(target_arch = "bpf"))]
fn message_sum(message: &Message, len: usize) -> Option<u32> {
    let units = message.0.get(..len / 8)?;
    let mut sum: u64 = units.iter().map(|&unit| add_u64(unit)).sum();
    if !len.is_multiple_of(8) {
        let [a, b, c, d, ..] = message.0.get(len / 8)?.to_ne_bytes();
        sum += u64::from(u32::from_ne_bytes([a, b, c, d]));
    }
    Some(u32::from(fold(sum)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_is_the_same_as_adding_words_one_by_one() {
        let slowly = |mut sum: u64| {
            while sum > 0xffff {
                sum = (sum >> 16) + (sum & 0xffff);
            }
            sum
        };
        for sum in [
            0,
            1,
            0xffff,
            0x1_0000,
            0x1_ffff,
            0xffff_ffff,
            0x1_0000_0000,
            0x1234_5678_9abc_def0,
            u64::MAX,
        ] {
            let expected = slowly(sum);
            let folded = u64::from(fold(sum));
            assert!(
                folded == expected || folded % 0xffff == expected % 0xffff,
                "{sum:#x}"
            );
            assert_eq!(folded == 0, sum == 0, "{sum:#x}");
        }
    }
}
