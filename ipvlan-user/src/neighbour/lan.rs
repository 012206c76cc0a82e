//! One parent's manners: what is due is sent, what others do is judged.

use std::{
    collections::{BTreeMap, btree_map::Entry},
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

    /// The solicited-node group that the parent joins for it.
    fn group(&self, address: IpAddr) -> Option<Ipv6Addr> {
        match address {
            IpAddr::V6(address) if self.mute => Some(solicited_node(address)),
            _ => None,
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
    groups: Groups,
    /// How many addresses want each group.
    wanted: BTreeMap<Ipv6Addr, usize>,
    /// Groups of addresses that came or went have not been joined or left yet.
    unjoined: bool,
    mtu: u32,
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
            wanted: BTreeMap::new(),
            unjoined: false,
            mtu: 0,
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
        let mac = link.mac.unwrap_or_default();
        let mac_changed = std::mem::replace(&mut self.mac, mac) != mac;
        let heard = link.up && link.carrier && link.mac.is_some();
        let was_heard = std::mem::replace(&mut self.heard, heard);
        self.dad.set_carrier(now, heard, &mut self.random);

        let gone = self.candidates.keys();
        let gone: Vec<IpAddr> = gone
            .filter(|address| !candidates.contains_key(address))
            .copied()
            .collect();
        for address in gone {
            self.revise(now, address, None);
        }
        let mut changed = false;
        for (&address, &candidate) in &candidates {
            let before = self.candidates.get(&address).copied();
            changed |= self.meet(now, address, before, candidate);
        }
        self.candidates = candidates;
        self.unjoined |= std::mem::replace(&mut self.mtu, link.mtu) != link.mtu;
        self.join_groups(now);

        // Who would not be heard now is announced when the carrier is back.
        match &mut self.announce {
            Some(announce) if !heard => announce.clear(),
            Some(announce) if !was_heard || mac_changed => {
                let all = self.candidates.keys();
                for &address in all.filter(|&&address| self.dad.is_free(address)) {
                    announce.start(address, !was_heard);
                }
            }
            _ => {}
        }
        changed && self.dad.enforces()
    }

    /// Follows one address that became a candidate, is no more one, or another child's;
    /// [`Self::join_groups`] is to be called after the last. Returns as [`Self::follow`] does.
    pub fn revise(&mut self, now: Instant, address: IpAddr, candidate: Option<Candidate>) -> bool {
        if let Some(candidate) = candidate {
            let before = self.candidates.insert(address, candidate);
            return self.meet(now, address, before, candidate) && self.dad.enforces();
        }
        if let Some(before) = self.candidates.remove(&address) {
            self.want(before.group(address), None);
            self.dad.remove(address);
            if let Some(announce) = &mut self.announce {
                announce.remove(address);
            }
        }
        false
    }

    /// Returns whether something is held back, or not announced, that was not known before.
    fn meet(
        &mut self,
        now: Instant,
        address: IpAddr,
        before: Option<Candidate>,
        candidate: Candidate,
    ) -> bool {
        if before == Some(candidate) {
            return false;
        }
        self.want(
            before.and_then(|it| it.group(address)),
            candidate.group(address),
        );
        let new = before.is_none()
            && candidate.is_probed(address)
            && self.dad.add(now, address, &mut self.random);
        if let Some(announce) = &mut self.announce
            && self.heard
            && self.dad.is_free(address)
        {
            announce.tell(address, before.map(|it| it.live), candidate.live);
        }
        new
    }

    fn want(&mut self, before: Option<Ipv6Addr>, now: Option<Ipv6Addr>) {
        if before == now {
            return;
        }
        if let Some(group) = before
            && let Entry::Occupied(mut entry) = self.wanted.entry(group)
        {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
                self.unjoined = true;
            }
        }
        if let Some(group) = now {
            let entry = self.wanted.entry(group).or_default();
            *entry += 1;
            self.unjoined |= *entry == 1;
        }
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
            self.join_groups(now);
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
            return !due.freed.is_empty();
        }
        if let Some(announce) = self.announce.as_mut().filter(|_| self.heard) {
            for address in due.freed {
                if self.candidates.contains_key(&address) {
                    announce.start(address, true);
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

    /// Joins the groups that addresses want, and leaves all others.
    pub fn join_groups(&mut self, now: Instant) {
        if self.unjoined || self.groups.is_degraded() {
            self.groups
                .follow(&self.wanted.keys().copied().collect(), self.mtu);
            self.unjoined = false;
        }
        self.groups_retry = self.groups.has_failed().then(|| now + GROUPS_RETRY);
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
