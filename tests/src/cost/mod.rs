//! What an answer costs, in guest instructions: the kernel's for an l2 child, ours for an l3 child by TC
//! and by XDP, in one run.
//!
//! Only in a machine whose clock counts instructions (`cargo xtask cost`): there a nanosecond is an
//! instruction. Frames are made at the LAN's end. The floor, which is taken off, is what it costs to
//! drop them at the hook of the parent where an answer would be made. An answer ends where the
//! driver would get it, behind all of TC egress; one by XDP at the LAN's end, for there is nothing in
//! between that could count it.

use std::{
    fmt::Write as _,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use crate::{
    agent::Agent,
    bpf::{Attached, Count, Counter, Hook, Program},
    demo::mode::Mode,
    lab::Lab,
    oracle::{
        frames::{Arp, Asker, Nd},
        world::{CHILD, LAN, PARENT, PARENT_MAC, Side, Traits},
    },
    results::{Line, Results},
};

/// How many requests are sent at once: an l2 parent has room for a thousand broadcasts
/// (`IPVLAN_QBACKLOG_LIMIT`), and its work queue may get its turn only at the end.
const BATCH: u32 = 900;
/// How many times: 18 000 requests per measurement.
const BATCHES: u32 = 20;
/// Until everything that a boot leaves behind is done.
const SETTLE: Duration = Duration::from_secs(20);
/// How long the last answers may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How much of what the kernel needs we may.
const LIMIT: f64 = 1.0 / 3.0;

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

/// Instructions per request.
struct Row {
    name: &'static str,
    floors: [f64; 2],
    kernel: f64,
    ours: [f64; 2],
}

impl Cost {
    /// Measures and prints a table; `false` if an answer of ours costs too much.
    pub fn run(&self) -> Result<bool> {
        println!("waiting until the machine has settled");
        thread::sleep(SETTLE);
        let lab = Lab::new()?;
        let rows = requests()
            .iter()
            .map(|request| {
                println!("measuring: {}", request.name);
                self.measure(&lab, request)
                    .with_context(|| request.name.to_owned())
            })
            .collect::<Result<Vec<_>>>()?;
        let table = table(&rows);
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

    fn measure(&self, lab: &Lab, request: &Request) -> Result<Row> {
        let Request {
            name,
            frame,
            answer,
        } = request;
        let side = Side::build(lab, "kernel", Mode::L2, Traits::default())?;
        side.leave_one_child()?;
        let floors = [Hook::Tc, Hook::Xdp].map(|hook| floor(&side, hook, frame));
        let [tc_floor, xdp_floor] = floors;
        let kernel = answered(&side, Hook::Tc, frame, *answer)?;
        drop(side);
        let by = |hook: Hook, options: &[&str]| {
            let side = Side::build(lab, "ours", Mode::L3, Traits::default())?;
            side.leave_one_child()?;
            let agent = Agent::start(&self.ipvlan, &side.host, &[PARENT], options)?;
            let cost = answered(&side, hook, frame, *answer)?;
            agent.stop()?;
            Ok::<_, anyhow::Error>(cost)
        };
        Ok(Row {
            name,
            floors: [tc_floor?, xdp_floor?],
            kernel,
            ours: [by(Hook::Tc, &[])?, by(Hook::Xdp, &["--xdp", "native"])?],
        })
    }

    fn tell(&self, row: &Row, hook: Hook) -> Result<bool> {
        let value = row.ratio(hook);
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

impl Row {
    /// What ours costs beyond the floor of its hook, per what the kernel costs beyond the same floor.
    fn ratio(&self, hook: Hook) -> f64 {
        let floor = self.floors[place(hook)];
        (self.ours[place(hook)] - floor) / (self.kernel - floor)
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
    let arp = Arp::request(&asker, CHILD.v4);
    [
        Request {
            name: "ARP request",
            frame: arp.bytes(),
            answer: 42,
        },
        Request {
            name: "unicast ARP request",
            frame: Arp {
                eth_dst: PARENT_MAC,
                ..arp
            }
            .bytes(),
            answer: 42,
        },
        Request {
            name: "solicitation",
            frame: Nd::multicast(&asker, CHILD.v6).bytes(),
            answer: 86,
        },
        Request {
            name: "unicast solicitation",
            frame: Nd::unicast(&asker, CHILD.v6).bytes(),
            answer: 78,
        },
    ]
}

/// What it costs to make a frame and to drop it at `hook` of the parent.
fn floor(side: &Side, hook: Hook, frame: &[u8]) -> Result<f64> {
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
fn answered(side: &Side, hook: Hook, frame: &[u8], answer: i32) -> Result<f64> {
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
#[expect(
    clippy::cast_precision_loss,
    reason = "seconds in nanoseconds, and thousands of frames"
)]
fn per_frame(side: &Side, counter: &Counter, frame: &[u8]) -> Result<f64> {
    let generator = side.lan.run(|| Program::send(LAN, frame, counter))?;
    let mut taken = 0;
    for batch in 0..=BATCHES {
        counter.reset()?;
        side.lan.run(|| generator.generate(frame, BATCH))?;
        let deadline = Instant::now() + PATIENCE;
        while counter.get()?.frames < u64::from(BATCH) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
        let Count {
            frames,
            first,
            last,
        } = counter.get()?;
        ensure!(
            frames == u64::from(BATCH),
            "{frames} of {BATCH} frames arrived"
        );
        // The first batch makes the entries of routes and neighbours that the others find.
        if batch > 0 {
            taken += last - first;
        }
    }
    Ok(taken as f64 / f64::from(BATCH * BATCHES))
}

fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "guest instructions per request, from the hook to the answer\n\
         {:<22}{:>10}{:>8}{:>8}{:>12}{:>8}{:>8}\n",
        "", "kernel", "TC", "", "kernel", "XDP", ""
    );
    for row in rows {
        let [tc, xdp] = [Hook::Tc, Hook::Xdp].map(|hook| {
            let floor = row.floors[place(hook)];
            let ours = row.ours[place(hook)] - floor;
            (row.kernel - floor, ours, row.ratio(hook))
        });
        // Writing to a string cannot fail.
        let _written = writeln!(
            text,
            "{:<22}{:>10.0}{:>8.0}{:>8.3}{:>12.0}{:>8.0}{:>8.3}",
            row.name, tc.0, tc.1, tc.2, xdp.0, xdp.1, xdp.2
        );
    }
    text
}
