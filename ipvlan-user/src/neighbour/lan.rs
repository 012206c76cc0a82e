//! One parent's manners: what is due is sent, what others do is judged.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::{IpAddr, Ipv6Addr},
    time::{Duration, Instant, SystemTime},
};

use ipvlan_common::{Event, EventKind, Reason};
use tracing::{debug, info, warn};

use super::{
    Announcing,
    announce::{Announce, Announcement, Live},
    dad::{Dad, DadMode, Verdict},
    frame::{self, Mac, solicited_node},
    groups::Groups,
    log::{Action, Incident, Kind, Log},
    pace::Pace,
    random::Random,
    socket::{PacketSocket, Sent},
};
use crate::{discover::snapshot::Link, model::ChildKey};

/// Most frames per second in the long run, and at once. 10 000 children are announced once in 10 s.
const FRAMES: (u32, u32) = (1000, 100);
/// When the pace is what holds frames up, this part of a burst is waited for.
const SHARE: u32 = 10;
/// Time to the next try to join groups that could not be joined.
const GROUPS_RETRY: Duration = Duration::from_secs(10);

/// What the user asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manners {
    /// Whether addresses are announced.
    pub announce: Announcing,
    /// Whether and how new addresses are probed for.
    pub dad: DadMode,
}

/// An address of a child that is answered for, or would be if no other station had it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Whose it is, and what is said of it.
    pub live: Live,
    /// Its child joins no groups and does no duplicate address detection for it: IPv6 of l3 and l3s.
    pub mute: bool,
}

impl Candidate {
    /// Whether the LAN is to be probed for it: no kernel does so for IPv4.
    const fn is_probed(&self, address: IpAddr) -> bool {
        self.mute || address.is_ipv4()
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
    groups: Groups,
    wanted: (BTreeSet<Ipv6Addr>, u32),
    groups_retry: Option<Instant>,
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
            groups: Groups::new(ifindex),
            wanted: (BTreeSet::new(), 0),
            groups_retry: None,
            socket: PacketSocket::open(ifindex)?,
            failure: None,
            pace: Pace::new(now, rate, burst),
            random: Random::new(),
            log: Log::new(now),
        })
    }

    /// Changes its manners. What is announced from now on, and what was answered for when nothing was
    /// probed for: see [`Dad::set_mode`].
    pub fn set_manners(&mut self, now: Instant, manners: Manners) {
        match (manners.announce, &mut self.announce) {
            (Announcing::Off, announce) => *announce = None,
            (Announcing::On, Some(_)) => {}
            (Announcing::On, announce) => *announce = Some(Announce::default()),
        }
        let answered = self
            .candidates
            .iter()
            .map(|(&address, candidate)| (address, candidate.is_probed(address)));
        self.dad
            .set_mode(now, manners.dad, answered, &mut self.random);
    }

    /// Follows the parent and what would be answered for. Returns whether [`Self::held_back`] is
    /// another: then what is answered for has to be decided again, and that need not be followed.
    pub fn follow(
        &mut self,
        now: Instant,
        link: &Link,
        candidates: BTreeMap<IpAddr, Candidate>,
    ) -> bool {
        self.parent.clone_from(&link.name);
        self.mac = link.mac.unwrap_or_default();
        self.heard = link.up && link.carrier && link.mac.is_some();
        self.dad.set_carrier(now, self.heard, &mut self.random);
        let probed = candidates
            .iter()
            .map(|(&address, candidate)| (address, candidate.is_probed(address)))
            .collect();
        let changed = self.dad.follow(now, &probed, &mut self.random);

        let groups = candidates.iter().filter_map(|(address, candidate)| {
            let IpAddr::V6(address) = address else {
                return None;
            };
            candidate.mute.then(|| solicited_node(*address))
        });
        self.join(now, (groups.collect(), link.mtu));

        self.candidates = candidates;
        if let Some(announce) = &mut self.announce {
            // Who would not be heard now is announced when the carrier is back.
            let live = self
                .candidates
                .iter()
                .filter(|&(&address, _)| self.heard && self.dad.is_free(address))
                .map(|(&address, candidate)| (address, candidate.live))
                .collect();
            announce.follow(now, &live, self.mac);
        }
        changed && self.dad.enforces()
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
        let before = self.dad.refusal(address);
        let verdict = self.dad.claim(now, address, mac, kind, &mut self.random);
        let action = match (verdict, kind) {
            (Verdict::HeldBack, _) => Action::HeldBack,
            (Verdict::Noted, _) => Action::None,
            (Verdict::Undisputed | Verdict::Disputed, EventKind::Probe) => Action::Answered,
            (Verdict::Undisputed | Verdict::Disputed, EventKind::Claim) => {
                self.defend(now, address)
            }
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
                kind: match kind {
                    EventKind::Claim => Kind::Claim,
                    EventKind::Probe => Kind::Probe,
                },
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
        [frames, self.groups_retry].into_iter().flatten().min()
    }

    /// Sends what is due. Returns as [`Self::follow`] does.
    pub fn tick(&mut self, now: Instant) -> bool {
        if self.groups_retry.is_some_and(|at| at <= now) {
            let wanted = std::mem::take(&mut self.wanted);
            self.join(now, wanted);
        }
        // First: what they say is certain, and others wait for it.
        let announcements = self.announce.as_mut().map_or_else(Vec::new, |announce| {
            announce.due(now, &mut self.pace, &mut self.random)
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
            return !due.freed.is_empty();
        }
        if let Some(announce) = self.announce.as_mut().filter(|_| self.heard) {
            for address in due.freed {
                if let Some(candidate) = self.candidates.get(&address) {
                    announce.add(now, address, candidate.live);
                }
            }
        }
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
        self.groups.len()
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
        self.groups.note().into_iter().chain(failure).collect()
    }

    fn join(&mut self, now: Instant, wanted: (BTreeSet<Ipv6Addr>, u32)) {
        if self.wanted != wanted || self.groups.is_degraded() {
            self.groups.follow(&wanted.0, wanted.1);
            self.wanted = wanted;
        }
        self.groups_retry = self.groups.has_failed().then(|| now + GROUPS_RETRY);
    }

    fn defend(&mut self, now: Instant, address: IpAddr) -> Action {
        let defended = self
            .announce
            .as_mut()
            .is_some_and(|of| of.claim(now, address));
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
