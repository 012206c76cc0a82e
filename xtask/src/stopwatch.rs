//! How long the parts of a run took.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use comfy_table::{CellAlignment, Table, presets};

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
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(["Part", "Seconds"]);
    for Lap { what, took } in laps.iter() {
        table.add_row([what.clone(), format!("{:.0}", took.as_secs_f64())]);
    }
    if let Some(seconds) = table.column_mut(1) {
        seconds.set_cell_alignment(CellAlignment::Right);
    }
    println!("{table}");
}

fn laps() -> std::sync::MutexGuard<'static, Vec<Lap>> {
    LAPS.lock().unwrap_or_else(PoisonError::into_inner)
}
