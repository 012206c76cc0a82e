//! The kernel's clock of ticks (`jiffies_64`), which costs the programs next to nothing to read.
//!
//! No jump of the wall clock moves it, and it stands still while the machine is suspended.

use std::{io, time::Duration};

use nix::time::{ClockId, clock_getres};

/// Ticks at `time` from now. Should the clock not be there, that is at once: the programs stop answering.
#[must_use]
pub fn after(time: Duration) -> u64 {
    let Ok((now, tick)) = now() else { return 0 };
    now.saturating_add(in_ticks(time, tick))
}

/// The clock at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    now: u64,
    tick: Duration,
}

impl Clock {
    /// Reads the clock.
    pub fn read() -> io::Result<Self> {
        let (now, tick) = now()?;
        Ok(Self { now, tick })
    }

    /// Returns how long ago a tick was, which a program has read; none for 0, which stands for never.
    #[must_use]
    pub fn ago(self, ticks: u64) -> Option<Duration> {
        let passed = self.now.saturating_sub(ticks);
        let passed = u32::try_from(passed).unwrap_or(u32::MAX);
        (ticks > 0).then(|| self.tick.saturating_mul(passed))
    }
}

/// The tick it is, at most [`USER_TICK`] ago, and how long one takes.
fn now() -> io::Result<(u64, Duration)> {
    // `ktime_get_coarse` goes by ticks, and its resolution is one (`KTIME_LOW_RES`).
    let tick = Duration::from(clock_getres(ClockId::CLOCK_MONOTONIC_COARSE)?);
    // SAFETY: without a buffer it only returns the time.
    let user = unsafe { libc::times(std::ptr::null_mut()) };
    // Since the machine started it is never negative, and so large only after an error.
    let user = u64::try_from(user).map_err(|_| io::Error::last_os_error())?;
    // `jiffies_64_to_clock_t`, the other way round.
    let now = u128::from(user) * USER_TICK.as_nanos() / tick.as_nanos().max(1);
    Ok((u64::try_from(now).unwrap_or(u64::MAX), tick))
}

/// A tick of `times(2)`: `USER_HZ` is 100 everywhere.
const USER_TICK: Duration = Duration::from_millis(10);

fn in_ticks(time: Duration, tick: Duration) -> u64 {
    u64::try_from(time.as_nanos().div_ceil(tick.as_nanos().max(1))).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_pass_as_time_does() {
        let (before, tick) = now().unwrap();
        assert!((1..=10).contains(&tick.as_millis()), "{tick:?}");
        std::thread::sleep(Duration::from_millis(200));
        let passed = now().unwrap().0 - before;
        let least = in_ticks(Duration::from_millis(180), tick);
        assert!(passed >= least, "{passed} of {tick:?}");
        let second = after(Duration::from_secs(1)) - after(Duration::ZERO);
        let expected = in_ticks(Duration::from_secs(1), tick);
        assert!(
            second.abs_diff(expected) <= in_ticks(USER_TICK, tick),
            "{second}"
        );
    }
}
