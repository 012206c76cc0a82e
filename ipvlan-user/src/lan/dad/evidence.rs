//! Claims and probes by other stations: which are evidence of a conflict, and what follows from one.

use std::{net::IpAddr, time::Instant};

use ipvlan_common::EventKind;

use super::{
    ANNOUNCE_WAIT, Dad, DadMode, Due, MAX_CONFLICTS, PROBE_MIN, PROBE_WAIT, PROBES,
    RATE_LIMIT_INTERVAL, RETRY,
    check::{Phase, Standing},
    control::{Neighbourhood, Station},
};
use crate::lan::{
    frame::Mac,
    random::Random,
    turns::{Class, Kind, Turns},
};

/// The consequence of a claim or a probe by another station.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is none: the address is not being probed for.
    Undisputed,
    /// The address is withheld, from now on or still.
    Withheld,
    /// The MAC is examined: whether it answers for every address is not known yet.
    Examined,
    /// The MAC answers for every address: no evidence.
    NoOwner,
    /// The address is established: it is to be defended.
    Disputed,
}

impl Dad {
    /// Judges a claim or a probe by another station of an address of a child. The MAC is none of the host's.
    pub fn claim(
        &mut self,
        now: Instant,
        turns: &mut Turns,
        (address, mac, kind): (IpAddr, Mac, EventKind),
        random: &mut Random,
        around: &Neighbourhood<'_>,
    ) -> Verdict {
        let Some(check) = self.checks.get_mut(&address) else {
            return Verdict::Undisputed;
        };
        match kind {
            // A switch that tracks devices, or a station that confirms what it knows.
            EventKind::UnicastProbe => return Verdict::Undisputed,
            // A station that probes for what is answered is answered; one that probes for what is being
            // probed for as well is in conflict (RFC 5227 §2.1.1).
            EventKind::Probe => {
                if self.mode != DadMode::Strict || check.is_established() {
                    return Verdict::Undisputed;
                }
                return self.conflict(now, turns, address, mac, random);
            }
            EventKind::Claim => {}
        }
        let known = check.with == Some(mac) || check.phase == Phase::Conflict;
        match self.controls.station(now, mac) {
            Station::AnswersForAll => Verdict::NoOwner,
            Station::Owner => self.conflict(now, turns, address, mac, random),
            Station::Unknown if known => self.conflict(now, turns, address, mac, random),
            Station::Unknown => {
                let netns = check.netns;
                let Some(probes) = self.controls.examine(address, mac, random, around) else {
                    // Nothing to compare it with: not to answer is safe.
                    return self.conflict(now, turns, address, mac, random);
                };
                check.add_claimant(mac);
                for control in probes {
                    turns.push(now, netns, (control, Kind::Control), Class::Urgent, 1);
                }
                turns.remove_frame((address, Kind::Probe));
                self.reschedule(address, Phase::Examined, None);
                Verdict::Examined
            }
        }
    }

    /// Records that another station owns the address.
    fn conflict(
        &mut self,
        now: Instant,
        turns: &mut Turns,
        address: IpAddr,
        mac: Mac,
        random: &mut Random,
    ) -> Verdict {
        let Some(check) = self.checks.get_mut(&address) else {
            return Verdict::Undisputed;
        };
        if check.phase != Phase::Conflict {
            check.conflicts = check.conflicts.saturating_add(1);
        }
        check.with = Some(mac);
        check.sent = 0;
        check.extensions = 0;
        check.claimants = None;
        let established = check.is_established();
        if !established {
            check.standing = Standing::Duplicate;
            check.unannounced = true;
        }
        let retry = if check.conflicts < MAX_CONFLICTS {
            RETRY
        } else {
            RATE_LIMIT_INTERVAL
        };
        let due = now + random.between(retry, retry + PROBE_WAIT);
        turns.remove_frame((address, Kind::Probe));
        self.reschedule(address, Phase::Conflict, Some(due));
        self.refresh(address);
        if established {
            Verdict::Disputed
        } else {
            Verdict::Withheld
        }
    }

    /// Records that a station with this MAC claims an address. Returns whether that is a control address.
    pub fn answers_control(&mut self, control: IpAddr, mac: Mac) -> bool {
        let is_control = self.controls.contains(control);
        if is_control {
            self.controls.answer(control, mac);
        }
        is_control
    }

    /// Judges the claims whose examination has ended.
    pub(super) fn judge(
        &mut self,
        now: Instant,
        turns: &mut Turns,
        random: &mut Random,
        due: &mut Due,
    ) {
        let ended = self.controls.due(now);
        for (control, address) in ended.again {
            if let Some(check) = self.checks.get(&address) {
                turns.push(now, check.netns, (control, Kind::Control), Class::Urgent, 1);
            }
        }
        due.no_owner = ended.found;
        for address in ended.addresses {
            let Some(check) = self.checks.get_mut(&address) else {
                continue;
            };
            if check.phase != Phase::Examined {
                continue;
            }
            let claimants = check.claimants.take().unwrap_or_default();
            let owner = claimants
                .into_iter()
                .find(|&mac| self.controls.station(now, mac) != Station::AnswersForAll);
            let Some(mac) = owner else {
                self.resume(now, address);
                continue;
            };
            match self.conflict(now, turns, address, mac, random) {
                Verdict::Disputed => due.disputed.push((address, mac)),
                _ => due.withheld.push((address, mac)),
            }
        }
    }

    /// Resumes the check of an address whose claims were no evidence.
    fn resume(&mut self, now: Instant, address: IpAddr) {
        let mode = self.mode;
        let Some(check) = self.checks.get(&address) else {
            return;
        };
        let (phase, due) = match check.sent {
            0 => (Phase::Waiting, now),
            1 if mode == DadMode::Optimistic && check.unannounced && !check.is_duplicate() => {
                (Phase::Grace, now)
            }
            PROBES.. => (Phase::Last, now + ANNOUNCE_WAIT),
            _ => (Phase::Waiting, now + PROBE_MIN),
        };
        self.reschedule(address, phase, Some(due));
    }
}
