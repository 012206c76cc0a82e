//! The one bounds-checked way to the bytes of a frame.
//!
//! [`Frame::header`] checks once that a frame has at least `LEN` bytes; every access to the
//! [`Header`] it returns is then checked against `LEN` by the compiler. That is also the shape of
//! check that the kernel's verifier can follow.

use core::{marker::PhantomData, ptr};

use super::{Ip6, Mac};

/// Length of an Ethernet header without tags.
pub const ETH_LEN: usize = 14;

/// The linear part of a frame, starting with its Ethernet header.
#[derive(Clone, Copy)]
pub struct Frame<'a> {
    start: usize,
    end: usize,
    lifetime: PhantomData<&'a [u8]>,
}

impl<'a> Frame<'a> {
    /// A frame between two addresses.
    ///
    /// # Safety
    ///
    /// Between `start` and `end` there must be readable memory for the lifetime `'a`, or `end` must
    /// not be greater than `start`.
    #[must_use]
    #[inline(always)]
    pub const unsafe fn new(start: usize, end: usize) -> Self {
        Self {
            start,
            end,
            lifetime: PhantomData,
        }
    }

    /// The first `LEN` bytes, if there are that many.
    #[must_use]
    #[inline(always)]
    pub const fn header<const LEN: usize>(self) -> Option<Header<'a, LEN>> {
        if self.start + LEN > self.end {
            return None;
        }
        Some(Header {
            start: self.start as *const u8,
            lifetime: PhantomData,
        })
    }
}

impl<'a> From<&'a [u8]> for Frame<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        let range = bytes.as_ptr_range();
        // SAFETY: these are the bounds of a slice that is borrowed for 'a.
        unsafe { Self::new(range.start as usize, range.end as usize) }
    }
}

/// `LEN` readable bytes.
#[derive(Clone, Copy)]
pub struct Header<'a, const LEN: usize> {
    start: *const u8,
    lifetime: PhantomData<&'a [u8]>,
}

impl<const LEN: usize> Header<'_, LEN> {
    /// The byte at offset `AT`.
    #[must_use]
    #[inline(always)]
    pub fn u8<const AT: usize>(&self) -> u8 {
        self.read::<AT, u8>()
    }

    /// Two bytes at offset `AT`, network byte order.
    #[must_use]
    #[inline(always)]
    pub fn u16<const AT: usize>(&self) -> u16 {
        u16::from_be(self.read::<AT, u16>())
    }

    /// Four bytes at offset `AT`, in the byte order of the machine.
    #[must_use]
    #[inline(always)]
    pub fn u32<const AT: usize>(&self) -> u32 {
        self.read::<AT, u32>()
    }

    /// Eight bytes at offset `AT`, in the byte order of the machine.
    #[must_use]
    #[inline(always)]
    pub fn u64<const AT: usize>(&self) -> u64 {
        self.read::<AT, u64>()
    }

    /// An IPv4 address at offset `AT`.
    #[must_use]
    #[inline(always)]
    pub fn ipv4<const AT: usize>(&self) -> [u8; 4] {
        self.read::<AT, u32>().to_ne_bytes()
    }

    /// An IPv6 address at offset `AT`.
    #[must_use]
    #[inline(always)]
    pub fn ipv6<const AT: usize>(&self) -> Ip6 {
        const { assert!(AT + 16 <= LEN, "reads past the header") };
        let first = self.read::<AT, u64>();
        // SAFETY: `AT + 16 <= LEN`, and `LEN` bytes are readable.
        let last = unsafe { load::<u64>(self.start.wrapping_add(AT + 8)) };
        Ip6::from_halves([first, last])
    }

    /// A MAC address at offset `AT`.
    #[must_use]
    #[inline(always)]
    pub fn mac<const AT: usize>(&self) -> Mac {
        const { assert!(AT + 6 <= LEN, "reads past the header") };
        let head = self.read::<AT, u32>();
        // SAFETY: `AT + 6 <= LEN`, and `LEN` bytes are readable.
        let tail = unsafe { load::<u16>(self.start.wrapping_add(AT + 4)) };
        Mac::from_parts(head, tail)
    }

    #[inline(always)]
    fn read<const AT: usize, T: Copy>(&self) -> T {
        const { assert!(AT + size_of::<T>() <= LEN, "reads past the header") };
        // SAFETY: `AT + size_of::<T>() <= LEN`, and `LEN` bytes are readable.
        unsafe { load(self.start.wrapping_add(AT)) }
    }
}

/// Loads an integer from a frame, which aligns nothing beyond its bytes.
///
/// # Safety
///
/// `size_of::<T>()` bytes must be readable at `from`, and `T` must be an integer.
#[inline(always)]
unsafe fn load<T: Copy>(from: *const u8) -> T {
    let from = from.cast::<T>();
    if cfg!(target_arch = "bpf") {
        // SAFETY: readable by the contract. BPF has no alignment of its own: the verifier accepts
        // the access where the machine does it efficiently (x86-64, arm64), and the compiler would
        // make single-byte loads of an unaligned read.
        unsafe { ptr::read(from) }
    } else {
        // SAFETY: readable by the contract.
        unsafe { ptr::read_unaligned(from) }
    }
}
