//! Every program agrees with the reference model on frames that nobody thought of: valid ones with
//! fields, lengths and switches changed at random.
//!
//! `IPVLAN_FUZZ_FRAMES` and `IPVLAN_FUZZ_SEED` set how many and which (`cargo xtask fuzz`).

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "tests panic, and so do their parts outside of `#[test]` functions"
)]

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    env,
    time::{Duration, Instant, SystemTime},
};

use ipvlan_common::{REASONS, counter_index};
use ipvlan_model::{
    datapath::Counts,
    model::model,
    mutate::{all_entries, config, frame, origin},
    prelude::*,
    rows::child_counter,
};
use proptest::{
    prelude::*,
    test_runner::{RngSeed, TestError, TestRunner},
};

const FRAMES: u32 = 1_000_000;
/// Frames after which all counters are read.
const AUDIT: u32 = 2_000;

/// `BPF_PROG_TEST_RUN` wants a whole header of an skb that says it is IPv4 or IPv6.
fn is_refused_by_the_kernel(program: Program, frame: &[u8]) -> bool {
    program != Program::Xdp
        && match frame[12..ETH_LEN] {
            [0x08, 0x00] => frame.len() < v4::LEN,
            [0x86, 0xdd] => frame.len() < v6::LEN,
            _ => false,
        }
}

/// The programs in the kernel, and what they should have counted and told by now.
struct Comparison {
    datapath: Datapath,
    entries: Entries,
    expected: Counts,
    /// Of which the rate limit lets some pass, in this order.
    events: VecDeque<Event>,
    told: u64,
    runs: u64,
    spent: Duration,
    since_audit: u32,
}

impl Comparison {
    fn new(datapath: Datapath) -> Self {
        Self {
            expected: datapath.counts(),
            datapath,
            entries: all_entries(),
            events: VecDeque::new(),
            told: 0,
            runs: 0,
            spent: Duration::ZERO,
            since_audit: 0,
        }
    }

    fn compare(
        &mut self,
        config: [Config; 2],
        frame: &[u8],
        origin: Origin,
    ) -> Result<(), TestCaseError> {
        self.datapath.install(config, &self.entries);
        for &program in Program::ALL {
            if !self.datapath.has(program) {
                continue;
            }
            let name = program.name();
            let started = Instant::now();
            let outcome = self.datapath.run_from(program, frame, MARK, origin);
            self.spent += started.elapsed();
            self.runs += 1;
            if is_refused_by_the_kernel(program, frame) {
                prop_assert!(outcome.is_err(), "{name}: {outcome:?}");
                continue;
            }
            let outcome = outcome.map_err(|error| TestCaseError::fail(format!("{error:?}")))?;
            let expected = model(program, config, &self.entries, frame, origin);
            let reason = expected.reason;
            prop_assert_eq!(
                outcome.code,
                expected.act.code(program),
                "{} {:?}",
                name,
                reason
            );
            prop_assert_eq!(&outcome.frame, &expected.frame, "{} {:?}", name, reason);
            if program != Program::Xdp {
                let mark = if expected.unmarked { 0 } else { MARK };
                prop_assert_eq!(outcome.mark, mark, "{}", name);
            }
            self.events.extend(expected.event);
            let Some(reason) = reason else {
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
                *child_counter(&mut counters.counters, reason) += 1;
            }
        }
        self.since_audit += 1;
        if self.since_audit == AUDIT {
            self.audit();
        }
        Ok(())
    }

    /// Everything that is too slow to look at after each frame.
    fn audit(&mut self) {
        self.since_audit = 0;
        self.audit_events();
        let counts = self.datapath.counts();
        for (expected, counted) in self.expected.children.iter_mut().zip(&counts.children) {
            // When that was, the tables look at.
            assert_eq!(counted.asked > 0, expected.counters.answered > 0);
            expected.asked = counted.asked;
        }
        assert_eq!(counts, self.expected);
        self.datapath.assert_maps_untouched();
    }

