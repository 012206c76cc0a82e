//! Memory for what does not fit the stack.

use core::hint::black_box;

use aya_ebpf::{macros::map, maps::PerCpuArray};

use crate::parse::{Message, ND_MAX};

#[map]
static SCRATCH: PerCpuArray<Message> = PerCpuArray::with_max_entries(1, 0);

/// Room for a message, of this CPU: a program that runs on it is not interrupted by another that uses
/// this one. What it holds is of some earlier frame.
#[must_use]
#[inline(always)]
pub fn message() -> Option<*mut Message> {
    SCRATCH.get_ptr_mut(0)
}

/// The length of a message that was checked to be 1 to [`ND_MAX`], in a form that verifiers can see it
/// by: of the comparison that the compiler makes of the check, Linux 6.12 and older keep no lower bound,
/// and a helper must not be told to copy nothing.
#[must_use]
#[inline(always)]
#[allow(
    clippy::cast_possible_truncation,
    reason = "a message is shorter than 64 KiB"
)]
pub fn copied(len: usize) -> u32 {
    const LAST: u32 = ND_MAX as u32 - 1;
    const { assert!(ND_MAX.is_power_of_two()) };
    // A whole word of the stack, as in `forget`.
    ((black_box(len as u64) as u32).wrapping_sub(1) & LAST) + 1
}
