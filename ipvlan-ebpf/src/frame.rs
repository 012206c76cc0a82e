//! The one bounds-checked way to the bytes of a frame.
//!
//! [`Frame::header`] checks once that a frame has at least `LEN` bytes; every access to the
//! [`Header`] it returns is then checked against `LEN` by the compiler. That is also the shape of
//! check that the kernel's verifier can follow.

use core::{marker::PhantomData, ptr};

use ipvlan_common::{Config, mac_from_bits, mac_to_bits};

/// Length of an Ethernet header without tags.
pub const ETH_LEN: usize = 14;

/// A MAC address as one integer, to compare in one instruction: see [`mac_to_bits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Mac(u64);

impl Mac {
    /// ff:ff:ff:ff:ff:ff
    pub const BROADCAST: Self = Self::new([0xff; 6]);
    /// 00:00:00:00:00:00
    pub const ZERO: Self = Self::new([0; 6]);

    /// From bytes as they are on the wire.
    #[must_use]
    #[inline(always)]
    pub const fn new(mac: [u8; 6]) -> Self {
        Self(mac_to_bits(mac))
    }

    /// That of the parent.
    #[must_use]
    #[inline(always)]
    pub const fn of_parent(config: Config) -> Self {
        Self::from_low_bits(config.low_bits())
    }

    /// Bytes as they are on the wire.
    #[must_use]
    #[inline(always)]
    pub const fn bytes(self) -> [u8; 6] {
        mac_from_bits(self.0)
    }

    /// The address in the low 48 bits, as it is compared.
    #[must_use]
    #[inline(always)]
    pub const fn low_bits(self) -> u64 {
        self.0
    }

    /// From the low 48 bits of what [`Self::low_bits`] gave; those above are ignored.
    #[must_use]
    #[inline(always)]
    pub const fn from_low_bits(bits: u64) -> Self {
        Self(bits & 0xffff_ffff_ffff)
    }

    /// Two bytes at a time, in the order of the wire.
    #[must_use]
    #[inline(always)]
    pub const fn words(self) -> [u16; 3] {
        let mac = self.bytes();
        [
            u16::from_ne_bytes([mac[0], mac[1]]),
            u16::from_ne_bytes([mac[2], mac[3]]),
            u16::from_ne_bytes([mac[4], mac[5]]),
        ]
    }

    /// The first two bytes and the other four, in the order of the wire.
    #[must_use]
    #[inline(always)]
    pub const fn split_first(self) -> (u16, u32) {
        let mac = self.bytes();
        (
            u16::from_ne_bytes([mac[0], mac[1]]),
            u32::from_ne_bytes([mac[2], mac[3], mac[4], mac[5]]),
        )
    }

    /// Multicast or broadcast: the group bit is set (IEEE 802).
    #[must_use]
    #[inline(always)]
    pub const fn is_group(self) -> bool {
        self.bytes()[0] & 1 == 1
    }

    #[inline(always)]
    #[allow(clippy::cast_lossless, reason = "From is not const")]
    const fn from_parts(head: u32, tail: u16) -> Self {
        Self(head as u64 | (tail as u64) << 32)
    }
}

/// An IPv6 address as two integers, to compare in two instructions: its first eight bytes and its last
/// eight, each in the byte order of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Ip6([u64; 2]);

const _: () = assert!(size_of::<Ip6>() == 16 && align_of::<Ip6>() == 8);

impl Ip6 {
    /// `::`
    pub const UNSPECIFIED: Self = Self([0; 2]);
    /// `::1`
    pub const LOOPBACK: Self = Self([0, 1_u64.to_be()]);
    /// `ff02::1`
    pub const ALL_NODES: Self = Self([0xff02_0000_0000_0000_u64.to_be(), 1_u64.to_be()]);

    /// From bytes as they are on the wire.
    #[must_use]
    pub fn new(address: [u8; 16]) -> Self {
        let half =
            |from: usize| u64::from_ne_bytes(core::array::from_fn(|index| address[from + index]));
        Self([half(0), half(8)])
    }

    /// Bytes as they are on the wire.
    #[must_use]
    pub fn bytes(self) -> [u8; 16] {
        let [first, last] = self.0.map(u64::to_ne_bytes);
        core::array::from_fn(|index| {
            if index < 8 {
                first[index]
            } else {
                last[index - 8]
            }
        })
    }

