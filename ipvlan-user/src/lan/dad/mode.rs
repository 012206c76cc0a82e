//! Whether and how new addresses are probed for, and changing it while the agent runs.

use std::{net::IpAddr, time::Instant};

use super::{
    Dad,
    check::{Check, Phase, Standing},
    first::{self, GivenUp},
};
use crate::{
    facts::NetnsId,
    lan::turns::{Kind, Turns},
};

/// Whether and how new addresses are probed for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DadMode {
    /// No.
    Off,
    /// Yes. Answer for them meanwhile; withdraw one that another station owns.
    #[default]
    Optimistic,
    /// Yes. Answer for them only after a clean probe, 4 to 7 seconds later.
    Strict,
}

impl Dad {
    /// Changes the mode. `answered` has the answered addresses and their netns, except those that are not to be probed
    /// for: none of them is withheld or announced again. Returns the addresses that can be announced and were not yet.
    pub fn set_mode(
        &mut self,
        now: Instant,
        turns: &mut Turns,
        mode: DadMode,
        answered: impl Iterator<Item = (IpAddr, NetnsId)>,
    ) -> Vec<IpAddr> {
        let before = std::mem::replace(&mut self.mode, mode);
        let mut released = Vec::new();
        match (before, mode) {
            (_, DadMode::Off) => {
                for (address, check) in std::mem::take(&mut self.checks) {
                    turns.remove_frame((address, Kind::Probe));
                    self.changed.insert(address);
                    if check.unannounced {
                        released.push(address);
                    }
                }
                self.queue.clear();
                self.withheld.clear();
                self.controls.clear();
                self.given_up = GivenUp::default();
            }
            (DadMode::Off, DadMode::Optimistic) => {
                for (address, netns) in answered {
                    let check = Check::new(netns, Standing::Established);
                    self.checks.insert(address, check);
                    self.probe(now, turns, address);
                }
            }
            // Answered already: to withhold them now would cut off connections.
            (DadMode::Optimistic, DadMode::Strict) => {
                let mut checks = self.checks.iter_mut();
                let is_answered =
                    |(_, check): &(&IpAddr, &mut Check)| check.refusal(before).is_none();
                for (&address, check) in checks.by_ref().filter(is_answered) {
                    check.standing = Standing::Established;
                    if std::mem::take(&mut check.unannounced) {
                        released.push(address);
                    }
                    self.changed.insert(address);
                }
            }
            (DadMode::Strict, DadMode::Optimistic) => {
                let queued = self.checks.iter();
                let queued: Vec<IpAddr> = queued
                    .filter(|(_, check)| check.phase == Phase::Queued && check.is_waiting(mode))
                    .map(|(&address, _)| address)
                    .collect();
                for address in queued {
                    self.reschedule(address, Phase::Queued, Some(now + first::PATIENCE));
                }
            }
            _ => {}
        }
        let (withheld, mode) = (&mut self.withheld, self.mode);
        *withheld = self
            .checks
            .iter()
            .filter_map(|(&address, check)| Some((address, check.refusal(mode)?)))
            .collect();
        released
    }
}
