//! Duplicate address detection on behalf of children.
//!
//! In: the addresses that would be answered, and claims of stations. Out: probes, each of which waits for its turn
//! ([`Turns`]), and the addresses that are withheld or not announced yet. Pure: time is an argument.
//!
//! Every new address is probed for on the LAN, with the constants of RFC 5227 §1.1, which RFC 4862
//! §5.1 allows: [`PROBES`] probes, [`PROBE_MIN`] to [`PROBE_MAX`] apart, and [`ANNOUNCE_WAIT`] after the last.
//! How [`DadMode::Optimistic`] differs:
//! - The address is answered at once, so a station that probes for it at the same time is answered and gives way:
//!   only a claim is a conflict. If its first probe is late, it is withheld until then ([`first`]).
//! - The first probe does not wait (`PROBE_WAIT`), so that an owner is found as soon as possible. The address is
//!   announced when that probe has gone unanswered for [`GRACE`], so that it is not taken away from an owner.
//!
//! **A conflict needs evidence.** A claim, or an answer to a probe, is one unless its MAC answers for control
//! addresses as well, which have no owner ([`control`]). An address in conflict is withheld: not answered, not
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
mod evidence;
pub mod first;
mod mode;
mod progress;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::{Duration, Instant},
};

use ipvlan_common::Reason;

use self::{
    check::{Check, Phase, Standing},
    control::{Controls, Station},
    first::GivenUp,
};
pub use self::{evidence::Verdict, mode::DadMode, progress::Due};
use super::{frame::Mac, random::Random, turns::Turns};
use crate::facts::NetnsId;

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

/// What is known of an address when it appears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// No agent decided about it.
    New,
    /// A previous agent answered it, and had ended its probes.
    Established,
    /// A previous agent did not answer it: its first probe had not gone unanswered.
    Unprobed,
    /// A previous agent withheld it: another station owned it.
    Withheld,
}

/// The checks of one parent.
#[derive(Debug)]
pub struct Dad {
    mode: DadMode,
    /// Addresses that are being probed for, or that a station owns. Other addresses have no state.
    checks: BTreeMap<IpAddr, Check>,
    /// The checks that go on at some time, by when.
    queue: BTreeSet<(Instant, IpAddr)>,
    /// The addresses that are withheld, and the reason of each.
    withheld: BTreeMap<IpAddr, Reason>,
    /// Addresses whose map entry is to be written: whether they are probed for has changed.
    changed: BTreeSet<IpAddr>,
    controls: Controls,
    given_up: GivenUp,
    /// Without a carrier no station receives a probe: none is sent.
    carrier: bool,
    /// How many events about probed addresses were suppressed so far.
    suppressed: u64,
}

impl Dad {
    /// Returns the state without any address.
    #[must_use]
    pub fn new(mode: DadMode) -> Self {
        Self {
            mode,
            checks: BTreeMap::new(),
            queue: BTreeSet::new(),
            withheld: BTreeMap::new(),
            changed: BTreeSet::new(),
            controls: Controls::default(),
            given_up: GivenUp::default(),
            carrier: true,
            suppressed: 0,
        }
    }

    /// Adds an address that is or would be answered, and that is to be probed for. Addresses for which the child's own
    /// kernel does so are not added. A late one is one of many that existed when the agent started: it does not go
    /// before others.
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
            Origin::New | Origin::Unprobed => Standing::New,
            Origin::Established => Standing::Established,
            Origin::Withheld => Standing::Duplicate,
        };
        let mut check = Check {
            late,
            ..Check::new(netns, standing)
        };
        if origin == Origin::Unprobed || self.given_up.contains(now, address, netns) {
            check.patience = 0;
        }
        self.checks.insert(address, check);
        self.changed.insert(address);
        self.refresh(address);
        if standing == Standing::New && self.mode == DadMode::Strict {
            let due = now + self.wait(random);
            self.reschedule(address, Phase::Waiting, Some(due));
        } else {
            self.probe(now, turns, address);
        }
    }

    /// Moves an address to another child.
    pub fn moved(&mut self, now: Instant, turns: &mut Turns, address: IpAddr, netns: NetnsId) {
        let Some(check) = self.checks.get_mut(&address) else {
            return;
        };
        check.netns = netns;
        if check.phase == Phase::Queued {
            self.probe(now, turns, address);
        }
    }

    /// Removes an address: when it comes back, it is new. The caller withdraws its frames that wait for their turn.
    pub fn remove(&mut self, now: Instant, address: IpAddr) {
        if let Some(check) = self.checks.get(&address)
            && check.unannounced
        {
            self.given_up.add(now, address, check.netns);
        }
        self.forget(address);
    }

    fn forget(&mut self, address: IpAddr) {
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

    /// Sets whether the parent has a carrier. Without one the caller withdraws the frames that wait for their turn. When
    /// it comes back, checks that were under way start again.
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
                    if check.patience > 0 {
                        check.patience = first::SHARED_PATIENCE;
                    }
                }
                self.reschedule(address, Phase::Waiting, Some(due));
            }
        }
        self.carrier = carrier;
    }

    /// Returns the addresses that are withheld because of frames from the LAN, and the reason of each.
    #[must_use]
    pub const fn withheld(&self) -> &BTreeMap<IpAddr, Reason> {
        &self.withheld
    }

    /// Returns why an address is withheld, if it is.
    #[must_use]
    pub fn refusal(&self, address: IpAddr) -> Option<Reason> {
        self.withheld.get(&address).copied()
    }

    /// Returns whether an address can be announced and defended: no station claimed it before it was answered, and each
    /// had time to do so.
    #[must_use]
    pub fn is_free(&self, address: IpAddr) -> bool {
        let check = self.checks.get(&address);
        check.is_none_or(|check| !check.unannounced && check.refusal(self.mode).is_none())
    }

    /// Returns whether an address is being probed for as one of many that existed when the agent started.
    #[must_use]
    pub fn is_late(&self, address: IpAddr) -> bool {
        self.checks.get(&address).is_some_and(|check| check.late)
    }

    /// Returns the addresses for which [`Self::is_probed`].
    pub fn probed(&self) -> impl Iterator<Item = IpAddr> {
        let checks = self.checks.iter();
        checks
            .filter(|(_, check)| !check.is_established())
            .map(|(&address, _)| address)
    }

    /// Returns whether the map entry of an address has the flag PROBED: an answer to the probes decides whether it is
    /// withheld.
    #[must_use]
    pub fn is_probed(&self, address: IpAddr) -> bool {
        let check = self.checks.get(&address);
        check.is_some_and(|check| !check.is_established())
    }

    /// Returns whether a MAC is known to answer for every address.
    #[must_use]
    pub fn answers_for_all(&self, now: Instant, mac: Mac) -> bool {
        self.controls.station(now, mac) == Station::AnswersForAll
    }

    /// Returns the control addresses that are being probed for: answers to them are to be reported.
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

    /// Returns whether [`Self::take_changed`] returns any.
    #[must_use]
    pub fn has_changed(&self) -> bool {
        !self.changed.is_empty() || self.controls.has_changed()
    }

    /// Returns the addresses that another station owns, and its MAC.
    pub fn duplicates(&self) -> impl Iterator<Item = (IpAddr, Mac)> {
        self.checks
            .iter()
            .filter_map(|(&address, check)| Some((address, check.with?)))
    }

    fn refresh(&mut self, address: IpAddr) {
        let check = self.checks.get(&address);
        match check.and_then(|check| check.refusal(self.mode)) {
            Some(reason) => self.withheld.insert(address, reason),
            None => self.withheld.remove(&address),
        };
    }
}
