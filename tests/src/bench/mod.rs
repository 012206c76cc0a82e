//! Benchmarks: what a frame costs, on which way and beside what; how soon an agent follows a change, and what it needs.
//!
//! In a machine whose clock counts instructions (`cargo xtask bench vm`), a nanosecond is an instruction. What is
//! compared is measured in one run, one after the other in the same network namespaces where that can be, with
//! everything as it is but the thing that differs. Every frame that was sent is counted where its way ends.

pub(crate) mod agent;
mod answers;
mod broadcast;
mod hooks;
mod host;
mod price;
pub mod row;
mod rx;
mod sink;
pub(crate) mod site;
mod source;
mod tcp;
mod tx;
mod verifier;

use std::{cell::RefCell, path::PathBuf, thread, time::Duration};

use anyhow::{Context, Result, ensure};

use self::{
    price::Plan,
    row::Row,
    sink::Sink,
    site::{LAN, PARENT, Site, v4},
    source::{Source, prime},
};
use crate::{
    agent::Agent,
    bpf::{Attached, Program},
    lab::{Lab, receive_xdp},
    netns::Netns,
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
    ipvlan: PathBuf,
    results: Results,
    /// Less of everything.
    quick: bool,
    /// Only the parts with these names; those of `bench vm`, if none is named.
    only: Vec<String>,
    /// What exceeds a limit that the run fails for.
    exceeded: RefCell<Vec<String>>,
}

/// What can be measured by itself.
struct Part {
    name: &'static str,
    when: When,
    measure: fn(&Bench, &Lab) -> Result<()>,
}

/// In which runs a part is measured, unless parts are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Always,
    /// Not in a quick one.
    Long,
    /// In none: it is of `bench numbers`.
    Named,
}

const PARTS: [Part; 12] = [
    part("verifier", When::Always, verifier::measure),
    part("rx", When::Always, rx::attached),
    part("tx", When::Always, tx::attached),
    part("broadcast", When::Always, broadcast::measure),
    part("answers", When::Always, answers::measure),
    part("host", When::Always, host::packets),
    part("tcp", When::Always, tcp::measure),
    part("hooks", When::Long, hooks::measure),
    part("alternatives", When::Long, tx::alternatives),
    part("scale", When::Long, rx::scale),
    part("agent", When::Named, agent::measure),
    part("floods", When::Named, agent::floods),
];

const fn part(name: &'static str, when: When, measure: fn(&Bench, &Lab) -> Result<()>) -> Part {
    Part {
        name,
        when,
        measure,
    }
}

impl Bench {
    /// Returns a benchmark of the agent `ipvlan`. It is about the parts `only`, or about packets if there are none;
    /// `quick` is less of everything.
    pub fn new(results: Results, ipvlan: PathBuf, quick: bool, only: Vec<String>) -> Self {
        Self {
            ipvlan,
            results,
            quick,
            only,
            exceeded: RefCell::default(),
        }
    }

    /// Measures every part and reports its rows; returns whether no limit is exceeded.
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
            let wanted = match part.when {
                _ if !self.only.is_empty() => self.only.iter().any(|name| name == part.name),
                When::Always => true,
                When::Long => !self.quick,
                When::Named => false,
            };
            if wanted {
                println!("measuring: {}", part.name);
                (part.measure)(self, &lab).context(part.name)?;
            }
        }
        let exceeded = self.exceeded.borrow();
        for row in &*exceeded {
            println!("limit exceeded: {row}");
        }
        Ok(exceeded.is_empty())
    }

    /// How many packets are sent.
    fn plan(&self) -> Plan {
        Plan {
            batch: 900,
            batches: if self.quick { 3 } else { 11 },
        }
    }

    /// What a packet costs from `source` to `sink`.
    fn price(&self, source: &Source<'_>, sink: Sink<'_>) -> Result<f64> {
        price_of(self.plan(), source, sink)
    }

    /// What a packet costs that a process in `from` sends by a socket.
    fn price_from(&self, from: &Netns, sink: Sink<'_>) -> Result<f64> {
        let to = sink.to();
        prime(from, to)?;
        self.price(&Source::Socket { netns: from, to }, sink)
    }

    /// What a packet costs that a process in `from` sends to a child, to the hook of the child's device.
    fn price_to_child(&self, from: &Netns, site: &Site, child: u32) -> Result<f64> {
        let (netns, device) = site.child(child)?;
        let (device, to) = (&device, v4(child).into());
        self.price_from(from, Sink::Device { netns, device, to })
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

    /// Measures beside an agent with `options` on the parent of `site`, and reports it beside `base`.
    fn beside_agent(
        &self,
        site: &Site,
        options: &[&str],
        compared: &Compared<'_>,
        base: f64,
        measure: impl FnOnce() -> Result<f64>,
    ) -> Result<()> {
        let agent = self.agent(site, options)?;
        let price = measure().with_context(|| compared.variant.to_owned())?;
        self.tell_beside(compared, base, price)?;
        agent.stop()
    }

    fn tell(&self, row: &Row) -> Result<()> {
        println!("{row:?}");
        self.results.write(&Line::Row(row))
    }

    /// Reports a row, and fails the run if its ratio, or else its value, exceeds `limit`.
    fn tell_limited(&self, row: &Row, limit: f64) -> Result<()> {
        if row.ratio.unwrap_or(row.value) > limit {
            let text = format!("{row:?}, at most {limit:.3}");
            self.exceeded.borrow_mut().push(text);
        }
        self.tell(row)
    }

    /// Reports a value of the agent that fails the run if it exceeds `limit`.
    fn report_limited(
        &self,
        path: &str,
        children: u32,
        value: f64,
        unit: &'static str,
        limit: f64,
    ) -> Result<()> {
        let row = Row::new(path, "agent", children, value, unit);
        self.tell_limited(&row.at_most(limit), limit)
    }

    /// Reports something that is no row.
    fn note(&self, text: &str) -> Result<()> {
        println!("{text}");
        self.results.write(&Line::Note { text })
    }

    /// The row that others are compared with.
    fn tell_base(&self, path: &str, variant: &str, children: u32, base: f64) -> Result<()> {
        let row = Row::new(path, variant, children, base, INSTRUCTIONS);
        self.tell(&row.beside(base))
    }

    fn tell_beside(&self, compared: &Compared<'_>, base: f64, price: f64) -> Result<()> {
        let Compared {
            path,
            variant,
            children,
            ratio,
            added,
        } = *compared;
        let row = |path: &str, value| Row::new(path, variant, children, value, INSTRUCTIONS);
        let beside = row(path, price).beside(base);
        self.tell(&match ratio {
            Some(goal) => beside.at_most(goal),
            None => beside,
        })?;
        if let Some(goal) = added {
            let added = row(&format!("{path}: added"), price - base);
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
fn price_of(plan: Plan, source: &Source<'_>, sink: Sink<'_>) -> Result<f64> {
    let (_open, mut counter) = sink.open()?;
    source.measure(&mut counter, plan)
}

/// Returns a number below 2⁵³, which is exact.
fn as_float(number: u64) -> Result<f64> {
    let [high, low] = [number >> 32, number & u64::from(u32::MAX)].map(u32::try_from);
    Ok(f64::from(high?) * 4_294_967_296.0 + f64::from(low?))
}

/// Lets the parent take frames from XDP at the other end, as it does when there is a program already.
fn let_in(site: &Site) -> Result<Attached> {
    site.host.run(|| Program::xdp_pass()?.attach(PARENT))
}
