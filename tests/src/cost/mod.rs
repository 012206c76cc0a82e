//! What an answer costs, in guest instructions: the kernel's for an l2 child, ours for an l3 child by TC
//! and by XDP, in one run.
//!
//! Only in a machine whose clock counts instructions (`cargo xtask cost`): there a nanosecond is an
//! instruction. Frames are made at the LAN's end, many at once, and the clock runs from the first of
//! them to the last answer. The floor, which is taken off, is what it costs to make them and to drop
//! them at the hook of the parent where an answer would be made. An answer ends where the driver
//! would get it, behind all of TC egress, the agent's own program included; one by XDP at the LAN's
//! end, for there is nothing in between that could count it, so the way there is charged to us.
//!
//! The asker is the same all the time: the kernel has its route and neighbour entry, which is the
//! least it can need.

pub(crate) mod price;
mod table;

use std::{
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use ipvlan_packet::Arp;

use self::price::{Begin, Plan, Price};
use crate::{
    agent::Agent,
    bpf::{Attached, Counter, Hook, Program},
    demo::mode::Mode,
    lab::{Lab, receive_xdp},
    oracle::{
        asker::Asker,
        world::{CHILD, LAN, PARENT, PARENT_MAC, Side, Traits},
    },
    results::{Line, Results},
};

/// An l2 parent has room for a thousand broadcasts (`IPVLAN_QBACKLOG_LIMIT`), and its work queue may
/// get its turn only at the end.
const PLAN: Plan = Plan {
    batch: 900,
    batches: 11,
};
/// Until everything that a boot leaves behind is done.
const SETTLE: Duration = Duration::from_secs(20);
/// How much of what the kernel needs we may.
const LIMIT: f64 = 1.0 / 3.0;
/// The agent says nothing of its own.
const SILENT: [&str; 4] = ["--announce", "off", "--dad", "off"];

/// What to measure.
#[derive(Debug)]
pub struct Cost {
    /// The agent.
    pub ipvlan: PathBuf,
    /// Where results go.
    pub results: Results,
}

/// A request, and the length of its answer.
struct Request {
    name: &'static str,
    frame: Vec<u8>,
    answer: i32,
}

/// What one request costs: floors and ours by TC and by XDP.
pub(crate) struct Row {
    /// What people are shown.
    pub name: &'static str,
    floors: [Price; 2],
    kernel: Price,
    ours: [Price; 2],
}

/// What an answer costs beyond the floor of a hook.
pub(crate) struct Answer {
    /// By the kernel.
    pub kernel: f64,
    /// By the agent's programs.
    pub ours: f64,
}

impl Cost {
    /// Measures and prints a table; `false` if an answer of ours costs too much.
    pub fn run(&self) -> Result<bool> {
        println!("waiting until the machine has settled");
        thread::sleep(SETTLE);
        let rows = rows(&self.ipvlan, &Lab::new()?)?;
        let table = table::render(&rows);
        print!("{table}");
        self.results.write(&Line::Note { text: &table })?;
        let mut met = true;
        for row in &rows {
            for hook in [Hook::Tc, Hook::Xdp] {
                met &= self.tell(row, hook)?;
            }
        }
        Ok(met)
    }

    fn tell(&self, row: &Row, hook: Hook) -> Result<bool> {
        let value = row.answer(hook).ratio();
        let met = value <= LIMIT;
        let name = format!(
            "{}: instructions by {hook:?} per one of the kernel",
            row.name
        );
        self.results.write(&Line::Number {
            name: &name,
            value,
            unit: "",
            limit: LIMIT,
            met,
        })?;
        Ok(met)
    }
}

/// Measures every request.
pub(crate) fn rows(ipvlan: &Path, lab: &Lab) -> Result<Vec<Row>> {
    requests()
        .iter()
        .map(|request| {
            println!("measuring: {}", request.name);
            measure(ipvlan, lab, request).with_context(|| request.name.to_owned())
        })
        .collect()
}

fn measure(ipvlan: &Path, lab: &Lab, request: &Request) -> Result<Row> {
    let Request {
        name,
        frame,
        answer,
    } = request;
    let side = Side::build(lab, "kernel", Mode::L2, Traits::default())?;
    side.leave_one_child()?;
    let floors = [
        floor(&side, Hook::Tc, frame)?,
        floor(&side, Hook::Xdp, frame)?,
    ];
    let kernel = answered(&side, Hook::Tc, frame, *answer)?;
    drop(side);
    let by = |hook: Hook, options: &[&str]| {
        let side = Side::build(lab, "ours", Mode::L3, Traits::default())?;
        side.leave_one_child()?;
        let options = [&SILENT, options].concat();
        // In the way of the one that counts.
        let receives = receive_xdp(&side.lan, LAN)?;
        let agent = Agent::start(ipvlan, &side.host, &[PARENT], &options)?;
        drop(receives);
        let price = answered(&side, hook, frame, *answer)?;
        let counted = answers_counted(&agent, hook)?;
        ensure!(
            counted == PLAN.frames(),
            "the programs counted {counted} answers"
        );
        agent.stop()?;
        Ok::<_, anyhow::Error>(price)
    };
    Ok(Row {
        name,
        floors,
        kernel,
        ours: [by(Hook::Tc, &[])?, by(Hook::Xdp, &["--xdp", "native"])?],
    })
}

impl Row {
    /// What the answer by `hook` costs.
    pub(crate) fn answer(&self, hook: Hook) -> Answer {
        let floor = self.floors[place(hook)].least;
        Answer {
            kernel: self.kernel.least - floor,
            ours: self.ours[place(hook)].least - floor,
        }
    }
}

impl Answer {
    fn ratio(&self) -> f64 {
        self.ours / self.kernel
    }
}

const fn place(hook: Hook) -> usize {
    match hook {
        Hook::Tc | Hook::Egress => 0,
        Hook::Xdp => 1,
    }
}

fn requests() -> [Request; 4] {
    let asker = Asker::new(0);
    let arp = asker.request(CHILD.v4);
    [
        Request {
            name: "ARP request",
            frame: arp.frame(),
            answer: 42,
        },
        Request {
            name: "unicast ARP request",
            frame: Arp {
                eth_dst: PARENT_MAC,
                ..arp
            }
            .frame(),
            answer: 42,
        },
        Request {
            name: "solicitation",
            frame: asker.multicast(CHILD.v6).frame(),
            answer: 86,
        },
        Request {
            name: "unicast solicitation",
            frame: asker.unicast(CHILD.v6).frame(),
            answer: 78,
        },
    ]
}

/// How many answers the agent's program at `hook` says it has given.
fn answers_counted(agent: &Agent, hook: Hook) -> Result<u64> {
    let name = match hook {
        Hook::Xdp => "xdp",
        Hook::Tc | Hook::Egress => "ingress",
    };
    let status = agent.status()?;
    let counters = &status["parents"][0]["counters"][name];
    ensure!(counters.is_object(), "no counters of {name} in {status}");
    let count = |reason: &str| counters[reason].as_u64().unwrap_or_default();
    Ok(count("arp_answered") + count("nd_answered"))
}

/// What it costs to make a frame and to drop it at `hook` of the parent.
fn floor(side: &Side, hook: Hook, frame: &[u8]) -> Result<Price> {
    let _let_in = match hook {
        Hook::Xdp => None,
        Hook::Tc | Hook::Egress => Some(let_in(side)?),
    };
    let counter = Counter::new()?;
    let length = i32::try_from(frame.len())?;
    let _dropped = side
        .host
        .run(|| Program::count(hook, &counter, length)?.attach(PARENT))?;
    per_frame(side, &counter, frame).with_context(|| format!("dropped by {hook:?}"))
}

/// What it costs to make a frame and to have it answered on the way that `hook` is for.
fn answered(side: &Side, hook: Hook, frame: &[u8], answer: i32) -> Result<Price> {
    let counter = Counter::new()?;
    let (_let_in, _counted) = match hook {
        Hook::Xdp => {
            let attach = || Program::count(Hook::Xdp, &counter, answer)?.attach(LAN);
            (None, side.lan.run(attach)?)
        }
        Hook::Tc | Hook::Egress => {
            let attach = || Program::count(Hook::Egress, &counter, answer)?.attach(PARENT);
            (Some(let_in(side)?), side.host.run(attach)?)
        }
    };
    per_frame(side, &counter, frame)
        .with_context(|| format!("in mode {}, answered by {hook:?}", side.mode))
}

/// Lets the parent take frames from XDP, as it does when there is a program already.
fn let_in(side: &Side) -> Result<Attached> {
    side.host.run(|| Program::xdp_pass()?.attach(PARENT))
}

/// Instructions from the sending of the first frame to the arrival of the last one, per frame.
fn per_frame(side: &Side, counter: &Counter, frame: &[u8]) -> Result<Price> {
    let generator = side.lan.run(|| Program::send(LAN, frame, counter))?;
    let send = |count| side.lan.run(|| generator.generate(frame, count));
    price::measure(counter, Begin::FirstFrame, PLAN, send)
}
