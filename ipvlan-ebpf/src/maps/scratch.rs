//! Memory for what does not fit the stack.

use aya_ebpf::{macros::map, maps::PerCpuArray};

use crate::{parse::Loaded, wire::message::Message};

#[map]
static SCRATCH: PerCpuArray<Message> = PerCpuArray::with_max_entries(1, 0);

/// A message in the scratch memory of this CPU: a program that runs on it is not interrupted by another that uses
/// this one. Until it is written, it holds that of some earlier frame.
#[derive(Clone, Copy)]
pub struct Scratch(*mut Message);

impl Scratch {
    /// Returns the scratch memory of this CPU.
    #[must_use]
    #[inline(always)]
    pub fn get() -> Option<Self> {
        SCRATCH.get_ptr_mut(0).map(Self)
    }

    /// Returns where a message is written to.
    #[must_use]
    #[inline(always)]
    pub const fn as_mut_ptr(self) -> *mut Message {
        self.0
    }
}

impl Loaded for Scratch {
    #[inline(always)]
    fn message(&self) -> &Message {
        // SAFETY: this CPU's scratch memory: no other program writes it while the program runs.
        unsafe { &*self.0 }
    }

    #[cfg(target_arch = "bpf")]
    #[inline(always)]
    fn link_layer(&self, units: u64, wanted: u8) -> u64 {
        nd_link_layer(units, u64::from(wanted))
    }
}

/// [`link_layer`](crate::parse::link_layer) as a function that the verifier follows by itself, once: it is global, and
/// all that it gets from its callers are numbers. The message is in the scratch memory.
#[cfg(target_arch = "bpf")]
#[inline(never)]
#[unsafe(no_mangle)]
#[allow(clippy::cast_possible_truncation, reason = "it was a byte")]
extern "C" fn nd_link_layer(units: u64, wanted: u64) -> u64 {
    use crate::parse::{BAD, link_layer};

    match Scratch::get() {
        Some(scratch) => link_layer(scratch.message(), units, wanted as u8),
        None => BAD,
    }
}
