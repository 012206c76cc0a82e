//! Duplicate address detection on behalf of children.
//!
//! In: the addresses that would be answered for, and what other stations claim. Out: probes that are
//! due, and the addresses that are held back or not announced yet. Pure: time is an argument.
//!
//! Every new address is asked for on the LAN, with the constants of RFC 5227 §1.1, which RFC 4862
//! §5.1 leaves room for: [`PROBES`] probes, [`PROBE_MIN`] to [`PROBE_MAX`] apart, and
//! [`ANNOUNCE_WAIT`] after the last. How [`DadMode::Optimistic`] differs:
//! - The address is answered for at once, so a station that probes for it at the same time is
//!   answered and gives way: only a claim is a conflict.
//! - The first probe does not wait (`PROBE_WAIT`): the sooner it is out, the sooner is known who was
//!   there first. The address is announced when that probe has gone unanswered for [`GRACE`], so that
//!   it is not taken away from a station that has it. From then on it is defended, too; the other
//!   probes only find who is slower.
//!
//! An address in conflict is probed for again after [`RETRY`], and after [`MAX_CONFLICTS`] conflicts
//! in a row only every [`RATE_LIMIT_INTERVAL`]: when its other holder goes away, it heals by itself.

mod check;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::{Duration, Instant},
};

use ipvlan_common::{EventKind, Reason};

use self::check::{Check, Phase};
use super::{frame::Mac, pace::Pace, random::Random};

/// `PROBE_NUM`
pub const PROBES: u8 = 3;
/// Longest time before the first probe of an address that is held back.
pub const PROBE_WAIT: Duration = Duration::from_secs(1);
/// Shortest time from one probe to the next.
pub const PROBE_MIN: Duration = Duration::from_secs(1);
/// Longest such time.
pub const PROBE_MAX: Duration = Duration::from_secs(2);
/// Time after the last probe in which it can be answered.
pub const ANNOUNCE_WAIT: Duration = Duration::from_secs(2);
/// Time after the first probe before an address that is answered for is announced.
pub const GRACE: Duration = Duration::from_millis(500);
/// Time from a conflict to the next probe: `DEFEND_INTERVAL`.
pub const RETRY: Duration = Duration::from_secs(10);
/// Conflicts in a row after which that becomes [`RATE_LIMIT_INTERVAL`].
pub const MAX_CONFLICTS: u8 = 10;
/// Time from a conflict to the next probe where there were many.
pub const RATE_LIMIT_INTERVAL: Duration = Duration::from_mins(1);

/// How many addresses are probed for at once; others stand in line, which takes less memory.
pub const AT_ONCE: usize = 10_240;

/// Whether and how new addresses are probed for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum DadMode {
    /// No.
    Off,
    /// Yes. Answer for them meanwhile; withdraw one that another station is heard to own.
    #[default]
    #[value(alias = "warn")]
    Optimistic,
    /// Yes. Answer for them only after a clean probe, 4 to 7 seconds later.
    #[value(alias = "enforce")]
    Strict,
}

/// What a claim or a probe by another station means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing here: the address is not being probed for.
    Undisputed,
    /// The address is held back, from now on or still.
    HeldBack,
    /// The address is answered for all the same, but not announced: the station may have had it
    /// first.
    Noted,
    /// The address is answered for and was announced when nobody objected: it is to be defended.
    Disputed,
}

/// What is to be done now.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// Probes to send.
    pub probes: Vec<IpAddr>,
    /// Addresses that are free to be announced from now on ([`Dad::is_free`]), and in
    /// [`DadMode::Strict`] to be answered for.
    pub freed: Vec<IpAddr>,
}

/// The checks of one parent.
#[derive(Debug)]
pub struct Dad {
    mode: DadMode,
    /// Addresses not probed for yet, where the first probe does not wait for anything else.
    line: BTreeSet<IpAddr>,
    /// When the last of them came.
    since: Option<Instant>,
    /// Addresses that are being probed for, or that others have. Of all others nothing is kept.
    checks: BTreeMap<IpAddr, Check>,
    /// The checks that go on, by when.
    queue: BTreeSet<(Instant, IpAddr)>,
    /// Without a carrier nobody hears a probe: none is sent.
    carrier: bool,
}

impl Dad {
    /// One that knows no address yet.
    #[must_use]
    pub const fn new(mode: DadMode) -> Self {
        Self {
            mode,
            line: BTreeSet::new(),
            since: None,
            checks: BTreeMap::new(),
            queue: BTreeSet::new(),
            carrier: true,
        }
    }

