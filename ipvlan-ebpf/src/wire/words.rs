//! Integers of different widths that stand for the same bytes of a frame, in the order of the wire.

use core::ptr;

/// Stores an integer in a frame, which aligns nothing beyond its bytes.
///
/// # Safety
///
/// `size_of::<T>()` bytes must be writable at `to`, and `T` must be an integer.
#[inline(always)]
pub unsafe fn put<T: Copy>(to: *mut u8, value: T) {
    let to = to.cast::<T>();
    if cfg!(target_arch = "bpf") {
        // SAFETY: writable by the contract; BPF has no alignment of its own, see `Header` for loads.
        unsafe { ptr::write(to, value) }
    } else {
        // SAFETY: writable by the contract.
        unsafe { ptr::write_unaligned(to, value) }
    }
}

/// Joins four pairs of bytes, each as on the wire, to eight.
#[must_use]
#[inline(always)]
pub const fn u64_of_u16s([a, b, c, d]: [u16; 4]) -> u64 {
    let (first, second) = (u32_of_u16s(a, b), u32_of_u16s(c, d));
    if cfg!(target_endian = "little") {
        first as u64 | (second as u64) << 32
    } else {
        (first as u64) << 32 | second as u64
    }
}

/// Joins two pairs of bytes, each as on the wire, to four.
#[inline(always)]
const fn u32_of_u16s(first: u16, second: u16) -> u32 {
    let (first, second) = (first.to_ne_bytes(), second.to_ne_bytes());
    u32::from_ne_bytes([first[0], first[1], second[0], second[1]])
}

/// Splits four bytes into pairs, in the order of the wire.
#[must_use]
#[inline(always)]
pub const fn u16s_of_u32(word: u32) -> [u16; 2] {
    let [a, b, c, d] = word.to_ne_bytes();
    [u16::from_ne_bytes([a, b]), u16::from_ne_bytes([c, d])]
}

/// Splits eight bytes into four and four, in the order of the wire.
#[must_use]
#[inline(always)]
#[allow(clippy::cast_possible_truncation, reason = "takes the parts apart")]
pub const fn u32s_of_u64(word: u64) -> [u32; 2] {
    if cfg!(target_endian = "little") {
        [word as u32, (word >> 32) as u32]
    } else {
        [(word >> 32) as u32, word as u32]
    }
}

/// Splits eight bytes into pairs, in the order of the wire.
#[must_use]
#[inline(always)]
pub const fn u16s_of_u64(word: u64) -> [u16; 4] {
    let [first, second] = u32s_of_u64(word);
    let ([a, b], [c, d]) = (u16s_of_u32(first), u16s_of_u32(second));
    [a, b, c, d]
}