    /// From the halves that [`Self::halves`] returns.
    #[must_use]
    #[inline(always)]
    pub const fn from_halves(halves: [u64; 2]) -> Self {
        Self(halves)
    }

    /// The two halves, in the byte order of the machine.
    #[must_use]
    #[inline(always)]
    pub const fn halves(self) -> [u64; 2] {
        self.0
    }

    /// In `ff00::/8`.
    #[must_use]
    #[inline(always)]
    pub const fn is_multicast(self) -> bool {
        u64::from_be(self.0[0]) >> 56 == 0xff
    }

    /// In `::ffff:0:0/96` (RFC 4291 §2.5.5.2).
    #[must_use]
    #[inline(always)]
    pub const fn is_v4_mapped(self) -> bool {
        self.0[0] == 0 && u64::from_be(self.0[1]) >> 32 == 0xffff
    }

    /// The subnet-router anycast address of a /64 (RFC 4291 §2.6.1).
    #[must_use]
    #[inline(always)]
    pub const fn is_subnet_router(self) -> bool {
        self.0[1] == 0
    }

    /// In `ff02::1:ff00:0/104`: the solicited-node group of some address.
    #[must_use]
    #[inline(always)]
    pub const fn is_solicited_node(self) -> bool {
        self.0[0] == Self::ALL_NODES.0[0] && u64::from_be(self.0[1]) >> 24 == 0x01_ff
    }

    /// The solicited-node group of this address (RFC 4291 §2.7.1).
    #[must_use]
    #[inline(always)]
    pub const fn solicited_node(self) -> Self {
        let low = u64::from_be(self.0[1]) & 0x00ff_ffff;
        Self([Self::ALL_NODES.0[0], (0x0000_0001_ff00_0000 | low).to_be()])
    }

    /// The MAC of a group: 33:33 and the last four bytes (RFC 2464 §7).
    #[must_use]
    #[inline(always)]
    pub const fn group_mac(self) -> Mac {
        let last = self.0[1].to_ne_bytes();
        Mac::new([0x33, 0x33, last[4], last[5], last[6], last[7]])
    }
}

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
        Ip6([first, last])
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

/// Stores an integer in a frame, which aligns nothing beyond its bytes.
///
/// # Safety
///
/// `size_of::<T>()` bytes must be writable at `to`, and `T` must be an integer.
#[inline(always)]
pub unsafe fn put<T: Copy>(to: *mut u8, value: T) {
    let to = to.cast::<T>();
    if cfg!(target_arch = "bpf") {
        // SAFETY: writable by the contract; as for `load`.
        unsafe { ptr::write(to, value) }
    } else {
        // SAFETY: writable by the contract.
        unsafe { ptr::write_unaligned(to, value) }
    }
}

/// Eight bytes, of two at a time in the order of the wire.
#[must_use]
#[inline(always)]
pub const fn word([a, b, c, d]: [u16; 4]) -> u64 {
    let (first, second) = (double(a, b), double(c, d));
    if cfg!(target_endian = "little") {
        first as u64 | (second as u64) << 32
    } else {
        (first as u64) << 32 | second as u64
    }
}

/// Four bytes, of two at a time in the order of the wire.
#[inline(always)]
const fn double(first: u16, second: u16) -> u32 {
    let (first, second) = (first.to_ne_bytes(), second.to_ne_bytes());
    u32::from_ne_bytes([first[0], first[1], second[0], second[1]])
}

/// Two bytes at a time of four, in the order of the wire.
#[must_use]
#[inline(always)]
pub const fn halves(double: u32) -> [u16; 2] {
    let [a, b, c, d] = double.to_ne_bytes();
    [u16::from_ne_bytes([a, b]), u16::from_ne_bytes([c, d])]
}

/// Four bytes at a time of eight, in the order of the wire.
#[must_use]
#[inline(always)]
#[allow(clippy::cast_possible_truncation, reason = "takes the parts apart")]
pub const fn parts(word: u64) -> [u32; 2] {
    if cfg!(target_endian = "little") {
        [word as u32, (word >> 32) as u32]
    } else {
        [(word >> 32) as u32, word as u32]
    }
}

/// Two bytes at a time of eight, in the order of the wire.
#[must_use]
#[inline(always)]
pub const fn quarters(word: u64) -> [u16; 4] {
    let [first, second] = parts(word);
    let ([a, b], [c, d]) = (halves(first), halves(second));
    [a, b, c, d]
}

#[cfg(test)]
mod tests;
