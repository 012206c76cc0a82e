//! Memory that is not needed any more.

/// Gives free memory back to the kernel.
///
/// A status is a tree of small strings, several times as large as what it is made from, and a whole
/// sync holds what was and what is at once. The allocator would keep all that they took, since some of
/// what lives on is between.
pub fn trim_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: glibc's own, callable at any time; it only looks for free pages of its heaps.
    unsafe {
        libc::malloc_trim(0);
    }
}
