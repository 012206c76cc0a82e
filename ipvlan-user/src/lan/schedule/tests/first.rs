//! New addresses whose first probe waits for the pace of their netns or of the parent.

use std::collections::BTreeSet;

use super::*;

const STEP: Duration = Duration::from_millis(50);
/// After what time an address is withheld, its netns having used up its pace, and the time of a step.
const OWN_PACE: f64 = 1.06;
/// The same where only the pace of the parent delays its probe.
const SHARED_PACE: f64 = 5.06;

/// A world, and when each address was first probed for.
struct Watched {
    world: World,
    probed: BTreeMap<IpAddr, f64>,
    announced: BTreeMap<IpAddr, f64>,
}

impl Watched {
    fn new(policy: LanPolicy) -> Self {
        Self {
            world: World::new(policy, &Quotas::default()),
            probed: BTreeMap::new(),
            announced: BTreeMap::new(),
        }
    }

    fn now(&self) -> f64 {
        (self.world.now - self.world.start).as_secs_f64()
    }

    fn step(&mut self) {
        for (at, said) in self.world.run(STEP) {
            let (of, address) = match said {
                Said::Probe(address) => (&mut self.probed, address),
                Said::Announcement(address) => (&mut self.announced, address),
                Said::ToRouters(_) => continue,
            };
            of.entry(address).or_insert(at);
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.world.now + time;
        while self.world.now < end {
            self.step();
        }
    }

    fn withheld(&self, address: IpAddr) -> Option<Reason> {
        self.world.schedule.dad.refusal(address)
    }

    fn has_note(&self) -> bool {
        let notes = self.world.schedule.notes(self.world.now);
        notes
            .iter()
            .any(|note| note.contains("before their first probe"))
    }

    fn set_carrier(&mut self, carrier: bool) {
        self.world.carrier = carrier;
        let candidates = self.world.schedule.candidates.clone();
        self.world.update(candidates);
    }
}

fn in_mode(dad: DadMode) -> LanPolicy {
    LanPolicy {
        dad,
        ..LanPolicy::default()
    }
}

#[test]
fn an_address_is_answered_for_a_second_at_most_while_its_netns_exceeds_its_pace() {
    let mut watched = Watched::new(LanPolicy::default());
    let addresses: Vec<IpAddr> = (0..250).map(v4).collect();
    for &address in &addresses {
        watched.world.set(address, Some(A));
    }
    let well_behaved = [v4(100_000), v6(1)];
    let (mut was_withheld, mut added) = (0, None);
    for _ in 0..4_000 {
        watched.step();
        let now = watched.now();
        if now > 7.0 && added.is_none() {
            added = Some(now);
            for address in well_behaved {
                watched.world.set(address, Some(B));
            }
        }
        for &address in &addresses {
            let Some(probed) = watched.probed.get(&address) else {
                let is_answered = watched.withheld(address).is_none();
                assert!(!is_answered || now < OWN_PACE, "{address}: {now}");
                was_withheld += usize::from(!is_answered);
                continue;
            };
            // From then on it is as any other.
            let expected = (now < probed + 0.5 && *probed > 1.0).then_some(Reason::Probing);
            let is_sharp = (now - probed - 0.5).abs() > 0.06 && (probed - 1.0).abs() > 0.06;
            assert!(
                !is_sharp || watched.withheld(address) == expected,
                "{address}"
            );
        }
        for address in well_behaved {
            assert_eq!(watched.withheld(address), None, "{address}");
        }
        assert_eq!(
            watched.has_note(),
            !watched.world.schedule.withheld().is_empty()
        );
    }
    assert!(was_withheld > 0);
    let added = added.unwrap();
    for address in well_behaved {
        assert!(watched.probed[&address] - added < 0.5, "{address}");
        assert!(watched.announced[&address] - added < 2.0, "{address}");
    }
    assert!(watched.world.schedule.withheld().is_empty());
    for address in addresses {
        let (probed, announced) = (watched.probed[&address], watched.announced[&address]);
        assert!(announced > probed + 0.49, "{address}");
    }
}

#[test]
fn an_address_that_waits_for_others_is_answered_for_five_seconds() {
    let mut watched = Watched::new(LanPolicy::default());
    // As many netns as the parent has probes in eight seconds.
    for number in 0..80 {
        let netns = 100 + i32::try_from(number).unwrap();
        watched.world.set(v4(number), Some(netns));
    }
    let mut withheld = BTreeSet::new();
    for _ in 0..1_000 {
        watched.step();
        let now = watched.now();
        withheld.extend(watched.world.schedule.withheld().keys().copied());
        assert!(now > 4.9 || withheld.is_empty(), "{now}");
        for address in (0..80).map(v4) {
            let is_probed = watched.probed.contains_key(&address);
            let is_held = watched.withheld(address).is_some();
            assert!(
                is_probed || is_held || now < SHARED_PACE,
                "{address}: {now}"
            );
        }
    }
    assert!((10..40).contains(&withheld.len()), "{}", withheld.len());
    assert!(watched.world.schedule.withheld().is_empty());
    assert_eq!(watched.announced.len(), 80);
}

#[test]
fn an_address_that_is_given_up_and_taken_again_is_answered_once() {
    // How many addresses come and go: one, and more than are remembered.
    for count in [1, 300] {
        let mut watched = Watched::new(LanPolicy::default());
        let addresses: Vec<IpAddr> = (0..count).map(v4).collect();
        let mut answered = 0.0;
        for round in 0..50 {
            for &address in &addresses {
                watched.world.set(address, Some(A));
            }
            for _ in 0..8 {
                watched.step();
                let is_answered = watched.withheld(addresses[0]).is_none();
                answered += if is_answered { STEP.as_secs_f64() } else { 0.0 };
            }
            let is_new = watched.withheld(addresses[0]).is_none();
            assert_eq!(is_new, round == 0, "{count}: {round}");
            for &address in &addresses {
                watched.world.set(address, None);
            }
            watched.run(STEP);
        }
        assert!(answered < 0.5, "{count}: {answered}");
        // Of a netns that gave up so many no new address is trusted; those of others are.
        let new = v4(100_000);
        watched.world.set(new, Some(A));
        assert_eq!(watched.withheld(new).is_some(), count > 256, "{count}");
        watched.world.set(v4(100_001), Some(B));
        assert_eq!(watched.withheld(v4(100_001)), None);
        // In another netns the address itself is not new either.
        watched.world.set(addresses[0], Some(B));
        assert_eq!(watched.withheld(addresses[0]), Some(Reason::Probing));
        watched.world.set(addresses[0], None);
        watched.world.set(new, None);
        watched.run(Duration::from_secs(12));
        for address in [addresses[0], new] {
            watched.world.set(address, Some(A));
            assert_eq!(watched.withheld(address), None, "{count}: all is forgotten");
        }
        // One that was clean is as new as any other.
        watched.run(Duration::from_mins(2));
        watched.world.set(addresses[0], None);
        watched.world.set(addresses[0], Some(A));
        assert_eq!(watched.withheld(addresses[0]), None);
    }
}

/// A conflict is not forgotten either when the child gives the address up for a moment.
#[test]
fn an_address_in_conflict_that_is_taken_again_is_withheld_until_it_is_clean() {
    let mut watched = Watched::new(LanPolicy::default());
    watched.world.set(v4(1), Some(A));
    watched.world.run(Duration::from_millis(100));
    watched.world.event(EventKind::Claim, v4(1), STATION);
    watched.world.run(Duration::from_secs(2));
    assert_eq!(watched.withheld(v4(1)), Some(Reason::Duplicate));
    watched.world.set(v4(1), None);
    watched.world.set(v4(1), Some(A));
    assert_eq!(watched.withheld(v4(1)), Some(Reason::Probing));
    watched.world.run(Duration::from_secs(1));
    assert_eq!(watched.withheld(v4(1)), None, "no station answered");
}

#[test]
fn the_time_of_an_address_does_not_begin_anew_in_another_netns() {
    let mut watched = Watched::new(LanPolicy::default());
    for number in 0..500 {
        let netns = if number % 2 == 0 { A } else { B };
        watched.world.set(v4(number), Some(netns));
    }
    let last = v4(499);
    for round in 0..18 {
        watched
            .world
            .set(last, Some(if round % 2 == 0 { A } else { B }));
        watched.run(Duration::from_millis(300));
    }
    assert!(!watched.probed.contains_key(&last));
    assert_eq!(watched.withheld(last), Some(Reason::Probing));
}

#[test]
fn without_a_carrier_no_time_passes_and_what_is_withheld_stays_so() {
    let mut watched = Watched::new(LanPolicy::default());
    for number in 0..50 {
        watched.world.set(v4(number), Some(A));
    }
    watched.run(Duration::from_millis(800));
    watched.set_carrier(false);
    watched.run(Duration::from_mins(1));
    assert!(watched.world.schedule.withheld().is_empty());
    watched.set_carrier(true);
    watched.run(Duration::from_millis(900));
    assert!(watched.world.schedule.withheld().is_empty());
    watched.run(Duration::from_millis(400));
    let count = watched.world.schedule.withheld().len();
    assert!(count > 30, "{count}");
    watched.set_carrier(false);
    watched.run(Duration::from_mins(1));
    watched.set_carrier(true);
    watched.run(Duration::from_millis(100));
    assert_eq!(watched.world.schedule.withheld().len(), count);
    watched.run(Duration::from_mins(2));
    assert!(watched.world.schedule.withheld().is_empty());
    assert_eq!(watched.announced.len(), 50);
}

#[test]
fn another_mode_releases_no_address_before_its_probe_but_off() {
    let start = |dad| {
        let mut watched = Watched::new(in_mode(dad));
        for number in 0..50 {
            watched.world.set(v4(number), Some(A));
        }
        watched.run(Duration::from_millis(1_500));
        watched
    };
    let last = v4(49);
    let change = |watched: &mut Watched, dad| {
        let now = watched.world.now;
        let schedule = &mut watched.world.schedule;
        schedule.set_policy(now, in_mode(dad), &Quotas::default());
    };
    let mut watched = start(DadMode::Optimistic);
    assert_eq!(watched.withheld(last), Some(Reason::Probing));
    change(&mut watched, DadMode::Strict);
    assert_eq!(watched.withheld(last), Some(Reason::Probing));
    while !watched.probed.contains_key(&last) {
        watched.step();
    }
    watched.run(Duration::from_secs(2));
    assert_eq!(
        watched.withheld(last),
        Some(Reason::Probing),
        "three probes"
    );
    watched.run(Duration::from_mins(1));
    assert_eq!(watched.withheld(last), None);

    let mut watched = start(DadMode::Optimistic);
    change(&mut watched, DadMode::Off);
    assert_eq!(watched.withheld(last), None);

    let mut watched = start(DadMode::Strict);
    change(&mut watched, DadMode::Optimistic);
    assert_eq!(watched.withheld(last), None);
    watched.run(Duration::from_millis(1_100));
    // The order of first probes is random.
    let late = (0..50)
        .map(v4)
        .find(|address| !watched.probed.contains_key(address));
    let late = late.expect("not all have had their turn");
    assert_eq!(watched.withheld(late), Some(Reason::Probing));
    watched.run(Duration::from_mins(2));
    assert!(watched.world.schedule.withheld().is_empty());
}

#[test]
fn an_address_that_was_withheld_when_the_agent_ended_stays_so_until_its_probe() {
    for dad in [DadMode::Optimistic, DadMode::Strict] {
        let mut world = World::unstarted(in_mode(dad), &Quotas::default());
        let [unprobed, established, new] = [v4(1), v4(2), v4(3)];
        world.schedule.adopt(Adopted {
            established: [established].into(),
            unprobed: [unprobed].into(),
            mac: Some(PARENT),
            ..Adopted::default()
        });
        let addresses = [unprobed, established, new].map(|address| (address, of(A)));
        world.update(addresses.into());
        let held =
            |world: &World| [unprobed, established, new].map(|of| world.schedule.dad.refusal(of));
        let probing = Some(Reason::Probing);
        let new_held = probing.filter(|_| dad == DadMode::Strict);
        assert_eq!(held(&world), [probing, None, new_held], "{dad:?}");
        world.run(Duration::from_millis(400));
        assert_eq!(held(&world), [probing, None, new_held], "{dad:?}");
        let sent = world.run(Duration::from_secs(20));
        assert_eq!(held(&world), [None; 3], "{dad:?}");
        assert!(first(&sent, Said::Announcement(unprobed)).is_some());
    }
}

/// The netns of an address can become readable after the start.
#[test]
fn what_an_agent_before_decided_is_known_when_the_child_is_seen_later() {
    let mut world = World::unstarted(LanPolicy::default(), &Quotas::default());
    let [established, withheld, unprobed, other] = [v4(1), v4(2), v4(3), v4(4)];
    world.schedule.adopt(Adopted {
        established: [established, other].into(),
        withheld: [withheld].into(),
        unprobed: [unprobed].into(),
        mac: Some(PARENT),
    });
    world.update(BTreeMap::new());
    world.run(Duration::from_secs(5));
    let refusal = |world: &World, address| world.schedule.dad.refusal(address);
    for address in [established, withheld, unprobed] {
        world.set(address, Some(A));
    }
    assert_eq!(refusal(&world, withheld), Some(Reason::Duplicate));
    assert_eq!(refusal(&world, unprobed), Some(Reason::Probing));
    world.run(Duration::from_millis(100));
    world.event(EventKind::Claim, established, STATION);
    world.run(Duration::from_secs(2));
    assert_eq!(refusal(&world, established), None);
    // Once only, and not when the agent has ceased to wait for netns.
    world.set(established, None);
    world.schedule.forget_adopted();
    for address in [established, other] {
        world.set(address, Some(A));
        world.event(EventKind::Claim, address, STATION);
    }
    world.run(Duration::from_secs(2));
    for address in [established, other] {
        assert_eq!(refusal(&world, address), Some(Reason::Duplicate));
    }
}

#[test]
fn an_address_whose_probe_cannot_be_sent_is_withheld_in_time() {
    let mut watched = Watched::new(LanPolicy::default());
    // The other end is closed.
    watched.world.wire = UnixDatagram::pair().unwrap().0;
    watched.world.wire.set_nonblocking(true).unwrap();
    watched.world.set(v4(1), Some(A));
    watched.run(Duration::from_secs(1));
    assert_eq!(watched.withheld(v4(1)), None);
    watched.run(Duration::from_secs(5));
    assert_eq!(watched.withheld(v4(1)), Some(Reason::Probing));
}
