//! An agent with many children and addresses: how soon it follows a change, what it needs at rest, and what a flood of
//! requests does to it. Each limit is one of this project, for an emulated machine.

mod answer;
mod crowd;
mod flood;
mod floor;
mod idle;
pub(crate) mod process;

use std::time::Duration;

use anyhow::Result;

pub(super) use self::{crowd::measure, flood::floods};
use super::{Bench, as_float};

/// Children of most measurements.
const CHILDREN: u32 = 1_000;
const MILLISECONDS: &str = "ms";
const MEGABYTES: &str = "MB";

/// Reports the median and the 99th percentile of the times to the first reply, and the limit of each.
fn report_replies(bench: &Bench, when: &str, times: &[Duration], limits: [f64; 2]) -> Result<()> {
    for (percent, limit) in [50, 99].into_iter().zip(limits) {
        let path = format!("address added to first ARP reply{when}, p{percent}");
        let value = milliseconds(percentile(times, percent));
        bench.report_limited(&path, CHILDREN, value, MILLISECONDS, limit)?;
    }
    Ok(())
}

/// Returns the smallest time that at least `percent` of a hundred do not exceed.
pub(crate) fn percentile(times: &[Duration], percent: usize) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    let place = (times.len() * percent).div_ceil(100).max(1) - 1;
    times.get(place).copied().unwrap_or_default()
}

pub(crate) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentile_is_the_smallest_that_covers_enough() {
        let times: Vec<_> = (1..=100).rev().map(Duration::from_millis).collect();
        assert_eq!(percentile(&times, 50), Duration::from_millis(50));
        assert_eq!(percentile(&times, 99), Duration::from_millis(99));
        assert_eq!(percentile(&times[..1], 99), Duration::from_millis(100));
        assert_eq!(percentile(&[], 99), Duration::ZERO);
    }
}
