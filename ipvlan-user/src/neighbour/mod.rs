//! Manners on the LAN: what a child that cannot speak for itself would say there.
//!
//! ```text
//! Desired ─► candidates ─┬─► dad ──────► probes ─────────┐
//!                        ├─► announce ─► announcements ──┼─► socket ─► the parent's egress
//!                        └─► groups ───► the kernel: MLD │
//! EVENTS ─► claims and probes of others ─► dad, announce ┘ ─► log ─► status
//! ```
//!
//! Everything that has to do with time ([`announce`], [`dad`], [`log`], [`pace`]) is pure and takes
//! it as an argument. [`Neighbours`] is one parent's share of it all. It has no timer: whoever owns
//! it asks when something is due, and nothing is when nothing changes.

pub mod announce;
pub mod dad;
pub mod frame;
pub mod groups;
mod lan;
pub mod log;
pub mod pace;
pub mod random;
pub mod socket;

pub use self::lan::{Candidate, Manners, Neighbours};

/// Whether children's addresses are announced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Announcing {
    /// Never: nothing is sent unasked, not even to defend an address (RFC 5227 §2.4(a)). Probes are
    /// another matter.
    Off,
    /// When they appear, move, come up, or the MAC changes; and to defend them.
    #[default]
    On,
}
