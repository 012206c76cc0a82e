//! Random numbers that keep stations from acting in step. No security depends on them.

use std::{
    hash::{BuildHasher as _, RandomState},
    time::Duration,
};

/// A generator of numbers that are different on every start (`SplitMix64`).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Seeded by the standard library, which asks the kernel.
    #[must_use]
    pub fn new() -> Self {
        Self(RandomState::new().hash_one(()))
    }

    /// Gives the same numbers every time; for tests.
    #[must_use]
    pub const fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A time from `least` to `most`, in steps of microseconds.
    pub fn between(&mut self, least: Duration, most: Duration) -> Duration {
        let micros = u64::try_from(most.saturating_sub(least).as_micros()).unwrap_or(u64::MAX);
        least + Duration::from_micros(self.next() % micros.saturating_add(1))
    }

    /// 32 bits.
    #[allow(clippy::cast_possible_truncation, reason = "any of the bits will do")]
    pub const fn bits_32(&mut self) -> u32 {
        self.next() as u32
    }

    /// 128 bits.
    pub fn bits_128(&mut self) -> u128 {
        u128::from(self.next()) << 64 | u128::from(self.next())
    }

    /// Six bytes: the nonce of a probe.
    pub fn nonce(&mut self) -> [u8; 6] {
        let mut nonce = [0; 6];
        nonce.copy_from_slice(&self.next().to_ne_bytes()[..6]);
        nonce
    }
}

impl Default for Random {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_fill_their_range_and_stay_in_it() {
        let mut random = Random::seeded(1);
        let (least, most) = (Duration::from_millis(100), Duration::from_millis(200));
        let times: Vec<Duration> = (0..1000).map(|_| random.between(least, most)).collect();
        assert!(times.iter().all(|time| (least..=most).contains(time)));
        assert!(times.iter().any(|time| *time < Duration::from_millis(110)));
        assert!(times.iter().any(|time| *time > Duration::from_millis(190)));
        assert_eq!(random.between(most, least), most);
    }

    #[test]
    fn two_starts_differ() {
        assert_ne!(Random::new().nonce(), Random::new().nonce());
    }
}
