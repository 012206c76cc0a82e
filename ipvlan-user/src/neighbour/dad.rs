//! Duplicate address detection on behalf of children.
//!
//! In: the addresses that would be answered, and what other stations claim. Out: probes, of which each waits
//! for its turn ([`Turns`]), and the addresses that are withheld or not announced yet. Pure: time is an
//! argument.
//!
//! Every new address is probed for on the LAN, with the constants of RFC 5227 §1.1, which RFC 4862
//! §5.1 allows: [`PROBES`] probes, [`PROBE_MIN`] to [`PROBE_MAX`] apart, and [`ANNOUNCE_WAIT`] after the last.
//! How [`DadMode::Optimistic`] differs:
//! - The address is answered at once, so a station that probes for it at the same time is
//!   answered and gives way: only a claim is a conflict.
//! - The first probe does not wait (`PROBE_WAIT`): the sooner it is out, the sooner is known who was
//!   there first. The address is announced when that probe has gone unanswered for [`GRACE`], so that
//!   it is not taken away from a station that has it.
//!
//! **A conflict needs evidence.** A claim, or an answer to a probe, is one unless its MAC answers for control
//! addresses as well, which nobody has ([`control`]). An address in conflict is withheld: not answered, not
//! announced, not defended. A station that probes for the address at the same time is a conflict in
//! [`DadMode::Strict`] (RFC 5227 §2.1.1).
//!
//! **An established address is kept.** Once its probes went unanswered, or if it was answered before they were
//! sent (maps of a previous agent, a mode that was changed), an address is never withheld but defended.
//!
//! An address in conflict is probed for again after [`RETRY`], and after [`MAX_CONFLICTS`] conflicts
//! in a row only every [`RATE_LIMIT_INTERVAL`]: when its other owner is gone, it comes back by itself.
//!
//! **Silence must be one.** Where events about probed addresses were suppressed, an answer can be among them:
//! the last probe is sent once more, at most [`EXTENSIONS`] times, so that no station can withhold an address
//! for ever without claiming it.

mod check;
pub mod control;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::{Duration, Instant},
};

use ipvlan_common::{EventKind, Reason};

use self::{
    check::{Check, Phase, Standing},
    control::{Controls, Neighbourhood, Station},
};
use super::{
    frame::Mac,
    random::Random,
    turns::{Class, Kind, Turns},
};
use crate::discover::snapshot::NetnsId;

/// `PROBE_NUM`
pub const PROBES: u8 = 3;
/// Longest time before the first probe of an address that is withheld.
pub const PROBE_WAIT: Duration = Duration::from_secs(1);
/// Shortest time from one probe to the next.
pub const PROBE_MIN: Duration = Duration::from_secs(1);
/// Longest such time.
pub const PROBE_MAX: Duration = Duration::from_secs(2);
/// Time after the last probe in which it can be answered.
pub const ANNOUNCE_WAIT: Duration = Duration::from_secs(2);
/// Time after the first probe before an address that is answered is announced.
pub const GRACE: Duration = Duration::from_millis(500);
/// Time from a conflict to the next probe: `DEFEND_INTERVAL`.
pub const RETRY: Duration = Duration::from_secs(10);
/// Conflicts in a row after which that becomes [`RATE_LIMIT_INTERVAL`].
pub const MAX_CONFLICTS: u8 = 10;
/// Time from a conflict to the next probe where there were many.
pub const RATE_LIMIT_INTERVAL: Duration = Duration::from_mins(1);
/// How often a probe is repeated because events were suppressed after it.
pub const EXTENSIONS: u8 = 2;

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

/// What is known of an address when it appears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nothing.
    New,
    /// A previous agent answered for it, and was not probing for it any more.
    Established,
    /// A previous agent withheld it: another station had it.
    Withheld,
}

/// What a claim or a probe by another station means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing here: the address is not being probed for.
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

/// What happened to addresses whose time has come.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// Addresses that can be announced from now on ([`Dad::is_free`]).
    pub free: Vec<IpAddr>,
    /// Addresses that were withheld and can be answered, then announced.
    pub released: Vec<IpAddr>,
    /// Addresses that are withheld from now on, and the MAC that owns each.
    pub withheld: Vec<(IpAddr, Mac)>,
    /// Established addresses that another station claims, and its MAC: they are to be defended.
    pub disputed: Vec<(IpAddr, Mac)>,
    /// MACs that were found to answer for every address.
    pub no_owner: Vec<Mac>,
}

/// The checks of one parent.
#[derive(Debug)]
pub struct Dad {
    mode: DadMode,
    /// Addresses that are being probed for, or that others have. Of all others nothing is kept.
    checks: BTreeMap<IpAddr, Check>,
    /// The checks that go on at some time, by when.
    queue: BTreeSet<(Instant, IpAddr)>,
    /// The addresses that are withheld, and why.
    withheld: BTreeMap<IpAddr, Reason>,
    /// Addresses whose map entry is to be written: whether they are probed for has changed.
    changed: BTreeSet<IpAddr>,
    controls: Controls,
    /// Without a carrier no station receives a probe: none is sent.
    carrier: bool,
    /// How many events about probed addresses were suppressed so far.
    suppressed: u64,
}

