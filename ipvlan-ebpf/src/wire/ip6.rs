//! IPv6 addresses.

use super::Mac;

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
