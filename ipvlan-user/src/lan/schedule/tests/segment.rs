//! A LAN segment with a clock, the schedule of one parent, and stations that answer its probes.

use std::{io::Read as _, ops::Range};

use super::*;

pub(super) struct Segment {
    start: Instant,
    pub(super) now: Instant,
    pub(super) schedule: Schedule,
    /// Takes the frames of the schedule; they have no boundaries.
    pub(super) wire: UnixStream,
    mac: Mac,
    carrier: bool,
    rate: u32,
    quotas: Quotas,
    /// The MACs that answer a probe for each address.
    pub(super) owners: BTreeMap<IpAddr, Vec<Mac>>,
    /// The MAC that answers each probe.
    pub(super) fabric: Option<Mac>,
    /// How many events about probed addresses were suppressed.
    pub(super) suppressed: u64,
    /// When each address was first probed for, and announced.
    pub(super) probed: BTreeMap<IpAddr, f64>,
    pub(super) announced: BTreeMap<IpAddr, f64>,
    /// The flags of all advertisements to all nodes.
    pub(super) flags: Vec<u8>,
}

impl Segment {
    /// Returns one without addresses.
    pub(super) fn new(policy: LanPolicy) -> Self {
        Self::started(policy, Quotas::default(), Adopted::default(), [])
    }

    /// Returns one without addresses on which no frame waits for its turn.
    pub(super) fn unpaced(policy: LanPolicy) -> Self {
        Self::started(policy, unpaced(), Adopted::default(), [])
    }

    /// Returns one that starts with these addresses, and with the decisions of a previous agent.
    pub(super) fn started(
        policy: LanPolicy,
        quotas: Quotas,
        adopted: Adopted,
        candidates: impl IntoIterator<Item = (IpAddr, Candidate)>,
    ) -> Self {
        let start = Instant::now();
        let (socket, wire) = wire();
        let rate = policy.rate.max(quotas.announcements);
        let policy = LanPolicy { rate, ..policy };
        let mut schedule = Schedule::new(start, 0, policy, &quotas, socket);
        schedule.random = Random::seeded(7);
        schedule.adopt(adopted);
        let mut segment = Self {
            start,
            now: start,
            schedule,
            wire,
            mac: PARENT,
            carrier: true,
            rate,
            quotas,
            owners: BTreeMap::new(),
            fabric: None,
            suppressed: 0,
            probed: BTreeMap::new(),
            announced: BTreeMap::new(),
            flags: Vec::new(),
        };
        segment.update(candidates.into_iter().collect());
        segment
    }

    /// Seconds since the start.
    pub(super) fn at(&self) -> f64 {
        (self.now - self.start).as_secs_f64()
    }

    /// These are all addresses.
    fn update(&mut self, candidates: BTreeMap<IpAddr, Candidate>) {
        let link = Link {
            mac: Some(self.mac),
            up: true,
            carrier: self.carrier,
            ..Link::default()
        };
        self.schedule.update(self.now, &link, candidates);
    }

    pub(super) fn update_again(&mut self) {
        self.update(self.schedule.candidates.clone());
    }

    pub(super) fn set_mac(&mut self, mac: Mac) {
        self.mac = mac;
        self.update_again();
    }

    pub(super) fn set_carrier(&mut self, carrier: bool) {
        self.carrier = carrier;
        self.update_again();
    }

    pub(super) fn set_policy(&mut self, policy: LanPolicy) {
        let rate = self.rate;
        let policy = LanPolicy { rate, ..policy };
        self.schedule.set_policy(self.now, policy, &self.quotas);
        self.update_again();
    }

    /// An l3 child in this netns gets the address.
    pub(super) fn add(&mut self, address: IpAddr, nsid: i32) {
        self.add_as(address, of(nsid));
    }

    pub(super) fn add_as(&mut self, address: IpAddr, candidate: Candidate) {
        self.schedule.revise(self.now, address, Some(candidate));
    }

    pub(super) fn remove(&mut self, address: IpAddr) {
        self.schedule.revise(self.now, address, None);
    }

    pub(super) fn add_many(&mut self, numbers: Range<u32>, nsid: i32) {
        numbers.for_each(|number| self.add(v4(number), nsid));
    }

    pub(super) fn remove_many(&mut self, numbers: Range<u32>) {
        numbers.for_each(|number| self.remove(v4(number)));
    }

    pub(super) fn claim(&mut self, address: IpAddr, mac: Mac) {
        self.event(EventKind::Claim, address, mac);
    }

    pub(super) fn event(&mut self, kind: EventKind, address: IpAddr, mac: Mac) {
        let event = match address {
            IpAddr::V4(v4) => Event::ipv4(kind, Hook::Ingress, mac, v4.octets(), 2),
            IpAddr::V6(v6) => Event::ipv6(kind, Hook::Ingress, mac, v6.octets(), 2),
        };
        let around = Neighbourhood {
            on_link: &["10.0.0.0/8".parse::<Prefix>().unwrap()],
            is_owned: &|_| false,
        };
        let moment = moment(self.now);
        self.schedule.on_event(moment, &event, &around);
    }

