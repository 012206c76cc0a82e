//! Counting. Per CPU, so without atomics; never influences a verdict.

use aya_ebpf::{macros::map, maps::PerCpuArray};
use ipvlan_common::{COUNTERS as ENTRIES, ChildCounters, Hook, Reason, counter_index};

use crate::Decision;

/// Children unless the loader asks for another number.
const DEFAULT_CHILDREN: u32 = 4_096;

#[map]
static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(ENTRIES, 0);

#[map]
static CHILD_COUNTERS: PerCpuArray<ChildCounters> =
    PerCpuArray::with_max_entries(DEFAULT_CHILDREN, 0);

/// Counts a decision under its reason, and for the child it is about.
#[inline(always)]
pub fn count(hook: Hook, decision: &Decision) {
    if let Some(counter) = COUNTERS.get_ptr_mut(counter_index(hook, decision.reason)) {
        // SAFETY: the pointer is to this CPU's copy, and a hook does not interrupt itself.
        unsafe { *counter += 1 };
    }
    if decision.child == 0 {
        return;
    }
    let Some(counters) = CHILD_COUNTERS.get_ptr_mut(decision.slot) else {
        return;
    };
    // SAFETY: as above.
    let counters = unsafe { &mut *counters };
    match decision.reason {
        Reason::ArpAnswered => counters.answered += 1,
        Reason::Hairpinned => counters.hairpinned += 1,
        Reason::Redirected => counters.redirected += 1,
        Reason::LeftToDriver | Reason::LeftToKernel | Reason::Sibling => {}
        _ => counters.refused += 1,
    }
}
