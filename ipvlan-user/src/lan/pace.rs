//! How much may happen how fast: a token bucket.

use std::time::{Duration, Instant};

/// A token bucket without a timer: a caller that finds it empty reads when the next token is due.
#[derive(Clone, Debug)]
pub struct Pace {
    /// Time in which one token comes.
    interval: Duration,
    /// Most tokens there are.
    burst: u32,
    /// When the bucket was, or will be, full.
    full: Instant,
}

impl Pace {
    /// A full bucket of `burst` tokens, refilled with `rate` tokens per second.
    ///
    /// It starts at `now`. Neither number may be 0; 1 is taken instead.
    #[must_use]
    pub fn new(now: Instant, rate: u32, burst: u32) -> Self {
        Self {
            interval: Duration::from_secs(1) / rate.max(1),
            burst: burst.max(1),
            full: now,
        }
    }

    /// Takes a token if there is one.
    pub fn take(&mut self, now: Instant) -> bool {
        let taken = self.has(now, 1);
        if taken {
            self.spend(now, 1);
        }
        taken
    }

    /// Returns whether so many tokens are there; more than the burst never are, all of it is enough then.
    #[must_use]
    pub fn has(&self, now: Instant, tokens: u32) -> bool {
        self.full.saturating_duration_since(now) <= self.missing(tokens)
    }

    /// Returns when so many tokens will be there, as [`Self::has`] counts them.
    #[must_use]
    pub fn at(&self, now: Instant, tokens: u32) -> Instant {
        let missing = self.missing(tokens);
        self.full.checked_sub(missing).map_or(now, |at| at.max(now))
    }

    /// Takes tokens that may not be there yet: the next ones wait for them.
    pub fn spend(&mut self, now: Instant, tokens: u32) {
        self.full = self.full.max(now) + self.interval * tokens;
    }

    /// Returns whether all tokens are there.
    #[must_use]
    pub fn is_full(&self, now: Instant) -> bool {
        self.full <= now
    }

    /// Returns whether less than half of the tokens are there.
    #[must_use]
    pub fn is_low(&self, now: Instant) -> bool {
        self.full.saturating_duration_since(now) > self.interval * self.burst / 2
    }

    /// The time that the bucket may be from full where so many tokens are there.
    fn missing(&self, tokens: u32) -> Duration {
        self.interval * self.burst.saturating_sub(tokens)
    }

    /// When a `share` of the burst (one part in so many) will be there: waking for every single
    /// token would be waking for every frame. Now, if it is.
    #[must_use]
    pub fn ready_at(&self, now: Instant, share: u32) -> Instant {
        self.at(now, (self.burst / share.max(1)).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn taken(pace: &mut Pace, now: Instant) -> usize {
        std::iter::from_fn(|| pace.take(now).then_some(())).count()
    }

    #[test]
    fn burst_then_rate() {
        let start = Instant::now();
        let mut pace = Pace::new(start, 100, 20);
        assert_eq!(taken(&mut pace, start), 20);
        assert_eq!(taken(&mut pace, start + SECOND / 10), 10);
        assert_eq!(taken(&mut pace, start + SECOND / 10), 0);
        // However long nothing is taken, the burst is all there is.
        assert_eq!(taken(&mut pace, start + SECOND * 3600), 20);
    }

    #[test]
    fn rate_holds_over_time() {
        let start = Instant::now();
        let mut pace = Pace::new(start, 100, 20);
        let all: usize = (0..=1000)
            .map(|step| taken(&mut pace, start + SECOND * step / 100))
            .sum();
        assert!((1015..=1021).contains(&all), "{all}");
    }

    #[test]
    fn what_is_spent_in_advance_is_missing_later() {
        let start = Instant::now();
        let mut pace = Pace::new(start, 100, 20);
        taken(&mut pace, start);
        pace.spend(start, 5);
        assert_eq!(taken(&mut pace, start + SECOND / 10), 5);
    }

    #[test]
    fn at_the_returned_time_the_share_is_there() {
        let start = Instant::now();
        let mut pace = Pace::new(start, 100, 20);
        assert_eq!(pace.ready_at(start, 2), start);
        taken(&mut pace, start);
        let at = pace.ready_at(start, 2);
        assert_eq!(at, start + SECOND / 10);
        assert_eq!(taken(&mut pace, at), 10);
    }
}
