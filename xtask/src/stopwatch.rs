//! How long the parts of a run took.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::table::markdown;

static LAPS: Mutex<Vec<Lap>> = Mutex::new(Vec::new());

#[derive(Debug)]
struct Lap {
    what: String,
    took: Duration,
}

/// Runs `work`, and records under this name how long it took.
pub(crate) fn time<T>(what: impl Into<String>, work: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let done = work();
    let lap = Lap {
        what: what.into(),
        took: begun.elapsed(),
    };
    laps().push(lap);
    done
}

/// Prints what was recorded, in the order in which it ended. Machines run beside each other, so that the parts of a
/// test exceed its duration.
pub(crate) fn print() {
    let laps = laps();
    if laps.is_empty() {
        return;
    }
    let mut table = markdown(["Part", "Seconds"], &[1]);
    for Lap { what, took } in laps.iter() {
        table.add_row([what.clone(), format!("{:.0}", took.as_secs_f64())]);
    }
    println!("{table}");
}

fn laps() -> std::sync::MutexGuard<'static, Vec<Lap>> {
    LAPS.lock().unwrap_or_else(PoisonError::into_inner)
}
