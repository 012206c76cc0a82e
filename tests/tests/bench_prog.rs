//! What each program takes for each class of frames, in nanoseconds of this machine, and how that
//! grows with the number of children: `cargo xtask bench prog`, and a quick run in `cargo xtask test prog`.
//!
//! The frame is written anew and another child chosen before each run, by a program in front of the one
//! that is measured; the floor, an empty program behind the same one, is taken off. Both are measured in
//! turns, and medians of many turns compared. Every run is checked: its verdict, and that its reason was
//! counted.

#![allow(
    clippy::expect_used,
    reason = "tests panic, and so do their parts outside of `#[test]` functions"
)]

#[path = "bench_prog/classes.rs"]
mod classes;
use std::{env, net::IpAddr, path::Path};

use classes::Class;
use ipvlan_common::{Hook, Reason};
use ipvlan_model::{
    datapath::{Act, Datapath, Program},
    world::{L3, SLOTS, child, config, entries},
};
use ipvlan_tests::{
    bench::row::Row,
    bpf::{self, Restored, Varied},
    results::{Line, Results},
};

/// Settings: whether it is to be quick, and where rows go; without that they are printed.
const QUICK: &str = "IPVLAN_BENCH_QUICK";
const RESULTS: &str = "IPVLAN_BENCH_RESULTS";

const CHILDREN: [u32; 4] = [1, 256, 4_096, 65_536];
const REPEAT: u32 = 40_000;
/// Children that have counters of their own.
const COUNTED: u32 = 4_000;
/// What one reply by XDP may take, five million in a second, and one by TC beyond an empty program.
const REPLY_NS: f64 = 200.0;
/// No run takes a tenth of this, even on a slow and busy machine.
const ABSURD_NS: f64 = 20_000.0;
/// By how much a lookup may grow from one child to 65 536.
const GROWTH_NS: f64 = 6.0;
/// What a program may take for IPv6 beside IPv4.
const IPV6: f64 = 1.3;
const NS: &str = "ns";
const GROWTH: &str = "lookup, 65 536 children less 1";

/// How a measurement is made.
struct Plan {
    children: Vec<u32>,
    rounds: usize,
}

impl Plan {
    fn from_settings() -> Self {
        if env::var_os(QUICK).is_some() {
            Self {
                children: vec![1, 65_536],
                rounds: 7,
            }
        } else {
            Self {
                children: CHILDREN.to_vec(),
                rounds: 25,
            }
        }
    }
}

/// One after the other: two measurements at once would measure each other.
#[test]
fn measures_every_program_by_class_of_frames_and_number_of_children() {
    let plan = Plan::from_settings();
    let results = env::var_os(RESULTS)
        .map(|path| Results::open(Path::new(&path)).expect("a file for the results"));
    let mut rows = sizes();
    for &children in &plan.children {
        rows.extend(with_children(children, plan.rounds));
    }
    let compared = compared(&rows);
    rows.extend(compared);
    for row in &rows {
        match &results {
            Some(results) => results.write(&Line::Row(row)).expect("write a row"),
            None => println!("{row:?}"),
        }
    }
}

/// What the verifier had to look at, and what it made of it.
fn sizes() -> Vec<Row> {
    let datapath = Datapath::load();
    let size = |program: &Program| {
        let verified = datapath.info(*program).verified_instruction_count();
        let verified = verified.expect("Linux >= 5.16 tells what verifying took");
        Row::new(
            "verifier",
            program.name(),
            0,
            verified.into(),
            "instructions",
        )
    };
    Program::LOADED.iter().map(size).collect()
}

fn with_children(children: u32, rounds: usize) -> Vec<Row> {
    let mut datapath = Datapath::with_room(children + 64);
    let mut all = entries();
    for number in 0..children {
        let [.., high, low] = number.to_be_bytes();
        let number16 = u16::from_be_bytes([high, low]);
        let entry = child(SLOTS + number % COUNTED);
        all.insert(IpAddr::from(classes::v4(number16)), entry);
        all.insert(IpAddr::from(classes::v6(number16)), entry);
    }
    datapath.install(config(L3), &all);
    let mut rows = Vec::new();
    for class in classes::all() {
        for &(program, act, reason) in &class.taken {
            rows.extend(measure(
                &datapath, &class, program, act, reason, children, rounds,
            ));
        }
    }
    rows
}

