//! The packet path of an ipvlan parent.
//!
//! ```text
//! frame ─► parse ─► lookup ─► guard ─► reply │ deliver │ hairpin │ pass
//! ```
//!
//! A hook ([`tc`], [`xdp`]) hands a [`frame::Frame`] to [`parse`], what was parsed and the maps
//! ([`lookup`]) to [`arp`], [`ndp`], [`deliver`] or [`hairpin`], and gets a [`Decision`]: a reason, and the
//! address it is about. Those modules read only; the hook does what the reason says, [`stats`]
//! counts it, [`event`] tells the agent what it should know, and one `match` in `main.rs` turns it into a verdict.
//!
//! Everything that decides also builds on the host, where plain tests, property tests and the
//! reference model run it.

#![cfg_attr(target_arch = "bpf", no_std)]
#![allow(
    clippy::inline_always,
    reason = "a call would cost more than most of these bodies, and the verifier follows bounds better within one function"
)]

pub mod advertisement;
pub mod arp;
pub mod checksum;
pub mod deliver;
pub mod dhcp;
pub mod event;
pub mod frame;
pub mod guard;
pub mod hairpin;
pub mod lookup;
pub mod ndp;
pub mod origin;
pub mod parse;
pub mod scratch;
pub mod stats;
pub mod tc;
pub mod xdp;

use core::hint::black_box;

use ipvlan_common::{AddressEntry, Reason};

/// What is done with a frame, why, and which child it is about.
///
/// Every byte is always initialised: of an `Option` without a value, or of padding, the compiler would
/// copy whatever is there, and the verifier does not let a program read what it has not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Decides the verdict; counted.
    pub reason: Reason,
    /// Interface index of the child, in its netns; 0 if it is about no child.
    pub child: u32,
    /// Index of the child's counters.
    pub slot: u32,
}

const _: () = assert!(size_of::<Decision>() == 12, "no padding");

impl Decision {
    /// A decision about no child of ours.
    #[must_use]
    #[inline(always)]
    pub const fn stranger(reason: Reason) -> Self {
        Self {
            reason,
            child: 0,
            slot: 0,
        }
    }

    /// A decision about whoever holds this address.
    #[must_use]
    #[inline(always)]
    pub const fn about(entry: AddressEntry, reason: Reason) -> Self {
        Self {
            reason,
            child: entry.ifindex(),
            slot: entry.slot(),
        }
    }
}

impl Decision {
    /// The same, of which the verifier does not know whether it is about a child: as [`Self::of_any_reason`].
    #[must_use]
    #[inline(always)]
    pub fn of_any_child(self, any: u32) -> Self {
        Self {
            child: forget(self.child, any),
            slot: forget(self.slot, any),
            ..self
        }
    }

    /// The same, of which the verifier does not know the reason: it would follow what is behind once for
    /// each. See [`forget`].
    #[must_use]
    #[inline(always)]
    #[allow(
        clippy::cast_possible_truncation,
        reason = "the number of a reason fits a byte"
    )]
    pub fn of_any_reason(self, any: u32) -> Self {
        Self {
            reason: Reason::from_number(forget(self.reason as u32, any) as u8),
            ..self
        }
    }
}

/// `value`, of which the verifier then knows no more than of `any`, which must come from a frame or a map:
/// it would follow everything behind it once for every value there can be.
///
/// A detour over the stack would not do: since Linux 6.9 it remembers constants there, bytes too. The one
/// that is made here is of a whole word: without `CAP_PERFMON` kernels before 6.8 let nobody write a part of
/// one that held a register.
#[must_use]
#[inline(always)]
#[allow(
    clippy::cast_possible_truncation,
    reason = "what was not there before is cut off again"
)]
pub fn forget(value: u32, any: u32) -> u32 {
    black_box(u64::from(value ^ any)) as u32 ^ any
}
