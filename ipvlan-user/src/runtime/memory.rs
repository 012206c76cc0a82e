//! Free memory of the heap.

/// Returns free memory to the kernel.
///
/// A status is a tree of small strings, several times as large as its sources, and a full scan holds two snapshots at
/// once. The allocator would keep their memory, since allocations that live on are in between.
pub fn trim_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: glibc's own, callable at any time; it only looks for free pages of its heaps.
    unsafe {
        libc::malloc_trim(0);
    }
}
