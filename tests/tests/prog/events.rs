//! What the agent is told, and how often at most: by one station, and by all of them together.

use std::{
    thread,
    time::{Duration, Instant},
};

use ipvlan_model::prelude::*;

/// Events that one station may cause at once, and per second.
const OF_STATION: u64 = 8;
/// Events that all of them together may.
const OF_ALL: u64 = 64;

fn datapath() -> Datapath {
    let mut datapath = Datapath::load();
    datapath.install(config(L3), &entries());
    datapath
}

/// A station claims this address.
fn claim(station: Mac, address: impl Into<IpAddr>) -> Vec<u8> {
    let address = address.into();
    let message = match address {
        IpAddr::V4(_) => Message::ask(CHILD_IP.into())
            .sender(address)
            .source(station),
        IpAddr::V6(_) => Message::announcement(address),
    };
    message.naming(station).frame()
}

const fn station(number: u16) -> Mac {
    let [high, low] = number.to_be_bytes();
    [2, 0, 0, 2, high, low]
}

fn run(datapath: &mut Datapath, program: Program, frame: &[u8]) {
    let outcome = datapath.run(program, frame, MARK).expect("run");
    assert_eq!(outcome.code, Act::Pass.code(program), "a claim is passed");
    assert_eq!(outcome.frame, frame);
}

#[test]
fn an_event_names_the_station_the_address_the_child_and_the_hook() {
    let mut datapath = datapath();
    let claims_host = Arp {
        eth_src: OTHER,
        spa: HOST_IP,
        oper: 2,
        ..arp::request(SIBLING_IP)
    };
    let asks = Nd {
        src: CHILD_IP6,
        ..ndp::solicitation(FOREIGN_IP6)
    };
    let asks = Message::from(asks).naming(OTHER).frame();
    let announces = ndp::announcement(HOST_IP6).frame();
    let probe = |target: IpAddr| Message::probe(target).frame();
    // Switches that track devices send probes to the stations that they know.
    let to_station = |target: IpAddr| Message::probe(target).to(PARENT).frame();
    let (v4, v6): (IpAddr, IpAddr) = (CHILD_IP.into(), CHILD_IP6.into());
    let (probing, duplicate): (IpAddr, IpAddr) = (PROBING_IP.into(), DUPLICATE_IP6.into());
    let rows: [(Vec<u8>, EventKind, Mac, IpAddr, u32); 10] = [
        (probe(v4), EventKind::Probe, LAN, v4, CHILD_SLOT),
        (
            claims_host.frame(),
            EventKind::Claim,
            LAN,
            HOST_IP.into(),
            AddressEntry::NO_SLOT,
        ),
        (probe(v6), EventKind::Probe, LAN, v6, CHILD_SLOT),
        (to_station(v4), EventKind::UnicastProbe, LAN, v4, CHILD_SLOT),
        (to_station(v6), EventKind::UnicastProbe, LAN, v6, CHILD_SLOT),
        (
            to_station(probing),
            EventKind::UnicastProbe,
            LAN,
            probing,
            PROBING_SLOT,
        ),
        // The agent probes for these itself (RFC 5227 §2.1.1).
        (probe(probing), EventKind::Probe, LAN, probing, PROBING_SLOT),
        (
            probe(duplicate),
            EventKind::Probe,
            LAN,
            duplicate,
            DUPLICATE_SLOT,
        ),
        (asks, EventKind::Claim, OTHER, v6, CHILD_SLOT),
        (
            announces,
            EventKind::Claim,
            LAN,
            HOST_IP6.into(),
            AddressEntry::NO_SLOT,
        ),
    ];
    for &program in WIRE {
        let hook = program.hook();
        for (frame, kind, mac, address, child) in &rows {
            let event = event(*kind, hook, *mac, *address, *child);
            datapath.run(program, frame, MARK).expect("run");
            assert_eq!(datapath.events(), [event], "{}", program.name());
        }
        // What each may report is bounded: the next program starts with stations that have reported nothing.
        datapath = self::datapath();
    }
}

#[test]
fn one_station_is_reported_eight_times_at_once_then_once_a_second() {
    for at in both(|at| [at]) {
        for &program in WIRE {
            let mut datapath = datapath();
            let hook = program.hook();
            let frame = claim(LAN, at.child);
            let started = Instant::now();
            for _ in 0..100 {
                run(&mut datapath, program, &frame);
            }
            let earned = started.elapsed().as_secs() + 1;
            let told = datapath.events().len() as u64;
            assert!((OF_STATION..=OF_STATION + earned).contains(&told), "{told}");
            // What was not told is counted; the frame's own reason always is.
            assert_eq!(datapath.count(hook, Reason::SenderConflict), 100);
            assert_eq!(datapath.count(hook, Reason::EventSuppressed), 100 - told);
            // That it probes is told all the same, and so is another station.
            let probe = ndp::probe(CHILD_IP6).frame();
            datapath.run(program, &probe, MARK).expect("run");
            assert_eq!(datapath.events().len(), 1);
            run(&mut datapath, program, &claim(OTHER, at.child));
            assert_eq!(datapath.events().len(), 1);
        }
    }
}

