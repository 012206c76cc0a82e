//! The options of a message (RFC 4861 §4.6): which link-layer address they tell.

use core::hint::black_box;

use super::{ND_LEN, NdKind};
use crate::{
    opaque::{is_less, is_zero},
    wire::{
        Mac,
        message::{Message, ND_MAX},
    },
};

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
pub const BAD: u64 = 1 << 49;

/// A message that was copied out of its frame.
pub trait Loaded {
    /// Returns the message.
    fn message(&self) -> &Message;

    /// Returns [`link_layer`] of the message. For one in the memory of a program that is a call which the verifier
    /// does not follow.
    #[inline(always)]
    fn link_layer(&self, units: u64, wanted: u8) -> u64 {
        link_layer(self.message(), units, wanted)
    }
}

impl Loaded for Message {
    #[inline(always)]
    fn message(&self) -> &Message {
        self
    }
}

/// Walks the options of a message of `units` times eight bytes, for the first of type `wanted`: its MAC
/// in the low bits and `FOUND` if there is one, and [`BAD`].
///
/// Looks at every unit there can be, whether an option starts there or not, and without a branch: every
/// one would double the ways that the verifier follows from here on. And without a loop: where it has to add
/// to a pointer what it does not know, the verifier follows, without `CAP_PERFMON`, also what a processor that
/// guesses wrong would do, before Linux 6.18 once more for every round.
#[must_use]
#[inline(always)]
pub fn link_layer(message: &Message, units: u64, wanted: u8) -> u64 {
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
