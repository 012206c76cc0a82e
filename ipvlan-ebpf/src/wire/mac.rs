//! MAC addresses.

use ipvlan_common::{Config, mac_from_bits, mac_to_bits};

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

    /// The address with these first four and last two bytes, each in the byte order of the machine.
    #[must_use]
    #[inline(always)]
    #[allow(clippy::cast_lossless, reason = "From is not const")]
    pub(super) const fn from_parts(head: u32, tail: u16) -> Self {
        Self(head as u64 | (tail as u64) << 32)
    }
}
