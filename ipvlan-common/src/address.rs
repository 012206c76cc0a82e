//! What an address behind or on the parent is to us.

use crate::{Delivery, Owner, Reason};

/// Value of the address maps: 16 bytes (20 in the layout after this one), no padding.
///
/// The identity of the owner and the target of a redirect are apart: the programs know a child by its slot, the agent
/// by its ifindex as well, and neither says where packets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct AddressEntry {
    /// Identity: index of the child's counters.
    slot: u32,
    /// Target: ifindex in the parent's netns.
    target: u32,
    owner: u8,
    delivery: u8,
    refusal: u8,
    flags: u8,
    /// Identity: ifindex of the child in its own netns. The programs do not read it.
    child: u32,
    #[cfg(feature = "next-layout")]
    unused: u32,
}

/// Bit of `AddressEntry::flags`: the kernel answers requests from the wire.
const BY_KERNEL: u8 = 1 << 0;
/// Bit of `AddressEntry::flags`: the child forwards IPv6.
const ROUTER: u8 = 1 << 1;
/// Bit of `AddressEntry::flags`: an optimistic IPv6 address.
const OPTIMISTIC: u8 = 1 << 2;
/// Bit of `AddressEntry::flags`: see [`AddressEntry::is_watched`].
const WATCHED: u8 = 1 << 3;
/// Bit of `AddressEntry::flags`: see [`AddressEntry::routed`].
const ROUTED: u8 = 1 << 4;
/// Bit of `AddressEntry::flags`: see [`AddressEntry::probed`].
const PROBED: u8 = 1 << 5;
/// Bit of `AddressEntry::flags`: see [`AddressEntry::with_restricted`] for an address of the host and
/// [`AddressEntry::with_barred`] for one of a child.
const RESTRICTED: u8 = 1 << 6;
/// Bit of `AddressEntry::flags` of an address of a child: see [`AddressEntry::is_off_link`].
const OFF_LINK: u8 = 1 << 7;
/// Bit of `AddressEntry::flags` of an address of the host: see [`AddressEntry::with_unanswered`].
const UNANSWERED: u8 = 1 << 7;

const SIZE: usize = if cfg!(feature = "next-layout") {
    20
} else {
    16
};
const _: () = assert!(size_of::<AddressEntry>() == SIZE && align_of::<AddressEntry>() == 4);

impl Default for AddressEntry {
    fn default() -> Self {
        Self::NONE
    }
}

impl AddressEntry {
    /// The slot of what is no child's. It is past the end of the child counters, and an operand of one instruction.
    pub const NO_SLOT: u32 = u32::MAX >> 1;

    /// The entry of an address that the loader is writing at this moment: of no owner, and never answered for.
    pub const CHANGING: Self = Self {
        slot: Self::NO_SLOT,
        target: 0,
        owner: 0,
        delivery: Delivery::PASS,
        refusal: Reason::NotReady as u8,
        flags: 0,
        child: 0,
        #[cfg(feature = "next-layout")]
        unused: 0,
    };

    /// The entry of an address that is not in the map: of no owner, without any flags.
    pub const NONE: Self = Self {
        refusal: 0,
        ..Self::CHANGING
    };

    /// An address that `owner` holds and that nobody answers for.
    #[must_use]
    pub const fn held_by(owner: Owner) -> Self {
        Self {
            owner: owner as u8,
            flags: match owner {
                Owner::Child | Owner::Host => WATCHED,
                Owner::Gateway => 0,
            },
            ..Self::NONE
        }
    }

    /// An address of the child with this `ifindex` (in the child's own netns), counted in `slot`.
    #[must_use]
    pub const fn child(ifindex: u32, slot: u32, delivery: Delivery) -> Self {
        let (delivery, target) = delivery.to_parts();
        Self {
            child: ifindex,
            slot,
            delivery,
            target,
            ..Self::held_by(Owner::Child)
        }
    }

    /// Everything that the programs read of it as two words: slot and target in the first, the rest in the second.
    #[must_use]
    #[inline]
    #[allow(clippy::cast_lossless, reason = "From is not const")]
    pub const fn to_words(self) -> (u64, u32) {
        let bytes = [self.owner, self.delivery, self.refusal, self.flags];
        (
            self.slot as u64 | (self.target as u64) << 32,
            u32::from_le_bytes(bytes),
        )
    }

