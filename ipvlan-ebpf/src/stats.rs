//! Counting. Per CPU, so without atomics; never influences a verdict.

use aya_ebpf::{macros::map, maps::PerCpuArray};
use ipvlan_common::{COUNTERS as ENTRIES, ChildCounters, Hook, Reason, counter_index};

/// Children unless the loader asks for another number.
const DEFAULT_CHILDREN: u32 = 4_096;

#[map]
static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(ENTRIES, 0);

#[map]
static CHILD_COUNTERS: PerCpuArray<ChildCounters> =
    PerCpuArray::with_max_entries(DEFAULT_CHILDREN, 0);

/// Counts a frame under the number of its reason, and for the child it is about (0: none).
#[inline(always)]
pub fn count(hook: Hook, number: u8, child: u32, slot: u32) {
    const ARP_ANSWERED: u8 = Reason::ArpAnswered as u8;
    const ND_ANSWERED: u8 = Reason::NdAnswered as u8;
    const HAIRPINNED: u8 = Reason::Hairpinned as u8;
    const REDIRECTED: u8 = Reason::Redirected as u8;
    const LEFT_TO_DRIVER: u8 = Reason::LeftToDriver as u8;
    const LEFT_TO_KERNEL: u8 = Reason::LeftToKernel as u8;
    const SIBLING: u8 = Reason::Sibling as u8;

    if let Some(counter) = COUNTERS.get_ptr_mut(counter_index(hook, number)) {
        // SAFETY: the pointer is to this CPU's copy, and a hook does not interrupt itself.
        unsafe { *counter += 1 };
    }
    if child == 0 {
        return;
    }
    let Some(counters) = CHILD_COUNTERS.get_ptr_mut(slot) else {
        return;
    };
    // SAFETY: as above.
    let counters = unsafe { &mut *counters };
    match number {
        ARP_ANSWERED | ND_ANSWERED => counters.answered += 1,
        HAIRPINNED => counters.hairpinned += 1,
        REDIRECTED => counters.redirected += 1,
        LEFT_TO_DRIVER | LEFT_TO_KERNEL | SIBLING => {}
        _ => counters.refused += 1,
    }
}
