//! The check of one address that is being probed for, or that others have.

use std::time::Instant;

use ipvlan_common::Reason;

use crate::neighbour::frame::Mac;

/// How far it is.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) phase: Phase,
    pub(super) due: Option<Instant>,
    /// In a row.
    pub(super) conflicts: u8,
    /// Who has it, as far as is known.
    pub(super) with: Option<Mac>,
    /// Not announced yet: the first probe may still be answered, or was.
    pub(super) quiet: bool,
}

impl Check {
    /// One of which no probe was sent yet.
    pub(super) const fn new() -> Self {
        Self {
            phase: Phase::Probing { sent: 0 },
            due: None,
            conflicts: 0,
            with: None,
            quiet: true,
        }
    }

    /// Why the address is held back where that is done.
    pub(super) const fn refusal(&self) -> Reason {
        match self.with {
            Some(_) => Reason::Duplicate,
            None => Reason::Probing,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// So many probes were sent, more are to follow.
    Probing { sent: u8 },
    /// The first probe was sent, and may be answered at any moment.
    Grace { next_probe: Instant },
    /// The last probe was sent.
    Waiting,
    /// Somebody has it.
    Taken,
}
