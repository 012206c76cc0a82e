//! What one frame costs each program, on the machine that runs the test. Printed, not judged: the
//! one bound is far beyond anything but a mistake.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "tests panic, and so do their parts outside of `#[test]` functions"
)]

mod common;

use std::{fs, process::Command};

use common::{
    datapath::{Datapath, Program},
    frames::{Arp, Ipv4, Ipv6, padded},
    rows::MARK,
    world::{
        CHILD_IP, FOREIGN_IP, HOST_IP, L3, LAN, LAN_IP, LAN_IP6, LOCAL_IP, SIBLING_IP, config,
        entries,
    },
};
use ipvlan_common::Reason;

const REPEAT: u32 = 500_000;
const ROUNDS: u32 = 5;
const SINGLE_RUNS: u32 = 30_000;
/// Nothing here takes a tenth of this, even on a slow and busy machine.
const ABSURD_NS: u64 = 20_000;

fn machine() -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").expect("/proc/cpuinfo");
    let models: Vec<&str> = cpus
        .lines()
        .filter_map(|line| line.strip_prefix("model name")?.split(": ").nth(1))
        .collect();
    let kernel = Command::new("uname").arg("-sr").output().expect("uname");
    format!(
        "{} x {}, {}",
        models.len(),
        models.first().unwrap_or(&"unknown CPU"),
        String::from_utf8_lossy(&kernel.stdout).trim()
    )
}

/// A frame that the program leaves as it is, so that running it again is the same work.
struct Case {
    name: &'static str,
    program: Program,
    frame: Vec<u8>,
    reason: Option<Reason>,
}

impl Case {
    fn measure(&self, datapath: &mut Datapath) -> u64 {
        let count = |datapath: &Datapath| {
            self.reason
                .map_or(0, |reason| datapath.count(self.program.hook(), reason))
        };
        let before = count(datapath);
        let fastest = (0..ROUNDS)
            .map(|_| {
                let outcome = datapath
                    .repeat(self.program, &self.frame, MARK, REPEAT)
                    .expect("run");
                assert_eq!(outcome.frame, self.frame, "{}: not repeatable", self.name);
                outcome.nanoseconds
            })
            .min()
            .expect("at least one round");
        // Every single run took the way it is named for.
        let runs = u64::from(self.reason.map_or(0, |_| REPEAT * ROUNDS));
        assert_eq!(count(datapath) - before, runs, "{}", self.name);
        fastest
    }
}

/// One after the other: two measurements at once would measure each other.
#[test]
fn prints_nanoseconds_per_frame() {
    println!("{}", machine());
    nanoseconds_of_what_stays();
    nanoseconds_of_answers();
}

fn nanoseconds_of_what_stays() {
    use Program::{Egress, EgressRouted, Ingress, IngressDemux, Xdp};
    let ipv6 = Ipv6::from_lan(LAN_IP6).frame();
    let miss = padded(Arp::request(FOREIGN_IP).frame(), 60);
    // Everything that an answer takes but writing it: both lookups, and a claim found in the second.
    let conflict = Arp {
        spa: SIBLING_IP,
        ..Arp::request(CHILD_IP)
    }
    .frame();
    let case = |name, program, frame, reason| Case {
        name,
        program,
        frame,
        reason,
    };
    let to_lan = Ipv4 {
        eth_dst: LAN,
        ..Ipv4::from_host(LAN_IP)
    }
    .frame();
    let hairpin = Ipv4::from_host(CHILD_IP).frame();
    let local = Ipv4::from_lan(LOCAL_IP).frame();
    let from_lan = Ipv4::from_lan(CHILD_IP).frame();
    let conflicts = Some(Reason::SenderConflict);
    let cases = [
        case("IPv6, not looked at", Ingress, ipv6.clone(), None),
        case("IPv6, not looked at", Egress, ipv6.clone(), None),
        case("IPv6, not looked at", Xdp, ipv6, None),
        case("IPv4 to a child", Ingress, from_lan.clone(), None),
        case(
            "IPv4 to a child, left to the driver",
            IngressDemux,
            from_lan,
            Some(Reason::LeftToDriver),
        ),
        case(
            "IPv4 to a child, redirected",
            IngressDemux,
            local,
            Some(Reason::Redirected),
        ),
        case("IPv4 to the LAN", Egress, to_lan.clone(), None),
        case(
            "IPv4 to the LAN, looked up",
            EgressRouted,
            to_lan,
            Some(Reason::NotOurs),
        ),
        case(
            "IPv4 to a child, hairpinned",
            Egress,
            hairpin,
            Some(Reason::Hairpinned),
        ),
        case(
            "ARP for nobody here",
            Ingress,
            miss.clone(),
            Some(Reason::NotOurs),
        ),
        case("ARP for nobody here", Xdp, miss, Some(Reason::NotOurs)),
        case(
            "ARP, all of an answer but writing it",
            Ingress,
            conflict.clone(),
            conflicts,
        ),
        case(
            "ARP, all of an answer but writing it",
            Xdp,
            conflict,
            conflicts,
        ),
    ];

    let mut datapath = Datapath::load();
    datapath.install(config(L3), &entries());
    println!("fastest of {ROUNDS} x {REPEAT} runs over the same frame:");
    for case in &cases {
        let fastest = case.measure(&mut datapath);
        println!(
            "  {:<20} {:<38} {fastest:>5} ns",
            case.program.name(),
            case.name
        );
        assert!(fastest < ABSURD_NS, "{} takes {fastest} ns", case.name);
    }
}

/// An answer turns the request into a reply, and the kernel repeats a run over what the run before
/// left: only the first of many would answer. So these are single runs, whose time is mostly that of
/// reading the clock twice and of cold code; compared is the fastest of many with the fastest of an
/// empty exit, measured in turns.
fn nanoseconds_of_answers() {
    let from_lan = Arp::request(CHILD_IP).frame();
    let from_host = Arp::from_parent(HOST_IP, CHILD_IP).frame();
    let cases = [
        (Program::Ingress, padded(from_lan.clone(), 60), "60 bytes"),
        (Program::Ingress, from_lan.clone(), "42 bytes"),
        (Program::Xdp, padded(from_lan.clone(), 60), "60 bytes"),
        (Program::Xdp, from_lan, "42 bytes"),
        (Program::Egress, from_host, "42 bytes"),
    ];
    let unrelated = Ipv6::from_lan(LAN_IP6).frame();
    let mut datapath = Datapath::load();
    datapath.install(config(L3), &entries());
    println!("fastest of {SINGLE_RUNS} single runs, over the fastest of an empty exit:");
    for (program, frame, name) in cases {
        let (mut exit, mut answer) = (u64::MAX, u64::MAX);
        for _ in 0..SINGLE_RUNS {
            let outcome = datapath.run(program, &unrelated, MARK).expect("run");
            exit = exit.min(outcome.nanoseconds);
            let outcome = datapath.run(program, &frame, MARK).expect("run");
            assert_eq!(outcome.frame[..6], frame[22..28], "not answered");
            answer = answer.min(outcome.nanoseconds);
        }
        println!(
            "  {:<20} ARP answered, {name:<24} {:>5} ns ({answer} - {exit})",
            program.name(),
            answer.saturating_sub(exit)
        );
        assert!(answer < ABSURD_NS);
    }
}
