//! Duplicate address detection on behalf of children.
//!
//! In: the addresses that would be answered for, and what other stations claim. Out: probes that are
//! due, and the addresses that are held back or not announced yet. Pure: time is an argument.
//!
//! Every new address is asked for on the LAN, with the constants of RFC 5227 §1.1, which RFC 4862
//! §5.1 leaves room for: [`PROBES`] probes, [`PROBE_MIN`] to [`PROBE_MAX`] apart, and
//! [`ANNOUNCE_WAIT`] after the last. How [`DadMode::Warn`] differs:
//! - The address is answered for at once, so a station that probes for it at the same time is
//!   answered and gives way: only a claim is a conflict.
//! - The first probe does not wait (`PROBE_WAIT`): the sooner it is out, the sooner is known who was
//!   there first. The address is announced when that probe has gone unanswered for [`GRACE`], so that
//!   it is not taken away from a station that has it. From then on it is defended, too; the other
//!   probes only find who is slower.
//!
//! An address in conflict is probed for again after [`RETRY`], and after [`MAX_CONFLICTS`] conflicts
//! in a row only every [`RATE_LIMIT_INTERVAL`]: when its other holder goes away, it heals by itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::{Duration, Instant},
};

use ipvlan_common::{EventKind, Reason};

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

/// Whether and how new addresses are probed for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum DadMode {
    /// No.
    Off,
    /// Yes; they are answered for meanwhile, and a duplicate is told and not announced.
    #[default]
    Warn,
    /// Yes; they are answered for only once nobody was heard to have them, 4 to 7 seconds later. So
    /// it is at start, too, and when the parent comes up.
    Enforce,
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
    /// [`DadMode::Enforce`] to be answered for.
    pub freed: Vec<IpAddr>,
}

/// The checks of one parent.
#[derive(Debug)]
pub struct Dad {
    mode: DadMode,
    checks: BTreeMap<IpAddr, Check>,
    /// The checks that go on, by when.
    queue: BTreeSet<(Instant, IpAddr)>,
    /// Without a carrier nobody hears a probe: none is sent.
    carrier: bool,
}

#[derive(Debug)]
struct Check {
    phase: Phase,
    due: Option<Instant>,
    /// In a row.
    conflicts: u8,
    /// Who has it, as far as is known.
    with: Option<Mac>,
    /// Not announced yet: the first probe may still be answered, or was.
    quiet: bool,
}

