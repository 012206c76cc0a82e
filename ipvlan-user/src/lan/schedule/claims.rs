//! Claims of addresses that are answered: reported, and defended if that is right.

use std::{net::IpAddr, time::Instant};

use tracing::debug;

use super::Schedule;
use crate::lan::{
    announce::Announcement,
    frame::{Mac, colons},
    incidents::Action,
    turns::Kind,
};

/// How many addresses a note names.
const NAMED: usize = 3;

impl Schedule {
    /// Handles a claim by a station of an address that is kept. Returns the action so far.
    pub(super) fn claimed(&mut self, now: Instant, address: IpAddr, mac: Mac) -> Action {
        let Some(candidate) = self.candidates.get(&address) else {
            return Action::None;
        };
        let (true, true, Some(announce)) =
            (self.can_send, self.dad.is_free(address), &mut self.announce)
        else {
            return Action::None;
        };
        // The next announcement would be a defence.
        announce.interrupt(now, &mut self.random, address);
        self.turns.remove_frame((address, Kind::Announcement));
        let defends = self.defends && candidate.is_defended();
        if self
            .defence
            .claim(now, &mut self.random, (address, mac), defends)
        {
            Action::Yielded
        } else {
            Action::None
        }
    }

    /// Lets the defences that are due wait for their turn, of addresses that children still have.
    pub(super) fn advance_defence(&mut self, now: Instant) {
        let Self {
            defence,
            turns,
            candidates,
            dad,
            defends,
            ..
        } = self;
        defence.due(now, turns, |address| {
            let candidate = candidates.get(&address)?;
            let is_right = *defends && candidate.is_defended() && dad.is_free(address);
            is_right.then_some(candidate.announced.child.netns)
        });
    }

    /// Sends a defence that has its turn.
    pub(super) fn defend(&mut self, now: Instant, address: IpAddr) {
        let Some(announced) = self.announced(address) else {
            return;
        };
        let Some(mac) = self.defence.turn(now, address) else {
            return;
        };
        self.announce(&Announcement {
            address,
            announced,
            to_routers: false,
        });
        self.incidents.raise(address, mac, Action::Defended);
        debug!(parent = self.parent, %address, mac = colons(mac), "defended");
    }

    /// Forgets the claims of an address: the next one is a new conflict.
    pub(super) fn forget_claims(&mut self, address: IpAddr) {
        self.defence.remove(address);
        self.turns.remove_frame((address, Kind::Defence));
    }

    /// Returns the note about yielded addresses.
    pub(super) fn yielded_note(&self, now: Instant) -> Option<String> {
        let mut named = Vec::new();
        let mut count = 0;
        for (address, mac) in self.defence.yielded(now) {
            count += 1;
            if named.len() < NAMED {
                named.push(format!("{address} by {}", colons(mac)));
            }
        }
        let rest = count - named.len();
        let rest = if rest > 0 {
            format!(" and {rest} more")
        } else {
            String::new()
        };
        (count > 0).then(|| {
            format!(
                "claimed by another station that defends it, too; answered, but neither announced nor defended: \
                 {}{rest}",
                named.join(", ")
            )
        })
    }
}