    /// Runs for so many seconds.
    pub(super) fn run(&mut self, seconds: f64) -> Trace {
        self.run_to(self.now + Duration::from_secs_f64(seconds))
    }

    /// Runs until a time, waking only when something is due. Stations answer at once.
    pub(super) fn run_to(&mut self, end: Instant) -> Trace {
        let mut trace = Trace::default();
        let mut withheld = self.schedule.withheld().clone();
        while let Some(due) = self.schedule.next_due(self.now) {
            let now = self.now.max(due);
            if now > end {
                break;
            }
            self.now = now;
            if self.schedule.advance(moment(now), self.suppressed) {
                self.update_again();
            }
            self.schedule.send(now);
            let at = self.at();
            for frame in self.received() {
                let step = self.step(&frame, at);
                trace.0.push((at, step));
            }
            let after = self.schedule.withheld();
            if withheld != *after {
                let is_new = |(of, reason): &(&IpAddr, &Reason)| withheld.get(of) != Some(reason);
                let begun = after.iter().filter(is_new);
                let begun = begun.map(|(&of, &reason)| Step::Withheld(of, reason));
                let ended = withheld.keys().filter(|of| !after.contains_key(of));
                let ended = ended.map(|&of| Step::Answered(of));
                trace.0.extend(begun.chain(ended).map(|step| (at, step)));
                withheld.clone_from(after);
            }
        }
        self.now = end;
        trace
    }

    fn received(&mut self) -> Vec<Vec<u8>> {
        let mut bytes = Vec::new();
        if let Err(failure) = self.wire.read_to_end(&mut bytes) {
            assert_eq!(failure.kind(), io::ErrorKind::WouldBlock, "nothing is left");
        }
        let mut rest = &bytes[..];
        let mut frames = Vec::new();
        while !rest.is_empty() {
            let (frame, after) = rest.split_at(if is_arp(rest) { 42 } else { 86 });
            frames.push(frame.to_owned());
            rest = after;
        }
        frames
    }

    /// Records a frame, and lets stations answer a probe.
    fn step(&mut self, frame: &[u8], at: f64) -> Step {
        assert_eq!(frame[6..12], self.mac);
        let (kind, address) = if is_arp(frame) {
            let [spa, tpa] = [28, 38].map(|from| {
                let bytes: [u8; 4] = frame[from..from + 4].try_into().unwrap();
                IpAddr::from(bytes)
            });
            let kind = if spa.is_unspecified() { 135 } else { 136 };
            (kind, tpa)
        } else {
            let target: [u8; 16] = frame[62..78].try_into().unwrap();
            (frame[54], target.into())
        };
        // The last byte of the destination: all nodes, or all routers.
        let to_routers = !is_arp(frame) && frame[53] == 2;
        match kind {
            135 => {
                let is_control = !self.schedule.candidates.contains_key(&address);
                let mut answers = self.owners.get(&address).cloned().unwrap_or_default();
                answers.extend(self.fabric);
                for mac in answers {
                    self.claim(address, mac);
                }
                if is_control {
                    return Step::Control;
                }
                self.probed.entry(address).or_insert(at);
                Step::Probe(address)
            }
            136 if to_routers => Step::ToRouters(address),
            136 => {
                self.announced.entry(address).or_insert(at);
                self.flags.extend((!is_arp(frame)).then(|| frame[58]));
                Step::Announcement(address)
            }
            kind => panic!("ICMPv6 type {kind}"),
        }
    }

    pub(super) fn refusal(&self, address: IpAddr) -> Option<Reason> {
        self.schedule.withheld().get(&address).copied()
    }

    pub(super) fn is_free(&self, address: IpAddr) -> bool {
        self.schedule.dad.is_free(address)
    }

    /// The addresses that stations own.
    pub(super) fn duplicates(&self) -> Vec<(IpAddr, Mac)> {
        let all = self.schedule.duplicates();
        all.map(|(address, _, mac)| (address, mac)).collect()
    }

    /// The actions of all incidents.
    pub(super) fn actions(&self) -> Vec<Action> {
        let entries = self.schedule.incidents().entries();
        entries.map(|entry| entry.incident.action).collect()
    }

    pub(super) fn notes(&self) -> Vec<String> {
        self.schedule.notes(self.now)
    }

    pub(super) fn is_idle(&self) -> bool {
        self.schedule.next_due(self.now).is_none()
    }

    /// A new address does not wait for those of others.
    #[track_caller]
    pub(super) fn assert_in_time(
        &self,
        address: IpAddr,
        since: f64,
        (probed, announced): (f64, f64),
    ) {
        let times = [
            self.probed[&address] - since,
            self.announced[&address] - since,
        ];
        let is_in_time = times[0] < probed && times[1] < announced;
        assert!(is_in_time, "{address} of {since}: {times:?}");
    }
}