    /// Changes the mode. `answered` is what is answered for, and whether it is to be probed for: where
    /// nothing was probed for so far, it goes on being answered for and is not announced again.
    pub fn set_mode(
        &mut self,
        now: Instant,
        mode: DadMode,
        answered: impl Iterator<Item = (IpAddr, bool)>,
        random: &mut Random,
    ) {
        let before = std::mem::replace(&mut self.mode, mode);
        if mode != DadMode::Optimistic {
            // Answered for already: to hold them back now would cut off who talks to them.
            self.line.clear();
        }
        if mode == DadMode::Off {
            self.checks.clear();
            self.queue.clear();
        } else if before == DadMode::Off && mode == DadMode::Optimistic {
            for (address, _) in answered.filter(|&(_, probed)| probed) {
                let check = Check {
                    quiet: false,
                    ..Check::new()
                };
                self.checks.insert(address, check);
                let due = now + self.wait(random);
                self.go_on(address, Phase::Probing { sent: 0 }, Some(due));
            }
        }
    }

    /// Follows one more address that is or would be answered for, and that is to be probed for. Not so
    /// are those for which the child's own kernel does it. Returns whether it is held back, or not
    /// announced.
    pub fn add(&mut self, now: Instant, address: IpAddr, random: &mut Random) -> bool {
        match self.mode {
            DadMode::Off => return false,
            DadMode::Optimistic => {
                self.line.insert(address);
                self.since = Some(now);
            }
            DadMode::Strict => {
                let due = now + self.wait(random);
                self.checks.insert(address, Check::new());
                self.go_on(address, Phase::Probing { sent: 0 }, Some(due));
            }
        }
        true
    }

    /// Forgets one that is gone: when it comes back, it is new.
    pub fn remove(&mut self, address: IpAddr) {
        self.line.remove(&address);
        let due = self.checks.remove(&address).and_then(|check| check.due);
        if let Some(due) = due {
            self.queue.remove(&(due, address));
        }
    }

    /// The parent has a carrier, or has none. When it comes back, checks that were under way start
    /// again.
    pub fn set_carrier(&mut self, now: Instant, carrier: bool, random: &mut Random) {
        if carrier && !self.carrier {
            let under_way: Vec<IpAddr> = self
                .checks
                .iter()
                .filter(|(_, check)| check.phase != Phase::Taken)
                .map(|(&address, _)| address)
                .collect();
            for address in under_way {
                let due = now + self.wait(random);
                self.go_on(address, Phase::Probing { sent: 0 }, Some(due));
            }
        }
        self.carrier = carrier;
    }

    /// What another station did with an address of ours.
    pub fn claim(
        &mut self,
        now: Instant,
        address: IpAddr,
        mac: Mac,
        kind: EventKind,
        random: &mut Random,
    ) -> Verdict {
        let enforced = self.mode == DadMode::Strict;
        if self.line.remove(&address) {
            self.checks.insert(address, Check::new());
            self.go_on(address, Phase::Probing { sent: 0 }, Some(now));
        }
        let Some(check) = self.checks.get_mut(&address) else {
            return Verdict::Undisputed;
        };
        // Who probes for what we answer for is answered; who probes for what we probe for, too, is
        // in conflict with us (RFC 5227 §2.1.1).
        let conflicts = match kind {
            EventKind::Claim => true,
            EventKind::Probe => enforced,
            // A switch that tracks devices, or a station that confirms what it knows.
            EventKind::UnicastProbe => false,
        };
        if !conflicts {
            return Verdict::Undisputed;
        }
        let verdict = match (enforced, check.quiet) {
            (true, _) => Verdict::HeldBack,
            (false, true) => Verdict::Noted,
            (false, false) => Verdict::Disputed,
        };
        if check.phase != Phase::Taken {
            check.conflicts = check.conflicts.saturating_add(1);
        }
        check.with = Some(mac);
        let retry = if check.conflicts < MAX_CONFLICTS {
            RETRY
        } else {
            RATE_LIMIT_INTERVAL
        };
        let due = now + random.between(retry, retry + PROBE_WAIT);
        self.go_on(address, Phase::Taken, Some(due));
        verdict
    }

    /// A probe could not be sent: it is tried again.
    pub fn unsent(&mut self, now: Instant, address: IpAddr) {
        let sent = match self.checks.get(&address).map(|check| check.phase) {
            Some(Phase::Probing { sent }) => sent.saturating_sub(1),
            Some(Phase::Grace { .. }) => 0,
            Some(Phase::Waiting) => PROBES - 1,
            Some(Phase::Taken) | None => return,
        };
        self.go_on(address, Phase::Probing { sent }, Some(now + PROBE_MIN));
    }

