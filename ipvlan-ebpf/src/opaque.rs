//! Workarounds for the verifier: values of which it must know less, or more, and choices without a branch.
//! `docs/verifier.md` has the reasons.

use core::hint::black_box;

use crate::wire::message::ND_MAX;

/// Returns `value`, of which the verifier then knows no more than of `any`, which must come from a frame or a map:
/// it would follow everything behind it once for every value there can be.
///
/// A detour over the stack would not do: since Linux 6.9 it remembers constants there, bytes too. The one
/// that is made here is of a whole word: kernels before 6.8 refuse programs without `CAP_PERFMON` that write a
/// part of one that held a register.
#[must_use]
#[inline(always)]
#[allow(
    clippy::cast_possible_truncation,
    reason = "what was not there before is cut off again"
)]
pub fn opaque(value: u32, any: u32) -> u32 {
    black_box(u64::from(value ^ any)) as u32 ^ any
}

/// Returns the length of a message that was checked to be 1 to [`ND_MAX`], in a form that verifiers can see it
/// by: of the comparison that the compiler makes of the check, Linux 6.12 and older keep no lower bound,
/// and a helper must not be called for zero bytes.
#[must_use]
#[inline(always)]
#[allow(
    clippy::cast_possible_truncation,
    reason = "a message is shorter than 64 KiB"
)]
pub fn positive_len(len: usize) -> u32 {
    const LAST: u32 = ND_MAX as u32 - 1;
    const { assert!(ND_MAX.is_power_of_two()) };
    // A whole word of the stack, as in `opaque`.
    ((black_box(len as u64) as u32).wrapping_sub(1) & LAST) + 1
}

/// Returns 1 if `value` is less than `than`, both below 2⁶³, and else 0. Without a branch, of which the verifier
/// would follow both ways.
#[must_use]
#[inline(always)]
pub const fn is_less(value: u64, than: u64) -> u64 {
    value.wrapping_sub(than) >> 63
}

/// Returns 1 if `value`, below 2⁶³, is 0, and else 0. Without a branch, as [`is_less`].
#[must_use]
#[inline(always)]
pub const fn is_zero(value: u64) -> u64 {
    value.wrapping_sub(1) >> 63
}
