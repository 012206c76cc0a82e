//! The schedule of one parent: decides which frames are sent and when, and judges claims and probes of stations.

mod claims;
mod event;
mod quota;
mod send;
mod update;
mod view;

use std::{collections::BTreeMap, io, net::IpAddr, time::Instant};

use self::quota::EventQuota;
pub use self::{event::Moment, update::Adopted};
use super::{
    Announcing, Candidate, LanPolicy,
    announce::{Announce, Announced},
    dad::{Dad, Due},
    defence::{Defence, Defending},
    frame::Mac,
    incidents::{Action, Incident, Incidents, Kind},
    memberships::Memberships,
    random::Random,
    socket::PacketSocket,
    turns::{self, Turns},
};
use crate::{facts::NetnsId, quota::Quotas};

/// The announcements, probes, defences, groups and incidents of one parent. It is apart from `Lan`
/// because every method takes the time and the candidates, so tests run it without an agent.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, each read by name"
)]
#[derive(Debug)]
pub struct Schedule {
    parent: String,
    mac: Mac,
    /// The parent is up and has a carrier and a MAC: stations receive its frames.
    can_send: bool,
    candidates: BTreeMap<IpAddr, Candidate>,
    /// The addresses of adopted maps that were not added yet.
    adopted: Adopted,
    /// [`Self::update`] was called.
    is_started: bool,
    /// None when they are switched off.
    announce: Option<Announce>,
    defends: bool,
    defence: Defence,
    dad: Dad,
    turns: Turns,
    /// Addresses that were withheld, and are announced once they are answered.
    released: Vec<IpAddr>,
    memberships: Memberships,
    socket: PacketSocket,
    /// Why the last frame could not be sent.
    failure: Option<io::Error>,
    random: Random,
    events: EventQuota,
    incidents: Incidents,
    /// A MAC that answers for every address was found.
    no_owner: bool,
    /// The short names of netns with children, for the log.
    netnses: BTreeMap<NetnsId, String>,
}

impl Schedule {
    /// Opens a socket on the interface with this ifindex in the netns of the calling thread.
    pub fn open(
        now: Instant,
        ifindex: u32,
        policy: LanPolicy,
        quotas: &Quotas,
    ) -> io::Result<Self> {
        let socket = PacketSocket::open(ifindex)?;
        Ok(Self::new(now, ifindex, policy, quotas, socket))
    }

    fn new(
        now: Instant,
        ifindex: u32,
        policy: LanPolicy,
        quotas: &Quotas,
        socket: PacketSocket,
    ) -> Self {
        Self {
            parent: String::new(),
            mac: Mac::default(),
            can_send: false,
            candidates: BTreeMap::new(),
            adopted: Adopted::default(),
            is_started: false,
            announce: (policy.announce == Announcing::On).then(|| Announce::new(policy.refresh)),
            defends: policy.defend == Defending::On,
            defence: Defence::default(),
            dad: Dad::new(policy.dad),
            turns: Turns::new(now, policy.rate, quotas.announcements),
            released: Vec::new(),
            memberships: Memberships::new(ifindex, quotas.groups),
            socket,
            failure: None,
            random: Random::new(),
            events: EventQuota::new(quotas.events),
            incidents: Incidents::new(now),
            no_owner: false,
            netnses: BTreeMap::new(),
        }
    }

    /// Takes over the decisions of previous agents, until [`Self::forget_adopted`]. Called before the first
    /// [`Self::update`].
    pub fn adopt(&mut self, adopted: Adopted) {
        self.adopted = adopted;
    }

    /// Returns when to call [`Self::advance`] and [`Self::send`]; `None` if nothing is due.
    #[must_use]
    pub fn next_due(&self, now: Instant) -> Option<Instant> {
        let announce = self.announce.as_ref().and_then(Announce::next_due);
        let turns = self.turns.next_due(now).filter(|_| self.can_send);
        [
            announce,
            self.defence.next_due(),
            self.dad.next_due(),
            turns,
            self.memberships.retry(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Does what is due except sending: the map entries that [`Self::take_changed`] returns are to be written first.
    /// `suppressed` is how many events about probed addresses the programs have suppressed. Returns as
    /// [`Self::update`] does.
    pub fn advance(&mut self, moment: Moment<'_>, suppressed: u64) -> bool {
        let now = moment.now;
        if self.memberships.retry().is_some_and(|at| at <= now) {
            self.memberships.join(now);
        }
        if let Some(announce) = &mut self.announce {
            announce.due(now, &mut self.turns);
        }
        self.advance_defence(now);
        let Due {
            free,
            released,
            unprobed,
            withheld,
            disputed,
            no_owner,
        } = self
            .dad
            .due(now, &mut self.turns, suppressed, &mut self.random);
        self.no_owner |= !no_owner.is_empty();
        for mac in no_owner {
            let incident = Incident {
                kind: Kind::NoOwner,
                address: None,
                mac: Some(mac),
                child: None,
                action: Action::None,
                detail: Some("answers for unrelated addresses; nothing is withheld".to_owned()),
            };
            self.report(now, moment.at, incident);
        }
        for &(address, mac) in &withheld {
            self.withdraw(address);
            self.report_station(moment, Kind::Claim, address, mac, Action::Withheld);
        }
        for (address, mac) in disputed {
            let action = self.claimed(now, address, mac);
            self.report_station(moment, Kind::Claim, address, mac, action);
        }
        self.announce_free(now, free);
        let changed = !released.is_empty() || !unprobed.is_empty() || !withheld.is_empty();
        self.released.extend(released);
        changed
    }

    fn announced(&self, address: IpAddr) -> Option<Announced> {
        self.candidates.get(&address).map(|of| of.announced)
    }

    /// Ends the announcements and the defence of an address.
    fn withdraw(&mut self, address: IpAddr) {
        if let Some(announce) = &mut self.announce {
            announce.remove(address);
        }
        self.turns
            .remove_frame((address, turns::Kind::Announcement));
        self.defence.remove(address);
        self.turns.remove_frame((address, turns::Kind::Defence));
        self.released.retain(|&of| of != address);
    }
}

#[cfg(test)]
mod tests;
