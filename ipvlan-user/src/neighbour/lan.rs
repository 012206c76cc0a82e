//! One parent's share of the LAN: what is due is sent, what other stations do is judged.

mod follow;
mod quota;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::IpAddr,
    time::{Instant, SystemTime},
};

use ipvlan_common::{Event, EventKind, Reason};
use tracing::{debug, info, warn};

use self::quota::EventQuota;
use super::{
    Announcing, Candidate,
    announce::{Announce, Announcement, Live},
    dad::{Dad, DadMode, Due, Verdict, control::Neighbourhood},
    frame::{self, Mac},
    log::{Action, Incident, Kind, Log},
    memberships::Memberships,
    random::Random,
    socket::{PacketSocket, Sent},
    turns::{self, Turns},
};
use crate::{
    config::DEFAULT_ANNOUNCE_RATE,
    model::ChildKey,
    quota::{Exceeded, Quota, Quotas},
};

/// Most frames that are sent before other work has its turn.
const AT_ONCE: usize = 100;

/// What the user asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manners {
    /// Whether addresses are announced.
    pub announce: Announcing,
    /// Whether and how new addresses are probed for.
    pub dad: DadMode,
    /// Announcements and probes per second.
    pub rate: u32,
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            announce: Announcing::default(),
            dad: DadMode::default(),
            rate: DEFAULT_ANNOUNCE_RATE,
        }
    }
}

/// What previous agents decided about addresses that are in adopted maps.
#[derive(Clone, Debug, Default)]
pub struct Adopted {
    /// Addresses that are answered and were not being probed for.
    pub established: BTreeSet<IpAddr>,
    /// Addresses that another station has.
    pub withheld: BTreeSet<IpAddr>,
}

/// What happened where and when, for the log.
#[derive(Clone, Copy)]
pub struct Moment<'a> {
    /// The time that schedules go by.
    pub now: Instant,
    /// The time that people go by.
    pub at: SystemTime,
    /// Returns the name of a child.
    pub name: &'a dyn Fn(ChildKey) -> String,
}

/// The LAN as one parent sees it.
#[derive(Debug)]
pub struct Neighbours {
    parent: String,
    mac: Mac,
    /// Up and with carrier: stations receive what is sent.
    heard: bool,
    candidates: BTreeMap<IpAddr, Candidate>,
    /// Of maps that were adopted, before the first addresses were followed.
    adopted: Option<Adopted>,
    /// None when they are switched off.
    announce: Option<Announce>,
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
    log: Log,
}

impl Neighbours {
    /// Nothing to say yet, on the interface with this ifindex in the netns of the calling thread.
    pub fn open(now: Instant, ifindex: u32, manners: Manners, quotas: &Quotas) -> io::Result<Self> {
        let socket = PacketSocket::open(ifindex)?;
        Ok(Self::new(now, ifindex, manners, quotas, socket))
    }

    fn new(
        now: Instant,
        ifindex: u32,
        manners: Manners,
        quotas: &Quotas,
        socket: PacketSocket,
    ) -> Self {
        Self {
            parent: String::new(),
            mac: Mac::default(),
            heard: false,
            candidates: BTreeMap::new(),
            adopted: Some(Adopted::default()),
            announce: (manners.announce == Announcing::On).then(Announce::default),
            dad: Dad::new(manners.dad),
            turns: Turns::new(now, manners.rate, quotas.announcements),
            released: Vec::new(),
            memberships: Memberships::new(ifindex, quotas.groups),
            socket,
            failure: None,
            random: Random::new(),
            events: EventQuota::new(quotas.events),
            log: Log::new(now),
        }
    }

    /// Goes by what previous agents decided. Called before addresses are followed for the first time.
    pub fn adopt(&mut self, adopted: Adopted) {
        self.adopted = Some(adopted);
    }

    /// Judges what a station did whose MAC is none of the host's. Returns as [`Self::follow`] does.
    pub fn event(&mut self, moment: Moment<'_>, event: &Event, around: &Neighbourhood<'_>) -> bool {
        let (Some(kind), Some(address)) = (event.kind(), event.address()) else {
            debug!(?event, "an event this build does not know");
            return false;
        };
        let (now, mac) = (moment.now, event.mac());
        let log_kind = match kind {
            EventKind::Claim if self.dad.answers_control(address, mac) => return false,
            EventKind::Claim => Kind::Claim,
            EventKind::Probe => Kind::Probe,
            // Device tracking of a switch sends one every few seconds: no conflict, no incident.
            EventKind::UnicastProbe => return false,
        };
        let before = self.dad.refusal(address);
        // Evidence is never subject to a quota: the answer to a probe could be lost.
        let verdict = self.dad.claim(
            now,
            &mut self.turns,
            (address, mac, kind),
            &mut self.random,
            around,
        );
        let changed = before != self.dad.refusal(address);
        if changed {
            self.silence(address);
        }
        let child = self.candidates.get(&address).map(|of| of.live.child);
        if let Some(child) = child
            && !self.events.take(now, child.netns)
        {
            return changed;
        }
        let action = match verdict {
            // Told when the examination has ended, once for the MAC.
            Verdict::Examined | Verdict::NoOwner => return changed,
            Verdict::Withheld => Action::Withheld,
            Verdict::Undisputed | Verdict::Disputed if kind == EventKind::Claim => {
                self.defend(now, address)
            }
            Verdict::Undisputed | Verdict::Disputed => Action::Answered,
        };
        self.incident(moment, log_kind, address, mac, action);
        changed
    }