#[test]
fn a_station_that_was_quiet_for_a_second_is_reported_again() {
    let mut datapath = datapath();
    let frame = claim(LAN, CHILD_IP);
    let started = Instant::now();
    for _ in 0..20 {
        run(&mut datapath, Program::Ingress, &frame);
    }
    assert!(datapath.events().len() as u64 >= OF_STATION);
    thread::sleep(Duration::from_millis(1_050));
    for _ in 0..20 {
        run(&mut datapath, Program::Ingress, &frame);
    }
    let told = datapath.events().len() as u64;
    let most = started.elapsed().as_secs() + 1;
    assert!((1..=most).contains(&told), "{told} of at most {most}");
}

/// A station chooses its MAC freely.
#[test]
fn all_stations_together_are_reported_sixty_four_times_at_once_and_per_second() {
    const STATIONS: u16 = 2_000;
    for at in both(|at| [at]) {
        let mut datapath = datapath();
        let started = Instant::now();
        for number in 0..STATIONS {
            run(
                &mut datapath,
                Program::Xdp,
                &claim(station(number), at.child),
            );
        }
        let elapsed = started.elapsed().as_millis();
        let earned = u64::try_from(elapsed).unwrap() * OF_ALL / 1_000 + 1;
        let told = datapath.events();
        let count = told.len() as u64;
        assert!((OF_ALL..=OF_ALL + earned).contains(&count), "{count}");
        let first = (0..64).map(station);
        assert!(first.eq(told.iter().take(64).map(Event::mac)));
        assert_eq!(
            datapath.count(Hook::Xdp, Reason::EventSuppressed),
            u64::from(STATIONS) - count
        );
    }
}

/// Row S15 of the attack table: claims of other addresses must not use up the answer to a probe.
#[test]
fn the_answer_to_a_probe_is_reported_whatever_is_claimed_of_other_addresses() {
    const FLOOD: u16 = 500;
    for at in both(|at| [at]) {
        for &program in WIRE {
            let hook = program.hook();
            let mut entries = entries();
            let probed = child(SIBLING_SLOT).with_probed();
            entries.insert(at.sibling, probed);
            let mut datapath = Datapath::load();
            datapath.install(config(L3), &entries);
            for number in 0..FLOOD {
                run(&mut datapath, program, &claim(station(number), at.child));
            }
            assert!(datapath.events().len() as u64 >= OF_ALL);
            // The owner answers, with a MAC that was in the flood as well.
            for (owner, answers) in [(station(1), 32), (OTHER, 1)] {
                let answer = claim(owner, at.sibling);
                for _ in 0..answers {
                    run(&mut datapath, program, &answer);
                }
                let told = datapath.events();
                assert_eq!(told.len(), answers, "{} {}", program.name(), at.sibling);
                assert!(
                    told.iter()
                        .all(|event| event.mac() == owner && event.slot() == SIBLING_SLOT)
                );
            }
            assert_eq!(datapath.count(hook, Reason::ProbedEventSuppressed), 0);
            // Their own rate is bounded as well, and what exceeds it has a counter of its own.
            let others = datapath.count(hook, Reason::EventSuppressed);
            let started = Instant::now();
            for number in 0..FLOOD {
                let answer = claim(station(number), at.sibling);
                run(&mut datapath, program, &answer);
            }
            let earned = u64::try_from(started.elapsed().as_millis()).unwrap() * OF_ALL / 1_000;
            let told = datapath.events().len() as u64;
            assert!(told <= OF_ALL + earned + 1, "{told}");
            assert_eq!(
                datapath.count(hook, Reason::ProbedEventSuppressed),
                u64::from(FLOOD) - told
            );
            assert_eq!(datapath.count(hook, Reason::EventSuppressed), others);
        }
    }
}

/// The rates are of the parent, not of a program: one that was replaced does not start afresh.
#[test]
fn programs_share_the_rates_and_count_for_their_own_hook() {
    let mut datapath = datapath();
    for &program in WIRE {
        for _ in 0..20 {
            run(&mut datapath, program, &claim(LAN, CHILD_IP6));
        }
    }
    let told = datapath.events();
    let count = told.len() as u64;
    assert!((OF_STATION..OF_STATION + 3).contains(&count), "{count}");
    assert!(
        told.iter()
            .take(8)
            .all(|event| event.hook() == Some(Hook::Ingress))
    );
    let suppressed = |hook| datapath.count(hook, Reason::EventSuppressed);
    assert_eq!(
        suppressed(Hook::Ingress) + suppressed(Hook::Xdp),
        60 - count
    );
    assert!(suppressed(Hook::Xdp) >= 17);
    assert_eq!(suppressed(Hook::Egress), 0);
}

#[test]
fn a_flood_of_claims_keeps_no_station_from_being_answered() {
    let mut datapath = datapath();
    let request = arp::request(CHILD_IP);
    for number in 0..5_000 {
        run(
            &mut datapath,
            Program::Ingress,
            &claim(station(number), CHILD_IP),
        );
    }
    let outcome = datapath
        .run(Program::Ingress, &request.frame(), MARK)
        .expect("run");
    assert_eq!(outcome.code, Act::Send.code(Program::Ingress));
    assert_eq!(datapath.count(Hook::Ingress, Reason::SenderConflict), 5_000);
    let told = datapath.events().len() as u64;
    assert_eq!(
        datapath.count(Hook::Ingress, Reason::EventSuppressed),
        5_000 - told
    );
}
