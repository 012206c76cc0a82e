//! The check of one address that is being probed for, or that another station owns.

use std::time::Instant;

use ipvlan_common::Reason;

use super::{DadMode, EXTENSIONS, first::SHARED_PATIENCE};
use crate::{facts::NetnsId, lan::frame::Mac};

/// How many MACs that claim an address are examined at a time.
const CLAIMANTS: usize = 4;

/// The state of one address.
#[derive(Debug)]
pub(super) struct Check {
    /// The netns of the child that has the address.
    pub(super) netns: NetnsId,
    pub(super) phase: Phase,
    pub(super) due: Option<Instant>,
    /// How many probes were sent.
    pub(super) sent: u8,
    /// Conflicts in a row.
    pub(super) conflicts: u8,
    pub(super) standing: Standing,
    /// The MAC of that station, as far as is known.
    pub(super) with: Option<Mac>,
    /// Not announced yet: the first probe may still be answered, or was.
    pub(super) unannounced: bool,
    /// How often it may wait for [`PATIENCE`](super::first::PATIENCE) more for its first probe while it is answered. 0: it
    /// is not answered before that probe went unanswered.
    pub(super) patience: u8,
    /// One of many that were there when the agent started: it does not go before others.
    pub(super) late: bool,
    /// How many events about probed addresses had been suppressed when the first probe was sent.
    pub(super) suppressed: u64,
    /// How often the window was extended because of that.
    pub(super) extensions: u8,
    /// MACs that claim it, while they are examined. Rare, so a check is small without.
    #[allow(clippy::box_collection, reason = "a pointer is a third of a vector")]
    pub(super) claimants: Option<Box<Vec<Mac>>>,
}

impl Check {
    /// Returns the check of an address that no probe was sent for.
    pub(super) const fn new(netns: NetnsId, standing: Standing) -> Self {
        Self {
            netns,
            phase: Phase::Queued,
            due: None,
            sent: 0,
            conflicts: 0,
            standing,
            with: None,
            unannounced: !matches!(standing, Standing::Established),
            patience: SHARED_PATIENCE,
            late: false,
            suppressed: 0,
            extensions: 0,
            claimants: None,
        }
    }

    /// Returns why the address is withheld in this mode, if it is.
    pub(super) const fn refusal(&self, mode: DadMode) -> Option<Reason> {
        match (mode, self.standing) {
            (DadMode::Off, _) | (_, Standing::Established) => None,
            (DadMode::Optimistic, Standing::New) if self.patience > 0 || !self.unannounced => None,
            (DadMode::Optimistic | DadMode::Strict, Standing::New) => Some(Reason::Probing),
            (DadMode::Optimistic | DadMode::Strict, Standing::Duplicate) => Some(Reason::Duplicate),
        }
    }

    /// Returns whether it is answered in this mode, and waits for its first probe. It may do so for some time only.
    pub(super) const fn is_waiting(&self, mode: DadMode) -> bool {
        let is_first = self.sent == 0 && self.unannounced && matches!(self.standing, Standing::New);
        is_first && matches!(mode, DadMode::Optimistic) && !self.late && self.patience > 0
    }

    /// Returns whether it is withheld in this mode because its first probe is late.
    pub(super) const fn is_unprobed(&self, mode: DadMode) -> bool {
        matches!(mode, DadMode::Optimistic) && matches!(self.refusal(mode), Some(Reason::Probing))
    }

    /// Returns whether it was answered before it was probed for.
    pub(super) const fn is_established(&self) -> bool {
        matches!(self.standing, Standing::Established)
    }

    /// Returns whether another station owns it.
    pub(super) const fn is_duplicate(&self) -> bool {
        matches!(self.standing, Standing::Duplicate)
    }

    /// Returns whether an answer to the probes can be among the events that were suppressed, of which there are
    /// this many by now.
    pub(super) const fn is_doubtful(&self, suppressed: u64) -> bool {
        suppressed != self.suppressed && self.extensions < EXTENSIONS && self.sent > 0
    }

    /// Keeps a MAC that claims the address for the examination.
    pub(super) fn add_claimant(&mut self, mac: Mac) {
        let claimants = self.claimants.get_or_insert_default();
        if claimants.len() < CLAIMANTS && !claimants.contains(&mac) {
            claimants.push(mac);
        }
    }
}

const _: () = assert!(
    size_of::<Check>() <= 56,
    "there can be one for each address"
);

/// The ownership of an address, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing is known.
    New,
    /// Another station owns it.
    Duplicate,
    /// It was answered before it was probed for: it is kept and defended.
    Established,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The next probe waits for its turn.
    Queued,
    /// The next probe is due later.
    Waiting,
    /// The first probe was sent, and may be answered at any moment.
    Grace,
    /// The last probe was sent.
    Last,
    /// Stations claim the address, and are examined: control addresses are being probed for.
    Examined,
    /// Another station owns it.
    Conflict,
}