    fn incident(
        &mut self,
        moment: Moment<'_>,
        kind: Kind,
        address: IpAddr,
        mac: Mac,
        action: Action,
    ) {
        let child = self.candidates.get(&address).map(|of| of.live.child);
        self.found(
            moment.now,
            moment.at,
            Incident {
                kind,
                address: Some(address),
                mac: Some(mac),
                child: child.map(|key| (key, (moment.name)(key))),
                action,
                detail: None,
            },
        );
    }

    /// Keeps an incident, and logs it unless there were too many.
    pub fn found(&mut self, now: Instant, at: SystemTime, incident: Incident) {
        let line = incident.to_string();
        let told_anyway = matches!(
            incident.kind,
            Kind::Probe | Kind::ChildMoved | Kind::NoOwner
        );
        let Some(times) = self.log.note(now, at, incident) else {
            return;
        };
        if told_anyway {
            info!(parent = self.parent, times, "{line}");
        } else {
            warn!(parent = self.parent, times, "{line}");
        }
    }

    /// When to call [`Self::advance`] and [`Self::send`]; `None` if never, as things are.
    #[must_use]
    pub fn next_due(&self, now: Instant) -> Option<Instant> {
        let announce = self.announce.as_ref().and_then(Announce::next_due);
        let turns = self.turns.next_due(now).filter(|_| self.heard);
        [
            announce,
            self.dad.next_due(),
            turns,
            self.memberships.retry(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Does what is due but for sending: the map entries that [`Self::take_changed`] returns are to be written
    /// first. `suppressed` is how many events about probed addresses the programs have suppressed. Returns as
    /// [`Self::follow`] does.
    pub fn advance(&mut self, moment: Moment<'_>, suppressed: u64) -> bool {
        let now = moment.now;
        if self.memberships.retry().is_some_and(|at| at <= now) {
            self.memberships.join(now);
        }
        if let Some(announce) = &mut self.announce {
            announce.due(now, &mut self.turns);
        }
        let Due {
            free,
            released,
            withheld,
            disputed,
            no_owner,
        } = self
            .dad
            .due(now, &mut self.turns, suppressed, &mut self.random);
        for mac in no_owner {
            let incident = Incident {
                kind: Kind::NoOwner,
                address: None,
                mac: Some(mac),
                child: None,
                action: Action::None,
                detail: Some("answers for unrelated addresses; nothing is withheld".to_owned()),
            };
            self.found(now, moment.at, incident);
        }
        for &(address, mac) in &withheld {
            self.silence(address);
            self.incident(moment, Kind::Claim, address, mac, Action::Withheld);
        }
        for (address, mac) in disputed {
            let action = self.defend(now, address);
            self.incident(moment, Kind::Claim, address, mac, action);
        }
        self.announce_free(now, free);
        let changed = !released.is_empty() || !withheld.is_empty();
        self.released.extend(released);
        changed
    }

    /// Sends what has its turn.
    pub fn send(&mut self, now: Instant) {
        if !self.heard {
            return;
        }
        for _ in 0..AT_ONCE {
            let Some((address, kind)) = self.turns.next(now) else {
                return;
            };
            match kind {
                turns::Kind::Control => {
                    self.send_probe(address);
                    self.dad.control_sent(now, address);
                }
                turns::Kind::Probe => {
                    if self.dad.turn(now, address, &mut self.random)
                        && self.send_probe(address) != Some(Sent::Yes)
                    {
                        self.dad.unsent(now, address);
                    }
                }
                turns::Kind::Announcement => {
                    let live = self.live(address);
                    let announcement = self
                        .announce
                        .as_mut()
                        .zip(live)
                        .and_then(|(of, live)| of.turn(now, &mut self.random, address, live));
                    if let Some(announcement) = announcement {
                        self.announce(&announcement);
                    }
                }
                turns::Kind::Defence => {
                    if let Some(live) = self.live(address).filter(|_| self.announce.is_some()) {
                        self.announce(&Announcement {
                            address,
                            live,
                            to_routers: false,
                        });
                    }
                }
            }
        }
    }

    fn live(&self, address: IpAddr) -> Option<Live> {
        self.candidates.get(&address).map(|of| of.live)
    }

    /// Neither announces nor defends an address from now on.
    fn silence(&mut self, address: IpAddr) {
        if let Some(announce) = &mut self.announce {
            announce.remove(address);
        }
        self.turns
            .remove_frame((address, turns::Kind::Announcement));
        self.turns.remove_frame((address, turns::Kind::Defence));
        self.released.retain(|&of| of != address);
    }

    /// The addresses that are not answered, and why.
    #[must_use]
    pub const fn withheld(&self) -> &BTreeMap<IpAddr, Reason> {
        self.dad.withheld()
    }

    /// Whether the map entry of an address has the flag PROBED.
    #[must_use]
    pub fn is_probed(&self, address: IpAddr) -> bool {
        self.dad.is_probed(address)
    }

    /// The addresses for which [`Self::is_probed`].
    pub fn probed(&self) -> impl Iterator<Item = IpAddr> {
        self.dad.probed()
    }

    /// Addresses that no station should have, and whose use is to be reported.
    pub fn controls(&self) -> impl Iterator<Item = IpAddr> {
        self.dad.controls()
    }

    /// Returns the addresses whose map entry is to be written once more: those that are probed for or not any
    /// more, and control addresses.
    pub fn take_changed(&mut self) -> BTreeSet<IpAddr> {
        self.dad.take_changed()
    }

    /// Whether [`Self::take_changed`] returns any.
    #[must_use]
    pub fn has_changed(&self) -> bool {
        self.dad.has_changed()
    }

    /// The addresses of children that a station on the LAN has, and its MAC.
    pub fn taken(&self) -> impl Iterator<Item = (IpAddr, ChildKey, Mac)> {
        self.dad.taken().filter_map(|(address, mac)| {
            let candidate = self.candidates.get(&address)?;
            Some((address, candidate.live.child, mac))
        })
    }

    /// How many solicited-node groups the parent is a member of for its children.
    #[must_use]
    pub fn groups(&self) -> usize {
        self.memberships.len()
    }

    /// What happened.
    #[must_use]
    pub const fn log(&self) -> &Log {
        &self.log
    }

    /// How often each netns exceeded its quotas of events, announcements and groups.
    #[must_use]
    pub fn exceeded(&self) -> Exceeded {
        let events = self.events.exceeded().map(|of| (of, Quota::Events));
        let turns = self.turns.exceeded().map(|of| (of, Quota::Announcements));
        let groups = self.memberships.exceeded().map(|of| (of, Quota::Groups));
        events
            .chain(turns)
            .chain(groups)
            .map(|((netns, times), quota)| ((netns, quota), times))
            .collect()
    }

    /// What the user should know.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let failure = self
            .failure
            .as_ref()
            .map(|failure| format!("announcements and probes cannot be sent: {failure}"));
        let mut notes = self.memberships.notes();
        notes.extend(failure);
        notes
    }

    fn defend(&mut self, now: Instant, address: IpAddr) -> Action {
        let is_free = self.heard && self.dad.is_free(address);
        let defended = is_free
            && match (&mut self.announce, self.candidates.get(&address)) {
                (Some(announce), Some(of)) => {
                    announce.claim(now, &mut self.turns, address, of.live.child.netns)
                }
                _ => false,
            };
        if defended {
            Action::Defended
        } else {
            Action::None
        }
    }

    fn announce(&mut self, announcement: &Announcement) {
        let &Announcement {
            address,
            live,
            to_routers,
        } = announcement;
        if let (true, IpAddr::V6(address)) = (to_routers, address) {
            self.send_frame(&frame::to_routers(self.mac, address, live.router));
        }
        // One that is lost is one of several.
        self.send_frame(&frame::announcement(
            self.mac,
            address,
            live.router,
            live.optimistic,
        ));
    }

    fn send_probe(&mut self, address: IpAddr) -> Option<Sent> {
        let probe = frame::probe(self.mac, address, self.random.nonce());
        self.send_frame(&probe)
    }

    /// `None` if it failed for a reason that is kept.
    fn send_frame(&mut self, frame: &[u8]) -> Option<Sent> {
        match self.socket.send(frame) {
            Ok(sent) => {
                if sent == Sent::Yes {
                    self.failure = None;
                }
                Some(sent)
            }
            Err(failure) => {
                debug!(parent = self.parent, "not sent: {failure}");
                self.failure = Some(failure);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests;
