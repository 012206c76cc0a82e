//! Memory for what does not fit the stack.

use aya_ebpf::{macros::map, maps::PerCpuArray};

use crate::parse::Message;

#[map]
static SCRATCH: PerCpuArray<Message> = PerCpuArray::with_max_entries(1, 0);

/// Room for a message, of this CPU: a program that runs on it is not interrupted by another that uses
/// this one. What it holds is of some earlier frame.
#[must_use]
#[inline(always)]
pub fn message() -> Option<*mut Message> {
    SCRATCH.get_ptr_mut(0)
}
