//! What the agent is told, and how often at most: by one station, and by all of them together.

use std::{
    thread,
    time::{Duration, Instant},
};

use ipvlan_common::{Event, EventKind, Hook, Reason};
use ipvlan_model::{
    datapath::{Act, Datapath, Program, WIRE},
    frames::{
        Arp, Nd, arp,
        ndp::{self, SOURCE_MAC, TARGET_MAC, option},
    },
    rows::MARK,
    world::{
        CHILD_IP, CHILD_IP6, CHILD_SLOT, DUPLICATE_IP6, DUPLICATE_SLOT, FOREIGN_IP6, HOST_IP,
        HOST_IP6, Ip, Ip6, L3, LAN, Mac, OTHER, PARENT, PROBING_IP, PROBING_SLOT, SIBLING_IP,
        SIBLING_IP6, SIBLING_SLOT, UNSPECIFIED, child, config, entries, ifindex,
    },
};

/// Events that one station may cause at once, and per second.
const OF_STATION: u64 = 8;
/// Events that all of them together may.
const OF_ALL: u64 = 64;

fn datapath() -> Datapath {
    let mut datapath = Datapath::load();
    datapath.install(config(L3), &entries());
    datapath
}

/// A station claims a child's address, by whatever protocol.
fn claim(station: Mac, v6: bool) -> Vec<u8> {
    claim_of(station, CHILD_IP, CHILD_IP6, v6)
}

/// A station claims one of these addresses.
fn claim_of(station: Mac, address: Ip, address6: Ip6, v6: bool) -> Vec<u8> {
    if v6 {
        return ndp::announcement(address6)
            .with(option(TARGET_MAC, &station))
            .frame();
    }
    Arp {
        eth_src: station,
        sha: station,
        spa: address,
        ..arp::request(CHILD_IP)
    }
    .frame()
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
    let ifindex_of_child = ifindex(CHILD_SLOT);
    let probe = Arp {
        spa: UNSPECIFIED,
        ..arp::request(CHILD_IP)
    };
    let claims_host = Arp {
        eth_src: OTHER,
        spa: HOST_IP,
        oper: 2,
        ..arp::request(SIBLING_IP)
    };
    let asks = Nd {
        src: CHILD_IP6,
        ..ndp::solicitation(FOREIGN_IP6)
    }
    .with(option(SOURCE_MAC, &OTHER));
    for &program in WIRE {
        let hook = program.hook();
        let ipv4 = |kind, mac, address, child| Event::ipv4(kind, hook, mac, address, child);
        let ipv6 = |kind, mac, address, child| Event::ipv6(kind, hook, mac, address, child);
        let probes_too = Arp {
            tpa: PROBING_IP,
            ..probe
        };
        let probing = ifindex(PROBING_SLOT);
        let duplicate = ifindex(DUPLICATE_SLOT);
        let rows = [
            (
                probe.frame(),
                ipv4(EventKind::Probe, LAN, CHILD_IP.octets(), ifindex_of_child),
            ),
            (
                claims_host.frame(),
                ipv4(EventKind::Claim, LAN, HOST_IP.octets(), 0),
            ),
            (ndp::probe(CHILD_IP6).frame(), {
                ipv6(EventKind::Probe, LAN, CHILD_IP6.octets(), ifindex_of_child)
            }),
            // Switches that track devices send probes to the stations that they know.
            (
                Arp {
                    eth_dst: PARENT,
                    ..probe
                }
                .frame(),
                ipv4(
                    EventKind::UnicastProbe,
                    LAN,
                    CHILD_IP.octets(),
                    ifindex_of_child,
                ),
            ),
            (
                Nd {
                    eth_dst: PARENT,
                    ..ndp::probe(CHILD_IP6)
                }
                .frame(),
                ipv6(
                    EventKind::UnicastProbe,
                    LAN,
                    CHILD_IP6.octets(),
                    ifindex_of_child,
                ),
            ),
            (
                Arp {
                    eth_dst: PARENT,
                    ..probes_too
                }
                .frame(),
                ipv4(EventKind::UnicastProbe, LAN, PROBING_IP.octets(), probing),
            ),
            // The agent probes for these itself (RFC 5227 §2.1.1).
            (probes_too.frame(), {
                ipv4(EventKind::Probe, LAN, PROBING_IP.octets(), probing)
            }),
            (ndp::probe(DUPLICATE_IP6).frame(), {
                ipv6(EventKind::Probe, LAN, DUPLICATE_IP6.octets(), duplicate)
            }),
            (
                asks.frame(),
                ipv6(
                    EventKind::Claim,
                    OTHER,
                    CHILD_IP6.octets(),
                    ifindex_of_child,
                ),
            ),
            (ndp::announcement(HOST_IP6).frame(), {
                ipv6(EventKind::Claim, LAN, HOST_IP6.octets(), 0)
            }),
        ];
        for (frame, event) in rows {
            datapath.run(program, &frame, MARK).expect("run");
            assert_eq!(datapath.events(), [event], "{}", program.name());
        }
        // Each may tell only so much: the next program starts with stations that have told nothing.
        datapath = self::datapath();
    }
}