impl Check {
    /// Why the address is held back where that is done.
    fn refusal(&self) -> Option<Reason> {
        match (self.phase, self.with) {
            (Phase::Free, _) => None,
            (_, Some(_)) => Some(Reason::Duplicate),
            (_, None) => Some(Reason::Probing),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// So many probes were sent, more are to follow.
    Probing { sent: u8 },
    /// The first probe was sent, and may be answered at any moment.
    Grace { next_probe: Instant },
    /// The last probe was sent.
    Waiting,
    /// Nobody else has it.
    Free,
    /// Somebody has it.
    Taken,
}

impl Dad {
    /// One that knows no address yet.
    #[must_use]
    pub const fn new(mode: DadMode) -> Self {
        Self {
            mode,
            checks: BTreeMap::new(),
            queue: BTreeSet::new(),
            carrier: true,
        }
    }

    /// Changes the mode. `answered` is what is answered for, as [`Self::follow`] has it: where nothing
    /// was probed for so far, it goes on being answered for and is not announced again.
    pub fn set_mode(
        &mut self,
        now: Instant,
        mode: DadMode,
        answered: impl Iterator<Item = (IpAddr, bool)>,
        random: &mut Random,
    ) {
        let before = std::mem::replace(&mut self.mode, mode);
        if mode == DadMode::Off {
            self.checks.clear();
            self.queue.clear();
        } else if before == DadMode::Off {
            for (address, probed) in answered {
                // To hold it back until it is probed for would cut off who talks to it.
                let probes = probed && mode == DadMode::Warn;
                let mut check = Check {
                    phase: Phase::Free,
                    due: None,
                    conflicts: 0,
                    with: None,
                    quiet: false,
                };
                if probes {
                    check.phase = Phase::Probing { sent: 0 };
                    let due = now + self.wait(random);
                    check.due = Some(due);
                    self.queue.insert((due, address));
                }
                self.checks.insert(address, check);
            }
        }
    }

    /// Follows the addresses that are or would be answered for; `true` for those to be probed for.
    /// Not so are those for which the child's own kernel does it. What is gone is forgotten: when it
    /// comes back, it is new.
    ///
    /// Returns whether something is held back, or not announced, that was not known before.
    pub fn follow(
        &mut self,
        now: Instant,
        addresses: &BTreeMap<IpAddr, bool>,
        random: &mut Random,
    ) -> bool {
        if self.mode == DadMode::Off {
            return false;
        }
        let queue = &mut self.queue;
        self.checks.retain(|address, check| {
            let stays = addresses.contains_key(address);
            if !stays && let Some(due) = check.due {
                queue.remove(&(due, *address));
            }
            stays
        });
        let mut new = false;
        for (&address, &probed) in addresses {
            if self.checks.contains_key(&address) {
                continue;
            }
            new |= probed;
            let mut check = Check {
                phase: Phase::Free,
                due: None,
                conflicts: 0,
                with: None,
                quiet: probed,
            };
            if probed {
                check.phase = Phase::Probing { sent: 0 };
                let due = now + self.wait(random);
                check.due = Some(due);
                self.queue.insert((due, address));
            }
            self.checks.insert(address, check);
        }
        new
    }

    /// The parent has a carrier, or has none. When it comes back, checks that were under way start
    /// again.
    pub fn set_carrier(&mut self, now: Instant, carrier: bool, random: &mut Random) {
        if carrier && !self.carrier {
            let under_way: Vec<IpAddr> = self
                .checks
                .iter()
                .filter(|(_, check)| !matches!(check.phase, Phase::Free | Phase::Taken))
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
        let enforced = self.mode == DadMode::Enforce;
        let Some(check) = self.checks.get_mut(&address) else {
            return Verdict::Undisputed;
        };
        // Who probes for what we answer for is answered; who probes for what we probe for, too, is
        // in conflict with us (RFC 5227 §2.1.1).
        let conflicts = match kind {
            EventKind::Claim => true,
            EventKind::Probe => enforced,
        };
        if check.phase == Phase::Free || !conflicts {
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
            Some(Phase::Free | Phase::Taken) | None => return,
        };
        self.go_on(address, Phase::Probing { sent }, Some(now + PROBE_MIN));
    }

    /// When something is due; in the past if a probe was held up by the pace.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        let first = self.queue.first().filter(|_| self.carrier);
        first.map(|&(due, _)| due)
    }

    /// Takes what is due, as far as `pace` allows.
    pub fn due(&mut self, now: Instant, pace: &mut Pace, random: &mut Random) -> Due {
        let mut due = Due::default();
        while let Some(&(at, address)) = self.queue.first() {
            if at > now || !self.carrier {
                break;
            }
            let Some(check) = self.checks.get_mut(&address) else {
                self.queue.pop_first();
                continue;
            };
            let (phase, next) = match check.phase {
                Phase::Probing { .. } | Phase::Taken => {
                    if !pace.take(now) {
                        break;
                    }
                    due.probes.push(address);
                    let sent = match check.phase {
                        Phase::Probing { sent } => sent + 1,
                        _ => 1,
                    };
                    let next = now + random.between(PROBE_MIN, PROBE_MAX);
                    if sent == PROBES {
                        (Phase::Waiting, Some(now + ANNOUNCE_WAIT))
                    } else if sent == 1
                        && self.mode == DadMode::Warn
                        && check.quiet
                        && check.with.is_none()
                    {
                        (Phase::Grace { next_probe: next }, Some(now + GRACE))
                    } else {
                        (Phase::Probing { sent }, Some(next))
                    }
                }
                Phase::Grace { next_probe } => {
                    due.freed.push(address);
                    check.quiet = false;
                    (Phase::Probing { sent: 1 }, Some(next_probe))
                }
                Phase::Waiting => {
                    if check.quiet || self.mode == DadMode::Enforce {
                        due.freed.push(address);
                    }
                    check.quiet = false;
                    check.with = None;
                    check.conflicts = 0;
                    (Phase::Free, None)
                }
                Phase::Free => (Phase::Free, None),
            };
            self.go_on(address, phase, next);
        }
        due
    }

    /// The addresses that are not answered for, and why. None unless the mode is
    /// [`DadMode::Enforce`].
    #[must_use]
    pub fn held_back(&self) -> BTreeMap<IpAddr, Reason> {
        if !self.enforces() {
            return BTreeMap::new();
        }
        self.checks
            .iter()
            .filter_map(|(&address, check)| Some((address, check.refusal()?)))
            .collect()
    }

    /// Why this address is held back, if it is.
    #[must_use]
    pub fn refusal(&self, address: IpAddr) -> Option<Reason> {
        let check = self.checks.get(&address).filter(|_| self.enforces())?;
        check.refusal()
    }

    /// Whether addresses are held back at all.
    #[must_use]
    pub fn enforces(&self) -> bool {
        self.mode == DadMode::Enforce
    }

    /// Whether the address is free to be announced: nobody said that it is his before it was, and who
    /// might have had time to say so.
    #[must_use]
    pub fn is_free(&self, address: IpAddr) -> bool {
        self.checks
            .get(&address)
            .is_none_or(|check| match self.mode {
                DadMode::Off => true,
                DadMode::Warn => !check.quiet,
                DadMode::Enforce => check.phase == Phase::Free,
            })
    }

    /// The addresses that another station has, and its MAC.
    pub fn taken(&self) -> impl Iterator<Item = (IpAddr, Mac)> {
        self.checks
            .iter()
            .filter_map(|(&address, check)| Some((address, check.with?)))
    }

    /// How long the first probe waits.
    fn wait(&self, random: &mut Random) -> Duration {
        if self.mode == DadMode::Enforce {
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
