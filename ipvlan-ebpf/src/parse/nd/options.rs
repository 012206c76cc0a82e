//! The options of a message (RFC 4861 §4.6): which link-layer address they tell.

use core::hint::black_box;

use super::{Message, ND_LEN, ND_MAX, NdKind};
use crate::frame::Mac;

/// Option types (RFC 4861 §4.6).
const OPTION_SOURCE_LINK_LAYER: u8 = 1;
/// Type of the target link-layer address option.
pub const OPTION_TARGET_LINK_LAYER: u8 = 2;

/// The type of the link-layer address that counts.
#[inline(always)]
pub(super) const fn wanted(kind: NdKind) -> u8 {
    match kind {
        NdKind::Solicitation => OPTION_SOURCE_LINK_LAYER,
        NdKind::Advertisement => OPTION_TARGET_LINK_LAYER,
    }
}

/// Set beside the MAC in what [`link_layer`] returns.
pub(super) const FOUND: u64 = 1 << 48;
/// The options are not well-formed.
pub(super) const BAD: u64 = 1 << 49;

/// [`link_layer`] as a function that the verifier follows by itself, once: it is global, and all that it gets
/// from its callers are numbers. The message is in the scratch memory.
#[cfg(target_arch = "bpf")]
#[inline(never)]
#[unsafe(no_mangle)]
#[allow(clippy::cast_possible_truncation, reason = "it was a byte")]
extern "C" fn nd_link_layer(units: u64, wanted: u64) -> u64 {
    let Some(message) = crate::scratch::message() else {
        return BAD;
    };
    // SAFETY: this CPU's scratch memory: nobody else writes it while the program runs.
    link_layer(unsafe { &*message }, units, wanted as u8)
}

/// [`link_layer`] of the message that was copied.
#[cfg(target_arch = "bpf")]
#[inline(always)]
pub(super) fn nd_options(_: &Message, units: u64, wanted: u8) -> u64 {
    nd_link_layer(units, u64::from(wanted))
}

/// [`link_layer`], as anywhere else.
#[cfg(not(target_arch = "bpf"))]
pub(super) fn nd_options(message: &Message, units: u64, wanted: u8) -> u64 {
    link_layer(message, units, wanted)
}

/// Walks the options of a message of `units` times eight bytes, for the first of type `wanted`: its MAC
/// in the low bits and [`FOUND`] if there is one, and [`BAD`].
///
/// Looks at every unit there can be, whether an option starts there or not, and without a branch: every
/// one would double the ways that the verifier follows from here on. And without a loop: where it has to add
/// to a pointer what it does not know, the verifier follows, without `CAP_PERFMON`, also what a processor that
/// guesses wrong would do, before Linux 6.18 once more for every round.
#[inline(always)]
fn link_layer(message: &Message, units: u64, wanted: u8) -> u64 {
    const FIRST: usize = ND_LEN / 8;
    macro_rules! walk {
        ($($at:literal)+) => {{
            const { assert!([$($at),+].len() == ND_MAX / 8 - FIRST, "every unit") }
            // Of a constant the compiler would make branches again.
            let mut walk = Walk {
                units,
                found: black_box(0),
                bad: black_box(0),
                next: black_box(FIRST as u64),
            };
            $(walk.step($at, message.0[$at], wanted);)+
            walk
        }};
    }
    walk!(3 4 5 6 7 8 9 10 11 12 13 14 15).end()
}

/// How far [`link_layer`] has got.
struct Walk {
    /// Where the message ends.
    units: u64,
    /// [`FOUND`] and the MAC, or 0.
    found: u64,
    /// 1 if something is wrong.
    bad: u64,
    /// Where the next option starts.
    next: u64,
}

impl Walk {
    /// Looks at the unit `at` of the message.
    #[inline(always)]
    fn step(&mut self, at: u64, unit: u64, wanted: u8) {
        let [kind, len, address @ ..] = unit.to_ne_bytes();
        let starts = is_zero(self.next ^ at) & is_less(at, self.units);
        let is_wanted = starts & is_zero(u64::from(kind ^ wanted)) & is_zero(self.found >> 48);
        self.found |= (FOUND | Mac::new(address).low_bits()) & is_wanted.wrapping_neg();
        self.bad |= is_wanted & (is_zero(u64::from(len ^ 1)) ^ 1);
        self.bad |= starts & is_zero(u64::from(len));
        self.next += u64::from(len) & starts.wrapping_neg();
    }

    #[inline(always)]
    const fn end(self) -> u64 {
        let bad = self.bad | is_zero(self.next ^ self.units) ^ 1;
        self.found | bad << 49
    }
}

/// 1 if `value` is less than `than`, both below 2⁶³, and else 0.
#[inline(always)]
const fn is_less(value: u64, than: u64) -> u64 {
    value.wrapping_sub(than) >> 63
}

/// 1 if `value`, below 2⁶³, is 0, and else 0.
#[inline(always)]
pub(crate) const fn is_zero(value: u64) -> u64 {
    value.wrapping_sub(1) >> 63
}