    /// The entry of which [`Self::to_words`] made these, without [`Self::child_ifindex`]. Ignores the bits of
    /// [`GENERATION`](crate::index::GENERATION).
    #[must_use]
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "takes the parts apart")]
    pub const fn from_words(first: u64, second: u32) -> Self {
        let [owner, delivery, refusal, flags] = second.to_le_bytes();
        Self {
            slot: first as u32,
            target: (first >> 32) as u32,
            owner,
            delivery: delivery & 1,
            refusal,
            flags,
            ..Self::NONE
        }
    }

    /// The same entry, never answered for; the programs count `reason`.
    #[must_use]
    pub const fn refused(self, reason: Reason) -> Self {
        let watched = match self.owner() {
            Some(Owner::Host) => self.flags & WATCHED,
            Some(Owner::Child) if matches!(reason, Reason::Probing | Reason::Duplicate) => WATCHED,
            _ => 0,
        };
        Self {
            refusal: reason as u8,
            flags: self.flags & !WATCHED | watched,
            ..self
        }
    }

    /// The same entry, with neighbour requests from the wire left to the kernel.
    ///
    /// For an l2 child in the host's own netns: host and child both answer a broadcast request, and
    /// the host learns from it who asked. It has no other way, since a reply to a request of its own
    /// with the child's address as sender is delivered to the child.
    #[must_use]
    pub const fn with_by_kernel(self) -> Self {
        Self {
            flags: self.flags | BY_KERNEL,
            ..self
        }
    }

    /// The same entry, with the R flag in advertisements (RFC 4861 §4.4): the child forwards IPv6.
    #[must_use]
    pub const fn with_router(self) -> Self {
        Self {
            flags: self.flags | ROUTER,
            ..self
        }
    }

    /// The same entry, without the O flag in advertisements (RFC 4429 §3.3).
    #[must_use]
    pub const fn with_optimistic(self) -> Self {
        Self {
            flags: self.flags | OPTIMISTIC,
            ..self
        }
    }

    /// The same entry, which also attracts packets that leave the parent for another MAC than its own.
    ///
    /// The address is off-link for the host, which routes it through a gateway, and the operator allowed
    /// its prefix. Without this flag a container could take any address of the world and receive what the
    /// host sends there.
    #[must_use]
    pub const fn with_routed(self) -> Self {
        Self {
            flags: self.flags | ROUTED,
            ..self
        }
    }

    /// The same entry of an address of a child, which attracts no packets of the host at all: see
    /// [`Self::is_off_link`].
    #[must_use]
    pub const fn with_off_link(self) -> Self {
        Self {
            flags: self.flags | OFF_LINK,
            ..self
        }
    }

    /// The same entry, while the agent probes the LAN for the address.
    #[must_use]
    pub const fn with_probed(self) -> Self {
        Self {
            flags: self.flags | PROBED,
            ..self
        }
    }

    /// The same entry, whose use by other MACs is no conflict.
    ///
    /// For an address of the host that is on another link than the parent, or that another link of the host can
    /// use on the parent's LAN: what the programs receive may come from the host itself.
    #[must_use]
    pub const fn with_unwatched(self) -> Self {
        Self {
            flags: self.flags & !WATCHED,
            ..self
        }
    }

    /// The same entry of an address of the host, which the programs never answer to an l2 child: on the
    /// parent the host's kernel answers no request for it.
    #[must_use]
    pub const fn with_unanswered(self) -> Self {
        Self {
            flags: self.flags | UNANSWERED,
            ..self
        }
    }

    /// The same entry of an address of the host, which the programs do not answer to a sender that is
    /// barred ([`Self::with_barred`]).
    #[must_use]
    pub const fn with_restricted(self) -> Self {
        Self {
            flags: self.flags | RESTRICTED,
            ..self
        }
    }

    /// The same entry of an address of a child. On the parent the host's kernel answers requests from it for
    /// some of the host's addresses only, and receives no packets from it for the others
    /// ([`Self::with_restricted`]).
    #[must_use]
    pub const fn with_barred(self) -> Self {
        Self {
            flags: self.flags | RESTRICTED,
            ..self
        }
    }

    /// Returns whether this address of the host is answered to the child that has `sender`: whether the host's
    /// kernel would answer that request on the parent.
    #[must_use]
    #[inline]
    pub const fn is_answered_to(&self, sender: &Self) -> bool {
        self.flags & UNANSWERED == 0 && self.flags & sender.flags & RESTRICTED == 0
    }

    /// Whether packets to a gateway's MAC with this destination are hairpinned to the child.
    #[must_use]
    #[inline]
    pub const fn routed(&self) -> bool {
        self.flags & ROUTED != 0
    }

    /// Whether the address is off-link for the host, and the operator did not allow its prefix.
    ///
    /// Then no packet of the host is hairpinned to the child, not even one to the parent's own MAC. That the host
    /// sends there proves nothing: its next hop can be a child, and any station that can send it an ARP reply
    /// or an advertisement can make it take the parent's MAC for that of its gateway.
    #[must_use]
    #[inline]
    pub const fn is_off_link(&self) -> bool {
        self.flags & OFF_LINK != 0
    }

    /// Whether the agent is probing the LAN for the address: an answer to the probe must not be lost among
    /// other events.
    #[must_use]
    #[inline]
    pub const fn probed(&self) -> bool {
        self.flags & PROBED != 0
    }

    /// Whether neighbour requests from the wire are left to the kernel.
    #[must_use]
    #[inline]
    pub const fn by_kernel(&self) -> bool {
        self.flags & BY_KERNEL != 0
    }

    /// Whether advertisements carry the R flag.
    #[must_use]
    #[inline]
    pub const fn router(&self) -> bool {
        self.flags & ROUTER != 0
    }

    /// Whether the address is optimistic (RFC 4429).
    #[must_use]
    #[inline]
    pub const fn optimistic(&self) -> bool {
        self.flags & OPTIMISTIC != 0
    }

    /// Who holds the address; `None` for a number this build does not know.
    #[must_use]
    #[inline]
    pub const fn owner(&self) -> Option<Owner> {
        match self.owner {
            1 => Some(Owner::Child),
            2 => Some(Owner::Host),
            3 => Some(Owner::Gateway),
            _ => None,
        }
    }

    /// How packets for it are delivered. An unknown number means [`Delivery::Pass`].
    #[must_use]
    #[inline]
    pub const fn delivery(&self) -> Delivery {
        Delivery::from_parts(self.delivery, self.target)
    }

    /// Why nobody answers for it; `None` if we do.
    #[must_use]
    #[inline]
    pub const fn refusal(&self) -> Option<Reason> {
        match self.refusal {
            0 => None,
            number => Some(Reason::from_number(number)),
        }
    }

    /// Why frames that leave the parent for it are neither answered nor hairpinned; `None` if they are. As
    /// [`Self::refusal`], but the agent probes the LAN for a child's address, and the host does not wait for that.
    #[must_use]
    #[inline]
    pub const fn egress_refusal(&self) -> Option<Reason> {
        match self.refusal {
            0 => None,
            number if number == Reason::Probing as u8 && self.owner == Owner::Child as u8 => None,
            number => Some(Reason::from_number(number)),
        }
    }

    /// Interface index of the child, in the child's netns; 0 if no child holds it. By it the agent knows whose an
    /// entry is that a previous agent wrote.
    #[must_use]
    pub const fn child_ifindex(&self) -> u32 {
        self.child
    }

    /// Index of the child's counters; [`Self::NO_SLOT`] if no child holds it.
    #[must_use]
    #[inline]
    pub const fn slot(&self) -> u32 {
        self.slot
    }

    /// Whether a station on the LAN that uses the address is in conflict with its holder: the host, whose
    /// address is on the parent, or a child that is answered for or would be but for that station.
    ///
    /// An address with a [`Self::refusal`] may be the station's: that it asks from there is no conflict, that it replies for
    /// it or announces it is.
    ///
    /// Not so the address of a child that is down, or one that a child took from a gateway: the real
    /// gateway would be the one that is refused.
    #[must_use]
    #[inline]
    pub const fn is_watched(&self) -> bool {
        self.flags & WATCHED != 0
    }

    /// Whether this is an address of a child that is answered for.
    #[must_use]
    #[inline]
    pub const fn is_live_child(&self) -> bool {
        self.owner == Owner::Child as u8 && self.refusal == 0
    }
}

// SAFETY: `#[repr(C)]`, integers only, no padding (asserted above): every bit pattern is valid.
#[cfg(feature = "user")]
unsafe impl aya::Pod for AddressEntry {}
