//! Times that the agent's loop waits for.

use std::{
    future,
    time::{Duration, Instant},
};

use tokio::time::{Interval, MissedTickBehavior, interval_at, sleep_until};

/// Ticks after each `period` from now on; one that comes late delays those after it.
pub(super) fn ticks(period: Duration) -> Interval {
    let mut ticks = interval_at(tokio::time::Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Waits until then; for ever without a time.
pub(super) async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time.into()).await,
        None => future::pending().await,
    }
}

/// Waits for a tick; for ever if there are none.
pub(super) async fn tick(ticks: &mut Option<Interval>) {
    match ticks {
        Some(ticks) => {
            ticks.tick().await;
        }
        None => future::pending().await,
    }
}
