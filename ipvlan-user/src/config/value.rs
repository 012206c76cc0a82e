//! Values with a limited range, read alike from the command line and from files: names and numbers.

use std::{fmt, marker::PhantomData, num::ParseIntError, ops::RangeInclusive, str::FromStr};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, Visitor},
};

use crate::{
    metrics::MetricsChoice,
    model::{Glob, Prefix},
};

/// Longest interface name (`IFNAMSIZ` less its NUL).
const MAX_NAME: usize = 15;

/// Number of entries of a map, of addresses, groups or children.
pub type Count = Bounded<1, 1_048_576>;
/// Frames or events per second.
pub type Rate = Bounded<1, 100_000>;
/// Share in percent.
pub type Percent = Bounded<1, 100>;
/// Value of `audit`, in seconds.
pub type AuditSeconds = Bounded<1, 86_400>;
/// Value of `refresh`, in seconds; 0 is never.
pub type RefreshSeconds = Bounded<0, 86_400>;
/// Values of `stale-after` other than 0, in seconds. A sync is made every third of it, which takes half a second
/// with many addresses on a busy machine.
const STALE_AFTER: RangeInclusive<u64> = 2..=31_536_000;

/// A whole number from `MIN` to `MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "i64")]
pub struct Bounded<const MIN: u32, const MAX: u32>(u32);

/// Error of a text or number that is not a [`Bounded`] number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BoundedError {
    /// It is no whole number.
    #[error(transparent)]
    NotANumber(#[from] ParseIntError),
    /// It is out of range.
    #[error("{0} is not in {1}..={2}")]
    OutOfRange(i64, u32, u32),
}

impl<const MIN: u32, const MAX: u32> Bounded<MIN, MAX> {
    /// Returns the number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl<const MIN: u32, const MAX: u32> TryFrom<i64> for Bounded<MIN, MAX> {
    type Error = BoundedError;

    fn try_from(number: i64) -> Result<Self, BoundedError> {
        u32::try_from(number)
            .ok()
            .filter(|number| (MIN..=MAX).contains(number))
            .map(Self)
            .ok_or(BoundedError::OutOfRange(number, MIN, MAX))
    }
}

impl<const MIN: u32, const MAX: u32> FromStr for Bounded<MIN, MAX> {
    type Err = BoundedError;

    fn from_str(text: &str) -> Result<Self, BoundedError> {
        text.parse::<i64>()?.try_into()
    }
}

/// A name that an interface can have (`dev_valid_name`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct InterfaceName(String);

/// Error of a text that is not the name of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It is empty, `.` or `..`.
    #[error("not an interface name")]
    NotAName,
    /// It exceeds `IFNAMSIZ`.
    #[error("longer than {MAX_NAME} bytes")]
    TooLong,
    /// It has a character that the kernel refuses.
    #[error("{0:?} cannot be in an interface name")]
    Character(char),
}

impl InterfaceName {
    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for InterfaceName {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        if name.is_empty() || name == "." || name == ".." {
            return Err(NameError::NotAName);
        }
        if let Some(character) = name.chars().find(|character| {
            matches!(character, '/' | ':' | '\0') || character.is_ascii_whitespace()
        }) {
            return Err(NameError::Character(character));
        }
        if name.len() > MAX_NAME {
            return Err(NameError::TooLong);
        }
        Ok(Self(name.to_owned()))
    }
}

impl From<InterfaceName> for String {
    fn from(name: InterfaceName) -> Self {
        name.0
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Reads types from a file as they are read from the command line.
macro_rules! read_as_text {
    ($( $type:ty ),+) => { $(
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(Parse(PhantomData))
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )+ };
}

read_as_text!(InterfaceName, Prefix, Glob, MetricsChoice);

/// Parses while the text is visited: an error of the visit is one of this place in the file.
struct Parse<T>(PhantomData<T>);

impl<T: FromStr<Err: fmt::Display>> Visitor<'_> for Parse<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

/// Seconds that programs answer without a sync; 0 without limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "i64")]
pub struct StaleAfter(pub u64);

/// Error of a text or number that is not a [`StaleAfter`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StaleAfterError {
    /// It is no number of seconds.
    #[error("not a whole number of seconds")]
    NotANumber,
    /// A running agent could not sync in time.
    #[error(
        "{0} is too short for an agent to sync in time: the smallest value is {least}, or 0 without limit",
        least = STALE_AFTER.start()
    )]
    TooShort(i64),
    /// Longer than a year.
    #[error("{0} is too long: the largest value is {most}, or 0 without limit", most = STALE_AFTER.end())]
    TooLong(i64),
}

impl TryFrom<i64> for StaleAfter {
    type Error = StaleAfterError;

    fn try_from(number: i64) -> Result<Self, StaleAfterError> {
        match u64::try_from(number) {
            Ok(seconds) if seconds == 0 || STALE_AFTER.contains(&seconds) => Ok(Self(seconds)),
            Ok(seconds) if seconds > *STALE_AFTER.end() => Err(StaleAfterError::TooLong(number)),
            _ => Err(StaleAfterError::TooShort(number)),
        }
    }
}

impl FromStr for StaleAfter {
    type Err = StaleAfterError;

    fn from_str(text: &str) -> Result<Self, StaleAfterError> {
        let number: i64 = text.parse().map_err(|_| StaleAfterError::NotANumber)?;
        number.try_into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_the_kernel_refuses_are_refused() {
        for name in [
            "",
            ".",
            "..",
            "a/b",
            "a:1",
            "a b",
            "a\0",
            "sixteen-letters!",
            "/sys/class/net/eth0",
        ] {
            assert!(name.parse::<InterfaceName>().is_err(), "{name:?}");
        }
        for name in ["ens34", "eth0.100", "fifteen-letters", "ü"] {
            let parsed: InterfaceName = name.parse().unwrap();
            assert_eq!(String::from(parsed), name);
        }
    }

    #[test]
    fn number_out_of_range_is_refused() {
        for (text, expected) in [
            ("0", Err("0 is not in 1..=100")),
            ("1", Ok(1)),
            ("100", Ok(100)),
            ("101", Err("101 is not in 1..=100")),
            ("-1", Err("-1 is not in 1..=100")),
            ("4294967297", Err("4294967297 is not in 1..=100")),
            ("1 s", Err("invalid digit found in string")),
        ] {
            let parsed = text.parse().map(Percent::get);
            assert_eq!(
                parsed.map_err(|error| error.to_string()),
                expected.map_err(str::to_owned),
                "{text}"
            );
        }
    }

    #[test]
    fn stale_after_is_never_or_long_enough() {
        for (text, expected) in [
            ("0", Ok(StaleAfter(0))),
            ("2", Ok(StaleAfter(2))),
            ("31536000", Ok(StaleAfter(31_536_000))),
            ("1", Err(StaleAfterError::TooShort(1))),
            ("-5", Err(StaleAfterError::TooShort(-5))),
            ("31536001", Err(StaleAfterError::TooLong(31_536_001))),
            ("10s", Err(StaleAfterError::NotANumber)),
        ] {
            assert_eq!(text.parse(), expected, "{text}");
        }
    }
}
