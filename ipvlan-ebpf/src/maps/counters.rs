//! Counters. Per CPU, so without atomics; never influences a verdict.

use core::hint::black_box;

use aya_ebpf::{helpers::generated::bpf_jiffies64, macros::map, maps::PerCpuArray};
use ipvlan_common::{
    AddressEntry, COUNTERS as ENTRIES, ChildRecord, Hook, ReasonClass, counter_index,
};

/// Children unless the loader asks for another number.
const DEFAULT_CHILDREN: u32 = 4_096;

#[map]
static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(ENTRIES, 0);

#[map]
static CHILD_COUNTERS: PerCpuArray<ChildRecord> =
    PerCpuArray::with_max_entries(DEFAULT_CHILDREN, 0);

/// Counts a frame under the number of its reason, and by the class of that in the slot of the child that it concerns
/// ([`AddressEntry::NO_SLOT`]: none).
#[inline(always)]
pub fn count(hook: Hook, number: u8, slot: u32) {
    if let Some(counter) = COUNTERS.get_ptr_mut(counter_index(hook, number)) {
        // SAFETY: the pointer is to this CPU's copy, and a hook does not interrupt itself.
        unsafe { *counter += 1 };
    }
    if slot == AddressEntry::NO_SLOT {
        return;
    }
    let Some(record) = CHILD_COUNTERS.get_ptr_mut(slot) else {
        return;
    };
    // SAFETY: as above.
    let ChildRecord { counters, asked } = unsafe { &mut *record };
    // Of several places the compiler would make an offset in a register, and kernels refuse programs
    // without `CAP_PERFMON` that move a pointer by one that differs from path to path.
    let add = |counter: &mut u64| *black_box(counter) += 1;
    match ReasonClass::of_number(number) {
        ReasonClass::Answered => {
            add(&mut counters.answered);
            // SAFETY: the helper takes nothing.
            *black_box(asked) = unsafe { bpf_jiffies64() };
        }
        ReasonClass::Hairpinned => add(&mut counters.hairpinned),
        ReasonClass::Redirected => add(&mut counters.redirected),
        ReasonClass::Dropped | ReasonClass::Passed => add(&mut counters.refused),
        ReasonClass::Delegated => {}
    }
}
