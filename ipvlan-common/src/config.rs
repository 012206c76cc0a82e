//! What the loader tells the programs about their parent.

use core::{fmt, ops::BitOr};

use crate::{mac_from_bits, mac_to_bits};

/// Value of the `CONFIG` map, an array of one: 24 bytes, no padding.
///
/// There are two copies of the configuration. The loader writes the first, then the second; a program
/// reads the second, then the first, and does not answer while they differ: a MAC read half-way through
/// an update never leaves the parent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Control {
    /// Written first.
    pub first: Config,
    /// Written when the first is.
    pub second: Config,
    /// The kernel's `jiffies_64` after which nothing is answered any more; `u64::MAX`: never.
    pub deadline: u64,
}

const _: () = assert!(size_of::<Control>() == 24 && align_of::<Control>() == 8);

/// What the programs must know about their parent: 8 bytes, loaded and compared as one integer. The MAC as
/// [`mac_to_bits`] has it, and above it the flags.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Config(u64);

/// Where the flags start.
const FLAGS: u32 = 48;

impl Config {
    /// A parent with this MAC.
    #[must_use]
    #[inline]
    #[allow(clippy::cast_lossless, reason = "From is not const")]
    pub const fn new(mac: [u8; 6], flags: ConfigFlags) -> Self {
        Self(mac_to_bits(mac) | (flags.0 as u64) << FLAGS)
    }

    /// MAC of the parent and so of all its children.
    #[must_use]
    #[inline]
    pub const fn mac(self) -> [u8; 6] {
        mac_from_bits(self.0)
    }

    /// The MAC in the low 48 bits, flags above.
    #[must_use]
    #[inline]
    pub const fn low_bits(self) -> u64 {
        self.0
    }

    /// The same without `flags`.
    #[must_use]
    #[allow(clippy::cast_lossless, reason = "From is not const")]
    pub const fn without(self, flags: ConfigFlags) -> Self {
        Self(self.0 & !((flags.0 as u64) << FLAGS))
    }

    /// Whether all of `flags` are set.
    #[must_use]
    #[inline]
    pub const fn has(self, flags: ConfigFlags) -> bool {
        self.flags().0 & flags.0 == flags.0
    }

    /// Returns the flags.
    #[must_use]
    #[inline]
    pub const fn flags(self) -> ConfigFlags {
        ConfigFlags((self.0 >> FLAGS) as u16)
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("mac", &self.mac())
            .field("flags", &self.flags())
            .finish()
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
    /// A packet or ARP reply that leaves the parent is hairpinned to a child only if its source is the
    /// host's, or the host received it from another interface and forwards it. A hit costs a second lookup.
    ///
    /// Set under `private` and `vepa`, and for l2 children in subnets of their own, whose packets for a sibling
    /// leave through the parent on their way to a router.
    pub const ISOLATED: Self = Self(1 << 4);
    /// The port is in `vepa` mode: children's packets for the host leave through the parent too.
    pub const VEPA: Self = Self(1 << 5);
    /// As [`Self::L2_DROP_FOREIGN`], for multicast neighbour solicitations.
    pub const L2_DROP_FOREIGN_ND: Self = Self(1 << 6);
    /// A child under isolation can send packets that carry the ifindex of an interface in its own netns as the
    /// one that received them (`ipvlan_xmit_mode_l2` does not scrub the skb). They leave for another MAC than
    /// the parent's, or under [`Self::VEPA`] for any: there such an ifindex proves nothing.
    pub const CHILD_IIF: Self = Self(1 << 7);
    /// The parent is in a VRF: whatever an interface of it received carries the ifindex of the VRF as the one
    /// that received it.
    pub const VRF: Self = Self(1 << 8);
    /// Set the broadcast flag of DHCP requests that l2 children send.
    pub const DHCP: Self = Self(1 << 9);
}

impl BitOr for ConfigFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

// SAFETY: `#[repr(C)]`, integers only, no padding (asserted above): every bit pattern is valid.
#[cfg(feature = "user")]
unsafe impl aya::Pod for Control {}
