//! Reads of memory that the agent may be writing: `CONFIG` and slots of an index. What is read first must have been
//! read when the next read begins, by the compiler and by the machine.
//!
//! On x86-64 loads are in order, and a volatile read is one load. On machines that reorder loads (arm64, RISC-V) each
//! of these reads is a load-acquire, which no later read overtakes. Instructions for it exist in BPF from `cpu=v4` on
//! (Linux 6.15): for an older BPF CPU the compiler refuses to build the programs for such a machine. A fence is no way
//! around that, since BPF has none. The agent's stores to slots are sequentially consistent, so they are in order on
//! every machine (`ipvlan-user/src/maps/index.rs`).

use core::sync::atomic::{AtomicU64, Ordering};

use ipvlan_common::index::Words;

/// Reads eight bytes, once, before anything that is read later.
///
/// # Safety
///
/// `from` must be the place of a `T`, valid and aligned, in memory that is not freed. Every bit pattern must be a `T`.
#[inline(always)]
#[allow(unexpected_cfgs, reason = "aya-build sets bpf_target_arch")]
pub(super) unsafe fn read<T: Copy>(from: *const T) -> T {
    const { assert!(size_of::<T>() == 8 && align_of::<T>() == 8) };
    if cfg!(any(bpf_target_arch = "x86_64", target_arch = "x86_64")) {
        // SAFETY: valid and aligned by the contract.
        return unsafe { from.read_volatile() };
    }
    // SAFETY: as above; the other writer is in another address space.
    let word = unsafe { AtomicU64::from_ptr(from.cast_mut().cast()) }.load(Ordering::Acquire);
    // SAFETY: of the same size, and every bit pattern is a `T`.
    unsafe { core::mem::transmute_copy(&word) }
}

/// A slot of an index: the value of an array, which is never freed.
pub(super) struct Slot(pub(super) *const u64);

impl Words for Slot {
    #[inline(always)]
    fn word(&self, at: usize) -> u64 {
        // SAFETY: the reader of a family asks for no more words than its slots have.
        unsafe { read(self.0.add(at)) }
    }
}
