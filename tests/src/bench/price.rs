//! What one frame of many costs: the time from the sending of the first to the arrival of the last, or between
//! arrivals.
//!
//! In a machine whose clock counts instructions a nanosecond is an instruction. Every frame that was
//! sent must arrive, and no other: a way on which some are lost looks cheap.

use std::{
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};

use crate::bpf::Counter;

/// How long the last frames may take.
const PATIENCE: Duration = Duration::from_mins(1);
/// Until a frame that is one too many would have arrived.
const AFTERWARDS: Duration = Duration::from_millis(20);

/// How many frames are sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    /// At once.
    pub batch: u32,
    /// How many times, after a first one that makes the entries of routes and neighbours.
    pub batches: u32,
}

impl Plan {
    /// All of them.
    pub(super) fn frames(self) -> u64 {
        u64::from(self.batch) * u64::from(1 + self.batches)
    }
}

/// When the clock starts.
pub(super) enum Begin {
    /// The program that makes the frames starts it, in its own counter, when it makes the first.
    FirstFrame(Counter),
    /// When `send` is called.
    Call,
    /// When the first frame arrives: what is before it is no part of the frames.
    FirstArrival,
}

/// Sends batches by `send`, which is given the number of frames, and waits for `counter` to have counted each; returns
/// the instructions per frame of the cheapest batch.
///
/// A thread that does nothing is there meanwhile. Of a process with only one the kernel takes no reference
/// to the file of a call (`__fget_light`), which makes sending forty instructions cheaper than beside an
/// agent, whose output is read by a thread.
pub(super) fn measure(
    counter: &mut Counter,
    begin: Begin,
    plan: Plan,
    send: impl Fn(u32) -> Result<()>,
) -> Result<f64> {
    thread::scope(|scope| {
        let (_ends_with_this, end) = mpsc::channel::<()>();
        scope.spawn(move || end.recv());
        batches(counter, begin, plan, send)
    })
}

fn batches(
    counter: &mut Counter,
    mut begin: Begin,
    plan: Plan,
    send: impl Fn(u32) -> Result<()>,
) -> Result<f64> {
    let mut price = f64::INFINITY;
    let expected = u64::from(plan.batch);
    for batch in 0..=plan.batches {
        match &mut begin {
            Begin::FirstFrame(sender) => {
                sender.reset()?;
                counter.reset()?;
            }
            Begin::FirstArrival => counter.reset()?,
            Begin::Call => counter.start()?,
        }
        send(plan.batch)?;
        let deadline = Instant::now() + PATIENCE;
        while counter.get()?.frames < expected && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(AFTERWARDS);
        let total = counter.get()?;
        let frames = total.frames;
        ensure!(
            frames == expected,
            "{frames} frames arrived, {expected} were sent"
        );
        if batch > 0 {
            let (first, frames) = match &begin {
                Begin::FirstFrame(sender) => (sender.get()?.first, plan.batch),
                Begin::Call => (total.first, plan.batch),
                Begin::FirstArrival => (total.first, plan.batch - 1),
            };
            let taken = f64::from(u32::try_from(total.last - first)?) / f64::from(frames);
            price = price.min(taken);
        }
    }
    Ok(price)
}
