//! Manners on the LAN: what a child that cannot speak for itself would say there.
//!
//! ```text
//! Desired ─► candidates ─┬─► dad ──────► probes ─────────┐
//!                        ├─► announce ─► announcements ──┼─► turns ─► socket ─► the parent's egress
//!                        └─► groups ───► the kernel: MLD │
//! EVENTS ─► claims and probes of others ─► dad, announce ┘ ─► log ─► status
//! Desired ─► answered for ─► host ─► the host's own neighbour table
//! ```
//!
//! Everything that has to do with time ([`announce`], [`dad`], [`log`], [`pace`], [`turns`]) is pure and takes
//! it as an argument. [`Neighbours`] is one parent's share of it all. It has no timer: whoever owns
//! it asks when something is due, and nothing is when nothing changes.

pub mod announce;
mod candidate;
pub mod dad;
pub mod events;
pub mod frame;
pub mod groups;
pub mod host;
mod lan;
pub mod log;
pub mod memberships;
pub mod pace;
pub mod radar;
pub mod random;
pub mod socket;
pub mod turns;

pub use self::{
    candidate::Candidate,
    dad::DadMode,
    lan::{Adopted, Manners, Moment, Neighbours},
};

/// Whether children's addresses are announced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Announcing {
    /// No: nothing is sent unasked but the probes of `--dad`, and no address is defended.
    Off,
    /// Yes; each time three times, about a second apart.
    #[default]
    On,
}
