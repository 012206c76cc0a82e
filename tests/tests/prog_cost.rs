//! What one frame costs each program, on the machine that runs the test. Printed, not judged: the
//! one bound is far beyond anything but a mistake.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "tests panic, and so do their parts outside of `#[test]` functions"
)]

use std::{fs, process::Command};

use ipvlan_common::Reason;
use ipvlan_model::{
    datapath::{Datapath, Program},
    frames::{Arp, IpPacket, Nd, arp, ip, ndp, padded},
    rows::MARK,
    world::{
        BY_KERNEL_IP, BY_KERNEL_IP6, CHILD_IP, CHILD_IP6, FOREIGN_IP, FOREIGN_IP6, HOST_IP,
        HOST_IP6, L3, LAN, LAN_IP, LAN_IP6, LOCAL_IP, LOCAL_IP6, SIBLING_IP, config, entries,
    },
};

const REPEAT: u32 = 500_000;
const ROUNDS: u32 = 5;
const SINGLE_RUNS: u32 = 30_000;
/// Nothing here takes a tenth of this, even on a slow and busy machine.
const ABSURD_NS: u64 = 20_000;
/// What one answer at TC is to cost at most, in the median.
const GOAL_NS: u64 = 200;

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
#[derive(Clone)]
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
    let mut datapath = Datapath::load();
    datapath.install(config(L3), &entries());
    println!("fastest of {ROUNDS} x {REPEAT} runs over the same frame:");
    for case in [cases_of_packets(), cases_of_neighbours()].concat() {
        let fastest = case.measure(&mut datapath);
        println!(
            "  {:<20} {:<38} {fastest:>5} ns",
            case.program.name(),
            case.name
        );
        assert!(fastest < ABSURD_NS, "{} takes {fastest} ns", case.name);
    }
}

const fn case(
    name: &'static str,
    program: Program,
    frame: Vec<u8>,
    reason: Option<Reason>,
) -> Case {
    Case {
        name,
        program,
        frame,
        reason,
    }
}

fn cases_of_packets() -> Vec<Case> {
    use Program::{Egress, EgressRouted, Ingress, IngressDemux, Xdp};
    let ipv6 = ip::from_lan(LAN_IP6).frame();
    let to_lan = IpPacket {
        eth_dst: LAN,
        ..ip::from_host(LAN_IP)
    }
    .frame();
    let local = ip::from_lan(LOCAL_IP).frame();
    let from_lan = ip::from_lan(CHILD_IP).frame();
    let left = Some(Reason::LeftToDriver);
    let redirected = Some(Reason::Redirected);
    let hairpinned = Some(Reason::Hairpinned);
    let not_ours = Some(Reason::NotOurs);
    let hairpin = ip::from_host(CHILD_IP).frame();
    let hairpin6 = ip::from_host(CHILD_IP6).frame();
    let local6 = ip::from_lan(LOCAL_IP6).frame();
    vec![
        case("IPv6, not looked at", Ingress, ipv6.clone(), None),
        case("IPv6, not looked at", Egress, ipv6.clone(), None),
        case("IPv6, not looked at", Xdp, ipv6, None),
        case("IPv4 to a child", Ingress, from_lan.clone(), None),
        case(
            "IPv4 to a child, left to the driver",
            IngressDemux,
            from_lan,
            left,
        ),
        case(
            "IPv4 to a child, redirected",
            IngressDemux,
            local,
            redirected,
        ),
        case(
            "IPv6 to a child, redirected",
            IngressDemux,
            local6,
            redirected,
        ),
        case("IPv4 to the LAN", Egress, to_lan.clone(), None),
        case("IPv4 to the LAN, looked up", EgressRouted, to_lan, not_ours),
        case("IPv4 to a child, hairpinned", Egress, hairpin, hairpinned),
        case("IPv6 to a child, hairpinned", Egress, hairpin6, hairpinned),
    ]
}