    /// When something is due; in the past if a probe was held up by the pace.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        let since = self.since.filter(|_| self.can_start());
        let first = self.queue.first().map(|&(due, _)| due);
        let due = [since, first].into_iter().flatten().min();
        due.filter(|_| self.carrier)
    }

    fn can_start(&self) -> bool {
        !self.line.is_empty() && self.checks.len() < AT_ONCE
    }

    /// Takes what is due, as far as `pace` allows: those in line, then checks by age.
    pub fn due(&mut self, now: Instant, pace: &mut Pace, random: &mut Random) -> Due {
        let mut due = Due::default();
        while self.carrier && self.can_start() && pace.take(now) {
            let Some(address) = self.line.pop_first() else {
                break;
            };
            self.checks.insert(address, Check::new());
            due.probes.push(address);
            self.probed(now, address, 1, random);
        }
        while let Some(&(at, address)) = self.queue.first() {
            if at > now || !self.carrier {
                break;
            }
            let Some(check) = self.checks.get_mut(&address) else {
                self.queue.pop_first();
                continue;
            };
            match check.phase {
                Phase::Probing { .. } | Phase::Taken => {
                    if !pace.take(now) {
                        break;
                    }
                    due.probes.push(address);
                    let sent = match check.phase {
                        Phase::Probing { sent } => sent + 1,
                        _ => 1,
                    };
                    self.probed(now, address, sent, random);
                }
                Phase::Grace { next_probe } => {
                    due.freed.push(address);
                    check.quiet = false;
                    self.go_on(address, Phase::Probing { sent: 1 }, Some(next_probe));
                }
                Phase::Waiting => {
                    if check.quiet || self.mode == DadMode::Strict {
                        due.freed.push(address);
                    }
                    self.remove(address);
                }
            }
        }
        due
    }

    /// The probe with this number was sent.
    fn probed(&mut self, now: Instant, address: IpAddr, sent: u8, random: &mut Random) {
        let next = now + random.between(PROBE_MIN, PROBE_MAX);
        let check = self.checks.get(&address);
        let undisputed = check.is_some_and(|check| check.quiet && check.with.is_none());
        let (phase, due) = if sent == PROBES {
            (Phase::Waiting, now + ANNOUNCE_WAIT)
        } else if sent == 1 && self.mode == DadMode::Optimistic && undisputed {
            (Phase::Grace { next_probe: next }, now + GRACE)
        } else {
            (Phase::Probing { sent }, next)
        };
        self.go_on(address, phase, Some(due));
    }

    /// The addresses that are not answered for, and why. None unless the mode is
    /// [`DadMode::Strict`].
    #[must_use]
    pub fn held_back(&self) -> BTreeMap<IpAddr, Reason> {
        if !self.enforces() {
            return BTreeMap::new();
        }
        self.checks
            .iter()
            .map(|(&address, check)| (address, check.refusal()))
            .collect()
    }

    /// Why this address is held back, if it is.
    #[must_use]
    pub fn refusal(&self, address: IpAddr) -> Option<Reason> {
        let check = self.checks.get(&address).filter(|_| self.enforces())?;
        Some(check.refusal())
    }

    /// Whether addresses are held back at all.
    #[must_use]
    pub fn enforces(&self) -> bool {
        self.mode == DadMode::Strict
    }

    /// Whether the address is free to be announced: nobody said that it is his before it was, and who
    /// might have had time to say so.
    #[must_use]
    pub fn is_free(&self, address: IpAddr) -> bool {
        let check = self.checks.get(&address);
        !self.line.contains(&address)
            && check.is_none_or(|check| self.mode == DadMode::Optimistic && !check.quiet)
    }

    /// The addresses that another station has, and its MAC.
    pub fn taken(&self) -> impl Iterator<Item = (IpAddr, Mac)> {
        self.checks
            .iter()
            .filter_map(|(&address, check)| Some((address, check.with?)))
    }

    /// How long the first probe waits.
    fn wait(&self, random: &mut Random) -> Duration {
        if self.mode == DadMode::Strict {
            random.between(Duration::ZERO, PROBE_WAIT)
        } else {
            Duration::ZERO
        }
    }

    fn go_on(&mut self, address: IpAddr, phase: Phase, due: Option<Instant>) {
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

#[cfg(test)]
mod tests;
