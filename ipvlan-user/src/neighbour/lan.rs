//! One parent's manners: what is due is sent, what others do is judged.

mod follow;

use std::{
    collections::BTreeMap,
    io,
    net::IpAddr,
    time::{Instant, SystemTime},
};

use ipvlan_common::{Event, EventKind, Reason};
use tracing::{debug, info, warn};

use super::{
    Announcing, Candidate,
    announce::{Announce, Announcement},
    dad::{Dad, DadMode, Verdict},
    frame::{self, Mac},
    log::{Action, Incident, Kind, Log},
    memberships::Memberships,
    pace::Pace,
    random::Random,
    socket::{PacketSocket, Sent},
};
use crate::{config::DEFAULT_ANNOUNCE_RATE, model::ChildKey};

/// Most frames per second in the long run, and at once. 10 000 children are announced once in 10 s.
const FRAMES: (u32, u32) = (1000, 100);
/// When the pace is what holds frames up, this part of a burst is waited for.
const SHARE: u32 = 10;

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

/// The manners of one parent.
#[derive(Debug)]
pub struct Neighbours {
    parent: String,
    mac: Mac,
    /// Up and with carrier: somebody hears what is sent.
    heard: bool,
    candidates: BTreeMap<IpAddr, Candidate>,
    /// None when they are switched off.
    announce: Option<Announce>,
    dad: Dad,
    /// Addresses that were held back, and are announced once they are answered for.
    freed: Vec<IpAddr>,
    memberships: Memberships,
    socket: PacketSocket,
    /// Why the last frame could not be sent.
    failure: Option<io::Error>,
    pace: Pace,
    random: Random,
    log: Log,
}

impl Neighbours {
    /// Nothing to say yet, on the interface with this ifindex in the netns of the calling thread.
    pub fn open(now: Instant, ifindex: u32, manners: Manners) -> io::Result<Self> {
        let (rate, burst) = FRAMES;
        Ok(Self {
            parent: String::new(),
            mac: Mac::default(),
            heard: false,
            candidates: BTreeMap::new(),
            announce: (manners.announce == Announcing::On).then(Announce::default),
            dad: Dad::new(manners.dad),
            freed: Vec::new(),
            memberships: Memberships::new(ifindex),
            socket: PacketSocket::open(ifindex)?,
            failure: None,
            pace: Pace::new(now, rate, burst),
            random: Random::new(),
            log: Log::new(now),
        })
    }

    /// Judges what a station did. `name` names children. Returns as [`Self::follow`] does.
    pub fn event(
        &mut self,
        now: Instant,
        at: SystemTime,
        event: &Event,
        name: impl Fn(ChildKey) -> String,
    ) -> bool {
        let (Some(kind), Some(address)) = (event.kind(), event.address()) else {
            debug!(?event, "an event this build does not know");
            return false;
        };
        let mac = event.mac();
        let log_kind = match kind {
            EventKind::Claim => Kind::Claim,
            EventKind::Probe => Kind::Probe,
            // Device tracking of a switch sends one every few seconds: no conflict, no incident.
            EventKind::UnicastProbe => return false,
        };
        let before = self.dad.refusal(address);
        let verdict = self.dad.claim(now, address, mac, kind, &mut self.random);
        let action = match verdict {
            Verdict::HeldBack => Action::HeldBack,
            Verdict::Noted => Action::None,
            Verdict::Undisputed | Verdict::Disputed if kind == EventKind::Claim => {
                self.defend(now, address)
            }
            Verdict::Undisputed | Verdict::Disputed => Action::Answered,
        };
        if let (Verdict::HeldBack | Verdict::Noted, Some(announce)) = (verdict, &mut self.announce)
        {
            announce.remove(address);
        }
        let child = self.candidates.get(&address).map(|of| of.live.child);
        self.found(
            now,
            at,
            Incident {
                kind: log_kind,
                address: Some(address),
                mac: Some(mac),
                child: child.map(|key| (key, name(key))),
                action,
                detail: None,
            },
        );
        before != self.dad.refusal(address)
    }

    /// Keeps an incident, and logs it unless there were too many.
    pub fn found(&mut self, now: Instant, at: SystemTime, incident: Incident) {
        let line = incident.to_string();
        let told_anyway = matches!(incident.kind, Kind::Probe | Kind::ChildMoved);
        let Some(times) = self.log.note(now, at, incident) else {
            return;
        };
        if told_anyway {
            info!(parent = self.parent, times, "{line}");
        } else {
            warn!(parent = self.parent, times, "{line}");
        }
    }

    /// When to call [`Self::tick`]; `None` if never, as things are.
    #[must_use]
    pub fn next_due(&self, now: Instant) -> Option<Instant> {
        let announce = self.announce.as_ref().and_then(|of| of.next_due(now));
        let frames = [announce, self.dad.next_due()].into_iter().flatten().min();
        let frames = frames.map(|due| {
            if due > now {
                due
            } else {
                self.pace.ready_at(now, SHARE)
            }
        });
        [frames, self.memberships.retry()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Sends what is due. Returns as [`Self::follow`] does.
    pub fn tick(&mut self, now: Instant) -> bool {
        if self.memberships.retry().is_some_and(|at| at <= now) {
            self.memberships.join(now);
        }
        // First: what they say is certain, and others wait for it.
        let announcements = self.announce.as_mut().map_or_else(Vec::new, |announce| {
            announce.due(now, &mut self.pace, &mut self.random, |address| {
                self.candidates.get(&address).map(|it| it.live)
            })
        });
        for announcement in announcements {
            self.announce(&announcement);
        }
        let due = self.dad.due(now, &mut self.pace, &mut self.random);
        for address in due.probes {
            let probe = frame::probe(self.mac, address, self.random.nonce());
            if self.send(&probe) != Some(Sent::Yes) {
                self.dad.unsent(now, address);
            }
        }
        if self.dad.enforces() {
            let changed = !due.freed.is_empty();
            self.freed.extend(due.freed);
            return changed;
        }
        self.announce_freed(due.freed);
        false
    }

    /// The addresses that are not answered for, and why.
    #[must_use]
    pub fn held_back(&self) -> BTreeMap<IpAddr, Reason> {
        self.dad.held_back()
    }

    /// Whether addresses can be held back.
    #[must_use]
    pub fn enforces(&self) -> bool {
        self.dad.enforces()
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

    /// What the user should know.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let failure = self
            .failure
            .as_ref()
            .map(|failure| format!("announcements and probes cannot be sent: {failure}"));
        self.memberships.note().into_iter().chain(failure).collect()
    }

    fn defend(&mut self, now: Instant, address: IpAddr) -> Action {
        let is_announced =
            self.heard && self.candidates.contains_key(&address) && self.dad.is_free(address);
        let defended = self
            .announce
            .as_mut()
            .is_some_and(|of| is_announced && of.claim(now, address));
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
            self.send(&frame::to_routers(self.mac, address, live.router));
        }
        // One that is lost is one of several.
        self.send(&frame::announcement(
            self.mac,
            address,
            live.router,
            live.optimistic,
        ));
    }

    /// `None` if it failed for a reason that is kept.
    fn send(&mut self, frame: &[u8]) -> Option<Sent> {
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
