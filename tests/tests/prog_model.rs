//! Every program agrees with the reference model on frames that nobody thought of: valid ones with
//! fields, lengths and switches changed at random.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "tests panic, and so do their parts outside of `#[test]` functions"
)]

mod common;

use std::{
    cell::{Cell, RefCell},
    time::{Duration, Instant},
};

use common::{
    datapath::{Counts, Datapath, Program},
    frames::{ETH_LEN, IPV4_LEN, JUNK, arp, ipv4, valid},
    model::model,
    rows::{MARK, child_counter},
    world::{
        BROADCAST, CHILD_IP, CLAIMED_GATEWAY_IP, DOWN_IP, Entries, FOREIGN_IP, GATEWAY_IP, HOST_IP,
        Ip, LAN, LAN_IP, LOCAL_IP, MULTICAST, Mac, ODD_SLOT, OTHER, PARENT, SIBLING_IP,
        UNSPECIFIED, ZERO, child, entries,
    },
};
use ipvlan_common::{AddressEntry, Config, ConfigFlags, Owner, Reason, counter_index};
use proptest::{
    collection::vec,
    prelude::*,
    sample::{Index, select},
    test_runner::{TestError, TestRunner},
};

const FRAMES: u32 = 250_000;
/// Frames after which all counters are read.
const AUDIT: u32 = 2_000;
/// Longest frame: more than any Ethernet frame, less than a page.
const LONGEST: usize = 1_600;

/// A change to a frame.
#[derive(Clone, Debug)]
enum Edit {
    Mac(usize, Mac),
    Ip(usize, Ip),
    Field(usize, u16),
    Byte(Index, u8),
    Cut(Index),
    Junk(Index),
}

fn edit() -> impl Strategy<Value = Edit> {
    let macs = select(vec![PARENT, LAN, OTHER, BROADCAST, MULTICAST, ZERO]);
    let ips = select(vec![
        CHILD_IP,
        SIBLING_IP,
        LOCAL_IP,
        DOWN_IP,
        CLAIMED_GATEWAY_IP,
        HOST_IP,
        GATEWAY_IP,
        LAN_IP,
        FOREIGN_IP,
        UNSPECIFIED,
        [0, 0, 0, 7],
        [127, 0, 0, 1],
        [224, 0, 0, 5],
        [255, 255, 255, 255],
        [240, 0, 0, 1],
        [169, 254, 0, 1],
    ]);
    let numbers = select(vec![
        0, 1, 2, 3, 6, 8, 0x0604, 0x0800, 0x0806, 0x8100, 0x86dd, 0x4500, 0x4600, 20, 28, 44,
        0xffff,
    ]);
    let fields = select(vec![12, arp::HTYPE, arp::PTYPE, arp::HLEN, arp::OPER]);
    prop_oneof![
        4 => (select(vec![0, 6, arp::SHA]), macs).prop_map(|(at, mac)| Edit::Mac(at, mac)),
        6 => (select(vec![arp::SPA, arp::TPA, ipv4::SRC, ipv4::DST]), ips)
            .prop_map(|(at, ip)| Edit::Ip(at, ip)),
        2 => (fields, numbers).prop_map(|(at, number)| Edit::Field(at, number)),
        2 => any::<(Index, u8)>().prop_map(|(at, byte)| Edit::Byte(at, byte)),
        1 => any::<Index>().prop_map(Edit::Cut),
        1 => any::<Index>().prop_map(Edit::Junk),
    ]
}

impl Edit {
    fn apply(&self, frame: &mut Vec<u8>) {
        let mut put = |at: usize, bytes: &[u8]| {
            if let Some(place) = frame.get_mut(at..at + bytes.len()) {
                place.copy_from_slice(bytes);
            }
        };
        match self {
            Self::Mac(at, mac) => put(*at, mac),
            Self::Ip(at, ip) => put(*at, ip),
            Self::Field(at, number) => put(*at, &number.to_be_bytes()),
            Self::Byte(at, byte) => {
                let at = at.index(frame.len().min(64));
                frame[at] = *byte;
            }
            Self::Cut(at) => frame.truncate(ETH_LEN + at.index(frame.len() - ETH_LEN + 1)),
            Self::Junk(at) => {
                let len = frame.len() + at.index(LONGEST - frame.len());
                frame.resize(len, JUNK);
            }
        }
    }
}

fn frame() -> impl Strategy<Value = Vec<u8>> {
    (select(valid()), vec(edit(), 0..5)).prop_map(|(mut frame, edits)| {
        for edit in edits {
            edit.apply(&mut frame);
        }
        frame
    })
}

/// Mostly ready, and both copies alike.
fn config() -> impl Strategy<Value = [Config; 2]> {
    const SWITCHES: [ConfigFlags; 5] = [
        ConfigFlags::L2,
        ConfigFlags::L2_FLOOD,
        ConfigFlags::L2_DROP_FOREIGN,
        ConfigFlags::CHECK_SOURCE,
        ConfigFlags::VEPA,
    ];
    let ready = prop::bool::weighted(0.97);
    (ready, any::<[bool; 5]>(), ready).prop_map(|(ready, on, same)| {
        let base = if ready {
            ConfigFlags::READY
        } else {
            ConfigFlags::default()
        };
        let flags = SWITCHES
            .into_iter()
            .zip(on)
            .filter(|(_, on)| *on)
            .fold(base, |flags, (switch, _)| flags | switch);
        let copy = Config::new(PARENT, flags);
        let other = if same {
            copy
        } else {
            Config::new(OTHER, flags)
        };
        [copy, other]
    })
}

