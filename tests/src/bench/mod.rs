//! Benchmarks: what a frame costs, on which way and beside what.
//!
//! In a machine whose clock counts instructions (`cargo xtask bench vm`). What is compared is measured in one
//! run, one after the other in the same network namespaces where that can be, with everything as it is
//! but the thing that differs. Every frame that was sent is counted where its way ends.

mod answers;
mod broadcast;
mod hooks;
mod host;
pub mod row;
mod rx;
mod scale;
mod sink;
mod site;
mod source;
mod tcp;
mod tx;
mod verifier;

use std::{path::PathBuf, thread, time::Duration};

use anyhow::{Context, Result, ensure};

use self::{
    row::Row,
    sink::Sink,
    site::{LAN, PARENT, Site},
    source::Source,
};
use crate::{
    agent::Agent,
    bpf::{Attached, Counter, Program},
    cost::price::{Plan, Price},
    lab::{Lab, receive_xdp},
    results::{Line, Results},
};

/// Until everything that a boot leaves behind is done.
const SETTLE: Duration = Duration::from_secs(20);
/// The agent says nothing of its own.
const SILENT: [&str; 4] = ["--announce", "off", "--dad", "off"];
/// What a machine counts here.
const INSTRUCTIONS: &str = "instructions";

/// What to measure.
#[derive(Debug)]
pub struct Bench {
    /// The agent.
    pub ipvlan: PathBuf,
    /// Where results go.
    pub results: Results,
    /// Less of everything.
    pub quick: bool,
    /// Only the parts with these names; all, if none is named.
    pub only: Vec<String>,
}

/// What can be measured by itself.
struct Part {
    name: &'static str,
    /// Of what is quick.
    quick: bool,
    measure: fn(&Bench, &Lab) -> Result<()>,
}

const PARTS: [Part; 10] = [
    part("verifier", true, verifier::measure),
    part("rx", true, rx::attached),
    part("tx", true, tx::attached),
    part("broadcast", true, broadcast::measure),
    part("answers", true, answers::measure),
    part("host", true, host::packets),
    part("tcp", true, tcp::measure),
    part("hooks", false, hooks::measure),
    part("alternatives", false, tx::alternatives),
    part("scale", false, scale::measure),
];

const fn part(name: &'static str, quick: bool, measure: fn(&Bench, &Lab) -> Result<()>) -> Part {
    Part {
        name,
        quick,
        measure,
    }
}

impl Bench {
    /// Measures every part and tells its rows.
    pub fn run(&self) -> Result<bool> {
        for name in &self.only {
            ensure!(
                PARTS.iter().any(|part| part.name == name),
                "there is no part {name}"
            );
        }
        println!("waiting until the machine has settled");
        thread::sleep(SETTLE);
        let lab = Lab::new()?;
        for part in &PARTS {
            let wanted = if self.only.is_empty() {
                part.quick || !self.quick
            } else {
                self.only.iter().any(|name| name == part.name)
            };
            if wanted {
                println!("measuring: {}", part.name);
                (part.measure)(self, &lab).context(part.name)?;
            }
        }
        Ok(true)
    }

    /// How many packets are sent.
    fn plan(&self) -> Plan {
        Plan {
            batch: 900,
            batches: if self.quick { 3 } else { 11 },
        }
    }

    /// What a packet costs from `source` to `sink`.
    fn price(&self, source: &Source<'_>, sink: Sink<'_>) -> Result<Price> {
        price(self.plan(), source, sink)
    }

    /// The agent on the parent of `site`.
    fn agent(&self, site: &Site, options: &[&str]) -> Result<Agent> {
        let room = (site.children + 1_000).max(16_384).to_string();
        // The children of one netns are more than it would get.
        let room = ["--max-addresses", &room, "--netns-addresses", "1000000"];
        let options = [&SILENT, &room[..], options].concat();
        // Some ways have a program there of their own.
        let _receives = if options.contains(&"native") {
            Some(receive_xdp(&site.lan, LAN)?)
        } else {
            None
        };
        Agent::start(&self.ipvlan, &site.host, &[PARENT], &options)
    }

    fn tell(&self, row: &Row) -> Result<()> {
        println!("{row:?}");
        self.results.write(&Line::Row(row))
    }

    /// The row that others are compared with.
    fn tell_base(&self, path: &str, variant: &str, children: u32, base: Price) -> Result<()> {
        let row = Row::new(path, variant, children, base.least, INSTRUCTIONS);
        self.tell(&row.beside(base.least))
    }

    fn tell_beside(&self, compared: &Compared<'_>, base: Price, price: Price) -> Result<()> {
        let Compared {
            path,
            variant,
            children,
            ratio,
            added,
        } = *compared;
        let row = |path: &str, value| Row::new(path, variant, children, value, INSTRUCTIONS);
        let beside = row(path, price.least).beside(base.least);
        self.tell(&match ratio {
            Some(goal) => beside.at_most(goal),
            None => beside,
        })?;
        if let Some(goal) = added {
            let added = row(&format!("{path}: added"), price.least - base.least);
            self.tell(&added.at_most(goal))?;
        }
        Ok(())
    }
}

/// A row beside another: what it is called, and what is expected of the ratio and the difference.
#[derive(Clone, Copy)]
struct Compared<'a> {
    path: &'a str,
    variant: &'a str,
    children: u32,
    ratio: Option<f64>,
    added: Option<f64>,
}

impl<'a> Compared<'a> {
    const fn new(path: &'a str, variant: &'a str, children: u32) -> Self {
        Self {
            path,
            variant,
            children,
            ratio: None,
            added: None,
        }
    }

    const fn ratio(self, goal: f64) -> Self {
        Self {
            ratio: Some(goal),
            ..self
        }
    }

    const fn added(self, goal: f64) -> Self {
        Self {
            added: Some(goal),
            ..self
        }
    }
}

/// What a packet costs from `source` to `sink`.
fn price(plan: Plan, source: &Source<'_>, sink: Sink<'_>) -> Result<Price> {
    let counter = Counter::new()?;
    let _open = sink.open(&counter)?;
    source.measure(&counter, plan)
}

/// Lets the parent take frames from XDP at the other end, as it does when there is a program already.
fn let_in(site: &Site) -> Result<Attached> {
    site.host.run(|| Program::xdp_pass()?.attach(PARENT))
}
