//! When the next step of a check is due: probes wait for their turn, are sent, and go unanswered.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use super::{
    ANNOUNCE_WAIT, Dad, DadMode, GRACE, PROBE_MAX, PROBE_MIN, PROBE_WAIT, PROBES, check::Phase,
};
use crate::lan::{
    frame::Mac,
    random::Random,
    turns::{Class, Kind, Turns},
};

/// The changes of addresses whose next step was due.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// Addresses that can be announced from now on ([`Dad::is_free`]).
    pub free: Vec<IpAddr>,
    /// Addresses that were withheld and can be answered, then announced.
    pub released: Vec<IpAddr>,
    /// Addresses that are withheld from now on, since their first probe is late.
    pub unprobed: Vec<IpAddr>,
    /// Addresses that are withheld from now on, and the MAC that owns each.
    pub withheld: Vec<(IpAddr, Mac)>,
    /// Established addresses that another station claims, and its MAC: they are to be defended.
    pub disputed: Vec<(IpAddr, Mac)>,
    /// MACs that were found to answer for every address.
    pub no_owner: Vec<Mac>,
}

impl Dad {
    /// Takes the turn of a probe for this address. Returns whether it is still to be sent.
    pub fn turn(&mut self, now: Instant, address: IpAddr, random: &mut Random) -> bool {
        let mode = self.mode;
        let next = now + random.between(PROBE_MIN, PROBE_MAX);
        let Some(check) = self.checks.get_mut(&address) else {
            return false;
        };
        if check.phase != Phase::Queued {
            return false;
        }
        if check.sent == 0 {
            check.suppressed = self.suppressed;
        }
        check.sent += 1;
        let (phase, due) = if check.sent >= PROBES {
            (Phase::Last, now + ANNOUNCE_WAIT)
        } else if check.sent == 1
            && mode == DadMode::Optimistic
            && check.unannounced
            && !check.is_duplicate()
        {
            (Phase::Grace, now + GRACE)
        } else {
            (Phase::Waiting, next)
        };
        self.reschedule(address, phase, Some(due));
        true
    }

    /// Records that the probe for a control address was sent.
    pub fn control_sent(&mut self, now: Instant, control: IpAddr) {
        self.controls.sent(now, control);
    }

    /// Schedules a probe again that could not be sent.
    pub fn unsent(&mut self, now: Instant, address: IpAddr) {
        let Some(check) = self.checks.get_mut(&address) else {
            return;
        };
        if matches!(check.phase, Phase::Waiting | Phase::Grace | Phase::Last) {
            check.sent = check.sent.saturating_sub(1);
            self.reschedule(address, Phase::Waiting, Some(now + PROBE_MIN));
        }
    }

    /// Returns when [`Self::due`] is to be called.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        let first = self.queue.first().map(|&(due, _)| due);
        let due = [first, self.controls.next_due()]
            .into_iter()
            .flatten()
            .min();
        due.filter(|_| self.carrier)
    }

    /// Does what is due. `suppressed` is how many events about probed addresses the programs have suppressed.
    pub fn due(
        &mut self,
        now: Instant,
        turns: &mut Turns,
        suppressed: u64,
        random: &mut Random,
    ) -> Due {
        self.suppressed = suppressed;
        let mut due = Due::default();
        if !self.carrier {
            return due;
        }
        self.judge(now, turns, random, &mut due);
        while let Some(&(at, address)) = self.queue.first()
            && at <= now
        {
            self.queue.pop_first();
            let Some(check) = self.checks.get_mut(&address) else {
                continue;
            };
            check.due = None;
            match check.phase {
                Phase::Waiting | Phase::Conflict => {
                    // It could not be sent, or its examination came to nothing.
                    if self.lose_patience(now, turns, address) {
                        due.unprobed.push(address);
                    }
                    self.probe(now, turns, address);
                }
                Phase::Grace | Phase::Last if check.is_doubtful(suppressed) => {
                    check.suppressed = suppressed;
                    check.extensions += 1;
                    check.sent -= 1;
                    self.probe(now, turns, address);
                }
                Phase::Grace => {
                    let is_withheld = check.refusal(self.mode).is_some();
                    if self.mode == DadMode::Optimistic && std::mem::take(&mut check.unannounced) {
                        let of_kind = if is_withheld {
                            &mut due.released
                        } else {
                            &mut due.free
                        };
                        of_kind.push(address);
                    }
                    self.refresh(address);
                    let sent = now.checked_sub(GRACE).unwrap_or(now);
                    let next = sent + random.between(PROBE_MIN, PROBE_MAX);
                    self.reschedule(address, Phase::Waiting, Some(next));
                }
                Phase::Last => {
                    if check.refusal(self.mode).is_some() {
                        due.released.push(address);
                    } else if check.unannounced {
                        due.free.push(address);
                    }
                    self.forget(address);
                    self.changed.insert(address);
                }
                Phase::Queued => {
                    if self.lose_patience(now, turns, address) {
                        due.unprobed.push(address);
                    } else {
                        self.probe(now, turns, address);
                    }
                }
                Phase::Examined => {}
            }
        }
        due
    }

    /// Lets the next probe for an address wait for its turn.
    pub(super) fn probe(&mut self, now: Instant, turns: &mut Turns, address: IpAddr) {
        let Some(check) = self.checks.get(&address) else {
            return;
        };
        let (netns, first) = (check.netns, check.sent == 0 && !check.is_established());
        let class = if first && check.conflicts == 0 {
            Class::First
        } else {
            Class::Repeat
        };
        let frame = (address, Kind::Probe);
        if check.late {
            turns.push_later(now, netns, frame, class, 1);
        } else {
            turns.push(now, netns, frame, class, 1);
        }
        let due = self.patience_ends(now, check);
        self.reschedule(address, Phase::Queued, due);
    }

    /// Returns how long the first probe waits.
    pub(super) fn wait(&self, random: &mut Random) -> Duration {
        if self.mode == DadMode::Strict {
            random.between(Duration::ZERO, PROBE_WAIT)
        } else {
            Duration::ZERO
        }
    }

    pub(super) fn reschedule(&mut self, address: IpAddr, phase: Phase, due: Option<Instant>) {
        let Some(check) = self.checks.get_mut(&address) else {
            return;
        };
        if let Some(before) = check.due {
            self.queue.remove(&(before, address));
        }
        check.phase = phase;
        check.due = due;
        self.queue.extend(due.map(|due| (due, address)));
    }
}