/// One of every kind, and children that hold what no child may.
fn all_entries() -> Entries {
    let mut entries = entries();
    entries.extend([
        (UNSPECIFIED, child(ODD_SLOT)),
        ([127, 0, 0, 1], child(ODD_SLOT)),
        ([224, 0, 0, 5], child(ODD_SLOT)),
        ([255, 255, 255, 255], child(ODD_SLOT)),
        ([240, 0, 0, 1], child(ODD_SLOT)),
        (
            [169, 254, 0, 1],
            AddressEntry::held_by(Owner::Host).refused(Reason::TargetLinkLocal),
        ),
    ]);
    entries
}

/// `BPF_PROG_TEST_RUN` wants a whole header of an skb that says it is IPv4 or IPv6.
fn is_refused_by_the_kernel(program: Program, frame: &[u8]) -> bool {
    program != Program::Xdp
        && match frame[12..ETH_LEN] {
            [0x08, 0x00] => frame.len() < IPV4_LEN,
            [0x86, 0xdd] => frame.len() < ETH_LEN + 40,
            _ => false,
        }
}

/// The programs in the kernel, and what they should have counted by now.
struct Comparison {
    datapath: Datapath,
    entries: Entries,
    expected: Counts,
    runs: u64,
    spent: Duration,
    since_audit: u32,
}

impl Comparison {
    fn compare(&mut self, config: [Config; 2], frame: &[u8]) -> Result<(), TestCaseError> {
        self.datapath.install(config, &self.entries);
        for &program in Program::ALL {
            let name = program.name();
            let started = Instant::now();
            let outcome = self.datapath.run(program, frame, MARK);
            self.spent += started.elapsed();
            self.runs += 1;
            if is_refused_by_the_kernel(program, frame) {
                prop_assert!(outcome.is_err(), "{name}: {outcome:?}");
                continue;
            }
            let outcome = outcome.map_err(|error| TestCaseError::fail(format!("{error:?}")))?;
            let expected = model(program, config, &self.entries, frame);
            prop_assert_eq!(outcome.code, expected.act.code(program), "{}", name);
            prop_assert_eq!(&outcome.frame, &expected.frame, "{}", name);
            if program != Program::Xdp {
                let mark = if expected.unmarked { 0 } else { MARK };
                prop_assert_eq!(outcome.mark, mark, "{}", name);
            }
            let Some(reason) = expected.reason else {
                continue;
            };
            let count =
                &mut self.expected.reasons[counter_index(program.hook(), reason as u8) as usize];
            *count += 1;
            prop_assert_eq!(
                self.datapath.count(program.hook(), reason),
                *count,
                "{} counted something other than {:?}",
                name,
                reason
            );
            if let Some(slot) = expected.slot {
                let counters = &mut self.expected.children[slot as usize];
                *child_counter(counters, reason) += 1;
            }
        }
        self.since_audit += 1;
        if self.since_audit == AUDIT {
            self.audit();
        }
        Ok(())
    }

    fn audit(&mut self) {
        self.since_audit = 0;
        assert_eq!(self.datapath.counts(), self.expected);
        self.datapath.assert_maps_untouched();
    }
}

#[test]
fn programs_and_model_agree_on_mutated_frames() {
    let datapath = Datapath::load();
    let comparison = RefCell::new(Comparison {
        expected: datapath.counts(),
        datapath,
        entries: all_entries(),
        runs: 0,
        spent: Duration::ZERO,
        since_audit: 0,
    });
    let mut runner = TestRunner::new(ProptestConfig {
        cases: FRAMES,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let started = Instant::now();
    let failed = Cell::new(false);
    let result = runner.run(&(config(), frame()), |(config, frame)| {
        let mut comparison = comparison.borrow_mut();
        // After a failure the counters are off by what failed; go on from where they are.
        if failed.get() {
            comparison.expected = comparison.datapath.counts();
        }
        let result = comparison.compare(config, &frame);
        failed.set(result.is_err());
        result
    });
    let mut comparison = comparison.into_inner();
    if let Err(TestError::Fail(reason, (config, frame))) = &result {
        panic!("{reason}\nconfig {config:?}\nframe {frame:02x?}");
    }
    result.expect("all cases run");
    comparison.audit();

    let seconds = started.elapsed().as_secs_f64();
    let runs = comparison.runs;
    println!(
        "{FRAMES} frames through {} programs: {runs} runs in {seconds:.1} s, {:.0} per second \
         ({:.1} us per run in the kernel)",
        Program::ALL.len(),
        f64::from(u32::try_from(runs).expect("fewer than 2^32 runs")) / seconds,
        comparison.spent.as_secs_f64() * 1e6 / f64::from(u32::try_from(runs).unwrap()),
    );
    let reached = comparison
        .expected
        .reasons
        .iter()
        .filter(|count| **count > 0)
        .count();
    println!("{reached} counters of a hook and reason were reached");
}