fn measure(
    datapath: &Datapath,
    class: &Class,
    program: Program,
    act: Act,
    reason: Option<Reason>,
    children: u32,
    rounds: usize,
) -> Vec<Row> {
    let mask = u16::try_from(children - 1).expect("at most 65 536 children");
    let varied = Varied {
        mask,
        ..class.varied.clone()
    };
    let (hook, nothing) = match program.hook() {
        Hook::Ingress => (bpf::Hook::Tc, bpf::Program::tc_next(bpf::Hook::Tc)),
        Hook::Egress => (bpf::Hook::Egress, bpf::Program::tc_next(bpf::Hook::Egress)),
        Hook::Xdp => (bpf::Hook::Xdp, bpf::Program::xdp_pass()),
    };
    let nothing = nothing.expect("an empty program");
    let behind = |then| Restored::new(hook, &class.frame, &varied, then).expect("a program");
    let nothing = nothing.fd().expect("a loaded program");
    let (floor, ours) = (behind(nothing), behind(datapath.fd(program)));
    let counted = || reason.map_or(0, |reason| datapath.count(program.hook(), reason));
    let before = counted();
    let [mut floors, mut times] = [Vec::new(), Vec::new()];
    for _ in 0..rounds {
        let (verdict, time) = floor.run(REPEAT).expect("run an empty program");
        assert_eq!(verdict, Act::Pass.code(program), "{}", class.name);
        floors.push(time);
        let (verdict, time) = ours.run(REPEAT).expect("run a program");
        let name = program.name();
        assert_eq!(verdict, act.code(program), "{name}: {}", class.name);
        times.push(time);
    }
    let runs = u64::from(REPEAT) * u64::try_from(rounds).expect("not so many");
    let expected = if reason.is_some() { runs } else { 0 };
    let name = program.name();
    assert_eq!(counted() - before, expected, "{name}: {}", class.name);
    let (floor, whole) = (median(&mut floors), median(&mut times));
    assert!(whole < ABSURD_NS, "{name}: {}: {whole} ns", class.name);
    let row = |path: &str, value| Row::new(path, name, children, value, NS);
    let mut rows = [
        row(class.name, whole - floor),
        row(&format!("{}, empty program", class.name), floor),
        row(&format!("{}, whole run", class.name), whole),
    ];
    if matches!(reason, Some(Reason::ArpAnswered | Reason::NdAnswered)) {
        let judged = if program == Program::Xdp { 2 } else { 0 };
        rows[judged] = rows[judged].clone().at_most(REPLY_NS);
    }
    rows.into()
}

fn median(times: &mut [u32]) -> f64 {
    times.sort_unstable();
    f64::from(times[times.len() / 2])
}

/// What the goals are about: how a lookup grows, and what IPv6 costs beside IPv4.
fn compared(rows: &[Row]) -> Vec<Row> {
    let find = |path: &str, variant: &str, children| {
        let row = rows
            .iter()
            .find(|row| row.path == path && row.variant == variant && row.children == children);
        row.map_or_else(
            || panic!("no row {path}, {variant}, {children}"),
            |row| row.value,
        )
    };
    let demux = Program::IngressDemux.name();
    let egress = Program::Egress.name();
    let growth = |path: &str, variant: &str, goal: Option<f64>| {
        let grown = find(path, variant, 65_536) - find(path, variant, 1);
        let row = Row::new(format!("{path}: {GROWTH}"), variant, 65_536, grown, NS);
        match goal {
            Some(goal) => row.at_most(goal),
            None => row,
        }
    };
    let mut compared = vec![
        growth("IPv4 to a child", demux, Some(GROWTH_NS)),
        growth("IPv6 to a child", demux, None),
        growth("ARP answered", Program::Ingress.name(), Some(GROWTH_NS)),
        growth("ARP answered", Program::Xdp.name(), Some(GROWTH_NS)),
        growth("IPv4 host to child", egress, Some(GROWTH_NS)),
        growth("NS answered", Program::Ingress.name(), None),
    ];
    for children in [1, 65_536] {
        for (v4, v6, variant) in [
            ("IPv4 to a child", "IPv6 to a child", demux),
            ("IPv4 host to child", "IPv6 host to child", egress),
            ("ARP answered", "NS answered", Program::Ingress.name()),
            ("ARP answered", "NS answered", Program::Xdp.name()),
        ] {
            let row = Row::new(
                format!("{v6} beside {v4}"),
                variant,
                children,
                find(v6, variant, children),
                NS,
            );
            compared.push(row.beside(find(v4, variant, children)).at_most(IPV6));
        }
    }
    compared
}
