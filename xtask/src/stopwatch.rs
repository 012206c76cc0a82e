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
    /// Of a machine alone: the processor time of its emulator, which depends less on what else the host does.
    cpu: Option<Duration>,
}

/// Runs `work`, and records under this name how long it took.
pub(crate) fn time<T>(what: impl Into<String>, work: impl FnOnce() -> T) -> T {
    time_by(what, work, |_| None)
}

/// Runs `work`, and records under this name how long it took, and the processor time that `cpu` returns.
pub(crate) fn time_by<T>(
    what: impl Into<String>,
    work: impl FnOnce() -> T,
    cpu: impl FnOnce(&T) -> Option<Duration>,
) -> T {
    let begun = Instant::now();
    let done = work();
    let lap = Lap {
        what: what.into(),
        took: begun.elapsed(),
        cpu: cpu(&done),
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
    let seconds = |time: Duration| format!("{:.0}", time.as_secs_f64());
    let mut table = markdown(["Part", "Seconds", "Processor"], &[1, 2]);
    for Lap { what, took, cpu } in laps.iter() {
        table.add_row([
            what.clone(),
            seconds(*took),
            cpu.map(seconds).unwrap_or_default(),
        ]);
    }
    println!("{table}");
}

fn laps() -> std::sync::MutexGuard<'static, Vec<Lap>> {
    LAPS.lock().unwrap_or_else(PoisonError::into_inner)
}