fn cases_of_neighbours() -> Vec<Case> {
    use Program::{Ingress, Xdp};
    let miss = padded(arp::request(FOREIGN_IP).frame(), 60);
    let miss6 = ndp::solicitation(FOREIGN_IP6).frame();
    // Everything that an answer takes but writing it: both lookups of it.
    let unwritten = arp::request(BY_KERNEL_IP).frame();
    let unwritten6 = ndp::solicitation(BY_KERNEL_IP6).frame();
    // A station that has told too much already.
    let claim = Arp {
        spa: SIBLING_IP,
        ..arp::request(CHILD_IP)
    }
    .frame();
    let not_ours = Some(Reason::NotOurs);
    let left = Some(Reason::LeftToKernel);
    let conflict = Some(Reason::SenderConflict);
    let but_writing = "ARP, all of an answer but writing it";
    let but_writing6 = "NS, all of an answer but writing it";
    vec![
        case("ARP for nobody here", Ingress, miss.clone(), not_ours),
        case("ARP for nobody here", Xdp, miss, not_ours),
        case(but_writing, Ingress, unwritten.clone(), left),
        case(but_writing, Xdp, unwritten, left),
        case("ARP, a claim too many", Ingress, claim, conflict),
        case("NS for nobody here", Ingress, miss6.clone(), not_ours),
        case("NS for nobody here", Xdp, miss6, not_ours),
        case(but_writing6, Ingress, unwritten6.clone(), left),
        case(but_writing6, Xdp, unwritten6, left),
    ]
}

/// A request that is answered.
struct Question {
    name: &'static str,
    program: Program,
    frame: Vec<u8>,
    reason: Reason,
}

fn questions() -> Vec<Question> {
    use Program::{Egress, Ingress, Xdp};
    let question = |name, program, frame, reason| Question {
        name,
        program,
        frame,
        reason,
    };
    let arp = |name, program, frame| question(name, program, frame, Reason::ArpAnswered);
    let nd = |name, program, asked: &Nd| {
        let frame = asked.frame();
        question(name, program, frame, Reason::NdAnswered)
    };
    let from_lan = arp::request(CHILD_IP).frame();
    let solicitation = ndp::solicitation(CHILD_IP6);
    let unicast = ndp::unicast(CHILD_IP6);
    let from_host = ndp::from_parent(HOST_IP6, CHILD_IP6);
    let arp_from_host = arp::from_parent(HOST_IP, CHILD_IP).frame();
    vec![
        arp("ARP, 60 bytes", Ingress, padded(from_lan.clone(), 60)),
        arp("ARP, 42 bytes", Ingress, from_lan.clone()),
        nd("NS to the group", Ingress, &solicitation),
        nd("NS to the target", Ingress, &unicast),
        arp("ARP, 60 bytes", Xdp, padded(from_lan.clone(), 60)),
        arp("ARP, 42 bytes", Xdp, from_lan),
        nd("NS to the group", Xdp, &solicitation),
        nd("NS to the target", Xdp, &unicast),
        arp("ARP, 42 bytes", Egress, arp_from_host),
        nd("NS to the group", Egress, &from_host),
    ]
}

/// An answer turns the request into a reply, and the kernel repeats a run over what the run before
/// left: only the first of many would answer. So these are single runs, whose time is mostly that of
/// reading the clock twice and of cold code; what is printed is the difference to an empty exit, of the
/// fastest and of the median run, measured in turns.
fn nanoseconds_of_answers() {
    let unrelated = ip::from_lan(LAN_IP6).frame();
    let mut datapath = Datapath::load();
    datapath.install(config(L3), &entries());
    println!("of {SINGLE_RUNS} single runs, over an empty exit: median, fastest");
    for Question {
        name,
        program,
        frame,
        reason,
    } in questions()
    {
        let before = datapath.count(program.hook(), reason);
        let [mut exits, mut answers] = [Vec::new(), Vec::new()];
        for _ in 0..SINGLE_RUNS {
            let outcome = datapath.run(program, &unrelated, MARK).expect("run");
            exits.push(outcome.nanoseconds);
            let outcome = datapath.run(program, &frame, MARK).expect("run");
            answers.push(outcome.nanoseconds);
        }
        let answered = datapath.count(program.hook(), reason) - before;
        assert_eq!(answered, u64::from(SINGLE_RUNS), "{name}");
        exits.sort_unstable();
        answers.sort_unstable();
        let [median, fastest] =
            [answers.len() / 2, 0].map(|at| answers[at].saturating_sub(exits[at]));
        let goal = if program == Program::Xdp {
            String::new()
        } else if median <= GOAL_NS {
            format!("  (goal {GOAL_NS})")
        } else {
            format!("  (goal {GOAL_NS}: MISSED)")
        };
        println!(
            "  {:<20} answered: {name:<20} {median:>5} ns {fastest:>5} ns{goal}",
            program.name(),
        );
        assert!(answers[0] < ABSURD_NS, "{name} takes {} ns", answers[0]);
    }
}
