//! What to do with a parsed frame. Reads the address table, writes nothing.

pub mod arp;
pub mod deliver;
pub mod guard;
pub mod hairpin;
pub mod nd;
pub mod origin;
mod target;

use ipvlan_common::{AddressEntry, Reason};

use crate::opaque::opaque;

/// The reason for what is done with a frame, the child that it concerns, and the target of a redirect.
///
/// Every byte is always initialised: of an `Option` without a value, or of padding, the compiler would
/// copy whatever is there, and the verifier does not let a program read what it has not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Decides the verdict; counted.
    pub reason: Reason,
    /// Index of the child's counters; [`AddressEntry::NO_SLOT`] if it is about no child.
    pub slot: u32,
    /// Interface index of the target of a redirect to a child, in the parent's netns; 0 if there is none.
    pub target: u32,
}

const _: () = assert!(size_of::<Decision>() == 12, "no padding");

impl Decision {
    /// Returns a decision that concerns no child.
    #[must_use]
    #[inline(always)]
    pub const fn unattributed(reason: Reason) -> Self {
        Self {
            reason,
            slot: AddressEntry::NO_SLOT,
            target: 0,
        }
    }

    /// Returns a decision that concerns the owner of this address.
    #[must_use]
    #[inline(always)]
    pub const fn for_entry(entry: AddressEntry, reason: Reason) -> Self {
        Self {
            reason,
            slot: entry.slot(),
            target: 0,
        }
    }

    /// Returns the decision to redirect a packet for this address to the interface with the ifindex `target`.
    #[must_use]
    #[inline(always)]
    pub const fn redirected(entry: AddressEntry, target: u32) -> Self {
        Self {
            reason: Reason::Redirected,
            slot: entry.slot(),
            target,
        }
    }

    /// Returns the same decision; the verifier does not know whether it concerns a child. As
    /// [`Self::with_opaque_reason`].
    #[must_use]
    #[inline(always)]
    pub fn with_opaque_child(self, any: u32) -> Self {
        Self {
            slot: opaque(self.slot, any),
            ..self
        }
    }

    /// Returns the same decision, of which the verifier does not know the reason: it would follow what is behind
    /// once for each. See [`opaque`].
    #[must_use]
    #[inline(always)]
    #[allow(
        clippy::cast_possible_truncation,
        reason = "the number of a reason fits a byte"
    )]
    pub fn with_opaque_reason(self, any: u32) -> Self {
        Self {
            reason: Reason::from_number(opaque(self.reason as u32, any) as u8),
            ..self
        }
    }
}

/// The entries of the addresses of one family.
pub trait Addresses<A> {
    /// Returns the entry of this address (network byte order).
    fn get(&self, address: A) -> Option<AddressEntry>;

    /// Returns the entry of the address that a frame comes from, without the child's counters and the target;
    /// [`AddressEntry::NONE`] if there is none.
    fn of_sender(&self, address: A) -> AddressEntry {
        match self.get(address) {
            Some(entry) => entry,
            None => AddressEntry::NONE,
        }
    }
}
