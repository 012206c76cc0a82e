//! The kernel as oracle: the same frames to an l2 child that the kernel answers for and to a child
//! that the agent's programs answer for, and a comparison of everything that comes back, byte for
//! byte. What may differ is in `exceptions`, with both sides asserted.

mod arp;
pub(crate) mod asker;
mod case;
mod compare;
mod covers;
mod exceptions;
mod framing;
mod ndp;
mod outcome;
mod pinned;
mod setting;
mod settle;
mod wire;
pub(crate) mod world;

use std::path::PathBuf;

use anyhow::{Context, Result};

use self::{
    case::Case,
    compare::Comparison,
    pinned::Pinned,
    setting::{SETTINGS, Setting},
    wire::{Received, Wire},
    world::{LAN, PARENT, Side},
};
use crate::{
    agent::Agent,
    bpf::Program,
    demo::mode::Mode,
    lab::{Lab, receive_xdp},
    results::{Line, Results},
};

/// How many pings follow each frame to the kernel's l2 children.
const PINGS: usize = 2;

/// What to compare.
#[derive(Debug)]
pub struct Oracle {
    /// The agent.
    pub ipvlan: PathBuf,
    /// Where results go.
    pub results: Results,
}

impl Oracle {
    /// Compares in every setting; `false` if an answer differs that may not, or an exception is
    /// none any more.
    pub fn run(&self) -> Result<bool> {
        setting::prepare_machine()?;
        let lab = Lab::new()?;
        let mut kernel: Vec<(world::Traits, Vec<Vec<Received>>)> = Vec::new();
        let mut good = true;
        for setting in &SETTINGS {
            let cases = setting.cases();
            let known = kernel
                .iter()
                .position(|(traits, _)| *traits == setting.traits);
            let oracle = if let Some(known) = known {
                known
            } else {
                kernel.push((setting.traits, by_kernel(&lab, setting, &cases)?));
                kernel.len() - 1
            };
            let ours = self.by_agent(&lab, setting, &cases)?;
            let comparison = Comparison::of(setting, &cases, &kernel[oracle].1, &ours);
            good &= self.report(setting, &comparison)?;
        }
        Ok(good)
    }

    fn by_agent(&self, lab: &Lab, setting: &Setting, cases: &[Case]) -> Result<Vec<Vec<Received>>> {
        let side = Side::build(lab, setting.mode, setting.traits)?;
        // In the way of the one that the exchange attaches.
        let receives = receive_xdp(&side.lan, LAN)?;
        let mut agent = Agent::start(
            &self.ipvlan,
            &side.host,
            &[PARENT],
            &setting.agent_options(),
        )?;
        drop(receives);
        let settle = || {
            settle::by_kernel(&side, setting)?;
            settle::by_agent(&mut agent, setting)
        };
        let answers = exchange(&side, cases, setting.pings(), settle)
            .with_context(|| format!("{setting}"))?;
        agent.stop()?;
        Ok(answers)
    }

    fn report(&self, setting: &Setting, comparison: &Comparison) -> Result<bool> {
        for problem in comparison.problems() {
            println!("{setting}: {problem}");
        }
        let text = format!("{setting}: {comparison}");
        println!("{text}");
        self.results.write(&Line::Note { text: &text })?;
        Ok(comparison.is_good())
    }
}

fn by_kernel(lab: &Lab, setting: &Setting, cases: &[Case]) -> Result<Vec<Vec<Received>>> {
    let side = Side::build(lab, Mode::L2, setting.traits)?;
    let settle = || settle::by_kernel(&side, setting);
    exchange(&side, cases, PINGS, settle)
        .with_context(|| format!("the kernel alone, for {setting}"))
}

/// Sends every frame of `cases`, each with `pings` behind it; `settle` waits before the first one that wants it.
fn exchange(
    side: &Side,
    cases: &[Case],
    pings: usize,
    settle: impl FnOnce() -> Result<()>,
) -> Result<Vec<Vec<Received>>> {
    // What a native XDP program answers is not delivered to a veth device without one.
    let _let_in = side.lan.run(|| Program::xdp_pass()?.attach(LAN))?;
    let _on_one_processor = Pinned::new()?;
    let mut wire = side.lan.run(|| Wire::open(LAN, pings))?;
    let mut settle = Some(settle);
    cases
        .iter()
        .map(|case| {
            if let Some(settle) = settle.take_if(|_| case.settled) {
                settle()?;
            }
            wire.exchange(&case.frame)
                .with_context(|| case.name.clone())
        })
        .collect()
}
