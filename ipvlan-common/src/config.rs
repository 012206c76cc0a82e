//! What the programs must know about their parent.

use core::ops::BitOr;

/// Value of the `CONFIG` map: 8 bytes, no padding.
///
/// The map holds two copies. The loader writes the first, then the second; a program reads the
/// second, then the first, and does not answer while they differ: a MAC read half-way through an
/// update never leaves the parent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C, align(8))]
pub struct Config {
    mac: [u8; 6],
    flags: u16,
}

const _: () = assert!(size_of::<Config>() == 8 && align_of::<Config>() == 8);

impl Config {
    /// How many copies the map holds.
    pub const COPIES: u32 = 2;

    /// A parent with this MAC.
    #[must_use]
    pub const fn new(mac: [u8; 6], flags: ConfigFlags) -> Self {
        Self {
            mac,
            flags: flags.0,
        }
    }

    /// MAC of the parent and so of all its children.
    #[must_use]
    #[inline]
    pub const fn mac(&self) -> [u8; 6] {
        self.mac
    }

    /// The same without `flags`.
    #[must_use]
    pub const fn without(self, flags: ConfigFlags) -> Self {
        Self {
            flags: self.flags & !flags.0,
            ..self
        }
    }

    /// Whether all of `flags` are set.
    #[must_use]
    #[inline]
    pub const fn has(&self, flags: ConfigFlags) -> bool {
        self.flags & flags.0 == flags.0
    }
}

/// Switches of a parent, combined with `|`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ConfigFlags(u16);

impl ConfigFlags {
    /// The first sync is complete. Without it nothing is answered.
    pub const READY: Self = Self(1 << 0);
    /// The children are in mode l2.
    pub const L2: Self = Self(1 << 1);
    /// For l2 children, leave neighbour requests from the wire to the kernel.
    pub const L2_FLOOD: Self = Self(1 << 2);
    /// For l2 children, drop broadcast ARP requests from the wire that are for nobody here.
    pub const L2_DROP_FOREIGN: Self = Self(1 << 3);
    /// Packets of children can reach the parent's egress with a sibling as destination (`vepa`, or
    /// l2 children in subnets of their own): look the source up before turning one around.
    pub const CHECK_SOURCE: Self = Self(1 << 4);
    /// The port is in `vepa` mode: children's packets for the host leave through the parent too.
    pub const VEPA: Self = Self(1 << 5);
    /// As [`Self::L2_DROP_FOREIGN`], for multicast neighbour solicitations.
    pub const L2_DROP_FOREIGN_ND: Self = Self(1 << 6);
}

impl BitOr for ConfigFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

// SAFETY: `#[repr(C)]`, integers only, no padding (asserted above): every bit pattern is valid.
#[cfg(feature = "user")]
unsafe impl aya::Pod for Config {}