impl Dad {
    /// One that knows no address yet.
    #[must_use]
    pub fn new(mode: DadMode) -> Self {
        Self {
            mode,
            checks: BTreeMap::new(),
            queue: BTreeSet::new(),
            withheld: BTreeMap::new(),
            changed: BTreeSet::new(),
            controls: Controls::default(),
            carrier: true,
            suppressed: 0,
        }
    }

    /// Changes the mode. `answered` are the addresses that are answered and their netns, without those that
    /// are not to be probed for: none of them is withheld or announced again. Returns the addresses that were
    /// not announced so far and can be.
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
                    if check.quiet {
                        released.push(address);
                    }
                }
                self.queue.clear();
                self.withheld.clear();
                self.controls.clear();
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
                for (&address, check) in checks.by_ref().filter(|(_, check)| !check.is_duplicate())
                {
                    check.standing = Standing::Established;
                    if std::mem::take(&mut check.quiet) {
                        released.push(address);
                    }
                    self.changed.insert(address);
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

    /// Follows one more address that is or would be answered, and that is to be probed for. Not so
    /// are those for which the child's own kernel does it. A late one is one of many that were there when the
    /// agent started: it does not go before others.
    pub fn add(
        &mut self,
        now: Instant,
        turns: &mut Turns,
        (address, netns): (IpAddr, NetnsId),
        (origin, late): (Origin, bool),
        random: &mut Random,
    ) {
        if self.mode == DadMode::Off {
            return;
        }
        let standing = match origin {
            Origin::New => Standing::New,
            Origin::Established => Standing::Established,
            Origin::Withheld => Standing::Duplicate,
        };
        let check = Check {
            late,
            ..Check::new(netns, standing)
        };
        self.checks.insert(address, check);
        self.changed.insert(address);
        self.refresh(address);
        if origin == Origin::New && self.mode == DadMode::Strict {
            let due = now + self.wait(random);
            self.reschedule(address, Phase::Waiting, Some(due));
        } else {
            self.probe(now, turns, address);
        }
    }

    /// Follows an address that is another child's now.
    pub fn moved(&mut self, now: Instant, turns: &mut Turns, address: IpAddr, netns: NetnsId) {
        let Some(check) = self.checks.get_mut(&address) else {
            return;
        };
        check.netns = netns;
        if check.phase == Phase::Queued {
            self.probe(now, turns, address);
        }
    }

    /// Forgets one that is gone: when it comes back, it is new. The caller withdraws what waits for its turn.
    pub fn remove(&mut self, address: IpAddr) {
        self.withheld.remove(&address);
        let Some(check) = self.checks.remove(&address) else {
            return;
        };
        if let Some(due) = check.due {
            self.queue.remove(&(due, address));
        }
        if check.phase == Phase::Examined {
            self.controls.remove(address);
        }
    }

    /// The parent has a carrier, or has none: then the caller withdraws what waits for its turn. When it comes
    /// back, checks that were under way start again.
    pub fn set_carrier(&mut self, now: Instant, carrier: bool, random: &mut Random) {
        if !carrier {
            self.controls.clear();
        }
        if carrier && !self.carrier {
            let under_way: Vec<IpAddr> = self
                .checks
                .iter()
                .filter(|(_, check)| check.phase != Phase::Conflict)
                .map(|(&address, _)| address)
                .collect();
            for address in under_way {
                let due = now + self.wait(random);
                if let Some(check) = self.checks.get_mut(&address) {
                    check.sent = 0;
                    check.claimants = None;
                }
                self.reschedule(address, Phase::Waiting, Some(due));
            }
        }
        self.carrier = carrier;
    }

    /// What another station did with an address of ours. Its MAC is none of the host's.
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

    /// Another station has the address.
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
            check.quiet = true;
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

    /// A station with this MAC claims a control address. Returns whether it is one.
    pub fn answers_control(&mut self, control: IpAddr, mac: Mac) -> bool {
        let is_control = self.controls.contains(control);
        if is_control {
            self.controls.answer(control, mac);
        }
        is_control
    }

    /// It is the turn of a probe for this address. Returns whether it is still to be sent.
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
            && check.quiet
            && !check.is_duplicate()
        {
            (Phase::Grace, now + GRACE)
        } else {
            (Phase::Waiting, next)
        };
        self.reschedule(address, phase, Some(due));
        true
    }

    /// The probe for a control address was sent.
    pub fn control_sent(&mut self, now: Instant, control: IpAddr) {
        self.controls.sent(now, control);
    }

    /// A probe could not be sent: it is tried again.
    pub fn unsent(&mut self, now: Instant, address: IpAddr) {
        let Some(check) = self.checks.get_mut(&address) else {
            return;
        };
        if matches!(check.phase, Phase::Waiting | Phase::Grace | Phase::Last) {
            check.sent = check.sent.saturating_sub(1);
            self.reschedule(address, Phase::Waiting, Some(now + PROBE_MIN));
        }
    }

    /// When [`Self::due`] is to be called.
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
                Phase::Waiting | Phase::Conflict => self.probe(now, turns, address),
                Phase::Grace | Phase::Last if check.is_doubtful(suppressed) => {
                    check.suppressed = suppressed;
                    check.extensions += 1;
                    check.sent -= 1;
                    self.probe(now, turns, address);
                }
                Phase::Grace => {
                    if std::mem::take(&mut check.quiet) {
                        due.free.push(address);
                    }
                    let sent = now.checked_sub(GRACE).unwrap_or(now);
                    let next = sent + random.between(PROBE_MIN, PROBE_MAX);
                    self.reschedule(address, Phase::Waiting, Some(next));
                }
                Phase::Last => {
                    if check.refusal(self.mode).is_some() {
                        due.released.push(address);
                    } else if check.quiet {
                        due.free.push(address);
                    }
                    self.remove(address);
                    self.changed.insert(address);
                }
                Phase::Queued | Phase::Examined => {}
            }
        }
        due
    }

    /// Judges the claims whose examination has ended.
    fn judge(&mut self, now: Instant, turns: &mut Turns, random: &mut Random, due: &mut Due) {
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

    /// The claims of an address were no evidence: its check goes on where it was.
    fn resume(&mut self, now: Instant, address: IpAddr) {
        let mode = self.mode;
        let Some(check) = self.checks.get(&address) else {
            return;
        };
        let (phase, due) = match check.sent {
            0 => (Phase::Waiting, now),
            1 if mode == DadMode::Optimistic && check.quiet && !check.is_duplicate() => {
                (Phase::Grace, now)
            }
            PROBES.. => (Phase::Last, now + ANNOUNCE_WAIT),
            _ => (Phase::Waiting, now + PROBE_MIN),
        };
        self.reschedule(address, phase, Some(due));
    }

    /// Lets the next probe for an address wait for its turn.
    fn probe(&mut self, now: Instant, turns: &mut Turns, address: IpAddr) {
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
        self.reschedule(address, Phase::Queued, None);
    }

    /// The addresses that are not answered because of what was received from the LAN, and why.
    #[must_use]
    pub const fn withheld(&self) -> &BTreeMap<IpAddr, Reason> {
        &self.withheld
    }

    /// Why this address is withheld, if it is.
    #[must_use]
    pub fn refusal(&self, address: IpAddr) -> Option<Reason> {
        self.withheld.get(&address).copied()
    }

    /// Whether the address can be announced and defended: no station claimed it before it was, and each
    /// had time to do so.
    #[must_use]
    pub fn is_free(&self, address: IpAddr) -> bool {
        let check = self.checks.get(&address);
        check.is_none_or(|check| !check.quiet && check.refusal(self.mode).is_none())
    }

    /// Whether it is being probed for as one of many that were there when the agent started.
    #[must_use]
    pub fn is_late(&self, address: IpAddr) -> bool {
        self.checks.get(&address).is_some_and(|check| check.late)
    }

    /// The addresses for which [`Self::is_probed`].
    pub fn probed(&self) -> impl Iterator<Item = IpAddr> {
        let checks = self.checks.iter();
        checks
            .filter(|(_, check)| !check.is_established())
            .map(|(&address, _)| address)
    }

    /// Whether the map entry of the address has the flag PROBED: an answer to the probes decides whether it
    /// is withheld.
    #[must_use]
    pub fn is_probed(&self, address: IpAddr) -> bool {
        let check = self.checks.get(&address);
        check.is_some_and(|check| !check.is_established())
    }

    /// The control addresses that are being probed for: answers to them are to be reported.
    pub fn controls(&self) -> impl Iterator<Item = IpAddr> {
        self.controls.addresses()
    }

    /// Returns the addresses whose map entry is to be written once more: those that are probed for or not any
    /// more, and control addresses.
    pub fn take_changed(&mut self) -> BTreeSet<IpAddr> {
        let mut changed = self.controls.take_changed();
        changed.append(&mut self.changed);
        changed
    }

    /// Whether [`Self::take_changed`] returns any.
    #[must_use]
    pub fn has_changed(&self) -> bool {
        !self.changed.is_empty() || self.controls.has_changed()
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

    fn refresh(&mut self, address: IpAddr) {
        let check = self.checks.get(&address);
        match check.and_then(|check| check.refusal(self.mode)) {
            Some(reason) => self.withheld.insert(address, reason),
            None => self.withheld.remove(&address),
        };
    }

    fn reschedule(&mut self, address: IpAddr, phase: Phase, due: Option<Instant>) {
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