    /// Every event was told, in order and unchanged, or is expected to be counted as suppressed.
    fn audit_events(&mut self) {
        let told = self.datapath.events();
        self.told += told.len() as u64;
        let mut told = told.into_iter().peekable();
        for event in self.events.drain(..) {
            if told.next_if_eq(&event).is_none() {
                let hook = event.hook().expect("an event of the model");
                let index = counter_index(hook, Reason::EventSuppressed as u8) as usize;
                self.expected.reasons[index] += 1;
            }
        }
        let unexpected: Vec<_> = told.collect();
        assert!(unexpected.is_empty(), "told {unexpected:?}");
    }

    fn print_reached(&self, by: &str) {
        println!("by {by}: {} events were told", self.told);
        for hook in Hook::ALL {
            let reached: Vec<_> = REASONS
                .iter()
                .map(|&reason| (reason, counter_index(hook, reason as u8) as usize))
                .map(|(reason, index)| (reason.word(), self.expected.reasons[index]))
                .filter(|(_, count)| *count > 0)
                .map(|(word, count)| format!("{word} {count}"))
                .collect();
            println!("{}: {}", hook.word(), reached.join(", "));
        }
    }
}

/// A number from the environment.
fn setting(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|error| panic!("{name}={text}: {error}")))
}

fn seed() -> u64 {
    setting("IPVLAN_FUZZ_SEED").unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        now.map_or(0, |now| now.as_secs())
    })
}

#[test]
fn programs_and_model_agree_on_mutated_frames() {
    let frames = setting("IPVLAN_FUZZ_FRAMES")
        .map_or(FRAMES, |frames| u32::try_from(frames).expect("below 2^32"));
    let seed = seed();
    println!("{frames} frames, IPVLAN_FUZZ_SEED={seed}");
    let comparisons = [
        Comparison::new(Datapath::load()),
        Comparison::new(Datapath::without_index()),
    ]
    .map(RefCell::new);
    let mut runner = TestRunner::new(ProptestConfig {
        cases: frames,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(seed),
        ..ProptestConfig::default()
    });
    let started = Instant::now();
    let failed = Cell::new(false);
    let tried = Cell::new(0_usize);
    let result = runner.run(&(config(), frame(), origin()), |(config, frame, origin)| {
        // One after the other; of a frame that fails, all simpler ones by the same.
        if !failed.get() {
            tried.set(tried.get() + 1);
        }
        let mut comparison = comparisons[tried.get() % comparisons.len()].borrow_mut();
        // After a failure the counters are off by what failed; go on from where they are.
        if failed.get() {
            comparison.expected = comparison.datapath.counts();
            comparison.events.clear();
            comparison.datapath.events();
        }
        let result = comparison.compare(config, &frame, origin);
        failed.set(failed.get() || result.is_err());
        result
    });
    if let Err(TestError::Fail(reason, (config, frame, origin))) = &result {
        panic!("{reason}\nseed {seed}\nconfig {config:?}\n{origin:?}\nframe {frame:02x?}");
    }
    result.expect("all cases run");
    let mut comparisons = comparisons.map(RefCell::into_inner);
    comparisons.iter_mut().for_each(Comparison::audit);

    let seconds = started.elapsed().as_secs_f64();
    let runs: u64 = comparisons.iter().map(|one| one.runs).sum();
    let spent: Duration = comparisons.iter().map(|one| one.spent).sum();
    println!(
        "{frames} frames through {} programs: {runs} runs in {seconds:.1} s, {:.0} per second \
         ({:.1} us per run in the kernel)",
        Program::ALL.len(),
        f64::from(u32::try_from(runs).expect("fewer than 2^32 runs")) / seconds,
        spent.as_secs_f64() * 1e6 / f64::from(u32::try_from(runs).unwrap()),
    );
    for (by, comparison) in ["index", "map"].into_iter().zip(&comparisons) {
        comparison.print_reached(by);
    }
}