#[test]
fn one_station_is_told_of_eight_times_at_once_then_once_a_second() {
    for v6 in [false, true] {
        for &program in WIRE {
            let mut datapath = datapath();
            let hook = program.hook();
            let frame = claim(LAN, v6);
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
            run(&mut datapath, program, &claim(OTHER, v6));
            assert_eq!(datapath.events().len(), 1);
        }
    }
}

#[test]
fn a_station_that_was_quiet_for_a_second_is_told_of_again() {
    let mut datapath = datapath();
    let frame = claim(LAN, false);
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
fn all_stations_together_are_told_of_sixty_four_times_at_once_and_per_second() {
    const STATIONS: u16 = 2_000;
    for v6 in [false, true] {
        let mut datapath = datapath();
        let started = Instant::now();
        for number in 0..STATIONS {
            run(&mut datapath, Program::Xdp, &claim(station(number), v6));
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
    for v6 in [false, true] {
        for &program in WIRE {
            let hook = program.hook();
            let mut entries = entries();
            let probed = child(SIBLING_SLOT).with_probed();
            entries.insert(SIBLING_IP.into(), probed);
            entries.insert(SIBLING_IP6.into(), probed);
            let mut datapath = Datapath::load();
            datapath.install(config(L3), &entries);
            for number in 0..FLOOD {
                run(&mut datapath, program, &claim(station(number), v6));
            }
            assert!(datapath.events().len() as u64 >= OF_ALL);
            // The owner answers, with a MAC that was in the flood as well.
            for (owner, answers) in [(station(1), 32), (OTHER, 1)] {
                let answer = claim_of(owner, SIBLING_IP, SIBLING_IP6, v6);
                for _ in 0..answers {
                    run(&mut datapath, program, &answer);
                }
                let told = datapath.events();
                assert_eq!(told.len(), answers, "{} {v6}", program.name());
                assert!(told.iter().all(|event| event.mac() == owner
                    && event.child() == ifindex(SIBLING_SLOT)));
            }
            assert_eq!(datapath.count(hook, Reason::ProbedEventSuppressed), 0);
            // Their own rate is bounded as well, and what exceeds it has a counter of its own.
            let others = datapath.count(hook, Reason::EventSuppressed);
            let started = Instant::now();
            for number in 0..FLOOD {
                let answer = claim_of(station(number), SIBLING_IP, SIBLING_IP6, v6);
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
            run(&mut datapath, program, &claim(LAN, true));
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
fn a_flood_of_claims_keeps_nobody_from_being_answered() {
    let mut datapath = datapath();
    let request = arp::request(CHILD_IP);
    for number in 0..5_000 {
        run(
            &mut datapath,
            Program::Ingress,
            &claim(station(number), false),
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
