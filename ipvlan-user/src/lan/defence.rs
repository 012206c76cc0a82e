//! Claims of addresses that are answered: when such an address is defended, and when no more.
//!
//! In: claims by other stations. Out: defences, of which each waits for its turn ([`Turns`]). Pure: time is an
//! argument.
//!
//! - **A moment's grace.** A station that announces a child's address may be the one that the child is giving it
//!   up to: failback of a virtual address, a pod that moves. The address is defended [`GRACE`] after the claim,
//!   and only if the child still has it. By then the station has ended its announcements, so they are one claim.
//! - **Once.** RFC 5227 §2.4(b): a claim within [`DEFEND_INTERVAL`] after a defence means that the station defends
//!   it, too. Then the address is *yielded*: answered as before, but neither announced nor defended until no
//!   station has claimed it for [`CALM`]. Two agents with the same address send one defence each at most.
//! - An address that is not defended is not announced again either after a claim: that would be a defence.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::{Duration, Instant},
};

use super::{
    frame::Mac,
    random::Random,
    turns::{Class, Kind, Turns},
};
use crate::facts::NetnsId;

/// Time from a claim to the defence. It exceeds the announcements of a station: two, 2 s apart (RFC 5227 §1.1),
/// or three of an agent within 2.2 s.
pub const GRACE: Duration = Duration::from_millis(2500);
/// How much longer that may be, so that two agents do not defend at the same moment.
pub const JITTER: Duration = Duration::from_millis(400);
/// Time after a defence within which a claim means that the conflict continues: `DEFEND_INTERVAL` (RFC 5227 §1.1).
pub const DEFEND_INTERVAL: Duration = Duration::from_secs(10);
/// Time without a claim after which an address is announced and defended again.
pub const CALM: Duration = Duration::from_mins(10);

/// Whether addresses are defended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Defending {
    /// No: claims are reported.
    Off,
    /// Yes, in modes l3 and l3s: once, after a moment's grace. In l2 no kernel defends an address.
    #[default]
    On,
}

/// The conflicts of one parent.
#[derive(Debug, Default)]
pub struct Defence {
    conflicts: BTreeMap<IpAddr, Conflict>,
    /// The defences that wait for the end of the grace, by when that is.
    queue: BTreeSet<(Instant, IpAddr)>,
}

#[derive(Debug)]
struct Conflict {
    /// The station that claimed the address last.
    mac: Mac,
    /// When it did.
    last: Instant,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// To be defended at this time.
    Grace(Instant),
    /// The defence waits for its turn.
    Queued,
    /// Defended at this time.
    Defended(Instant),
    /// Neither defended nor announced: the conflict went on after a defence.
    Yielded,
    /// Neither defended nor announced: it is not to be.
    Undefended,
}

impl Conflict {
    /// Returns whether a claim at this time is a new conflict.
    fn is_over(&self, now: Instant) -> bool {
        let since = |at| now.saturating_duration_since(at);
        match self.stage {
            Stage::Grace(_) | Stage::Queued => false,
            Stage::Defended(at) => since(at) >= DEFEND_INTERVAL,
            Stage::Yielded | Stage::Undefended => since(self.last) >= CALM,
        }
    }
}

impl Defence {
    /// Records a claim by another station of an address that is answered. `defends` is whether it is to be defended.
    /// Returns whether it is yielded.
    pub fn claim(
        &mut self,
        now: Instant,
        random: &mut Random,
        (address, mac): (IpAddr, Mac),
        defends: bool,
    ) -> bool {
        let before = self
            .conflicts
            .get(&address)
            .filter(|before| !before.is_over(now))
            .map(|before| before.stage);
        let stage = match before {
            Some(Stage::Defended(_)) => Stage::Yielded,
            Some(stage) => stage,
            None if defends => {
                self.conflicts.retain(|_, conflict| !conflict.is_over(now));
                let due = now + random.between(GRACE, GRACE + JITTER);
                self.queue.insert((due, address));
                Stage::Grace(due)
            }
            None => Stage::Undefended,
        };
        let last = now;
        self.conflicts
            .insert(address, Conflict { mac, last, stage });
        stage == Stage::Yielded
    }

    /// Returns when [`Self::due`] is to be called.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        self.queue.first().map(|&(due, _)| due)
    }

    /// Lets the defences whose grace has ended wait for their turn. `netns_of` knows the addresses that are still
    /// to be defended, and their netns.
    pub fn due(
        &mut self,
        now: Instant,
        turns: &mut Turns,
        netns_of: impl Fn(IpAddr) -> Option<NetnsId>,
    ) {
        while let Some(&(at, address)) = self.queue.first()
            && at <= now
        {
            self.queue.pop_first();
            let Some(conflict) = self.conflicts.get_mut(&address) else {
                continue;
            };
            conflict.stage = Stage::Undefended;
            if let Some(netns) = netns_of(address) {
                conflict.stage = Stage::Queued;
                turns.push(now, netns, (address, Kind::Defence), Class::Defence, 1);
            }
        }
    }

    /// Takes the turn of a defence of this address. Returns the MAC that it is defended against; `None` if it is no
    /// longer to be defended.
    pub fn turn(&mut self, now: Instant, address: IpAddr) -> Option<Mac> {
        let conflict = self.conflicts.get_mut(&address)?;
        let is_queued = conflict.stage == Stage::Queued;
        is_queued.then(|| {
            conflict.stage = Stage::Defended(now);
            conflict.mac
        })
    }

    /// Returns whether an address can be announced: no station claims it, or it was defended since.
    #[must_use]
    pub fn is_settled(&self, now: Instant, address: IpAddr) -> bool {
        let conflict = self.conflicts.get(&address);
        conflict.is_none_or(|of| matches!(of.stage, Stage::Defended(_)) || of.is_over(now))
    }

    /// Returns the addresses that are yielded, and the MAC that claimed each last.
    pub fn yielded(&self, now: Instant) -> impl Iterator<Item = (IpAddr, Mac)> {
        self.conflicts
            .iter()
            .filter(move |(_, of)| of.stage == Stage::Yielded && !of.is_over(now))
            .map(|(&address, of)| (address, of.mac))
    }

    /// Forgets the claims of an address. The caller withdraws what waits for its turn.
    pub fn remove(&mut self, address: IpAddr) {
        if let Some(conflict) = self.conflicts.remove(&address)
            && let Stage::Grace(due) = conflict.stage
        {
            self.queue.remove(&(due, address));
        }
    }

    /// Forgets all claims. The caller withdraws what waits for its turn.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conflicts_that_are_over_are_forgotten() {
        let mut now = Instant::now();
        let mut defence = Defence::default();
        let mut random = Random::seeded(7);
        let mut turns = Turns::new(now, 1000, 1000);
        for last in 0..50 {
            let claim = ([192, 0, 2, last].into(), Mac::default());
            defence.claim(now, &mut random, claim, true);
        }
        now += GRACE + JITTER;
        defence.due(now, &mut turns, |_| Some(NetnsId::Own));
        while let Some((address, _)) = turns.next(now) {
            assert!(defence.turn(now, address).is_some());
        }
        now += DEFEND_INTERVAL;
        let claim = ([192, 0, 2, 1].into(), Mac::default());
        defence.claim(now, &mut random, claim, true);
        assert_eq!(defence.conflicts.len(), 1);
        defence.clear();
        assert_eq!(defence.next_due(), None);
    }
}
